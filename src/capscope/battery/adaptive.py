"""An adaptive battery: after each answer, where is the model, what to ask next, and what is its score.

Every item keeps a known chance to be the next one, so the score is unbiased whatever the curves are worth, and its
interval follows from the martingale of the draws (after Zrnic & Candes, 2024).
"""

from dataclasses import dataclass, field

import numpy as np

from capscope.axes import RowFloats
from capscope.battery.ability import Abilities, ability_posterior
from capscope.battery.estimators import Estimate
from capscope.battery.pool import Pool
from capscope.battery.worth import response_variance
from capscope.errors import InputError


@dataclass(frozen=True)
class AdaptiveSettings:
    """How to choose the next item."""

    uniform: float = 0.1
    """Share of the draw spread evenly over what is left."""
    narrowing: float = 0.5
    """Share of the rest given to items that narrow the target; the remainder goes to items hard to foretell."""
    target: str = "score"
    """`score` narrows the mean score of the pool, `profile` the abilities."""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn.

        Raises:
            InputError: A number out of range, or an unknown target.
        """
        if not 0 < self.uniform <= 1 or not 0 <= self.narrowing <= 1:
            raise InputError("uniform lies in (0, 1] and narrowing in [0, 1]; change the one that does not")
        if self.target not in ("score", "profile"):
            raise InputError(f"unknown target '{self.target}'; use score or profile")


@dataclass
class AdaptiveBattery:
    """One model's run through a pool. Not frozen: it grows by one answer at a time."""

    pool: Pool
    """The items whose mean score is wanted."""
    settings: AdaptiveSettings = field(default_factory=AdaptiveSettings)
    """How to choose."""
    index: list[int] = field(default_factory=list[int])
    """Positions asked and answered, in order."""
    score: list[float] = field(default_factory=list[float])
    """Their scores."""
    chance: list[float] = field(default_factory=list[float])
    """Chance that each had to be the next one."""
    readings: list[float] = field(default_factory=list[float])
    """Unbiased readings of the score on the pool, one for each answer."""
    spread: list[float] = field(default_factory=list[float])
    """Standard deviation of each reading, as foreseen before its answer."""
    skipped: set[int] = field(default_factory=set[int])
    """Positions that could not be scored; they are not asked again and count as unanswered."""

    def __post_init__(self) -> None:
        """Start at the prior."""
        prior = self.pool.curves
        self._ability = Abilities(prior.prior_mean[None], prior.prior_cov[None])
        self._chances = prior.chances(self._ability.mean)[0]

    @property
    def ability(self) -> Abilities:
        """Posterior of the abilities after the answers so far, as those of one model."""
        return self._ability

    def next_chances(self) -> RowFloats:
        """Chance of each item of the pool to be asked next; 0 for those asked already.

        Raises:
            InputError: Nothing is left to ask.
        """
        left = np.ones(self.pool.size, dtype=bool)
        left[[*self.index, *self.skipped]] = False
        if not left.any():
            raise InputError("every item of the pool was asked; stop here")
        alone = np.sqrt(self._chances * (1 - self._chances)) * left
        narrow = self._narrowing() * left
        even = left / left.sum()
        first = alone / alone.sum() if alone.sum() > 0 else even
        second = narrow / narrow.sum() if narrow.sum() > 0 else first
        rest = (1 - self.settings.narrowing) * first + self.settings.narrowing * second
        return self.settings.uniform * even + (1 - self.settings.uniform) * rest

    def draw(self, rng: np.random.Generator) -> tuple[int, float]:
        """Draw the next item; returns its position and the chance it had."""
        chances = self.next_chances()
        item = int(np.searchsorted(np.cumsum(chances), rng.random() * chances.sum(), side="right"))
        item = min(item, int(np.flatnonzero(chances)[-1]))
        return item, float(chances[item])

    def record(self, item: int, chance: float, score: float) -> None:
        """Take in an answer to the item that was drawn.

        Args:
            item: Position in the pool.
            chance: The chance it had to be drawn, as `draw` said.
            score: Its score in [0, 1].

        Raises:
            InputError: The item was asked before, or the score is not from 0 to 1.
        """
        if item in self.index or not 0 <= score <= 1:
            raise InputError(f"item {item} was asked before, or its score {score} is not from 0 to 1")
        known = sum(self.score) - self._chances[self.index].sum() if self.index else 0.0
        foreseen = self._chances.sum() + known
        self.readings.append((foreseen + (score - self._chances[item]) / chance) / self.pool.size)
        self.spread.append(self._foreseen_spread())
        self.index.append(item)
        self.score.append(score)
        self.chance.append(chance)
        self._update()

    def skip(self, item: int) -> None:
        """Leave out an item that could not be scored. It is never a zero; the score stays that of the whole pool."""
        self.skipped.add(item)

    def estimate(self, level: float = 0.95) -> Estimate:
        """Score on the pool with an interval from the spread of the readings.

        Readings weigh by the inverse of the variance foreseen before each answer, which keeps them unbiased.

        Raises:
            InputError: Fewer than two answers.
        """
        if len(self.score) < 2:
            raise InputError(f"{len(self.score)} answers give no interval; ask at least 2")
        readings = np.array(self.readings)
        weight = np.array(self.spread) ** -2.0
        weight /= weight.sum()
        score = float((weight * readings).sum())
        effective = 1 / (weight**2).sum()
        variance = (weight**2 * (readings - score) ** 2).sum() * effective / max(effective - 1, 1)
        left = max(1 - len(self.score) / self.pool.size, 0.0)
        floor = 0.5 / (len(self.score) + 1) * left**0.5
        sd = np.array([max(float(np.sqrt(variance)), floor)])
        found = Estimate.student(np.array([score]), sd, max(int(effective) - 1, 1), level)
        return found.reaching(np.array(self.score)[None])

    def _update(self) -> None:
        drawn = self.pool.curves.take(np.array(self.index))
        answers = np.array(self.score)[None]
        self._ability = ability_posterior(drawn, answers, self._ability.mean)
        self._chances = self.pool.curves.chances(self._ability.mean)[0]

    def _narrowing(self) -> RowFloats:
        curves = self.pool.curves
        _, curvature = response_variance(curves, self._ability.mean)
        weight, cov = curvature[0], self._ability.cov[0]
        moved = curves.slope @ cov
        own = (moved * curves.slope).sum(1)
        if self.settings.target == "profile":
            return weight * (moved**2).sum(1) / (1 + weight * own)
        gradient = weight @ curves.slope / self.pool.size
        return weight * (moved @ gradient) ** 2 / (1 + weight * own)

    def _foreseen_spread(self) -> float:
        """Standard deviation of the next reading, if the curves and their uncertainty are right."""
        chances = self.next_chances()
        left = chances > 0
        curves = self.pool.curves
        _, curvature = response_variance(curves, self._ability.mean)
        doubt = np.einsum("nd,de,ne->n", curves.slope, self._ability.cov[0], curves.slope) * curvature[0] ** 2
        variance = (self._chances * (1 - self._chances) + doubt)[left]
        return max(float(np.sqrt((variance / chances[left]).sum())) / self.pool.size, 1e-9)
