"""Put what a format has read together: one study, checked as a whole, and the report on it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from capscope.data.formats.found_items import completed, found_items
from capscope.data.formats.report import ImportReport, provenance, report_on
from capscope.data.formats.score_tables import ScoreTable, joined_scores
from capscope.data.joining import check_study
from capscope.data.levels import Levels
from capscope.data.study import Study
from capscope.data.tables import FACETS, NOT_STATED, validate
from capscope.errors import InputError, first_few


@dataclass(frozen=True)
class Assembly:
    """The parts of a study to be."""

    format: str
    """Name of the format."""
    sources: list[Path]
    """The files read."""
    scores: Sequence[ScoreTable]
    """Tables of scores."""
    items: pd.DataFrame | None
    """A table of items."""
    items_source: str
    """What to call that table in messages."""
    levels: Levels | None
    """Demand levels."""
    other_rows: int
    """Rows read beside those of the scores."""
    notes: tuple[str, ...] = ()
    """What a reader of the numbers should know."""


def assemble(parts: Assembly) -> tuple[Study, ImportReport]:
    """Make the study and count it.

    Raises:
        InputError: Two tables contradict each other.
        JoinError: They do not talk about the same items.
    """
    study = Study.of(
        _items(parts),
        joined_scores(parts.scores) if parts.scores else None,
        parts.levels.demands if parts.levels else None,
        first_few(path.name for path in parts.sources),
        provenance(parts.format, parts.sources),
    )
    check_study(study)
    rows = parts.other_rows + sum(table.rows for table in parts.scores)
    skipped = sum(table.not_administered for table in parts.scores)
    unrated = parts.levels.unrated if parts.levels else 0
    return study, report_on(study, rows, skipped, unrated, parts.sources, parts.notes)


def assemble_logs(
    format: str,
    tables: Sequence[ScoreTable],
    items: pd.DataFrame | None,
    sources: list[Path],
    notes: Sequence[str] = (),
) -> tuple[Study, ImportReport]:
    """Make a study of the scores of several logs and the items that they describe.

    Args:
        format: Name of the format.
        tables: One table for each log; a log in which nothing was scored adds nothing.
        items: The items.
        sources: The files read.
        notes: What a reader of the numbers should know.

    Raises:
        InputError: Nothing was scored at all, or two logs answer for the same model and item.
    """
    if not any(len(table.responses) for table in tables):
        raise InputError(f"{first_few(map(str, sources))}: no record is scored; score the logs first")
    unscored = sum(table.not_administered for table in tables)
    said = (f"{unscored} records have no score; they are no responses",) if unscored else ()
    parts = Assembly(format, sources, _alike(tables), items, f"{format} items", None, 0, (*said, *notes))
    return assemble(parts)


def _alike(tables: Sequence[ScoreTable]) -> list[ScoreTable]:
    """Give all tables the same columns: a key that only some logs have is `none` in the others, single trials go."""
    keys = [key for key in FACETS if any(key in table.responses for table in tables)]
    single = all((table.responses["n_trials"] == 1).all() for table in tables)
    alike: list[ScoreTable] = []
    for table in tables:
        missing = dict.fromkeys((key for key in keys if key not in table.responses), NOT_STATED)
        responses = table.responses.assign(**missing)
        alike.append(replace(table, responses=responses.drop(columns="n_trials") if single else responses))
    return alike


def _items(parts: Assembly) -> pd.DataFrame | None:
    found = found_items([(table.source, table.described) for table in parts.scores])
    if parts.items is None:
        return found
    checked = validate(parts.items, "items", parts.items_source)
    return completed(checked, found)
