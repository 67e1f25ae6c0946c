"""A study and the items asked about, laid out on one item axis: what to learn from, and what to predict."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from capscope.axes import ItemDim, ItemMask, RowIndex
from capscope.data import (
    Demands,
    Responses,
    Study,
    join_items,
    rated_levels,
    typical_levels,
    with_gaps_filled,
)
from capscope.data.levels import UNNAMED_ANNOTATOR
from capscope.errors import InputError, first_few
from capscope.predict.assessor import Training
from capscope.predict.features import AUTO, ItemFeatures, features_of
from capscope.predict.leaks import refuse_answer_keys

UNNAMED_BENCHMARK = "all"
"""The benchmark of items whose table names none."""


@dataclass(frozen=True)
class AskedItems:
    """All answers of a study, and the items asked about; what is both is on the axis once."""

    responses: Responses
    """The answers, over the axes of all models, and of all items learnt from or asked about."""
    features: ItemFeatures
    """What is known of these items."""
    benchmark: tuple[str, ...]
    """Name of each item's benchmark."""
    asked: RowIndex
    """Positions of the items asked about, by sorted id."""
    unrated: ItemMask
    """Whether an item has no demand level at all, where others have."""
    notes: tuple[str, ...]
    """What a reader should know about them."""

    @classmethod
    def of(cls, study: Study, items: Study, annotator: str | None = None, embedder: str = AUTO) -> "AskedItems":
        """Lay both out. What the study says of an item counts; the tables of the items asked about add the rest.

        Demands count on the rubrics that some asked item has a level on. An answered item without levels on all of
        them is not learnt from, unless it is asked about; then a gap holds the typical level, with its spread as doubt.

        Args:
            study: A study with items and responses.
            items: The items asked about, with demands and texts as far as there are any.
            annotator: Whose demand levels to use; by default the mean over annotators.
            embedder: How to turn texts into vectors.

        Raises:
            InputError: No such annotator, an id that names two items, or demands that give the answers away.
            JoinError: Fewer than nine in ten of the answered items have demands or are in the items table.
        """
        table = _one_table(study, items)
        study.require("responses")
        join_items(study, "responses", "items").refuse_if_poor(study.name)
        answers = Responses.of(study.keep_items(table.index))
        ids = items.require("items")["item_id"].astype(str).to_numpy()
        axis = np.union1d(np.array(answers.items, dtype=str), ids)
        rated = _rated(study, items, tuple(axis), np.isin(axis, ids), annotator)
        keep = np.isin(axis, ids) | rated.complete
        axis, rated = tuple(map(str, axis[keep])), rated.at(keep)
        answers, left_out = _on_axis(answers, axis), int((~keep).sum())
        asked = np.isin(axis, ids)
        benchmark = tuple(table.loc[list(axis), "benchmark"].astype(str))
        found = features_of(table.reset_index(), axis, rated.levels(study, answers), embedder)
        notes = (*rated.notes, *_notes_on_gaps(axis, asked, rated, left_out))
        features = replace(found, dims=rated.rubrics)
        return cls(answers, features, benchmark, np.flatnonzero(asked), rated.nothing, notes)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the items asked about."""
        return tuple(self.responses.items[place] for place in self.asked)

    @property
    def asked_benchmark(self) -> np.ndarray:
        """Name of the benchmark of each item asked about."""
        return np.array(self.benchmark, dtype=str)[self.asked]

    def training(self, seed: int) -> Training:
        """Return all answers to learn from."""
        return Training(self.responses, self.features, seed, np.isin(np.arange(self.features.n_items), self.asked))


@dataclass(frozen=True)
class _Rated:
    """Demand levels as they are, gaps and all."""

    rubrics: tuple[str, ...]
    level: ItemDim
    sd: ItemDim
    notes: tuple[str, ...]

    @property
    def complete(self) -> ItemMask:
        return np.count_nonzero(np.isnan(self.level), axis=1) == 0

    @property
    def nothing(self) -> ItemMask:
        rated = np.count_nonzero(~np.isnan(self.level), axis=1)
        return (rated == 0) & bool(self.rubrics)

    def at(self, keep: ItemMask) -> "_Rated":
        return replace(self, level=self.level[keep], sd=self.sd[keep])

    def levels(self, study: Study, answers: Responses) -> tuple[ItemDim, ItemDim] | None:
        """Fill the gaps from the items that are learnt from, whose levels must not give the answers away."""
        if not self.rubrics:
            return None
        join_items(study, "responses", "demands").refuse_if_poor(study.name)
        sure = self.complete & (np.bincount(answers.item_index, minlength=len(self.level)) > 0)
        refuse_answer_keys(answers.rows(sure[answers.item_index]), self.level, self.rubrics)
        return with_gaps_filled(self.level, self.sd, typical_levels(self.level[sure]))


def _rated(study: Study, items: Study, axis: tuple[str, ...], asked: ItemMask, annotator: str | None) -> _Rated:
    """Levels of the study, then of the asked items' own tables, on the rubrics that serve both."""
    rubrics = () if study.demands is None else Demands.of(study, annotator).dims
    level, sd = _levels_on(study, axis, rubrics, annotator)
    own_level, own_sd = _levels_on(items, axis, rubrics, _of_items(items, annotator))
    gap = np.isnan(level)
    level, sd = np.where(gap, own_level, level), np.where(gap, own_sd, sd)
    useful = np.count_nonzero(~np.isnan(level[asked]), axis=0) > 0
    idle = [rubric for rubric, use in zip(rubrics, useful, strict=True) if not use]
    unknown = [] if items.demands is None else sorted(set(items.demands["rubric"].astype(str)) - set(rubrics))
    notes = [f"rubrics left out, since no asked item has a level on them: {first_few(idle)}"] if idle else []
    if unknown:
        notes.append(f"rubrics left out, since the study has no level on them: {first_few(unknown)}")
    kept = tuple(rubric for rubric, use in zip(rubrics, useful, strict=True) if use)
    return _Rated(kept, level[:, useful], sd[:, useful], tuple(notes))


