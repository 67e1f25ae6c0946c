"""Joins between the tables of a study: share of matched items, and remarks on unusual data."""

import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from capscope.data.agents import design_remarks
from capscope.data.study import Study
from capscope.data.tables import AGREEMENT, CONFIDENCE, TableName
from capscope.errors import JoinError, counted, first_few

NAMED = {"model": "models", "item_id": "items", "rubric": "rubrics", "annotator": "annotators"}
"""Columns whose names are compared by `names_alike`, and what they name."""
POOR_MATCH = 0.9
"""Share of the items below which a join is refused."""
HUMAN = "human"
"""Judge whose scores are those of people."""
SCORERS = {"judge", "llm", "model"}
"""Beginnings of names in `source`, up to a colon, that say that a model scored."""
FEWEST_CHECKED = 30
"""Scores of a judge that people should have given too; the fewest labels from which its scores are corrected."""


@dataclass(frozen=True)
class Join:
    """How well one table's items are covered by another."""

    table: str
    """The table whose item ids are looked up."""
    other: str
    """The table they are looked up in."""
    share: float
    """Share of the table's distinct items that the other table has."""
    missing: tuple[str, ...]
    """The ids that were not found."""

    def refuse_if_poor(self, where: str) -> None:
        """Raise if too little matched.

        Raises:
            JoinError: The share is below `POOR_MATCH`.
        """
        if self.share < POOR_MATCH:
            rated = "rate the other items too, or " if self.other == "demands" else ""
            raise JoinError(
                f"{where}: only {self.share:.0%} of the item ids in {self.table} are in {self.other}"
                f" ({len(self.missing)} unknown: {first_few(self.missing)}); {rated}use the same item_id in both tables"
            )


def join_items(study: Study, table: TableName, other: TableName) -> Join:
    """Look up the items of one table in another.

    Args:
        study: The study.
        table: Table whose items are looked up.
        other: Table in which they are.

    Returns:
        The share of items with a match, and the ids without.

    Raises:
        InputError: The study lacks one of the tables.
    """
    wanted, known = _ids(study.require(table)), _ids(study.require(other))
    missing = wanted.difference(known, sort=True)
    share = 1 - len(missing) / max(len(wanted), 1)
    return Join(table, other, share, tuple(missing))


def joins(study: Study) -> list[Join]:
    """Return every join of this study: responses and demands on items, responses on demands.

    Items that are rated and not answered yet are no fault; the share that counts is of the answered items.

    Args:
        study: The study.
    """
    held = set(map(str, study.tables()))
    pairs: tuple[tuple[TableName, TableName], ...]
    pairs = (("responses", "items"), ("demands", "items"), ("responses", "demands"))
    return [join_items(study, table, other) for table, other in pairs if {table, other} <= held]


def refuse_poor_joins(study: Study) -> list[Join]:
    """Return every join of a study, and refuse it when its tables are not about the same items.

    Raises:
        JoinError: Too many item ids of responses or demands are not in items.
    """
    all_joins = joins(study)
    for join in all_joins:
        if join.other == "items" or (study.items is None and join.share == 0):
            join.refuse_if_poor(study.name)
    return all_joins


def refuse_foreign_demands(study: Study) -> Join:
    """Return how many answered items have demand levels, and refuse demands that are about other items.

    A part of the answered items may be rated, if nine in ten of the rated items are among the answered ones, or if the
    table of items has the ids of both; else the ids of the two tables are not of one kind.

    Args:
        study: A study with responses and demands.

    Raises:
        InputError: There are no demands.
        JoinError: Too few ids agree.
    """
    answered = join_items(study, "responses", "demands")
    if answered.share >= POOR_MATCH:
        return answered
    rated = join_items(study, "demands", "responses")
    listed = study.items is not None and all(
        join_items(study, table, "items").share >= POOR_MATCH for table in ("responses", "demands")
    )
    if not answered.share or not (listed or rated.share >= POOR_MATCH):
        answered.refuse_if_poor(study.name)
    return answered


@dataclass(frozen=True)
class StudyCheck:
    """Sizes and joins of a study, with remarks on unusual data."""

    study: str
    """Its name."""
    sizes: dict[str, int]
    """Rows of the tables; models, benchmarks, tasks, rubrics, annotators."""
    joins: tuple[Join, ...]
    """How well the tables match."""
    odd: tuple[str, ...]
    """Remarks on valid but unusual data."""
    design: tuple[str, ...] = ()
    """Remarks on the crossing of models, scaffolds, efforts, prompts and judges."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values; of unknown ids, their number and the first five."""
        joined = [
            {**asdict(join), "missing": len(join.missing), "first_missing": list(join.missing[:5])}
            for join in self.joins
        ]
        result: dict[str, object] = {"study": self.study, "sizes": self.sizes, "joins": joined, "odd": list(self.odd)}
        return result | {"design": list(self.design)} if self.design else result


