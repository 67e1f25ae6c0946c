"""Guards against leakage: copies of held-out items in training, and demands that were made from the answers."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from capscope.axes import ItemDim, RowIndex
from capscope.data import ResponseFold, Responses
from capscope.errors import InputError
from capscope.predict.answer_statistics import item_sums

MANY_COPIES = 0.5
"""If more than this share of the items repeat another item's text, texts are templates and do not identify items."""
ENOUGH = 20
"""Successes and failures that a model needs before a rubric that separates them without error is an answer key."""
LARGEST_CORRELATION = 0.99
"""Rank correlation of a rubric with the items' mean scores above which the rubric cannot be a judgement of demands."""


@dataclass(frozen=True)
class Copies:
    """Which items have the same text."""

    group: RowIndex
    """Group number of each item; items of one group are copies of each other."""
    note: str = ""
    """Why copies were not searched for; empty where they were."""

    @classmethod
    def of(cls, texts: tuple[str, ...]) -> "Copies":
        """Group items whose texts differ only in white space and case; an item without text is a group of its own."""
        plain = [" ".join(text.split()).lower() for text in texts]
        named = [text or f"\0{position}" for position, text in enumerate(plain)]
        _, group, size = np.unique(named, return_inverse=True, return_counts=True)
        share = float((size[group] > 1).mean()) if len(texts) else 0.0
        if share > MANY_COPIES:
            return cls(np.arange(len(texts)), f"{share:.0%} of the items repeat a text, so copies were not left out")
        return cls(group.astype(np.int64))

    def leave_out(self, fold: ResponseFold, item_index: RowIndex) -> ResponseFold:
        """Remove from training the answers to copies of held-out items; items that are held out themselves stay.

        Args:
            fold: The fold.
            item_index: Place of each answer's item on the item axis.
        """
        tested, trained = np.unique(item_index[fold.test]), np.unique(item_index[fold.train])
        copies = np.setdiff1d(trained[np.isin(self.group[trained], self.group[tested])], tested)
        copied = np.isin(item_index, copies)
        return ResponseFold(fold.train & ~copied, fold.test)


def refuse_answer_keys(responses: Responses, level: ItemDim, dims: tuple[str, ...]) -> None:
    """Refuse demands that were made from the answers that they are to predict.

    Args:
        responses: All answers.
        level: Demand levels of the items of `responses`, as (item, dim); NaN where an item has no level.
        dims: Rubric of each column.

    Raises:
        InputError: A rubric ranks the items as their mean scores do, or separates one model's outcomes.
    """
    suspects = [*_follows_mean(responses, level), *_separates_outcomes(responses, level)]
    if suspects:
        rubric, why = dims[suspects[0][0]], suspects[0][1]
        raise InputError(
            f"rubric '{rubric}' {why}: it looks made from the answers it is to predict; remove it from the demands"
        )


def _follows_mean(responses: Responses, level: ItemDim) -> list[tuple[int, str]]:
    right, trials = item_sums(responses)
    mean = right / np.maximum(trials, 1)
    suspects: list[tuple[int, str]] = []
    for dim in range(level.shape[1]):
        rated = (trials > 0) & ~np.isnan(level[:, dim])
        if rated.sum() < ENOUGH or np.ptp(mean[rated]) == 0 or np.ptp(level[rated, dim]) == 0:
            continue
        close = abs(float(np.corrcoef(rankdata(level[rated, dim]), rankdata(mean[rated]))[0, 1]))
        if close > LARGEST_CORRELATION:
            suspects.append((dim, f"ranks the items as their mean scores do (rank correlation {close:.3f})"))
    return suspects


def _separates_outcomes(responses: Responses, level: ItemDim) -> list[tuple[int, str]]:
    for model, name in enumerate(responses.models):
        rows = responses.model_index == model
        asked, success = level[responses.item_index[rows]], responses.score[rows] >= 0.5
        if min(success.sum(), (~success).sum()) < ENOUGH:
            continue
        separated = _all_below(asked[success], asked[~success]) | _all_below(asked[~success], asked[success])
        if separated.any():
            dim = int(np.argmax(separated))
            return [(dim, f"separates the successes of model '{name}' from its failures without error")]
    return []


def _all_below(below: Float[np.ndarray, "low dim"], above: Float[np.ndarray, "high dim"]) -> Bool[np.ndarray, " dim"]:
    """Return for each rubric whether all levels of one set lie below all of the other, where both have enough."""
    highest = np.where(np.isnan(below), -np.inf, below).max(axis=0)
    lowest = np.where(np.isnan(above), np.inf, above).min(axis=0)
    enough = np.minimum((~np.isnan(below)).sum(axis=0), (~np.isnan(above)).sum(axis=0)) >= ENOUGH
    return enough & (highest < lowest)
