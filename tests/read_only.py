"""Folders that nothing can be written to, also for root."""

import ctypes
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

_VERSION_3 = 0x20080522
_DAC_OVERRIDE = 1
"""The right of root to write where the mode forbids it."""


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Data(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


@contextmanager
def read_only(folder: Path) -> Generator[None]:
    """Forbid writing in a folder while the block runs; skips the test where that cannot be done."""
    if sys.platform != "linux" and os.geteuid() == 0:
        pytest.skip("root writes everywhere here")
    mode = folder.stat().st_mode
    folder.chmod(0o555)
    try:
        with _without_override():
            yield
    finally:
        folder.chmod(mode)


@contextmanager
def _without_override() -> Generator[None]:
    """Give up, on this thread and for a while, the right to write where the mode forbids it."""
    if os.geteuid() != 0:
        yield
        return
    libc, header, data = ctypes.CDLL(None, use_errno=True), _Header(_VERSION_3, 0), (_Data * 2)()
    if libc.capget(ctypes.byref(header), data):
        pytest.skip("the rights of this process cannot be read")
    before = data[0].effective
    data[0].effective = before & ~(1 << _DAC_OVERRIDE)
    if libc.capset(ctypes.byref(header), data):
        pytest.skip("the rights of this process cannot be given up")
    try:
        yield
    finally:
        data[0].effective = before
        libc.capset(ctypes.byref(header), data)
