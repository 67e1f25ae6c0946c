"""Run variance: how much the scores of two versions change from run to run, estimated from repeated runs.

The run share of a model is the variance within an item's runs divided by the variance of its single answers over items.
It is estimated from repeated runs of both versions and of past models; shares of single models are shrunken towards
those of the others (empirical Bayes; Efron & Morris, 1975), and the uncertainty of the two shares widens the interval
by Student's t (Satterthwaite, 1946). Rows with ``n_trials`` above 1 hold a mean of several trials: each trial is taken
as right or wrong (scored 1 or 0), since a mean does not show the scores it is of.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from capscope.axes import CONDITIONS, Bool, Float, RowFloats
from capscope.data import Responses

FEWEST_CELLS = 20
"""Fewest repeated items from which a model's own run share is estimated."""

USUAL_SPREAD = 0.45
"""Standard deviation of the run share over models, as a multiple of its mean: .42 and .47 on two public data sets."""

USUAL_SHARE, USUAL_WEIGHT = 0.3, 0.5
"""Prior mean of the run share (those sets: .15 and .51), and number of models that this prior weighs as much as."""

FEWEST_MODELS = 3
"""Fewest other models with repeats towards which a version's own share is shrunken."""

USUAL_MODELS = 3.0
"""Number of models that `USUAL_SPREAD` weighs as much as."""

UNSEEN = 0.25
"""Run variance of one pseudo-item that is added to the data: repeats that all agree do not prove a variance of 0."""

ModelItems = Float[np.ndarray, "model item"]


@dataclass(frozen=True)
class RunNoise:
    """Run variance of the difference between two versions' scores, for one item."""

    variance: float
    """Run variance of the difference on one item, mean over items; repeats of a version on an item are averaged."""
    deviation: float
    """Standard error of that variance."""
    sources: tuple[int, int, int]
    """Repeated items of the baseline and of the candidate, and other models with repeats."""
    pooled: int = 0
    """Rows of several trials, each of which was taken as right or wrong."""

    def as_dict(self, n_items: int) -> dict[str, Any]:
        """Return plain values: standard error from runs (score from 0 to 1), and the numbers of repeats.

        `pooled_rows_as_binary` is there only where rows of several trials were taken as right or wrong.

        Args:
            n_items: Items of the suite.
        """
        names = ("baseline_items", "candidate_items", "other_models")
        counts = dict(zip(names, self.sources, strict=True))
        pooled = {"pooled_rows_as_binary": self.pooled} if self.pooled else {}
        return {"error": float(np.sqrt(self.variance / n_items)), **counts, **pooled}

    def freedom(self, n_items: int, other: float) -> float:
        """Degrees of freedom of the run variance plus another, known variance (Satterthwaite, 1946).

        Args:
            n_items: Items of the suite.
            other: The known variance of the difference.
        """
        if not self.deviation > 0:
            return np.inf
        return float(2 * ((other + self.variance / n_items) / (self.deviation / n_items)) ** 2)


