"""Mean scores from the draws of an adaptive run, for the model that answered and for past models on the same items.

Past models are estimated on the same items as if they were new. Their errors determine the width of the interval, and
a regression on their answers improves the score. Both are valid however the items were chosen, because given the
items, the choice holds no further information about the model.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from capscope.axes import FloatArray, RowFloats
from capscope.battery.banks.ability import Abilities, Curves, ItemPool, ability_posterior, residuals
from capscope.battery.banks.bank import Index
from capscope.battery.estimators.blend import PastErrors, blended
from capscope.battery.estimators.curves import DESIGN_WEIGHT, design_calibration
from capscope.battery.estimators.estimator import Estimate, chance_misfit, pattern_fit
from capscope.battery.estimators.regression import Ridge, summarised

EXPECTED_DRAWS = 10
"""The expected variance of contributions weighs as much as so many observed contributions."""
NEAR = 0.5
"""Past models are weighted by how near their scores are; scale of nearness, in standard deviations of past scores."""
FEWEST_MODELS = 8
"""With fewer past models, their errors are not used."""
MOST_MODELS, MOST_CELLS = 300, 1_200_000
"""Largest numbers of past models, and of their chances, that are computed for an interval."""

ModelTarget = Float[np.ndarray, "model target"]


@dataclass(frozen=True)
class Drawn:
    """The items of a run in order, with what was known of each when it was drawn."""

    curves: Curves
    """Curves of all items."""
    member: FloatArray
    """Weights (target, item) of the items in each target."""
    index: Index
    """Positions of the items drawn."""
    chance: RowFloats
    """Chance of each to be drawn."""
    spread: FloatArray
    """Expected standard deviation of each draw's contribution to each target, (draw, target)."""

    @property
    def weight(self) -> RowFloats:
        """Weight of each draw: the inverse of its expected variance, which does not depend on its answer."""
        inverse = self.spread[:, 0] ** -2.0
        return inverse / inverse.sum()

    @property
    def effective(self) -> float:
        """Effective number of draws (Kish, 1965)."""
        return float(1 / (self.weight**2).sum())

    @property
    def least_sd(self) -> RowFloats:
        """Smallest standard deviation of each target, however alike its contributions: half an answer."""
        member = self.member > 0
        asked = member[:, self.index].sum(1)
        return 0.5 / (asked + 1) * np.sqrt(np.maximum(1 - asked / member.sum(1), 0))


@dataclass(frozen=True)
class TargetScores:
    """Mean scores of models from their answers to the draws, before past models are used."""

    score: ModelTarget
    """Chances corrected by residuals over the chances of the draws, averaged over draws."""
    filled: ModelTarget
    """Answers where drawn, chances elsewhere."""
    variance: ModelTarget
    """Variance of the first, from the observed and the expected variance of the contributions."""
    pattern: RowFloats
    """Fit of each model's answers to its chances; see `pattern_fit`."""

    @classmethod
    def of(cls, drawn: Drawn, ability: Abilities, answers: FloatArray) -> "TargetScores":
        """Compute the scores of models from their answers.

        The contribution of a draw is the sum of the earlier answers, the chances of all other items, and the answer's
        own residual divided by its chance to be drawn. The variance uses residuals that leave the answer itself out.

        Args:
            drawn: The draws.
            ability: Abilities fitted to the answers.
            answers: Scores (model, draw).
        """
        fitted, left_out = residuals(drawn.curves.take(drawn.index), ability, answers)
        share, weight = drawn.member[:, drawn.index].T, drawn.weight
        weighted = fitted[:, :, None] * share
        expected = drawn.curves.mean_chances(ability.mean, drawn.member)
        before = expected[:, None] + np.cumsum(weighted, axis=1) - weighted
        chance = drawn.chance[:, None]
        score = np.einsum("d,mdt->mt", weight, before + weighted / chance)
        apart = before + left_out[:, :, None] * share / chance
        apart -= np.einsum("d,mdt->mt", weight, apart)[:, None]
        effective = drawn.effective
        seen = np.einsum("d,mdt->mt", weight**2, apart**2) * effective / max(effective - 1, 1)
        expected_variance = weight**2 @ drawn.spread**2
        variance = (effective * seen + EXPECTED_DRAWS * expected_variance) / (effective + EXPECTED_DRAWS)
        return cls(score, expected + weighted.sum(1), variance, pattern_fit(answers, fitted))


