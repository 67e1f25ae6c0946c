"""The demand-ability model on a study: its items' demands, tasks, benchmarks and chances of a guess."""

import numpy as np
import pandas as pd

from capscope.data import Demands, Responses, Study, join_items, known_levels, task_labels
from capscope.fit.demand.basis import DemandItems
from capscope.fit.demand.model import DemandSettings, fit_demand
from capscope.fit.demand.posterior import DemandPosterior
from capscope.fit.result import Fit

MOST_FLOOR = 0.95
"""Largest chance of a guess: above, an item tells nothing."""


def fit_demand_study(study: Study, annotator: str | None = None, seed: int = 0) -> Fit[DemandPosterior]:
    """Fit the demand-ability model to a study's responses and demands.

    Args:
        study: A study with responses and demands.
        annotator: Whose demand levels to use; by default the fused ones, else the mean over annotators.
        seed: Seed of everything random.

    Raises:
        InputError: A table is missing, or no such annotator.
        JoinError: Responses and demands do not talk about the same items.
        FitError: The data cannot support the model.
    """
    join_items(study, "responses", "demands").refuse_if_poor(study.name)
    responses, dims = Responses.of(study), Demands.of(study, annotator).dims
    items = demand_items(study, responses.items, dims, annotator)
    return fit_demand(responses, items, dims, DemandSettings(seed=seed))


def asked_items(
    posterior: DemandPosterior, study: Study, ids: tuple[str, ...], annotator: str | None = None
) -> DemandItems:
    """Lay out the items of a study for a fit; a gap holds the fit's mean level, and the fit's spread as its doubt.

    Args:
        posterior: A fit.
        study: A study with items and demands on all the fit's dimensions.
        ids: Ids of the items.
        annotator: Whose demand levels to use.

    Raises:
        InputError: A dimension of the fit is missing.
    """
    typical = posterior.levels.mean(axis=0), posterior.levels.std(axis=0)
    return demand_items(study, ids, posterior.dims, annotator, typical)


def demand_items(
    study: Study,
    ids: tuple[str, ...],
    dims: tuple[str, ...],
    annotator: str | None = None,
    typical: tuple[np.ndarray, np.ndarray] | None = None,
) -> DemandItems:
    """Lay out some items of a study as the demand-ability model sees them; see `known_levels` for gaps."""
    level, sd = known_levels(study, ids, annotator, dims, typical)
    if study.items is None:
        return DemandItems(level, sd, None, ("",) * len(ids), ("",) * len(ids), np.zeros(len(ids)))
    table = study.items.assign(label=task_labels(study.items)).set_index(study.items["item_id"].astype(str))
    table = table.reindex(list(ids))
    floor = table["chance"].astype(float).fillna(0).to_numpy() if "chance" in table else np.zeros(len(ids))
    return DemandItems(level, sd, None, _names(table["label"]), _names(table["benchmark"]), floor.clip(0, MOST_FLOOR))


def _names(labels: pd.Series) -> tuple[str, ...]:
    return tuple(labels.astype(object).where(labels.notna(), "").astype(str))
