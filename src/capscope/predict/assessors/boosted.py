"""Gradient boosting over all models' answers, on demands, text and what the core makes of model and item.

The core's ability and difficulty of a training row come from a fit that has not seen the row's item, so that the trees
learn to trust them as far as they deserve on new items.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from capscope.axes import RowIndex
from capscope.fit import DemandSettings
from capscope.predict.assessor import Chances, Training
from capscope.predict.assessors.pooled_forest import tree_features
from capscope.predict.core import FittedCore, fit_core
from capscope.predict.folds import group_folds
from capscope.predict.spread import unexplained_sd

MOST_ROWS = 200_000
FOLDS = 3


@dataclass(frozen=True)
class FittedBoosted:
    """Boosted trees with the core they stand on."""

    trees: HistGradientBoostingClassifier | None
    """The trees; None where all answers are alike."""
    core: FittedCore
    """The demand-ability model on all training answers."""
    features: np.ndarray
    """Demands and text of all items."""
    spread: float
    """Standard deviation in log-odds of the items around what the core says of them."""

    def predict(self, model_index: RowIndex, item_index: RowIndex) -> Chances:
        """Chance of success."""
        rows = _row_features(self.core, self.features, model_index, item_index)
        if self.trees is None:
            return self.core.predict(model_index, item_index)
        return Chances.of(np.asarray(self.trees.predict_proba(rows))[:, 1], self.spread)


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
        held_out_rows = np.zeros((len(responses.score), features.shape[1] + 3))
        core_chance = np.zeros(len(responses.score))
        for held_out in group_folds(training, "task", FOLDS):
            core = _core(training.without(held_out))
            rows = responses.rows(held_out)
            held_out_rows[held_out] = _row_features(core, features, rows.model_index, rows.item_index)
            core_chance[held_out] = core.predict(rows.model_index, rows.item_index).probability
        spread = unexplained_sd(responses, core_chance)
        return FittedBoosted(self._grow(training, held_out_rows), _core(training), features, spread)

    def _grow(self, training: Training, rows: np.ndarray) -> HistGradientBoostingClassifier | None:
        success = training.responses.score >= 0.5
        if success.all() or not success.any():
            return None
        keep = np.random.default_rng(training.seed).permutation(len(rows))[:MOST_ROWS]
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
        return trees.fit(rows[keep], success[keep])


def _core(training: Training) -> FittedCore:
    return fit_core(training, DemandSettings(monotone=False, seed=training.seed), text=True)


def _row_features(core: FittedCore, features: np.ndarray, model_index: RowIndex, item_index: RowIndex) -> np.ndarray:
    """Item features beside ability, difficulty and log-odds, the item taken as new."""
    found = core.log_odds(model_index, item_index, warm=False)
    ability = core.posterior.ability_mean[model_index, 0]
    log_odds = found.attenuated
    return np.column_stack([features[item_index], ability, log_odds - ability, log_odds])
