"""An adaptive battery: after each answer, where is the model, what to ask next, and what is its score.

Every open item keeps a known chance to be the next one. With the chances of success as known before it, what a draw
adds is a martingale difference, so that the score is unbiased however wrong the curves are and however the draws
depended on earlier answers (active inference: Zrnic & Candes, 2024). Here all draws are read with the chances as known
at the end, which are far better than those at the start: what that biases is of the order of abilities over answers.
What past models did on the same items makes the score better and says how wide its interval must be (`readings`).
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from capscope.axes import FloatArray, RowFloats
from capscope.battery.ability import Abilities, Curves, ability_posterior
from capscope.battery.banks.bank import Index
from capscope.battery.banks.pool import Pool
from capscope.battery.design.worth import response_variance
from capscope.battery.estimators import Estimate
from capscope.battery.live.readings import Drawn, PastModels, estimated
from capscope.errors import InputError

LEAST_SPREAD = 1e-9


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
    past: PastModels | None = None
    """What past models did; None to read intervals off the run's own answers."""

    @classmethod
    def start(
        cls,
        source: Curves | Pool,
        targets: Targets | None = None,
        askable: Index | None = None,
        settings: AdaptiveSettings | None = None,
    ) -> "AdaptiveBattery":
        """Begin with no answer.

        Args:
            source: Curves of the items, or a pool, whose past models make scores better and intervals narrower.
            targets: What is to be estimated; the mean score of all items by default.
            askable: Positions of the items that can be asked; all by default.
            settings: How to choose.
        """
        curves = source.curves if isinstance(source, Pool) else source
        size = len(curves.intercept)
        targets = targets or Targets.everything(size)
        prior = Abilities(curves.prior_mean[None], curves.prior_cov[None])
        left = np.arange(size) if askable is None else askable
        past = PastModels.of(source, targets.member) if isinstance(source, Pool) else None
        return cls(curves, targets, prior, left, settings or AdaptiveSettings(), past=past)

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

    def estimate(self, level: float = 0.95, count: int | None = None) -> Estimate:
        """Mean score of each target, with an interval.

        Args:
            level: Nominal coverage.
            count: Only the first so many targets; all by default.
        """
        member = self.targets.member[:count]
        if len(self.draws) < 2:
            mean = member @ self.expected
            return Estimate(mean, np.full(len(mean), 0.5), np.zeros_like(mean), np.ones_like(mean))
        drawn = Drawn(
            self.curves,
            member,
            np.array([draw.item for draw in self.draws]),
            np.array([draw.chance for draw in self.draws]),
            np.stack([draw.spread for draw in self.draws])[:, :count],
        )
        past = None if self.past is None else PastModels(self.past.answers, self.past.truth[:, :count])
        return estimated(drawn, self.ability, np.array([draw.score for draw in self.draws]), past, level)

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
