"""The ledger: an SQLite file of all replies, by the hash of their question.

Each reply is committed before the next call of its worker, in write-ahead mode, so that a killed process loses at most
the calls in flight. A key is claimed before its question is asked, and claims of an ended process are released, so that
processes on one ledger share the work. Files of other versions can be read: unknown fields are ignored, missing ones
have defaults.
"""

import json
import os
import shutil
import socket
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from capscope.atomic import is_running
from capscope.endpoint.answer_body import clean, read_json
from capscope.endpoint.completion import read_stored_reply
from capscope.endpoint.messages import ChatReply
from capscope.errors import InputError, OutputError, counted
from capscope.files import locked, refuse_unwritable

VERSION = 1
"""Version of the file's tables, kept as SQLite's `user_version`; files of version 0 have the same tables."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
  key TEXT PRIMARY KEY, state TEXT NOT NULL, owner TEXT, reply TEXT, model TEXT, usd REAL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS retired (key TEXT NOT NULL, reply TEXT, model TEXT, usd REAL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS owners (
  owner TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, seen REAL NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS calls_by_owner ON calls (owner) WHERE state = 'claimed';
"""
COLUMNS = {"key", "state", "owner", "reply", "model", "usd", "at"}
HEARTBEAT = 5.0
"""Seconds between heartbeats of a running process."""
SILENCE = 30.0
"""Seconds without a heartbeat after which a process counts as ended."""
LOCK_SECONDS = 600.0
"""Longest wait for a file that another program has locked, in seconds."""
CHUNK = 500


class LedgerBusy(OutputError):  # noqa: N818 - a state that passes
    """Another program has locked the file."""


@dataclass(frozen=True)
class Entry:
    """Entry of the ledger for one key."""

    key: str
    """Hash of what was asked."""
    state: str
    """``done``, ``failed``, ``claimed`` (in flight, here or elsewhere) or ``batched`` (in a batch under way)."""
    reply: ChatReply
    """The reply, or the last problem."""
    usd: float | None
    """What it cost, where the price is known."""


