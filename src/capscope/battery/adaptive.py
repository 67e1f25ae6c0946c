"""Adaptive batteries: which item to ask next, and a score that stays unbiased whatever was asked.

Each item is drawn with a known chance. What a draw adds is a martingale difference, so that the score is unbiased and
its interval holds however the curves are wrong and however the draws depended on earlier answers (active inference:
Zrnic & Candes, 2024).
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from capscope.axes import FloatArray, RowFloats
from capscope.battery.ability import Abilities, Curves, ability_posterior
from capscope.battery.bank import Index

UNIFORM_SHARE = 0.2
"""Share of every draw that is uniform over the items left: no chance is ever near zero."""
MOST_FREEDOM = 30
"""Draws late in a run are alike, early ones are not: tails stay heavier than normal."""


@dataclass(frozen=True)
class Draw:
    """One item that was drawn and answered."""

    item: int
    """Position in the bank."""
    chance: float
    """Chance it had to be drawn, given the answers before."""
    score: float
    """The answer's score."""
    estimate: RowFloats
    """What this draw alone says of the mean score of each target."""
    precision: float
    """How much it counts, known before the answer."""


@dataclass(frozen=True)
class Targets:
    """Sets of items whose mean scores are wanted; the first steers the choice."""

    names: tuple[str, ...]
    """Their names."""
    member: FloatArray
    """Weights (target, item) that sum to 1 over each target's items."""


@dataclass(frozen=True)
class State:
    """A run so far."""

    curves: Curves
    """The bank's curves."""
    targets: Targets
    """What is to be estimated."""
    ability: Abilities
    """The new model's abilities, given its answers."""
    open: Index
    """Positions of the items that may still be asked."""
    draws: tuple[Draw, ...] = ()
    """What was drawn and answered."""

    @classmethod
    def start(cls, curves: Curves, targets: Targets, askable: Index) -> "State":
        """Begin with no answer."""
        prior = Abilities(curves.prior_mean[None], curves.prior_cov[None])
        return cls(curves, targets, prior, askable)

    def chances(self) -> RowFloats:
        """Chance of success on every item of the bank, as known now."""
        return self.curves.chances(self.ability.mean)[0]

    def without(self, item: int) -> "State":
        """The run when an item gave no score: it is not asked again, and counts for nothing."""
        return State(self.curves, self.targets, self.ability, self.open[self.open != item], self.draws)

    def with_answer(self, item: int, chance: float, score: float) -> "State":
        """The run after an answer.

        Args:
            item: Position of the item.
            chance: Chance it had to be drawn.
            score: The answer's score.
        """
        draw = Draw(item, chance, score, self._says(item, chance, score), self._precision())
        draws = (*self.draws, draw)
        asked = np.array([each.item for each in draws])
        answers = np.array([[each.score for each in draws]])
        ability = ability_posterior(self.curves.take(asked), answers, self.ability.mean)
        return State(self.curves, self.targets, ability, self.open[self.open != item], draws)

    def _says(self, item: int, chance: float, score: float) -> RowFloats:
        """Answers so far, chances elsewhere, and the surprise of this answer weighted by its chance to be drawn."""
        expected = self.chances()
        known = expected.copy()
        for draw in self.draws:
            known[draw.item] = draw.score
        return self.targets.member @ known + self.targets.member[:, item] * (score - expected[item]) / chance

    def _precision(self) -> float:
        """One over the variance that the curves expect of the next draw's estimate of the first target."""
        left = np.isin(np.arange(len(self.curves.intercept)), self.open)
        expected = self.chances()[left]
        weight = self.targets.member[0][left]
        chance = draw_chances(self)
        return 1 / max(float((weight**2 * expected * (1 - expected) / chance).sum()), 1e-12)

    def scores(self, level: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Estimated mean score of each target, with the bounds of its interval.

        Args:
            level: Nominal coverage.
        """
        if len(self.draws) < 2:
            mean = self.targets.member @ self.chances()
            return mean, np.zeros_like(mean), np.ones_like(mean)
        says = np.stack([draw.estimate for draw in self.draws])
        weight = np.array([draw.precision for draw in self.draws])
        weight = weight / weight.sum()
        mean = weight @ says
        n = len(self.draws)
        variance = n / (n - 1) * (weight[:, None] ** 2 * (says - mean) ** 2).sum(axis=0)
        width = stats.t.ppf((1 + level) / 2, min(n - 1, MOST_FREEDOM)) * np.sqrt(variance)
        return np.clip(mean, 0, 1), np.clip(mean - width, 0, 1), np.clip(mean + width, 0, 1)


def draw_chances(state: State) -> RowFloats:
    """Chance of each open item to be drawn next.

    Items count by what their answer is expected to teach about the first target (the reduction of its variance through
    the abilities) and by how unsure their answer is (what the correction by draw chances needs); a fixed share is
    uniform.
    """
    expected = state.chances()
    unsure = expected * (1 - expected)
    slope, cov = state.curves.slope[state.open], state.ability.cov[0]
    direction = cov @ ((state.targets.member[0] * unsure) @ state.curves.slope)
    own = unsure[state.open]
    gain = own * (slope @ direction) ** 2 / (1 + own * np.einsum("nd,de,ne->n", slope, cov, slope))
    spread = np.sqrt(own) * state.targets.member[0][state.open]
    told = 1 / (1 + len(state.draws) / max(slope.shape[1], 1))
    wanted = told * _share(gain) + (1 - told) * _share(spread)
    return (1 - UNIFORM_SHARE) * wanted + UNIFORM_SHARE / len(state.open)


def next_item(state: State, rng: np.random.Generator) -> tuple[int, float]:
    """Draw the next item.

    Returns:
        Its position in the bank and the chance it had.
    """
    chance = draw_chances(state)
    place = int(rng.choice(len(chance), p=chance / chance.sum()))
    return int(state.open[place]), float(chance[place])


def _share(values: RowFloats) -> RowFloats:
    total = values.sum()
    return values / total if total > 0 else np.full(len(values), 1 / len(values))
