"""The difference of two versions on a suite, from the items that both answered: estimate, standard errors, intervals.

The estimator is a difference estimator with cross-fitted predictions (augmented inverse probability weighting): the
mean of the predictions over the suite, plus the mean of the prediction errors on the answered items, each weighted by
the inverse of its chance to be drawn. It is unbiased for any predictor; a good predictor narrows the interval
(Särndal, Swensson & Wretman, 1992; Chernozhukov et al., 2018).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtr, stdtrit

from capscope.axes import Bool, Float, Int, RowFloats
from capscope.decide.item_predictor import ItemFeatures, Prediction, item_features, predict_differences
from capscope.decide.run_noise import RepeatedAnswers, RunNoise
from capscope.decide.version_answers import VersionAnswers
from capscope.errors import InputError

FEWEST_ANSWERS = 2
"""Fewest answers from which a variance is estimated."""

FEWEST_CLUSTERS = 20
"""Fewest tasks from which an error over tasks is estimated."""

EXPECTED_DRAWS = 10
"""Number of observed contributions that the expected variance of contributions weighs as much as."""

FEWEST_FOR_PREDICTION = 30
"""Fewest paired answers to which predictions are fitted."""


@dataclass(frozen=True)
class Difference:
    """Difference of mean scores, candidate minus baseline, from -1 to 1."""

    estimate: float
    """The estimated difference."""
    suite_se: float
    """Standard error for these items, each answered once: 0 where every item was answered."""
    redrawn_se: float
    """Standard error for the same items answered again: that of the suite plus run variance. Without repeated runs
    all variance of the item differences counts as run variance, as if the items were new ones."""
    item_se: float
    """Standard error for new items of the same kind, sampled one by one; at least `redrawn_se`."""
    new_items_se: float
    """Standard error for new items of the same kind, sampled by task; at least `item_se`."""
    clusters: int
    """Number of tasks among the answered items."""
    n_answers: int
    """Items that both versions answered."""
    n_items: int
    """Items of the suite."""
    explained: float
    """Share of the variance of item differences that the predictions explain, out of sample; 0 without predictions."""
    noise: RunNoise | None = None
    """Run variance from repeated runs; None without repeats, or where it is not below the variance over items."""

    @property
    def effective_answers(self) -> float:
        """Number of paired answers that would give the same precision without predictions."""
        return self.n_answers / max(1 - self.explained, 1e-9)

    def interval(self, quantile: float, error: float | None = None) -> tuple[float, float]:
        """Bounds at a quantile of the standard normal distribution, within -1 and 1.

        Args:
            quantile: Quantile of the standard normal distribution, such as 1.96.
            error: Standard error of the difference.
        """
        half = quantile * (self.suite_se if error is None else error)
        return max(-1.0, self.estimate - half), min(1.0, self.estimate + half)

    def another_run_interval(self, quantile: float) -> tuple[float, float]:
        """Bounds for another run of both versions; Student's t where the run variance is estimated."""
        return self.interval(self.run_quantile(quantile), self.redrawn_se)

    def run_quantile(self, quantile: float) -> float:
        """Quantile of Student's t at the tail of a quantile of the standard normal distribution."""
        free = self._freedom
        return quantile if np.isinf(free) else max(quantile, -float(stdtrit(free, float(ndtr(-quantile)))))

    def tail_of(self, size: float) -> float:
        """One-sided probability that the error of runs and draws exceeds `size` standard errors."""
        free = self._freedom
        return float(ndtr(-size)) if np.isinf(free) else float(stdtr(free, -size))

    @property
    def _freedom(self) -> float:
        return np.inf if self.noise is None else self.noise.freedom(self.n_items, self.suite_se**2)

    def new_items_interval(self, quantile: float, tail: float) -> tuple[float, float]:
        """Bounds for new items; Student's t over tasks where the error over tasks is the larger one.

        Args:
            quantile: Quantile of the standard normal distribution, such as 1.96.
            tail: Probability beyond it, such as 0.025.

        Returns:
            Lower and upper bound of the difference, as shares.
        """
        if self.new_items_se > self.item_se and self.clusters > 1:
            quantile = max(quantile, float(stdtrit(self.clusters - 1, 1 - tail)))
        return self.interval(quantile, self.new_items_se)


@dataclass(frozen=True)
class DrawSequence:
    """Sequential draws of items, each given the answers before it; NaN for items that were not drawn."""

    number: Float[np.ndarray, " item"]
    """Position of each item in the order of draws."""
    chance: Float[np.ndarray, " item"]
    """Probability of each item to be drawn at its step."""
    spread: Float[np.ndarray, " item"]
    """Standard deviation of its contribution to the mean score, as predicted before its answer."""


