"""Chances on items from a stored fit of any kind."""

from dataclasses import replace

import numpy as np
import pandas as pd

from capscope.data import Demands, Study
from capscope.fit import CurvePosterior, DemandPosterior, IRTPosterior, asked_items
from capscope.predict.demand_predictions import demand_parts, predict_from_demand
from capscope.predict.finishing import PredictionSettings, finished, read_evidence
from capscope.predict.parts import curve_parts, irt_parts
from capscope.predict.predictions import Predictions, predict_from_curves, predict_from_irt

AnyPosterior = CurvePosterior | DemandPosterior | IRTPosterior


def predict_from_fit(posterior: AnyPosterior, study: Study, settings: PredictionSettings) -> Predictions:
    """Predict the chances of a fit's models on the items of a study.

    Args:
        posterior: A fit of any kind.
        study: The items, with demands where the fit needs them.
        settings: What to predict and how.

    Raises:
        InputError: An unknown model, a file that cannot be read, or missing demands.
    """
    evidence = read_evidence(settings, posterior.models, item_ids(study))
    found = _predicted(posterior, study, settings)
    return finished(found, _benchmarks(study, found), evidence, settings)


def item_ids(study: Study) -> tuple[str, ...]:
    """Return the sorted ids of a study's items, from whichever table names them."""
    table = next(iter(study.tables().values()))
    return tuple(sorted(table["item_id"].astype(str).unique()))


def _predicted(posterior: AnyPosterior, study: Study, settings: PredictionSettings) -> Predictions:
    rng = np.random.default_rng(settings.seed)
    if isinstance(posterior, CurvePosterior):
        demands = Demands.of(study, settings.annotator)
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
