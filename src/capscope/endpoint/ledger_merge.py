"""Merging of ledgers: every reply and every cost is counted once."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from capscope.endpoint.account import ACCOUNT_TABLE, IN_FLIGHT, ROUNDING
from capscope.endpoint.ledger import Ledger
from capscope.errors import InputError, OutputError, counted
from capscope.files import refuse_file, whole_file

RANK = {"claimed": 0, "failed": 1, "done": 2}
"""Precedence of the states of one key: a reply, then a failure, then a call in flight."""
ROW = "key, state, reply, model, usd, at"
Row = tuple[str, str, str | None, str | None, float | None, float]


@dataclass(frozen=True)
class MergedLedger:
    """Contents of a merged ledger."""

    ledger: str
    """The file."""
    sources: int
    """Ledgers that were merged."""
    replies: int
    """Questions with a reply."""
    failed: int
    """Questions without one."""
    doubled: int
    """Questions with replies in several ledgers; the earliest is kept, the others are set aside with their cost."""
    usd: float
    """What all calls cost, where the price was known."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def as_text(self) -> str:
        """Return one line to read."""
        twice = f", {self.doubled} of them asked in several" if self.doubled else ""
        return (
            f"{self.ledger}: {counted(self.replies, 'reply')} of {self.sources} ledgers{twice};"
            f" {counted(self.failed, 'question')} failed;"
            f" ${self.usd:.4f}"
        )


def merge_ledgers(paths: Sequence[Path | str], out: Path | str, *, force: bool = False) -> MergedLedger:
    """Merge ledgers into a new one.

    Of one question a reply beats a failure, and of two replies the earlier counts; the other is set aside with its
    cost. The order does not matter, nor whether a ledger comes twice, by itself or within a merged one.

    Args:
        paths: The ledgers; they stay as they are.
        out: The file to write.
        force: An existing file may be replaced.

    Returns:
        Numbers of replies that it holds and that were set aside, and what all calls cost.

    Raises:
        InputError: A file is no ledger, is in use, or has an open batch.
        OutputError: The file exists and `force` is not set, or is one of the sources.
    """
    sources, target = sorted({Path(path).resolve() for path in paths}), Path(out)
    if target.resolve() in sources:
        raise OutputError(f"{target}: one of the ledgers to be merged; name another --out")
    refuse_file(target, force=force)
    doubled = 0
    with ExitStack() as stack:
        places = [stack.enter_context(_writable(path)) for path in sources]
        for path, place in zip(sources, places, strict=True):
            _refuse(path, place)
        _retire(target.resolve())
        scratch = stack.enter_context(whole_file(target, force=force))
        stack.enter_context(_named(target, scratch))
        with Ledger(scratch) as merged:
            for place in places:
                merged.execute("ATTACH DATABASE ? AS source", str(place))
                with merged.transaction():
                    doubled += _add(merged)
                merged.execute("DETACH DATABASE source")
            usd, replies = merged.spent(), merged.count()
            failed = int(merged.execute("SELECT COUNT(*) FROM calls WHERE state = 'failed'")[0][0])
        _to_one_file(scratch)
    return MergedLedger(str(target), len(sources), replies, failed, doubled, usd)


@contextmanager
def _named(target: Path, scratch: Path) -> Generator[None]:
    """Name the target where its scratch file cannot be written, and leave no file of SQLite beside that."""
    try:
        yield
    except (OutputError, sqlite3.Error) as error:
        if isinstance(error, OutputError) and str(scratch) not in str(error):
            raise
        reason = error.__cause__ or error
        raise OutputError(
            f"{target}: cannot be written ({reason}); the ledgers stay as they are: make room and run again"
        ) from error
    finally:
        _remove_logs(scratch)


@contextmanager
def _named_as(path: Path, place: Path) -> Generator[None]:
    """Name the ledger where an error names its copy."""
    try:
        yield
    except (InputError, OutputError) as error:
        raise type(error)(str(error).replace(str(place), str(path))) from error


def _remove_logs(path: Path) -> None:
    for ending in ("-wal", "-shm", "-journal"):
        path.with_name(f"{path.name}{ending}").unlink(missing_ok=True)


