"""One forest for all models: trees split the items, and each leaf holds the mean score of every model.

Extremely randomised trees (Geurts, Ernst & Wehenkel, 2006) with all models' scores as outputs. Models share the splits,
so that their answers together find what makes items hard, at the cost of one forest instead of one for each model.
"""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from capscope.errors import InputError
from capscope.predict.assessor import ChanceTable, FittedAssessor, Training
from capscope.predict.core import filled_scores, reduced_text
from capscope.predict.features import ItemFeatures
from capscope.predict.spread import unexplained_sd

MOST_OUTPUTS = 100
"""More models than this are reduced to their main directions first, or the leaves would fill the memory."""


@dataclass(frozen=True)
class PooledForestAssessor:
    """Extremely randomised trees on demands and text."""

    text: bool = True
    """Whether to look at texts beside demands."""
    trees: int = 100
    min_samples_leaf: int = 4
    max_features: float = 0.3

    def fit(self, training: Training) -> FittedAssessor:
        """Grow the forest.

        Raises:
            InputError: The items have neither demands nor text.
        """
        known = training.features
        if known.demands is not None and not self.text:
            known = replace(known, texts=None)
        features = tree_features(known)
        answered, scores = training.answered, filled_scores(training)
        mean, main, directions = _reduced(scores)
        forest = ExtraTreesRegressor(
            self.trees,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            bootstrap=True,
            oob_score=True,
            random_state=training.seed,
        ).fit(features[answered], main)
        table = _chances(mean, np.asarray(forest.predict(features)).reshape(len(features), -1), directions)
        held_out = table.copy()
        out_of_bag = np.asarray(forest.oob_prediction_).reshape(main.shape)
        held_out[:, answered] = _chances(mean, out_of_bag, directions)
        responses = training.responses
        spread = unexplained_sd(responses, held_out[responses.model_index, responses.item_index])
        return ChanceTable(table, np.full(table.shape, spread))


def tree_features(features: ItemFeatures) -> np.ndarray:
    """Demands and the main directions of the texts side by side, as far as there are any.

    Splits are drawn from all columns alike, so that hundreds of text columns would leave the demands hardly a turn.

    Raises:
        InputError: There are none.
    """
    known = [features.demands] if features.demands is not None else []
    if features.texts is not None:
        known.append(reduced_text(features))
    if not known:
        raise InputError("the items have neither demands nor text; annotate them, or use assessor 'rasch' or 'mean'")
    return np.hstack(known)


def _reduced(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split scores (model, item) into each model's mean, and items' positions (item, direction) on directions."""
    mean = scores.mean(axis=1)
    centred = (scores - mean[:, None]).T
    if len(scores) <= MOST_OUTPUTS:
        return mean, centred, np.eye(len(scores))
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    directions = directions[:MOST_OUTPUTS]
    return mean, centred @ directions.T, directions


def _chances(mean: np.ndarray, main: np.ndarray, directions: np.ndarray) -> np.ndarray:
    return np.clip(mean[:, None] + (main @ directions).T, 0.005, 0.995)
