"""Records of batches: their request files, states and questions.

They are in the ledger's file, so that a question and its batch change in one transaction.
"""

import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from capscope.endpoint.ledger import Ledger

BATCH_TABLES = """
CREATE TABLE IF NOT EXISTS batches (
  local_id TEXT PRIMARY KEY, path TEXT NOT NULL, file_id TEXT, batch_id TEXT, state TEXT NOT NULL,
  requests INTEGER NOT NULL, model TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS batch_rows (custom_id TEXT PRIMARY KEY, key TEXT NOT NULL, local_id TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS rows_by_batch ON batch_rows (local_id);
"""
ID_LENGTH = 32
"""Length of a custom id in hex digits; some endpoints take no more than 64 characters."""


@dataclass(frozen=True)
class Batch:
    """One file of requests."""

    local_id: str
    """Our own id, which the batch carries as metadata."""
    path: str
    """The JSONL file."""
    file_id: str | None
    """The endpoint's id of the uploaded file."""
    batch_id: str | None
    """The endpoint's id of the batch."""
    state: str
    """``written``, ``uploaded``, ``submitted`` or ``collected``."""
    requests: int
    """Number of requests in it."""
    model: str
    """The model asked."""


class BatchBook:
    """The batches of one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        """Open the book in the ledger's file."""
        self.ledger = ledger
        self._db = ledger.connection
        self._db.executescript(BATCH_TABLES)

    @staticmethod
    def custom_id(key: str) -> str:
        """Return the short id of a question within a batch."""
        return key[:ID_LENGTH]

    def new_id(self) -> str:
        """Return an id for a batch that is about to be written."""
        return uuid.uuid4().hex[:16]

    def wanted(self, key: str) -> bool:
        """Return whether a question has neither a reply nor a place in a batch under way."""
        entry = self.ledger.get(key)
        return entry is None or entry.state == "failed"

    def record(self, batch: Batch, keys: Mapping[str, float | None]) -> None:
        """Note a written file and every question in it, with the sum set aside for it, in one step.

        Args:
            batch: The batch, whose file of requests is written.
            keys: Dollars set aside for each question, by its key; None where the price is not known.
        """
        with self.ledger.transaction():
            self._db.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (batch.local_id, batch.path, None, None, batch.state, batch.requests, batch.model, time.time()),
            )
            for key, usd in keys.items():
                # What earlier attempts cost stays spent, whatever the batch costs.
                spent = "SELECT key, NULL, model, usd, at FROM calls WHERE key = ? AND usd IS NOT NULL"
                self._db.execute(f"INSERT INTO retired {spent}", (key,))
                numbered = (self.custom_id(key), key, batch.local_id)
                self._db.execute("INSERT OR REPLACE INTO batch_rows VALUES (?, ?, ?)", numbered)
                self._db.execute(
                    "INSERT INTO calls (key, state, usd, at) VALUES (?, 'batched', ?, ?) ON CONFLICT (key) DO UPDATE"
                    " SET state = 'batched', owner = NULL, usd = excluded.usd, at = excluded.at"
                    " WHERE calls.state != 'done'",
                    (key, usd, time.time()),
                )

    def note(self, batch: Batch, state: str, file_id: str | None = None, batch_id: str | None = None) -> None:
        """Record the state of a batch.

        Args:
            batch: The batch.
            state: Its new state.
            file_id: The endpoint's id of the file; None leaves it unchanged.
            batch_id: The endpoint's id of the batch; None leaves it unchanged.
        """
        self._db.execute(
            "UPDATE batches SET state = ?, file_id = COALESCE(?, file_id), batch_id = COALESCE(?, batch_id)"
            " WHERE local_id = ?",
            (state, file_id, batch_id, batch.local_id),
        )

    def batches(self, *states: str) -> list[Batch]:
        """Return the batches in these states, oldest first; all without any."""
        query = "SELECT local_id, path, file_id, batch_id, state, requests, model FROM batches"
        batches = (Batch(*row) for row in self._db.execute(f"{query} ORDER BY at"))
        return [batch for batch in batches if not states or batch.state in states]

    def keys(self, batch: Batch) -> dict[str, str]:
        """Return the keys of a batch's questions by custom id."""
        return dict(self._db.execute("SELECT custom_id, key FROM batch_rows WHERE local_id = ?", (batch.local_id,)))

    def free(self, keys: Iterable[str]) -> int:
        """Let questions that were not sent go out again, and count them."""
        freed = 0
        with self.ledger.transaction():
            for key in keys:
                freed += self._db.execute("DELETE FROM calls WHERE key = ? AND state = 'batched'", (key,)).rowcount
        return freed
