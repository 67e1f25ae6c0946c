"""The family of file formats: tables and logs of other tools as studies, and studies as their tables.

A format is one module that defines a `Format`, and one line in `FAMILY`; the command line, `import_logs` and the
table in the README come from there.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from capscope.data.formats.adele import import_adele
from capscope.data.formats.deepeval import import_deepeval
from capscope.data.formats.every_eval_ever import import_every_eval_ever
from capscope.data.formats.every_eval_ever_writing import dataset_card, export_every_eval_ever
from capscope.data.formats.format import ExportReport, Format, ImportReport, Paths
from capscope.data.formats.helm import import_helm
from capscope.data.formats.inspect_draws import LoggedBattery, LoggedDraws, battery_of_draws, pool_runs, read_draws
from capscope.data.formats.inspect_logs import import_inspect
from capscope.data.formats.inspect_transcripts import Transcript, TranscriptStep, read_transcripts
from capscope.data.formats.irw import export_irw, import_irw
from capscope.data.formats.level_tables import import_levels
from capscope.data.formats.lm_eval import BATTERY_GROUP, import_lm_eval
from capscope.data.formats.merging import Merged, merge_studies, read_parts, read_renames
from capscope.data.formats.openai_batch import BatchNames, import_openai_batch
from capscope.data.formats.openai_evals import import_openai_evals
from capscope.data.formats.promptfoo import import_promptfoo
from capscope.data.formats.pyirt import export_pyirt, import_pyirt
from capscope.data.formats.reading_formats import (
    Recognised,
    detect_format,
    export_study,
    read_format,
    recognise,
    with_keywords,
)
from capscope.data.formats.recognised_reading import Imported, read_recognised
from capscope.data.formats.score_tables import Columns
from capscope.data.formats.tidy import ExtraTables, export_tidy, import_tidy
from capscope.data.formats.torch_measure import export_torch_measure, import_torch_measure
from capscope.data.reading import read_table
from capscope.data.study import Study
from capscope.data.tables import ArrowTable, as_frame
from capscope.errors import InputError
from capscope.files import kind_of
from capscope.members import family

FAMILY = (
    "tidy:TIDY",
    "adele:ADELE",
    "inspect_logs:INSPECT",
    "lm_eval:LM_EVAL",
    "helm:HELM",
    "every_eval_ever:EVERY_EVAL_EVER",
    "promptfoo:PROMPTFOO",
    "deepeval:DEEPEVAL",
    "openai_evals:OPENAI_EVALS",
    "openai_batch:OPENAI_BATCH",
    "human_difficulty:HUMAN_DIFFICULTY",
    "level_tables:LEVELS",
    "pyirt:PYIRT",
    "irw:IRW",
    "torch_measure:TORCH_MEASURE",
)
"""The members, as ``module:entry``, in the order in which they are tried and listed."""

FORMATS: dict[str, Format] = family(__name__, FAMILY, Format)
"""The formats by name."""


def import_logs(paths: Paths, format: str | None = None, options: Mapping[str, Any] | None = None) -> Study:
    """Make a study of logs or tables of another tool.

    Args:
        paths: A file or folder, or several.
        format: Name of the format (see `FORMATS`). By default the formats are recognised by the files, and what is
            left open is chosen: the usual metric or scorer of a task, and of several runs the latest. Files of several
            formats become one study.
        options: Options of the format by their keywords, such as ``{"metrics": ["acc"]}``.

    Returns:
        The study; remarks on the data are in ``study.sources["notes"]``.

    Raises:
        InputError: The format is not recognised, or a file is wrong.

    Example:
        >>> study = import_logs("results", "lm-eval", {"metrics": ["acc"]})  # doctest: +SKIP
    """
    try:
        if format is None:
            return read_recognised(FORMATS, paths, options or {}).study
        return read_format(FORMATS, format, paths, options or {})[0]
    except InputError as error:
        raise type(error)(with_keywords(FORMATS, str(error))) from error


def read_answers(source: Study | pd.DataFrame | ArrowTable | Path | str) -> Study:
    """Return answers from a study, a table or logs as a study.

    Args:
        source: A study or its folder; a table with columns model, item_id, score, or its file; or logs of another tool
            (a file or a folder), which are read as `import_logs` reads them.

    Raises:
        InputError: The path or the table holds no answers.
    """
    if isinstance(source, Study):
        return source
    frame = as_frame(source)
    if isinstance(frame, pd.DataFrame):
        return Study.of(responses=frame, name="answers")
    path = Path(str(frame))
    if path.is_dir():
        return import_logs(path) if kind_of(path) == "folder" else Study.load(path)
    return import_logs(path) if _is_log(path) else Study.of(responses=read_table(path), name=str(path))


def _is_log(path: Path) -> bool:
    """Return whether a file is recognised as a log, and not only as a table."""
    try:
        return not FORMATS[recognise(FORMATS, path).format].generic
    except InputError:
        return False


__all__ = [
    "BATTERY_GROUP",
    "FORMATS",
    "BatchNames",
    "Columns",
    "ExportReport",
    "ExtraTables",
    "Format",
    "ImportReport",
    "LoggedBattery",
    "LoggedDraws",
    "Imported",
    "Merged",
    "Paths",
    "Recognised",
    "Transcript",
    "TranscriptStep",
    "dataset_card",
    "detect_format",
    "export_every_eval_ever",
    "export_irw",
    "export_pyirt",
    "export_study",
    "export_tidy",
    "export_torch_measure",
    "import_adele",
    "import_deepeval",
    "import_every_eval_ever",
    "import_helm",
    "import_inspect",
    "import_irw",
    "import_levels",
    "import_lm_eval",
    "import_logs",
    "import_openai_batch",
    "import_openai_evals",
    "import_promptfoo",
    "import_pyirt",
    "import_tidy",
    "import_torch_measure",
    "merge_studies",
    "read_answers",
    "pool_runs",
    "read_draws",
    "battery_of_draws",
    "read_format",
    "read_recognised",
    "read_parts",
    "read_renames",
    "read_transcripts",
    "recognise",
    "with_keywords",
]
