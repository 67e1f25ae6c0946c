"""The default assessor: a stack of members pooled in log-odds, with weights and calibration learnt out of fold.

The folds inside the training part imitate the items to predict: new items of known tasks, new tasks, new benchmarks, or
items that other models have answered. Trees do not extrapolate; outside the training items their log-odds are replaced
by those of the demand-ability model (stacking: Wolpert, 1992; logit pooling: Satopaa et al., 2014).

Predictions of many rows come from few groups of items. The likelihood of the pool is therefore scaled to the number of
groups times `ANSWERS_A_GROUP`; with few groups the weights stay near their prior. The prior gives most weight to the
demand-ability model, and a part to the model's mean score, which uses no item features; that part decreases with the
number of groups. Priors were compared on 1,152 small problems: see `benchmarks/assessors.md`, New tasks
from few known ones; `benchmarks/few_groups.py` measures the chosen one on other problems.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit

from capscope.axes import FloatArray, RowFloats, RowIndex
from capscope.predict.answer_statistics import fold_regime, group_count, group_folds, regime_of_items, residual_sd
from capscope.predict.assessor import Assessor, AssessorEntry, Chances, FittedAssessor, LogOddsParts, Training
from capscope.predict.assessors.baselines import MeanAssessor
from capscope.predict.assessors.explanatory import ExplanatoryAssessor, RaschAssessor
from capscope.predict.assessors.forest import PooledForestAssessor
from capscope.predict.demand_model import FittedDemandModel
from capscope.predict.features import ItemFeatures, importance, nearness

Members = Float[np.ndarray, "row member"]
CORE = "explanatory"
TREES = ("forest", "demand-forest")
AVERAGE = "mean"
"""The member without item features, the model's mean score; it is pooled for new tasks and benchmarks only."""
GROUPED = ("task", "benchmark")
"""Regimes of whole groups of items, which are few."""
FOLDS = 4
ANSWERS_AN_ITEM, ANSWERS_A_GROUP = 5.0, 2.0
"""Number of answers that a held-out item is worth, and a held-out task or benchmark."""
WEIGHT_SD, OFFSET_SD = 0.3, 0.3
"""Prior standard deviation of each weight around its expectation, and of the offset around 0."""
CORE_SHARE, FEW_TASKS = 0.7, 8
"""Expected weight of the core on a new task, of what the mean score leaves, where so few tasks or fewer are known."""


def members_for(features: ItemFeatures) -> dict[str, Assessor]:
    """Return the members that can work with these item features; the first one supplies the parts of the log-odds."""
    if features.demands is None and features.texts is None:
        return {CORE: RaschAssessor(parts=True)}
    members: dict[str, Assessor] = {CORE: ExplanatoryAssessor()}
    if features.demands is not None:
        members["linear"] = ExplanatoryAssessor(monotone=False, text=True)
        members["interactions"] = ExplanatoryAssessor(monotone=False, interactions=True, text=True)
    members["forest"] = PooledForestAssessor()
    if features.demands is not None and features.texts is not None:
        members["demand-forest"] = PooledForestAssessor(text=False)
    members[AVERAGE] = MeanAssessor()
    return members


def pooled_members(members: Iterable[str], kind: str) -> tuple[str, ...]:
    """Return the members that are pooled in a regime.

    Args:
        members: Names of the stack's members.
        kind: Regime: what is new at prediction.
    """
    return tuple(name for name in members if name != AVERAGE or kind in GROUPED)


@dataclass(frozen=True)
class Pool:
    """Pooled log-odds ``offset + members @ weight``, followed by a calibration of low and high chances."""

    weight: Float[np.ndarray, " member"]
    """Weight of each member's log-odds."""
    offset: float
    """Constant added to the log-odds."""
    bend: tuple[float, float, float] = (1.0, 1.0, 0.0)
    """Slopes of the log-chance of success and of failure, and an offset (Kull, Silva Filho & Flach, 2017)."""

    def log_odds(self, members: Members) -> RowFloats:
        """Return pooled and calibrated log-odds of the members' log-odds."""
        return _sides(self.offset + members @ self.weight) @ np.array(self.bend)


