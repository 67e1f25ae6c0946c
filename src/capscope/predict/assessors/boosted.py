"""Gradient boosting over all models' answers, on item features and the demand-ability model's estimates.

The ability and difficulty of a training row come from a fit without the row's item, so that the trees learn how much
they are worth on new items.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from capscope.axes import RowIndex
from capscope.fit import DemandSettings
from capscope.predict.answer_statistics import SuccessRows, group_count, group_folds, residual_sd
from capscope.predict.assessor import AssessorEntry, Chances, Training
from capscope.predict.assessors.forest import tree_features
from capscope.predict.demand_model import FittedDemandModel, fit_demand_model

MOST_ROWS = 200_000
FOLDS = 3


@dataclass(frozen=True)
class FittedBoosted:
    """Boosted trees and the demand-ability model that supplies their features."""

    trees: HistGradientBoostingClassifier | None
    """The trees; None where all answers are equal, or too few to hold some out."""
    core: FittedDemandModel
    """The demand-ability model on all training answers."""
    features: np.ndarray
    """Demands and text of all items."""
    sd: float
    """Standard deviation in log-odds of the items around the core's predictions."""

    def predict(self, model_index: RowIndex, item_index: RowIndex) -> Chances:
        """Return chances of success; see `FittedAssessor.predict`."""
        rows = _row_features(self.core, self.features, model_index, item_index)
        if self.trees is None:
            return self.core.predict(model_index, item_index)
        return Chances.of(np.asarray(self.trees.predict_proba(rows))[:, 1], self.sd)


@dataclass(frozen=True)
class BoostedAssessor:
    """Histogram gradient boosting (scikit-learn), 100 small trees."""

    iterations: int = 100

    def fit(self, training: Training) -> FittedBoosted:
        """Fit the core out of fold, then the trees.

        Raises:
            InputError: The items have neither demands nor text.
        """
        features, responses = tree_features(training.features), training.responses
        if group_count(training, "task") < 2:
            return FittedBoosted(None, _core(training), features, 0.0)
        held_out_rows = np.zeros((len(responses.score), features.shape[1] + 3))
        core_chance = np.zeros(len(responses.score))
        for held_out in group_folds(training, "task", FOLDS):
            core = _core(training.without(held_out))
            rows = responses.rows(held_out)
            held_out_rows[held_out] = _row_features(core, features, rows.model_index, rows.item_index)
            core_chance[held_out] = core.predict(rows.model_index, rows.item_index).probability
        sd = residual_sd(responses, core_chance)
        return FittedBoosted(self._grow(training, held_out_rows), _core(training), features, sd)

    def _grow(self, training: Training, rows: np.ndarray) -> HistGradientBoostingClassifier | None:
        # trials of one item are no independent answers, so that they weigh relative to each other only
        n_trials = training.responses.n_trials
        trials = SuccessRows.of(training.responses.score, n_trials / n_trials.mean())
        if not trials.has_both:
            return None
        keep = np.random.default_rng(training.seed).permutation(len(trials.answer))[:MOST_ROWS]
        weight = None if trials.weight is None else trials.weight[keep]
        no_early_stopping: Any = False  # the stubs know 'auto' only
        trees = HistGradientBoostingClassifier(
            max_iter=self.iterations,
            learning_rate=0.06,
            min_samples_leaf=200,
            l2_regularization=10.0,
            max_features=0.5,
            early_stopping=no_early_stopping,
            random_state=training.seed,
        )
        return trees.fit(rows[trials.answer[keep]], trials.success[keep], weight)


def _core(training: Training) -> FittedDemandModel:
    return fit_demand_model(training, DemandSettings(monotone=False, seed=training.seed), text=True)


def _row_features(
    core: FittedDemandModel, features: np.ndarray, model_index: RowIndex, item_index: RowIndex
) -> np.ndarray:
    """Item features beside ability, difficulty and log-odds, every item predicted as a new one."""
    ability = core.posterior.ability_mean[model_index, 0]
    log_odds = core.log_odds(model_index, item_index, warm=False).attenuated
    return np.column_stack([features[item_index], ability, log_odds - ability, log_odds])


BOOSTED = AssessorEntry(
    name="boosted",
    help="gradient boosting on demands, texts and the explanatory model's ability and difficulty",
    needs="demands or texts",
    assessor=BoostedAssessor(),
)
