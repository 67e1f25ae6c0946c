"""Parallel execution of tasks: in this process, in processes of this machine (joblib) or on a Ray cluster.

Results are in the order of the tasks. The task of a lost process (killed, out of memory) runs again. All rooms use
`run_tasks`, so that there is one place for scheduling.
"""

import io
import os
import pickle
import sys
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, cast

from capscope import __version__
from capscope.errors import InputError, LostProcess, MissingExtraError

if TYPE_CHECKING:
    import numpy as np

Task = TypeVar("Task")
Result = TypeVar("Result")

LOSSES = 3
"""Largest number of lost processes."""
AHEAD = 2
"""Number of submitted tasks for each processor of the cluster, including running ones."""
SHARED_BYTES = 1 << 20
"""Smallest size in bytes of arrays that are sent to the cluster once instead of with every task."""
CLIENT_PORT = 10001
"""Port of Ray's client server where the address names none."""

_CLUSTER: ContextVar[str | None] = ContextVar("cluster", default=None)


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int = 1,
    on_done: Callable[[int, Result], None] | None = None,
) -> list[Result]:
    """Apply a function to every task, in this process, in several, or on the cluster of `on_cluster`.

    A task carries its own seed, so that its result does not depend on which process runs it or on how many there are.
    A lost process (killed, out of memory) is replaced and its task runs again, so tasks must be repeatable.

    Args:
        function: Called with one task; importable (no lambda or inner function) where there are several workers.
        tasks: Arguments, one for each call; plain values, arrays or frozen dataclasses.
        workers: Number of processes; 1 runs in this process, 0 takes one for each processor. On a cluster: most tasks
            at the same time; 0 and 1 take every processor of it.
        on_done: Called in this process with the number of tasks done and the result, in the order of the tasks.

    Returns:
        One result for each task, in the order of the tasks.

    Raises:
        InputError: The number of workers is negative, or the cluster cannot be reached.
        LostProcess: Processes were lost more than `LOSSES` times.
    """
    if workers < 0:
        raise InputError(f"--workers {workers}: a number of processes cannot be negative; use 0 for all processors")
    count = min(workers or os.cpu_count() or 1, len(tasks))
    if tasks and _CLUSTER.get() is not None:
        stream = _on_ray(function, tasks, workers)
    else:
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


@contextmanager
def on_cluster(address: str | None) -> Generator[None]:
    """Run the tasks of this block on a Ray cluster; it is reached when the first tasks come.

    Every node of the cluster has the same version of capscope installed; files that tasks read or write lie on a file
    system that all nodes share.

    Args:
        address: ``ray`` for the cluster of this machine (started where there is none), ``ray://HOST[:PORT]`` for
            another one's client server, None for no cluster.

    Raises:
        InputError: The address has another form.
        MissingExtraError: Ray is not installed.
    """
    if address is None:
        yield
        return
    if address != "ray" and not (address.startswith("ray://") and address[6:]):
        raise InputError(f"--cluster {address}: not an address; use ray for this machine or ray://HOST[:PORT]")
    ray, mark = _ray(), _CLUSTER.set(address)
    started_here = not ray.is_initialized()
    try:
        yield
    finally:
        _CLUSTER.reset(mark)
        if started_here:
            ray.shutdown()


