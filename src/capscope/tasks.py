"""The one place where work is spread over processes; results come in the order of the tasks, whatever the schedule."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, cast

from capscope.errors import InputError

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int = 1,
    on_done: Callable[[int, Result], None] | None = None,
) -> list[Result]:
    """Apply a function to every task, in this process or in several.

    A task carries its own seed, so that its result does not depend on which process runs it or on how many there are.

    Args:
        function: Called with one task; importable (no lambda or inner function) where there are several workers.
        tasks: Arguments, one for each call; plain values, arrays or frozen dataclasses.
        workers: Number of processes; 1 runs in this process, 0 takes one for each processor.
        on_done: Called in this process with the number of tasks done and the result, in the order of the tasks.

    Returns:
        One result for each task, in the order of the tasks.

    Raises:
        InputError: The number of workers is negative.
    """
    if workers < 0:
        raise InputError(f"--workers {workers}: a number of processes cannot be negative; use 0 for all processors")
    count = min(workers or os.cpu_count() or 1, len(tasks))
    stream = map(function, tasks) if count <= 1 else _parallel(function, tasks, count)
    results: list[Result] = []
    with warnings.catch_warnings():
        # with psutil installed, joblib replaces a process that has grown, and says so from a thread of its own, which
        # dies of the warning where warnings are errors; then no result would ever come
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        for result in stream:
            results.append(result)
            if on_done is not None:
                on_done(len(results), result)
    return results


def _parallel(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[Result]:
    from joblib import Parallel, delayed, parallel_config

    with parallel_config(backend="loky", n_jobs=workers, inner_max_num_threads=1):
        results = Parallel(return_as="generator")(delayed(function)(task) for task in tasks)
        yield from cast(Iterator[Result], results)
