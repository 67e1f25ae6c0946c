"""Evaluation of the judge estimators: most labels are hidden, and estimates compared with the mean of all labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from capscope.data import Study
from capscope.decide.judge_data import JudgedAnswers, judged_answers
from capscope.decide.judge_estimators import DEFAULT_JUDGE_ESTIMATOR, JUDGE_ESTIMATORS
from capscope.errors import InputError


@dataclass(frozen=True)
class JudgeEvaluation:
    """Error, coverage and width of every estimator, as shares."""

    labels: float
    """Share of the labels that the estimators could use."""
    n_models: int
    """Number of models."""
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
        return {
            "labels": self.labels,
            "n_models": self.n_models,
            "default": DEFAULT_JUDGE_ESTIMATOR,
            "estimators": estimators,
        }


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
    """Hide most labels, and compare every estimator with the mean of all labels.

    Args:
        study: Responses with the facet `judge`, most of them labelled; a study or its folder.
        truth: Name of the judge whose scores are the truth.
        judge: The judge to correct; by default the one with the most scores.
        labels: Share of the labels of each model that the estimators can use.
        seeds: Number of draws of labels.
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
