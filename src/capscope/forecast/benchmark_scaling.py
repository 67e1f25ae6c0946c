"""One benchmark over a ladder of models: its clusters of items, which of them are extrapolated, and the whole score."""

from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from capscope.axes import FloatArray
from capscope.forecast.item_clusters import ItemClusters, cluster_items, rungs_of
from capscope.forecast.scaling_curves import Counts, Draws, ScalingCurve, fit_curve

FEWEST_MODELS = 5
"""Models of at least four scales that a ladder needs."""
FEWEST_SCALES = 4
DRAWS = 2000
SURE_RISE = 0.95
"""Least chance that a cluster rises with scale for it to be extrapolated."""
SOLVED = 0.97
"""A cluster above this rate at the top of the ladder is solved, and need not rise."""
BREAK = 0.01
"""Chance below which the largest models are said to leave the curve of the smaller ones."""
FARTHEST = 1.0
"""Largest distance beyond the ladder, in lengths of the ladder on the log scale."""
LEAST_SHARE = 0.2
"""Least share of the items that has to be in extrapolated clusters."""
WIDEST = 0.35
"""Largest width of an 80 % interval of the score of a predictable benchmark."""
DEPTHS, FEWEST_BELOW = 2, 4
"""Rungs at the top that are compared with the curve below, and models of different scale that it needs."""
CHECK_DRAWS = 1000
EXTRA, WHOLE, SAMPLING, POOL = 3, -1, -2, -3
"""Places of draws behind those of the clusters: for the mean score, single answers, and the pool of both forecasts."""
INDEPENDENT = 0.2
"""Share by which correlations between clusters are shrunken."""


@dataclass(frozen=True)
class LadderAnswers:
    """Answers of a ladder of models to the items of one benchmark."""

    scale: FloatArray
    right: FloatArray
    """Passes, shape (model, item)."""
    trials: FloatArray
    chance: FloatArray | None
    """Chance of a guess by item."""

    def rows(self, keep: np.ndarray) -> "LadderAnswers":
        """Return the answers of some models."""
        return LadderAnswers(self.scale[keep], self.right[keep], self.trials[keep], self.chance)

    @property
    def per_item(self) -> float:
        """Trials of an item, in the middle of the models."""
        tried = self.trials > 0
        return float(np.median(self.trials[tried])) if tried.any() else 1.0

    @property
    def never_passed(self) -> int:
        """Number of items that were tried and that no model passed."""
        return int(((self.trials.sum(0) > 0) & (self.right.sum(0) == 0)).sum())

    def counts(self, weight: FloatArray) -> Counts:
        """Return the passes of weighted items by model."""
        chance = None if self.chance is None else float((weight * self.chance).sum() / weight.sum())
        return Counts(self.scale, self.right @ weight, self.trials @ weight, chance)


