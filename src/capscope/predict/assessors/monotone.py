"""Additive boosting with pairs of features, monotone in demands and in the model's mean score.

No demand may raise the chance of success, and a model with a higher mean score may not have a lower chance. Each tree
uses at most two features (generalised additive models with pairwise interactions: Lou, Caruana, Gehrke & Hooker, 2013).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logit
from sklearn.ensemble import HistGradientBoostingClassifier

from capscope.axes import FloatArray, RowIndex
from capscope.predict.answer_statistics import SuccessRows, group_count, group_folds, model_means, residual_sd
from capscope.predict.assessor import AssessorEntry, Chances, ChanceTable, FittedAssessor, Training

FOLDS = 2
MOST_ROWS = 200_000


@dataclass(frozen=True)
class FittedMonotone:
    """Boosted trees over demands and the models' mean scores."""

    trees: HistGradientBoostingClassifier
    demands: FloatArray
    """Demands, as (item, dim)."""
    mean: FloatArray
    """Log-odds of each model's mean score."""
    sd: float
    """Standard deviation in log-odds of the items around the predictions."""

    def predict(self, model_index: RowIndex, item_index: RowIndex) -> Chances:
        """Return chances of success; see `FittedAssessor.predict`."""
        rows = np.column_stack([self.demands[item_index], self.mean[model_index]])
        return Chances.of(np.asarray(self.trees.predict_proba(rows))[:, 1], self.sd)


@dataclass(frozen=True)
class MonotoneAssessor:
    """Histogram gradient boosting (scikit-learn) with monotone effects and pairwise interactions."""

    iterations: int = 80

    def fit(self, training: Training) -> FittedAssessor:
        """Grow the trees; their residual standard deviation comes from held-out tasks.

        Raises:
            InputError: The study has no demands.
        """
        demands = training.features.need_demands("assessor 'monotone'")
        responses = training.responses
        fitted = self._grow(training, demands)
        if fitted is None:
            mean = model_means(responses)[:, None]
            shape = (len(responses.models), len(responses.items))
            return ChanceTable(np.broadcast_to(mean, shape), np.zeros(shape))
        if group_count(training, "task") < FOLDS:
            return fitted
        chance = model_means(responses)[responses.model_index]
        for held_out in group_folds(training, "task", FOLDS):
            rows = responses.rows(held_out)
            inner = self._grow(training.without(held_out), demands)
            if inner is not None:
                chance[held_out] = inner.predict(rows.model_index, rows.item_index).probability
        return FittedMonotone(fitted.trees, demands, fitted.mean, residual_sd(responses, chance))

    def _grow(self, training: Training, demands: FloatArray) -> FittedMonotone | None:
        responses = training.responses
        trials = SuccessRows.of(responses.score, responses.n_trials / responses.n_trials.mean())
        if not trials.has_both:
            return None
        mean = logit(model_means(responses))
        rows = np.column_stack([demands[responses.item_index], mean[responses.model_index]])
        keep = np.random.default_rng(training.seed).permutation(len(trials.answer))[:MOST_ROWS]
        no_early_stopping: Any = False  # the stubs know 'auto' only
        trees = HistGradientBoostingClassifier(
            max_iter=self.iterations,
            learning_rate=0.08,
            max_leaf_nodes=6,
            min_samples_leaf=max(20, len(keep) // 100),
            l2_regularization=10.0,
            monotonic_cst=[-1] * demands.shape[1] + [1],
            interaction_cst="pairwise",
            early_stopping=no_early_stopping,
            random_state=training.seed,
        )
        weight = None if trials.weight is None else trials.weight[keep]
        return FittedMonotone(trees.fit(rows[trials.answer[keep]], trials.success[keep], weight), demands, mean, 0.0)


MONOTONE = AssessorEntry(
    name="monotone",
    help="additive boosting with pairs of demands, monotone in demands and in the model's mean score",
    needs="demands",
    on_request=True,
    assessor=MonotoneAssessor(),
)