@dataclass(frozen=True)
class PastModels:
    """Answers of past models, and their mean scores on each target."""

    answers: FloatArray
    """Scores (model, item)."""
    truth: ModelTarget
    """Mean scores on the targets."""

    @classmethod
    def of(cls, pool: ItemPool, member: FloatArray) -> "PastModels":
        """Return some of a pool's past models, spread evenly over their scores, so that intervals are computed fast.

        Args:
            pool: Items and past answers.
            member: Weights (target, item) of the items in each target.
        """
        truth = pool.expected @ member.T
        most = int(np.clip(MOST_CELLS / pool.size, 50, MOST_MODELS))
        kept = np.arange(len(truth))
        if len(kept) > most:
            by_score = np.argsort(truth[:, 0], kind="stable")
            kept = np.sort(by_score[np.linspace(0, len(kept) - 1, most).astype(int)])
        return cls(pool.past[kept], truth[kept])


def estimate_targets(
    drawn: Drawn, ability: Abilities, answers: RowFloats, past: PastModels | None, level: float
) -> Estimate:
    """Estimate the mean score of each target, with an interval.

    Without past models, the run's own contributions are used alone. With them, the variance is calibrated by their
    errors, and the score is mixed with a regression by the probability that the model is unlike them.

    Args:
        drawn: The draws.
        ability: Abilities of the model that answered them.
        answers: Its scores, by draw.
        past: Answers of past models, or None.
        level: Nominal coverage.
    """
    new = TargetScores.of(drawn, ability, answers[None])
    score, sd = new.score[0], np.maximum(np.sqrt(new.variance[0]), drawn.least_sd)
    freedom = max(int(drawn.effective) - 1, 1)
    if past is not None and len(past.answers) >= FEWEST_MODELS:
        mixed = [np.concatenate(one) for one in _mixed(drawn, new, answers[None], past)]
        score, sd = np.array(mixed).T
        freedom = min(len(answers), len(past.answers)) - 1
    return Estimate.student(score, sd, freedom, level).reaching(answers[None])


def _mixed(
    drawn: Drawn, new: TargetScores, answers: FloatArray, past: PastModels
) -> Iterator[tuple[RowFloats, RowFloats]]:
    """Yield score and standard deviation of each target, from the draws and the regression together."""
    seen = past.answers[:, drawn.index]
    before = TargetScores.of(drawn, ability_posterior(drawn.curves.take(drawn.index), seen), seen)
    misfit = chance_misfit(new.pattern, before.pattern)
    for target, truth in enumerate(past.truth.T):
        error = before.score[:, target] - truth
        factor = design_calibration(error, before.variance[:, target], misfit)
        sd = np.maximum(factor * np.sqrt(new.variance[:, target]), drawn.least_sd[target])
        design = Estimate.student(new.score[:, target], sd, 1, 0.95)
        ridge = Ridge.of(summarised(before.filled[:, target], before.score[:, target], seen), truth)
        regression = ridge.predict(summarised(new.filled[:, target], new.score[:, target], answers))
        past_errors = PastErrors.of(error, -ridge.left_out, _nearness(truth, design))
        yield blended(design, regression, past_errors, truth, misfit)


def _nearness(truth: FloatArray, design: Estimate) -> RowFloats:
    """Return the weight of each past model: larger for nearer scores, beside a share that is equal for all."""
    reach = np.hypot(design.sd[0], NEAR * truth.std())
    near = np.exp(-0.5 * ((truth - design.score[0]) / reach) ** 2)
    total = max(float(near.sum()), 1e-12)
    effective = total**2 / max(float((near**2).sum()), 1e-24)
    return DESIGN_WEIGHT / len(truth) + min(effective, len(truth)) * near / total
