"""ADeLe's assessor: for each model a random forest on the demand levels (Zhou et al., 2026)."""

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from capscope.axes import ItemDim, RowFloats, RowIndex
from capscope.predict.assessor import Training, model_means


@dataclass(frozen=True)
class FittedForest:
    """Chances of every model on every item."""

    table: np.ndarray
    """Chance of success, as (model, item)."""

    def chance(self, model_index: RowIndex, item_index: RowIndex) -> RowFloats:
        """Look the chances up."""
        return self.table[model_index, item_index]


@dataclass(frozen=True)
class ForestAssessor:
    """One forest per model: 100 trees, entropy, at least 50 answers to split a node."""

    trees: int = 100
    min_samples_split: int = 50

    def fit(self, training: Training) -> FittedForest:
        """Grow the forests; a model whose training answers are all alike gets its mean score."""
        responses = training.responses
        table = np.repeat(model_means(responses)[:, None], len(responses.items), axis=1)
        for model in range(len(responses.models)):
            rows = responses.model_index == model
            success = responses.score[rows] >= 0.5
            if 0 < success.sum() < len(success):
                table[model] = self._one(training.demands, responses.item_index[rows], success, training.seed)
        return FittedForest(table)

    def _one(self, demands: ItemDim, item_index: RowIndex, success: np.ndarray, seed: int) -> np.ndarray:
        forest = RandomForestClassifier(
            n_estimators=self.trees, min_samples_split=self.min_samples_split, criterion="entropy", random_state=seed
        )
        return forest.fit(demands[item_index], success).predict_proba(demands)[:, 1]