@dataclass(frozen=True)
class PairedDifferences:
    """Differences on the items that both versions answered, with their predictions."""

    answered: Int[np.ndarray, " row"]
    """Positions of these items in the suite."""
    difference: RowFloats
    """Candidate minus baseline on each of them, from -1 to 1."""
    prediction: Prediction
    """Predictions for the suite, and their errors on the answered items."""
    share: RowFloats
    """Chance of each answered item to have been drawn."""
    drawn: bool
    """Whether these chances differ by item."""
    task: np.ndarray
    """Task of each answered item."""
    sequence: "DrawSequence | None" = None
    """Sequential draws, where each item was drawn given the answers before it; None where chances were fixed."""
    repeats: RepeatedAnswers | None = None
    """Repeated runs of both versions and of past models, where there are any."""

    @classmethod
    def of(
        cls,
        answers: VersionAnswers,
        chance: Float[np.ndarray, " item"] | None = None,
        predicted: bool = True,
        features: ItemFeatures | None = None,
        sequence: "DrawSequence | None" = None,
    ) -> "PairedDifferences":
        """Pair the answers of two versions and fit the predictions.

        Args:
            answers: Answers of both versions and of past models.
            chance: Chance of each item of the suite to have been drawn for the candidate; None for even draws.
            predicted: Whether past models and the baseline's own answers may predict the difference.
            features: Result of `features_of` for these past models and this baseline; None computes it.
            sequence: Sequential draws, instead of `chance`, where each item was drawn given the answers before it.

        Raises:
            InputError: Fewer than two items were answered by both.
        """
        pair = answers.paired
        if len(pair) < FEWEST_ANSWERS:
            raise InputError(
                f"'{answers.baseline}' and '{answers.candidate}' share {len(pair)} answered items;"
                f" {FEWEST_ANSWERS} or more are needed"
            )
        difference = answers.candidate_score[pair] - answers.baseline_score[pair]
        share = np.full(len(pair), len(pair) / len(answers.items)) if chance is None else chance[pair]
        if sequence is not None:
            # weights of the predictions and of the errors over items; the estimate uses the sequence's chances
            share = np.minimum(1, len(pair) * sequence.chance[pair])
        if predicted and len(pair) >= FEWEST_FOR_PREDICTION:
            known = features_of(answers) if features is None else features
            prediction = predict_differences(known, pair, difference, 1 / share)
        else:
            prediction = Prediction(difference, np.zeros(len(answers.items)))
        task = answers.labels["task"].to_numpy()[pair]
        repeats = None if answers.repeats is None else answers.repeats.seen(~np.isnan(answers.candidate_score))
        return cls(pair, difference, prediction, share, float(np.ptp(share)) > 0, task, sequence, repeats)

    def over(self, part: Bool[np.ndarray, " item"] | None = None) -> Difference:
        """Estimate the difference over the suite or over some of its items, such as those of one benchmark.

        Args:
            part: The items; all by default. At least two of them must be answered.
        """
        whole = np.ones(len(self.prediction.fitted), bool) if part is None else part
        inside = whole[self.answered]
        rest = whole.copy()
        rest[self.answered] = False
        difference, error = self.difference[inside], self.prediction.error[inside]
        fitted = self.prediction.fitted
        n, n_items = len(error), int(whole.sum())
        weight = 1 / self.share[inside] if self.drawn else np.ones(n)
        if self.sequence is not None:
            estimate, suite = self._of_sequence(self.sequence, whole, inside)
        elif self.drawn:
            estimate = float(fitted[whole].mean() + weight @ error / n_items)
            suite = drawn_se(error, self.share[inside], n_items)
        else:
            unseen = float((fitted[rest] + error.mean()).sum())
            estimate = (float(difference.sum()) + unseen) / n_items
            suite = float(np.sqrt((1 - n / n_items) * variance_of(error, weight) / n))
        item, new_items, clusters = self._wider_errors(whole, inside, suite)
        redrawn, noise = self._redrawn(whole, suite, item)
        explained = self._explained(inside, weight)
        return Difference(estimate, suite, redrawn, item, new_items, clusters, n, n_items, explained, noise)

    def _redrawn(self, whole: Bool[np.ndarray, " item"], suite: float, item: float) -> tuple[float, RunNoise | None]:
        """Standard error for another run of both, with the run variance where it is below the variance over items."""
        if self.repeats is None:
            return item, None
        weight = np.ones(len(whole))
        weight[self.answered] = 1 / self.share
        noise = self.repeats.noise(whole, weight)
        if noise is None:
            return item, None
        learnt = float(np.hypot(suite, np.sqrt(noise.variance / whole.sum())))
        return (learnt, noise) if learnt < item else (item, None)

    def _of_sequence(
        self, sequence: "DrawSequence", whole: Bool[np.ndarray, " item"], inside: Bool[np.ndarray, " row"]
    ) -> tuple[float, float]:
        """Estimate from sequential draws without replacement, and its standard error (Des Raj, 1956).

        Each draw estimates the sum of the prediction errors: the errors of the items before it, plus its own error
        divided by its probability. These estimates are uncorrelated and weighted by their inverse expected variance.
        """
        order = np.argsort(sequence.number[self.answered])
        rows = self.answered[order]
        error = np.where(inside, self.prediction.error, 0.0)[order]
        sums = np.cumsum(error) - error + error / sequence.chance[rows]
        weight = sequence.spread[rows] ** -2.0
        weight /= weight.sum()
        n_items, effective = int(whole.sum()), 1 / float((weight**2).sum())
        estimate = float(self.prediction.fitted[whole].mean() + weight @ sums / n_items)
        if np.ptp(self.prediction.error[inside]) == 0:
            own = self.prediction.error[inside]
            return estimate, float(np.sqrt(variance_of(own, np.ones(len(own))) / effective))
        seen = float((weight**2) @ (sums - weight @ sums) ** 2) * effective / max(effective - 1, 1) / n_items**2
        # large contributions are rare: the variance expected before the answers is pooled with the observed one
        expected = float(weight**2 @ sequence.spread[rows] ** 2)
        return estimate, float(np.sqrt((effective * seen + EXPECTED_DRAWS * expected) / (effective + EXPECTED_DRAWS)))

    def _wider_errors(
        self, whole: Bool[np.ndarray, " item"], inside: Bool[np.ndarray, " row"], suite: float
    ) -> tuple[float, float, int]:
        """Standard errors for new items, sampled one by one and by task, and the number of tasks."""
        error, task = self.prediction.error[inside], self.task[inside]
        n, clusters = len(error), len(set(task))
        weight = 1 / self.share[inside] if self.drawn else np.ones(n)
        of_predictions = float(np.sqrt(self.prediction.fitted[whole].var() / whole.sum()))
        single = float(np.sqrt(n / (n - 1) * ((weight / weight.sum() * (error - error.mean())) ** 2).sum()))
        independent = max(suite, single, float(np.sqrt(variance_of(error, weight) / n)))
        item = float(np.hypot(independent, of_predictions))
        over_tasks = _clustered_se(error, weight, task) if clusters > 1 else 0.0
        return item, max(item, float(np.hypot(over_tasks, of_predictions))), clusters

    def _explained(self, inside: Bool[np.ndarray, " row"], weight: Float[np.ndarray, " part"]) -> float:
        """Share of the variance of the differences that the predictions explain, out of sample."""
        whole = variance_of(self.difference[inside], weight)
        return max(0.0, 1 - variance_of(self.prediction.error[inside], weight) / whole)


