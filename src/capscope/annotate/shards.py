"""Shards of an annotation: items by a stable hash, a ledger each, and a share of the limits.

Each shard is a run of its own, on any machine; `merge_ledgers` unites what they paid for, and a run without a shard on
the united ledger writes all labels and asks only what is left.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from capscope.errors import InputError


@dataclass(frozen=True)
class Shard:
    """One of several parts of a set of items."""

    number: int
    """Number of the part, from 1."""
    count: int
    """Number of parts."""

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read ``i/n``.

        Raises:
            InputError: It has another form, or i is not between 1 and n.
        """
        match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise InputError(f"--shard {text}: not a shard; use i/n with i from 1 to n, such as 2/4")
        return cls(int(match[1]), int(match[2]))

    def holds(self, item_id: str) -> bool:
        """Return whether an item belongs to this part: a hash of its id decides, on every machine alike."""
        digest = sha256(item_id.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1

    def of(self, item_ids: Iterable[str]) -> frozenset[str]:
        """Return the items of this part."""
        return frozenset(filter(self.holds, item_ids))

    def ledger(self, path: Path) -> Path:
        """Return the ledger of this part, beside the one that is named: ``annotations-2-of-4.sqlite``."""
        return path.with_name(f"{path.stem}-{self.number}-of-{self.count}{path.suffix}")

    def settings(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return settings with this part's share of the limits on money and on calls in flight.

        Args:
            given: Settings by the names of `annotate`; the limits hold for all parts together.
        """
        money = {name: given[name] / self.count for name in ("max_usd", "max_usd_total") if given[name] is not None}
        return {**given, **money, "concurrency": max(1, given["concurrency"] // self.count)}
