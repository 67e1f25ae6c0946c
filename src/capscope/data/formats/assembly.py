"""Put what a format has read together: one study, checked as a whole, and the report on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from capscope.data.formats.found_items import completed, found_items
from capscope.data.formats.report import ImportReport, provenance, report_on
from capscope.data.formats.score_tables import ScoreTable, joined_scores
from capscope.data.joining import check_study
from capscope.data.levels import Levels
from capscope.data.study import Study
from capscope.data.tables import validate


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
        ", ".join(path.name for path in parts.sources),
        provenance(parts.format, parts.sources),
    )
    check_study(study)
    rows = parts.other_rows + sum(table.rows for table in parts.scores)
    skipped = sum(table.not_administered for table in parts.scores)
    return study, report_on(study, rows, skipped, parts.levels.unrated if parts.levels else 0, parts.sources)


def _items(parts: Assembly) -> pd.DataFrame | None:
    found = found_items([(table.source, table.described) for table in parts.scores])
    if parts.items is None:
        return found
    checked = validate(parts.items, "items", parts.items_source)
    return completed(checked, found)
