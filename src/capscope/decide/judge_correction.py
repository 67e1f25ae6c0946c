"""Mean scores by a judge model, corrected with a few human labels; refused where labels do not cover all answers."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from capscope.data import Study
from capscope.decide.judge_data import JudgedAnswers, judged_answers
from capscope.decide.judge_estimators import DEFAULT_JUDGE_ESTIMATOR, JUDGE_ESTIMATORS, JudgeEstimator, MeanEstimate
from capscope.decide.judge_labels import FEWEST_LABELS, LabelSheet, label_coverage, labels_to_give
from capscope.errors import InputError, nearest, refuse_absent_model

LEAST_VARIANCE = 0.05
"""Lower bound of the variance of labels, for planning: that at a mean score of 5 or 95 %."""


@dataclass(frozen=True)
class CorrectedScore:
    """Mean score of one model by its judge, and its corrected mean score; shares from 0 to 1."""

    model: str
    """Name of the model."""
    n_answers: int
    """Number of answers that the judge scored."""
    n_labels: int
    """Number of these with a human label."""
    judge_mean: float
    """Mean score by the judge."""
    score: float | None
    """The corrected mean; None where it is refused."""
    lower: float | None
    """Lower bound of the corrected mean."""
    upper: float | None
    """Upper bound of the corrected mean."""
    severity: float | None
    """Mean of judge minus label over the labelled answers; above 0 the judge is lenient."""
    further_labels: int | None
    """Number of further labels for the wanted width; 0 where it is reached, None where no width is given."""
    refused: str
    """Why there is no corrected mean; empty where there is one."""
    warnings: tuple[str, ...] = ()
    """Limitations of the correction, one line each."""


@dataclass(frozen=True)
class JudgeScores:
    """Corrected scores of all models of a study."""

    truth: str
    """Name of the judge whose labels are the truth."""
    estimator: str
    """Name of the estimator."""
    level: float
    """Coverage of the intervals."""
    scores: tuple[CorrectedScore, ...]
    """One for each model, in sorted order."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        models = {score.model: {k: v for k, v in asdict(score).items() if k != "model"} for score in self.scores}
        return {"truth": self.truth, "estimator": self.estimator, "level": self.level, "models": models}


def judge_scores(  # noqa: PLR0913 - all but the study are keywords with defaults
    study: Study | Path | str,
    truth: str = "human",
    *,
    judge: str | None = None,
    models: Sequence[str] = (),
    sheet: LabelSheet | None = None,
    estimator: str = DEFAULT_JUDGE_ESTIMATOR,
    width: float | None = None,
    level: float = 0.95,
) -> JudgeScores:
    """Correct the mean scores by a judge with human labels.

    Args:
        study: Responses with the facet `judge`; a study or its folder.
        truth: Name of the judge whose scores are the truth.
        judge: The judge to correct; by default the one with the most scores.
        models: Names of the models to correct; by default all.
        sheet: Labels and the chances they were drawn with, from `label_sheet`; None for an even draw.
        estimator: Name of an estimator; see `JUDGE_ESTIMATORS`.
        width: Wanted width of the intervals, as a share, for which the number of further labels is computed.
        level: Coverage of the intervals.

    Returns:
        Each model's mean score as judged and as corrected, with intervals.

    Raises:
        InputError: The study has no such judges, or there is no such estimator.
    """
    study = study if isinstance(study, Study) else Study.load(study)
    chosen = estimator_named(estimator)
    if width is not None and not 0 < width < 1:
        raise InputError(f"width {width:g} is no width of an interval; give a share between 0 and 1, such as 6pp")
    unlabelled = sheet is not None or width is not None
    judged = chosen_models(study, judged_answers(study, truth, judge, may_lack_truth=unlabelled), models, sheet)
    scores = tuple(_corrected(answers, chosen, sheet, width, level) for answers in judged)
    return JudgeScores(truth, estimator, level, scores)


def chosen_models(
    study: Study, judged: Iterable[JudgedAnswers], models: Sequence[str], sheet: LabelSheet | None
) -> list[JudgedAnswers]:
    """Select models by name, or all where no name is given; the models of a sheet must exist too.

    Args:
        study: The study, for messages.
        judged: Judged answers of each model.
        models: Names; empty for all.
        sheet: Sheet of labels, whose models must exist; None for none.

    Raises:
        InputError: One of them was not judged.
    """
    kept = list(judged)
    known = [answers.model for answers in kept]
    for name in (*models, *(sheet.models if sheet else ())):
        refuse_absent_model(study.name, name, known)
    return [answers for answers in kept if not models or answers.model in models]


