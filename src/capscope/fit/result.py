"""What every engine returns: a posterior, a status with advice, and the history of the fit."""

from dataclasses import dataclass
from typing import Generic, TypeVar

import pandas as pd

from capscope.display import html_table

PosteriorT = TypeVar("PosteriorT")


@dataclass(frozen=True)
class Status:
    """How a fit ended, for people and for programs."""

    converged: bool
    """Whether the stopping rule was met."""
    code: str
    """One word for programs: ``converged`` or ``still-moving``, or ``nothing-to-measure``."""
    advice: tuple[str, ...] = ()
    """One line each: what is odd about the data or the fit, and what to do."""


@dataclass(frozen=True)
class Fit(Generic[PosteriorT]):
    """A fitted model."""

    posterior: PosteriorT
    """The posterior distribution."""
    status: Status
    """How the fit ended."""
    history: tuple[float, ...]
    """One number for each sweep or step: the change (variational engine) or the objective (the others)."""

    def _repr_html_(self) -> str:
        rows = [("status", self.status.code), ("steps", str(len(self.history)))]
        rows += [("advice", line) for line in self.status.advice]
        return html_table(f"Fit: {type(self.posterior).__name__}", pd.DataFrame(rows, columns=["what", "value"]))
