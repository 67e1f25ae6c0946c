"""Estimators of leakage: how much better a model does on exposed items than its ability predicts.

If it is known which items may have leaked, the estimate is the shift of their log-odds given the ability on the other
items (differential item functioning by logistic regression: Swaminathan & Rogers, 1990). If not, it is the share of
answers that are right whatever the difficulty: a floor of the model's own curve. Both are compared with their
distribution over clean models.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import norm, t

from capscope.axes import Float, ModelFloats, ModelItem, RowFloats
from capscope.data import Responses
from capscope.fit import PROBIT_SCALE, IRTPosterior

PRIOR_SD = 5.0
"""Prior standard deviation of a shift, in log-odds; it keeps the shift finite where every answer is right."""
MOST_OWN = 0.9
"""Largest share of an item's information that is attributed to one model's answer."""
ROUNDS, LONGEST_STEP, TOLERANCE = 40, 1.0, 1e-8
LEAST_VARIANCE = 1e-6
WORKING_LEAK = 0.15
"""Leaked share for which the weights of the estimate without known items are optimal; 0 would use hard items alone."""
ATTENUATION = 0.8
"""Attenuation of a leak of unknown items, because leaked answers also lower the items' estimated difficulty.

Measured on simulated leaks (benchmarks/contamination.py); the effect on the items' curves is removed to first order.
"""
EXPECTED_SUSPECTS = 0.2
"""Prior number of contaminated models, out of 4 pseudo-models."""
PRIOR_MODELS, MOST_SUSPECTS = 4.0, 0.5
EM_ROUNDS = 60
MOST_LEFT_OUT = 200
"""Largest number of models for which the clean distribution is estimated leaving one out."""
FEWEST_FOR_LINE, FEWEST_FOR_BEND = 10, 30
"""Fewest models for a linear, and for a quadratic, dependence of the expected estimate on ability."""
CORE, CORE_STEPS, FIRST_QUANTILES = 0.6, 20, (0.2, 0.35, 0.5)
"""Share of the models that the first curve must fit, steps towards it, and where it may start."""
APART = 3.0
"""Smallest expected distance of contaminated from clean models, in standard deviations."""


@dataclass(frozen=True)
class AnsweredItems:
    """Answers of models and the curves of the items, on one ability."""

    right: ModelItem
    """Sum of the scores over trials."""
    trials: ModelItem
    """Number of trials; 0 where the item was not administered."""
    slope: ModelItem
    """Slope of each item, estimated without the model's own answer."""
    intercept: ModelItem
    """Intercept of each item, likewise."""
    floor: ModelItem
    """Chance of a guess."""

    @classmethod
    def of(cls, responses: Responses, posterior: IRTPosterior, floor: RowFloats | None = None) -> "AnsweredItems":
        """Collect answers, with item curves that exclude the model's own answer.

        A leaked answer lowers its item's estimated difficulty, which hides the leak if there are few models. Its
        contribution to the item's posterior is removed to first order; the posterior variance attenuates the curve.

        Args:
            responses: The answers.
            posterior: A fit of them with one ability.
            floor: Chance of a guess on each item; None for none.
        """
        table = responses.dense()
        floors = np.broadcast_to(0.0 if floor is None else np.nan_to_num(floor), table.right.shape)
        slope, intercept = (np.broadcast_to(part, floors.shape) for part in posterior.item_mean.T)
        fitted = cls(table.right, table.n_trials, slope, intercept, floors)
        ability, cov = posterior.ability_mean[:, :1], posterior.answer_cov
        chance = fitted.chance(ability[:, 0])
        gradient, variance = fitted.gradient(chance), _variance(chance)
        pull = (table.right - table.n_trials * chance) * gradient / variance
        weight = table.n_trials * gradient**2 / variance
        with_slope, with_intercept = ability * cov[:, 0, 0] + cov[:, 0, 1], ability * cov[:, 1, 0] + cov[:, 1, 1]
        spread = ability * with_slope + with_intercept
        kept = np.maximum(1 - weight * spread, 1 - MOST_OWN)
        flat = np.sqrt(1 + PROBIT_SCALE * spread / kept)
        without = ((slope - with_slope * pull / kept) / flat, (intercept - with_intercept * pull / kept) / flat)
        return replace(fitted, slope=without[0], intercept=without[1])

    def take(self, items: np.ndarray) -> "AnsweredItems":
        """Return some of the items."""
        parts = (self.right, self.trials, self.slope, self.intercept, self.floor)
        return AnsweredItems(*(part[:, items] for part in parts))

    def chance(self, ability: ModelFloats, shift: ModelItem | float = 0.0) -> ModelItem:
        """Chance of success at these abilities, with log-odds shifted.

        Args:
            ability: Abilities, shape (model,).
            shift: Log-odds added, shape (model, item) or one number.

        Returns:
            Chances of success, shape (model, item), above the items' floors.
        """
        return self.floor + (1 - self.floor) * expit(ability[:, None] * self.slope + self.intercept + shift)

    def gradient(self, chance: ModelItem) -> ModelItem:
        """Derivative of the chance by its log-odds."""
        known = (chance - self.floor) / (1 - self.floor)
        return (1 - self.floor) * known * (1 - known)


