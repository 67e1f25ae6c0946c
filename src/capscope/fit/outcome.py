"""Results of engines: posterior with status and history, time and memory used, and predictions of held-out answers."""

import sys
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Generic, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from capscope.axes import RowFloats
from capscope.data import Responses
from capscope.errors import FitError
from capscope.fit.links import log_loss_of

PosteriorT = TypeVar("PosteriorT")


UNLINKED, ALONE = "blocks of models share no item", "one model only"
"""Texts in the lines of advice on why abilities have no common scale."""


@dataclass(frozen=True)
class Status:
    """How a fit ended, for people and for programs."""

    converged: bool
    """Whether the stopping rule was met."""
    code: str
    """One word for programs: ``converged`` or ``still-moving``, or ``nothing-to-measure``."""
    advice: tuple[str, ...] = ()
    """One line each: what is odd about the data or the fit, and what to do."""

    def with_advice(self, *lines: str, first: bool = False) -> "Status":
        """Add lines of advice, at the end or at the start.

        Args:
            lines: The lines.
            first: Whether they come before the others.
        """
        return replace(self, advice=(*lines, *self.advice) if first else (*self.advice, *lines))

    @property
    def no_order(self) -> str:
        """Why the models of the fit cannot be ranked: groups without a common item, or one model; empty if they can."""
        return next((line for line in self.advice if UNLINKED in line or ALONE in line), "")


@dataclass(frozen=True)
class Outcome(Generic[PosteriorT]):
    """Result of an engine; `Fit` adds the settings."""

    posterior: PosteriorT
    """The posterior distribution."""
    status: Status
    """How the search ended."""
    history: tuple[float, ...]
    """One number for each sweep or step: the change (variational engine) or the objective (the others)."""


@dataclass(frozen=True)
class Cost:
    """Time and memory that some work took."""

    seconds: float
    """Wall time."""
    cpu_seconds: float
    """Processor time, over all threads."""
    peak_memory_mb: float
    """Most memory that the process has held up to the end of the work; NaN where the system does not say."""


class Meter:
    """Measures time and memory from its creation."""

    def __init__(self) -> None:
        """Start the clocks."""
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> Cost:
        """Return the cost so far."""
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
    """Let torch and numpy's BLAS use one thread each, and restore their settings afterwards."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with single_threaded_blas():
            yield
    finally:
        torch.set_num_threads(threads)


def single_threaded_blas() -> AbstractContextManager[object]:
    """Let numpy's BLAS use one thread inside the context; torch keeps its threads, for large networks.

    Returns:
        A context manager.
    """
    return _libraries(frozenset({"numpy", "scipy.linalg", "torch"} & sys.modules.keys())).limit(
        limits=1, user_api="blas"
    )


@cache
def _libraries(loaded: frozenset[str]) -> ThreadpoolController:  # noqa: ARG001 - a package brings a BLAS of its own
    """Find the thread pools of this process, once for each set of packages, as a search takes long for a small fit."""
    return ThreadpoolController()


@dataclass(frozen=True)
class HoldoutScore:
    """Scores of a fit's predictions of held-out answers, as `capscope fit --holdout --json` prints them."""

    model: str
    """Name of the fitted model."""
    engine: str
    """Name of the engine."""
    device: str
    """Device that it was fitted on."""
    status: str
    """The fit's status code."""
    reliability: dict[str, float]
    """Reliability of the abilities, by dimension."""
    seconds: float
    """Wall time of the fit."""
    cpu_seconds: float
    """Processor time of the fit."""
    peak_memory_mb: float
    """Most memory that the process has held."""
    n_models: int
    """Number of models."""
    n_items: int
    """Number of items."""
    n_responses: int
    """Number of answers that were fitted."""
    log_loss: float
    """Mean cross-entropy on the held-out answers, in nats."""
    auroc: float
    """Area under the ROC curve on the held-out answers; a score of at least one half is a success."""

    def as_dict(self) -> dict[str, object]:
        """Return plain numbers."""
        return asdict(self)


@dataclass(frozen=True)
class HeldOut(Generic[PosteriorT]):
    """Held-out answers, and a fit's predictions of them."""

    fit: Outcome[PosteriorT]
    """The fit to the other answers."""
    test: Responses
    """The answers held out."""
    chance: RowFloats
    """Predicted chance of success of each of them."""
    n_training: int
    """Number of answers fitted."""
    cost: Cost
    """Time and memory of the fit."""

    @property
    def log_loss(self) -> float:
        """Mean cross-entropy over the trials held out, in nats."""
        return log_loss_of(self.chance, self.test.score, self.test.n_trials)

    @property
    def auroc(self) -> float:
        """Area under the ROC curve; NaN where all of the answers are alike."""
        from sklearn.metrics import roc_auc_score

        success = self.test.score >= 0.5
        return float(roc_auc_score(success, self.chance)) if 0 < success.sum() < len(success) else float("nan")

    def __repr__(self) -> str:
        """One line."""
        return f"HeldOut({len(self.chance):,} answers, log-loss {self.log_loss:.4f}, AUROC {self.auroc:.4f})"


class NothingHeldOutError(FitError):
    """So few answers that a share of them leaves none to fit, or none to predict."""


def held_out_rows(n_rows: int, share: float, seed: int) -> np.ndarray:
    """Which rows are held out.

    Args:
        n_rows: Number of rows.
        share: Share of them to hold out.
        seed: Seed of the draw.
    """
    return np.random.default_rng(seed).random(n_rows) < share
