"""Merging of studies: items must agree; repeated answers of a model to an item follow one rule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.axes import FACETS
from capscope.data.columns import as_identifier, shown
from capscope.data.formats.score_tables import RUNS_CHOICES, Runs, ScoreTable, joined_scores
from capscope.data.joining import names_alike, refuse_poor_joins
from capscope.data.reading import read_table
from capscope.data.study import Study
from capscope.data.tables import NOT_STATED, TABLES
from capscope.errors import LONGEST_NAME, InputError, counted, first_few, nearest, shortened

Parts = Mapping[str, Mapping[str, str]]
"""Value of a facet by a model's name, by facet."""
ITEM_COLUMNS = TABLES["items"].optional
"""Columns of items in which studies must agree."""
LEVELS = "levels"
"""Format of a study of demand levels alone: what it says about items only helps to recognise them."""
DEFAULT_BENCHMARK = "all"
"""Benchmark and task of items whose table names none."""


@dataclass(frozen=True)
class Merged:
    """A study made of several, and remarks."""

    study: Study
    """The study."""
    notes: tuple[str, ...] = ()
    """Remarks on repeated, renamed and omitted rows, one sentence each."""


def read_renames(path: Path | str) -> dict[str, str]:
    """Read new names of models.

    Args:
        path: A table with the columns `from` and `to`.

    Returns:
        New name by old name.

    Raises:
        InputError: A column is missing, or a model has two new names.
    """
    path = Path(path)
    frame = read_table(path)
    for name in ("from", "to"):
        if name not in frame:
            known = first_few(map(str, frame.columns))
            raise InputError(f"{path}: column '{name}' is missing; found {known}; give the columns from and to")
    old, new = (as_identifier(frame[name], f"'{name}'", str(path)) for name in ("from", "to"))
    pairs = list(zip(old, new, strict=True))
    names: dict[str, str] = {}
    for old, new in pairs:
        if names.setdefault(old, new) != new:
            raise InputError(f"{path}: model '{old}' is to be '{names[old]}' and '{new}'; keep one row of each")
    return names


def read_parts(path: Path | str) -> Parts:
    """Read which scaffold, effort or other facet the models of a table of renames ran with.

    Args:
        path: The table that `read_renames` reads; its columns named like facets say what an old name stands for.

    Returns:
        Value by old name, by facet; rows without a value leave the facet as it is.

    Raises:
        InputError: A model has two values of a facet.
    """
    frame = read_table(Path(path))
    parts: dict[str, dict[str, str]] = {}
    for facet in (name for name in FACETS if name in frame):
        stated = frame[frame[facet].notna() & (frame[facet].astype(str).str.strip() != "")]
        values: dict[str, str] = {}
        old_names, own = (as_identifier(stated[name], f"'{name}'", str(path)) for name in ("from", facet))
        for old, value in zip(old_names, own, strict=True):
            if values.setdefault(old, value) != value:
                raise InputError(
                    f"{path}: model '{old}' has {facet} '{values[old]}' and '{value}'; keep one row of each"
                )
        parts[facet] = values
    return parts


def merge_studies(
    studies: Sequence[Study],
    repeats: Runs = "error",
    rename: Mapping[str, str] | None = None,
    parts: Parts | None = None,
) -> Merged:
    """Join studies: their items, responses and demand levels.

    Items of one id have to be the same; what one study leaves open another may fill in. A response or level that two
    studies have alike counts once.

    Args:
        studies: The studies; where one rule needs an order, a later one is the later run.
        repeats: What to do where several answer for the same model and item: "error", "latest" (the last study),
            "mean" (their trials are pooled) or "all" (kept, with the facet `run`).
        rename: New names of models by their old ones.
        parts: Facets of models by their old names, as `read_parts` gives them: names such as ``gpt-5+codex`` become a
            model and its scaffold.

    Returns:
        The joined study, and counts of what was joined.

    Raises:
        InputError: Two studies disagree about an item, or answer for the same model and item without a rule.
        JoinError: The tables are not about the same items.
    """
    if repeats not in RUNS_CHOICES:
        raise InputError(f"repeats is '{repeats}'{nearest(repeats, RUNS_CHOICES)}; choose {', '.join(RUNS_CHOICES)}")
    if not studies:
        raise InputError("no study to join; give at least one")
    notes: list[str] = []
    fitting = [_fitted_levels(study, studies, notes) for study in studies]
    items = _joined_items([(study.name, study.items) for study in fitting if study.items is not None])
    fitting = [_with_parts(study, parts or {}) for study in fitting]
    responses = _joined_responses(fitting, repeats, rename or {}, notes)
    demands = _joined_demands(fitting, repeats)
    merged = Study.of(items, responses, demands, studies[0].name, _sources(studies))
    refuse_poor_joins(merged)
    return Merged(merged, (*notes, *names_alike(merged)))