def features_of(answers: VersionAnswers) -> ItemFeatures:
    """Item features that predict differences; they include the baseline's answers where it answered every item."""
    return item_features(answers.past_score, answers.baseline_score if answers.complete else None)


def variance_of(error: RowFloats, weight: RowFloats) -> float:
    """Weighted variance of errors; where all errors are equal, one error of +1 and one of -1 are added.

    Args:
        error: Errors, from -1 to 1.
        weight: Weight of each error.
    """
    if np.ptp(error) == 0:
        error = np.concatenate([error, [error[0] - 1, error[0] + 1]])
        weight = np.concatenate([weight, np.full(2, weight.mean())])
    centred = error - np.average(error, weights=weight)
    return float(np.average(centred**2, weights=weight) * len(error) / (len(error) - 1))


def drawn_se(error: RowFloats, share: RowFloats, n_items: int) -> float:
    """Standard error of the mean of errors after a fixed-size draw with unequal chances (Deville, 1993).

    Args:
        error: Error of each drawn item.
        share: Probability of each item to be drawn.
        n_items: Items drawn from.
    """
    keep, n = 1 - share, len(error)
    if not keep.sum() > 0:
        return 0.0
    if np.ptp(error) == 0:
        return float(np.sqrt(keep.mean() * variance_of(error, 1 / share) / n))
    scaled = error / share
    centre = keep @ scaled / keep.sum()
    return float(np.sqrt(n / (n - 1) * (keep * (scaled - centre) ** 2).sum()) / n_items)


def _clustered_se(error: RowFloats, weight: RowFloats, task: np.ndarray) -> float:
    """Cluster-robust standard error over tasks (Liang & Zeger, 1986), corrected for few clusters."""
    _, index = np.unique(task, return_inverse=True)
    total = np.bincount(index, weight / weight.sum() * (error - np.average(error, weights=weight)))
    return float(np.sqrt(len(total) / (len(total) - 1) * (total**2).sum()))
