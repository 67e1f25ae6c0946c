"""The one scheduler seam: same results for any number of workers."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from capscope.errors import InputError, LostProcess, MissingExtraError
from capscope.tasks import on_cluster, run_tasks


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


def die_once(mark: Path) -> str:
    """A task that kills its own process at the first try."""
    if not mark.exists():
        mark.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    return mark.name


def die(number: int) -> int:
    """A task that kills its own process at every try."""
    if number:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_the_task_of_a_killed_process_runs_again(tmp_path):
    marks = [tmp_path / f"task{number}" for number in range(4)]
    marks[0].touch()
    marks[1].touch()
    marks[2].touch()
    assert run_tasks(die_once, marks, workers=2) == [mark.name for mark in marks]


@pytest.mark.slow
def test_tasks_that_always_kill_their_process_end_in_one_line():
    with pytest.raises(LostProcess, match=r"lost 4 times with 1 of 3 tasks done.*fewer --workers"):
        run_tasks(die, [0, 1, 1], workers=2)


@pytest.mark.parametrize("address", ["slurm", "ray://", "http://head"])
def test_an_address_of_another_form_is_refused(address):
    with pytest.raises(InputError, match=r"--cluster .*not an address"), on_cluster(address):
        pass


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"capscope\[ray\]"), on_cluster("ray"):
        pass


def middle(task: tuple[np.ndarray, int]) -> tuple[float, int, bool]:
    """A task with a large array of its own run."""
    array, place = task
    return float(array[place]), os.getpid(), array.flags.writeable


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_on_ray_numbers_order_errors_and_lost_tasks_are_as_here(tmp_path):
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'capscope[ray]'")
    seen: list[int] = []
    with on_cluster("ray"):
        shared = run_tasks(draw, range(8), workers=2, on_done=lambda done, _: seen.append(done))
        assert [value for _, value in shared] == [draw(seed)[1] for seed in range(8)]
        assert os.getpid() not in {process for process, _ in shared}
        assert seen == list(range(1, 9))
        with pytest.raises(InputError, match=r"^task 1$"):
            run_tasks(fail, range(3), workers=2)
        large = np.arange(300_000.0)
        parts = run_tasks(middle, [(large, place) for place in range(6)])
        assert [value for value, _, _ in parts] == [0, 1, 2, 3, 4, 5]
        assert not any(writeable for _, _, writeable in parts)  # read from the object store
        marks = [tmp_path / f"task{number}" for number in range(6)]
        assert run_tasks(die_once, marks, workers=2) == [mark.name for mark in marks]
        assert all(int(mark.read_text()) != os.getpid() for mark in marks)
        with pytest.raises(LostProcess, match=r"lost 4 times"):
            run_tasks(die, [1], workers=2)
    assert not ray.is_initialized()
