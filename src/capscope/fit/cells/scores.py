"""What was answered in a cell, packed small: one byte where that is exact, else two floats.

The layouts (`dense`, `sparse`) say where cells are; here is what the formulas of `links` make of their content. A floor
of guessing belongs to items, so the layouts hand it in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int8, UInt8
from torch import Tensor

from capscope.fit.links import (
    Block,
    signed_log_likelihood,
    signed_residuals,
    weighted_log_likelihood,
    weighted_residuals,
)

Floor = Tensor | None


@runtime_checkable
class CellScores(Protocol):
    """Scores and trials of many cells, in one or two axes."""

    def residuals(self, mean: Block, variance: Block, floor: Floor) -> tuple[Block, Block]:
        """Expected residuals and curvatures; see `links.weighted_residuals`."""
        ...

    def log_likelihood(self, mean: Block, variance: Block, floor: Floor) -> Block:
        """Log-likelihood of each cell, up to a constant where nothing was administered."""
        ...

    def mapped(self, change: Callable[[Tensor], Tensor]) -> "CellScores":
        """The same change (a part, a transpose, a move to a device) made to whatever is aligned with the cells."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        ...


@dataclass(frozen=True)
class SignedScores:
    """Right or wrong answers, one byte a cell."""

    sign: Int8[Tensor, "*cells"]
    """1 right, -1 wrong, 0 not administered."""

    def residuals(self, mean: Block, variance: Block, floor: Floor) -> tuple[Block, Block]:
        """Expected residuals and curvatures; see `links.signed_residuals`."""
        if floor is not None:
            return self._spelt_out().residuals(mean, variance, floor)
        return signed_residuals(mean, variance, self.sign.to(mean.dtype))

    def log_likelihood(self, mean: Block, variance: Block, floor: Floor) -> Block:
        """Log-likelihood of each cell, up to a constant where nothing was administered."""
        if floor is not None:
            return self._spelt_out().log_likelihood(mean, variance, floor)
        return signed_log_likelihood(mean, variance, self.sign.to(mean.dtype))

    def mapped(self, change: Callable[[Tensor], Tensor]) -> "SignedScores":
        """Change the signs."""
        return SignedScores(change(self.sign))

    def _spelt_out(self) -> "WeightedScores":
        return WeightedScores((self.sign > 0).float(), self.sign.abs().float())

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(self.sign.shape)


@dataclass(frozen=True)
class WeightedScores:
    """Scores in [0, 1] with a number of trials behind each."""

    score: Float[Tensor, "*cells"]
    """Mean score of each cell."""
    trials: Float[Tensor, "*cells"]
    """Trials of each cell; 0 for not administered."""

    def residuals(self, mean: Block, variance: Block, floor: Floor) -> tuple[Block, Block]:
        """Expected residuals and curvatures; see `links.weighted_residuals`."""
        return weighted_residuals(mean, variance, self.score, self.trials, floor)

    def log_likelihood(self, mean: Block, variance: Block, floor: Floor) -> Block:
        """Log-likelihood of each cell; 0 where nothing was administered."""
        return weighted_log_likelihood(mean, variance, self.score, self.trials, floor)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> "WeightedScores":
        """Change scores and trials."""
        return WeightedScores(change(self.score), change(self.trials))

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(self.score.shape)


@dataclass(frozen=True)
class CodedScores:
    """Scores with trials, one byte a cell: the position in a short list of the pairs that occur."""

    code: UInt8[Tensor, "*cells"]
    """Position of each cell's pair."""
    score: Float[Tensor, " pair"]
    """Scores that occur."""
    trials: Float[Tensor, " pair"]
    """Trials behind each of them; 0 for not administered."""

    def residuals(self, mean: Block, variance: Block, floor: Floor) -> tuple[Block, Block]:
        """Expected residuals and curvatures; see `links.weighted_residuals`."""
        return self._spelt_out().residuals(mean, variance, floor)

    def log_likelihood(self, mean: Block, variance: Block, floor: Floor) -> Block:
        """Log-likelihood of each cell; 0 where nothing was administered."""
        return self._spelt_out().log_likelihood(mean, variance, floor)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> "CodedScores":
        """Change the codes; the list moves along to their device."""
        code = change(self.code)
        return CodedScores(code, self.score.to(code.device), self.trials.to(code.device))

    def _spelt_out(self) -> WeightedScores:
        flat = self.code.reshape(-1).int()
        score, trials = (values.index_select(0, flat).view(self.code.shape) for values in (self.score, self.trials))
        return WeightedScores(score, trials)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(self.code.shape)