@dataclass(frozen=True)
class Shifts:
    """Ability and leakage estimate of each model."""

    ability: ModelFloats
    """Ability where nothing leaked; NaN for a model that lacks answers on either side."""
    estimate: ModelFloats
    """Shift in log-odds, or share of leaked answers."""
    se: ModelFloats
    """Standard error from the answers."""
    influence: ModelItem
    """Influence of each answer on the estimate; answers of related models to one item are correlated."""

    def only(self, models: np.ndarray) -> "Shifts":
        """Set the values of models outside a mask to NaN."""
        blank = np.where(models, 0.0, np.nan)
        return replace(self, ability=self.ability + blank, estimate=self.estimate + blank, se=self.se + blank)


def known_shifts(cells: AnsweredItems, exposed: ModelItem) -> Shifts:
    """Estimate each model's ability and the shift of its log-odds on exposed items.

    Args:
        cells: Answers and item curves.
        exposed: Exposure of each model to each item, 0 to 1; NaN where it is not known, which leaves the answer out.

    Returns:
        Abilities and shifts by maximum likelihood, with weak priors.
    """
    trials, weight = np.where(np.isnan(exposed), 0.0, cells.trials), np.nan_to_num(exposed)
    value, inverse, influence = _maximum(cells, trials, weight)
    usable = ((trials * weight).sum(1) > 0) & ((trials * (1 - weight)).sum(1) > 0)
    blank = np.where(usable, 0.0, np.nan)
    return Shifts(value[:, 0] + blank, value[:, 1] + blank, np.sqrt(inverse[:, 1, 1]), influence)


def _maximum(
    cells: AnsweredItems, trials: ModelItem, weight: ModelItem
) -> tuple[Float[np.ndarray, "model 2"], Float[np.ndarray, "model 2 2"], ModelItem]:
    """Ability and shift of each model by Fisher scoring, their covariance, and each answer's part in the shift."""
    columns = np.stack([np.broadcast_to(cells.slope, weight.shape), weight], axis=-1)
    prior = np.array([1.0, PRIOR_SD**-2])
    right = np.where(trials > 0, cells.right, 0.0)
    value = np.zeros((len(trials), 2))
    inverse, pull = np.broadcast_to(np.diag(1 / prior), (len(trials), 2, 2)), np.zeros_like(trials)
    for _ in range(ROUNDS):
        chance = cells.chance(value[:, 0], value[:, 1:] * weight)
        gradient, variance = cells.gradient(chance), _variance(chance)
        pull = (right - trials * chance) * gradient / variance
        score = np.einsum("mi,mic->mc", pull, columns) - prior * value
        information = np.einsum("mi,mic,mid->mcd", trials * gradient**2 / variance, columns, columns)
        inverse = np.linalg.inv(information + np.diag(prior))
        step = np.einsum("mcd,md->mc", inverse, score)
        if np.abs(step).max() < TOLERANCE:
            break
        value = value + np.clip(step, -LONGEST_STEP, LONGEST_STEP)
    return value, inverse, pull * np.einsum("mc,mic->mi", inverse[:, 1], columns)