def _parallel(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[Result]:
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    done = 0
    for loss in range(LOSSES + 1):
        try:
            with parallel_config(backend="loky", n_jobs=workers, inner_max_num_threads=1):
                stream = Parallel(return_as="generator")(delayed(function)(task) for task in tasks[done:])
                for result in cast(Iterator[Result], stream):
                    done += 1
                    yield result
            return
        except TerminatedWorkerError:
            if loss == LOSSES:
                raise _lost(done, len(tasks)) from None


def _lost(done: int, n_tasks: int) -> LostProcess:
    return LostProcess(
        f"processes were lost {LOSSES + 1} times with {done} of {n_tasks} tasks done, as when memory runs out;"
        " use fewer --workers"
    )


def _on_ray(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[Result]:
    ray = _connected(workers)
    places = workers if workers > 1 else max(1, int(ray.cluster_resources().get("CPU", 1)))
    limit = places if workers > 1 else AHEAD * places
    call = ray.remote(num_cpus=1, max_retries=LOSSES)(_call)
    sender, waiting, done = _Sender(ray), deque[Any](), 0
    for task in tasks:
        if len(waiting) >= limit:
            yield _result(ray, waiting.popleft(), done, len(tasks))
            done += 1
        waiting.append(call.remote(*sender.pack((function, task))))
    while waiting:
        yield _result(ray, waiting.popleft(), done, len(tasks))
        done += 1


def _result(ray: Any, reference: Any, done: int, n_tasks: int) -> Any:  # noqa: ANN401 - Ray is imported where it is used
    errors = ray.exceptions
    try:
        return ray.get(reference)
    except errors.RayTaskError as error:
        raise error.cause from None
    except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError):
        raise _lost(done, n_tasks) from None


def _ray() -> Any:  # noqa: ANN401 - an optional dependency without types
    try:
        return import_module("ray")
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise MissingExtraError("--cluster needs Ray: pip install 'capscope[ray]'") from None


def _connected(workers: int) -> Any:  # noqa: ANN401
    ray, address = _ray(), _CLUSTER.get()
    if ray.is_initialized():
        return ray
    quiet = {"logging_level": "error", "log_to_driver": False}
    if address == "ray":
        # RAY_ADDRESS names a cluster that runs already; then its nodes say how many processors there are
        own = {} if os.environ.get("RAY_ADDRESS") else _own_cluster(workers)
        ray.init(**own, **quiet)
        return ray
    host = cast(str, address)[6:]
    address = f"ray://{host}" if ":" in host else f"ray://{host}:{CLIENT_PORT}"
    try:
        ray.init(address, **quiet)
    except (ConnectionError, TimeoutError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--cluster {address}: the cluster cannot be reached ({reason})") from None
    _refuse_other_version(ray, address)
    return ray


def _own_cluster(workers: int) -> dict[str, Any]:
    """Settings of a cluster of this machine, whose processes import what this one imports."""
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    processors = max(workers, os.cpu_count() or 1)
    return {"include_dashboard": False, "num_cpus": processors, "runtime_env": {"env_vars": {"PYTHONPATH": paths}}}


def _refuse_other_version(ray: Any, address: str) -> None:  # noqa: ANN401
    try:
        there = ray.get(ray.remote(_version).remote())
    except ray.exceptions.RayTaskError as error:
        there = f"none ({error.cause})"
    if there != __version__:
        raise InputError(f"--cluster {address}: capscope there is {there}, here {__version__}; install the same")


def _version() -> str:
    return __version__


class _Sender:
    """Packs calls; a large array goes to Ray's object store once and is read there by every task, without a copy."""

    def __init__(self, ray: Any) -> None:  # noqa: ANN401
        self.ray = ray
        self.known: dict[int, tuple[np.ndarray, Any]] = {}
        """Arrays by identity; kept, so that no other array takes the identity of one that is gone."""

    def pack(self, call: tuple[Any, Any]) -> tuple[Any, ...]:
        """Return the call without its large arrays, and references to those."""
        import numpy as np

        references: list[Any] = []
        buffer = io.BytesIO()
        pickler = _pickler(buffer)

        def name(value: object) -> int | None:
            if type(value) is not np.ndarray or value.nbytes < SHARED_BYTES or value.dtype.hasobject:
                return None
            if id(value) not in self.known:
                self.known[id(value)] = (value, self.ray.put(value))
            references.append(self.known[id(value)][1])
            return len(references) - 1

        pickler.persistent_id = name
        pickler.dump(call)
        return (buffer.getvalue(), *references)


def _pickler(buffer: io.BytesIO) -> Any:  # noqa: ANN401 - cloudpickle has no types
    return import_module("ray.cloudpickle").CloudPickler(buffer)


def _call(packed: bytes, *arrays: "np.ndarray") -> Any:  # noqa: ANN401 - whatever the function returns
    unpickler = pickle.Unpickler(io.BytesIO(packed))
    unpickler.persistent_load = lambda place: arrays[place]
    function, task = unpickler.load()
    return function(task)
