"""Human labels of judged answers: which answers to label next, and whether the labels cover all answers.

Answers are drawn with known probabilities that increase with the variance of the prediction. Labels correct a judge
only on answers of the same kinds: a score is refused if a kind of answers has no label, unless a simple random sample
would often miss it too. Labels that over-represent some kinds are weighted by estimated probabilities, with a warning.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.axes import Float
from capscope.data import Study, checked_columns, read_table
from capscope.decide.judge_data import JudgedAnswers
from capscope.decide.judge_estimators import kernel_prediction
from capscope.decide.version_answers import capped_chances, draw
from capscope.display import ArrowTables
from capscope.errors import InputError, counted, first_few
from capscope.profiles import corrected_p

SAME = 1e-9
"""Largest difference of equal labels."""

LEAST_SPREAD = 0.1
"""Share of the mean variance that is added to the variance of every answer, so that no probability is near 0."""

LEAST_UNLEARNED = 0.5
"""The same with too few labels to estimate the variance from the judge's scores."""


FEWEST_DRAWN = 10
"""Fewest labels of drawn answers."""

FEWEST_LABELS = 30
"""Fewest labels of a model from which its score is corrected."""

MOST_OUTSIDE = 0.05
"""Largest share of a model's answers outside the range of judge scores, or the kinds, of the labelled ones."""

MISSED_BY_CHANCE = 0.001
"""Probability below which a simple random sample would not have missed a whole kind."""

UNEVEN = 0.01
"""Significance level, corrected for the number of kinds, of the test that labels are a simple random sample."""

PERMUTATIONS = 999
"""Number of permutations of that test."""

LEAST_CHANCE = 0.2
"""Smallest estimated probability, as a multiple of the mean: no weight is above five times the usual."""


