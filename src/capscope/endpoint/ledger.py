"""The ledger: every reply that was paid for, by the hash of what was asked, in one SQLite file.

Each reply is committed before the next call of its worker, in write-ahead mode, so that a killed process loses at most
the calls in flight. A key is claimed before it is asked; claims of a process that died are free again, so that two
processes on one ledger share the work instead of doubling it.
"""

import json
import os
import socket
import sqlite3
import time
import uuid
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from capscope.endpoint.messages import ChatReply, TokenChoice, Usage
from capscope.errors import InputError

SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
  key TEXT PRIMARY KEY, state TEXT NOT NULL, owner TEXT, reply TEXT, model TEXT, usd REAL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS retired (key TEXT NOT NULL, reply TEXT, model TEXT, usd REAL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS owners (
  owner TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, seen REAL NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS calls_by_owner ON calls (owner) WHERE state = 'claimed';
"""
HEARTBEAT = 5.0
"""Seconds between the signs of life of a running process."""
SILENCE = 30.0
"""Seconds without a sign of life after which a process counts as dead."""
CHUNK = 500


@dataclass(frozen=True)
class Entry:
    """What the ledger knows about one key."""

    key: str
    """Hash of what was asked."""
    state: str
    """``done``, ``failed``, ``claimed`` (in flight, here or elsewhere) or ``batched`` (in a batch under way)."""
    reply: ChatReply
    """The reply, or the last problem."""
    usd: float | None
    """What it cost, where the price is known."""


def call_key(parts: dict[str, Any]) -> str:
    """Hash what decides a reply: the same parts give the same key, in whatever order they stand."""
    return sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


class Ledger:
    """One SQLite file of replies. Use it as a context manager; several processes may open it at once."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Args:
            path: Where it lies; its folder is made too.

        Raises:
            InputError: The file is no ledger.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.owner = uuid.uuid4().hex
        self._beat_at = 0.0
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(SCHEMA)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise InputError(f"{path}: not a ledger ({error}); name another file or move this one away") from error

    def __enter__(self) -> "Ledger":
        """Return the ledger."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give claims back and close the file."""
        self._db.execute("DELETE FROM calls WHERE state = 'claimed' AND owner = ?", (self.owner,))
        self._db.execute("DELETE FROM owners WHERE owner = ?", (self.owner,))
        self._db.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """Return the open file, for tables that others keep beside the replies."""
        return self._db

    def get(self, key: str) -> Entry | None:
        """Return what is known about a key."""
        row = self._db.execute("SELECT key, state, reply, usd FROM calls WHERE key = ?", (key,)).fetchone()
        return _entry(row) if row else None

    def done(self, keys: Iterable[str]) -> Iterator[Entry]:
        """Yield the entries among these keys that hold a reply, a few hundred at a time."""
        for chunk in _chunks(keys):
            marks = ",".join("?" * len(chunk))
            query = f"SELECT key, state, reply, usd FROM calls WHERE state = 'done' AND key IN ({marks})"
            yield from map(_entry, self._db.execute(query, chunk).fetchall())

    def claim(self, key: str) -> bool:
        """Take a key for this process; False where a reply is there or a living process has it."""
        self.beat()
        with self.transaction():
            row = self._db.execute("SELECT state, owner FROM calls WHERE key = ?", (key,)).fetchone()
            if row and (row[0] in ("done", "batched") or self._held_elsewhere(*row)):
                return False
            self._db.execute(
                "INSERT INTO calls (key, state, owner, at) VALUES (?, 'claimed', ?, ?)"
                " ON CONFLICT (key) DO UPDATE SET state = 'claimed', owner = excluded.owner, at = excluded.at",
                (key, self.owner, time.time()),
            )
        return True

    def release(self, key: str) -> None:
        """Give a claim of this process back."""
        self._db.execute("DELETE FROM calls WHERE key = ? AND state = 'claimed' AND owner = ?", (key, self.owner))

    def put(self, key: str, reply: ChatReply, model: str, usd: float | None) -> None:
        """Store a reply, or the problem that stood in its way; a reply that is there already stays."""
        state = "failed" if reply.problem else "done"
        self._db.execute(
            "INSERT INTO calls (key, state, owner, reply, model, usd, at) VALUES (?, ?, NULL, ?, ?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET state = excluded.state, owner = NULL, reply = excluded.reply,"
            " model = excluded.model, usd = excluded.usd, at = excluded.at WHERE calls.state != 'done'",
            (key, state, json.dumps(asdict(reply), ensure_ascii=False), model, usd, time.time()),
        )

    def retire(self, key: str) -> None:
        """Set a reply aside, text and cost kept, so that its question can be asked again."""
        with self.transaction():
            held = "FROM calls WHERE key = ? AND state = 'done'"
            self._db.execute(f"INSERT INTO retired SELECT key, reply, model, usd, at {held}", (key,))
            self._db.execute("DELETE FROM calls WHERE key = ? AND state = 'done'", (key,))

    def spent(self) -> float:
        """Return what all replies cost, replies set aside included, as far as prices were known."""
        query = "SELECT COALESCE(SUM(usd), 0) FROM (SELECT usd FROM calls UNION ALL SELECT usd FROM retired)"
        return float(self._db.execute(query).fetchone()[0])

    def fact(self, name: str) -> dict[str, Any] | None:
        """Return something that was found out once."""
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def record_fact(self, name: str, value: dict[str, Any]) -> None:
        """Keep something that was found out."""
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))

    def beat(self) -> None:
        """Give a sign of life, at most every few seconds."""
        now = time.time()
        if now - self._beat_at < HEARTBEAT:
            return
        self._beat_at = now
        self._db.execute(
            "INSERT OR REPLACE INTO owners VALUES (?, ?, ?, ?)", (self.owner, socket.gethostname(), os.getpid(), now)
        )

    def _held_elsewhere(self, state: str, owner: str | None) -> bool:
        return state == "claimed" and owner is not None and owner != self.owner and self._alive(owner)

    def _alive(self, owner: str) -> bool:
        row = self._db.execute("SELECT host, pid, seen FROM owners WHERE owner = ?", (owner,)).fetchone()
        if row is None or time.time() - row[2] > SILENCE:
            return False
        return row[0] != socket.gethostname() or _process_exists(row[1])

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Do several things in one step, or none of them."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def answered_keys(path: Path) -> frozenset[str]:
    """Return the keys that a ledger can answer, without writing to it; none where there is no such file."""
    if not path.is_file():
        return frozenset()
    db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=60)
    try:
        return frozenset(key for (key,) in db.execute("SELECT key FROM calls WHERE state = 'done'"))
    except sqlite3.DatabaseError as error:
        raise InputError(f"{path}: not a ledger ({error}); name another file") from error
    finally:
        db.close()


def _entry(row: tuple[str, str, str | None, float | None]) -> Entry:
    key, state, reply, usd = row
    return Entry(key, state, _reply(json.loads(reply)) if reply else ChatReply(problem="in flight"), usd)


def _reply(found: dict[str, Any]) -> ChatReply:
    tail = tuple(
        TokenChoice(choice["token"], tuple((token, logprob) for token, logprob in choice["alternatives"]))
        for choice in found["tail"]
    )
    plain: dict[str, Any] = {**found, "usage": Usage(**found["usage"]), "tail": tail}
    return ChatReply(**plain)


def _chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for key in keys:
        chunk.append(key)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
