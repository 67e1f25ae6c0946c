"""The layout that `evaluate` and `predict` share: answers, item features and item tables on one item axis.

A missing demand level is replaced by the typical level of its rubric, with the rubric's spread as its uncertainty, both
for items that are learnt from and for items to predict; the notes say how many items this concerns.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.axes import ItemDim, ItemMask, ModelItem, RowIndex
from capscope.data import (
    CONFIDENCE,
    AgentDesign,
    Demands,
    Responses,
    Study,
    agent_design,
    checked_columns,
    join_items,
    one_answer_each,
    rated_levels,
    read_table,
    refuse_foreign_demands,
    stated_confidence,
    task_labels,
    typical_levels,
    with_agents,
    with_gaps_filled,
)
from capscope.data.levels import UNNAMED_ANNOTATOR
from capscope.errors import InputError, first_few, nearest
from capscope.forecast import unreadable_facts
from capscope.predict.assessor import Training
from capscope.predict.features import AUTO, ItemFeatures, features_of
from capscope.predict.leaks import refuse_answer_keys
from capscope.predict.model_facts import ModelFacts, read_model_facts

UNNAMED_BENCHMARK = "all"
"""The benchmark of items whose table names none."""
NO_LEVELS = (
    "the items have no demand levels, so easy and hard ones cannot be distinguished; make levels with 'capscope"
    " annotate ITEMS --annotator openai:MODEL --out STUDY' and predict on that study (answered items need levels by the"
    " same annotator)"
)
"""Note on predictions of new items without demand levels and without texts to go by."""
TEXTS_ONLY = (
    "the items have no demand levels, so easy and hard ones are distinguished by their texts alone, by assessors that"
    " read texts; levels add information: make them with 'capscope annotate ITEMS --annotator openai:MODEL --out STUDY'"
    " and predict on that study (answered items need levels by the same annotator)"
)
"""Note on predictions of new items that have texts but no demand levels."""
ANSWERED_UNRATED = (
    "the answered items have no demand levels on the rubrics of the items to predict, so these items' levels cannot be"
    " used; rate the answered items by the same annotator with 'capscope annotate STUDY --annotator NAME'"
)
"""Note on predictions of new items with demand levels from answered items without."""
LEVEL_NOTES = (NO_LEVELS, TEXTS_ONLY, ANSWERED_UNRATED)
"""Notes that stand before the answer: without levels it rests on less than a reader expects."""


@dataclass(frozen=True)
class Layout:
    """All answers of a study and the items to predict, on one item axis; an item that is both appears once."""

    responses: Responses
    """The answers, over the axes of all models and of all items."""
    features: ItemFeatures
    """Features of the items, in the order of `responses.items`."""
    items: pd.DataFrame
    """The items' table in that order."""
    asked: RowIndex
    """Positions of the items to predict, by sorted id."""
    unrated: ItemMask
    """Whether an item has no demand level at all, where other items have."""
    left_out: int
    """Number of answered items that are not in the items table."""
    notes: tuple[str, ...]
    """Remarks for the user on rubrics and missing levels."""
    agents: AgentDesign | None = None
    """Model, scaffold and effort of each model; None where no facet varies."""
    confidence: ModelItem | None = None
    """The models' own confidence in their answers, 0 to 1; NaN where none is stated, None where none is anywhere."""
    facts: ModelFacts | None = None
    """What is known of the models besides their answers; None for nothing."""

    @classmethod
    def of_study(cls, study: Study, annotator: str | None = None, embedder: str = AUTO) -> "Layout":
        """Lay out the answered items of a study, all of them to learn from and to predict.

        Args:
            study: A study with responses; without a table of items, their ids stand alone.
            annotator: Whose demand levels to use; by default the mean over annotators.
            embedder: Name of the embedder that turns texts into vectors.

        Raises:
            InputError: No such annotator, or a rubric that was made from the answers.
            JoinError: The demands are about other items, or the items table lacks over a tenth of the answered ones.
        """
        study = study.with_items()
        answered = pd.Index(study.require("responses")["item_id"].astype(str).unique())
        asked = study.keep_items(answered)
        return cls.of(study, Study(asked.items, None, None, study.name), annotator, embedder)

    @classmethod
    def of(cls, study: Study, items: Study, annotator: str | None = None, embedder: str = AUTO) -> "Layout":
        """Lay out a study and the items to predict.

        Where both have a text or a level for an item, the study's counts. Rubrics count if some answered item and
        some item to predict have a level on them.

        Args:
            study: A study with responses; without a table of items, their ids stand alone.
            items: The items to predict, with demands and texts as far as there are any.
            annotator: Whose demand levels to use; by default the mean over annotators.
            embedder: Name of the embedder that turns texts into vectors.

        Raises:
            InputError: No such annotator, an id that names two items, or a rubric that was made from the answers.
            JoinError: The demands are about other items, or the items table lacks over a tenth of the answered ones.
        """
        study = one_answer_each(study)
        agents = agent_design(study)
        study, items = with_agents(study).with_items(), items.with_items()
        table = _one_table(study, items)
        join = join_items(study, "responses", "items")
        join.refuse_if_poor(study.name)
        answers = Responses.of(study.keep_items(table.index))
        ids = items.require("items")["item_id"].astype(str).to_numpy()
        axis = tuple(map(str, np.union1d(np.array(answers.items, dtype=str), ids)))
        answers, asked = _on_axis(answers, axis), np.isin(axis, ids)
        answered = np.bincount(answers.item_index, minlength=len(axis)) > 0
        levels = _RatedLevels.of(study, items, axis, (asked, answered), annotator)
        if levels.rubrics:
            refuse_foreign_demands(study)
            refuse_answer_keys(answers, levels.level, levels.rubrics)
        features = features_of(table.reset_index(), axis, levels.filled(answered), embedder)
        features = replace(features, dims=levels.rubrics)
        by_tfidf = [features.texts.note] if features.texts is not None and features.texts.note else []
        without = _note_without_levels(features, asked, answered, items.demands is not None)
        notes = (*without, *levels.notes, *levels.notes_on_gaps(axis, asked), *by_tfidf)
        rows = table.loc[list(axis)].reset_index()
        missing = len(set(join.missing) - set(axis))
        agents = None if agents is None else agents.of(answers.models)
        confidence, unusable = _confidences(study, answers)
        notes += unusable
        return cls(answers, features, rows, np.flatnonzero(asked), levels.unrated, missing, notes, agents, confidence)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the items to predict."""
        return tuple(self.responses.items[place] for place in self.asked)

    @property
    def asked_benchmark(self) -> np.ndarray:
        """Name of the benchmark of each item to predict."""
        return self.items["benchmark"].astype(str).to_numpy(dtype=str)[self.asked]

    @property
    def task(self) -> RowIndex:
        """Task of each answer, as a number."""
        return np.unique(task_labels(self.items), return_inverse=True)[1][self.responses.item_index]

    @property
    def benchmark(self) -> RowIndex:
        """Benchmark of each answer, as a number."""
        names = self.items["benchmark"].astype(str).to_numpy(dtype=str)
        return np.unique(names, return_inverse=True)[1][self.responses.item_index]

    def with_confidences(self, source: Path | pd.DataFrame) -> "Layout":
        """Return the layout with models' own confidence in answers whose scores are to be predicted.

        Args:
            source: A table of columns model, item_id and confidence (0 to 1), one row for each answer, or its path.

        Raises:
            InputError: The table is wrong, or is about models or items that are not predicted.
        """
        table, name = (source, "confidences") if isinstance(source, pd.DataFrame) else (read_table(source), str(source))
        remedy = "give columns model, item_id and confidence, from 0 to 1"
        rows = checked_columns(table, name, names=("model", "item_id"), numbers={CONFIDENCE: (0.0, 1.0)}, remedy=remedy)
        for column, known in (("model", self.responses.models), ("item_id", self.ids)):
            unknown = sorted(set(rows[column]) - set(known))
            if unknown:
                hint = nearest(unknown[0], known)
                raise InputError(
                    f"{name}: {len(unknown)} {column} values are not predicted: {first_few(unknown)}{hint}"
                )
        mean = rows.groupby(["model", "item_id"])[CONFIDENCE].mean().unstack()
        own = mean.reindex(index=list(self.responses.models), columns=list(self.responses.items)).to_numpy(dtype=float)
        return replace(
            self, confidence=own if self.confidence is None else np.where(np.isnan(own), self.confidence, own)
        )

    def with_facts(self, source: Path | str | pd.DataFrame | None, folder: Path, *, new_models: bool) -> "Layout":
        """Return the layout with facts about the models, from which those with few answers get priors.

        Args:
            source: See `read_model_facts`.
            folder: Folder of the study.
            new_models: Add the models of a named table that have no answers.

        Raises:
            InputError: The file cannot be read, or says nothing of these models, or subjects are agents of parts.
        """
        models = self.responses.models
        known = read_model_facts(source, models, folder)
        if known is None or (source is None and self.agents is not None):
            return self
        if self.agents is not None:
            raise InputError("--models: subjects are agents here, whose priors come from their parts; leave it out")
        table, unanswered = known
        axis = tuple(sorted({*models, *unanswered})) if new_models else models
        facts = ModelFacts.of(axis, table)
        place = pd.Index(axis).get_indexer(pd.Index(models)).astype(np.int64)
        own = None
        if self.confidence is not None:
            own = np.full((len(axis), self.confidence.shape[1]), np.nan)
            own[place] = self.confidence
        answers = replace(self.responses, models=axis, model_index=place[self.responses.model_index])
        note = f"models with few answers are predicted by {', '.join(facts.names) or 'nothing more: no fact differs'}"
        notes = (*self.notes, note, *unreadable_facts(table))
        return replace(self, responses=answers, confidence=own, facts=facts, notes=notes)

    def training(self, seed: int) -> Training:
        """Return all answers as a training part."""
        target = np.isin(np.arange(self.features.n_items), self.asked)
        return Training(self.responses, self.features, seed, target, self.agents, self.confidence, self.facts)


def _confidences(study: Study, answers: Responses) -> tuple[ModelItem | None, tuple[str, ...]]:
    """Mean confidence that each model stated in its answers to each item; without any, a note where some are wrong."""
    responses = study.require("responses")
    try:
        stated = stated_confidence(responses, study.name)
    except InputError as error:
        return None, (f"own confidences are not used: {error}",)
    if stated is None:
        return None, ()
    cells = [responses[name].astype(str) for name in ("model", "item_id")]
    mean = stated[0].astype(float).groupby(cells).mean().unstack()
    return mean.reindex(index=list(answers.models), columns=list(answers.items)).to_numpy(dtype=float), ()


@dataclass(frozen=True)
class _RatedLevels:
    """Demand levels of the items of an axis, NaN where an item has none."""

    rubrics: tuple[str, ...]
    level: ItemDim
    sd: ItemDim
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        study: Study,
        items: Study,
        axis: tuple[str, ...],
        masks: tuple[ItemMask, ItemMask],
        annotator: str | None,
    ) -> "_RatedLevels":
        """Take levels from the study, then from the tables of the items to predict, on the rubrics that serve both."""
        rubrics = () if study.demands is None else Demands.of(study, annotator).dims
        level, sd = _levels_on(study, axis, rubrics, annotator)
        own_level, own_sd = _levels_on(items, axis, rubrics, _annotator_of_items(items, annotator))
        gap = np.isnan(level)
        level, sd = np.where(gap, own_level, level), np.where(gap, own_sd, sd)
        useful = np.ones(len(rubrics), dtype=bool)
        notes: list[str] = []
        for mask, word in zip(masks, ("asked", "answered"), strict=True):
            rated = np.count_nonzero(~np.isnan(level[mask]), axis=0) > 0
            unused = [rubric for rubric, keep in zip(rubrics, rated | ~useful, strict=True) if not keep]
            useful &= rated
            if unused:
                notes.append(f"rubrics left out, since no {word} item has a level on them: {first_few(unused)}")
        unknown = [] if items.demands is None else sorted(set(items.demands["rubric"].astype(str)) - set(rubrics))
        if unknown:
            notes.append(f"rubrics left out, since the study has no level on them: {first_few(unknown)}")
        kept = tuple(rubric for rubric, keep in zip(rubrics, useful, strict=True) if keep)
        level, sd = (np.ascontiguousarray(each[:, useful]) for each in (level, sd))
        return cls(kept, level, sd, tuple(notes))

    @property
    def unrated(self) -> ItemMask:
        rated = np.count_nonzero(~np.isnan(self.level), axis=1)
        return (rated == 0) & bool(self.rubrics)

    def filled(self, answered: ItemMask) -> tuple[ItemDim, ItemDim] | None:
        """Fill missing levels with the typical level of the answered items; None where there are no rubrics."""
        if not self.rubrics:
            return None
        return with_gaps_filled(self.level, self.sd, typical_levels(self.level[answered]))

    def notes_on_gaps(self, axis: tuple[str, ...], asked: ItemMask) -> list[str]:
        gap = np.count_nonzero(np.isnan(self.level), axis=1) > 0
        notes: list[str] = []
        for mask, what in ((asked, "items lack"), (~asked, "answered items lack")):
            named = [axis[place] for place in np.flatnonzero(gap & mask)]
            if named:
                notes.append(
                    f"{len(named)} {what} demand levels, where typical ones are used with their spread:"
                    f" {first_few(named)}"
                )
        return notes


def _note_without_levels(features: ItemFeatures, asked: ItemMask, answered: ItemMask, rated: bool) -> list[str]:
    """Return the note on new items without levels, or whose levels no answered item shares."""
    new = asked & ~answered
    known = np.zeros_like(new) if features.texts is None else features.texts.known
    by_text = known[answered].any() and known[new].any()
    if not new.any() or features.demands is not None:
        return []
    return [ANSWERED_UNRATED if rated else TEXTS_ONLY if by_text else NO_LEVELS]


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
        named = tuple(rubrics[number] for number in place)
        level[:, place], sd[:, place] = rated_levels(study, axis, annotator, named)
    return level, sd


def _annotator_of_items(items: Study, annotator: str | None) -> str | None:
    """Whose levels to use of the items to predict; a file without annotators has one annotator without a name."""
    if annotator is None or items.demands is None:
        return None
    return None if set(items.demands["annotator"].astype(str)) == {UNNAMED_ANNOTATOR} else annotator


def _on_axis(answers: Responses, axis: tuple[str, ...]) -> Responses:
    """Move answers to another item axis that holds all of their items."""
    place = pd.Index(axis).get_indexer(pd.Index(answers.items))
    return replace(answers, items=axis, item_index=place[answers.item_index].astype(np.int64))


def _one_table(study: Study, items: Study) -> pd.DataFrame:
    """Items of both tables, one row each, by id; a text that one of them lacks is taken from the other.

    Raises:
        InputError: One id names items of different texts or benchmarks.
    """
    old, new = (_by_id(each.require("items")) for each in (study, items))
    both = old.index.intersection(new.index)
    for column in ("text", "benchmark"):
        first, second = (_plain(table.loc[both, column]) for table in (old, new))
        different = both[(first != second) & _is_given(first) & _is_given(second)]
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


def _is_given(column: pd.Series) -> pd.Series:
    return (column != "") & ~((column == UNNAMED_BENCHMARK) & (column.name == "benchmark"))
