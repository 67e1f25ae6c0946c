"""JSON lines of py-irt: `{"subject_id": ..., "responses": {item: response}}`, one line for each subject."""

import json
from collections.abc import Sequence
from pathlib import Path

from capscope.data.formats.assembly import LogNotes, assemble_logs
from capscope.data.formats.format import (
    NOT_ADMINISTERED,
    Argument,
    ExportReport,
    Format,
    Head,
    ImportReport,
    Paths,
    plain_numbers,
    report_on_export,
    single_responses,
)
from capscope.data.formats.score_tables import ScoreTable
from capscope.data.formats.scored_log import (
    ScoredLog,
    as_object,
    log_files,
    records_once,
    required,
    required_name,
)
from capscope.data.study import Study
from capscope.errors import InputError
from capscope.files import write_text


def import_pyirt(paths: Paths, not_administered: Sequence[str] = ()) -> tuple[Study, ImportReport]:
    """Make a study of py-irt data: subjects are models.

    Args:
        paths: Files of JSON lines, or folders of `*.jsonlines`.
        not_administered: Responses that mean "not administered"; null and NaN always do.

    Returns:
        The study, and a report with counts.

    Raises:
        InputError: A line is wrong; the message names file and line.
    """
    files = log_files(paths, ["*.jsonlines"], "data of py-irt")
    notes = LogNotes()
    tables = [table for path in files for table in _subjects(path, not_administered, notes)]
    return assemble_logs("pyirt", tables, None, files, notes)


def _subjects(path: Path, sentinels: Sequence[str], notes: LogNotes) -> list[ScoreTable]:
    tables: list[ScoreTable] = []
    for line, record in records_once(path, notes.notes):
        place = f"line {line}"
        subject = required_name(path, record, "subject_id", place)
        responses = as_object(path, required(path, record, "responses", place), f"{place}: responses")
        log = ScoredLog(path, subject)
        for item_id, response in responses.items():
            log.add(item_id, line, {"response": response})
        tables.append(log.chosen((), "", sentinels))
    if not tables:
        raise InputError(f"{path}: the file is empty; check how it was written")
    return tables


def export_pyirt(study: Study, out: Path, force: bool = False) -> ExportReport:
    """Write the responses of a study for py-irt, one line for each model.

    Args:
        study: A study with one response for each model and item.
        out: The file of JSON lines to write.
        force: Replace an existing file.

    Returns:
        The files that were written, and the columns that they lack.

    Raises:
        InputError: A model answers an item more than once.
        OutputError: The file exists, or cannot be written.
    """
    responses = single_responses(study, "py-irt data")
    lines = [
        {
            "subject_id": str(model),
            "responses": dict(zip(rows["item_id"].astype(str), plain_numbers(rows), strict=True)),
        }
        for model, rows in responses.groupby("model", observed=True, sort=True)
    ]
    write_text(out, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), force=force)
    return report_on_export(study, [out], kept=("model", "item_id", "score"))


def _detect(head: Head) -> bool:
    return {"subject_id", "responses"} <= head.names


PYIRT = Format(
    name="pyirt",
    help="JSON lines of py-irt.",
    example="data.jsonlines",
    patterns=("*.jsonlines",),
    detect=_detect,
    read=import_pyirt,
    write=export_pyirt,
    arguments=(Argument(help="Files of JSON lines."),),
    options=(NOT_ADMINISTERED,),
)
