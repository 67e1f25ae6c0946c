"""Guards against answers that slip into the features: copies of held-out items, and demands that give answers away."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from capscope.axes import ItemDim, RowIndex
from capscope.data import ResponseFold, Responses
from capscope.errors import InputError

MANY_COPIES = 0.5
"""Where more than this share of the items repeat another's text, the text is a template and does not name an item."""
ENOUGH = 20
"""Successes and failures that a model needs before a rubric that parts them without error is called an answer key."""
TOO_CLOSE = 0.99
"""A rank correlation of a rubric with the items' mean scores that no judgement of demands comes to."""


@dataclass(frozen=True)
class Copies:
    """Which items have the same text."""

    group: RowIndex
    """Items of one number are copies of each other."""
    note: str = ""
    """Why copies are not looked for; empty where they are."""

    @classmethod
    def of(cls, texts: tuple[str, ...]) -> "Copies":
        """Group items whose texts differ in white space and case at most; items without text stand alone."""
        plain = [" ".join(text.split()).lower() for text in texts]
        named = [text or f"\0{position}" for position, text in enumerate(plain)]
        _, group, size = np.unique(named, return_inverse=True, return_counts=True)
        share = float((size[group] > 1).mean())
        if share > MANY_COPIES:
            return cls(np.arange(len(texts)), f"{share:.0%} of the items repeat a text, so copies were not left out")
        return cls(group.astype(np.int64))

    def leave_out(self, fold: ResponseFold, item_index: RowIndex) -> ResponseFold:
        """Drop from training the answers to copies of held-out items, and to no item that is held out itself."""
        tested, learnt = np.unique(item_index[fold.test]), np.unique(item_index[fold.train])
        copies = np.setdiff1d(learnt[np.isin(self.group[learnt], self.group[tested])], tested)
        copied = np.isin(item_index, copies)
        return ResponseFold(fold.train & ~copied, fold.test)


def refuse_answer_keys(responses: Responses, level: ItemDim, dims: tuple[str, ...]) -> None:
    """Refuse demands that were made from the answers they are to predict.

    Args:
        responses: All answers.
        level: Demand levels of the items of `responses`, no NaN.
        dims: Their rubrics.

    Raises:
        InputError: A rubric ranks the items as their mean scores do, or parts a model's successes from its failures.
    """
    suspects = [*_follows_mean(responses, level), *_parts_outcomes(responses, level)]
    if suspects:
        rubric, why = dims[suspects[0][0]], suspects[0][1]
        raise InputError(
            f"rubric '{rubric}' {why}: it looks made from the answers it is to predict; remove it from the demands"
        )


def _follows_mean(responses: Responses, level: ItemDim) -> list[tuple[int, str]]:
    n_items = len(responses.items)
    count = np.bincount(responses.item_index, minlength=n_items)
    mean = np.bincount(responses.item_index, weights=responses.score, minlength=n_items) / np.maximum(count, 1)
    seen = count > 0
    if seen.sum() < ENOUGH or np.ptp(mean[seen]) == 0:
        return []
    ranks = rankdata(mean[seen])
    found: list[tuple[int, str]] = []
    for dim in np.flatnonzero(np.ptp(level[seen], axis=0) > 0):
        close = abs(float(np.corrcoef(rankdata(level[seen, dim]), ranks)[0, 1]))
        if close > TOO_CLOSE:
            found.append((int(dim), f"ranks the items as their mean scores do (rank correlation {close:.3f})"))
    return found


def _parts_outcomes(responses: Responses, level: ItemDim) -> list[tuple[int, str]]:
    for model, name in enumerate(responses.models):
        rows = responses.model_index == model
        asked, success = level[responses.item_index[rows]], responses.score[rows] >= 0.5
        if min(success.sum(), (~success).sum()) < ENOUGH:
            continue
        apart = _apart(asked[success], asked[~success]) | _apart(asked[~success], asked[success])
        if apart.any():
            return [(int(np.argmax(apart)), f"parts the successes of model '{name}' from its failures without error")]
    return []


def _apart(below: Float[np.ndarray, "low dim"], above: Float[np.ndarray, "high dim"]) -> Bool[np.ndarray, " dim"]:
    return below.max(axis=0) < above.min(axis=0)