@contextmanager
def _writable(path: Path) -> Generator[Path]:
    """Yield the ledger, or a copy of it where it or its folder is read-only: SQLite writes beside what it reads."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such ledger")
    as_now = os.access in os.supports_effective_ids
    if not os.access(path, os.R_OK, effective_ids=as_now):
        raise InputError(f"{path}: cannot be read (Permission denied); make it readable and run again")
    if all(os.access(needed, os.W_OK, effective_ids=as_now) for needed in (path, path.parent)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="capscope-") as folder:
        copy = Path(folder) / "ledger.sqlite"
        try:
            shutil.copyfile(path, copy)
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{path}-wal", f"{copy}-wal")
        except OSError as error:
            raise OutputError(f"{path}: cannot be copied ({error.strerror}); make room or set TMPDIR") from error
        yield copy


def _refuse(path: Path, place: Path) -> None:
    """Refuse a ledger that cannot be merged.

    Args:
        path: The ledger.
        place: Where it can be opened.

    Raises:
        InputError: The file is no ledger, in use, or has an open batch.
    """
    with _named_as(path, place), Ledger(place) as ledger:
        _refuse_running(path, ledger)
        if ledger.execute("SELECT 1 FROM calls WHERE state = 'batched' LIMIT 1"):
            raise InputError(f"{path}: a batch is open; run annotate with --batch collect, then merge")
        ledger.execute(ACCOUNT_TABLE)  # so that every source has it


def _retire(target: Path) -> None:
    """Empty the write-ahead log beside a ledger that is replaced: SQLite would play it back into the new file.

    Raises:
        InputError: A run on that ledger is under way.
        OutputError: It cannot be written.
    """
    if target.exists():
        old = None
        with suppress(InputError):  # anything else than a ledger is replaced as it is
            old = Ledger(target)
        if old is not None:
            with old:
                _refuse_running(target, old)
                old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    _remove_logs(target)


def _refuse_running(path: Path, ledger: Ledger) -> None:
    owners = [owner for (owner,) in ledger.execute("SELECT owner FROM owners")]
    if any(ledger.is_alive(owner) for owner in owners):
        raise InputError(f"{path}: a run on this ledger is under way; merge when it has ended")


def _add(merged: Ledger) -> int:
    """Add the attached ledger, and count the questions that have a reply in both."""
    held = ", ".join(f"m.{name}" for name in ROW.split(", "))
    new = ", ".join(f"s.{name}" for name in ROW.split(", "))
    both = f"SELECT {held}, {new} FROM source.calls s JOIN main.calls m ON s.key = m.key"
    doubled = 0
    for row in merged.execute(both):
        doubled += _settle(merged, row[:6], row[6:])
    # a call whose process ended before the reply came is open again; an earlier failure of it stays one
    merged.execute(
        f"INSERT OR IGNORE INTO main.calls ({ROW})"
        " SELECT key, CASE state WHEN 'claimed' THEN 'failed' ELSE state END, reply, model, usd, at"
        " FROM source.calls WHERE state != 'claimed' OR reply IS NOT NULL"
    )
    merged.execute("INSERT INTO main.retired SELECT * FROM source.retired EXCEPT SELECT * FROM main.retired")
    merged.execute("INSERT OR IGNORE INTO main.facts SELECT name, value FROM source.facts")
    # what a killed process had set aside stays spent, once for each process
    merged.execute(
        "INSERT INTO main.retired SELECT ? || ' ' || owner, NULL, '', usd, 0 FROM source.set_aside WHERE usd > ?"
        " EXCEPT SELECT * FROM main.retired",
        IN_FLIGHT,
        ROUNDING,
    )
    return doubled


def _settle(merged: Ledger, held: Row, new: Row) -> int:
    """Keep one of two rows of one question; return 1 where both hold a reply."""
    if held[2:] == new[2:]:  # one row in two copies
        return 0
    first, second = sorted((held, new), key=lambda row: (-RANK[row[1]], row[5], row[2] or ""))
    # the whole row is set aside, cost and all, so that a row that comes again with another copy is known
    aside = "INSERT INTO main.retired SELECT ?, ?, ?, ?, ? EXCEPT SELECT * FROM main.retired"
    if second[2] is not None:
        merged.execute(aside, second[0], *second[2:])
    state = "failed" if first[1] == "claimed" else first[1]
    values = (state, *first[2:], first[0])
    merged.execute("UPDATE main.calls SET state = ?, reply = ?, model = ?, usd = ?, at = ? WHERE key = ?", *values)
    return int(second[1] == "done")


def _to_one_file(path: Path) -> None:
    """Write what stands in the write-ahead log into the file itself, which is moved alone."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=DELETE")