@dataclass(frozen=True)
class BenchmarkScaling:
    """Curves of the clusters of a benchmark's items, and of what is left of them."""

    answers: LadderAnswers
    clusters: ItemClusters
    curves: tuple[ScalingCurve, ...]
    """Curve of each cluster."""
    why: tuple[str, ...]
    """Why a cluster is not extrapolated; empty where it is."""
    whole: ScalingCurve
    """Curve of the mean score."""
    rest: ScalingCurve | None
    """Rate of the items left out over the log-odds of the others' fitted rate (the map from subset to whole); None
    where none is left out."""
    breaks: str
    """How the largest models leave the curve of the smaller ones; empty where they do not."""
    draws: Draws
    level: float

    @property
    def scales(self) -> np.ndarray:
        """Which clusters are extrapolated."""
        return np.array([not reason for reason in self.why])

    def at(self, scale: float) -> dict[str, object]:
        """Forecast the benchmark at a log scale; columns of `ItemScaling.benchmarks` without the name."""
        share = float(self.clusters.share[self.scales].sum())
        plain = self._noisy(self.whole.rates(scale, self.draws, WHOLE), self.answers.right.shape[1])
        unknown = np.full(self.draws.size, np.nan)
        clustered = self._by_clusters(scale) if share > 0 else unknown
        # a pool of both forecasts (Stone, 1961): neither is always the better one
        score = np.where(self.draws.curve[:, POOL] > 0, clustered, plain)
        reason = self._reason(scale, share, score)
        clustered, score = (unknown, unknown) if reason else (clustered, score)
        lower, middle, upper = np.quantile(score, self._tails)
        plain_lower, plain_middle, plain_upper = np.quantile(plain, self._tails)
        return {
            "items": self.answers.right.shape[1],
            "predictable": not reason,
            "reason": reason,
            "score": middle,
            "lower": lower,
            "upper": upper,
            "by_clusters": float(np.median(clustered)),
            "plain": plain_middle,
            "plain_lower": plain_lower,
            "plain_upper": plain_upper,
            "scaling_items": share,
            "never_passed": self.answers.never_passed,
        }

    def cluster_rows(self, scale: float) -> list[dict[str, object]]:
        """Forecast the clusters at a log scale; columns of `ItemScaling.clusters` without the benchmark."""
        rows: list[dict[str, object]] = []
        top = rungs_of(self.answers.scale) == rungs_of(self.answers.scale).max()
        for place, curve in enumerate(self.curves):
            weight = self.clusters.weight[:, place]
            counts = self.answers.counts(weight)
            rate = curve.rates(scale, self.draws, place)
            slope = curve.slopes(self.draws, place) * np.log(2)
            row: dict[str, object] = {
                "cluster": place + 1,
                "items": float(weight.sum()),
                "scales": not self.why[place],
                "why": self.why[place],
                "now": float(counts.right[top].sum() / max(counts.trials[top].sum(), 1e-9)),
            }
            for name, values in (("rate", rate), ("slope", slope), ("samples", 1 / rate)):
                lower, middle, upper = np.quantile(values, self._tails)
                ends = ("lower", "upper") if name == "rate" else (f"{name}_lower", f"{name}_upper")
                row |= {name: float(middle), ends[0]: float(lower), ends[1]: float(upper)}
            rows.append(row)
        return rows

    @property
    def _tails(self) -> list[float]:
        return [(1 - self.level) / 2, 0.5, (1 + self.level) / 2]

    def _by_clusters(self, scale: float) -> FloatArray:
        """Draw the score of a new model: the extrapolated clusters, and the rest by its map from them."""
        share, places = self.clusters.share, np.flatnonzero(self.scales)

        def subset(*, of_models: bool) -> FloatArray:
            rates = [self.curves[k].rates(scale, self.draws, int(k), of_models=of_models) for k in places]
            return share[places] @ np.array(rates)

        part, total = subset(of_models=True), float(share[places].sum())
        if self.rest is not None:
            left_out = int(np.argmin(self.scales))
            curve = subset(of_models=False) / total
            part = part + (1 - total) * self.rest.rates(logit(curve), self.draws, left_out)
        return self._noisy(part, self.answers.right.shape[1])

    def _noisy(self, rate: FloatArray, items: int) -> FloatArray:
        """Add the chance of single answers to a rate."""
        sd = np.sqrt(rate * (1 - rate) / (items * self.answers.per_item))
        return np.clip(rate + sd * self.draws.curve[:, SAMPLING], 0, 1)

    def _reason(self, scale: float, share: float, score: FloatArray) -> str:
        known = self.answers.scale
        beyond = max(scale - known.max(), known.min() - scale) / np.ptp(known)
        if beyond > FARTHEST:
            return f"it lies {beyond:.1f} lengths of the ladder beyond its end; add models in between"
        if self.breaks:
            return self.breaks
        if share < LEAST_SHARE:
            some = f"only {100 * share:.0f} % of the items are" if share else "no item is"
            return f"{some} in a cluster that rises steadily with scale up to the largest models"
        lower, upper = np.quantile(score, [0.1, 0.9])
        if upper - lower > WIDEST:
            return f"its 80 % interval would be {100 * (upper - lower):.0f} points wide"
        return ""


def too_few(answers: LadderAnswers) -> dict[str, object] | None:
    """Return the row of a benchmark that too few models of the ladder answered; None where they are enough.

    Args:
        answers: Answers of the ladder.
    """
    tried = answers.trials.sum(1) > 0
    scales = len(np.unique(answers.scale[tried]))
    if tried.sum() >= FEWEST_MODELS and scales >= FEWEST_SCALES:
        return None
    numbers = dict.fromkeys(("score", "lower", "upper", "by_clusters", "plain", "plain_lower", "plain_upper"), np.nan)
    need = f"{int(tried.sum())} models of {scales} scales answered it; needs {FEWEST_MODELS} of {FEWEST_SCALES}"
    row: dict[str, object] = {"items": answers.right.shape[1], "predictable": False, "reason": need}
    return row | numbers | {"scaling_items": 0.0, "never_passed": answers.never_passed}


