"""Chances on items from a stored fit of any kind: curves, an item response model, or the demand-ability model."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from capscope.axes import FloatArray, RowFloats
from capscope.data import Demands, Study, typical_levels, with_gaps_filled
from capscope.errors import InputError, counted, first_few
from capscope.fit import (
    FEW_ANSWERS,
    NEW_ITEM,
    CurvePosterior,
    DemandItems,
    DemandPosterior,
    IRTPosterior,
    Posterior,
    draw_demand_chances,
)
from capscope.intervals import quantile_bounds
from capscope.predict.adjust import PredictionSettings, adjusted, read_evidence
from capscope.predict.assessor import Chances
from capscope.predict.demand_model import as_chances
from capscope.predict.features import NEAR, nearness_to, support_table
from capscope.predict.layout import NO_LEVELS, UNNAMED_BENCHMARK
from capscope.predict.predictions import CellPredictions, Predictions, score_table


def predict_from_fit(posterior: Posterior, study: Study, settings: PredictionSettings) -> Predictions:
    """Predict the chances of a fit's models on the items of a study.

    Args:
        posterior: A fit of any kind.
        study: The items, with demands where the fit needs them.
        settings: Settings of the prediction.

    Raises:
        InputError: An unknown model, a file that cannot be read, or missing demands.
    """
    ids = item_ids(study)
    benchmarks = tuple(sorted(set(_benchmarks(study, ids))))
    evidence = read_evidence(settings, posterior.models, ids, benchmarks)
    rng = np.random.default_rng(settings.seed)
    cells = _CELLS[posterior.kind](posterior, study, ids, settings, rng)
    return adjusted(replace(cells, benchmark=_benchmarks(study, cells.items)), evidence, settings)


def item_ids(study: Study) -> tuple[str, ...]:
    """Return the sorted ids of a study's items, from whichever table names them."""
    table = next(iter(study.tables().values()), None)
    if table is None:
        raise InputError(f"{study.name}: there are no items to predict; give a table of items")
    return tuple(sorted(table["item_id"].astype(str).unique()))


def predict_from_curves(
    posterior: CurvePosterior, demands: Demands, rng: np.random.Generator, level: float = 0.9
) -> Predictions:
    """Predict every model's chance on every item from its demand levels.

    The interval of a chance covers the uncertainty of the curves, of the levels where their annotators state a standard
    deviation, and of the item's own effect. The interval of a score adds that each item is passed or failed as a whole.

    Args:
        posterior: A curve fit.
        demands: Levels of the items; columns are matched to the fit's dimensions by name.
        rng: Source of randomness.
        level: Nominal coverage of the intervals.

    Returns:
        Chances and scores with intervals.

    Raises:
        InputError: A dimension of the fit is missing, or an item has no level on one.
    """
    return _curve_cells(posterior, demands, rng, level).tables()


def predict_from_irt(
    posterior: IRTPosterior, items: tuple[str, ...], rng: np.random.Generator, level: float = 0.9
) -> Predictions:
    """Predict every model's chance on every item from an item response fit without item features.

    An item of the fit is predicted with its own posterior. Any other item is drawn from the population of items: its
    interval is wide and `in_support` is False.

    Args:
        posterior: An item response fit.
        items: Ids of the items.
        rng: Source of randomness.
        level: Nominal coverage of the intervals.

    Returns:
        Chances and scores with intervals.
    """
    return _irt_cells(posterior, items, rng, level).tables()


def _from_curves(
    posterior: CurvePosterior,
    study: Study,
    ids: tuple[str, ...],
    settings: PredictionSettings,
    rng: np.random.Generator,
) -> CellPredictions:
    if study.demands is None:
        raise InputError(f"{study.name}: {NO_LEVELS}; a fit of curves cannot predict without them")
    demands, notes = _without_gaps(Demands.of(study, settings.annotator), ids, posterior.dims)
    cells = replace(_curve_cells(posterior, demands, rng, settings.level), notes=notes)
    return _explained(cells, posterior, study, settings)


def _without_gaps(demands: Demands, ids: tuple[str, ...], dims: tuple[str, ...]) -> tuple[Demands, tuple[str, ...]]:
    """Replace missing levels on the fit's dimensions by the mean over the items, with their spread as uncertainty."""
    _refuse_missing_dims(demands, dims)
    matched = demands.on(dims)
    level = matched.at(ids)
    gap = np.count_nonzero(np.isnan(level), axis=1) > 0
    if not gap.any():
        return matched, ()
    sd = np.zeros_like(level)
    if matched.sd is not None:
        place = pd.Index(matched.items).get_indexer(pd.Index(ids))
        sd = np.where((place >= 0)[:, None], matched.sd[place], 0.0)
    level, sd = with_gaps_filled(level, sd, typical_levels(level))
    return Demands(ids, dims, level, sd), (_note_on_gaps(ids, gap),)