def leaked_shares(cells: AnsweredItems) -> Shifts:
    """Estimate the share of each model's answers that are right whatever the item's difficulty.

    It is a one-step estimate from a share of 0, so that its error is symmetric for a clean model.

    Args:
        cells: Answers and item curves.

    Returns:
        Abilities, shares that are insensitive to first order to errors of ability (they may be below 0), and their
        standard errors under no leak.
    """
    ability = _maximum(cells, cells.trials, np.zeros_like(cells.trials))[0][:, 0]
    chance = cells.chance(ability)
    variance, gradient = _variance(chance), cells.gradient(chance) * cells.slope
    raw = (1 - chance) / _variance(chance + WORKING_LEAK * (1 - chance))
    by_ability = (cells.trials * gradient**2 / variance).sum(1)
    share = (cells.trials * raw * gradient).sum(1) / np.maximum(by_ability, LEAST_VARIANCE)
    weight = raw - share[:, None] * gradient / variance
    reach = (cells.trials * weight * (1 - chance)).sum(1)
    reach = np.where((cells.trials.sum(1) > 0) & (reach > LEAST_VARIANCE), reach, np.nan)
    influence = weight * (cells.right - cells.trials * chance) / reach[:, None]
    se = np.sqrt((cells.trials * weight**2 * variance).sum(1)) / reach
    return Shifts(ability + 0 * reach, influence.sum(1), se, influence)


def expected_shares(cells: AnsweredItems, ability: ModelFloats, leak: float) -> Shifts:
    """What `leaked_shares` gives on average where a share of the answers leaked: less, since ability seems higher too.

    Args:
        cells: Answers and item curves.
        ability: Abilities.
        leak: Leaked share of all items.
    """
    chance = cells.chance(np.nan_to_num(ability))
    shifts = leaked_shares(replace(cells, right=cells.trials * (chance + leak * (1 - chance))))
    return replace(shifts, estimate=ATTENUATION * shifts.estimate)


def _variance(chance: ModelItem) -> ModelItem:
    return np.maximum(chance * (1 - chance), LEAST_VARIANCE)


@dataclass(frozen=True)
class NullDistribution:
    """Distribution of the estimate over clean models of the same ability, leaving the tested model out."""

    center: ModelFloats
    """Expected estimate of each model if it is clean."""
    between: ModelFloats
    """Standard deviation of a clean model around it beyond the noise of its answers."""
    freedom: ModelFloats
    """Degrees of freedom of `between`."""

    def p_value(self, excess: ModelFloats, noise: ModelFloats) -> ModelFloats:
        """One-sided p-value of the excess for a clean model.

        Args:
            excess: Estimates minus `center`.
            noise: Their standard errors.
        """
        return np.asarray(t.sf(excess / np.hypot(noise, self.between), self.freedom))


def null_distribution(shifts: Shifts, without: tuple[int, ...] | None = None) -> NullDistribution:
    """Estimate the distribution of clean models from all models, some of which may be contaminated.

    It is a mixture of clean models around a curve over ability, and contaminated ones several standard deviations above
    it; class sizes, curve and standard deviation are estimated by EM. A tested model is left out, so that a single
    contaminated model does not inflate the standard deviation it is compared with.

    Args:
        shifts: Estimates of at least 4 models; the others are NaN.
        without: Models that are left out together, such as a family; None leaves out each by itself.
    """
    known = np.flatnonzero(np.isfinite(shifts.estimate))
    parts = np.full((3, len(shifts.estimate)), np.nan)
    if without is not None or len(known) > MOST_LEFT_OUT:
        kept = np.setdiff1d(known, np.array(without or (), dtype=np.int64))
        parts[:, known] = _CleanCurve.of(shifts, kept).at(shifts.ability[known])
        return NullDistribution(*parts)
    for model in known:
        curve = _CleanCurve.of(shifts, known[known != model])
        parts[:, model : model + 1] = curve.at(shifts.ability[model : model + 1])
    return NullDistribution(*parts)


