"""What is asked of a set of predictions, and the steps that end all: labels, past benchmarks, what to defer."""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from capscope.errors import InputError, first_few, nearest
from capscope.predict.benchmark_scores import read_labels, read_spread, with_benchmark_effects
from capscope.predict.features import AUTO
from capscope.predict.offsets import OffsetSpread
from capscope.predict.predictions import Predictions


@dataclass(frozen=True)
class PredictionSettings:
    """How to predict a set of items."""

    model: str | None = None
    """One model only."""
    annotator: str | None = None
    """Whose demand levels to use; by default the mean over annotators."""
    level: float = 0.9
    """Nominal coverage of the intervals."""
    seed: int = 0
    """Seed of the draws, and of all that is random in an assessor."""
    residuals: Path | None = None
    """Out-of-fold predictions by benchmark: how far past benchmarks departed from what was predicted of them."""
    labels: Path | None = None
    """Answers to some of the items."""
    defer_below: float | None = None
    """Mark chances below this to be deferred."""
    explain: bool = False
    """Whether to part the chances' log-odds."""
    assessor: str | None = None
    """Which assessor learns from a study; by default `assessors.DEFAULT`. A fit predicts by itself."""
    embedder: str = AUTO
    """How an assessor turns texts into vectors."""

    def __post_init__(self) -> None:
        """Refuse a chance that is none.

        Raises:
            InputError: `defer_below` lies outside [0, 1].
        """
        if self.defer_below is not None and not 0 <= self.defer_below <= 1:
            raise InputError(f"--defer-below {self.defer_below:g} is not a chance; use a number from 0 to 1")


@dataclass(frozen=True)
class Evidence:
    """What is known of the asked benchmarks beside the predictions."""

    spread: OffsetSpread
    """How far past benchmarks departed from what was predicted of them."""
    labels: pd.DataFrame | None
    """Answers to some of the asked items."""


def read_evidence(
    settings: PredictionSettings, models: tuple[str, ...], items: tuple[str, ...], assessor: str | None = None
) -> Evidence | None:
    """Check what was asked for, and read the files it names; None where there are none.

    Args:
        settings: What to predict and how.
        models: Models that can be predicted.
        items: Ids of the items that will be.
        assessor: Whose residuals they have to be; None for any.

    Raises:
        InputError: An unknown model, or a file that cannot be read or speaks of other models or items.
    """
    if settings.model is not None and settings.model not in models:
        hint = nearest(settings.model, models)
        raise InputError(f"there is no model '{settings.model}'{hint}; there are {first_few(models)}")
    if settings.residuals is None and settings.labels is None:
        return None
    labels = None if settings.labels is None else read_labels(settings.labels, models, items)
    return Evidence(read_spread(settings.residuals, assessor), labels)


def finished(
    found: Predictions, benchmark: pd.Series, evidence: Evidence | None, settings: PredictionSettings
) -> Predictions:
    """Let evidence move scores and chances, mark what to defer, and keep the model asked for.

    Args:
        found: Predictions of all models; where there is evidence, their intervals carry no effect of a benchmark.
        benchmark: Benchmark by item id.
        evidence: What is known of the benchmarks beside.
        settings: What was asked for.
    """
    if evidence is not None:
        found = _with_one_score(
            with_benchmark_effects(found, benchmark, evidence.spread, evidence.labels, settings.seed)
        )
    if settings.defer_below is not None:
        found = replace(found, table=found.table.assign(defer=found.table["p"] < settings.defer_below))
    return found if settings.model is None else _only_model(found, settings.model)


def _with_one_score(found: Predictions) -> Predictions:
    """Where all items are of one benchmark, the score on all of them is its score."""
    scores = found.benchmark_scores
    if scores is None or scores["benchmark"].nunique() > 1:
        return found
    return replace(found, scores=scores[["model", "score", "lower", "upper"]])


def _only_model(found: Predictions, model: str) -> Predictions:
    return replace(
        found,
        table=_of_model(found.table, model),
        scores=_of_model(found.scores, model),
        benchmark_scores=None if found.benchmark_scores is None else _of_model(found.benchmark_scores, model),
        parts=None if found.parts is None else _of_model(found.parts, model),
    )


def _of_model(table: pd.DataFrame, model: str) -> pd.DataFrame:
    return table[table["model"] == model].reset_index(drop=True)