@dataclass(frozen=True)
class LabelSheet(ArrowTables):
    """Table of answers to label and of labels so far, with the probability of each to be drawn."""

    table: pd.DataFrame
    """Columns `model, item_id, draw_chance, score`; the score is NaN until the answer is labelled."""
    path: str = ""
    """Path of the file; empty for a table in memory."""

    @property
    def models(self) -> list[str]:
        """Names of its models."""
        return list(dict.fromkeys(self.table["model"]))

    def labelled(self, answers: JudgedAnswers) -> tuple[JudgedAnswers, str]:
        """Add the sheet's labels and probabilities to one model's answers.

        Args:
            answers: Judged answers of one model; labels in the study are kept, and count as a simple random sample
                where the model is not in the sheet.

        Returns:
            The answers, and a warning where drawn answers have no label; empty where all have one.

        Raises:
            InputError: An answer has a label but no chance, or two labels that differ; or too few of the drawn answers
                have a label.
        """
        own = self.table[self.table["model"] == answers.model].set_index("item_id")
        if own.empty:
            return answers, ""
        label, chance = self._labels_and_chances(answers, own)
        drawn, done = ~np.isnan(chance), ~np.isnan(label)
        missing = int((drawn & ~done).sum())
        warning = (
            f"{missing} of {int(drawn.sum())} drawn answers have no label yet; the others stand for them"
            if missing and done.any()
            else ""
        )
        by_chance = drawn & (np.nan_to_num(chance, nan=1.0) < 1)
        if not done.all() and not (by_chance & done).any() and (drawn & done).any() and not by_chance.any():
            if not (drawn & ~answers.labelled).any():
                return answers, ""  # no draws beyond the study's labels
            raise InputError(
                f"{self.path}: every label of '{answers.model}' has chance 1, so that none stands for the"
                f" {counted(int((~done).sum()), 'answer')} without one;"
                " give the file that they were drawn with, filled in"
            )
        further = by_chance & ~answers.labelled  # without the labels from before the draw
        wanted, labelled = int(further.sum()), int((further & done).sum())
        if labelled < min(wanted, FEWEST_DRAWN):
            raise InputError(
                f"{self.path}: {labelled} of {wanted} drawn answers of '{answers.model}' have a label, which stand for"
                f" all answers without one; fill in the scores of {min(wanted, FEWEST_DRAWN)} or more"
            )
        # missing labels of drawn answers are assumed missing at random
        response = (by_chance & done).sum() / max(by_chance.sum(), 1)
        scaled = np.where(drawn, np.where(chance < 1, chance * response, chance), 1.0)
        return replace(answers, label=label, chance=scaled), warning

    def _labels_and_chances(self, answers: JudgedAnswers, own: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return label and probability of each answer, NaN where there is none; refuse contradictions."""
        items = pd.Index(answers.items)
        unknown = own.index.difference(items)
        if len(unknown):
            raise InputError(
                f"{self.path}: item '{unknown[0]}' of '{answers.model}' is no answer that the judge scored"
            )
        chance = own["draw_chance"].reindex(items).to_numpy(float)
        given = own["score"].reindex(items).to_numpy(float)
        both = ~np.isnan(given) & answers.labelled
        differ = both & (np.abs(np.where(both, given - answers.label, 0)) > SAME)
        if differ.any():
            item = answers.items[int(np.flatnonzero(differ)[0])]
            raise InputError(f"{self.path}: item '{item}' of '{answers.model}' has another label in the study")
        label = np.where(np.isnan(given), answers.label, given)
        without = ~np.isnan(label) & np.isnan(chance)
        if without.any():
            item = answers.items[int(np.flatnonzero(without)[0])]
            raise InputError(
                f"{self.path}: names no chance for item '{item}' of '{answers.model}', which is labelled; give the file"
                " that all labels were drawn with"
            )
        return label, chance


def label_sheet(path: Path | str) -> LabelSheet:
    """Read the table of answers to label.

    Args:
        path: The table.

    Returns:
        A row for each answer to label.

    Raises:
        InputError: The file cannot be read, or its columns are not those of a draw.
    """
    table = read_table(Path(path))
    if "score" not in table:
        raise InputError(f"{path}: column 'score' is missing; make the file with 'capscope judge plan --out'")
    checked = checked_columns(
        table,
        str(path),
        names=["model", "item_id"],
        numbers={"draw_chance": (1e-12, 1.0)},
        remedy="make the file with 'capscope judge plan --out'",
    )
    score = pd.to_numeric(table["score"], errors="coerce")
    wrong = table["score"].notna() & (table["score"].astype(str).str.strip() != "") & ~score.between(0, 1)
    if wrong.any():
        row = int(np.flatnonzero(wrong.to_numpy())[0])
        raise InputError(f"{path}: row {row + 1}: score '{table['score'].iloc[row]}' is no label from 0 to 1")
    twice = checked.duplicated(["model", "item_id"])
    if twice.any():
        raise InputError(f"{path}: row {int(np.flatnonzero(twice.to_numpy())[0]) + 1} repeats an answer")
    return LabelSheet(checked[["model", "item_id", "draw_chance"]].assign(score=score.to_numpy(float)), str(path))


def labels_to_give(study: Study, answers: JudgedAnswers, wanted: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw further answers of one model to label.

    Args:
        study: The study, for the texts of its items.
        answers: Judged answers of one model.
        wanted: Number of further labels.
        rng: Source of randomness.

    Labels of a simple random sample get the joint probability of both draws; other labels, such as those of an earlier
    plan, count as certain, so that the further draw represents the rest alone.

    Returns:
        Columns `model, item_id, judge_score, draw_chance, score` and, where the study has it, `text`: answers to label
        first, their score empty, then those labelled already.
    """
    done = answers.labelled
    open_rows = np.flatnonzero(~done)
    size = min(wanted, len(open_rows))
    chance = np.ones(len(done))
    drawn = np.zeros(len(done), bool)
    if size:
        gain = np.sqrt(_variance(answers))
        further = capped_chances(gain[open_rows], size)
        drawn[open_rows[draw(further, rng)]] = True
        chance[open_rows] = further
        if answers.chance is None and done.any() and not uneven_kinds(answers):
            first = done.mean()
            per_gain = float(np.median(further / gain[open_rows]))
            chance = np.where(done, np.minimum(1.0, per_gain * gain), chance)
            chance = first + (1 - first) * chance
    rows = np.concatenate([np.flatnonzero(drawn), np.flatnonzero(done)])
    items = np.array(answers.items, object)[rows]
    table = pd.DataFrame(
        {
            "model": answers.model,
            "item_id": items,
            "judge_score": answers.judge[rows],
            "draw_chance": chance[rows],
            "score": answers.label[rows],
        }
    )
    if study.items is not None:
        text = study.items.set_index(study.items["item_id"].astype(str))["text"]
        table["text"] = text.reindex(items).to_numpy()
    return table


def _variance(answers: JudgedAnswers) -> Float[np.ndarray, " answer"]:
    """Estimated variance of the true score of each answer given the prediction, plus a share of its mean.

    With labels it is linear in h (1 - h), with h the predicted label, and fitted to out-of-sample squared errors.
    """
    rows = answers.labelled
    if rows.sum() < FEWEST_LABELS:
        variance, least = answers.judge * (1 - answers.judge), LEAST_UNLEARNED
    else:
        from scipy.optimize import nnls

        prediction, least = kernel_prediction(answers), LEAST_SPREAD
        mean = np.clip(prediction.fitted, 0.0, 1.0)
        design = np.column_stack([np.ones(len(mean)), mean * (1 - mean)])
        variance = design @ nnls(design[rows], prediction.error**2)[0]
    whole = float(variance.mean())
    return variance + least * whole if whole > 0 else np.ones(len(variance))


@dataclass(frozen=True)
class LabelCoverage:
    """Whether the labels represent all of a model's answers."""

    answers: JudgedAnswers
    """The answers; with estimated probabilities where labels over-represent some kinds."""
    refused: str
    """Why the score cannot be corrected; empty where it can."""
    warnings: tuple[str, ...] = ()
    """What limits the correction."""


def label_coverage(answers: JudgedAnswers) -> LabelCoverage:
    """Check whether the labels of one model represent all of its answers.

    Args:
        answers: Judged answers of one model; labels with known probabilities always do.
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
        return f"{counted(int(rows.sum()), 'label')} of this model; {FEWEST_LABELS} or more are needed"
    if answers.chance is not None:  # every answer had a positive probability to be labelled
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
    """Kinds of more than a few answers without a label that a simple random sample would not have missed."""
    counts = pd.DataFrame({"kind": kind.to_numpy(), "labelled": labelled}).groupby("kind")["labelled"]
    table = counts.agg(["sum", "size"])
    empty = table[table["sum"] == 0]
    if empty.empty:
        return []
    from scipy.stats import hypergeom

    n, n_labels = len(kind), int(labelled.sum())
    missed = hypergeom.pmf(0, n, empty["size"].to_numpy(int), n_labels)
    odd = empty[missed < MISSED_BY_CHANCE]
    return [str(name) for name in odd.index] if odd["size"].sum() > MOST_OUTSIDE * n else []


def uneven_kinds(answers: JudgedAnswers) -> list[str]:
    """Columns of kinds over which the labels are not a simple random sample, by corrected permutation tests.

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
    """Permutation p-value of Pearson's chi-square of labelled counts by kind."""
    size = pd.factorize(kind)[0]
    total = np.bincount(size)
    n_labels = int(labelled.sum())
    expected = total * n_labels / len(size)
    draws = rng.multivariate_hypergeometric(total, n_labels, size=PERMUTATIONS, method="marginals")
    seen = float((((np.bincount(size[labelled], minlength=len(total)) - expected) ** 2) / expected).sum())
    drawn = ((draws - expected) ** 2 / expected).sum(axis=1)
    return float((1 + (drawn >= seen - 1e-9).sum()) / (PERMUTATIONS + 1))


def _estimated_chances(answers: JudgedAnswers) -> Float[np.ndarray, " answer"]:
    """Probability of each answer to be labelled, by a ridge logistic regression on its kinds and the judge's score."""
    table = pd.get_dummies(answers.kinds.astype(str), dtype=float)
    spread = float(answers.judge.std()) or 1.0
    table["judge"] = (answers.judge - answers.judge.mean()) / spread
    from sklearn.linear_model import LogisticRegression  # scikit-learn takes a second to load

    fitted = LogisticRegression(max_iter=1000).fit(table.to_numpy(), answers.labelled)
    chance = fitted.predict_proba(table.to_numpy())[:, 1]
    return np.clip(chance, LEAST_CHANCE * answers.labelled.mean(), 1.0)