@dataclass(frozen=True)
class _CleanCurve:
    """Mean estimate of clean models as a function of ability, and their standard deviation around it."""

    middle: float
    unit: float
    beta: np.ndarray
    covariance: np.ndarray
    spread: float
    freedom: float

    @classmethod
    def of(cls, shifts: Shifts, models: np.ndarray) -> "_CleanCurve":
        """Estimate the curve from some models by EM."""
        value, noise, ability = shifts.estimate[models], shifts.se[models] ** 2, shifts.ability[models]
        middle, unit = float(ability.mean()), max(float(ability.std()), 1e-9)
        degree = 0 if len(models) < FEWEST_FOR_LINE else 1 if len(models) < FEWEST_FOR_BEND else 2
        columns = _powers((ability - middle) / unit, degree)
        clean, spread = _first_clean(value, noise, columns)
        suspects = 0.05
        beta, covariance = np.zeros(degree + 1), np.eye(degree + 1)
        for _ in range(EM_ROUNDS):
            weight = clean / (noise + spread)
            covariance = np.linalg.inv(columns.T @ (columns * weight[:, None]) + 1e-12 * np.eye(degree + 1))
            beta = covariance @ (columns.T @ (weight * value))
            rest = value - columns @ beta
            before, spread = spread, _spread(rest, noise, clean, degree + 1)
            sd = np.sqrt(noise + spread)
            clean, suspects = _classes(rest, sd, clean, suspects)
            if abs(spread - before) < TOLERANCE:
                break
        return cls(middle, unit, beta, covariance, spread, max(float(clean.sum()) - degree - 1, 1.0))

    def at(self, ability: np.ndarray) -> np.ndarray:
        """Mean, standard deviation (with the uncertainty of the mean) and degrees of freedom at abilities."""
        columns = _powers((ability - self.middle) / self.unit, len(self.beta) - 1)
        of_center = np.einsum("mc,cd,md->m", columns, self.covariance, columns)
        between = np.sqrt(self.spread + of_center)
        return np.stack([columns @ self.beta, between, np.full(len(ability), self.freedom)])


def _classes(rest: np.ndarray, sd: np.ndarray, clean: np.ndarray, suspects: float) -> tuple[np.ndarray, float]:
    """Probability that each model is clean, and the share that is not."""
    gap = max(float(((1 - clean) * rest).sum() / max((1 - clean).sum(), 1e-9)), APART * float(np.median(sd)))
    odd = suspects * np.where(rest > 0, norm.pdf(rest, gap, np.sqrt(sd**2 + gap**2 / 2)), 0.0)
    plain = (1 - suspects) * norm.pdf(rest, 0, sd)
    clean = np.where(plain + odd > 0, plain / np.maximum(plain + odd, 1e-300), (rest <= 0).astype(float))
    return clean, min(((1 - clean).sum() + EXPECTED_SUSPECTS) / (len(clean) + PRIOR_MODELS), MOST_SUSPECTS)


def _powers(scaled: np.ndarray, degree: int) -> np.ndarray:
    return np.stack([scaled**power for power in range(degree + 1)], axis=1)


def _first_clean(value: np.ndarray, noise: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, float]:
    """Models near a curve fitted by least trimmed squares, and the variance around it (Rousseeuw, 1984).

    Concentration steps start from several curves.
    """
    size = int(np.ceil(CORE * len(value)))
    best, least = np.arange(len(value)), np.inf
    for quantile in FIRST_QUANTILES:
        rest = value - np.quantile(value, quantile)
        for _ in range(CORE_STEPS):
            core = np.argsort(np.abs(rest), kind="stable")[:size]
            beta = np.linalg.lstsq(columns[core], value[core], rcond=None)[0]
            rest = value - columns @ beta
        squares = float(np.sort(rest**2)[:size].sum())
        if squares < least:
            best, least = rest, squares
    edge = norm.ppf((1 + CORE) / 2)
    of_core = 1 - 2 * edge * norm.pdf(edge) / CORE
    sd = np.sqrt(least / size / of_core)
    clean = np.where(best < APART * np.maximum(sd, np.sqrt(noise)), 1.0, 0.0)
    return clean, max(float(sd**2 - np.median(noise)), 0.0)


def _spread(rest: np.ndarray, noise: np.ndarray, weight: np.ndarray | None = None, lost: int = 1) -> float:
    """Variance between models without sampling error, by the method of moments."""
    weight = np.ones(len(rest)) if weight is None else weight
    target = max(float(weight.sum()) - lost, 0.5)

    def excess(spread: float) -> float:
        return float((weight * rest**2 / (noise + spread)).sum()) - target

    if excess(0.0) <= 0:
        return 0.0
    return float(brentq(excess, 0.0, float((rest**2).max()) * len(rest) / target + 1.0))
