"""The demand-ability model: a hierarchical explanatory item response model (De Boeck & Wilson, 2004).

Log-odds of knowing the answer are a model's general ability, plus its shrunken slopes on the demands, plus the effects
of the item's demands, text, task and benchmark, plus an item residual. Scales of all effects are estimated by
empirical Bayes (MacKay, 1992); effects of tasks and benchmarks follow a Student-t. Gaussian posteriors are updated by
Newton steps on the expected log-likelihood, with the curvature of a bound (Jaakkola & Jordan, 2000) for stability.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import expit

from capscope.data import Demands, Responses, Study, refuse_foreign_demands
from capscope.errors import FitError
from capscope.fit.demand.basis import DemandBasis, DemandItems, demand_items, make_basis
from capscope.fit.demand.posterior import TAIL, DemandPosterior
from capscope.fit.links import PROBIT_SCALE, attenuated
from capscope.fit.outcome import Outcome, Status, single_threaded
from capscope.fit.settings import StudyFitSettings

BENCHMARK_SD = 1.0
"""Prior scale of benchmark effects in log-odds; benchmarks are few, so it counts as `BENCHMARK_COUNT` of them."""
BENCHMARK_COUNT = 2.0
"""Number of benchmarks that this prior weighs as much as; given demands, benchmarks differ by 1.3 log-odds or more."""
WEAK_COUNT, WEAK_SD = 0.01, 0.5
"""The same for all other groups: a weak prior."""
SLOPE_COUNT, SLOPE_SD = 0.5, 0.1
"""Prior on the scale of the models' slopes."""
NEVER = 1e9
"""Precision that fixes a weight at 0."""


@dataclass(frozen=True, kw_only=True)
class DemandSettings:
    """Settings of the demand-ability model."""

    monotone: bool = True
    """No demand may raise the chance of success."""
    interactions: bool = False
    """Whether demands may act together, by radial basis functions; needs `monotone` off."""
    max_sweeps: int = 40
    """Most sweeps."""
    tolerance: float = 0.01
    """Stop when the root-mean-square change of the log-odds in a sweep is below this."""
    seed: int = 0
    """Seed of the landmarks."""

    def __post_init__(self) -> None:
        """Validate the settings.

        Raises:
            FitError: Interactions are asked for and monotone effects too.
        """
        if self.monotone and self.interactions:
            raise FitError("DemandSettings: interactions are not monotone; set monotone=False for them")


