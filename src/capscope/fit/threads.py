"""Threads inside linear algebra: on matrices as small as those of a fit they wait more than they work."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


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