@dataclass(frozen=True)
class RepeatedAnswers:
    """Runs of each model on each item: their number, mean, and variance within the item.

    Rows are the baseline, the candidate, then past models with repeats.
    """

    within: ModelItems
    """Variance of single runs around the item's own mean; NaN where an item has one run."""
    mean: ModelItems
    """Mean score; NaN where not administered."""
    square: ModelItems
    """Mean squared score of single runs."""
    runs: ModelItems
    """Number of runs; 0 where not administered."""
    pooled: int = 0
    """Rows of several trials, each of which was taken as right or wrong."""

    @classmethod
    def of(
        cls, responses: Responses, baseline: int, candidate: int | None, suite: Bool[np.ndarray, " item"]
    ) -> "RepeatedAnswers | None":
        """Gather the repeats; None where no model has any.

        Args:
            responses: All answers, of one judge where several scored them.
            baseline: Position of the baseline among the models.
            candidate: Position of the candidate; None before there is one.
            suite: Items that count.
        """
        n_items = len(responses.items)
        cell, place = np.unique(_cells(responses), return_inverse=True)
        times, score = responses.n_trials, responses.score
        # a row of several trials holds their mean alone; right or wrong trials have a mean square of the same value
        squared = np.where(times > 1, score, score**2)
        count, total, squares = (np.bincount(place.reshape(-1), times * part) for part in (1.0, score, squared))
        repeated = count > 1
        if not repeated.any():
            return None
        model_item = cell % (len(responses.models) * n_items)
        kept = sorted({int(code) for code in model_item[repeated] // n_items} - {baseline, candidate})
        rows = [baseline, *([] if candidate is None else [candidate]), *kept]
        spread = (squares - total**2 / count) / np.maximum(count - 1, 1)
        size = len(responses.models) * n_items

        def laid_out(weight: RowFloats) -> ModelItems:
            return np.bincount(model_item, weight, size).reshape(-1, n_items)[rows][:, suite]

        with np.errstate(invalid="ignore", divide="ignore"):
            runs, many = laid_out(count), laid_out(repeated.astype(float))
            within = laid_out(np.where(repeated, np.maximum(spread, 0.0), 0.0)) / many
            repeats = cls(within, laid_out(total) / runs, laid_out(squares) / runs, runs, int((times > 1).sum()))
        return repeats if candidate is not None else repeats.with_candidate(np.full(int(suite.sum()), np.nan))

    def with_candidate(self, score: RowFloats) -> "RepeatedAnswers":
        """Add the single answers of a candidate that has no row yet.

        Args:
            score: Score of the candidate on each item (item,); NaN where not administered.
        """
        known = ~np.isnan(score)
        rows = (np.full(len(score), np.nan), score, score**2, known.astype(float))
        parts = (self.within, self.mean, self.square, self.runs)
        within, mean, square, runs = (np.insert(part, 1, row, axis=0) for part, row in zip(parts, rows, strict=True))
        return RepeatedAnswers(within, mean, square, runs, self.pooled)

    def seen(self, answered: Bool[np.ndarray, " item"]) -> "RepeatedAnswers":
        """Drop the candidate's runs on all but some items.

        Args:
            answered: Items of which the candidate's runs are kept (item,).
        """
        within, mean, square, runs = (part.copy() for part in (self.within, self.mean, self.square, self.runs))
        for part in (within, mean, square):
            part[1, ~answered] = np.nan
        runs[1, ~answered] = 0
        return RepeatedAnswers(within, mean, square, runs, self.pooled)

    def all_agree(self) -> tuple[bool, bool]:
        """Whether runs of the baseline, and of the candidate, were repeated on enough items and never differ."""
        known = (~np.isnan(self.within[:2])).sum(axis=1) >= FEWEST_CELLS
        differ = np.nansum(self.within[:2], axis=1) > 0
        return bool(known[0] and not differ[0]), bool(known[1] and not differ[1])

    def noise(self, part: Bool[np.ndarray, " item"], weight: RowFloats) -> RunNoise | None:
        """Estimate the run variance of the difference; None where too few items were repeated.

        Args:
            part: Items that count.
            weight: Weight of each item for the candidate: the inverse of its chance to be drawn.
        """
        within, mean, square, runs = (of[:, part] for of in (self.within, self.mean, self.square, self.runs))
        even, drawn = np.ones(int(part.sum())), weight[part]
        own = [
            _own_share(*of, drawn if row == 1 else even)
            for row, of in enumerate(zip(within, mean, square, strict=True))
        ]
        shares = [(row, *share) for row, share in enumerate(own) if share is not None]
        versions: list[tuple[float, float]] = []
        for row in (0, 1):
            spread = _spread(mean[row], square[row], drawn if row == 1 else even)
            repeats = runs[row][runs[row] > 0]
            posterior = _posterior(own[row], [share[1:] for share in shares if share[0] != row])
            if posterior is None or not len(repeats):
                return None
            each = spread * float((1 / repeats).mean())
            versions.append((posterior[0] * each, posterior[1] * each**2))
        variance, uncertainty = np.sum(versions, axis=0)
        many = (~np.isnan(within[:2])).sum(axis=1)
        others = sum(row > 1 for row, *_ in shares)
        sources = (int(many[0]), int(many[1]), others)
        return RunNoise(float(variance), float(np.sqrt(uncertainty)), sources, self.pooled)


def _cells(responses: Responses) -> np.ndarray:
    """Code of each row's model, item and condition."""
    code = responses.model_index.astype(np.int64) * len(responses.items) + responses.item_index
    size = len(responses.models) * len(responses.items)
    for name in (name for name in CONDITIONS if name in responses.facets):
        code = code + size * responses.facets[name].codes
        size *= len(responses.facets[name].names)
    return code


def _spread(mean: RowFloats, square: RowFloats, weight: RowFloats) -> float:
    """Variance over items of a model's single answers."""
    known = ~np.isnan(mean)
    if not known.any():
        return 0.0
    centre = float(np.average(mean[known], weights=weight[known]))
    return float(np.average(square[known], weights=weight[known])) - centre**2


def _own_share(within: RowFloats, mean: RowFloats, square: RowFloats, weight: RowFloats) -> tuple[float, float] | None:
    """Run share of a model from its own repeats, and the squared standard error of that share."""
    known = ~np.isnan(within)
    spread = _spread(mean, square, weight)
    if known.sum() < FEWEST_CELLS or not spread > 0:
        return None
    seen = np.append(within[known], UNSEEN) / spread
    part = np.append(weight[known], weight[known].mean())
    part /= part.sum()
    share = float(part @ seen)
    return share, float(part**2 @ (seen - share) ** 2)


def _posterior(own: tuple[float, float] | None, others: list[tuple[float, float]]) -> tuple[float, float] | None:
    """Run share of a version with its variance: that of its own repeats, shrunken towards those of other models."""
    if own is not None and len(others) < FEWEST_MODELS:
        return own
    if not others:
        return None
    share, error = np.array(others).T
    known = len(share)
    centre = float((share.sum() + USUAL_WEIGHT * USUAL_SHARE) / (known + USUAL_WEIGHT))
    beyond = max(float(share.var(ddof=1) - error.mean()), 0.0) if known > 1 else 0.0
    between = ((known - 1) * beyond + USUAL_MODELS * (USUAL_SPREAD * centre) ** 2) / (known - 1 + USUAL_MODELS)
    variance = between + (between + float(error.mean())) / known
    if own is None:
        return centre, variance
    weight = variance / (variance + own[1])
    return weight * own[0] + (1 - weight) * centre, weight * own[1]
