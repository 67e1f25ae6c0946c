"""Do the labelled answers cover the others: are there labels of this model, of every kind of item, of every score?

Labels correct a judge on answers like the labelled ones only. A kind of answers without labels is refused, unless even
draws would have missed it too; labels that lean towards some kinds are weighed by estimated chances, and it is said.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import hypergeom
from sklearn.linear_model import LogisticRegression

from capscope.decide.judge_data import JudgedAnswers
from capscope.errors import first_few
from capscope.profiles import corrected_p

FEWEST_LABELS = 30
"""Labels of one model under which its score is not corrected: the error of the correction is itself unknown."""

MOST_OUTSIDE = 0.05
"""Share of a model's answers that may lie beyond the labelled ones, in judge score or in kind."""

MISSED_BY_CHANCE = 0.001
"""Chance under which even draws would not have left a whole kind without labels."""

UNEVEN = 0.01
"""Chance, corrected for the number of kinds, under which labels are said to be drawn unevenly."""

PERMUTATIONS = 999
"""Even draws with which the labelled answers are compared."""

LEAST_CHANCE = 0.2
"""Smallest estimated chance, as a multiple of the mean chance: no label stands for more than five times the usual."""


@dataclass(frozen=True)
class LabelCoverage:
    """Whether labels carry to all of a model's answers."""

    answers: JudgedAnswers
    """The answers; with estimated chances where labels lean towards some kinds."""
    refused: str
    """Why the score cannot be corrected; empty where it can."""
    warnings: tuple[str, ...] = ()
    """What limits the correction."""


def label_coverage(answers: JudgedAnswers) -> LabelCoverage:
    """Say whether the labels of one model's answers carry to all of them.

    Args:
        answers: Judged answers of one model; labels with known chances cover by their draw.
    """
    refused = _refusal(answers)
    if refused or answers.chance is not None or answers.labelled.all():
        return LabelCoverage(answers, refused)
    uneven = uneven_kinds(answers)
    if not uneven:
        return LabelCoverage(answers, "")
    weighed = replace(answers, chance=_estimated_chances(answers))
    warning = (
        f"labels were not drawn evenly over {first_few(uneven)}; they are weighed by estimated chances, which is right"
        " only where nothing else decided what was labelled (draw them with 'capscope judge plan --out')"
    )
    return LabelCoverage(weighed, "", (warning,))


def _refusal(answers: JudgedAnswers) -> str:
    rows = answers.labelled
    if not rows.any():
        return f"no labels of this model; label {FEWEST_LABELS} or more of its answers (capscope judge plan --out)"
    if rows.sum() < FEWEST_LABELS:
        return f"{int(rows.sum())} labels of this model; {FEWEST_LABELS} or more are needed"
    if answers.chance is not None:  # every answer could have been drawn, so that none lies beyond the labels
        return ""
    low, high = answers.judge[rows].min(), answers.judge[rows].max()
    outside = float(((answers.judge < low) | (answers.judge > high)).mean())
    if outside > MOST_OUTSIDE:
        return f"{100 * outside:.0f} % of the judge's scores lie beyond the labelled ones; label some of these"
    for column in answers.kinds:
        without = _kinds_without_labels(answers.kinds[column], rows)
        if without:
            return f"no labels where {column} is {first_few(without)}; label some of these"
    return ""


def _kinds_without_labels(kind: pd.Series, labelled: np.ndarray) -> list[str]:
    """Kinds without any label that even draws would not have missed, where they are more than a few answers."""
    counts = pd.DataFrame({"kind": kind.to_numpy(), "labelled": labelled}).groupby("kind")["labelled"]
    table = counts.agg(["sum", "size"])
    empty = table[table["sum"] == 0]
    n, n_labels = len(kind), int(labelled.sum())
    missed = hypergeom.pmf(0, n, empty["size"].to_numpy(int), n_labels)
    odd = empty[missed < MISSED_BY_CHANCE]
    return [str(name) for name in odd.index] if odd["size"].sum() > MOST_OUTSIDE * n else []


def uneven_kinds(answers: JudgedAnswers) -> list[str]:
    """Columns of kinds over which labels are not an even draw, by permutation tests corrected for their number.

    Args:
        answers: Judged answers of one model.
    """
    columns = [name for name in answers.kinds if answers.kinds[name].nunique() > 1]
    if not columns or not 0 < answers.labelled.sum() < len(answers.label):
        return []
    rng = np.random.default_rng(0)
    p = np.array([_p_even(answers.kinds[name], answers.labelled, rng) for name in columns])
    return [str(name) for name, value in zip(columns, corrected_p(p, "holm"), strict=True) if value < UNEVEN]


def _p_even(kind: pd.Series, labelled: np.ndarray, rng: np.random.Generator) -> float:
    """P-value of Pearson's chi-square of labelled counts by kind, over even draws of as many labels."""
    size = pd.factorize(kind)[0]
    total = np.bincount(size)
    n_labels = int(labelled.sum())
    expected = total * n_labels / len(size)
    draws = rng.multivariate_hypergeometric(total, n_labels, size=PERMUTATIONS, method="marginals")
    seen = float((((np.bincount(size[labelled], minlength=len(total)) - expected) ** 2) / expected).sum())
    drawn = ((draws - expected) ** 2 / expected).sum(axis=1)
    return float((1 + (drawn >= seen - 1e-9).sum()) / (PERMUTATIONS + 1))


def _estimated_chances(answers: JudgedAnswers) -> Float[np.ndarray, " answer"]:
    """Chance of each answer to be labelled, by a ridge logistic regression on its kind and the judge's score."""
    table = pd.get_dummies(answers.kinds.astype(str), dtype=float)
    spread = float(answers.judge.std()) or 1.0
    table["judge"] = (answers.judge - answers.judge.mean()) / spread
    fitted = LogisticRegression(max_iter=1000).fit(table.to_numpy(), answers.labelled)
    chance = fitted.predict_proba(table.to_numpy())[:, 1]
    return np.clip(chance, LEAST_CHANCE * answers.labelled.mean(), 1.0)
