"""File system primitives of atomic writing: temporary siblings, atomic replacement, flushing to disk, and locks."""

import ctypes
import errno
import getpass
import glob
import hashlib
import json
import os
import platform
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from capscope.errors import OutputError

SCRATCH = ".capscope-"
"""Prefix of unfinished siblings."""
JOURNAL = f"{SCRATCH}unfinished.json"
"""Names of complete files that wait to be put in their places together."""
LOCK_PAUSE = 0.05
"""Seconds between two tries to get a lock."""
_AT_FDCWD, _EXCHANGE = -100, 2


def scratch_beside(target: Path) -> Path:
    """Return a new name beside the target for content that is not complete yet.

    Leftovers of processes that have ended are removed.

    Args:
        target: The file or folder to be written.
    """
    finish_replacing(target.parent)
    host = f"{SCRATCH}{platform.node()}"
    for leftover in target.parent.glob(f"{glob.escape(host)}-*-*"):
        process = leftover.name.removeprefix(f"{host}-").split("-")[0]
        if process.isdigit() and not is_running(int(process)):
            _remove(leftover)
    return target.parent / f"{host}-{os.getpid()}-{os.urandom(4).hex()}"


def is_scratch(path: Path) -> bool:
    """Return whether a path is, or lies in, content that is not complete yet."""
    return any(part.startswith(SCRATCH) for part in path.parts)