def _sources(studies: Sequence[Study]) -> dict[str, Any]:
    """Return the origin of the studies; joined ones are listed flat."""
    if len(studies) == 1:
        return studies[0].sources
    parts = [part for study in studies for part in study.sources.get("merged", [study.sources])]
    return {"merged": [part for part in parts if part]}


def _fitted_levels(study: Study, studies: Sequence[Study], notes: list[str]) -> Study:
    """Reduce a study of demand levels alone to the items that the others hold, by id or else by text.

    Raises:
        InputError: None of its items is there.
    """
    others = [other.items for other in studies if other is not study and other.items is not None]
    own = study.items is not None and study.sources.get("format") != LEVELS
    if study.demands is None or study.responses is not None or own or not others:
        return study
    known = pd.concat(others, ignore_index=True)
    ids = set(known["item_id"].astype(str))
    rows = study.demands.astype({"item_id": str})
    by_text = _ids_by_text(study, known) if not rows["item_id"].isin(ids).any() else {}
    if by_text:
        rows = rows.assign(item_id=rows["item_id"].map(by_text).fillna(rows["item_id"]))
        notes.append(f"{study.name}: {counted(len(by_text), 'item', 'are')} recognised by their texts")
    kept = rows[rows["item_id"].isin(ids)]
    if kept.empty:
        raise InputError(
            f"{study.name}: none of its {rows['item_id'].nunique()} items is in {studies[0].name}"
            f" ({first_few(rows['item_id'].unique(), 3)}); give their item_id, or a column 'text'"
        )
    missing = rows.loc[~rows["item_id"].isin(ids), "item_id"]
    if len(missing):
        absent = counted(missing.nunique(), "item")
        notes.append(
            f"{study.name}: {counted(len(missing), 'level')} of {absent} that the study does not hold are left out:"
            f" {first_few(missing.unique(), 3)}"
        )
    return Study.of(demands=kept.reset_index(drop=True), name=study.name, sources=study.sources)


def _ids_by_text(study: Study, known: pd.DataFrame) -> dict[str, str]:
    """Return the known id of each item of a study whose text is that of exactly one known item."""
    if study.items is None or "text" not in known:
        return {}
    there = known.assign(plain=known["text"].astype(str).str.strip())
    there = there[known["text"].notna() & ~there["plain"].duplicated(keep=False)]
    id_of = dict(zip(there["plain"], there["item_id"].astype(str), strict=True))
    own = study.items[study.items["text"].notna()]
    pairs = zip(own["item_id"].astype(str), own["text"].astype(str).str.strip(), strict=True)
    return {item: id_of[text] for item, text in pairs if text in id_of}


def _joined_items(tables: Sequence[tuple[str, pd.DataFrame]]) -> pd.DataFrame | None:
    if not tables:
        return None
    (first, frame), *rest = [(name, _plain(frame)) for name, frame in tables]
    joined = frame
    for name, other in rest:
        _refuse_other_items(joined, other, first, name)
        shared = joined.index.intersection(other.index)
        for column in other:
            added = other[column].reindex(joined.index)
            joined[column] = joined[column].where(joined[column].notna(), added) if column in joined else added
        joined = pd.concat([joined, other.drop(index=shared)])
    for column in ("benchmark", "task"):
        joined[column] = joined[column].fillna(DEFAULT_BENCHMARK)
    return joined.infer_objects().reset_index()


def _plain(items: pd.DataFrame) -> pd.DataFrame:
    """Return items by id, without categories; default names of benchmark and task, which mean "unknown", are None."""
    frame = items.astype({"item_id": str}).set_index("item_id").astype(object)
    unset = (frame["benchmark"] == DEFAULT_BENCHMARK) & (frame["task"] == DEFAULT_BENCHMARK)
    frame.loc[unset, ["benchmark", "task"]] = None
    return frame


def _refuse_other_items(joined: pd.DataFrame, other: pd.DataFrame, first: str, name: str) -> None:
    shared = joined.index.intersection(other.index)
    for column in (column for column in ITEM_COLUMNS if column in joined and column in other):
        kept, added = joined.loc[shared, column], other.loc[shared, column]
        both = (kept.notna() & added.notna()).to_numpy(dtype=bool)
        differs = both & np.array([not _same(a, b) for a, b in zip(kept, added, strict=True)], dtype=bool)
        if differs.any():
            place = int(np.flatnonzero(differs)[0])
            item = shortened(str(shared[place]), LONGEST_NAME)
            raise InputError(
                f"{name}: item '{item}' has the {column} {shown(added.iloc[place])}, in {first} it is"
                f" {shown(kept.iloc[place])} ({int(differs.sum())} such items); give different items different ids"
            )


def _same(one: object, other: object) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return bool(np.isclose(one, other))
    return str(one).strip() == str(other).strip()


