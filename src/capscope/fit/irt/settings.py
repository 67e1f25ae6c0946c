"""Settings of item response models."""

from dataclasses import dataclass
from typing import Literal

from capscope.errors import FitError, nearest
from capscope.fit.irt.score_models import SCORE_MODELS

ModelName = Literal["rasch", "2pl", "3pl", "4pl", "mirt", "auto"]
FormName = Literal["signed", "positive", "auto"]
DeviceName = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class IRTSettings:
    """The model to fit, and the stopping rule and resources of its fit."""

    model: ModelName = "auto"
    """``rasch`` (one slope for all items), ``2pl``, ``3pl`` (and a floor of guessing), ``4pl`` (and a ceiling),
    ``mirt`` (``dims`` abilities), ``auto`` (held-out cells choose)."""
    dims: int = 1
    """Number of abilities; more than 1 needs ``mirt``, ``3pl`` or ``4pl``."""
    form: FormName = "auto"
    """Items on ``(a, d)`` with slopes of either sign, on ``(log a, b)`` with positive ones, or chosen by held-out
    cells. Only models with free slopes and one ability have the choice."""
    seed: int = 0
    """Seed of everything random: the held-out cells of ``auto`` and the start with several dimensions."""
    max_sweeps: int = 200
    """Most sweeps over models and items."""
    tolerance: float = 0.02
    """Stop when the root-mean-square change in a sweep is below this share of a posterior standard deviation."""
    device: DeviceName = "auto"
    """Where to compute; ``auto`` takes a GPU where there is one."""
    threads: int = 1
    """Row chunks worked on at once on the CPU."""
    memory_mb: float = 8192.0
    """Megabytes that the cells may take; where they need more, they are kept on disk and read a chunk at a time."""

    response: str = "auto"
    """What scores are, a name in `SCORE_MODELS`: ``auto`` takes them as right and wrong, or as shares of right trials
    (fractions count as quasi-binomial); ``graded`` takes them as ordered grades ``k / (K - 1)`` (graded response
    model), ``continuous`` as draws from a Beta density around the chance of success, with a precision of each item."""

    def __post_init__(self) -> None:
        """Validate the settings.

        Raises:
            FitError: One line with what to change.
        """
        if self.dims < 1 or self.max_sweeps < 1 or self.threads < 1 or not min(self.tolerance, self.memory_mb) > 0:
            raise FitError("IRTSettings: dims, max_sweeps, threads, tolerance and memory_mb must be positive")
        if self.response not in SCORE_MODELS:
            known = ", ".join(SCORE_MODELS)
            raise FitError(
                f"unknown response '{self.response}'{nearest(self.response, SCORE_MODELS)}; use one of {known}"
            )
        if self.dims > 1 and self.model in ("rasch", "2pl"):
            raise FitError(f"IRTSettings: {self.model} has one ability; use model='mirt' for dims={self.dims}")
        if self.response != "auto" and (self.model in ("3pl", "4pl") or self.form == "positive"):
            raise FitError(
                f"IRTSettings: {self.response} scores have no floor of guessing; use model='2pl', form='signed'"
            )
        if self.form == "positive" and (self.model in ("rasch", "mirt") or self.dims > 1):
            raise FitError(f"IRTSettings: form 'positive' is for model '2pl'; use form='signed' for {self.model}")
