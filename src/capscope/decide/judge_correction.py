"""Scores that a judge model gave, corrected by a few labels of people; refused where the labels do not carry."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtri

from capscope.data import Study
from capscope.decide.judge_data import JudgedAnswers, judged_answers
from capscope.decide.judge_estimators import DEFAULT, JUDGE_ESTIMATORS, JudgeEstimator, MeanEstimate
from capscope.errors import InputError, nearest

FEWEST_LABELS = 30
"""Labels of one model under which its score is not corrected: the error of the correction is itself unknown."""

MOST_OUTSIDE = 0.05
"""Share of a model's judge scores that may lie beyond the labelled ones."""


@dataclass(frozen=True)
class CorrectedScore:
    """One model's mean score as its judge gave it and as people would; shares from 0 to 1."""

    model: str
    """Whose answers were scored."""
    n_answers: int
    """Answers that the judge scored."""
    n_labels: int
    """Answers among them that people labelled."""
    judge_mean: float
    """Mean score by the judge."""
    score: float | None
    """The corrected mean; None where it is refused."""
    lower: float | None
    """Lower bound of the corrected mean."""
    upper: float | None
    """Upper bound of the corrected mean."""
    severity: float | None
    """Judge's mean less the label's mean over the labelled answers; above 0 the judge is lenient."""
    further_labels: int | None
    """Labels beyond these for the wanted width; 0 where it is reached, None where none was asked for."""
    refused: str
    """Why there is no corrected mean; empty where there is one."""


@dataclass(frozen=True)
class JudgeScores:
    """Corrected scores of all models of a study."""

    truth: str
    """Whose labels are the truth."""
    estimator: str
    """How scores were corrected."""
    level: float
    """Coverage of the intervals."""
    scores: tuple[CorrectedScore, ...]
    """One for each model, in sorted order."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        models = {found.model: {k: v for k, v in asdict(found).items() if k != "model"} for found in self.scores}
        return {"truth": self.truth, "estimator": self.estimator, "level": self.level, "models": models}


def judge_scores(
    study: Study | Path | str,
    truth: str = "human",
    *,
    judge: str | None = None,
    estimator: str = DEFAULT,
    width: float | None = None,
    level: float = 0.95,
) -> JudgeScores:
    """Correct the mean scores that a judge gave by the labels of people.

    Args:
        study: Responses with the facet `judge`; a study or its folder.
        truth: Name of the judge whose scores are the truth.
        judge: The judge to correct; by default the one with the most scores.
        estimator: Name of an estimator; see `JUDGE_ESTIMATORS`.
        width: Wanted width of the intervals, as a share, for which the labels needed are named.
        level: Coverage of the intervals.

    Returns:
        Each model's mean score as judged and as corrected, with intervals.

    Raises:
        InputError: The study has no such judges, or there is no such estimator.
    """
    study = study if isinstance(study, Study) else Study.load(study)
    chosen = estimator_named(estimator)
    found = tuple(_corrected(answers, chosen, width, level) for answers in judged_answers(study, truth, judge))
    return JudgeScores(truth, estimator, level, found)


def estimator_named(name: str) -> JudgeEstimator:
    """Return an estimator.

    Raises:
        InputError: There is none of this name.
    """
    if name not in JUDGE_ESTIMATORS:
        hint = nearest(name, JUDGE_ESTIMATORS)
        raise InputError(f"unknown estimator '{name}'{hint}; use one of {', '.join(JUDGE_ESTIMATORS)}")
    return JUDGE_ESTIMATORS[name]


def _corrected(answers: JudgedAnswers, estimator: JudgeEstimator, width: float | None, level: float) -> CorrectedScore:
    rows, mean = answers.labelled, float(answers.judge.mean())
    n = int(rows.sum())
    severity = float((answers.judge[rows] - answers.label[rows]).mean()) if n else None
    refused = refusal(answers)
    if refused:
        return CorrectedScore(answers.model, len(answers.judge), n, mean, None, None, None, severity, None, refused)
    estimate = estimator.estimate(answers)
    further = None if width is None else further_labels(estimate, n, len(answers.judge), width, level)
    bounds = estimate.interval(level)
    return CorrectedScore(answers.model, len(answers.judge), n, mean, estimate.value, *bounds, severity, further, "")


def refusal(answers: JudgedAnswers) -> str:
    """Say why a score cannot be corrected; empty where it can.

    Args:
        answers: One model's judged answers.
    """
    rows = answers.labelled
    if rows.sum() < FEWEST_LABELS:
        return f"{int(rows.sum())} labels of this model; {FEWEST_LABELS} or more are needed"
    low, high = answers.judge[rows].min(), answers.judge[rows].max()
    outside = float(((answers.judge < low) | (answers.judge > high)).mean())
    if outside > MOST_OUTSIDE:
        return f"{100 * outside:.0f} % of the judge's scores lie beyond the labelled ones; label some of these"
    return ""


def further_labels(estimate: MeanEstimate, n_labels: int, n_answers: int, width: float, level: float) -> int:
    """Labels beyond these for an interval of the wanted width.

    Args:
        estimate: The estimate from the labels so far.
        n_labels: Labels so far.
        n_answers: Answers that could be labelled.
        width: Wanted width, as a share.
        level: Coverage of the interval.
    """
    left = 1 - n_labels / n_answers
    if left <= 0:
        return 0
    variance = estimate.se**2 * n_labels / left
    half = width / 2 / float(ndtri(0.5 + level / 2))
    needed = variance / (half**2 + variance / n_answers)
    return max(0, int(np.ceil(needed)) - n_labels)


@dataclass(frozen=True)
class JudgeEvaluation:
    """Errors of every estimator where the truth is known; shares."""

    labels: float
    """Share of the answers whose labels were shown."""
    n_models: int
    """Models measured."""
    errors: dict[str, dict[str, float]]
    """Mean absolute error, coverage and width of each estimator."""
    level: float
    """Coverage of the intervals."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        level = f"{100 * self.level:.0f}"
        estimators = {
            name: {
                "mae_pp": 100 * of["error"],
                f"coverage{level}": of["coverage"],
                f"width{level}_pp": 100 * of["width"],
            }
            for name, of in self.errors.items()
        }
        return {"labels": self.labels, "n_models": self.n_models, "default": DEFAULT, "estimators": estimators}


