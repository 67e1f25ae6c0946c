"""From a stored fit and a file of items to predictions."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.data import Study, demand_matrix, read_items
from capscope.errors import InputError, first_few, nearest
from capscope.fit import AnyFit, CurvePosterior, DemandPosterior, IRTPosterior, asked_items, load_fit
from capscope.predict.benchmark_scores import read_labels, read_spread, with_benchmark_effects
from capscope.predict.demand_predictions import demand_parts, predict_from_demand
from capscope.predict.parts import curve_parts, irt_parts
from capscope.predict.predictions import Predictions, predict_from_curves, predict_from_irt


def predict_items(
    fit: Path, items: Path, *, model: str | None = None, annotator: str | None = None, level: float = 0.9, seed: int = 0
) -> Predictions:
    """Predict the chances of a fit's models on the items of a study folder or file.

    Args:
        fit: Folder of a fit.
        items: A study folder, or a file of items with their demands.
        model: One model only.
        annotator: Whose demand levels to use; by default the mean over annotators.
        level: Nominal coverage of the intervals.
        seed: Seed of the draws.

    Raises:
        InputError: The fit, the items or the model cannot be found, or demands are missing.
    """
    return predict_set(fit, items, PredictionSettings(model, annotator, level, seed))


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
    """Seed of the draws."""
    residuals: Path | None = None
    """Out-of-fold predictions by benchmark: how far past benchmarks departed from what was predicted of them."""
    labels: Path | None = None
    """Answers to some of the items."""
    defer_below: float | None = None
    """Mark chances below this to be deferred."""
    explain: bool = False
    """Whether to part the chances' log-odds."""

    def __post_init__(self) -> None:
        """Refuse a chance that is none.

        Raises:
            InputError: `defer_below` lies outside [0, 1].
        """
        if self.defer_below is not None and not 0 <= self.defer_below <= 1:
            raise InputError(f"--defer-below {self.defer_below:g} is not a chance; use a number from 0 to 1")


def predict_set(fit: Path, items: Path, settings: PredictionSettings) -> Predictions:
    """Predict the chances of a fit's models on a set of items, and their scores on its benchmarks.

    Args:
        fit: Folder of a fit.
        items: A study folder, or a file of items with their demands.
        settings: What to predict and how.

    Raises:
        InputError: The fit, the items, the model or a file cannot be found or read, or demands are missing.
    """
    fitted: AnyFit = load_fit(fit)
    posterior = fitted.posterior
    study = read_items(items, () if isinstance(posterior, IRTPosterior) else posterior.dims)
    found = _predicted(posterior, study, settings)
    if settings.residuals is not None or settings.labels is not None:
        labels = None if settings.labels is None else read_labels(settings.labels, found)
        spread = read_spread(settings.residuals)
        found = with_benchmark_effects(found, _benchmarks(study, found), spread, labels, settings.seed)
    if settings.defer_below is not None:
        found = replace(found, table=found.table.assign(defer=found.table["p"] < settings.defer_below))
    return found if settings.model is None else only_model(found, settings.model, posterior.models)


def _predicted(
    posterior: CurvePosterior | DemandPosterior | IRTPosterior, study: Study, settings: PredictionSettings
) -> Predictions:
    rng = np.random.default_rng(settings.seed)
    if isinstance(posterior, CurvePosterior):
        demands = demand_matrix(study, settings.annotator)
        found = predict_from_curves(posterior, demands, rng, settings.level)
        level = demands.on(posterior.dims).level
        return replace(found, parts=curve_parts(posterior, demands.items, level)) if settings.explain else found
    ids = item_ids(study)
    if isinstance(posterior, DemandPosterior):
        items = asked_items(posterior, study, ids, settings.annotator)
        found = predict_from_demand(posterior, items, ids, rng, settings.level)
        return replace(found, parts=demand_parts(posterior, items, ids)) if settings.explain else found
    found = predict_from_irt(posterior, ids, rng, settings.level)
    return replace(found, parts=irt_parts(posterior, ids)) if settings.explain else found


def _benchmarks(study: Study, found: Predictions) -> pd.Series:
    """Benchmark of each predicted item."""
    ids = found.support["item_id"].astype(str)
    if study.items is None:
        return pd.Series("all", index=ids)
    named = study.items.set_index(study.items["item_id"].astype(str))["benchmark"].astype(str)
    return named.reindex(ids).fillna("all")


def item_ids(study: Study) -> tuple[str, ...]:
    """Return the sorted ids of a study's items, from whichever table names them."""
    table = next(iter(study.tables().values()))
    return tuple(sorted(table["item_id"].astype(str).unique()))


def only_model(found: Predictions, model: str, known: tuple[str, ...]) -> Predictions:
    """Keep one model's predictions.

    Raises:
        InputError: The fit has no such model.
    """
    if model not in known:
        raise InputError(f"the fit has no model '{model}'{nearest(model, known)}; it has {first_few(known)}")
    return Predictions(
        _of_model(found.table, model),
        _of_model(found.scores, model),
        found.support,
        found.level,
        None if found.benchmark_scores is None else _of_model(found.benchmark_scores, model),
        None if found.parts is None else _of_model(found.parts, model),
    )


def _of_model(table: pd.DataFrame, model: str) -> pd.DataFrame:
    return table[table["model"] == model].reset_index(drop=True)
