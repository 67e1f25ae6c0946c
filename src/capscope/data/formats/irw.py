"""Item Response Warehouse: a long table with `id` (subject), `item` and `resp`."""

from collections.abc import Sequence
from pathlib import Path

from capscope.axes import FACETS
from capscope.data.formats.assembly import Parts, assemble
from capscope.data.formats.format import (
    ENCODING,
    NOT_ADMINISTERED,
    Argument,
    ExportReport,
    Format,
    Head,
    ImportReport,
    Paths,
    as_paths,
    plain_numbers,
    report_on_export,
)
from capscope.data.formats.score_tables import Columns, long_scores
from capscope.data.reading import read_table
from capscope.data.study import Study
from capscope.files import TABLE_WRITERS, whole_file

COLUMNS = Columns(model="id", item_id="item", score="resp")
MISSING = ("NA", "", "nan")
"""Values of a missing response."""
KEPT = ("n_trials", *FACETS)
"""Columns of responses that the table holds beside its own three."""


def import_irw(
    paths: Paths, not_administered: Sequence[str] = (), encoding: str = "utf-8"
) -> tuple[Study, ImportReport]:
    """Make a study of tables of the Item Response Warehouse; subjects become models.

    Args:
        paths: CSV, TSV or Parquet files.
        not_administered: Responses that mean "not administered", beside NA and empty cells, which always do.
        encoding: Text encoding of the files.

    Returns:
        The study, and a report with counts.

    Raises:
        InputError: A table is wrong, or a response lies outside 0 to 1 (rescale ordered categories first).
    """
    sentinels, files = [*MISSING, *not_administered], as_paths(paths)
    scores = [long_scores(read_table(path, encoding), COLUMNS, sentinels, str(path)) for path in files]
    return assemble(Parts(format="irw", sources=files, scores=scores))


def export_irw(study: Study, out: Path, force: bool = False) -> ExportReport:
    """Write the responses of a study as a table of the Item Response Warehouse.

    Args:
        study: A study with responses.
        out: The CSV file to write.
        force: Replace an existing file.

    Returns:
        The files that were written, and the columns that they lack.

    Raises:
        OutputError: The file exists, or cannot be written.
    """
    responses = study.require("responses")
    table = responses[["model", "item_id"]].set_axis(["id", "item"], axis="columns")
    table = table.assign(resp=plain_numbers(responses))
    kept = [name for name in KEPT if name in responses]
    with whole_file(out, force=force) as scratch:
        TABLE_WRITERS[".csv"](table.join(responses[kept]), scratch)
    return report_on_export(study, [out], kept=("model", "item_id", "score", *kept))


def _detect(head: Head) -> bool:
    return {"id", "item", "resp"} <= head.names


IRW = Format(
    name="irw",
    help="Item Response Warehouse.",
    example="table.csv",
    patterns=("*.csv", "*.tsv", "*.parquet"),
    detect=_detect,
    read=import_irw,
    write=export_irw,
    arguments=(Argument(help="CSV, TSV or Parquet with id, item, resp."),),
    options=(NOT_ADMINISTERED, ENCODING),
)
