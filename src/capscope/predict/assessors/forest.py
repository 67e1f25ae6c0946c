"""Forests on item features: one for each model, or one for all models.

One random forest for each model, on demand levels (Zhou et al., Nature 2026) or on sentence embeddings; or extremely
randomised trees (Geurts, Ernst & Wehenkel, 2006) with all models' scores as outputs. In these, models share the splits,
so that all answers together determine what makes items hard, at the cost of one forest instead of one per model.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier

from capscope.axes import ItemDim
from capscope.errors import InputError
from capscope.predict.answer_statistics import SuccessRows, model_means, residual_sd
from capscope.predict.assessor import AssessorEntry, ChanceTable, FittedAssessor, Training
from capscope.predict.demand_model import filled_scores, reduced_text
from capscope.predict.features import ItemFeatures


@dataclass(frozen=True)
class ForestAssessor:
    """ADeLe's assessor: a forest per model on demands, 100 trees, entropy, at least 50 answers to split a node."""

    trees: int = 100
    min_samples_split: int = 50

    def fit(self, training: Training) -> FittedAssessor:
        """Grow the forests; a model whose training answers are all alike gets its mean score.

        Raises:
            InputError: The study has no demands.
        """
        return self.grow(training, training.features.need_demands("assessor 'forest'"))

    def grow(self, training: Training, features: ItemDim) -> FittedAssessor:
        """Grow a forest for each model on any item features, as (item, feature)."""
        responses = training.responses
        table = np.repeat(model_means(responses)[:, None], len(responses.items), axis=1)
        held_out = table[responses.model_index, responses.item_index]
        for model in range(len(responses.models)):
            rows = np.flatnonzero(responses.model_index == model)
            trials = SuccessRows.of(responses.score[rows], responses.n_trials[rows])
            if trials.has_both:
                item = responses.item_index[rows][trials.answer]
                forest = self._forest(features[item], item, trials, training.seed)
                table[model] = np.asarray(forest.predict_proba(features))[:, 1]
                out_of_bag = _out_of_bag(forest, features, item)[responses.item_index[rows]]
                held_out[rows] = np.where(np.isnan(out_of_bag), held_out[rows], out_of_bag)
        sd = residual_sd(responses, held_out)
        return ChanceTable(table, np.full(table.shape, sd))

    def _forest(self, features: np.ndarray, item: np.ndarray, trials: SuccessRows, seed: int) -> RandomForestClassifier:
        forest = RandomForestClassifier(
            n_estimators=self.trees,
            min_samples_split=self.min_samples_split,
            criterion="entropy",
            oob_score=_one_row_each(item),
            random_state=seed,
        )
        return forest.fit(features, trials.success, trials.weight)


def _one_row_each(item: np.ndarray) -> bool:
    return len(np.unique(item)) == len(item)


def _out_of_bag(forest: RandomForestClassifier, features: ItemDim, item: np.ndarray) -> np.ndarray:
    """Return the chance of each item from the trees that were not trained on it; NaN where there are none.

    Args:
        forest: The forest.
        features: Features of all items, as (item, feature).
        item: Item of each training row.
    """
    chance = np.full(len(features), np.nan)
    if _one_row_each(item):
        seen: Any = forest.oob_decision_function_
        chance[item] = np.asarray(seen, float)[:, 1]
        return chance
    # several rows are of one item: a tree counts only if it was trained on none of them
    known = np.unique(item)
    total, count = np.zeros(len(features)), np.zeros(len(features))
    for tree, sample in zip(forest.estimators_, forest.estimators_samples_, strict=True):
        unseen = np.setdiff1d(known, item[sample])
        if len(unseen):
            total[unseen] += np.asarray(tree.predict_proba(features[unseen]))[:, 1]
            count[unseen] += 1
    return np.divide(total, count, out=chance, where=count > 0)


@dataclass(frozen=True)
class TextForestAssessor:
    """ADeLe's forests on sentence embeddings instead of demands."""

    forest: ForestAssessor = ForestAssessor()

    def fit(self, training: Training) -> FittedAssessor:
        """Grow the forests.

        Raises:
            InputError: No item has a text.
        """
        return self.forest.grow(training, training.features.need_text("assessor 'text-forest'"))


FOREST = AssessorEntry(
    name="forest",
    help="one random forest per model on demands (ADeLe's assessor)",
    needs="demands",
    assessor=ForestAssessor(),
)
TEXT_FOREST = AssessorEntry(
    name="text-forest",
    help="one random forest per model on text vectors",
    needs="texts",
    assessor=TextForestAssessor(),
)


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