def evaluate_judge(  # noqa: PLR0913 - all but the study are keywords with defaults
    study: Study | Path | str,
    truth: str = "human",
    *,
    judge: str | None = None,
    labels: float = 0.1,
    seeds: int = 20,
    seed: int = 0,
    level: float = 0.95,
) -> JudgeEvaluation:
    """Hide most labels and measure how every estimator finds the mean of all of them.

    Args:
        study: Responses with the facet `judge`, most of them labelled; a study or its folder.
        truth: Name of the judge whose scores are the truth.
        judge: The judge to correct; by default the one with the most scores.
        labels: Share of the labelled answers of each model whose labels are shown.
        seeds: Draws of labels.
        seed: Seed of the draws.
        level: Coverage of the intervals.

    Returns:
        Error, coverage and width of every estimator.

    Raises:
        InputError: No model has enough labels to hide some.
    """
    study = study if isinstance(study, Study) else Study.load(study)
    if not 0 < labels < 1:
        raise InputError(f"labels {labels:g} is no share of the answers; give a number between 0 and 1, such as 0.1")
    rng = np.random.default_rng(seed)
    rows = [
        row
        for answers in judged_answers(study, truth, judge)
        for row in _trials(_labelled_only(answers), labels, seeds, level, rng)
    ]
    if not rows:
        raise InputError(
            f"{study.name}: no model has labels enough to show {100 * labels:g} % of them and hide the rest"
        )
    errors: dict[str, dict[str, float]] = {}
    for name in JUDGE_ESTIMATORS:
        of = np.array([row[2:] for row in rows if row[1] == name], float)
        errors[name] = dict(zip(("error", "coverage", "width"), of.mean(axis=0).tolist(), strict=True))
    return JudgeEvaluation(labels, len({row[0] for row in rows}), errors, level)


def _labelled_only(answers: JudgedAnswers) -> JudgedAnswers:
    rows = answers.labelled
    return JudgedAnswers(answers.model, answers.judge[rows], answers.label[rows], answers.features[rows])


def _trials(
    answers: JudgedAnswers, share: float, seeds: int, level: float, rng: np.random.Generator
) -> Iterator[tuple[str, str, float, bool, float]]:
    """Model, estimator, absolute error, whether covered, width, for each draw."""
    n_answers = len(answers.label)
    size = round(share * n_answers)
    if size < 2 or size >= n_answers:
        return
    truth = float(answers.label.mean())
    for _ in range(seeds):
        shown = answers.with_labels_at(rng.permutation(n_answers)[:size])
        for name, estimator in JUDGE_ESTIMATORS.items():
            estimate = estimator.estimate(shown)
            lower, upper = estimate.interval(level)
            yield answers.model, name, abs(estimate.value - truth), lower <= truth <= upper, upper - lower
