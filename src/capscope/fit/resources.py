"""What a fit costs: wall time, processor time and the memory that the process has needed so far."""

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from threadpoolctl import threadpool_limits


@dataclass(frozen=True)
class Cost:
    """What some work took."""

    seconds: float
    """Wall time."""
    cpu_seconds: float
    """Processor time, over all threads."""
    peak_memory_mb: float
    """Most memory that the process has held up to the end of the work; NaN where the system does not say."""


class Meter:
    """Measures from when it is made."""

    def __init__(self) -> None:
        """Start the clocks."""
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> Cost:
        """The cost so far."""
        seconds, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return Cost(round(seconds, 3), round(cpu, 3), round(_peak_memory_mb(), 1))


def _peak_memory_mb() -> float:
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


@contextmanager
def single_threaded() -> Generator[None]:
    """Let torch and numpy's BLAS use one thread each, and give back what they had."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with single_threaded_blas():
            yield
    finally:
        torch.set_num_threads(threads)


def single_threaded_blas() -> threadpool_limits:
    """Let numpy's BLAS alone use one thread while this is entered; torch keeps its own, for large networks."""
    return threadpool_limits(1, "blas")