class Ledger:
    """One SQLite file of replies. Use it as a context manager; several processes may open it at once."""

    def __init__(self, path: Path | str, *, wait: float = LOCK_SECONDS) -> None:
        """Open the file, or make it.

        Args:
            path: The file; its folder is made too.
            wait: Seconds to wait for another program that holds the file.

        Raises:
            InputError: The file is no ledger, or one of a newer version.
            OutputError: The file cannot be written.
        """
        self.path = Path(path)
        self.owner = uuid.uuid4().hex
        self._beat_at = 0.0
        self.stored_usd = 0.0
        self._last_steps: list[Callable[[], None]] = []
        refuse_place(self.path)
        with _reported(self.path):
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"{self.path}: cannot be written ({error.strerror}); name another --ledger") from None
            self._db = sqlite3.connect(self.path, timeout=wait, isolation_level=None)
            self._db.text_factory = lambda raw: raw.decode("utf-8", "replace")  # invalid text loses no reply
        try:
            # Two processes that make one new file at the same moment take turns.
            with locked(self.path), _reported(self.path, self._db):
                self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        """Make the tables, or check those that are there."""
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise InputError(
                f"{self.path}: a ledger of version {version}, made by a newer capscope; update capscope to use it"
            )
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        columns = {row[1] for row in self._db.execute("PRAGMA table_info(calls)")}
        if tables and not columns >= COLUMNS:
            raise InputError(f"{self.path}: another database and not a ledger; name another --ledger")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        if version < VERSION:
            self._db.executescript(f"{SCHEMA}\nPRAGMA user_version = {VERSION};")

    def __enter__(self) -> "Ledger":
        """Return the ledger."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give claims back and close the file."""
        # On a full disk nothing can be given back; the claims of an ended process are free anyway.
        with suppress(sqlite3.Error):
            self._db.execute("PRAGMA busy_timeout = 2000")
            for step in self._last_steps:
                step()
            self._unclaim("owner = ?", self.owner)
            self._db.execute("DELETE FROM owners WHERE owner = ?", (self.owner,))
        self._db.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """Return the open file, for tables that others keep beside the replies."""
        return self._db

    def at_exit(self, step: Callable[[], None]) -> None:
        """Take a last step before the file is closed."""
        self._last_steps.append(step)

    def wait_at_most(self, seconds: float) -> None:
        """Set how long one step waits for another program before it raises `LedgerBusy`."""
        self._db.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

    def get(self, key: str) -> Entry | None:
        """Return the entry of a key; None without one."""
        row = self._first("SELECT key, state, reply, usd FROM calls WHERE key = ?", key)
        return _entry(row) if row else None

    def done(self, keys: Iterable[str]) -> Iterator[Entry]:
        """Yield the entries among these keys that hold a reply, a few hundred at a time."""
        rest = iter(keys)
        while chunk := tuple(islice(rest, CHUNK)):
            marks = ",".join("?" * len(chunk))
            query = f"SELECT key, state, reply, usd FROM calls WHERE state = 'done' AND key IN ({marks})"
            yield from map(_entry, self.execute(query, *chunk))

    def count(self) -> int:
        """Count the replies."""
        return int(self.execute("SELECT COUNT(*) FROM calls WHERE state = 'done'")[0][0])

    def claim(self, key: str) -> bool:
        """Claim a key for this process; False where it has a reply or is claimed by a living process."""
        self.beat()
        with self.transaction():
            row = self._first("SELECT state, owner FROM calls WHERE key = ?", key)
            if row and (row[0] in ("done", "batched") or self._held_elsewhere(*row)):
                return False
            self.execute(
                "INSERT INTO calls (key, state, owner, at) VALUES (?, 'claimed', ?, ?)"
                " ON CONFLICT (key) DO UPDATE SET state = 'claimed', owner = excluded.owner, at = excluded.at",
                key,
                self.owner,
                time.time(),
            )
        return True

    def release(self, key: str) -> None:
        """Release a claim of this process; an earlier failure and its cost remain."""
        self._unclaim("key = ? AND owner = ?", key, self.owner)

    def _unclaim(self, which: str, *values: object) -> None:
        self.execute(f"DELETE FROM calls WHERE state = 'claimed' AND reply IS NULL AND {which}", *values)
        self.execute(f"UPDATE calls SET state = 'failed', owner = NULL WHERE state = 'claimed' AND {which}", *values)

    def put(self, key: str, reply: ChatReply, model: str, usd: float | None) -> None:
        """Store a reply, or the problem that stood in its way; a reply that is there already stays.

        What failed attempts cost is added to the cost of the reply; the sum set aside for a batch is replaced where the
        cost is known.

        Args:
            key: Key of the question.
            reply: The reply, or its problem.
            model: Model that was asked.
            usd: Dollars that it cost; None where the price is not known.
        """
        state = "failed" if reply.problem else "done"
        self.stored_usd += usd or 0.0
        self.execute(
            "INSERT INTO calls (key, state, owner, reply, model, usd, at) VALUES (?, ?, NULL, ?, ?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET state = excluded.state, owner = NULL, reply = excluded.reply,"
            " model = excluded.model, at = excluded.at, usd = CASE WHEN calls.usd IS NULL THEN excluded.usd"
            " WHEN calls.state = 'batched' THEN COALESCE(excluded.usd, calls.usd)"
            " ELSE calls.usd + COALESCE(excluded.usd, 0) END WHERE calls.state != 'done'",
            key,
            state,
            clean(json.dumps(asdict(reply), ensure_ascii=False)),
            model,
            usd,
            time.time(),
        )

    def retire(self, key: str) -> None:
        """Set a reply aside, text and cost kept, so that its question can be asked again."""
        with self.transaction():
            held = "FROM calls WHERE key = ? AND state = 'done'"
            self.execute(f"INSERT INTO retired SELECT key, reply, model, usd, at {held}", key)
            self.execute("DELETE FROM calls WHERE key = ? AND state = 'done'", key)

    def record_cost(self, name: str, model: str, usd: float) -> None:
        """Store the cost of calls that answer no question, such as the probe.

        Args:
            name: What the calls were for.
            model: Model that was asked.
            usd: Dollars that they cost.
        """
        self.stored_usd += usd
        self.execute("INSERT INTO retired VALUES (?, NULL, ?, ?, ?)", name, model, usd, time.time())

    def spent(self) -> float:
        """Return the cost of all calls with known prices; open batches count at their largest price."""
        query = "SELECT COALESCE(SUM(usd), 0) FROM (SELECT usd FROM calls UNION ALL SELECT usd FROM retired)"
        return float(self.execute(query)[0][0])

    def fact(self, name: str) -> dict[str, Any] | None:
        """Return a stored fact, such as capabilities; None where it is missing or cannot be read."""
        row = self._first("SELECT value FROM facts WHERE name = ?", name)
        return stored_object if row and isinstance(stored_object := read_json(row[0]), dict) else None

    def record_fact(self, name: str, value: dict[str, Any]) -> None:
        """Store a fact, such as the capabilities of an endpoint; an earlier one of this name is replaced.

        Args:
            name: Name of the fact.
            value: Plain values.
        """
        self.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", name, json.dumps(value))

    def beat(self) -> None:
        """Renew the heartbeat of this process, at most every few seconds."""
        now = time.time()
        if now - self._beat_at < HEARTBEAT:
            return
        self.execute(
            "INSERT OR REPLACE INTO owners VALUES (?, ?, ?, ?)", self.owner, socket.gethostname(), os.getpid(), now
        )
        self._beat_at = now

    def _held_elsewhere(self, state: str, owner: str | None) -> bool:
        return state == "claimed" and owner is not None and owner != self.owner and self.is_alive(owner)

    def is_alive(self, owner: str) -> bool:
        """Return whether a process that has this ledger open, by its id in this ledger, is still running."""
        row = self._first("SELECT host, pid, seen FROM owners WHERE owner = ?", owner)
        if row is None or time.time() - row[2] > SILENCE:
            return False
        return row[0] != socket.gethostname() or is_running(row[1])

    def execute(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement in the file, and return its rows.

        Args:
            query: The statement, with ``?`` for each value.
            values: Its values.

        Raises:
            OutputError: The file cannot be written; `LedgerBusy` where another program holds it.
        """
        with _reported(self.path, self._db):
            return self._db.execute(query, values).fetchall()

    def _first(self, query: str, *values: object) -> tuple[Any, ...] | None:
        return next(iter(self.execute(query, *values)), None)

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Run the statements of the block in one transaction."""
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise


def refuse_place(path: Path) -> None:
    """Refuse a path at which no ledger can be written.

    Args:
        path: The file; it need not exist.

    Raises:
        InputError: It is a folder, a device or a pipe.
        OutputError: It lies below a file, or cannot be written.
    """
    if path.is_dir():
        raise InputError(f"{path}: this is a folder; name a file with --ledger")
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: this is a device or a pipe; name a file with --ledger")
    refuse_unwritable(path, "--ledger")
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(f"{path}: the ledger is read-only; make it writable, or name another --ledger")


def answered_keys(path: Path | str) -> frozenset[str]:
    """Return the keys that a ledger can answer, without writing to it.

    Args:
        path: File of the ledger.

    Returns:
        The keys; none where there is no such file.

    Raises:
        InputError: The path is no ledger.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: this is a folder; name a file with --ledger")
    if not path.is_file():
        return frozenset()
    try:
        return _keys(f"{path.resolve().as_uri()}?mode=ro")
    except sqlite3.OperationalError:
        # A file in write-ahead mode on a read-only medium can only be read from a copy.
        with tempfile.TemporaryDirectory(prefix="capscope-") as folder, _reported(path):
            copy = Path(folder) / "ledger.sqlite"
            shutil.copy(path, copy)
            with suppress(OSError):
                shutil.copy(f"{path}-wal", f"{copy}-wal")
            return _keys(copy.as_uri())
    except sqlite3.DatabaseError as error:
        raise InputError(f"{path}: not a ledger ({error}); name another --ledger") from error


def _keys(uri: str) -> frozenset[str]:
    db = sqlite3.connect(uri, uri=True, timeout=60)
    try:
        # A file without tables is new: it is empty, or another process is making it at this moment.
        if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
            return frozenset()
        return frozenset(key for (key,) in db.execute("SELECT key FROM calls WHERE state = 'done'"))
    finally:
        db.close()


@contextmanager
def _reported(path: Path, db: sqlite3.Connection | None = None) -> Generator[None]:
    """Turn SQLite's errors into one line each: busy, no room, read-only, or no ledger at all."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        text = str(error)
        if "locked" in text or "busy" in text:
            raise LedgerBusy(f"{path}: another program holds this ledger; close it and run again") from error
        if "readonly" in text or "unable to open" in text:
            raise OutputError(f"{path}: the ledger cannot be written ({text}); name another --ledger") from error
        if "full" in text or "I/O" in text:
            kept = f"{counted(_replies(db), 'reply', 'are')} kept" if db is not None else "nothing is lost"
            raise OutputError(
                f"{path}: no room to write ({text}); {kept}: make room on the disk and run the same command again"
            ) from error
        raise InputError(f"{path}: not a ledger ({text}); name another --ledger") from error


def _replies(db: sqlite3.Connection) -> int:
    with suppress(sqlite3.Error):
        return int(db.execute("SELECT COUNT(*) FROM calls WHERE state = 'done'").fetchone()[0])
    return 0


def _entry(row: tuple[str, str, str | None, float | None]) -> Entry:
    key, state, reply, usd = row
    return Entry(key, state, read_stored_reply(reply) if reply else ChatReply(problem="in flight"), usd)
