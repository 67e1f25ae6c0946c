"""Answers with scores by judge models and, for a few of them, human labels."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from capscope.axes import Bool, Float
from capscope.data import Demands, Study
from capscope.decide.version_answers import labels_of
from capscope.errors import InputError, first_few, nearest

AnswerFloats = Float[np.ndarray, " answer"]

FLATTEST = 1e-9
"""Standard deviation below which a feature is constant and left out."""

BANDS = 5
"""Number of bands of judge scores in which labelled and unlabelled answers are compared."""

HIGH_DEMAND = 3.0
"""Smallest demand level of a demanding item."""

TASK_SCALE = 0.3
"""Prior standard deviation of the task's effect on the truth, given the judge's score."""


@dataclass(frozen=True)
class JudgedAnswers:
    """Answers of one model, each with a judge's score, some with a human label."""

    model: str
    """Name of the model."""
    judge: AnswerFloats
    """Score by the judge, in [0, 1]."""
    label: AnswerFloats
    """Human label, in [0, 1]; NaN without one."""
    features: Float[np.ndarray, "answer feature"]
    """Centred features of each answer: the judge's score, other judges' scores, labels of other models' answers to the
    item, the task."""
    items: tuple[str, ...] = ()
    """Item of each answer."""
    kinds: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Categories of each answer: `benchmark`, `task`, `judge score` in bands, `demand NAME` high or low."""
    chance: AnswerFloats | None = None
    """Probability of each answer to be labelled; None for a simple random sample."""

    @property
    def labelled(self) -> Bool[np.ndarray, " answer"]:
        """Whether each answer has a label."""
        return ~np.isnan(self.label)

    def with_labels_at(self, rows: np.ndarray) -> "JudgedAnswers":
        """Keep the labels of these rows only."""
        label = np.full(len(self.label), np.nan)
        label[rows] = self.label[rows]
        return replace(self, label=label)

    @property
    def weight(self) -> Float[np.ndarray, " label"]:
        """Weight of each labelled answer: the inverse of its probability."""
        n = int(self.labelled.sum())
        return np.full(n, len(self.label) / max(n, 1)) if self.chance is None else 1 / self.chance[self.labelled]


def judged_answers(
    study: Study, truth: str, judge: str | None = None, *, may_lack_truth: bool = False
) -> Iterator[JudgedAnswers]:
    """Lay out each model's judged answers.

    Args:
        study: Responses with the facet `judge`.
        truth: Name of the judge whose scores are the truth, such as `human`.
        judge: The judge to correct; by default the one with the most scores.
        may_lack_truth: Accept a study without any label, whose labels come from a sheet or are yet to be collected.

    Yields:
        The answers of one model, models in sorted order; answers without a judge's score are left out.

    Raises:
        InputError: The responses have no facet `judge`, or no such judge.
    """
    table = _truth_and_judges(study, truth, may_lack_truth)
    judge = judge or str(table.drop(columns=truth).notna().sum().idxmax())
    if judge not in table.columns or judge == truth:
        known = [str(name) for name in table.columns if name != truth]
        raise InputError(f"{study.name}: no responses by judge '{judge}'{nearest(judge, known)}")
    table = table[table[judge].notna()]
    kinds = _kinds(study, table)
    task = np.unique(kinds["task"].to_numpy(), return_inverse=True)[1]
    label_of_others = _label_of_other_models(table[truth])
    for model, rows in table.groupby(level="model", sort=True, observed=True):
        place = table.index.get_indexer(rows.index)
        others = rows.drop(columns=[truth, judge]).to_numpy(float)
        features = _features(rows[judge].to_numpy(float), others, task[place], label_of_others[place])
        of_kind = kinds.iloc[place].reset_index(drop=True)
        of_kind["judge score"] = _bands(rows[judge].to_numpy(float))
        items = tuple(map(str, rows.index.get_level_values("item_id")))
        yield JudgedAnswers(
            str(model), rows[judge].to_numpy(float), rows[truth].to_numpy(float), features, items, of_kind
        )


def scores_by_judge(study: Study) -> pd.DataFrame:
    """Scores with one row for each model and item and one column for each judge; repeats are pooled.

    Raises:
        InputError: The responses have no facet `judge`, or it is empty.
    """
    responses = study.require("responses")
    if "judge" not in responses:
        raise InputError(
            f"{study.name}: responses have no column judge, which says who scored; import it with the scores"
        )
    judges = sorted(map(str, responses["judge"].dropna().unique()))
    if not judges:
        raise InputError(f"{study.name}: column judge is empty; name who scored")
    trials = responses["n_trials"].astype(float) if "n_trials" in responses else pd.Series(1.0, responses.index)
    keys = [responses["model"].astype(str), responses["item_id"].astype(str), responses["judge"].astype(object)]
    right = (responses["score"].astype(float) * trials).groupby(keys, observed=True).sum()
    pooled = (right / trials.groupby(keys, observed=True).sum()).rename_axis(["model", "item_id", "judge"])
    return pooled.unstack("judge").sort_index()


def _truth_and_judges(study: Study, truth: str, may_lack_truth: bool) -> pd.DataFrame:
    table = scores_by_judge(study)
    judges = [str(name) for name in table]
    if truth not in judges and may_lack_truth:
        return table.assign(**{truth: np.nan})
    if truth not in judges:
        hint = nearest(truth, judges)
        raise InputError(
            f"{study.name}: no responses by judge '{truth}'{hint}; there are {first_few(judges)} (answers to label are"
            " drawn by 'capscope judge plan --out')"
        )
    if len(judges) < 2:
        raise InputError(f"{study.name}: '{truth}' is the only judge; there is nothing to correct")
    return table


def _kinds(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Benchmark, task and demands (high or low) of each answer; constant where the study has no such column."""
    items = table.index.get_level_values("item_id").astype(str)
    labels = labels_of(study, tuple(items))
    if study.demands is None:
        return labels
    demand = Demands.of(study)
    level = np.nan_to_num(demand.at(tuple(items)), nan=-1.0)
    for column, dim in enumerate(demand.dims):
        labels[f"demand {dim}"] = np.where(level[:, column] >= HIGH_DEMAND, "high", "low")
    return labels


