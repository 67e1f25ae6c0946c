"""Texts of items: duplicates, near duplicates, and demand levels that are odd for such a text.

Two texts are near duplicates when they are much closer than the texts of their task are to their neighbours. Where
texts are spread smoothly with d effective dimensions, the ratio of the distances to the first and the second neighbour
has the law ``P(ratio < x) = x^d`` (Facco et al., 2017); a duplicate is far in that tail. Texts from a template are
close to many others, so that their ratio stays near 1.
"""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import expit, logit
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.random_projection import SparseRandomProjection

from capscope.axes import LEVELS, Float, FloatArray
from capscope.data import Demands, Study
from capscope.profiles.auditing.findings import Suspects, suspects
from capscope.profiles.item_groups import places_of

HASHED_WORDS = 2**16
SKETCH = 128
"""Size of the random projection in which neighbours are searched; distances are then computed on all words."""
NEIGHBOURS = 6
ROWS_AT_ONCE = 1024
COLUMNS_IN_GROUP = 32
FEWEST_IN_TASK = 30
QUANTILES = (0.5, 0.8, 0.9)
PRIOR_SHARE = 0.005
"""Prior share of items with a near duplicate."""
ITERATIONS = 100


@dataclass(frozen=True)
class Neighbours:
    """The nearest texts of each text."""

    index: np.ndarray
    """Positions (item, neighbour), nearest first."""
    distance: Float[np.ndarray, "item neighbour"]
    """Distances between vectors of unit length: 0 for the same words, 1.41 for none in common."""


def normal_form(text: str) -> str:
    """Lower case, no punctuation, single spaces: texts that differ by less are the same."""
    return " ".join(re.findall(r"\w+|[^\w\s]", text.casefold(), re.UNICODE))


def nearest_texts(texts: list[str], seed: int) -> Neighbours:
    """Find the nearest texts of each text by its words and pairs of words.

    Args:
        texts: One for each item.
        seed: Seed of the sketch.
    """
    counts = HashingVectorizer(
        n_features=HASHED_WORDS, alternate_sign=False, ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]"
    ).transform(texts)
    words = sparse.csr_matrix(TfidfTransformer(sublinear_tf=True).fit_transform(counts), dtype=np.float32)
    projection = SparseRandomProjection(SKETCH, dense_output=True, random_state=seed)  # pyright: ignore[reportArgumentType]
    sketch = np.asarray(projection.fit_transform(words), np.float32)
    sketch /= np.maximum(np.linalg.norm(sketch, axis=1, keepdims=True), 1e-9)
    count = min(NEIGHBOURS, len(texts) - 1)
    nearest = np.concatenate([_closest(sketch, start, 2 * count) for start in range(0, len(texts), ROWS_AT_ONCE)])
    exact = np.stack([_similarity(words, nearest[:, k]) for k in range(nearest.shape[1])], axis=1)
    order = np.argsort(-exact, axis=1, kind="stable")[:, :count]
    near = np.take_along_axis(exact, order, 1)
    return Neighbours(np.take_along_axis(nearest, order, 1), np.sqrt(np.maximum(2 - 2 * near, 0)).astype(float))


