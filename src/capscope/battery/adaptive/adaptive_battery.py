"""The state of an adaptive battery: the model's abilities, the next item to ask, and the score so far.

Every item that is left keeps a known chance to be the next one. With chances of success as known before each draw,
what a draw adds is a martingale difference, so that the score is unbiased however wrong the curves are and however the
draws depended on earlier answers (active inference; Zrnic & Candes, 2024). Here all draws are evaluated with the
chances as known at the end, which are far better than those at the start; the bias of that is of the order of the
number of abilities over the number of answers. The answers of past models to the same items improve the score and
determine the width of its interval (`estimate`).
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from capscope.axes import FloatArray, RowFloats
from capscope.battery.adaptive.estimate import Drawn, PastModels, estimate_targets
from capscope.battery.banks.ability import Abilities, Curves, ItemPool, ability_posterior
from capscope.battery.banks.bank import Index
from capscope.battery.estimators import Estimate
from capscope.errors import InputError, counted

LEAST_SPREAD = 1e-9


@dataclass(frozen=True, kw_only=True)
class AdaptiveSettings:
    """Settings of the choice of the next item."""

    uniform: float = 0.1
    """Share of the draw spread evenly over the items that are left, so that no chance is near zero."""
    narrowing: float = 0.5
    """Share of the rest given to items that narrow the aim; the remainder goes to items with uncertain answers."""
    aim: str = "score"
    """`score` narrows the mean score of the first target, `profile` narrows the abilities."""

    def __post_init__(self) -> None:
        """Validate the settings.

        Raises:
            InputError: A number is out of range, or the aim is unknown.
        """
        if not 0 < self.uniform <= 1 or not 0 <= self.narrowing <= 1:
            raise InputError("uniform lies in (0, 1] and narrowing in [0, 1]; change the one that does not")
        if self.aim not in ("score", "profile"):
            raise InputError(f"unknown aim '{self.aim}'; use score or profile")


@dataclass(frozen=True)
class Targets:
    """Sets of items whose mean scores are wanted; the choice of items serves the first."""

    names: tuple[str, ...]
    """Their names."""
    member: FloatArray
    """Weights (target, item) that sum to 1 over each target's items."""

    @classmethod
    def everything(cls, size: int) -> "Targets":
        """Return one target: the mean score of all items."""
        return cls(("all",), np.full((1, size), 1 / size))


@dataclass(frozen=True)
class Draw:
    """One item that was drawn and answered."""

    item: int
    """Its position."""
    chance: float
    """Its chance to be drawn, given the answers before."""
    score: float
    """The score of its answer, 0 to 1."""
    spread: RowFloats
    """Standard deviation of its contribution to each target's mean score, as expected before the answer."""
    number: int = 0
    """Its place in the order of draws."""


@dataclass(frozen=True)
class HeldItem:
    """An item that was drawn and whose answer is still to come, with what was known when it was drawn."""

    item: int
    """Its position."""
    chance: float
    """Its chance to be drawn, given the items drawn before and the answers that had come by then."""
    spread: RowFloats
    """Standard deviation of its contribution to each target's mean score, as expected at the draw."""
    number: int
    """Its place in the order of draws."""

    def answered(self, score: float) -> Draw:
        """Return the draw with the score of its answer, 0 to 1."""
        return Draw(self.item, self.chance, score, self.spread, self.number)