def fit_benchmark(answers: LadderAnswers, level: float, seed: int) -> BenchmarkScaling:
    """Cluster the items of a benchmark, fit the clusters' curves, and decide which are extrapolated.

    Args:
        answers: Answers of the ladder.
        level: Coverage of intervals.
        seed: Seed of clusters and draws.
    """
    answers = answers.rows(answers.trials.sum(1) > 0)
    rung = rungs_of(answers.scale)
    clusters = cluster_items(answers.right, answers.trials, rung, seed)
    groups = [answers.counts(weight) for weight in clusters.weight.T]
    curves = tuple(fit_curve(counts) for counts in groups)
    rng = np.random.default_rng([seed, 47])
    why = tuple(_left_out(counts, curve, rung) for counts, curve in zip(groups, curves, strict=True))
    scales = np.array([not reason for reason in why])
    everything = answers.counts(np.ones(answers.right.shape[1]))
    rest = None
    if scales.any() and not scales.all():
        rest = _rest_over_subset(answers, clusters, curves, scales)
    draws = Draws.of(len(curves) + EXTRA, DRAWS, rng, _correlation(curves))
    return BenchmarkScaling(
        answers, clusters, curves, why, fit_curve(everything), rest, _breaks(everything, rung), draws, level
    )


def _left_out(counts: Counts, curve: ScalingCurve, rung: np.ndarray) -> str:
    """Return why a cluster is not extrapolated; empty where it is."""
    top = rung == rung.max()
    if counts.right[top].sum() >= SOLVED * counts.trials[top].sum():
        return ""
    rises = curve.rises()
    if rises < 1 - SURE_RISE:
        return "falls with scale"
    if rises < SURE_RISE:
        return "does not clearly rise with scale"
    return _breaks(counts, rung)


def _breaks(counts: Counts, rung: np.ndarray) -> str:
    """Compare the largest models with the curve of the smaller ones; return how they leave it, or nothing."""
    for depth in range(1, DEPTHS + 1):
        top = (rung > rung.max() - depth) & (counts.trials > 0)
        below = (rung <= rung.max() - depth) & (counts.trials > 0)
        if below.sum() < FEWEST_BELOW or len(np.unique(counts.scale[below])) < FEWEST_BELOW or not top.any():
            return ""
        rng = np.random.default_rng(53)
        curve = fit_curve(counts.rows(below))
        # the models share the curve's error, and each has an effect of its own
        shared = Draws.of(1, CHECK_DRAWS, rng)
        rates = [curve.rates(scale, shared.with_models(rng), 0) for scale in counts.scale[top]]
        trials = np.maximum(counts.trials[top].round(), 1)[:, None]
        drawn = (rng.binomial(trials.astype(int), rates) / trials).mean(0)
        seen = float(counts.rate[top].mean())
        tail = min((drawn <= seen).mean(), (drawn >= seen).mean())
        if 2 * tail < BREAK:
            largest = f"the largest {int(top.sum())} models score" if top.sum() > 1 else "the largest model scores"
            lead = f"{100 * seen:.0f} where the smaller ones lead to {100 * float(np.median(drawn)):.0f}"
            return f"{largest} {lead}"
    return ""


def _rest_over_subset(
    answers: LadderAnswers, clusters: ItemClusters, curves: tuple[ScalingCurve, ...], scales: np.ndarray
) -> ScalingCurve:
    """Fit the rate of the items left out over the log-odds of the others' fitted rate.

    Over their observed rate the slope would be too small, since that has the errors of the models in it.
    """
    share = clusters.share[scales]
    fitted = np.array([curve.expected(answers.scale) for curve, kept in zip(curves, scales, strict=True) if kept])
    rest = answers.counts(clusters.weight[:, ~scales].sum(1))
    return fit_curve(Counts(logit(share @ fitted / share.sum()), rest.right, rest.trials, rest.chance))


def _correlation(curves: tuple[ScalingCurve, ...]) -> FloatArray:
    """Return the correlation of the clusters' residuals over models, with independent places at the end."""
    count = len(curves)
    result = np.eye(count + EXTRA)
    lengths = {len(curve.residuals) for curve in curves}
    if count > 1 and len(lengths) == 1:
        residuals = np.array([curve.residuals for curve in curves])
        norm = np.sqrt((residuals**2).sum(1)) + 1e-9
        correlation = (residuals @ residuals.T) / norm[:, None] / norm
        result[:count, :count] = (1 - INDEPENDENT) * correlation + INDEPENDENT * np.eye(count)
    np.fill_diagonal(result, 1.0)
    return result