def _note_on_gaps(ids: tuple[str, ...], gap: np.ndarray) -> str:
    named = [ids[place] for place in np.flatnonzero(gap)]
    return (
        f"{counted(len(named), 'item', 'lack')} demand levels, where typical ones are used with their"
        f" spread: {first_few(named)}"
    )


def _curve_cells(
    posterior: CurvePosterior, demands: Demands, rng: np.random.Generator, level: float
) -> CellPredictions:
    matched = _align(posterior, demands)
    probability = expit(posterior.item_log_odds(matched.level, rng, matched.sd))  # (model, item, draw)
    answers = posterior.support(matched.level)
    nothing, few = matched.level.max(axis=1) < 0.5, answers < FEW_ANSWERS
    reason = np.select(
        [nothing, few],
        ["demands nothing on any dimension", f"fewer than {FEW_ANSWERS} answers per model at these demands"],
        default="",
    )
    support = support_table(demands.items, reason, np.zeros(len(demands.items), dtype=bool), answers)
    bounds = _bounds(probability, level)
    scores = score_table(posterior.models, probability, rng, level)
    return _cells(posterior.models, demands.items, Chances.from_draws(probability), bounds, level, (scores, support))


def _from_irt(
    posterior: IRTPosterior, study: Study, ids: tuple[str, ...], settings: PredictionSettings, rng: np.random.Generator
) -> CellPredictions:
    cells = _irt_cells(posterior, ids, rng, settings.level)
    new = ~np.isin(np.array(ids, dtype=str), np.array(posterior.items, dtype=str))
    if study.demands is None and new.any():
        cells = replace(cells, notes=(NO_LEVELS,))
    return _explained(cells, posterior, study, settings)


def _irt_cells(
    posterior: IRTPosterior, items: tuple[str, ...], rng: np.random.Generator, level: float
) -> CellPredictions:
    index = pd.Index(posterior.items).get_indexer(pd.Index(items))
    known = index != NEW_ITEM
    reason = np.where(known, "", "not an item of the fit: the population of items is all that is known")
    support = support_table(items, reason, known, np.where(known, np.inf, 0.0))
    draws = posterior.draw_chances(index, rng)
    return _cells_of_draws(posterior.models, items, draws, support, rng, level)


def _from_demand(
    posterior: DemandPosterior,
    study: Study,
    ids: tuple[str, ...],
    settings: PredictionSettings,
    rng: np.random.Generator,
) -> CellPredictions:
    """Predict known items with their own residual; for new ones integrate over residual, task and benchmark effects."""
    known = pd.Index(posterior.items).get_indexer(pd.Index(ids))
    study, settings, notes = _with_levels(posterior, study, ids, known, settings)
    items = posterior.asked(study, ids, settings.annotator)
    support = _demand_support(posterior, items, known, ids)
    draws = draw_demand_chances(posterior, items, known, rng)
    cells = _cells_of_draws(posterior.models, ids, draws, support, rng, settings.level)
    model, item = np.indices((len(posterior.models), len(ids))).reshape(2, -1)
    chances = as_chances(posterior.log_odds(model, items, known, item))
    # the expected chance comes from the same draws as the interval
    chances = replace(chances, probability=cells.chances.probability)
    return _explained(replace(cells, chances=chances, notes=notes), posterior, study, settings)


def _explained(
    cells: CellPredictions, posterior: Posterior, study: Study, settings: PredictionSettings
) -> CellPredictions:
    """Add the contributions to the log-odds, where they are asked for."""
    if not settings.explain:
        return cells
    return replace(cells, parts=posterior.contributions(study, cells.items, settings.annotator))


_CELLS: dict[str, Callable[[Any, Study, tuple[str, ...], PredictionSettings, np.random.Generator], CellPredictions]] = {
    CurvePosterior.kind: _from_curves,
    DemandPosterior.kind: _from_demand,
    IRTPosterior.kind: _from_irt,
}
"""Predictions by kind of fit."""


