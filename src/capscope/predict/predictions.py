"""Chances of success on items nobody has run, item by item and for the whole set, from a fit."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from capscope.axes import FloatArray
from capscope.data import Demands
from capscope.display import html_table
from capscope.errors import InputError, first_few
from capscope.fit import FEW_ANSWERS, NEW_ITEM, CurvePosterior, IRTPosterior, draw_chances
from capscope.intervals import quantile_bounds
from capscope.predict.support import support_table


@dataclass(frozen=True)
class Predictions:
    """Predicted chances of success."""

    table: pd.DataFrame
    """Columns item_id, model, p, lower, upper, in_support: p is the chance of success, the bounds are its interval."""
    scores: pd.DataFrame
    """Columns model, score, lower, upper: the share of the items a model will get right, with its interval. What labels
    and past benchmarks say is in it where the items are of one benchmark, else in `benchmark_scores` alone."""
    support: pd.DataFrame
    """Columns item_id, in_support, answers, known, reason: see `support_table`."""
    level: float
    """Nominal coverage of the bounds."""
    benchmark_scores: pd.DataFrame | None = None
    """Columns model, benchmark, score, lower, upper, labels: scores whose interval carries the benchmark's own effect;
    None from a fit where nothing was said of past benchmarks and no labels were given."""
    parts: pd.DataFrame | None = None
    """Columns item_id, model, part, log_odds, sd: what made each chance; None where it was not asked for."""
    notes: tuple[str, ...] = ()
    """What a reader should know about the items, in a line each."""

    def _repr_html_(self) -> str:
        return html_table("Predicted scores", self.scores, f"Bounds of {self.level:.0%} intervals.")


def predict_from_curves(
    posterior: CurvePosterior, demands: Demands, rng: np.random.Generator, level: float = 0.9
) -> Predictions:
    """Predict every model's chance on every item from its demand levels.

    The interval of a chance covers what is unknown about the curves, about the levels themselves where their annotators
    state a standard deviation, and about how an item of these demands departs from its level's line. The interval of a
    score adds that each item is passed or failed as a whole.

    Args:
        posterior: A curve fit.
        demands: Levels of the items; columns are matched to the fit's dimensions by name.
        rng: Source of randomness.
        level: Nominal coverage of the intervals.

    Raises:
        InputError: A dimension of the fit is missing, or an item has no level on one.
    """
    matched = _align(posterior, demands)
    aligned = matched.level
    probability = expit(posterior.item_log_odds(aligned, rng, matched.sd))  # (model, item, draw)
    answers = posterior.support(aligned)
    table = chance_table(posterior.models, demands.items, probability, level)
    support = _support_table(demands.items, aligned, answers)
    table = table.merge(support[["item_id", "in_support"]], on="item_id", how="left")
    return Predictions(table, score_table(posterior.models, probability, rng, level), support, level)


def predict_from_irt(
    posterior: IRTPosterior, items: tuple[str, ...], rng: np.random.Generator, level: float = 0.9
) -> Predictions:
    """Predict every model's chance on every item from an item response fit without item features.

    An item of the fit is predicted with its own posterior; any other is drawn from the population of items, which the
    interval shows and `in_support` says.

    Args:
        posterior: An item response fit.
        items: Ids of the items.
        rng: Source of randomness.
        level: Nominal coverage of the intervals.
    """
    index = pd.Index(posterior.items).get_indexer(pd.Index(items))
    known = index != NEW_ITEM
    reason = np.where(known, "", "not an item of the fit: the population of items is all that is known")
    support = support_table(items, reason, known, np.where(known, np.inf, 0.0))
    tables: list[pd.DataFrame] = []
    scores: list[pd.DataFrame] = []
    for model, chance in zip(posterior.models, draw_chances(posterior, index, rng), strict=True):
        tables.append(chance_table((model,), items, chance[None], level))
        scores.append(score_table((model,), chance[None], rng, level))
    table = pd.concat(tables, ignore_index=True).merge(support[["item_id", "in_support"]], on="item_id", how="left")
    return Predictions(table, pd.concat(scores, ignore_index=True), support, level)


def score_table(
    models: tuple[str, ...], probability: FloatArray, rng: np.random.Generator, level: float
) -> pd.DataFrame:
    """Predict the share of items each model gets right, from draws of its chances (model, item, draw)."""
    passed = rng.random(probability.shape) < probability
    lower, upper = quantile_bounds(passed.mean(axis=1), level)
    return pd.DataFrame({"model": models, "score": probability.mean(axis=(1, 2)), "lower": lower, "upper": upper})


def chance_table(
    models: tuple[str, ...], items: tuple[str, ...], probability: FloatArray, level: float
) -> pd.DataFrame:
    """Lay chances (model, item, draw) out as a table of means and interval bounds."""
    lower, upper = quantile_bounds(probability, level)
    model, item = np.meshgrid(models, items, indexing="ij")
    columns = {"item_id": item, "model": model, "p": probability.mean(axis=-1), "lower": lower, "upper": upper}
    return pd.DataFrame({name: values.ravel() for name, values in columns.items()})


def _align(posterior: CurvePosterior, demands: Demands) -> Demands:
    missing = [dim for dim in posterior.dims if dim not in demands.dims]
    if missing:
        raise InputError(f"the items have no demands on {first_few(missing)}, which the fit needs; annotate them first")
    matched = demands.on(posterior.dims)
    gaps = np.flatnonzero(np.isnan(matched.level).any(axis=1))
    if len(gaps):
        unrated = [demands.items[gap] for gap in gaps]
        raise InputError(f"{len(unrated)} items lack some demand levels: {first_few(unrated)}; annotate them first")
    return matched


def _support_table(items: tuple[str, ...], level: FloatArray, answers: FloatArray) -> pd.DataFrame:
    top = level.max(axis=1)
    nothing, few = top < 0.5, answers < FEW_ANSWERS
    reason = np.select(
        [nothing, few],
        ["demands nothing on any dimension", f"fewer than {FEW_ANSWERS} answers per model at these demands"],
        default="",
    )
    return support_table(items, reason, np.zeros(len(items), dtype=bool), answers)