def fit_pool(
    members: Members,
    score: RowFloats,
    importance: RowFloats,
    worth: float,
    expected: Float[np.ndarray, " member"] | None = None,
    *,
    nonlinear: bool = True,
) -> Pool:
    """Fit weights and offset to out-of-fold log-odds, then the calibration curve (beta calibration).

    Args:
        members: Log-odds of each row by each member.
        score: Observed score of each row, 0 to 1.
        importance: Weight of each row.
        worth: Number of independent answers that all rows together are worth.
        expected: Prior mean of the weights; None for an equal share each.
        nonlinear: Fit the calibration curve; with few groups it cannot be estimated.
    """
    n_members = members.shape[1]
    share = importance / importance.sum() * worth
    start = np.r_[np.full(n_members, 1 / n_members) if expected is None else expected, 0.0]
    columns = np.column_stack([members, np.ones(len(members))])
    coefficients = _regress(columns, score, share, start)
    if not nonlinear:
        return Pool(coefficients[:-1], float(coefficients[-1]))
    lower, upper, offset = _regress(_sides(columns @ coefficients), score, share, np.array([1.0, 1.0, 0.0]))
    return Pool(coefficients[:-1], float(coefficients[-1]), (float(lower), float(upper), float(offset)))


def _sides(log_odds: RowFloats) -> Float[np.ndarray, "row 3"]:
    return np.column_stack([log_expit(log_odds), -log_expit(-log_odds), np.ones_like(log_odds)])


def _regress(columns: np.ndarray, score: RowFloats, share: RowFloats, start: np.ndarray) -> np.ndarray:
    """Logistic regression with a Gaussian prior around `start`; slopes (all columns but the last) are not negative."""
    n_slopes = len(start) - 1
    precision = 1 / np.r_[np.full(n_slopes, WEIGHT_SD), OFFSET_SD] ** 2

    def loss(value: np.ndarray) -> tuple[float, np.ndarray]:
        log_odds = columns @ value
        likelihood = score * log_expit(log_odds) + (1 - score) * log_expit(-log_odds)
        away = value - start
        gradient = columns.T @ (share * (expit(log_odds) - score)) + precision * away
        return float(-(share * likelihood).sum() + 0.5 * (precision * away**2).sum()), gradient

    bounds = [(0.0, None)] * n_slopes + [(None, None)]
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x)


@dataclass(frozen=True)
class _Regime:
    """The pool for items of one regime (see `answer_statistics.regime_of_items`)."""

    kind: str
    """The regime."""
    pool: Pool
    """Weights and calibration."""
    sd: float
    """Standard deviation in log-odds of the items around the pooled chances."""
    unlearnt: bool
    """Whether the training part has no items of this regime to hold out; the core's standard deviation is used then."""


@dataclass(frozen=True)
class FittedStack:
    """Fitted members and their pools."""

    members: dict[str, FittedAssessor]
    """Members fitted to the whole training part."""
    near: RowFloats
    """Nearness of each item to the training items, 1 inside."""
    regime: np.ndarray
    """Regime of each item."""
    regimes: dict[str, _Regime]
    """Pool of each regime."""

    def predict(self, model_index: RowIndex, item_index: RowIndex) -> Chances:
        """Return pooled and calibrated chances of success; see `FittedAssessor.predict`."""
        predicted = {name: member.predict(model_index, item_index) for name, member in self.members.items()}
        kind = self.regime[item_index]
        log_odds, sd = np.zeros(len(item_index)), np.zeros(len(item_index))
        core_sd, shared = predicted[CORE].log_odds_sd, predicted[CORE].shared_sd
        own = self._core.own_sd(model_index, item_index)
        for name, regime in self.regimes.items():
            rows = np.flatnonzero(kind == name)
            columns = _columns(predicted, self.near[item_index], rows, regime.kind)
            log_odds[rows] = regime.pool.log_odds(columns)
            # for an item with answers, the core gives the uncertainty of its residual
            use_core = regime.unlearnt or name == "warm"
            sd[rows] = core_sd[rows] if use_core else np.hypot(regime.sd, np.hypot(shared, own)[rows])
        return Chances.of(expit(log_odds), sd, shared)

    def parts(self, model_index: RowIndex, item_index: RowIndex) -> LogOddsParts:
        """Return the core's parts, and all else as `adjustment`; see `ExplainingAssessor.parts`."""
        pooled = self.predict(model_index, item_index).log_odds_mean
        return self._core.parts(model_index, item_index).adjusted(pooled)

    def deviations(self, item_index: RowIndex, rng: np.random.Generator, draws: int) -> Iterator[FloatArray]:
        """Yield the core's joint draws of standardised log-odds, see `JointAssessor`."""
        return self._core.deviations(item_index, rng, draws)

    @property
    def _core(self) -> FittedDemandModel:
        core = self.members[CORE]
        if not isinstance(core, FittedDemandModel):
            raise TypeError("the first member must be the demand-ability model")
        return core


