"""Forests on item features: one for each model, or one for all models.

One random forest for each model, on demand levels (Zhou et al., Nature 2026) or on sentence embeddings; or extremely
randomised trees (Geurts, Ernst & Wehenkel, 2006) with all models' scores as outputs. In these, models share the splits,
so that all answers together determine what makes items hard, at the cost of one forest instead of one per model.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor

from capscope.axes import ItemDim
from capscope.data import Responses
from capscope.errors import InputError
from capscope.predict.answer_statistics import base_rate, item_sums, model_means, residual_sd
from capscope.predict.assessor import AssessorEntry, ChanceTable, FittedAssessor, Training
from capscope.predict.demand_model import filled_scores, reduced_text
from capscope.predict.features import ItemFeatures

ROOT_OF_FEATURES: dict[str, Any] = {"max_features": "sqrt"}
"""Features tried at a split, as in forests of classes."""


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
        """Fit one random forest for each model on item features.

        Args:
            training: Answers to learn from, and the seed.
            features: Features of all items of the answers, shape (item, feature).

        Returns:
            Chances of success, shape (model, item). A model without answers, or with equal ones, has its mean score on
            all items.
        """
        responses = training.responses
        table = np.repeat(model_means(responses)[:, None], len(responses.items), axis=1)
        held_out = table[responses.model_index, responses.item_index]
        for model in range(len(responses.models)):
            rows = np.flatnonzero(responses.model_index == model)
            answers = responses.rows(rows)
            if len(rows) and 0 < base_rate(answers) < 1:
                table[model], out_of_bag = self._chances(features, answers, training.seed)
                unseen = out_of_bag[answers.item_index]
                held_out[rows] = np.where(np.isnan(unseen), held_out[rows], unseen)
        sd = residual_sd(responses, held_out)
        return ChanceTable(table, np.full(table.shape, sd))

    def _chances(self, features: ItemDim, answers: Responses, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a model's chance on each item, and that from the trees that did not see the item (NaN without any).

        Single answers of 0 or 1 grow classification trees, as ADeLe's do. Several trials of an item and fractional
        scores are no independent answers: there, trees draw items instead of trials, and a leaf predicts the mean
        score of its items, weighted by their trials. A node that is split then holds half as many items, since a
        share has more information than one answer.
        """
        right, trials = item_sums(answers)
        # the order of the answers, which the drawn samples depend on, is kept where each item has one
        known = np.flatnonzero(trials)
        known = answers.item_index if len(known) == len(answers.score) else known
        score, weight = right[known] / trials[known], trials[known]
        settings: dict[str, Any] = {"n_estimators": self.trees, "oob_score": True, "random_state": seed}
        out_of_bag = np.full(len(features), np.nan)
        if np.isin(score, (0, 1)).all() and np.ptp(weight) == 0:
            least = self.min_samples_split
            classes = RandomForestClassifier(criterion="entropy", min_samples_split=least, **settings)
            classes.fit(features[known], score == 1)
            out_of_bag[known] = np.asarray(classes.oob_decision_function_)[:, 1]
            return np.asarray(classes.predict_proba(features))[:, 1], out_of_bag
        least = max(2, self.min_samples_split // 2)
        means = RandomForestRegressor(min_samples_split=least, **settings, **ROOT_OF_FEATURES)
        means.fit(features[known], score, weight)
        out_of_bag[known] = means.oob_prediction_
        return np.asarray(means.predict(features)), out_of_bag


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
        ).fit(features[answered], main.squeeze(axis=1) if main.shape[1] == 1 else main, weight)
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