def _joined_responses(
    studies: Sequence[Study], repeats: Runs, rename: Mapping[str, str], notes: list[str]
) -> pd.DataFrame | None:
    answered = [(study.name, study.responses) for study in studies if study.responses is not None]
    if not answered:
        return None
    facets = [facet for facet in FACETS if any(facet in frame for _, frame in answered)]
    trials = any("n_trials" in frame for _, frame in answered)
    tables: list[ScoreTable] = []
    for name, frame in answered:
        missing: dict[str, Any] = dict.fromkeys((facet for facet in facets if facet not in frame), NOT_STATED)
        if trials and "n_trials" not in frame:
            missing["n_trials"] = 1.0
        tables += _renamed(name, frame.assign(**missing), rename, repeats, notes)
    absent = [old for old in rename if not any((frame["model"] == old).any() for _, frame in answered)]
    if absent:
        notes.append(f"to be renamed, but not there: {first_few(absent)}")
    responses, more = joined_scores(_without_copies(tables, notes), repeats)
    notes += more
    return responses


def _with_parts(study: Study, parts: Parts) -> Study:
    """Fill in facets by the models' names; rows of other models keep what they have."""
    if study.responses is None or not any(parts.values()):
        return study
    table, old = study.responses, study.responses["model"].astype(str)
    for facet, values in parts.items():
        new = old.map(values)
        kept = table[facet].astype(object) if facet in table else pd.Series(NOT_STATED, index=table.index, dtype=object)
        table = table.assign(**{facet: pd.Categorical(new.where(new.notna(), kept).astype(str))})
    return replace(study, responses=table)


def _renamed(
    name: str, frame: pd.DataFrame, rename: Mapping[str, str], repeats: Runs, notes: list[str]
) -> list[ScoreTable]:
    """Rename models; where several become one, each is a run of its own.

    Raises:
        InputError: The latest is wanted of several models that become one, whose order is not known.
    """
    old = frame["model"].astype(str)
    new = old.replace(dict(rename))
    changed = sorted(set(old[old != new]))
    if changed:
        notes.append(f"renamed {first_few([f'{model} to {rename[model]}' for model in changed], 3)} in {name}")
    renamed = frame.assign(model=pd.Categorical(new))
    key = [column for column in TABLES["responses"].key if column in renamed]
    occurrence = renamed.groupby(key, sort=False, observed=True).cumcount()
    if repeats == "latest" and occurrence.any():
        row = int(np.flatnonzero(occurrence)[0])
        raise InputError(
            f"{name}: several models that become '{new.iloc[row]}' answered item '{renamed['item_id'].iloc[row]}', and"
            " which is the latest is not known; choose --repeats mean or all, or rename one of them"
        )
    return [
        _score_table(name, renamed[(occurrence == number).to_numpy()]) for number in range(int(occurrence.max()) + 1)
    ]


def _score_table(name: str, responses: pd.DataFrame) -> ScoreTable:
    described = responses[["item_id"]]
    return ScoreTable(source=name, responses=responses, described=described, rows=len(responses), not_administered=0)


def _without_copies(tables: Sequence[ScoreTable], notes: list[str]) -> list[ScoreTable]:
    """Leave out responses that an earlier study has with the same score."""
    if len(tables) < 2:
        return list(tables)
    joined = pd.concat({place: table.responses for place, table in enumerate(tables)})
    columns = [*(name for name in TABLES["responses"].key if name in joined), "score"]
    columns += ["n_trials"] if "n_trials" in joined else []
    copies = joined.duplicated(columns)
    of_one_study = {table.source for table in tables}
    if not copies.any() or len(of_one_study) == 1:
        return list(tables)
    notes.append(f"{int(copies.sum())} responses are in several studies with the same score; each counts once")
    place = joined.index.get_level_values(0)
    return [
        replace(table, responses=table.responses[~copies[place == number].to_numpy()])
        for number, table in enumerate(tables)
    ]


def _joined_demands(studies: Sequence[Study], repeats: Runs) -> pd.DataFrame | None:
    """Put levels together.

    Raises:
        InputError: An annotator's levels of one item and rubric differ, and neither the latest is wanted.
    """
    rated = [study.demands for study in studies if study.demands is not None]
    if not rated:
        return None
    joined = pd.concat(rated, ignore_index=True)
    key = list(TABLES["demands"].key)
    joined = joined.drop_duplicates([*key, "level"])
    repeated = joined.duplicated(key)
    if repeated.any() and repeats != "latest":
        item, rubric, annotator = joined.loc[repeated, key].iloc[0]
        raise InputError(
            f"annotator '{annotator}' has two levels of item '{item}' on {rubric} ({int(repeated.sum())} such levels);"
            " choose --repeats latest, or give one of the annotators another name"
        )
    return joined.drop_duplicates(key, keep="last").reset_index(drop=True)