def _levels_on(
    study: Study, axis: tuple[str, ...], rubrics: tuple[str, ...], annotator: str | None
) -> tuple[ItemDim, ItemDim]:
    """Levels on these rubrics, in this order; NaN on those that a study has no level on."""
    level, sd = np.full((len(axis), len(rubrics)), np.nan), np.zeros((len(axis), len(rubrics)))
    if study.demands is None:
        return level, sd
    known = Demands.of(study, annotator).dims
    place = [number for number, rubric in enumerate(rubrics) if rubric in known]
    if place:
        found = rated_levels(study, axis, annotator, tuple(rubrics[number] for number in place))
        level[:, place], sd[:, place] = found
    return level, sd


def _of_items(items: Study, annotator: str | None) -> str | None:
    """Whose levels to use of the asked items; a file that does not say who rated has one annotator without a name."""
    if annotator is None or items.demands is None:
        return None
    return None if set(items.demands["annotator"].astype(str)) == {UNNAMED_ANNOTATOR} else annotator


def _on_axis(answers: Responses, axis: tuple[str, ...]) -> Responses:
    """Answers to the items of an axis, by their position there."""
    place = pd.Index(axis).get_indexer(pd.Index(answers.items))
    kept = answers.rows(place[answers.item_index] >= 0)
    return replace(kept, items=axis, item_index=place[kept.item_index].astype(np.int64))


def _one_table(study: Study, items: Study) -> pd.DataFrame:
    """Items of both tables, one row each, by id; the text that one of them lacks is taken from the other.

    Raises:
        InputError: One id names items of different texts or benchmarks.
    """
    old, new = (_by_id(each.require("items")) for each in (study, items))
    both = old.index.intersection(new.index)
    for column in ("text", "benchmark"):
        mine, theirs = (_plain(table.loc[both, column]) for table in (old, new))
        different = both[(mine != theirs) & _said(mine) & _said(theirs)]
        if len(different):
            raise InputError(
                f"{items.name}: item '{different[0]}' has another {column} in {study.name} ({len(different)} such"
                " items); give new items ids of their own"
            )
    text = old["text"].astype(object).where(old["text"].notna(), new["text"].astype(object).reindex(old.index))
    return pd.concat([old.assign(text=text), new.drop(index=both)]).rename_axis("item_id")


def _by_id(items: pd.DataFrame) -> pd.DataFrame:
    table = items.assign(**{name: items[name].astype(object) for name in ("benchmark", "task", "text")})
    return table.set_index(items["item_id"].astype(str)).drop(columns="item_id")


def _plain(column: pd.Series) -> pd.Series:
    words = column.where(column.notna(), "").astype(str).str.split().str.join(" ")
    return words.str.lower() if column.name == "text" else words


def _said(column: pd.Series) -> pd.Series:
    return (column != "") & ~((column == UNNAMED_BENCHMARK) & (column.name == "benchmark"))


def _notes_on_gaps(axis: tuple[str, ...], asked: ItemMask, rated: _Rated, left_out: int) -> list[str]:
    notes = [f"{left_out} answered items left out, since they lack demand levels"] if left_out else []
    gaps = [axis[place] for place in np.flatnonzero(asked & ~rated.complete)]
    if gaps:
        notes.append(
            f"{len(gaps)} items lack demand levels, where typical ones stand in with their spread: {first_few(gaps)}"
        )
    return notes
