"""Account of a ledger: money spent or reserved by all its processes, so that they share one limit."""

import asyncio
import time
from contextlib import suppress

from capscope.endpoint.ledger import Ledger, LedgerBusy
from capscope.errors import OutputError

POLL_SECONDS = 0.1
"""Seconds between checks of the reservations of other processes."""
ACCOUNT_TABLE = "CREATE TABLE IF NOT EXISTS set_aside (owner TEXT PRIMARY KEY, usd REAL NOT NULL);"
IN_FLIGHT_TABLE = "CREATE TABLE IF NOT EXISTS in_flight (owner TEXT PRIMARY KEY, usd REAL NOT NULL);"
"""The part of `set_aside` that calls in flight hold; all of it where an older version left this table out."""

IN_FLIGHT = "calls in flight when their process ended"
"""Name of the row that keeps what a process had set aside when it ended."""

ROUNDING = 1e-9


class Account:
    """The share of one process in a limit that several processes keep.

    Each process records its reservations in the ledger: the largest prices of its calls in flight, and costs that are
    not stored yet. Reservations of a killed process count as spent, since its calls were sent.
    """

    def __init__(self, ledger: Ledger, limit: float) -> None:
        """Open the account in the ledger's file.

        Args:
            ledger: The ledger of all processes that share the limit.
            limit: US dollars that all runs on it may spend together.
        """
        self._ledger, self._limit = ledger, limit
        ledger.execute(ACCOUNT_TABLE)
        ledger.execute(IN_FLIGHT_TABLE)
        self._in_flight, self._settled, self._stored = 0.0, 0.0, ledger.stored_usd
        ledger.at_exit(self.close)

    @property
    def set_aside(self) -> float:
        """Return the reservations of this process, in US dollars."""
        unstored = self._settled - (self._ledger.stored_usd - self._stored)
        return max(self._in_flight + unstored, 0.0)

    def reserve(self, usd: float) -> bool | None:
        """Set money aside for one call.

        Args:
            usd: Largest price of the call.

        Returns:
            Whether the call is within the limit; None if that depends on calls in flight, here or in another process.

        Raises:
            LedgerBusy: Another program holds the file at this moment.
        """
        self._ledger.beat()
        with self._ledger.transaction():
            others, all_in_flight = self._others()
            left = self._limit - self._ledger.spent() - usd + 1e-12 - others - self.set_aside
            if left < 0:
                # costs that are not stored yet are spent; only calls in flight can turn out cheaper
                all_in_flight += self._in_flight
                return None if all_in_flight > ROUNDING and left + all_in_flight >= 0 else False
            self._write(self.set_aside + usd, self._in_flight + usd)
        self._in_flight += usd
        return True

    async def granted(self, usd: float) -> bool:
        """Reserve money for one call; wait while the answer depends on calls in flight, here or elsewhere.

        Args:
            usd: Largest price of the call.
        """
        refused = False
        while True:
            with suppress(LedgerBusy):
                granted = self.reserve(usd)
                if granted or (granted is False and (refused or self._others()[0] <= ROUNDING)):
                    return granted
                # another process stores a cost before it reduces its reservation: in between it counts twice
                refused = granted is False
            await asyncio.sleep(POLL_SECONDS)

    def settle(self, reserved: float, usd: float) -> None:
        """Replace the reservation of a call by its cost.

        Args:
            reserved: Dollars set aside for the call.
            usd: Dollars that it cost.
        """
        self._in_flight = max(self._in_flight - reserved, 0.0)
        self._settled += usd
        self.update()

    def update(self) -> None:
        """Write the reservations; on a locked ledger the next step writes them, and until then they are too high."""
        with suppress(OutputError):
            self._write(self.set_aside, self._in_flight)

    def close(self) -> None:
        """Close the account; remaining reservations count as spent."""
        self._write(self.set_aside, self._in_flight)
        self._retire(self._ledger.owner)

    def _others(self) -> tuple[float, float]:
        """Return the reservations of living processes, and the part of them for calls in flight."""
        total = all_in_flight = 0.0
        rows = "SELECT owner, s.usd, COALESCE(f.usd, s.usd) FROM set_aside s LEFT JOIN in_flight f USING (owner)"
        for owner, usd, in_flight in self._ledger.execute(rows):
            if owner == self._ledger.owner:
                continue
            if self._ledger.is_alive(owner):
                total, all_in_flight = total + usd, all_in_flight + in_flight
            else:
                self._retire(owner)
        return total, all_in_flight

    def _retire(self, owner: str) -> None:
        kept = "INSERT INTO retired SELECT ?, NULL, '', usd, ? FROM set_aside WHERE owner = ? AND usd > ?"
        self._ledger.execute(kept, IN_FLIGHT, time.time(), owner, ROUNDING)
        self._ledger.execute("DELETE FROM set_aside WHERE owner = ?", owner)
        self._ledger.execute("DELETE FROM in_flight WHERE owner = ?", owner)

    def _write(self, usd: float, in_flight: float) -> None:
        for table, value in (("in_flight", in_flight), ("set_aside", usd)):
            shown = value if value > ROUNDING else 0.0
            self._ledger.execute(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", self._ledger.owner, shown)
