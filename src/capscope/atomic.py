"""File system primitives of atomic writing: temporary siblings, atomic replacement, flushing to disk, and locks."""

import ctypes
import errno
import getpass
import glob
import os
import platform
import shutil
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

SCRATCH = ".capscope-"
"""Prefix of unfinished siblings."""
LOCK_PAUSE = 0.05
"""Seconds between two tries to get a lock."""
_AT_FDCWD, _EXCHANGE = -100, 2


def scratch_beside(target: Path) -> Path:
    """Return a new name beside the target for content that is not complete yet.

    Leftovers of processes that have ended are removed.

    Args:
        target: The file or folder to be written.
    """
    host = f"{SCRATCH}{platform.node()}"
    for leftover in target.parent.glob(f"{glob.escape(host)}-*-*"):
        process = leftover.name.removeprefix(f"{host}-").split("-")[0]
        if process.isdigit() and not _is_running(int(process)):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    return target.parent / f"{host}-{os.getpid()}-{os.urandom(4).hex()}"


def _is_running(process: int) -> bool:
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


def swap(complete: Path, target: Path) -> None:
    """Replace the target by a complete folder, atomically where the system supports it.

    Args:
        complete: Folder with the new content; the old content is left there where both were exchanged.
        target: Folder that may hold the old content.
    """
    if not target.exists():
        complete.replace(target)
    elif not _exchange(complete, target):
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