def check_study(study: Study) -> StudyCheck:
    """Summarise a study, and refuse it when its tables are not about the same items.

    Args:
        study: The study.

    Returns:
        Sizes, joins and remarks.

    Raises:
        JoinError: Too many item ids of responses or demands are not in items.
    """
    all_joins = refuse_poor_joins(study)
    odd = [
        *_odd_files(study),
        *_odd_joins(all_joins),
        *_odd_responses(study),
        *odd_confidences(study),
        *_unchecked_judges(study),
        *_odd_items(study),
        *names_alike(study),
    ]
    return StudyCheck(study.name, _sizes(study), tuple(all_joins), tuple(odd), tuple(design_remarks(study)))


def names_alike(study: Study) -> list[str]:
    """Name what differs only in letter case, accents' encoding, invisible characters or blanks: it may be one thing.

    Args:
        study: Its models, items, rubrics and annotators are compared.
    """
    odd: list[str] = []
    for column in NAMED:
        named = [frame[column] for frame in study.tables().values() if column in frame and _is_named(frame, column)]
        names = sorted({name for entry in named for name in np.asarray(entry.cat.categories, dtype=object).tolist()})
        if len({_plain_form(name) for name in names}) == len(names):
            continue
        by_form: dict[str, list[str]] = {}
        for name in names:
            by_form.setdefault(_plain_form(name), []).append(name)
        pairs = [" and ".join(ascii(name) for name in alike) for alike in by_form.values() if len(alike) > 1]
        if pairs:
            odd.append(
                f"{counted(len(pairs), f'name of {NAMED[column]}', 'differ')} only in form: {first_few(pairs)};"
                f" give each one name"
            )
    return [*odd, *_same_but_for_the_provider(study)]


def _same_but_for_the_provider(study: Study) -> list[str]:
    """Name models of one name under several providers (``openai/gpt-4o``, ``azure/gpt-4o``) without a common item."""
    by_name: dict[str, list[str]] = {}
    for model in [] if study.responses is None else sorted(map(str, study.responses["model"].unique())):
        by_name.setdefault(_plain_form(model.rsplit("/", 1)[-1]), []).append(model)
    groups = [names for names in by_name.values() if len({_plain_form(name) for name in names}) > 1]
    sharing = _groups_with_a_common_item(study, groups) if groups else set[int]()
    alike = [" and ".join(names) for number, names in enumerate(groups) if number not in sharing]
    if not alike:
        return []
    return [
        f"{counted(len(alike), 'model', 'stand')} under several names that differ before the last '/' alone and"
        " share no item:"
        f" {first_few(alike, 2)}; where these are one model, give it one name: --rename FILE (columns from, to) of"
        " 'capscope import' or 'capscope merge STUDY --out NEW'"
    ]


def _groups_with_a_common_item(study: Study, groups: Sequence[Sequence[str]]) -> set[int]:
    """Return the numbers of the groups in which two models answered one item, so that they are two models."""
    number = {model: place for place, models in enumerate(groups) for model in models}
    responses = study.require("responses")
    rows = responses.loc[responses["model"].isin(list(number)), ["model", "item_id"]].astype(str).drop_duplicates()
    rows["group"] = rows["model"].map(number)
    return set(rows["group"][rows.duplicated(["group", "item_id"])])


def _is_named(frame: pd.DataFrame, column: str) -> bool:
    return isinstance(frame[column].dtype, pd.CategoricalDtype)


def _plain_form(name: str) -> str:
    if name.isascii():
        return " ".join(name.lower().split())
    visible = "".join(mark for mark in unicodedata.normalize("NFKC", name) if unicodedata.category(mark) != "Cf")
    return " ".join(visible.casefold().split())


def _sizes(study: Study) -> dict[str, int]:
    sizes = {str(table): len(frame) for table, frame in study.tables().items()}
    if study.responses is not None:
        sizes |= {
            "models": study.responses["model"].nunique(),
            "answered_items": study.responses["item_id"].nunique(),
        }
    if study.items is not None:
        sizes |= {"benchmarks": study.items["benchmark"].nunique(), "tasks": study.items["task"].nunique()}
    if study.demands is not None:
        sizes |= {
            "rubrics": study.demands["rubric"].nunique(),
            "annotators": study.demands["annotator"].nunique(),
        }
    return sizes


def _odd_files(study: Study) -> list[str]:
    return [f"{name} is not the file that study.json recorded" for name in study.edited]


def _odd_joins(all_joins: list[Join]) -> list[str]:
    return [
        f"{counted(len(join.missing), 'item id')} of {join.table} not in {join.other}: {first_few(join.missing)}"
        for join in all_joins
        if join.missing
    ]


def _odd_responses(study: Study) -> list[str]:
    if study.responses is None:
        return []
    odd: list[str] = []
    for axis, noun in (("model", "model"), ("item_id", "item")):
        means = study.responses.groupby(axis, observed=True)["score"].agg(["min", "max"])
        for value, word in ((0.0, "wrong"), (1.0, "right")):
            flat = means.index[(means["min"] == value) & (means["max"] == value)]
            if len(flat):
                have = "has" if len(flat) == 1 else "have"
                odd.append(f"{counted(len(flat), noun)} {have} every answer {word}: {first_few(map(str, flat))}")
    return [*odd, *_odd_blocks(study.responses)]