def label_plan(  # noqa: PLR0913 - all but the study are keywords with defaults
    study: Study | Path | str,
    truth: str = "human",
    *,
    judge: str | None = None,
    models: Sequence[str] = (),
    sheet: LabelSheet | None = None,
    width: float = 0.06,
    labels: int | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Draw the answers that people should label next, with probabilities that increase with the prediction's variance.

    Args:
        study: Responses with the facet `judge`; a study or its folder.
        truth: Name of the judge whose scores are the truth; it need not have given any yet.
        judge: The judge to correct; by default the one with the most scores.
        models: Names of the models; by default all.
        sheet: An earlier plan with its labels so far.
        width: Wanted width of the intervals, as a share.
        labels: Number of labels to draw for each model; by default as many as the width requires.
        level: Coverage of the intervals.
        seed: Seed of the draw.

    Returns:
        Columns `model, item_id, judge_score, draw_chance, score`, and `text` where the study has it.

    Raises:
        InputError: The study has no such judges or models.
    """
    study = study if isinstance(study, Study) else Study.load(study)
    rng = np.random.default_rng(seed)
    judged = chosen_models(study, judged_answers(study, truth, judge, may_lack_truth=True), models, sheet)
    chosen = estimator_named(DEFAULT_JUDGE_ESTIMATOR)
    tables = []
    for answers in judged:
        known = answers if sheet is None else sheet.labelled(answers)[0]
        further = labels if labels is not None else _corrected(answers, chosen, sheet, width, level).further_labels
        tables.append(labels_to_give(study, known, further or 0, rng))
    return pd.concat(tables, ignore_index=True)


def estimator_named(name: str) -> JudgeEstimator:
    """Return an estimator.

    Raises:
        InputError: There is none of this name.
    """
    if name not in JUDGE_ESTIMATORS:
        hint = nearest(name, JUDGE_ESTIMATORS)
        raise InputError(f"unknown estimator '{name}'{hint}; use one of {', '.join(JUDGE_ESTIMATORS)}")
    return JUDGE_ESTIMATORS[name]


def _corrected(
    answers: JudgedAnswers,
    estimator: JudgeEstimator,
    sheet: LabelSheet | None,
    width: float | None,
    level: float,
) -> CorrectedScore:
    answers, missing = (answers, "") if sheet is None else sheet.labelled(answers)
    coverage = label_coverage(answers)
    answers, rows = coverage.answers, coverage.answers.labelled
    n, n_answers, mean = int(rows.sum()), len(answers.judge), float(answers.judge.mean())
    gap = answers.judge[rows] - answers.label[rows]
    severity = float(np.average(gap, weights=answers.weight)) if n else None
    warnings = tuple(text for text in (*coverage.warnings, missing) if text)
    if coverage.refused:
        further = None if width is None else _first_labels(answers, width, level)
        return CorrectedScore(
            answers.model, n_answers, n, mean, None, None, None, severity, further, coverage.refused, warnings
        )
    estimate = estimator.estimate(answers)
    further = None if width is None else further_labels(estimate, n, n_answers, width, level)
    bounds = estimate.interval(level)
    return CorrectedScore(answers.model, n_answers, n, mean, estimate.value, *bounds, severity, further, "", warnings)


def _first_labels(answers: JudgedAnswers, width: float, level: float) -> int:
    """Number of labels for a wanted width without information from the judge, where there are too few labels."""
    n, n_answers = int(answers.labelled.sum()), len(answers.judge)
    variance = max(float(answers.judge.mean() * (1 - answers.judge.mean())), LEAST_VARIANCE)
    half = width / 2 / float(ndtri(0.5 + level / 2))
    needed = int(np.ceil(variance / (half**2 + variance / n_answers)))
    return min(n_answers, max(needed, FEWEST_LABELS)) - n


def further_labels(estimate: MeanEstimate, n_labels: int, n_answers: int, width: float, level: float) -> int:
    """Number of further labels for an interval of the wanted width.

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