@dataclass(frozen=True, repr=False)
class AdaptiveBattery:
    """One model's run so far; each answer gives a new state."""

    curves: Curves
    """Curves of the items."""
    targets: Targets
    """What is to be estimated."""
    ability: Abilities
    """The model's abilities, given its answers."""
    left: Index
    """Positions of the items that may still be asked."""
    settings: AdaptiveSettings = field(default_factory=AdaptiveSettings)
    """Settings of the choice."""
    draws: tuple[Draw, ...] = ()
    """Items drawn and answered, in order."""
    past: PastModels | None = None
    """Answers of past models; None to compute intervals from the run's own answers alone."""
    _estimates: dict[tuple[float, int | None], Estimate] = field(default_factory=dict, init=False, compare=False)
    """Estimates of this state: a stop rule and a progress bar ask for the same one."""

    @classmethod
    def start(
        cls,
        source: Curves | ItemPool,
        targets: Targets | None = None,
        askable: Index | None = None,
        settings: AdaptiveSettings | None = None,
    ) -> "AdaptiveBattery":
        """Return the state before any answer.

        Args:
            source: Curves of the items, or a pool, whose past models improve scores and narrow intervals.
            targets: What is to be estimated; the mean score of all items by default.
            askable: Positions of the items that can be asked; all by default.
            settings: Settings of the choice.
        """
        curves = source.curves if isinstance(source, ItemPool) else source
        size = len(curves.intercept)
        targets = targets or Targets.everything(size)
        prior = Abilities(curves.prior_mean[None], curves.prior_cov[None])
        left = np.arange(size) if askable is None else askable
        past = PastModels.of(source, targets.member) if isinstance(source, ItemPool) else None
        return cls(curves, targets, prior, left, settings or AdaptiveSettings(), past=past)

    @cached_property
    def expected(self) -> RowFloats:
        """Chance of success on every item, as known now."""
        return self.curves.chances(self.ability.mean)[0]

    @cached_property
    def next_chances(self) -> RowFloats:
        """Chance of each item that is left to be the next one.

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

        Args:
            rng: Source of randomness.

        Returns:
            Its position and its chance to be drawn.
        """
        chances = self.next_chances
        place = int(rng.choice(len(chances), p=chances / chances.sum()))
        return int(self.left[place]), float(chances[place])

    def without(self, item: int) -> "AdaptiveBattery":
        """Return the state after an item that gave no score: it is not asked again, and it does not count as wrong."""
        return replace(self, left=self.left[self.left != item])

    def with_answer(self, item: int, chance: float, score: float) -> "AdaptiveBattery":
        """Return the state after an answer to the item that was drawn.

        Args:
            item: Its position.
            chance: Its chance to be drawn, as returned by `draw`.
            score: Its score in [0, 1].

        Raises:
            InputError: The item is not left to ask, or the score is not from 0 to 1.
        """
        if item not in self.left or not 0 <= score <= 1:
            raise InputError(f"item {item} is not left to ask, or its score {score} is not from 0 to 1")
        drawn = Draw(item, chance, score, self._expected_spread(), len(self.draws))
        return self.without(item)._with_draws((*self.draws, drawn))

    def hold(self, number: int, rng: np.random.Generator) -> tuple["AdaptiveBattery", HeldItem]:
        """Draw the next item while answers to earlier ones are still to come; it cannot be drawn again.

        Chances and spreads stay valid because each is taken given the draws before, whether answered or not.

        Args:
            number: Number of items drawn before.
            rng: Source of randomness.

        Raises:
            InputError: Nothing is left to ask.
        """
        item, chance = self.draw(rng)
        return self.without(item), HeldItem(item, chance, self._expected_spread(), number)

    def with_held_answer(self, held: HeldItem, score: float) -> "AdaptiveBattery":
        """Return the state after the answer to a held item; a second answer, as of another epoch, replaces the first.

        Args:
            held: The held item that was answered.
            score: Score of the answer, a share from 0 to 1.

        Raises:
            InputError: The score is not from 0 to 1.
        """
        if not 0 <= score <= 1:
            raise InputError(f"the score {score} of item {held.item} is not from 0 to 1")
        others = [draw for draw in self.draws if draw.item != held.item]
        draws = sorted([*others, held.answered(score)], key=lambda draw: draw.number)
        return self.without(held.item)._with_draws(tuple(draws))

    def estimate(self, level: float = 0.95, count: int | None = None) -> Estimate:
        """Estimate the mean score of each target, with an interval.

        Args:
            level: Nominal coverage.
            count: Only the first so many targets; all by default.
        """
        if (level, count) not in self._estimates:
            self._estimates[level, count] = self._estimate(level, count)
        return self._estimates[level, count]

    def _estimate(self, level: float, count: int | None) -> Estimate:
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
        return estimate_targets(drawn, self.ability, np.array([draw.score for draw in self.draws]), past, level)

    def __repr__(self) -> str:
        return f"AdaptiveBattery({counted(len(self.draws), 'answer')}, {counted(len(self.left), 'item')} left)"

    def _with_draws(self, draws: tuple[Draw, ...]) -> "AdaptiveBattery":
        asked = np.array([each.item for each in draws])
        answers = np.array([[each.score for each in draws]])
        ability = ability_posterior(self.curves.take(asked), answers, self.ability.mean)
        return replace(self, ability=ability, draws=draws)

    def _narrowing(self) -> RowFloats:
        """Return the expected reduction of the variance of the aim by each item's answer."""
        _, curvature = self.curves.response_variance(self.ability.mean)
        weight, moved = curvature[0], self.curves.slope @ self.ability.cov[0]
        own = (moved * self.curves.slope).sum(1)
        if self.settings.aim == "profile":
            return weight * (moved**2).sum(1) / (1 + weight * own)
        gradient = (weight * self.targets.member[0]) @ self.curves.slope
        return weight * (moved @ gradient) ** 2 / (1 + weight * own)

    def _expected_spread(self) -> RowFloats:
        """Return the sd of the next answer's contribution to each target, as the curves and their uncertainty say."""
        _, curvature = self.curves.response_variance(self.ability.mean)
        slope, cov = self.curves.slope[self.left], self.ability.cov[0]
        unknown = np.einsum("nd,de,ne->n", slope, cov, slope) * curvature[0][self.left] ** 2
        expected = self.expected[self.left]
        variance = self.targets.member[:, self.left] ** 2 @ ((expected * (1 - expected) + unknown) / self.next_chances)
        return np.maximum(np.sqrt(variance), LEAST_SPREAD)


def _share(values: RowFloats, otherwise: RowFloats) -> RowFloats:
    total = values.sum()
    return values / total if total > 0 else otherwise
