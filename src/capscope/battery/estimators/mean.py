"""The plain mean of the drawn answers, weighted by their draw chances."""

import numpy as np

from capscope.battery.estimators.estimator import Estimate, Estimator, Sample


def estimate_mean(sample: Sample, level: float) -> Estimate:
    """Estimate scores by the weighted mean, with a Beta interval under Jeffreys' prior (Brown, Cai & DasGupta, 2001).

    The trials of the Beta are those of an equal draw with the same variance: fewer for unequal weights (Kish, 1965),
    more when much of the pool was drawn (finite population correction).

    Args:
        sample: The drawn items and the answers.
        level: Nominal coverage.
    """
    from scipy import stats  # half a second, which other estimators do without

    score = (sample.score * sample.weight).sum(1)
    left = max(1 - sample.n / sample.pool.size, 1e-9)
    trials = sample.n / sample.unequal / left
    spread = sample.score.var(1)
    # scores between 0 and 1 vary less than right and wrong do
    trials = trials * np.where(spread > 0, np.maximum(score * (1 - score) / np.maximum(spread, 1e-12), 1), 1)
    beta = stats.beta(score * trials + 0.5, (1 - score) * trials + 0.5)
    tail = (1 - level) / 2
    lower = np.where(score <= 0, 0.0, beta.ppf(tail))
    upper = np.where(score >= 1, 1.0, beta.ppf(1 - tail))
    return Estimate(score, np.asarray(beta.std()), lower, upper)


MEAN = Estimator(name="mean", help="weighted mean of the answers", needs="nothing", estimate=estimate_mean)
