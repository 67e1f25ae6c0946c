"""Items as logs describe them in passing: one entry for each, refused when two logs mean different things by one id."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from capscope.errors import InputError


@dataclass(frozen=True)
class LoggedItem:
    """What a log says about an item."""

    task: str
    """Its task."""
    benchmark: str | None = None
    """The benchmark that the task belongs to; None where the log does not say."""
    text: str | None = None
    """The question."""
    target: str | None = None
    """The right answer."""
    n_options: int | None = None
    """Number of options; None for an open question."""
    digest: str | None = None
    """A hash of the item's content that the log's tool has made; by default the text tells items apart."""


class ItemBook:
    """The items of all logs read so far."""

    def __init__(self) -> None:
        self._items: dict[str, LoggedItem] = {}
        self._seen: dict[str, str] = {}

    def describe(self, item_id: str, item: LoggedItem, path: Path, place: str) -> None:
        """Add an item, or check that it is the one already known by this id.

        Raises:
            InputError: Another item has this id; the message names both places.
        """
        known = self._items.get(item_id)
        if known is None:
            self._items[item_id] = item
            self._seen[item_id] = f"{path}"
            return
        if known == item:
            return
        if _differ(known, item):
            raise InputError(
                f"{path}: {place}: item '{item_id}' is not the one of {self._seen[item_id]} (its content differs);"
                " import only logs of the same version of the task"
            )
        self._items[item_id] = _merged(known, item)

    def knows(self, item_id: str, digest: object, benchmark: str | None) -> bool:
        """Return whether describing the item again would say nothing new: same hash, no new benchmark."""
        known = self._items.get(item_id)
        if known is None or known.digest is None or known.digest != digest:
            return False
        return benchmark is None or known.benchmark == benchmark

    def table(self) -> pd.DataFrame | None:
        """Return the items as a table of a study; columns that no log fills are left out."""
        if not self._items:
            return None
        items = self._items.values()
        table = pd.DataFrame(
            {
                "item_id": list(self._items),
                "benchmark": [item.benchmark or item.task for item in items],
                "task": [item.task for item in items],
                "text": pd.Series([item.text for item in items], dtype=object),
                "target": pd.Series([item.target for item in items], dtype=object),
                "n_options": [item.n_options for item in items],
            }
        )
        optional = ("text", "target", "n_options")
        return table.drop(columns=[name for name in optional if table[name].isna().all()])


def _differ(known: LoggedItem, item: LoggedItem) -> bool:
    if known.digest is not None and item.digest is not None:
        return known.digest != item.digest
    return known.text is not None and item.text is not None and known.text != item.text


def _merged(known: LoggedItem, item: LoggedItem) -> LoggedItem:
    """Fill in what the first log left open."""
    return replace(
        known,
        benchmark=known.benchmark or item.benchmark,
        text=known.text if known.text is not None else item.text,
        target=known.target if known.target is not None else item.target,
        n_options=known.n_options if known.n_options is not None else item.n_options,
        digest=known.digest or item.digest,
    )
