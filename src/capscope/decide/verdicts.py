"""Verdicts (ship, hold, undecided) from differences with intervals, and claims on where the candidate changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtri

from capscope.decide.difference import Difference
from capscope.profiles import corrected_p

Verdict = Literal["ship", "hold", "undecided"]

USUAL_CHANGE = 0.03
"""Default standard deviation of the difference between versions, for a study without past versions."""

POWER = 0.8
"""Power of the decision after the further answers that are recommended."""


@dataclass(frozen=True)
class ScopeClaim:
    """Claim on one benchmark, task or demand band, corrected for the number of scopes."""

    scope: str
    """Which items, such as `benchmark math`."""
    difference: float
    """Candidate minus baseline, from -1 to 1."""
    lower: float
    """Lower bound for these items, not corrected for the number of scopes."""
    upper: float
    """Upper bound for these items, not corrected for the number of scopes."""
    n_answers: int
    """Items of the scope that both answered."""
    p: float
    """Two-sided p-value of no difference, corrected for the number of scopes."""
    claim: Literal["worse", "better", ""]
    """Direction of a significant difference; empty where it is not significant."""


def verdict_of(difference: Difference, quantile: float, margin: float, fixed: bool = False) -> Verdict:
    """Decide by the bounds of the interval.

    A candidate ships where it is shown to lose less than the margin, and is held where it is shown to be worse and may
    lose more than the margin. Bounds include run variance, so that a second run of the baseline is not held by chance.

    Args:
        difference: Candidate minus baseline.
        quantile: Half-width of the interval in standard errors.
        margin: Largest loss that is acceptable, at least 0, as a share of the score.
        fixed: Whether another run would give the same answers; bounds are then those of this suite.
    """
    lower, upper = difference.interval(quantile) if fixed else difference.another_run_interval(quantile)
    if lower > -margin:
        return "ship"
    return "hold" if upper < 0 else "undecided"


def further_answers(
    difference: Difference, quantile: float, margin: float, fixed: bool = False, usual: float = USUAL_CHANGE
) -> int | None:
    """Number of further answers for a decision with a power of 80 %.

    The estimate is shrunken towards no change first: an estimate far from the margin is in part sampling error.

    Args:
        difference: Candidate minus baseline.
        quantile: Half-width of the interval in standard errors.
        margin: Largest loss that is acceptable.
        fixed: Whether another run would give the same answers.
        usual: Standard deviation of differences between versions of a model.

    Returns:
        The number of answers, 0 where there is a decision already; None where the whole suite is not enough.
    """
    if verdict_of(difference, quantile, margin, fixed) != "undecided":
        return 0
    error, quantile = difference.redrawn_se, difference.run_quantile(quantile)
    shrunken = difference.estimate * usual**2 / (usual**2 + error**2)
    distance = max(shrunken + margin, -shrunken)
    if distance <= 0:
        return None
    wanted = _answers_for(difference, distance / (quantile + float(ndtri(POWER))))
    if wanted is None:
        return None
    further = int(np.ceil(wanted)) - difference.n_answers
    return None if further > difference.n_items - difference.n_answers else max(further, 1)


def _answers_for(difference: Difference, error: float) -> float | None:
    """Number of answers at which the error for another run is this small; None where run variance alone is larger."""
    n = difference.n_answers
    if difference.noise is None or difference.suite_se == 0:
        return n * (difference.redrawn_se / error) ** 2
    of_items = difference.suite_se**2 / (1 / n - 1 / difference.n_items)
    left = error**2 - difference.noise.variance / difference.n_items + of_items / difference.n_items
    return of_items / left if left > 0 else None


def detectable_difference(difference: Difference, quantile: float, fixed: bool = False) -> float:
    """Smallest difference that this number of answers detects with a power of 80 %, as a share of the score.

    Args:
        difference: Candidate minus baseline.
        quantile: Half-width of the interval in standard errors.
        fixed: Whether another run would give the same answers; as in `verdict_of`.
    """
    if fixed:
        return (quantile + float(ndtri(POWER))) * difference.suite_se
    return (difference.run_quantile(quantile) + float(ndtri(POWER))) * difference.redrawn_se


def claims(
    scopes: Sequence[tuple[str, Difference]],
    quantile: float,
    alpha: float = 0.05,
    correction: Literal["holm", "bh"] = "holm",
) -> list[ScopeClaim]:
    """Claim losses and gains by scope, corrected for the number of scopes.

    Args:
        scopes: Name and difference of each scope.
        quantile: Half-width of each scope's own interval in standard errors.
        alpha: Family-wise error rate (Holm, 1979), or false discovery rate (Benjamini & Hochberg, 1995).
        correction: `holm` or `bh`.
    """
    error = np.array([max(difference.redrawn_se, 1e-12) for _, difference in scopes])
    estimate = np.array([difference.estimate for _, difference in scopes])
    tail = [difference.tail_of(size) for (_, difference), size in zip(scopes, np.abs(estimate) / error, strict=True)]
    corrected = corrected_p(2 * np.array(tail), correction)
    result: list[ScopeClaim] = []
    for (name, difference), p in zip(scopes, corrected, strict=True):
        direction = "worse" if difference.estimate < 0 else "better"
        lower, upper = difference.interval(quantile, max(difference.suite_se, difference.redrawn_se))
        result.append(
            ScopeClaim(
                name, difference.estimate, lower, upper, difference.n_answers, float(p), direction if p < alpha else ""
            )
        )
    return result