@dataclass(frozen=True)
class StackedAssessor:
    """Pools the demand-ability model, variants of it with free effects and interactions, and forests over all models.

    Some members use texts and some do not, because texts may mislead in a new task.
    """

    folds: int = FOLDS
    """Number of folds inside the training part."""

    def fit(self, training: Training) -> FittedStack:
        """Fit the pools to out-of-fold predictions of grouped folds, and the members to all answers."""
        makers = members_for(training.features)
        members = {name: maker.fit(training) for name, maker in makers.items()}
        kinds = regime_of_items(training)
        kinds_asked = sorted(set(kinds[training.asked].tolist()))
        regimes = {kind: self._learn(training, makers, kind, kinds) for kind in kinds_asked}
        # items of other regimes use the pool of the most cautious regime that was fitted
        others = set(kinds.tolist()) - set(kinds_asked)
        regimes |= dict.fromkeys(others, regimes[kinds_asked[0]])
        return FittedStack(members, nearness(training.features, training.answered), kinds, regimes)

    def _learn(self, training: Training, makers: dict[str, Assessor], kind: str, kinds: np.ndarray) -> _Regime:
        responses, groups = training.responses, group_count(training, kind)
        expected = expected_weights(pooled_members(makers, kind), kind, groups)
        unlearnt = kind in GROUPED and fold_regime(training, kind) != kind
        if groups < 2 or unlearnt:
            return _Regime(kind, Pool(expected, 0.0), 0.0, unlearnt=True)
        columns = np.zeros((len(responses.score), len(expected)))
        for held_out in group_folds(training, kind, self.folds):
            inner = training.without(held_out)
            rows = responses.rows(held_out)
            predicted = {
                name: makers[name].fit(inner).predict(rows.model_index, rows.item_index)
                for name in pooled_members(makers, kind)
            }
            near = nearness(inner.features, inner.answered)[rows.item_index]
            columns[held_out] = _columns(predicted, near, np.arange(len(near)), kind)
        weight = importance(training.features, training.answered, training.asked & (kinds == kind))
        weight = weight[responses.item_index] * responses.n_trials
        grouped = kind in GROUPED
        worth = groups * (ANSWERS_A_GROUP if grouped else ANSWERS_AN_ITEM)
        pool = fit_pool(columns, responses.score, weight, worth, expected, nonlinear=not grouped)
        sd = residual_sd(responses, expit(pool.log_odds(columns)))
        return _Regime(kind, pool, sd, unlearnt)


def _columns(predicted: dict[str, Chances], near: RowFloats, rows: np.ndarray, kind: str) -> np.ndarray:
    """Log-odds of the members pooled in a regime; far from the training items, trees are replaced by the core."""
    columns = {name: logit(chances.probability[rows]) for name, chances in predicted.items()}
    columns = {name: columns[name] for name in pooled_members(columns, kind)}
    for name in columns.keys() & set(TREES):
        columns[name] = near[rows] * columns[name] + (1 - near[rows]) * columns[CORE]
    return np.column_stack(list(columns.values()))


def expected_weights(members: tuple[str, ...], kind: str, groups: int) -> np.ndarray:
    """Return the prior mean of the members' weights in a regime.

    For new items of known tasks all members have equal weights. In the regimes of whole groups, the mean score has
    weight 0.5 / (2 + groups). Of the rest, the core has 0.5 on a new benchmark, and on a new task 0.7 where up to
    eight tasks are known, which falls towards an equal share with more. On a new benchmark trees have weight 0, because
    they cannot extrapolate, and the monotone demand effects of the core are the most likely to hold there.

    Args:
        members: Names of the members that are pooled.
        kind: Regime, see `answer_statistics.regime_of_items`.
        groups: Number of groups that are learnt from.
    """
    names = np.array(members)
    if kind not in GROUPED or len(members) < 2:
        return np.full(len(members), 1 / len(members))
    average = (names == AVERAGE) * 0.5 / (2 + groups)
    core = (names == CORE).astype(float)
    others = (names != CORE) & (names != AVERAGE)
    if kind == "benchmark":
        others &= ~np.isin(names, TREES)
    equal = 1 / (1 + others.sum())
    few = FEW_TASKS / max(FEW_TASKS, groups)
    share = equal + (CORE_SHARE - equal) * few if kind == "task" else 0.5
    share = share if others.any() else 1.0
    rest = share * core + (1 - share) * others / max(others.sum(), 1)
    return average + (1 - average.sum()) * rest


STACKED = AssessorEntry(
    name="stacked",
    help="the default: explanatory models and forests pooled and calibrated out of fold",
    assessor=StackedAssessor(),
)