def _with_levels(
    posterior: DemandPosterior, study: Study, ids: tuple[str, ...], known: np.ndarray, settings: PredictionSettings
) -> tuple[Study, PredictionSettings, tuple[str, ...]]:
    """Note which items lack levels; without demands, the fit's own levels or typical ones replace them."""
    if study.demands is not None:
        level = Demands.of(study, settings.annotator, posterior.dims).at(ids)
        gap = np.count_nonzero(np.isnan(level), axis=1) > 0
        notes = (_note_on_gaps(ids, gap),) if gap.any() else ()
        return study, settings, notes
    old = known >= 0
    mean, spread = posterior.levels.mean(axis=0), posterior.levels.std(axis=0)
    level = np.where(old[:, None], posterior.levels[known], mean)
    cells = {"item_id": np.repeat(ids, len(posterior.dims)), "rubric": np.tile(posterior.dims, len(ids))}
    sd = np.where(old[:, None], 0.0, spread)
    demands = pd.DataFrame(cells | {"annotator": "typical", "level": level.ravel(), "sd": sd.ravel()})
    stand_in = Study.of(study.items, None, demands, study.name)
    return stand_in, replace(settings, annotator=None), () if old.all() else (NO_LEVELS,)


def _demand_support(
    posterior: DemandPosterior, items: DemandItems, known: np.ndarray, ids: tuple[str, ...]
) -> pd.DataFrame:
    basis = posterior.basis
    fitted = (posterior.levels - basis.center) / basis.scale
    near = nearness_to(fitted, basis.standard(items)) >= NEAR
    benchmark = np.isin(np.array(items.benchmark, dtype=str), basis.benchmarks)
    task = np.isin(np.array(items.task, dtype=str), basis.tasks) | (not basis.tasks)
    reason = np.select(
        [known >= 0, ~near, ~benchmark],
        ["", "no fitted item has demands near these", "a benchmark that the fit has not seen"],
        default="",
    )
    return support_table(ids, reason, (known >= 0) | (benchmark & task), np.full(len(ids), np.nan))


def _cells_of_draws(
    models: tuple[str, ...],
    items: tuple[str, ...],
    draws: Iterator[FloatArray],
    support: pd.DataFrame,
    rng: np.random.Generator,
    level: float,
) -> CellPredictions:
    """Summarise draws of chances (item, draw), model by model."""
    chances: list[Chances] = []
    bounds: list[tuple[RowFloats, RowFloats]] = []
    scores: list[pd.DataFrame] = []
    for model, chance in zip(models, draws, strict=True):
        chances.append(Chances.from_draws(chance))
        bounds.append(_bounds(chance[None], level))
        scores.append(score_table((model,), chance[None], rng, level))
    lower, upper = (np.concatenate(sides) for sides in zip(*bounds, strict=True))
    tables = pd.concat(scores, ignore_index=True), support
    return _cells(models, items, Chances.joined(chances), (lower, upper), level, tables)


def _cells(
    models: tuple[str, ...],
    items: tuple[str, ...],
    chances: Chances,
    bounds: tuple[RowFloats, RowFloats],
    level: float,
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> CellPredictions:
    scores, support = tables
    return CellPredictions(
        models=models,
        items=items,
        benchmark=(UNNAMED_BENCHMARK,) * len(items),
        chances=chances,
        bounds=bounds,
        level=level,
        scores=scores,
        support=support,
    )


def _bounds(probability: FloatArray, level: float) -> tuple[RowFloats, RowFloats]:
    lower, upper = quantile_bounds(probability, level)
    return lower.ravel(), upper.ravel()


def _benchmarks(study: Study, ids: tuple[str, ...]) -> tuple[str, ...]:
    """Benchmark of each item; items without a name for it share one."""
    if study.items is None:
        return (UNNAMED_BENCHMARK,) * len(ids)
    named = study.items.set_index(study.items["item_id"].astype(str))["benchmark"].astype(str)
    return tuple(named.reindex(list(ids)).fillna(UNNAMED_BENCHMARK))


def _refuse_missing_dims(demands: Demands, dims: tuple[str, ...]) -> None:
    missing = [dim for dim in dims if dim not in demands.dims]
    if missing:
        raise InputError(f"the items have no demands on {first_few(missing)}, which the fit needs; annotate them first")


def _align(posterior: CurvePosterior, demands: Demands) -> Demands:
    _refuse_missing_dims(demands, posterior.dims)
    matched = demands.on(posterior.dims)
    gaps = np.flatnonzero(np.isnan(matched.level).any(axis=1))
    if len(gaps):
        unrated = [demands.items[gap] for gap in gaps]
        raise InputError(
            f"{counted(len(unrated), 'item', 'lack')} some demand levels: {first_few(unrated)}; annotate them first"
        )
    return matched
