"""Item Response Warehouse: a long table with `id` (who answered), `item` and `resp`."""

from collections.abc import Sequence
from pathlib import Path

from capscope.data.formats.assembly import Assembly, assemble
from capscope.data.formats.exporting import ExportReport, plain_numbers, report_on_export, write_file
from capscope.data.formats.report import ImportReport
from capscope.data.formats.score_tables import Columns, long_scores
from capscope.data.reading import read_table
from capscope.data.study import Study

COLUMNS = Columns(model="id", item_id="item", score="resp")
MISSING = ("NA", "", "nan")
"""How the warehouse writes a response that is missing."""
KEPT = ("n_trials", "prompt", "scaffold")
"""Columns of responses that the table holds beside its own three."""


def import_irw(
    paths: Sequence[Path], not_administered: Sequence[str] = (), encoding: str = "utf-8"
) -> tuple[Study, ImportReport]:
    """Make a study of tables of the Item Response Warehouse; who answered is a model.

    Args:
        paths: CSV, TSV or Parquet files.
        not_administered: Responses that stand for "not administered", beside NA and empty cells, which always do.
        encoding: Text encoding of the files.

    Raises:
        InputError: A table is wrong, or a response lies outside 0 to 1 (rescale ordered categories first).
    """
    sentinels = [*MISSING, *not_administered]
    scores = [long_scores(read_table(path, encoding), COLUMNS, sentinels, str(path)) for path in paths]
    return assemble(Assembly("irw", list(paths), scores, None, "irw", None, 0))


def export_irw(study: Study, out: Path, *, force: bool = False) -> ExportReport:
    """Write the responses of a study as a table of the Item Response Warehouse.

    Args:
        study: A study with responses.
        out: The CSV file to write.
        force: Replace a file that is there.

    Raises:
        OutputError: The file is there, or cannot be written.
    """
    responses = study.require("responses")
    table = responses[["model", "item_id"]].set_axis(["id", "item"], axis="columns")
    table = table.assign(resp=plain_numbers(responses))
    kept = [name for name in KEPT if name in responses]
    table = table.join(responses[kept])
    write_file(out, table.to_csv(index=False).encode(), force=force)
    return report_on_export(study, [out], kept=("model", "item_id", "score", *kept))
