"""One forest for all models: trees split the items, and each leaf holds the mean score of every model.

Extremely randomised trees (Geurts, Ernst & Wehenkel, 2006) with all models' scores as outputs. Models share the splits,
so that all answers together determine what makes items hard, at the cost of one forest instead of one per model.
"""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from capscope.errors import InputError
from capscope.predict.answer_statistics import residual_sd
from capscope.predict.assessor import AssessorEntry, ChanceTable, FittedAssessor, Training
from capscope.predict.demand_model import filled_scores, reduced_text
from capscope.predict.features import ItemFeatures

CHANCE_BOUNDS = (0.005, 0.995)
"""Chances outside are moved to these bounds."""
MOST_OUTPUTS = 100
"""Scores of more models than this are reduced to this many principal directions, to limit the size of the leaves."""


@dataclass(frozen=True)
class PooledForestAssessor:
    """Extremely randomised trees on demands and text."""

    text: bool = True
    """Use texts beside demands."""
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
        answered, (scores, trials) = training.answered, filled_scores(training)
        weight = None if np.ptp(trials) == 0 else trials
        mean, main, directions = _reduced(scores, weight)
        responses = training.responses
        if len(main) < 2 * self.min_samples_leaf:  # no node could be split
            table = np.repeat(np.clip(mean, *CHANCE_BOUNDS)[:, None], len(features), axis=1)
            sd = residual_sd(responses, table[responses.model_index, responses.item_index])
            return ChanceTable(table, np.full(table.shape, sd))
        forest = ExtraTreesRegressor(
            self.trees,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            bootstrap=True,
            oob_score=True,
            random_state=training.seed,
        ).fit(features[answered], main, weight)
        table = _chances(mean, np.asarray(forest.predict(features)).reshape(len(features), -1), directions)
        held_out = table.copy()
        out_of_bag = np.asarray(forest.oob_prediction_).reshape(main.shape)
        held_out[:, answered] = _chances(mean, out_of_bag, directions)
        sd = residual_sd(responses, held_out[responses.model_index, responses.item_index])
        return ChanceTable(table, np.full(table.shape, sd))


def tree_features(features: ItemFeatures) -> np.ndarray:
    """Return demands and the principal directions of the texts side by side, as (item, feature).

    Splits are drawn from all columns with equal probability; hundreds of text columns would crowd out the demands.

    Raises:
        InputError: The items have neither demands nor texts.
    """
    known = [features.demands] if features.demands is not None else []
    if features.texts is not None:
        known.append(reduced_text(features))
    if not known:
        raise InputError("the items have neither demands nor text; annotate them, or use assessor 'rasch' or 'mean'")
    return np.hstack(known)


def _reduced(scores: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split scores (model, item) into each model's mean, item coordinates (item, direction), and the directions."""
    mean = scores.mean(axis=1) if weight is None else np.average(scores, axis=1, weights=weight)
    centred = (scores - mean[:, None]).T
    if len(scores) <= MOST_OUTPUTS:
        return mean, centred, np.eye(len(scores))
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    directions = directions[:MOST_OUTPUTS]
    return mean, centred @ directions.T, directions


def _chances(mean: np.ndarray, main: np.ndarray, directions: np.ndarray) -> np.ndarray:
    return np.clip(mean[:, None] + (main @ directions).T, *CHANCE_BOUNDS)


POOLED_FOREST = AssessorEntry(
    name="pooled-forest",
    help="one forest for all models, on demands and texts",
    needs="demands or texts",
    assessor=PooledForestAssessor(),
)
