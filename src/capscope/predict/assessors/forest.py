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
            answers = SuccessRows.of(responses.score[rows], responses.n_trials[rows])
            if answers.has_both:
                forest = self._forest(features[responses.item_index[rows]], answers, training.seed)
                table[model] = np.asarray(forest.predict_proba(features))[:, 1]
                out_of_bag = _out_of_bag(forest, features[responses.item_index[rows]], answers)
                held_out[rows] = np.where(np.isnan(out_of_bag), held_out[rows], out_of_bag)
        sd = residual_sd(responses, held_out)
        return ChanceTable(table, np.full(table.shape, sd))

    def _forest(self, features: np.ndarray, answers: SuccessRows, seed: int) -> RandomForestClassifier:
        forest = RandomForestClassifier(
            n_estimators=self.trees,
            min_samples_split=self.min_samples_split,
            criterion="entropy",
            oob_score=not answers.is_split,
            random_state=seed,
        )
        return forest.fit(features[answers.answer], answers.success, answers.weight)


def _out_of_bag(forest: RandomForestClassifier, features: np.ndarray, answers: SuccessRows) -> np.ndarray:
    """Return the chance of each answer from the trees that were not trained on it; NaN where all were."""
    if not answers.is_split:
        seen: Any = forest.oob_decision_function_
        return np.asarray(seen, float)[:, 1]
    # a success and a failure of one answer are two rows: a tree counts only if it saw neither
    total, count = np.zeros(len(features)), np.zeros(len(features))
    for tree, sample in zip(forest.estimators_, forest.estimators_samples_, strict=True):
        unseen = np.setdiff1d(np.arange(len(features)), answers.answer[sample])
        if len(unseen):
            total[unseen] += np.asarray(tree.predict_proba(features[unseen]))[:, 1]
            count[unseen] += 1
    return np.divide(total, count, out=np.full(len(features), np.nan), where=count > 0)


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
