"""Options that all tests share, and the checks of types and shapes."""

import gc
import signal
import sys
from collections.abc import Iterator

import pytest

from lazy_checks import check_package

check_package("capscope")
gc.set_threshold(20_000, 10, 10)  # as the command line does; the libraries keep half a million objects alive


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--exact", action="store_true", help="Pins: compare numbers to the last bit (one machine).")
    parser.addoption("--rough", action="store_true", help="Pins: compare keys and kinds only (other library versions).")


def pytest_collection_finish() -> None:
    """Leave what was imported to collect the tests out of later rounds of the garbage collector."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A file size limit, which a writer sees as a full disk does; no compiled module is written under it."""
    import resource  # not on every platform

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)
