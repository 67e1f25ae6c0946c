"""Comparison of all pairs of models on the same items: corrected p-values, groups without differences, and ranks.

P-values are those of paired differences of scores, with items within tasks. Corrections control the family-wise error
rate (Holm, 1979) or the false discovery rate (Benjamini & Hochberg, 1995).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from capscope.axes import Float, FloatArray, ModelItem

POWER = 0.8
"""Power of the detectable difference of a pair."""

DRAWS = 4000
"""Number of joint draws of the means for the rank probabilities."""

MOST_PAIRS = 500
"""Largest number of pairs in a full list; of more pairs, only neighbours in the order are listed."""

MOST_CHANCES = 30
"""Largest number of models for which all rank probabilities are listed."""

Correction = Literal["holm", "bh"]


@dataclass(frozen=True)
class ModelPair:
    """Two models on the same items."""

    a: str
    """The model with the higher mean."""
    b: str
    """The other one."""
    difference: float
    """Mean score of a minus that of b."""
    detectable: float
    """Difference that is detected with a power of 80 %, without correction."""
    p: float
    """Two-sided p-value of no difference."""
    p_holm: float
    """p-value corrected by Holm's method (family-wise error rate)."""
    p_bh: float
    """p-value corrected by Benjamini and Hochberg's method (false discovery rate)."""


@dataclass(frozen=True)
class RankChances:
    """Rank of one model with bounds."""

    model: str
    """The model."""
    lower: int
    """Best rank within the bounds."""
    upper: int
    """Worst rank within the bounds."""
    best: float
    """Probability of the highest mean."""
    chances: tuple[float, ...]
    """Probability of each rank from the first on; empty for more than 30 models."""


