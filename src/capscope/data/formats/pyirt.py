"""JSON lines of py-irt: `{"subject_id": ..., "responses": {item: response}}`, one line for each subject."""

import json
from collections.abc import Sequence
from pathlib import Path

from capscope.data.formats.assembly import assemble_logs
from capscope.data.formats.exporting import (
    ExportReport,
    plain_numbers,
    report_on_export,
    single_responses,
    write_file,
)
from capscope.data.formats.report import ImportReport
from capscope.data.formats.score_tables import ScoreTable
from capscope.data.formats.scored_log import ScoredLog, as_object, field, log_files, numbered_records
from capscope.data.study import Study
from capscope.errors import InputError


def import_pyirt(paths: Sequence[Path], not_administered: Sequence[str] = ()) -> tuple[Study, ImportReport]:
    """Make a study of py-irt data: subjects are models.

    Args:
        paths: Files of JSON lines, or folders of `*.jsonlines`.
        not_administered: Responses that stand for "not administered"; null and NaN always do.

    Raises:
        InputError: A line is wrong; the message names file and line.
    """
    files = log_files(paths, ["*.jsonlines"], "data of py-irt")
    tables = [table for path in files for table in _subjects(path, not_administered)]
    return assemble_logs("pyirt", tables, None, files)


def _subjects(path: Path, sentinels: Sequence[str]) -> list[ScoreTable]:
    tables: list[ScoreTable] = []
    for line, record in numbered_records(path):
        place = f"line {line}"
        subject = field(path, record, "subject_id", place)
        responses = as_object(path, field(path, record, "responses", place), f"{place}: responses")
        log = ScoredLog(path, str(subject))
        for item_id, response in responses.items():
            log.add(item_id, line, {"response": response})
        tables.append(log.chosen((), "", sentinels))
    if not tables:
        raise InputError(f"{path}: the file is empty; check how it was written")
    return tables


def export_pyirt(study: Study, out: Path, *, force: bool = False) -> ExportReport:
    """Write the responses of a study for py-irt, one line for each model.

    Args:
        study: A study with one response for each model and item.
        out: The file of JSON lines to write.
        force: Replace a file that is there.

    Raises:
        InputError: A model answers an item more than once.
        OutputError: The file is there, or cannot be written.
    """
    responses = single_responses(study, "py-irt data")
    lines = [
        {
            "subject_id": str(model),
            "responses": dict(zip(rows["item_id"].astype(str), plain_numbers(rows), strict=True)),
        }
        for model, rows in responses.groupby("model", observed=True, sort=True)
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_file(out, text.encode(), force=force)
    return report_on_export(study, [out], kept=("model", "item_id", "score"))
