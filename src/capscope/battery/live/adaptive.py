"""An adaptive battery: after each answer, where is the model, what to ask next, and what is its score.

Every open item keeps a known chance to be the next one. With the chances of success as known before it, what a draw
adds is a martingale difference, so that the score is unbiased however wrong the curves are and however the draws
depended on earlier answers (active inference: Zrnic & Candes, 2024). Here all draws are read with the chances as known
at the end, which are far better than those at the start: what that biases is of the order of abilities over answers,
and each residual is taken as if its own answer had not been seen where the interval is made.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from capscope.axes import FloatArray, RowFloats
from capscope.battery.ability import Abilities, Curves, ability_posterior, residuals
from capscope.battery.banks.bank import Index
from capscope.battery.design.worth import response_variance
from capscope.battery.estimators import Estimate
from capscope.errors import InputError

LEAST_SPREAD = 1e-9
FORESEEN_DRAWS = 10
"""What was foreseen of the spread of readings counts as much as so many readings."""


@dataclass(frozen=True)
class AdaptiveSettings:
    """How to choose the next item."""

    uniform: float = 0.1
    """Share of the draw spread evenly over what is left: no chance is ever near zero."""
    narrowing: float = 0.5
    """Share of the rest given to items that narrow the aim; the remainder goes to items hard to foretell."""
    aim: str = "score"
    """`score` narrows the mean score of the first target, `profile` the abilities."""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn.

        Raises:
            InputError: A number out of range, or an unknown aim.
        """
        if not 0 < self.uniform <= 1 or not 0 <= self.narrowing <= 1:
            raise InputError("uniform lies in (0, 1] and narrowing in [0, 1]; change the one that does not")
        if self.aim not in ("score", "profile"):
            raise InputError(f"unknown aim '{self.aim}'; use score or profile")


@dataclass(frozen=True)
class Targets:
    """Sets of items whose mean scores are wanted; the first steers the choice."""

    names: tuple[str, ...]
    """Their names."""
    member: FloatArray
    """Weights (target, item) that sum to 1 over each target's items."""

    @classmethod
    def everything(cls, size: int) -> "Targets":
        """One target: the mean score of all items."""
        return cls(("all",), np.full((1, size), 1 / size))


@dataclass(frozen=True)
class Draw:
    """One item that was drawn and answered."""

    item: int
    """Its position."""
    chance: float
    """Chance it had to be drawn, given the answers before."""
    score: float
    """The answer's score."""
    spread: RowFloats
    """Standard deviation of what it tells of the mean score of each target, as foreseen before the answer."""


