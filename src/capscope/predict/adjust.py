"""Settings of a prediction, and its post-processing: labels, benchmark effects, deferral, choice of one model."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from capscope.errors import InputError, first_few, nearest
from capscope.predict.features import AUTO
from capscope.predict.predictions import CellPredictions, Predictions
from capscope.predict.scores.benchmark import read_labels, read_past_effects, with_benchmark_effects
from capscope.predict.scores.benchmark_effect import EffectSd
from capscope.predict.scores.deferral import deferred
from capscope.predict.scores.expected import read_expected


@dataclass(frozen=True, kw_only=True)
class PredictionSettings:
    """Settings of a prediction."""

    model: str | None = None
    """Predict this model only."""
    annotator: str | None = None
    """Whose demand levels to use; by default the mean over annotators."""
    level: float = 0.9
    """Nominal coverage of the intervals."""
    seed: int = 0
    """Seed of the draws, and of everything random in an assessor."""
    residuals: Path | pd.DataFrame | None = None
    """Out-of-fold predictions of past benchmarks, from which the size of benchmark effects is estimated."""
    labels: Path | pd.DataFrame | None = None
    """Answers to some of the items to predict."""
    expected: Path | pd.DataFrame | None = None
    """Scores on whole benchmarks that are expected from elsewhere, such as those of `capscope forecast`."""
    confidences: Path | pd.DataFrame | None = None
    """Models' own confidence in answers to the items to predict; assessor `confidence` weighs it."""
    models: Path | pd.DataFrame | None = None
    """Facts about models, which predict the abilities of those with few answers or none; see `read_model_facts`."""
    defer_below: float | None = None
    """Mark chances below this one in a column `defer`."""
    deferral: pd.DataFrame | None = None
    """Threshold for each model below which chances are marked, see `scores.deferral.deferral_rules`."""
    explain: bool = False
    """Split the chances' log-odds into parts."""
    assessor: str | None = None
    """Assessor that learns from a study; by default `assessors.DEFAULT`. A fit predicts by itself."""
    embedder: str = AUTO
    """Name of the embedder that turns texts into vectors."""

    def __post_init__(self) -> None:
        """Validate the settings.

        Raises:
            InputError: `defer_below` lies outside [0, 1], `level` outside (0, 1), or rules of deferral are combined
                with what moves the chances that they were learnt on.
        """
        if self.deferral is not None:
            moves = {"labels": self.labels, "residuals": self.residuals, "expected": self.expected}
            given = [f"--{name}" for name, value in moves.items() if value is not None]
            given += ["--defer-below"] if self.defer_below is not None else []
            if given:
                raise InputError(f"--defer-risk holds for chances as evaluated, without {given[0]}; leave one out")
        if self.defer_below is not None and not 0 <= self.defer_below <= 1:
            raise InputError(f"--defer-below {self.defer_below:g} is not a chance; use a number from 0 to 1")
        if not 0 < self.level < 1:
            raise InputError(f"--level {self.level:g} is not a coverage; use a number between 0 and 1, such as 0.9")


@dataclass(frozen=True)
class Evidence:
    """What is known of the items' benchmarks besides the predictions."""

    past: EffectSd
    """Size of the effects of past benchmarks."""
    labels: pd.DataFrame | None
    """Answers to some of the items to predict."""
    expected: pd.DataFrame | None = None
    """Scores expected from elsewhere."""


def read_evidence(
    settings: PredictionSettings,
    models: tuple[str, ...],
    items: tuple[str, ...],
    benchmarks: tuple[str, ...],
    assessor: str | None = None,
) -> Evidence | None:
    """Validate the model asked for, and read residuals, labels and expected scores; None where none is given.

    Args:
        settings: Settings of the prediction.
        models: Models that can be predicted.
        items: Ids of the items to predict.
        benchmarks: Their benchmarks.
        assessor: Assessor whose residuals are needed; None for any.

    Raises:
        InputError: An unknown model, or a file that cannot be read or is about other models or items.
    """
    if settings.model is not None and settings.model not in models:
        hint = nearest(settings.model, models)
        raise InputError(f"there is no model '{settings.model}'{hint}; there are {first_few(models)}")
    if settings.residuals is None and settings.labels is None and settings.expected is None:
        return None
    labels = None if settings.labels is None else read_labels(settings.labels, models, items)
    expected = None if settings.expected is None else read_expected(settings.expected, models, benchmarks)
    return Evidence(read_past_effects(settings.residuals, assessor), labels, expected)


def adjusted(cells: CellPredictions, evidence: Evidence | None, settings: PredictionSettings) -> Predictions:
    """Apply benchmark effects and labels to the log-odds, then make the tables.

    Args:
        cells: Predictions of all models.
        evidence: Residuals, labels and expected scores; None leaves the predictions as they are.
        settings: Settings of the prediction.
    """
    if evidence is not None:
        cells = with_benchmark_effects(cells, evidence.past, evidence.labels, settings.seed, evidence.expected)
        cells = _with_one_score(cells)
    predictions = cells.tables(settings.model, settings.defer_below)
    if settings.deferral is None:
        return predictions
    rules = settings.deferral[settings.deferral["model"].isin(predictions.table["model"].astype(str))]
    table = predictions.table.assign(defer=deferred(predictions.table, rules))
    return replace(predictions, table=table, deferral=rules.reset_index(drop=True))


def _with_one_score(cells: CellPredictions) -> CellPredictions:
    """If all items are of one benchmark, use its score as the score on all items."""
    scores = cells.benchmark_scores
    if scores is None or scores["benchmark"].nunique() > 1:
        return cells
    return replace(cells, scores=scores[["model", "score", "lower", "upper"]])
