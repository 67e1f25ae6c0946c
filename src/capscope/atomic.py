"""Put complete content in the place of old content in one step of the file system, and force it to disk."""

import ctypes
import errno
import glob
import os
import platform
import shutil
import sys
from contextlib import suppress
from pathlib import Path

SCRATCH = ".capscope-"
"""Prefix of unfinished siblings."""
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
    """Put a complete folder in the place of the target, in one step where the system has one.

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