@dataclass(frozen=True)
class AdaptiveBattery:
    """One model's run so far; each answer makes the next one."""

    curves: Curves
    """Curves of the items."""
    targets: Targets
    """What is to be estimated."""
    ability: Abilities
    """The model's abilities, given its answers."""
    left: Index
    """Positions of the items that may still be asked."""
    settings: AdaptiveSettings = field(default_factory=AdaptiveSettings)
    """How to choose."""
    draws: tuple[Draw, ...] = ()
    """What was drawn and answered."""

    @classmethod
    def start(
        cls,
        curves: Curves,
        targets: Targets | None = None,
        askable: Index | None = None,
        settings: AdaptiveSettings | None = None,
    ) -> "AdaptiveBattery":
        """Begin with no answer.

        Args:
            curves: Curves of the items.
            targets: What is to be estimated; the mean score of all items by default.
            askable: Positions of the items that can be asked; all by default.
            settings: How to choose.
        """
        size = len(curves.intercept)
        prior = Abilities(curves.prior_mean[None], curves.prior_cov[None])
        left = np.arange(size) if askable is None else askable
        return cls(curves, targets or Targets.everything(size), prior, left, settings or AdaptiveSettings())

    @cached_property
    def expected(self) -> RowFloats:
        """Chance of success on every item, as known now."""
        return self.curves.chances(self.ability.mean)[0]

    @cached_property
    def next_chances(self) -> RowFloats:
        """Chance of each item that is left to be asked next.

        Raises:
            InputError: Nothing is left to ask.
        """
        if not len(self.left):
            raise InputError("every item was asked; stop here")
        even = np.full(len(self.left), 1 / len(self.left))
        unsure = np.sqrt(self.expected * (1 - self.expected))[self.left] * self.targets.member[0][self.left]
        first = _share(unsure, even)
        second = _share(self._narrowing()[self.left], first)
        rest = (1 - self.settings.narrowing) * first + self.settings.narrowing * second
        return self.settings.uniform * even + (1 - self.settings.uniform) * rest

    def draw(self, rng: np.random.Generator) -> tuple[int, float]:
        """Draw the next item.

        Returns:
            Its position and the chance it had.
        """
        chances = self.next_chances
        place = int(rng.choice(len(chances), p=chances / chances.sum()))
        return int(self.left[place]), float(chances[place])

    def without(self, item: int) -> "AdaptiveBattery":
        """The run when an item gave no score: it is not asked again, and is never a zero."""
        return replace(self, left=self.left[self.left != item])

    def with_answer(self, item: int, chance: float, score: float) -> "AdaptiveBattery":
        """The run after an answer to the item that was drawn.

        Args:
            item: Its position.
            chance: The chance it had to be drawn, as `draw` said.
            score: Its score in [0, 1].

        Raises:
            InputError: The item is not left to ask, or the score is not from 0 to 1.
        """
        if item not in self.left or not 0 <= score <= 1:
            raise InputError(f"item {item} is not left to ask, or its score {score} is not from 0 to 1")
        draws = (*self.draws, Draw(item, chance, score, self._foreseen_spread()))
        asked = np.array([each.item for each in draws])
        answers = np.array([[each.score for each in draws]])
        ability = ability_posterior(self.curves.take(asked), answers, self.ability.mean)
        return replace(self, ability=ability, left=self.left[self.left != item], draws=draws)

    def estimate(self, level: float = 0.95) -> Estimate:
        """Mean score of each target, with an interval from the spread of its readings.

        Readings count by the inverse of the variance foreseen before each answer, which depends on none of them. Their
        own spread counts in the interval together with what was foreseen, as much as `FORESEEN_DRAWS` of them.

        Args:
            level: Nominal coverage.
        """
        if len(self.draws) < 2:
            mean = self.targets.member @ self.expected
            return Estimate(mean, np.full(len(mean), 0.5), np.zeros_like(mean), np.ones_like(mean))
        readings, left_out = self._readings()
        spread = np.stack([draw.spread for draw in self.draws])
        weight = spread[:, 0] ** -2.0
        weight /= weight.sum()
        effective = 1 / (weight**2).sum()
        seen = (weight**2) @ (left_out - weight @ left_out) ** 2 * effective / max(effective - 1, 1)
        foreseen = (weight**2) @ spread**2
        variance = (effective * seen + FORESEEN_DRAWS * foreseen) / (effective + FORESEEN_DRAWS)
        sd = np.maximum(np.sqrt(variance), self._least_sd())
        found = Estimate.student(weight @ readings, sd, max(int(effective) - 1, 1), level)
        return found.reaching(np.array([[draw.score for draw in self.draws]]))

    def _readings(self) -> tuple[FloatArray, FloatArray]:
        """What each draw says of the mean score of each target, (draw, target), as fitted and with itself left out.

        Answers before it, chances elsewhere, and its own surprise over its chance to be drawn.
        """
        asked = np.array([draw.item for draw in self.draws])
        answers = np.array([[draw.score for draw in self.draws]])
        drawn = np.array([draw.chance for draw in self.draws])
        fitted, left_out = residuals(self.curves.take(asked), self.ability, answers)
        weight = self.targets.member[:, asked]
        surprise = weight * fitted
        before = (self.targets.member @ self.expected)[:, None] + np.cumsum(surprise, axis=1) - surprise
        return (before + surprise / drawn).T, (before + weight * left_out / drawn).T

    def _least_sd(self) -> RowFloats:
        """What answers of a target alone could not rule out, however alike its readings: none were drawn, say."""
        member = self.targets.member > 0
        asked = member[:, [draw.item for draw in self.draws]].sum(1)
        return 0.5 / (asked + 1) * np.sqrt(np.maximum(1 - asked / member.sum(1), 0))

    def _narrowing(self) -> RowFloats:
        """Expected reduction of the variance of the aim by each item's answer."""
        _, curvature = response_variance(self.curves, self.ability.mean)
        weight, moved = curvature[0], self.curves.slope @ self.ability.cov[0]
        own = (moved * self.curves.slope).sum(1)
        if self.settings.aim == "profile":
            return weight * (moved**2).sum(1) / (1 + weight * own)
        gradient = (weight * self.targets.member[0]) @ self.curves.slope
        return weight * (moved @ gradient) ** 2 / (1 + weight * own)

    def _foreseen_spread(self) -> RowFloats:
        """Standard deviation of the next reading of each target, if the curves and their uncertainty are right."""
        _, curvature = response_variance(self.curves, self.ability.mean)
        slope, cov = self.curves.slope[self.left], self.ability.cov[0]
        doubt = np.einsum("nd,de,ne->n", slope, cov, slope) * curvature[0][self.left] ** 2
        expected = self.expected[self.left]
        variance = self.targets.member[:, self.left] ** 2 @ ((expected * (1 - expected) + doubt) / self.next_chances)
        return np.maximum(np.sqrt(variance), LEAST_SPREAD)


def _share(values: RowFloats, otherwise: RowFloats) -> RowFloats:
    total = values.sum()
    return values / total if total > 0 else otherwise
