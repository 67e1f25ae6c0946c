"""What the draws of an adaptive run say of mean scores: of the model that gave the answers, and of past models.

Past models are read on the same items as if they were new. Their errors tell how wide the interval must be, and a
regression learns from their answers, which may be done however the items were chosen: given the items, the choice
says nothing more of the model.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from capscope.axes import FloatArray, RowFloats
from capscope.battery.ability import Abilities, Curves, ability_posterior, residuals
from capscope.battery.banks.bank import Index
from capscope.battery.banks.pool import Pool
from capscope.battery.estimators.blend import PastErrors, blended
from capscope.battery.estimators.curves import TRUSTED_MODELS, design_calibration
from capscope.battery.estimators.estimator import Estimate
from capscope.battery.estimators.person_fit import chance_misfit, pattern_fit
from capscope.battery.estimators.regression import Ridge, summarised

FORESEEN_DRAWS = 10
"""What was foreseen of the spread of readings counts as much as so many readings."""
NEAR = 0.5
"""Past models count by how near they score; this is near, in standard deviations of past scores."""
FEWEST_MODELS = 8
"""Fewer past models than these teach nothing of errors."""
MOST_MODELS, MOST_CELLS = 300, 1_200_000
"""At most so many past models, and so many of their chances, are worked out for an interval."""

ModelTarget = Float[np.ndarray, "model target"]


@dataclass(frozen=True)
class Drawn:
    """The items of a run in their order, and what was known of each when it was drawn."""

    curves: Curves
    """Curves of all items."""
    member: FloatArray
    """Weights (target, item) of the items in each target."""
    index: Index
    """Positions of the items drawn."""
    chance: RowFloats
    """Chance that each had to be drawn."""
    spread: FloatArray
    """Standard deviation of what each tells of each target, (draw, target), as foreseen."""

    @property
    def weight(self) -> RowFloats:
        """What each draw counts: the inverse of its foreseen variance, which depends on no answer to it."""
        inverse = self.spread[:, 0] ** -2.0
        return inverse / inverse.sum()

    @property
    def effective(self) -> float:
        """Number of draws of equal weight that are worth as much (Kish, 1965)."""
        return float(1 / (self.weight**2).sum())

    @property
    def least_sd(self) -> RowFloats:
        """What answers of a target alone could not rule out, however alike its readings: none were drawn, say."""
        member = self.member > 0
        asked = member[:, self.index].sum(1)
        return 0.5 / (asked + 1) * np.sqrt(np.maximum(1 - asked / member.sum(1), 0))


@dataclass(frozen=True)
class Readings:
    """What the draws say of models that answered them."""

    score: ModelTarget
    """Mean of the readings: chances, corrected by surprises over the chances of the draws."""
    filled: ModelTarget
    """Answers where drawn, chances elsewhere."""
    variance: ModelTarget
    """Variance of the first, from the spread of the readings, seen and foreseen."""
    pattern: RowFloats
    """How well the answers fit the chances; see `pattern_fit`."""

    @classmethod
    def of(cls, drawn: Drawn, ability: Abilities, answers: FloatArray) -> "Readings":
        """Read the answers.

        A reading is what was answered before, the chances elsewhere, and the answer's own surprise over its chance to
        be drawn. For the variance each surprise is taken as if its own answer had not been seen.

        Args:
            drawn: The draws.
            ability: Abilities fitted to the answers.
            answers: Scores (model, draw).
        """
        fitted, left_out = residuals(drawn.curves.take(drawn.index), ability, answers)
        share, weight = drawn.member[:, drawn.index].T, drawn.weight
        surprise = fitted[:, :, None] * share
        expected = drawn.curves.chances(ability.mean) @ drawn.member.T
        before = expected[:, None] + np.cumsum(surprise, axis=1) - surprise
        chance = drawn.chance[:, None]
        score = np.einsum("d,mdt->mt", weight, before + surprise / chance)
        apart = before + left_out[:, :, None] * share / chance
        apart -= np.einsum("d,mdt->mt", weight, apart)[:, None]
        effective = drawn.effective
        seen = np.einsum("d,mdt->mt", weight**2, apart**2) * effective / max(effective - 1, 1)
        foreseen = weight**2 @ drawn.spread**2
        variance = (effective * seen + FORESEEN_DRAWS * foreseen) / (effective + FORESEEN_DRAWS)
        return cls(score, expected + surprise.sum(1), variance, pattern_fit(answers, fitted))


@dataclass(frozen=True)
class PastModels:
    """Answers of past models, and what they scored on each target."""

    answers: FloatArray
    """Scores (model, item)."""
    truth: ModelTarget
    """Mean scores on the targets."""

    @classmethod
    def of(cls, pool: Pool, member: FloatArray) -> "PastModels":
        """Some of a pool's past models, evenly over their scores, so that intervals are worked out in no time.

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


def estimated(drawn: Drawn, ability: Abilities, answers: RowFloats, past: PastModels | None, level: float) -> Estimate:
    """Mean score of each target, with an interval.

    Without past models, from the readings alone. With them, the spread of the readings is calibrated by their errors,
    and the readings are mixed with a regression on their answers by the chance that the model is unlike them.

    Args:
        drawn: The draws.
        ability: Abilities of the model that answered them.
        answers: Its scores, by draw.
        past: What past models did; None to do without.
        level: Nominal coverage.
    """
    new = Readings.of(drawn, ability, answers[None])
    score, sd = new.score[0], np.maximum(np.sqrt(new.variance[0]), drawn.least_sd)
    freedom = max(int(drawn.effective) - 1, 1)
    if past is not None and len(past.answers) >= FEWEST_MODELS:
        mixed = [np.concatenate(one) for one in _mixed(drawn, new, answers[None], past)]
        score, sd = np.array(mixed).T
        freedom = min(len(answers), len(past.answers)) - 1
    return Estimate.student(score, sd, freedom, level).reaching(answers[None])


def _mixed(drawn: Drawn, new: Readings, answers: FloatArray, past: PastModels) -> Iterator[tuple[RowFloats, RowFloats]]:
    """Yield score and standard deviation of each target, by readings and regression together."""
    seen = past.answers[:, drawn.index]
    before = Readings.of(drawn, ability_posterior(drawn.curves.take(drawn.index), seen), seen)
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
    """What each past model counts: the nearer it scores the more, beside some that all share alike."""
    reach = np.hypot(design.sd[0], NEAR * truth.std())
    near = np.exp(-0.5 * ((truth - design.score[0]) / reach) ** 2)
    total = max(float(near.sum()), 1e-12)
    effective = total**2 / max(float((near**2).sum()), 1e-24)
    return TRUSTED_MODELS / len(truth) + min(effective, len(truth)) * near / total
