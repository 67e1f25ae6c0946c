"""ADeLe's assessor: for each model a random forest on the demand levels (Zhou et al., 2026)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from capscope.axes import ItemDim, RowIndex
from capscope.predict.assessor import ChanceTable, FittedAssessor, Training, model_means
from capscope.predict.spread import unexplained_sd


@dataclass(frozen=True)
class ForestAssessor:
    """One forest per model on demands: 100 trees, entropy, at least 50 answers to split a node."""

    trees: int = 100
    min_samples_split: int = 50

    def fit(self, training: Training) -> FittedAssessor:
        """Grow the forests; a model whose training answers are all alike gets its mean score.

        Raises:
            InputError: The study has no demands.
        """
        return self.grow(training, training.features.need_demands("assessor 'forest'"))

    def grow(self, training: Training, features: np.ndarray) -> FittedAssessor:
        """Grow a forest for each model on any item features."""
        responses = training.responses
        table = np.repeat(model_means(responses)[:, None], len(responses.items), axis=1)
        held_out = table[responses.model_index, responses.item_index]
        for model in range(len(responses.models)):
            rows = np.flatnonzero(responses.model_index == model)
            success = responses.score[rows] >= 0.5
            if 0 < success.sum() < len(success):
                forest = self._one(features, responses.item_index[rows], success, training.seed)
                table[model] = np.asarray(forest.predict_proba(features))[:, 1]
                out_of_bag = _out_of_bag(forest)
                held_out[rows] = np.where(np.isnan(out_of_bag), held_out[rows], out_of_bag)
        spread = unexplained_sd(responses, held_out)
        return ChanceTable(table, np.full(table.shape, spread))

    def _one(self, features: ItemDim, item_index: RowIndex, success: np.ndarray, seed: int) -> RandomForestClassifier:
        forest = RandomForestClassifier(
            n_estimators=self.trees,
            min_samples_split=self.min_samples_split,
            criterion="entropy",
            oob_score=True,
            random_state=seed,
        )
        return forest.fit(features[item_index], success)


def _out_of_bag(forest: RandomForestClassifier) -> np.ndarray:
    """Chance of each training row from the trees that did not see it; NaN where all did."""
    seen: Any = forest.oob_decision_function_
    return np.asarray(seen, float)[:, 1]
