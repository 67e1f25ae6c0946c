"""How well a fit does on answers held out: predictions row by row, and one score."""

from dataclasses import asdict, dataclass
from typing import Generic, TypeVar

import numpy as np

from capscope.axes import RowFloats
from capscope.data import Responses
from capscope.errors import FitError
from capscope.fit.links import log_loss_of
from capscope.fit.outcome import Outcome
from capscope.fit.resources import Cost

PosteriorT = TypeVar("PosteriorT")


@dataclass(frozen=True)
class HoldoutScore:
    """How well a fit predicts answers it has not seen; the layout that `capscope fit --holdout --json` prints."""

    model: str
    """What was fitted."""
    engine: str
    """How."""
    device: str
    """Where."""
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
    """Answers that a fit has not seen, and its predictions of them."""

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
