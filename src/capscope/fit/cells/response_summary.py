"""Summary of all answers from one pass: totals by model and item, scores that occur, and blocks of linked models."""

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Int
from scipy.special import expit, logit

from capscope.axes import FloatArray, RowIndex
from capscope.data import Responses
from capscope.errors import FitError
from capscope.fit.cells.answers import Answers

MOST_PAIRS = 255
"""More pairs of score and trials than this do not fit a byte."""


@dataclass
class Margins:
    """Rows, trials and successes along one axis."""

    count: FloatArray
    """Number of rows."""
    trials: FloatArray
    """Number of trials."""
    right: FloatArray
    """Sum of scores, weighted by trials."""

    @classmethod
    def none(cls, size: int) -> "Margins":
        """Margins with all counts at 0."""
        return cls(np.zeros(size), np.zeros(size), np.zeros(size))

    @property
    def counts(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Number of rows, number of trials, and sum of scores."""
        return self.count, self.trials, self.right

    def of(self, index: Int[np.ndarray, " kept"]) -> "Margins":
        """Margins of some models or items."""
        return Margins(self.count[index], self.trials[index], self.right[index])

    def add(self, index: RowIndex, trials: FloatArray | None, right: FloatArray) -> None:
        """Add rows.

        Args:
            index: Position of each row on the axis.
            trials: Trials of each row; None for one each.
            right: Sum of the scores of each row over its trials.
        """
        size = len(self.count)
        count = np.bincount(index, minlength=size)
        self.count += count
        self.trials += count if trials is None else np.bincount(index, trials, size)
        self.right += np.bincount(index, right, size)


@dataclass
class ResponseSummary:
    """Summary of all answers: totals on both axes, and which scores occur."""

    models: Margins
    """Margins of the models."""
    items: Margins
    """Margins of the items."""
    n_rows: int = 0
    """Number of rows."""
    binary: bool = True
    """Whether every row is one trial, right or wrong."""
    one_trial: bool = True
    """Whether every row is one trial."""
    pairs: set[complex] | None = field(default_factory=set[complex])
    """Pairs of score and trials that occur; None where there are too many for a byte."""
    weight: float = 1.0
    """Weight of each trial; see `trial_weight`."""

    def of(self, models: Int[np.ndarray, " model"], items: Int[np.ndarray, " item"]) -> "ResponseSummary":
        """The summary over some models and items, where the others have no answer.

        Args:
            models: Positions of the models in this summary.
            items: Positions of the items in this summary.

        Returns:
            The summary with the margins of these models and items only; everything else is unchanged.
        """
        return replace(self, models=self.models.of(models), items=self.items.of(items))

    def add(self, rows: Responses) -> None:
        """Add rows.

        Raises:
            FitError: A score or a number of trials is out of range.
        """
        _refuse_bad(rows)
        one_trial = bool((rows.n_trials == 1).all())
        right = rows.score if one_trial else rows.n_trials * rows.score
        self.models.add(rows.model_index, None if one_trial else rows.n_trials, right)
        self.items.add(rows.item_index, None if one_trial else rows.n_trials, right)
        self.n_rows += len(rows.score)
        self.one_trial &= one_trial
        if one_trial and bool(((rows.score == 0) | (rows.score == 1)).all()):
            self._note({1j, 1 + 1j})
        else:
            self.binary = False
            self._note(set(np.unique(pairs_of(rows)).tolist()) if self.pairs is not None else set())

    def refuse_empty(self) -> "ResponseSummary":
        """Return the summary.

        Raises:
            FitError: There are no answers.
        """
        if not self.n_rows:
            raise FitError("fit_irt: there are no responses; check the filter or the split that made this matrix")
        return self

    def _note(self, pairs: set[complex]) -> None:
        if self.pairs is not None:
            together = self.pairs | pairs
            self.pairs = together if len(together) <= MOST_PAIRS else None


def summarise(answers: Answers) -> ResponseSummary:
    """Summarise all answers in one pass.

    Raises:
        FitError: There are no answers, or a score or number of trials is out of range.
    """
    return summed_up(answers).refuse_empty()


def summed_up(answers: Answers) -> ResponseSummary:
    """Summarise all answers in one pass, though there may be none.

    Raises:
        FitError: A score or number of trials is out of range.
    """
    summary = ResponseSummary(Margins.none(len(answers.models)), Margins.none(len(answers.items)))
    for rows in answers.blocks():
        summary.add(rows)
    return summary


def pairs_of(rows: Responses) -> np.ndarray:
    """Score and trials of each row as one complex number, so that pairs can be sorted and searched."""
    return rows.score + 1j * rows.n_trials


def _refuse_bad(rows: Responses) -> None:
    if not len(rows.score):
        return
    if not (rows.score.min() >= 0 and rows.score.max() <= 1):
        raise FitError("fit_irt: a score lies outside [0, 1] or is NaN; validate the responses first")
    if not (rows.n_trials.min() > 0 and np.isfinite(rows.n_trials.max())):
        raise FitError("fit_irt: an n_trials is not positive; validate the responses first")


def block_labels(answers: Answers) -> tuple[Int[np.ndarray, " model"], Int[np.ndarray, " item"]]:
    """Label blocks of models and items that are linked by answers; those without an answer are blocks of their own."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n_models = len(answers.models)
    size = n_models + len(answers.items)
    label = np.arange(size)
    for rows in answers.blocks():
        # each node is also linked to its earlier label, so that earlier chunks stay connected
        left = np.concatenate([rows.model_index, np.arange(size)])
        right = np.concatenate([n_models + rows.item_index, label])
        links = coo_array((np.ones(len(left), bool), (left, right)), shape=(size, size))
        _, label = connected_components(links, directed=False)
        label = _first_with(label)
    return label[:n_models], label[n_models:]


def _first_with(label: RowIndex) -> RowIndex:
    """The first node of each node's block, which serves as the block's label."""
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    return first[inverse]


MOST_TRIALS = 20.0
"""A fraction counts as this many right or wrong answers at most."""


def trial_weight(answers: Answers, summary: ResponseSummary) -> float:
    """Effective number of binary trials of a row: 1 where all scores are right or wrong, or trials are stated.

    It is estimated from an additive model of models and items. That model fits worse than the final one, so the
    estimate is conservative: fractions get too little weight rather than too much.

    Args:
        answers: Observed answers.
        summary: Summary of these answers.
    """
    if summary.binary or not summary.one_trial:
        return 1.0
    overall = _inner(summary.models.right.sum(keepdims=True) / summary.models.trials.sum())
    model, item = _log_odds(summary.models, overall), _log_odds(summary.items, overall)
    residual = missing = 0.0
    for rows in answers.blocks():
        chance = expit(model[rows.model_index] + item[rows.item_index] - logit(overall))
        residual += float(np.square(rows.score - chance).sum())
        missing += _missing_variance(rows)
    return min(MOST_TRIALS, (residual + missing) / max(residual, 1e-9))


def _missing_variance(rows: Responses) -> float:
    return float((rows.score * (1 - rows.score)).sum())


def _log_odds(totals: Margins, overall: FloatArray) -> FloatArray:
    """Log-odds of a right answer, each with one more answer at the overall rate."""
    return logit(_inner((totals.right + overall) / (totals.trials + 1)))


def _inner(chance: FloatArray) -> FloatArray:
    return np.clip(chance, 1e-3, 1 - 1e-3)