def _bands(judge: AnswerFloats) -> np.ndarray:
    """Judge's scores in up to five bands of similar size."""
    if len(np.unique(judge)) <= BANDS:
        return np.array([f"{value:.3g}" for value in judge], object)
    edges = np.unique(np.quantile(judge, np.linspace(0, 1, BANDS + 1)[1:-1]))
    ends = [judge.min(), *edges, judge.max()]
    return np.array([f"{ends[band]:.2f} to {ends[band + 1]:.2f}" for band in np.searchsorted(edges, judge)], object)


def _label_of_other_models(label: pd.Series) -> AnswerFloats:
    """Mean label of other models' answers to the same item; NaN where there is none."""
    by_item = label.groupby(level="item_id")
    total, count = by_item.transform("sum").to_numpy(), by_item.transform("count").to_numpy(float)
    own = label.fillna(0).to_numpy()
    rest = count - label.notna().to_numpy()
    return np.divide(total - own, rest, out=np.full(len(label), np.nan), where=rest > 0)


def _features(
    judge: AnswerFloats,
    others: Float[np.ndarray, "answer judge"],
    task: np.ndarray,
    label_of_others: AnswerFloats,
) -> Float[np.ndarray, "answer feature"]:
    """Centred features without constant ones; gaps are filled with the mean."""
    columns = [judge, (judge - judge.mean()) ** 2, *others.T, label_of_others]
    columns += [TASK_SCALE * (task == value) for value in np.unique(task)]
    kept = [_centred(np.asarray(column, float)) for column in columns]
    kept = [column for column in kept if np.std(column) > FLATTEST]
    return np.column_stack(kept) if kept else np.zeros((len(judge), 0))


def _centred(column: AnswerFloats) -> AnswerFloats:
    known = ~np.isnan(column)
    if not known.any():
        return np.zeros(len(column))
    return np.where(known, column - column[known].mean(), 0.0)