@dataclass
class _Sweeps:
    """State of the sweeps."""

    score: np.ndarray
    trials: np.ndarray
    columns: np.ndarray
    design: np.ndarray
    floor: np.ndarray
    group: np.ndarray
    names: tuple[str, ...]
    n_demands: int
    monotone: bool
    ability: np.ndarray = field(init=False)
    ability_cov: np.ndarray = field(init=False)
    ability_sd: np.ndarray = field(init=False)
    weight: np.ndarray = field(init=False)
    weight_cov: np.ndarray = field(init=False)
    group_precision: np.ndarray = field(init=False)
    residual: np.ndarray = field(init=False)
    residual_variance: np.ndarray = field(init=False)
    residual_sd: float = 0.7

    def __post_init__(self) -> None:
        n_models, (n_items, n_columns), width = len(self.score), self.columns.shape, self.design.shape[1]
        right = (self.trials * self.score).sum(1) + 1
        share = right / (self.trials.sum(1) + 2)
        self.ability = np.zeros((n_models, width))
        self.ability[:, 0] = np.log(share / (1 - share))
        self.ability_cov = np.broadcast_to(0.02 * np.eye(width), (n_models, width, width)).copy()
        self.ability_sd = np.r_[1.0, np.full(width - 1, SLOPE_SD)]
        self.weight, self.weight_cov = np.zeros(n_columns), np.zeros((n_columns, n_columns))
        self.group_precision = np.full(len(self.names), 1 / WEAK_SD**2)
        self.residual, self.residual_variance = np.zeros(n_items), np.full(n_items, 0.5)
        self.products = (self.design[:, :, None] * self.design[:, None, :]).reshape(n_items, -1)

    def log_odds(self) -> np.ndarray:
        return self.ability @ self.design.T + self._item_effect()

    def _item_effect(self) -> np.ndarray:
        return self.columns @ self.weight + self.residual

    def _working(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Curvature of each cell's bound, working response times it, and expected curvature of the likelihood.

        The gradient is that of the expected log-likelihood; the bound's curvature only keeps the steps short enough.
        """
        mean = self.log_odds()
        variance = self.ability_cov.reshape(len(mean), -1) @ self.products.T + self.residual_variance
        width = np.sqrt(mean**2 + variance) + 1e-9
        curvature = self.trials * np.tanh(width / 2) / (2 * width)
        log_odds = attenuated(mean, variance)
        chance = expit(log_odds)
        known = knowing(self.score, log_odds, self.floor) if self.floor.any() else self.score
        # answers that may be guesses have less information about knowledge
        knowing_share = (1 - self.floor) * chance / (self.floor + (1 - self.floor) * chance)
        expected = self.trials * chance * (1 - chance) / np.sqrt(1 + PROBIT_SCALE * variance) * knowing_share
        return curvature, self.trials * (known - chance) + curvature * mean, expected

    def step_models(self) -> None:
        """Update abilities and slopes of all models given the items, then their standard deviations over models."""
        curvature, pull, expected = self._working()
        n_models, width = self.ability.shape
        precision = (curvature @ self.products).reshape(n_models, width, width)
        expected_information = (expected @ self.products).reshape(n_models, width, width)
        target = (pull - curvature * self._item_effect()) @ self.design
        center = np.r_[self.ability[:, 0].mean(), np.zeros(width - 1)]
        prior = 1 / self.ability_sd**2
        step = np.linalg.inv(precision + np.diag(prior))
        self.ability = np.einsum("mkl,ml->mk", step, target + center * prior)
        self.ability_cov = np.linalg.inv(expected_information + np.diag(prior))
        center[0] = self.ability[:, 0].mean()
        second = ((self.ability - center) ** 2 + np.diagonal(self.ability_cov, axis1=1, axis2=2)).sum(0)
        count = np.r_[1.0, np.full(width - 1, SLOPE_COUNT)]
        prior_sd = np.r_[1.0, np.full(width - 1, SLOPE_SD)]
        self.ability_sd = np.sqrt((second + count * prior_sd**2) / (n_models + count))

    def step_items(self) -> None:
        """Update weights of the columns, their scales, and item residuals, given the models."""
        curvature, pull, expected = self._working()
        information = curvature.sum(0) + 1e-8
        working = (pull - curvature * (self.ability @ self.design.T)).sum(0) / information
        # the bound has a larger curvature than the likelihood and would understate variances
        expected_information = expected.sum(0) + 1e-8
        own = share = unsure = np.zeros_like(information)
        for _ in range(3):
            spread = self.residual_sd**2
            self._solve_weights(working, 1 / (1 / information + spread), 1 / (1 / expected_information + spread))
            self._update_scales()
            fitted = self.columns @ self.weight
            unsure = ((self.columns @ self.weight_cov) * self.columns).sum(1)
            self.residual = information / (information + 1 / spread) * (working - fitted)
            own, share = (
                1 / (expected_information + 1 / spread),
                expected_information / (expected_information + 1 / spread),
            )
            self.residual_sd = float(np.sqrt(np.mean(self.residual**2 + own + share**2 * unsure) + 1e-6))
        self.residual_variance = own + (1 - share) ** 2 * unsure

    def _solve_weights(self, working: np.ndarray, precision: np.ndarray, expected_information: np.ndarray) -> None:
        prior = self.group_precision[self.group] * self._tails()
        gram = (self.columns * precision[:, None]).T @ self.columns
        pulled = self.columns.T @ (precision * working)
        for _ in range(self.n_demands + 1):
            self.weight = np.linalg.solve(gram + np.diag(prior), pulled)
            helps = np.flatnonzero(self.weight[: self.n_demands] > 1e-6)
            if not (self.monotone and len(helps)):
                break
            prior[helps] = NEVER
        self.weight_cov = np.linalg.inv(
            (self.columns * expected_information[:, None]).T @ self.columns + np.diag(prior)
        )

    def _tails(self) -> np.ndarray:
        """Weights of the Student-t as a mixture of Gaussians: an outlying task or benchmark is shrunk less."""
        heavy = np.isin(np.array(self.names)[self.group], ("task", "benchmark"))
        second = self.weight**2 + np.diagonal(self.weight_cov)
        return np.where(heavy, (TAIL + 1) / (TAIL + second * self.group_precision[self.group]), 1.0)

    def _update_scales(self) -> None:
        variance, tails = np.diagonal(self.weight_cov), self._tails()
        for number, name in enumerate(self.names):
            rows = np.flatnonzero(self.group == number)
            count, sd = (BENCHMARK_COUNT, BENCHMARK_SD) if name == "benchmark" else (WEAK_COUNT, WEAK_SD)
            effective = len(rows) - self.group_precision[number] * (tails[rows] * variance[rows]).sum()
            square = (tails[rows] * self.weight[rows] ** 2).sum()
            self.group_precision[number] = np.clip((max(effective, 0) + count) / (square + count * sd**2), 1e-2, 1e6)


def fit_demand_items(
    responses: Responses, items: DemandItems, dims: tuple[str, ...] = (), settings: DemandSettings | None = None
) -> Outcome[DemandPosterior]:
    """Fit the demand-ability model.

    Args:
        responses: Answers.
        items: All items of the item axis, answered or not; only answered ones are fitted.
        dims: Names of the demands.
        settings: What to fit.

    Raises:
        FitError: There is nothing to fit, or a level is missing.
    """
    settings = settings or DemandSettings()
    if not len(responses.score):
        raise FitError("fit_demand: there are no responses; check the filter or the split that made this matrix")
    seen, place = np.unique(responses.item_index, return_inverse=True)
    fitted = items.at(seen)
    with single_threaded():
        basis = make_basis(fitted, interactions=settings.interactions, seed=settings.seed)
        answered = replace(responses, items=tuple(responses.items[i] for i in seen), item_index=place)
        state = _start(answered, fitted, basis, settings)
        history = _run(state, settings)
    converged = history[-1] < settings.tolerance
    last = f"still moving by {history[-1]:.3f} log-odds at the last sweep; raise max_sweeps"
    names = dims or tuple(f"demand{number}" for number in range(len(basis.center)))
    posterior = _posterior(responses, seen, fitted, basis, state, names)
    status = Status(converged, "converged" if converged else "still-moving", () if converged else (last,))
    return Outcome(posterior, status, tuple(history))


def _start(responses: Responses, items: DemandItems, basis: DemandBasis, settings: DemandSettings) -> _Sweeps:
    dense = responses.dense()
    sizes = [size for _, size in basis.groups]
    standard = basis.standard(items)
    return _Sweeps(
        score=np.nan_to_num(dense.score),
        trials=dense.n_trials,
        columns=basis.columns(items),
        design=np.column_stack([np.ones(len(items.task)), standard]),
        floor=items.floor,
        group=np.repeat(np.arange(len(sizes)), sizes),
        names=tuple(name for name, _ in basis.groups),
        n_demands=sizes[0],
        monotone=settings.monotone,
    )


def _run(state: _Sweeps, settings: DemandSettings) -> list[float]:
    history: list[float] = []
    before = state.log_odds()
    for _ in range(settings.max_sweeps):
        state.step_items()
        state.step_models()
        after = state.log_odds()
        history.append(float(np.sqrt(np.mean((after - before) ** 2))))
        before = after
        if history[-1] < settings.tolerance:
            break
    return history


def _posterior(
    responses: Responses,
    seen: np.ndarray,
    items: DemandItems,
    basis: DemandBasis,
    state: _Sweeps,
    dims: tuple[str, ...],
) -> DemandPosterior:
    posterior = DemandPosterior(
        models=responses.models,
        items=tuple(responses.items[item] for item in seen),
        dims=dims,
        basis=basis,
        ability_mean=state.ability,
        ability_cov=state.ability_cov,
        ability_sd=state.ability_sd,
        weight=state.weight,
        weight_cov=state.weight_cov,
        group_sd=1 / np.sqrt(state.group_precision),
        residual_sd=state.residual_sd,
        residual_mean=state.residual,
        residual_variance=state.residual_variance,
        monotone=state.monotone,
        levels=np.zeros((len(seen), 0)) if items.demands is None else items.demands,
    )
    # the slopes' mean over models belongs to the effects of the demands, so that a model's slope is its own
    shift = posterior.ability_mean[:, 1:].mean(axis=0)
    ability, weight = posterior.ability_mean.copy(), posterior.weight.copy()
    ability[:, 1:] -= shift
    weight[: len(shift)] += shift
    if state.monotone:
        weight[: len(shift)] = np.minimum(weight[: len(shift)], 0)
    return replace(posterior, ability_mean=ability, weight=weight)


def fit_demand_answers(
    study: Study,
    responses: Responses,
    settings: StudyFitSettings,
    progress: Callable[[float], None] | None = None,  # noqa: ARG001 - one interface for all kinds
) -> Outcome[DemandPosterior]:
    """Fit the demand-ability model to answers and the demands of their items.

    Args:
        study: A study with demands.
        responses: The answers.
        settings: Annotator and seed.
        progress: Not called: the fit is fast.

    Raises:
        InputError: A table is missing, or no such annotator.
        JoinError: Responses and demands are about different items.
        FitError: The data cannot support the model.
    """
    rated = refuse_foreign_demands(study)
    dims = Demands.of(study, settings.annotator).dims
    items = demand_items(study, responses.items, dims, settings.annotator)
    outcome = fit_demand_items(responses, items, dims, DemandSettings(seed=settings.seed))
    if not rated.missing:
        return outcome
    remark = f"{len(rated.missing)} answered items have no demand level; typical levels are used with their spread"
    return replace(outcome, status=outcome.status.with_advice(remark))


def knowing(score: np.ndarray, log_odds: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Posterior probability that a right answer was known rather than guessed, ``p / P``, times the score.

    Args:
        score: Scores, 0 to 1.
        log_odds: Log-odds of knowing the answer, without guessing.
        floor: Chance of a right guess.
    """
    chance = expit(log_odds)
    return score * chance / (floor + (1 - floor) * chance)
