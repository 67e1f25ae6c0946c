"""The account of a ledger: what all processes on it have spent or set aside, so that one limit holds for all."""

import asyncio
import time
from contextlib import suppress

from capscope.endpoint.ledger import Ledger, LedgerBusy
from capscope.errors import OutputError

LOOK_AGAIN = 0.1
"""Seconds between looks at what other processes have set aside."""
ACCOUNT_TABLE = "CREATE TABLE IF NOT EXISTS set_aside (owner TEXT PRIMARY KEY, usd REAL NOT NULL);"

IN_FLIGHT = "calls in flight when their process ended"
"""Name of the row that keeps what a process had set aside when it ended."""

ROUNDING = 1e-9


class Account:
    """The share of one process in a limit that several processes keep.

    Each process keeps in the ledger what it has set aside: its calls in flight at their largest price, and what calls
    cost that are not stored yet. What a process that was killed had set aside stays spent, since its calls were sent.
    """

    def __init__(self, ledger: Ledger, limit: float) -> None:
        """Open the account in the ledger's file.

        Args:
            ledger: The ledger of all processes that share the limit.
            limit: US dollars that all runs on it may spend together.
        """
        self._ledger, self._limit = ledger, limit
        ledger.execute(ACCOUNT_TABLE)
        self._in_flight, self._settled, self._stored = 0.0, 0.0, ledger.stored_usd
        ledger.at_exit(self.close)

    @property
    def set_aside(self) -> float:
        """Return what this process has set aside, in US dollars."""
        unstored = self._settled - (self._ledger.stored_usd - self._stored)
        return max(self._in_flight + unstored, 0.0)

    def reserve(self, usd: float) -> bool | None:
        """Set money aside for one call.

        Args:
            usd: Largest price of the call.

        Returns:
            Whether the call may go out; None where calls in flight, here or in another process, stand in its way.

        Raises:
            LedgerBusy: Another program holds the file at this moment.
        """
        self._ledger.beat()
        with self._ledger.transaction():
            others = self._others()
            left = self._limit - self._ledger.spent() - usd + 1e-12
            if left < others + self.set_aside:
                return None if others + self.set_aside > ROUNDING and left >= 0 else False
            self._write(self.set_aside + usd)
        self._in_flight += usd
        return True

    async def granted(self, usd: float) -> bool:
        """Set money aside; wait while only calls in flight, here or elsewhere, stand in the way.

        Args:
            usd: Largest price of the call.
        """
        while True:
            with suppress(LedgerBusy):
                granted = self.reserve(usd)
                if granted is not None:
                    return granted
            await asyncio.sleep(LOOK_AGAIN)

    def settle(self, reserved: float, usd: float) -> None:
        """Count what a call cost in place of what was set aside for it."""
        self._in_flight = max(self._in_flight - reserved, 0.0)
        self._settled += usd
        self.update()

    def update(self) -> None:
        """Write what is set aside now; on a ledger that is held the next step writes it, and too much stands there."""
        with suppress(OutputError):
            self._write(self.set_aside)

    def close(self) -> None:
        """Close the account; what is set aside still stays spent."""
        self._write(self.set_aside)
        self._retire(self._ledger.owner)

    def _others(self) -> float:
        """Return what living processes have set aside; what others had is spent from now on."""
        total = 0.0
        for owner, usd in self._ledger.execute("SELECT owner, usd FROM set_aside"):
            if owner == self._ledger.owner:
                continue
            if self._ledger.is_alive(owner):
                total += usd
            else:
                self._retire(owner)
        return total

    def _retire(self, owner: str) -> None:
        kept = "INSERT INTO retired SELECT ?, NULL, '', usd, ? FROM set_aside WHERE owner = ? AND usd > ?"
        self._ledger.execute(kept, IN_FLIGHT, time.time(), owner, ROUNDING)
        self._ledger.execute("DELETE FROM set_aside WHERE owner = ?", owner)

    def _write(self, usd: float) -> None:
        shown = usd if usd > ROUNDING else 0.0
        self._ledger.execute("INSERT OR REPLACE INTO set_aside VALUES (?, ?)", self._ledger.owner, shown)
