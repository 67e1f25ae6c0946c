"""One random forest for each model, on demand levels (Zhou et al., Nature 2026) or on sentence embeddings."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from capscope.axes import ItemDim
from capscope.predict.answer_statistics import SuccessRows, model_means, residual_sd
from capscope.predict.assessor import AssessorEntry, ChanceTable, FittedAssessor, Training


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
