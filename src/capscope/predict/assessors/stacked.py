"""The default: members pooled in log-odds, weights and calibration learnt on answers that the members had not seen.

What is held out inside the training part is what the items asked about are: new items of known tasks, new tasks, new
benchmarks, or items that other models have answered. Trees do not extrapolate, so outside the training items their
log-odds give way to those of the demand-ability model (stacking: Wolpert, 1992; logit pooling: Satopaa et al., 2014).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from capscope.axes import FloatArray, RowFloats, RowIndex
from capscope.predict.assessor import Assessor, Chances, FittedAssessor, Parts, Training
from capscope.predict.assessors.explanatory import ExplanatoryAssessor
from capscope.predict.assessors.pooled_forest import PooledForestAssessor
from capscope.predict.assessors.rasch import RaschAssessor
from capscope.predict.core import FittedCore
from capscope.predict.features import ItemFeatures
from capscope.predict.folds import fold_regime, group_count, group_folds, regime_of_items
from capscope.predict.pooling import Pool, fit_pool
from capscope.predict.spread import unexplained_sd
from capscope.predict.support import importance, nearness

CORE = "explanatory"
TREES = ("forest", "demand-forest")
FOLDS = 4


def members_for(features: ItemFeatures) -> dict[str, Assessor]:
    """Return the members that can work with what is known of the items; the first is the one that explains."""
    if features.demands is None and features.texts is None:
        return {CORE: RaschAssessor()}
    members: dict[str, Assessor] = {CORE: ExplanatoryAssessor()}
    if features.demands is not None:
        members["linear"] = ExplanatoryAssessor(monotone=False, text=True)
        members["interactions"] = ExplanatoryAssessor(monotone=False, interactions=True, text=True)
    members["forest"] = PooledForestAssessor()
    if features.demands is not None and features.texts is not None:
        members["demand-forest"] = PooledForestAssessor(text=False)
    return members


@dataclass(frozen=True)
class _Regime:
    """How to pool for items that are new in one way."""

    pool: Pool
    """Weights and calibration."""
    spread: float
    """Standard deviation in log-odds of the items around the pooled chances."""
    unlearnt: bool
    """Whether the training part could not show such items: then the core says how far they may depart."""


@dataclass(frozen=True)
class FittedStack:
    """Fitted members and how to pool them."""

    members: dict[str, FittedAssessor]
    """Members fitted on the whole training part."""
    near: RowFloats
    """How near each item lies to the training items, 1 inside."""
    regime: np.ndarray
    """How new each item is."""
    regimes: dict[str, _Regime]
    """How to pool in each way of being new."""

    def predict(self, model_index: RowIndex, item_index: RowIndex) -> Chances:
        """Chance of success, pooled and calibrated."""
        found = {name: member.predict(model_index, item_index) for name, member in self.members.items()}
        kind = self.regime[item_index]
        log_odds, spread = np.zeros(len(item_index)), np.zeros(len(item_index))
        core, shared = found[CORE].log_odds_sd, found[CORE].shared_sd
        own = self._core.own_sd(model_index, item_index)
        for name, regime in self.regimes.items():
            rows = np.flatnonzero(kind == name)
            columns = _columns(found, self.near[item_index], rows)
            log_odds[rows] = regime.pool.log_odds(columns)
            # where an item's own answers are used, its departure is known as far as the core says
            told = regime.unlearnt or name == "warm"
            spread[rows] = core[rows] if told else np.hypot(regime.spread, np.hypot(shared, own)[rows])
        return Chances.of(expit(log_odds), spread, shared)

    def parts(self, model_index: RowIndex, item_index: RowIndex) -> Parts:
        """The core's parts, and as `adjustment` what the other members and the calibration change."""
        pooled = self.predict(model_index, item_index).log_odds_mean
        return self._core.parts(model_index, item_index).adjusted(pooled)

    def departures(self, item_index: RowIndex, rng: np.random.Generator, draws: int) -> Iterator[FloatArray]:
        """Joint draws of each model's log-odds around their means, in standard deviations: as the core has them."""
        return self._core.departures(item_index, rng, draws)

    @property
    def _core(self) -> FittedCore:
        core = self.members[CORE]
        if not isinstance(core, FittedCore):
            raise TypeError("the first member explains")
        return core


@dataclass(frozen=True)
class StackedAssessor:
    """Pools the demand-ability model, variants of it with free effects and interactions, and forests over all models.

    Variants that look at texts stand beside some that do not: in a new task, texts may mislead.
    """

    folds: int = FOLDS
    """Folds inside the training part."""

    def fit(self, training: Training) -> FittedStack:
        """Learn the pool on out-of-fold predictions of grouped folds, then fit the members on everything."""
        makers = members_for(training.features)
        members = {name: maker.fit(training) for name, maker in makers.items()}
        kinds = regime_of_items(training)
        kinds_asked = sorted(set(kinds[training.asked].tolist()))
        regimes = {kind: self._learn(training, makers, kind, kinds) for kind in kinds_asked}
        # anything else that is asked about later is pooled like the most cautious kind learnt
        others = set(kinds.tolist()) - set(kinds_asked)
        regimes |= dict.fromkeys(others, regimes[kinds_asked[0]])
        return FittedStack(members, nearness(training.features, training.answered), kinds, regimes)

    def _learn(self, training: Training, makers: dict[str, Assessor], kind: str, kinds: np.ndarray) -> _Regime:
        responses, groups = training.responses, group_count(training, kind)
        expected = expected_weights(tuple(makers), kind)
        unlearnt = kind == "benchmark" and fold_regime(training, kind) != kind
        if groups < 2 or unlearnt:
            return _Regime(Pool(expected, 0.0), 0.0, unlearnt=True)
        columns = np.zeros((len(responses.score), len(makers)))
        for held_out in group_folds(training, kind, self.folds):
            inner = training.without(held_out)
            rows = responses.rows(held_out)
            found = {
                name: maker.fit(inner).predict(rows.model_index, rows.item_index) for name, maker in makers.items()
            }
            near = nearness(inner.features, inner.answered)[rows.item_index]
            columns[held_out] = _columns(found, near, np.arange(len(near)))
        weight = importance(training.features, training.answered, training.asked & (kinds == kind))
        pool = fit_pool(columns, responses.score, weight[responses.item_index] * responses.n_trials, groups, expected)
        spread = unexplained_sd(responses, expit(pool.log_odds(columns)))
        return _Regime(pool, spread, unlearnt)


def _columns(found: dict[str, Chances], near: RowFloats, rows: np.ndarray) -> np.ndarray:
    """Log-odds of the members; outside, trees give way to the core."""
    columns = {name: logit(chances.probability[rows]) for name, chances in found.items()}
    for name in columns.keys() & set(TREES):
        columns[name] = near[rows] * columns[name] + (1 - near[rows]) * columns[CORE]
    return np.column_stack(list(columns.values()))


def expected_weights(members: tuple[str, ...], kind: str) -> np.ndarray:
    """Weights of members before any fold is seen.

    Within the benchmarks that are known all count alike. On a new one trees count nothing, since they cannot
    extrapolate, and half goes to the core, whose monotone effects of demands are the likeliest to hold there.
    """
    if kind != "benchmark" or len(members) < 2:
        return np.full(len(members), 1 / len(members))
    core = np.array([name == CORE for name in members])
    variant = np.array([name not in (CORE, *TREES) for name in members])
    if not variant.any():
        return core.astype(float)
    return 0.5 * core + 0.5 * variant / variant.sum()
