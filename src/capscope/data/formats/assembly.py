"""Assembly of the tables that a format has read into a checked study, with a report."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.axes import FACETS
from capscope.data.formats.described_items import completed, items_of_tables
from capscope.data.formats.format import ImportReport
from capscope.data.formats.score_tables import Runs, ScoreTable, joined_scores
from capscope.data.joining import names_alike, odd_confidences, refuse_poor_joins
from capscope.data.levels import Levels
from capscope.data.study import Study
from capscope.data.tables import NOT_STATED, validate
from capscope.errors import InputError, counted, first_few
from capscope.files import sha256_of


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Tables that become a study."""

    format: str
    """Name of the format."""
    sources: Sequence[Path]
    """The files read."""
    scores: Sequence[ScoreTable] = ()
    """Tables of scores."""
    items: pd.DataFrame | None = None
    """A table of items."""
    items_source: str = ""
    """Name of that table for messages."""
    levels: Levels | None = None
    """Demand levels."""
    other_rows: int = 0
    """Rows read beside those of the scores."""
    notes: Sequence[str] = ()
    """Remarks on the data."""
    runs: Runs | None = None
    """What to do where several runs answer for the same model and item; None where the scores are no runs."""


def assemble(parts: Parts) -> tuple[Study, ImportReport]:
    """Make the study and count it.

    Raises:
        InputError: Two tables contradict each other.
        JoinError: The tables are about different items.
    """
    notes = [*parts.notes, *(note for table in parts.scores for note in table.notes)]
    responses = None
    if parts.scores:
        responses, joined = joined_scores(parts.scores, parts.runs)
        notes += joined
    study = Study.of(
        _items(parts),
        responses,
        parts.levels.demands if parts.levels else None,
        first_few(dict.fromkeys(path.name for path in parts.sources)),
        provenance(parts.format, parts.sources),
    )
    refuse_poor_joins(study)
    notes += [*odd_confidences(study), *names_alike(study)]
    rows = parts.other_rows + sum(table.rows for table in parts.scores)
    return study, _report(study, parts, rows, tuple(dict.fromkeys(notes)))


def _items(parts: Parts) -> pd.DataFrame | None:
    described = items_of_tables([(table.source, table.described) for table in parts.scores])
    if parts.items is None:
        return described
    return completed(validate(parts.items, "items", parts.items_source), described)


def _report(study: Study, parts: Parts, rows: int, notes: tuple[str, ...]) -> ImportReport:
    responses, items = study.responses, study.items
    described, answered = (_ids(frame) if frame is not None else set[str]() for frame in (items, responses))
    return ImportReport(
        rows,
        0 if responses is None else len(responses),
        0 if responses is None else responses["model"].nunique(),
        len(described | answered),
        0 if study.demands is None else len(study.demands),
        sum(table.not_administered for table in parts.scores),
        parts.levels.unrated if parts.levels else 0,
        tuple(path.name for path in parts.sources),
        notes,
    )


def _ids(frame: pd.DataFrame) -> set[str]:
    return set(np.asarray(frame["item_id"].cat.categories, dtype=object).tolist())


def provenance(name: str, sources: Sequence[Path]) -> dict[str, Any]:
    """Return for `study.json` the format and the files of an import, with their hashes.

    Args:
        name: Name of the format.
        sources: The files that were read.
    """
    return {"format": name, "files": [{"name": path.name, "sha256": sha256_of(path)} for path in sources]}


@dataclass
class LogNotes:
    """Remarks on logs, collected while they are read."""

    notes: list[str] = field(default_factory=list[str])
    """One sentence each."""
    unscored: list[str] = field(default_factory=list[str])
    """Reasons for missing scores, such as an endpoint error; shown where all scores are missing."""
    advice: str = "run them again"
    """Remedy where all scores are missing for these reasons."""


def assemble_logs(
    format: str,
    tables: Sequence[ScoreTable],
    items: pd.DataFrame | None,
    sources: Sequence[Path],
    notes: LogNotes | None = None,
    runs: Runs = "error",
) -> tuple[Study, ImportReport]:
    """Make a study of the scores of several logs and the items that they describe.

    Args:
        format: Name of the format.
        tables: One table for each log; a log in which nothing was scored adds nothing.
        items: The items.
        sources: The files read.
        notes: Remarks on the logs.
        runs: What to do where several logs answer for the same model and item.

    Raises:
        InputError: Nothing was scored at all, or two logs answer for the same model and item.
    """
    notes = notes or LogNotes()
    if not any(len(table.responses) for table in tables):
        why = f" ({'; '.join(notes.unscored[:3])})" if notes.unscored else ""
        advice = notes.advice if notes.unscored else "score the logs first"
        raise InputError(f"{first_few(map(str, sources))}: no record is scored{why}; {advice}")
    unscored = sum(table.not_administered for table in tables)
    first = [f"{counted(unscored, 'record', 'have')} no score; they are no responses"] if unscored else []
    return assemble(
        Parts(
            format=format,
            sources=sources,
            scores=_with_the_same_columns(tables),
            items=items,
            items_source=f"{format} items",
            notes=[*first, *notes.unscored, *notes.notes],
            runs=runs,
        )
    )


def _with_the_same_columns(tables: Sequence[ScoreTable]) -> list[ScoreTable]:
    """Give all tables the same columns: a facet that only some logs have is `none` in the others, single trials go."""
    facets = [facet for facet in FACETS if any(facet in table.responses for table in tables)]
    single = all((table.responses["n_trials"] == 1).all() for table in tables)
    alike: list[ScoreTable] = []
    for table in tables:
        missing = dict.fromkeys((facet for facet in facets if facet not in table.responses), NOT_STATED)
        responses = table.responses.assign(**missing)
        alike.append(replace(table, responses=responses.drop(columns="n_trials") if single else responses))
    return alike