def _odd_blocks(responses: pd.DataFrame) -> list[str]:
    """Name groups of models that answered no item of the others."""
    model, models = pd.factorize(responses["model"].astype(str), sort=True)
    item, items = pd.factorize(responses["item_id"])
    cells = np.unique(np.stack([item, model]), axis=1)
    if np.bincount(cells[0]).max(initial=0) == len(models):
        return []  # one item that all models answered joins them
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    size = len(models) + len(items)
    links = coo_matrix((np.ones(len(model), dtype=bool), (model, item + len(models))), (size, size))
    count, label = connected_components(links, directed=False)
    if count < 2:
        return []
    smallest = np.flatnonzero(label[: len(models)] == np.bincount(label[: len(models)]).argmin())
    return [
        f"the models form {count} groups that share no item (one of them: {first_few(models[smallest], 3)}); models of"
        " different groups cannot be compared; one model under two names? --rename of 'import' and 'merge' unifies them"
    ]


def odd_confidences(study: Study) -> list[str]:
    """Name confidences that are no share: self-knowledge cannot use them."""
    odd: list[str] = []
    for name in (CONFIDENCE, AGREEMENT):
        if study.responses is None or name not in study.responses:
            continue
        cells = study.responses[name]
        value = pd.to_numeric(cells, errors="coerce")
        wrong = np.flatnonzero(cells.notna().to_numpy() & ~value.between(0, 1).to_numpy(dtype=bool, na_value=False))
        if len(wrong):
            percent = value.notna().sum() == cells.notna().sum() and 1 < value.max() <= 100 and value.min() >= 0
            remedy = "divide by 100" if percent else "write numbers from 0 to 1"
            first = f"row {wrong[0] + 1}: {cells.iloc[wrong[0]]}"
            odd.append(f"{counted(len(wrong), name)} of answers outside 0 to 1 (first {first}); {remedy}")
    return odd


def _unchecked_judges(study: Study) -> list[str]:
    """Name judges with few or no human labels; people are the judge `human` or `human:NAME`."""
    if study.responses is None:
        return []
    column = "judge" if "judge" in study.responses else "source" if _names_judges(study.responses) else ""
    if not column:
        return []
    judge = study.responses[column].astype(object)
    answer = pd.MultiIndex.from_frame(study.responses[["model", "item_id"]].astype(str))
    by_people = judge.map(lambda name: isinstance(name, str) and name.split(":")[0].lower() == HUMAN).to_numpy(bool)
    labelled = answer.isin(answer[by_people])
    checked = pd.Series(labelled).groupby(judge.where(~by_people).to_numpy()).agg(["sum", "size"])
    few = checked[checked["sum"] < FEWEST_CHECKED].sort_values("size", ascending=False, kind="stable")
    if few.empty:
        return []
    listed = [f"{name} ({of['sum']} of {of['size']} scores)" for name, of in few.iterrows()]
    return [
        f"people checked too little of what {len(few)} judge{'s' if len(few) > 1 else ''} scored: {first_few(listed)};"
        f" label {FEWEST_CHECKED} or more of these answers as judge '{HUMAN}', drawn by 'capscope judge plan --out'"
    ]


def _names_judges(responses: pd.DataFrame) -> bool:
    """Whether the column `source` says who scored: people by `human`, models by `judge` or `llm` and a name."""
    if "source" not in responses:
        return False
    names = responses["source"].dropna().astype(str).unique()
    kinds = {name.split(":")[0].lower() for name in names}
    return bool(kinds & SCORERS) and kinds <= SCORERS | {HUMAN}


def _odd_items(study: Study) -> list[str]:
    if study.items is None:
        return []
    odd = _odd_joins([join_items(study, "items", other) for other in ("responses", "demands") if _has(study, other)])
    certain = study.items["item_id"][study.items["chance"] >= 1] if "chance" in study.items else []
    if len(certain):
        odd.append(
            f"{counted(len(certain), 'item')} with a chance of guessing of 1, which count as open questions:"
            f" {first_few(map(str, certain))}"
        )
    empty = int(study.items["text"].isna().sum())
    if empty:
        odd.append(f"{counted(empty, 'item')} without a text")
    texts = study.items["text"].dropna()
    repeated = int(texts.duplicated().sum())
    if repeated:
        first = study.items.loc[texts.index[texts.duplicated()], "item_id"]
        odd.append(f"{counted(repeated, 'item')} with the text of another: {first_few(map(str, first))}")
    return odd


def _has(study: Study, table: str) -> bool:
    return any(name == table for name in study.tables())


def _ids(frame: pd.DataFrame) -> pd.Index:
    return pd.Index(frame["item_id"].unique()).astype(str)
