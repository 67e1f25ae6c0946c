"""What an engine returns: a posterior, a status with advice, and the history of the search."""

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

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

    def with_advice(self, *lines: str, first: bool = False) -> "Status":
        """Add lines of advice, at the end or at the start.

        Args:
            lines: The lines.
            first: Whether they come before the others.
        """
        return replace(self, advice=(*lines, *self.advice) if first else (*self.advice, *lines))


@dataclass(frozen=True)
class Outcome(Generic[PosteriorT]):
    """What an engine returns; `Fit` adds the settings that it was asked with."""

    posterior: PosteriorT
    """The posterior distribution."""
    status: Status
    """How the search ended."""
    history: tuple[float, ...]
    """One number for each sweep or step: the change (variational engine) or the objective (the others)."""
