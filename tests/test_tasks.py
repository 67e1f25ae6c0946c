"""The one scheduler seam: same results for any number of workers."""

import os
import time

import numpy as np
import pytest

from capscope.errors import InputError
from capscope.tasks import run_tasks


def draw(seed: int) -> tuple[int, float]:
    """A task that carries its own seed."""
    return os.getpid(), float(np.random.default_rng(seed).normal())


def fail(seed: int) -> int:
    """A task of which the second fails."""
    if seed == 1:
        raise InputError(f"task {seed}")
    return seed


def test_results_and_their_order_are_the_same_for_any_number_of_workers():
    alone, shared = run_tasks(draw, range(8)), run_tasks(draw, range(8), workers=2)
    assert [value for _, value in alone] == [value for _, value in shared]
    assert {process for process, _ in alone} == {os.getpid()}
    assert os.getpid() not in {process for process, _ in shared}


def test_progress_is_told_in_the_order_of_the_tasks():
    seen = []
    run_tasks(draw, range(4), workers=2, on_done=lambda done, result: seen.append((done, result[1])))
    assert seen == [(seed + 1, draw(seed)[1]) for seed in range(4)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_task_arrives_as_it_was_raised(workers):
    with pytest.raises(InputError, match=r"task 1"):
        run_tasks(fail, range(2), workers=workers)


def test_a_negative_number_of_workers_is_refused():
    with pytest.raises(InputError, match=r"--workers -1"):
        run_tasks(draw, [1], workers=-1)


KEPT: list[np.ndarray] = []


def grow(number: int) -> int:
    """A task that leaves 400 MB behind, over more than a second: joblib replaces its process where psutil is there."""
    KEPT.append(np.ones(50_000_000))
    time.sleep(1.2)
    return number


@pytest.mark.slow
def test_processes_that_grow_are_replaced_and_every_result_comes():
    pytest.importorskip("psutil", reason="without psutil joblib does not watch the memory of its processes")
    assert run_tasks(grow, range(6), workers=2) == list(range(6))