def _closest(sketch: np.ndarray, start: int, count: int) -> np.ndarray:
    """Positions of the most similar texts of each row of a block, without sorting all of them.

    The best `count` values of a row lie in the `count` groups of columns whose largest values are largest.
    """
    rows = len(sketch[start : start + ROWS_AT_ONCE])
    groups = -(-len(sketch) // COLUMNS_IN_GROUP)
    block = np.full((rows, groups * COLUMNS_IN_GROUP), -np.inf, np.float32)
    block[:, : len(sketch)] = sketch[start : start + ROWS_AT_ONCE] @ sketch.T
    block[np.arange(rows), start + np.arange(rows)] = -np.inf
    count = min(count, len(sketch) - 1)
    grouped = block.reshape(rows, groups, COLUMNS_IN_GROUP)
    best = _largest(grouped.max(axis=2), min(count, groups))
    column = (best[:, :, None] * COLUMNS_IN_GROUP + np.arange(COLUMNS_IN_GROUP)).reshape(rows, -1)
    inside = _largest(np.take_along_axis(block, column, 1), count)
    return np.take_along_axis(column, inside, 1)


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Positions of the largest values of each row, in no order; a copy, so that the full array is freed."""
    return np.argpartition(-values, count - 1, axis=1)[:, :count].copy()


def _similarity(words: sparse.csr_matrix, other: np.ndarray) -> FloatArray:
    return np.asarray(words.multiply(words[other]).sum(axis=1)).ravel().astype(float)


def same_texts(texts: list[str]) -> list[np.ndarray]:
    """Groups of two or more items whose texts have one normal form; empty texts are no text."""
    forms = pd.Series([normal_form(text) for text in texts])
    groups = forms[forms != ""].groupby(forms, sort=False).groups
    return [np.sort(np.asarray(rows, dtype=np.int64)) for rows in groups.values() if len(rows) > 1]


def near_duplicate_chance(near: Neighbours, task: np.ndarray) -> FloatArray:
    """Chance that the nearest text of each item is a near duplicate of it.

    Args:
        near: Neighbours among texts of different normal form.
        task: Task of each item; small tasks are taken together.
    """
    first, second = near.distance[:, 0], near.distance[:, 1:].max(axis=1)
    # the second of a pair's neighbours may be a third copy, so the far end of the neighbourhood is the yardstick
    ratio = np.clip(first / np.maximum(second, 1e-9), 1e-6, 1.0)
    tail = np.ones(len(ratio))
    for rows in _task_groups(task):
        tail[rows] = ratio[rows] ** _dimension(ratio[rows])
    return _odd_tail_chance(tail)


def _task_groups(task: np.ndarray) -> list[np.ndarray]:
    labels, place, size = np.unique(task, return_inverse=True, return_counts=True)
    place = np.where(size[place] < FEWEST_IN_TASK, len(labels), place)
    return [np.flatnonzero(place == label) for label in np.unique(place)]


def _dimension(ratio: FloatArray) -> float:
    """Exponent of the ratio's distribution: the smallest over several quantiles, which few duplicates do not move."""
    levels = np.quantile(ratio, [1 - q for q in QUANTILES])
    exponents = [np.log(1 - q) / np.log(min(level, 1 - 1e-6)) for q, level in zip(QUANTILES, levels, strict=True)]
    return float(min(exponents))


def _odd_tail_chance(tail: FloatArray) -> FloatArray:
    """Probability that each tail probability comes from duplicates, under a beta-uniform mixture."""
    share, shape = PRIOR_SHARE, 0.1
    log_tail = np.log(np.maximum(tail, 1e-300))
    chance = np.zeros(len(tail))
    for _ in range(ITERATIONS):
        chance = expit(logit(share) + np.log(shape) + (shape - 1) * log_tail)
        share = (chance.sum() + 1) / (len(tail) + 1 / PRIOR_SHARE)
        shape = float(np.clip((chance.sum() + 1) / ((chance * -log_tail).sum() + 10), 0.02, 0.3))
    return chance


FEWEST_RATED_TEXTS = 50
TASK_WEIGHT = 1.0
"""Weight of the task's levels, in neighbours, in the level expected of an item."""
ODD_SHARE = 0.01
"""Prior share of levels that are slips; a slip is equally likely at every level."""


def level_suspects(study: Study, seed: int) -> list[Suspects]:
    """Find levels that are more likely a slip than a level of an item with such a text.

    Args:
        study: The study; one without texts and levels yields nothing.
        seed: Seed of the search for neighbours.
    """
    if study.demands is None or study.items is None:
        return []
    held = study.items[study.items["text"].notna() & study.items["item_id"].isin(study.demands["item_id"])]
    if len(held) < FEWEST_RATED_TEXTS:
        return []
    ids = tuple(held["item_id"].astype(str))
    demands = Demands.of(study)
    levels = np.clip(np.floor(demands.at(ids) + 0.5), 0, LEVELS[-1])
    near = nearest_texts(held["text"].astype(str).tolist(), seed)
    places = places_of(study, ids)
    _, task = np.unique(places.task, return_inverse=True)
    slip = np.stack([_slips(levels[:, d], near, task) for d in range(levels.shape[1])], axis=1)
    item, dim = np.nonzero(slip > ODD_SHARE)
    expected = np.nanmean(levels[near.index], axis=1) if len(item) else levels
    words = [
        f"{demands.dims[d]} is {levels[i, d]:.0f}; the texts nearest to it have {expected[i, d]:.1f}"
        for i, d in zip(item, dim, strict=True)
    ]
    return [suspects("odd level", np.array(ids)[item], slip[item, dim], words, places.table().iloc[item])]


def _slips(level: FloatArray, near: Neighbours, task: np.ndarray) -> FloatArray:
    """Chance of each level to be a slip, given the levels of the nearest texts and of the task."""
    known = np.isfinite(level)
    indicator = np.where(known[:, None], level[:, None] == np.array(LEVELS), False).astype(float)
    by_task = np.stack([np.bincount(task, indicator[:, step]) for step in LEVELS], axis=1)[task] - indicator
    prior = (by_task + 0.5) / (by_task.sum(axis=1, keepdims=True) + 0.5 * len(LEVELS))
    close = np.maximum(1 - near.distance**2 / 2, 0)
    counts = np.einsum("nk,nkl->nl", close, indicator[near.index])
    usual = (counts + TASK_WEIGHT * prior) / (counts.sum(axis=1, keepdims=True) + TASK_WEIGHT)
    at = (usual * indicator).sum(axis=1)
    chance = ODD_SHARE / len(LEVELS)
    slip = np.divide(chance, chance + (1 - ODD_SHARE) * at, out=np.zeros(len(level)), where=known)
    return np.where(known, slip, 0.0)