@contextmanager
def whole_files(folder: Path, *, clear: bool = False) -> Generator[Callable[[Path], Path]]:
    """Write several files of a folder, all or none: yields a function from a file to the place to write it to.

    When all are complete, a journal names them, and they take their places; a kill in between is made good by
    `finish_replacing`.

    Args:
        folder: The folder, which exists.
        clear: Old files but the first are removed before the new ones take their places. A kill in between then
            leaves no old file beside a new one, for readers that do not know the journal.
    """
    moves: list[tuple[Path, Path]] = []

    def place(path: Path) -> Path:
        target = Path(os.path.realpath(path))
        moves.append((scratch_beside(target), target))
        return moves[-1][0]

    try:
        yield place
        for scratch, target in moves:
            if target.exists():
                scratch.chmod(stat.S_IMODE(target.stat().st_mode))
            flush(scratch)
        names = [[os.path.relpath(scratch, folder), os.path.relpath(target, folder)] for scratch, target in moves]
        journal = place(folder / JOURNAL)
        handle = os.open(journal, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            os.write(handle, json.dumps(names).encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        journal.replace(folder / JOURNAL)
    except BaseException:
        for scratch, _ in moves:
            discard(scratch)
        raise
    with suppress(OSError):  # from here on the new files count, whatever else fails
        flush(folder)
    for _, target in moves[1:-1] if clear else ():
        target.unlink(missing_ok=True)
    for scratch, target in moves[:-1]:
        with suppress(FileNotFoundError):  # another process has put it there
            scratch.replace(target)
    finish_replacing(folder)


def write_together(writers: Mapping[Path, Callable[[Path], object]], option: str = "--out") -> None:
    """Write several files of one folder, all or none: after a kill no old file stands beside a new one.

    Devices and pipes are written to directly, one after the other.

    Args:
        writers: What writes each file to a place that it is given; the first file is the main one.
        option: How the user named the files, for messages.

    Raises:
        OutputError: A file cannot be written; all are then as they were.
    """
    first = next(iter(writers))
    with as_output_error(first, option):
        if any(path.exists() and not path.is_file() for path in writers):
            for path, write in writers.items():
                write(path)
            return
        first.parent.mkdir(parents=True, exist_ok=True)
        with whole_files(first.parent, clear=True) as place:
            for path, write in writers.items():
                write(place(path))


def finish_replacing(folder: Path) -> None:
    """Put the files in their places that a killed process had written completely; does nothing where there are none.

    Raises:
        OSError: The folder cannot be written, or the list of files is damaged.
    """
    journal = folder / JOURNAL
    try:
        moves = _moves(journal)
    except (FileNotFoundError, NotADirectoryError):
        return
    for scratch, target in moves:
        with suppress(FileNotFoundError):  # another process has put it there
            scratch.replace(target)
    flush(folder)
    journal.unlink(missing_ok=True)


def _moves(journal: Path) -> list[tuple[Path, Path]]:
    """Return what a journal moves where: scratch files to files of its folder, or to what links there point to.

    A folder may come from elsewhere, so that its journal is not believed where it names other files.

    Raises:
        FileNotFoundError: There is no journal.
        OSError: It is damaged, or names other files.
    """
    folder = journal.parent
    with suppress(ValueError, TypeError, AttributeError, RecursionError):
        moves = [(folder / scratch, folder / target) for scratch, target in json.loads(journal.read_bytes())]
        own = {os.path.realpath(path) for path in folder.iterdir()}
        if all(
            scratch.name.startswith(SCRATCH)
            and os.path.realpath(scratch.parent) == os.path.realpath(target.parent)
            and (target.parent == folder or os.path.realpath(target) in own)
            for scratch, target in moves
        ):
            return moves
    raise OSError(errno.EINVAL, f"{journal.name} names other files or is damaged; remove it", str(journal))


def is_running(process: int) -> bool:
    """Return whether a process of this machine is running, by its number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def flush(path: Path) -> None:
    """Force a file or folder to disk, where the system allows it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.EACCES):
            raise
    finally:
        os.close(handle)


def discard(scratch: Path) -> None:
    """Remove an unfinished or retired file or folder; where Ctrl-C interrupts this, it is done again."""
    try:
        _remove(scratch)
    except KeyboardInterrupt:
        _remove(scratch)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def swap(complete: Path, target: Path, *, force: bool) -> None:
    """Replace the target by a complete folder, atomically where the system supports it.

    Args:
        complete: Folder with the new content; the old content is left there where both were exchanged.
        target: Folder that may hold the old content.
        force: What another process has put there in the meantime may be replaced.

    Raises:
        OSError: The target cannot be replaced.
    """
    if not target.exists():
        try:
            complete.replace(target)
        except OSError as error:
            if not force or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
    if not _exchange(complete, target):
        retired = complete.with_name(f"{complete.name}-old")
        target.replace(retired)
        try:
            complete.replace(target)
        except OSError:
            retired.replace(target)
            raise
        shutil.rmtree(retired, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one system call; False where the system has none."""
    if sys.platform != "linux":
        return False
    with suppress(AttributeError, OSError):
        rename = ctypes.CDLL(None, use_errno=True).renameat2
        return rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0
    return False


def user_name() -> str:
    """Return the name of the user, or the number of one without a name, as in a container."""
    with suppress(KeyError, OSError, ImportError):
        return getpass.getuser()
    return str(os.getuid())


def lock_file(path: Path) -> Path:
    """Return the lock of a file or folder: a file in the folder of temporary files, named by the path."""
    name = hashlib.sha256(os.path.realpath(path).encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return Path(tempfile.gettempdir()) / f"capscope-{user_name()}-{name}.lock"


@contextmanager
def exclusive(path: Path, seconds: float) -> Generator[None]:
    """Hold a lock file; it is removed when the lock is given back.

    Args:
        path: The lock file.
        seconds: How long to wait for another holder.

    Raises:
        TimeoutError: Another process or thread holds the lock for longer.
        OSError: The file cannot be made.
    """
    if sys.platform == "win32":
        from filelock import FileLock  # its Timeout is a TimeoutError

        with FileLock(path).acquire(timeout=seconds):
            yield
        return
    handle = _held(path, time.monotonic() + seconds)
    try:
        yield
    finally:
        # Removed while it is held: who waits for this file sees that it is gone, and makes a new one.
        path.unlink(missing_ok=True)
        os.close(handle)


def _held(path: Path, until: float) -> int:
    """Return a handle that holds the lock of the file that stands at the path."""
    import fcntl

    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with suppress(FileNotFoundError, BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        os.close(handle)
        if time.monotonic() > until:
            raise TimeoutError(path)
        time.sleep(LOCK_PAUSE)


@contextmanager
def as_output_error(path: Path, option: str) -> Generator[None]:
    """Turn an error of the operating system into one line that names the path, never a scratch file.

    Args:
        path: What is written.
        option: How the user named it, for the advice.

    Raises:
        OutputError: The system refuses to write.
    """
    try:
        yield
    except OSError as error:
        if is_scratch(path):
            raise  # the writer of the whole folder names the folder
        reason = os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "make room on the disk and run again" if full else f"choose another {option}"
        raise OutputError(f"{path}: cannot be written ({reason}); {advice}") from error