@dataclass(frozen=True)
class PairTests:
    """Tests of all pairs of a suite's models."""

    pairs: tuple[ModelPair, ...]
    """All pairs, or only neighbours in the order where there are many."""
    n_pairs: int
    """Number of pairs tested."""
    apart_holm: int
    """Number of significant pairs by Holm's correction."""
    apart_bh: int
    """Number of significant pairs by Benjamini and Hochberg's correction."""
    groups: tuple[tuple[str, ...], ...]
    """Maximal runs of the order, of two models or more, without a significant pair (Holm)."""
    ranks: tuple[RankChances, ...]
    """Best mean first."""
    detectable: float
    """Median over pairs of the detectable difference at a power of 80 %."""
    level: float
    """Coverage of the rank bounds; 1 - level is the error rate of the tests."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "n_pairs": self.n_pairs,
            "level": self.level,
            "apart_holm": self.apart_holm,
            "apart_bh": self.apart_bh,
            "detectable": self.detectable,
            "rows": [asdict(pair) for pair in self.pairs],
            "groups": [list(group) for group in self.groups],
            "ranks": [asdict(rank) for rank in self.ranks],
        }

    def lines(self) -> Iterator[str]:
        """Return it as sentences."""
        needed = f"half of the pairs need a difference of {100 * self.detectable:.1f} points to be shown"
        if self.detectable > 1:
            needed = "no difference that there can be between half of the pairs is shown"
        yield (
            f"{self.apart_holm} of {self.n_pairs} pairs differ, with no false claim at {1 - self.level:.0%}"
            f" (Holm), {self.apart_bh} with few false ones (Benjamini-Hochberg); {needed} four times in five"
        )
        for group in self.groups:
            named = ", ".join(group) if len(group) <= 6 else f"{', '.join(group[:3])} ... {group[-1]} ({len(group)})"
            yield f"cannot be distinguished: {named}"
        first = [f"{rank.model} {rank.best:.0%}" for rank in self.ranks[:5] if rank.best >= 0.01]
        yield f"chance to have the highest mean: {', '.join(first)}"


def pair_tests(
    models: tuple[str, ...], score: ModelItem, task: np.ndarray, rng: np.random.Generator, level: float = 0.9
) -> PairTests:
    """Test all pairs of models by their means over tasks.

    Args:
        models: Names on the model axis.
        score: Scores without gaps; shape (model, item).
        task: Task of each item, numbered from 0.
        rng: Source of the draws of ranks.
        level: Coverage of rank bounds; 1 - level is the error rate of claims.
    """
    mean, covariance, freedom = mean_covariance(score, task)
    order = np.argsort(-mean, kind="stable")
    names = [models[place] for place in order]
    mean, covariance = mean[order], covariance[np.ix_(order, order)]
    first, second = np.triu_indices(len(names), 1)
    difference = mean[first] - mean[second]
    variance = covariance[first, first] + covariance[second, second] - 2 * covariance[first, second]
    # one pseudo-item in each direction, so that equal scores do not give a variance of 0
    n = score.shape[1]
    error = np.sqrt(np.maximum(variance, 0.0) + 2 / (n * (n + 2)))
    p = 2 * stdtr(freedom, -np.abs(difference) / error)
    holm, bh = corrected_p(p, "holm"), corrected_p(p, "bh")
    alpha = 1 - level
    detectable = (float(stdtrit(freedom, 1 - alpha / 2)) + float(ndtri(POWER))) * error
    listed = np.arange(len(p)) if len(p) <= MOST_PAIRS else np.flatnonzero(second == first + 1)
    return PairTests(
        tuple(
            ModelPair(
                names[first[row]],
                names[second[row]],
                *(float(column[row]) for column in (difference, detectable, p, holm, bh)),
            )
            for row in listed
        ),
        len(p),
        int((holm < alpha).sum()),
        int((bh < alpha).sum()),
        _groups(names, holm < alpha),
        _rank_chances(names, mean, covariance, rng, level),
        float(np.median(detectable)),
        level,
    )


def mean_covariance(score: ModelItem, task: np.ndarray) -> tuple[FloatArray, FloatArray, float]:
    """Means over equally weighted tasks, their error covariance over items, and its degrees of freedom.

    Args:
        score: Scores without gaps; shape (model, item).
        task: Task of each item, numbered from 0.
    """
    size = np.bincount(task).astype(float)
    tasks, n = len(size), score.shape[1]
    member = np.zeros((n, tasks))
    member[np.arange(n), task] = 1 / size[task]
    by_task = score @ member
    if (size > 1).all():
        centred = score - by_task[:, task]
        weight = 1 / (size[task] * (size[task] - 1) * tasks**2)
        return by_task.mean(axis=1), (centred * weight) @ centred.T, float(n - tasks)
    # with one item per task, the tasks are the sample
    centred = by_task - by_task.mean(axis=1, keepdims=True)
    freedom = float(max(tasks - 1, 1))
    return by_task.mean(axis=1), centred @ centred.T / (tasks * freedom), freedom


def corrected_p(p: Float[np.ndarray, " claim"], correction: Correction) -> Float[np.ndarray, " claim"]:
    """P-values corrected for their number.

    Args:
        p: P-values, in any order.
        correction: `holm` controls the family-wise error rate, `bh` the false discovery rate.

    Returns:
        Corrected p-values, in the same order.
    """
    order = np.argsort(p)
    n = len(p)
    rank = np.arange(1, n + 1)
    if correction == "holm":
        adjusted = np.maximum.accumulate(p[order] * (n - rank + 1))
    else:
        adjusted = np.minimum.accumulate((p[order] * n / rank)[::-1])[::-1]
    result = np.empty(n)
    result[order] = np.minimum(adjusted, 1.0)
    return result


def _groups(names: list[str], apart: np.ndarray) -> tuple[tuple[str, ...], ...]:
    """Maximal runs of the order without a significant pair."""
    n = len(names)
    separated = np.zeros((n, n), bool)
    separated[np.triu_indices(n, 1)] = apart
    groups: list[tuple[str, ...]] = []
    last_end = 0
    for start in range(n):
        end = start + 1
        while end < n and not separated[start:end, end].any():
            end += 1
        if end - start > 1 and end > last_end:
            groups.append(tuple(names[start:end]))
        last_end = max(last_end, end)
    return tuple(groups)


def _rank_chances(
    names: list[str], mean: FloatArray, covariance: FloatArray, rng: np.random.Generator, level: float
) -> tuple[RankChances, ...]:
    """Ranks over joint draws of the means; models that tie in a draw are ordered at random."""
    value, vector = np.linalg.eigh(covariance)
    noise = rng.standard_normal((DRAWS, len(names))) * np.sqrt(np.clip(value, 1e-12, None))
    drawn = mean + noise @ vector.T
    rank = np.argsort(np.argsort(-drawn, axis=1), axis=1) + 1
    lower, upper = np.quantile(rank, [(1 - level) / 2, (1 + level) / 2], axis=0, method="nearest")
    found: list[RankChances] = []
    for place, name in enumerate(names):
        chances: tuple[float, ...] = ()
        if len(names) <= MOST_CHANCES:
            counts = np.bincount(rank[:, place], minlength=len(names) + 1)[1:]
            chances = tuple((counts / DRAWS).tolist())
        best = float((rank[:, place] == 1).mean())
        found.append(RankChances(name, int(lower[place]), int(upper[place]), best, chances))
    return tuple(found)
