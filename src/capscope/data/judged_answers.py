"""Pooling of answers that several judges scored, with the effective number of verdicts.

Verdicts on one answer are correlated, so J of them have less information about the model than J answers. With residual
correlation rho they are worth ``J / (1 + (J - 1) rho)`` answers (design effect; Kish, 1965).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from capscope.data.study import Study
from capscope.data.tables import COSTS, TABLES

JUDGE = "judge"
FEWEST_AGENTS = 2
"""Fewest answers of an item for its mean by judge; with fewer, the mean over judges is subtracted."""


def one_answer_each(study: Study, facets: Sequence[str] = (), *, weighed: bool = True) -> Study:
    """Return the study with one row for each answer: the mean over its judges, with their effective number as trials.

    A study with one judge for each answer, or with judges as separate subjects, is returned unchanged.

    Args:
        study: A study with responses.
        facets: Facets that make subjects of one model; with `judge` among them, verdicts stay separate rows.
        weighed: Whether trials are multiplied by the effective number of verdicts; else they are the runs.
    """
    responses = study.require("responses")
    if JUDGE in facets or not _judged_twice(responses):
        return study
    keys = _answer_keys(responses)
    trials = responses["n_trials"].astype(float) if "n_trials" in responses else pd.Series(1.0, responses.index)
    rows = responses.assign(n_trials=trials, score=responses["score"] * trials, verdicts=1.0, total=trials)
    others = {name: "first" for name in rows if name not in (*keys, "score", "n_trials", "verdicts", "total", JUDGE)}
    others |= dict.fromkeys((name for name in COSTS if name in rows), "max")
    how = {"score": "sum", "total": "sum", "n_trials": "max", "verdicts": "sum", **others}
    one = rows.groupby(keys, sort=False, observed=True, as_index=False).agg(how)
    worth = one["verdicts"] / (1 + (one["verdicts"] - 1) * verdict_correlation(study)) if weighed else 1.0
    table = one.assign(score=(one["score"] / one["total"]).clip(0, 1), n_trials=one["n_trials"] * worth)
    table = table.drop(columns=["verdicts", "total"])
    return Study(study.items, table, study.demands, study.name, study.sources, study.edited)


def verdict_correlation(study: Study) -> float:
    """Correlation of two judges' verdicts on one answer, given the model and the item.

    Residuals are scores minus the means of model by judge and item by judge; an answer that only one of two judges
    scored counts as uncorrelated.

    Args:
        study: A study with responses.

    Returns:
        A share, 0 to 1; 0 where each answer has one judge.
    """
    responses = study.require("responses")
    if not _judged_twice(responses):
        return 0.0
    keys = _answer_keys(responses)
    score = responses["score"].astype(float)
    agent = [responses[name] for name in keys if name not in ("item_id", "run")]
    judge, item = responses[JUDGE], responses["item_id"]
    of_item = [item, judge] if agent[0].nunique() >= FEWEST_AGENTS else [item]
    residual = score - score.mean()
    for _ in range(3):
        residual = residual - residual.groupby([*agent, judge], observed=True).transform("mean")
        residual = residual - residual.groupby(of_item, observed=True).transform("mean")
    wide = pd.DataFrame({"answer": responses.groupby(keys, observed=True).ngroup(), "judge": judge, "r": residual})
    table = wide.pivot_table(index="answer", columns="judge", values="r", observed=True).fillna(0).to_numpy()
    products = table.T @ table
    size = np.sqrt(np.diag(products))
    pairs = np.triu_indices(len(size), 1)
    most = float(np.outer(size, size)[pairs].sum())
    return float(np.clip(products[pairs].sum() / most, 0, 1)) if most > 0 else 1.0


def _answer_keys(responses: pd.DataFrame) -> list[str]:
    """Columns that identify an answer, without the judge."""
    return [name for name in TABLES["responses"].key if name in responses and name != JUDGE]


def _judged_twice(responses: pd.DataFrame) -> bool:
    """Whether an answer has verdicts of several judges."""
    if JUDGE not in responses or responses[JUDGE].nunique() < 2:
        return False
    return bool(responses.duplicated(_answer_keys(responses)).any())
