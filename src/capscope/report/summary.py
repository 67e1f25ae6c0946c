"""Everything that the page on a curve fit shows, as one plain dict; nothing is rounded here."""

import math

import numpy as np
import pandas as pd

from capscope.annotate import RubricSet, general_rubrics
from capscope.axes import LEVELS
from capscope.fit import CurvePosterior, Fit
from capscope.intervals import jeffreys_interval, quantile_bounds
from capscope.predict import Predictions
from capscope.profiles import AbilityProfiles, DemandProfile
from capscope.report.beyond import beyond_general
from capscope.report.calibration import in_sample
from capscope.report.definitions import CURVES, definitions
from capscope.report.plain import Record, Summary, plain, records
from capscope.report.provenance import Provenance, made
from capscope.report.scales import scale_names
from capscope.report.summary_questions import questions_section
from capscope.report.versus import curves_versus

GRID_STEP = 0.25
"""Distance of the points at which curves are drawn, in demand levels."""
GRID_TOP = (6, 10)
"""Curves are drawn at least and at most to this level."""


def summarize(  # noqa: PLR0913 - the parts of the page
    fit: Fit[CurvePosterior],
    profiles: AbilityProfiles,
    predictions: Predictions | None,
    demands: DemandProfile | None,
    items: pd.DataFrame | None,
    *,
    focus_model: str | None,
    rival: str | None = None,
    provenance: Provenance,
    rubrics: RubricSet | None = None,
) -> Summary:
    """Gather what the page shows, as values that `json.dumps` takes.

    Args:
        fit: A curve fit.
        profiles: Its ability profiles; their level is the level of all intervals.
        predictions: Chances on a set of questions, or None.
        demands: The demand profile of those questions, or None.
        items: Columns `item_id` and `text` (optional) of those questions, or None.
        focus_model: The model whose curves are shown; by default the strongest.
        rival: The model that it is compared with scale by scale; by default the one next to it.
        provenance: Where the numbers come from.
        rubrics: Names and families of the scales; by default those of the shipped general set.

    Returns:
        Sections `headline`, `profiles`, `focus`, `versus`, `questions`, `demands`, `calibration`, `definitions` and
        `made`, and the scales; `benchmarks` and `audit` are for `with_study` to fill.

    Raises:
        InputError: The fit has no such focus model or rival.
    """
    posterior, level = fit.posterior, profiles.level
    names = rubrics or general_rubrics()
    scales = scale_names(posterior.dims, names)
    beyond = beyond_general(posterior, level)
    entries = _profiles(posterior, profiles, beyond, tuple(scale["dim"] for scale in scales))
    focus = focus_model or entries[0]["model"]
    posterior.model_position(focus)
    summary: Summary = {
        "kind": "curves",
        "title": provenance.title,
        "level": level,
        "scales": scales,
        "headline": _headline(posterior, profiles, entries, beyond, scales),
        "profiles": entries,
        "focus": _focus(posterior, focus, entries, scales, level),
        "versus": curves_versus(posterior, focus, rival, {scale["dim"]: scale["name"] for scale in scales}, level),
        "calibration": in_sample(posterior, np.random.default_rng(provenance.seed), level),
        "questions": None if predictions is None else questions_section(predictions, items, focus),
        "demands": None if demands is None else _demands(demands, names),
        "benchmarks": None,
        "audit": None,
        "definitions": definitions(CURVES, level),
        "made": made(fit, provenance) | {"missing": _missing(posterior), "spread": _spread(posterior, level)},
    }
    return plain(summary)


def bounded(draws: np.ndarray, level: float) -> Record:
    """Mean and central interval over the last axis, the draws."""
    lower, upper = quantile_bounds(draws, level)
    return {"value": draws.mean(axis=-1), "lower": lower, "upper": upper}


def _profiles(
    posterior: CurvePosterior, profiles: AbilityProfiles, beyond: pd.DataFrame, dims: tuple[str, ...]
) -> list[Record]:
    """One entry for each model, the strongest first."""
    overall = posterior.ability.mean(axis=1)  # (model, draw)
    order = np.argsort(-overall.mean(axis=-1), kind="stable")
    first = np.bincount(overall.argmax(axis=0), minlength=len(posterior.models)) / overall.shape[1]
    last = np.bincount(overall.argmin(axis=0), minlength=len(posterior.models)) / overall.shape[1]
    return [
        {
            "model": posterior.models[row],
            "overall": bounded(overall[row], profiles.level),
            "general": bounded(posterior.general[row], profiles.level),
            "chance_first": first[row],
            "chance_last": last[row],
            "scales": _scales(profiles.table, beyond, posterior.models[row], dims),
        }
        for row in order
    ]


def _scales(table: pd.DataFrame, beyond: pd.DataFrame, model: str, dims: tuple[str, ...]) -> list[Record]:
    """One entry for each dimension, in the order of the scales."""
    extra = {entry["dim"]: entry for entry in records(beyond[beyond["model"] == model].drop(columns="model"))}
    rows = {row["dim"]: row for row in records(table[table["model"] == model].drop(columns="model"))}
    return [rows[dim] | {"beyond": _beyond_entry(extra.get(dim))} for dim in dims]


def _beyond_entry(entry: Record | None) -> Record | None:
    if entry is None:
        return None
    clear = bool(entry["lower"] > 0 or entry["upper"] < 0)
    renamed = {"value": entry["beyond"], "lower": entry["lower"], "upper": entry["upper"]}
    return renamed | {"chance": entry["chance"], "expected": entry["expected"], "clear": clear}


def _headline(
    posterior: CurvePosterior,
    profiles: AbilityProfiles,
    entries: list[Record],
    beyond: pd.DataFrame,
    scales: list[Record],
) -> Record:
    share = profiles.general_share
    return {
        "n_models": len(posterior.models),
        "n_dims": len(posterior.dims),
        "n_answers": posterior.n[:, :, 1:].sum(),
        "general_share": {"value": share.point, "lower": share.lower, "upper": share.upper},
        "classical_general_share": profiles.classical_general_share,
        "strongest": _extreme(entries[0], "chance_first"),
        "weakest": _extreme(entries[-1], "chance_last"),
        "beyond_compared": len(beyond),
        "beyond_clear": int(((beyond["lower"] > 0) | (beyond["upper"] < 0)).sum()),
        "stand_out": _stand_out(beyond, scales),
    }


def _extreme(entry: Record, chance: str) -> Record:
    return {"model": entry["model"], **entry["overall"], "chance": entry[chance]}


def _stand_out(beyond: pd.DataFrame, scales: list[Record]) -> list[Record]:
    """Find, in each family of scales, what lies furthest above and below expectation, if its interval leaves out 0."""
    family = {scale["dim"]: scale["family"] for scale in scales}
    name = {scale["dim"]: scale["name"] for scale in scales}
    found: list[Record] = []
    for group in dict.fromkeys(family.values()):
        rows = records(beyond[beyond["dim"].map(family) == group].sort_values("beyond", ascending=False))
        above, below = [row for row in rows if row["lower"] > 0], [row for row in rows if row["upper"] < 0]
        found += [{"direction": "above", "family": group, "name": name[row["dim"]], **row} for row in above[:1]]
        found += [{"direction": "below", "family": group, "name": name[row["dim"]], **row} for row in below[-1:]]
    return found


def _focus(posterior: CurvePosterior, model: str, entries: list[Record], scales: list[Record], level: float) -> Record:
    entry = next(entry for entry in entries if entry["model"] == model)
    highest = max(scale["upper"] for scale in entry["scales"])
    top = min(max(math.ceil(highest), GRID_TOP[0]), GRID_TOP[1])
    grid = np.arange(0, top + GRID_STEP / 2, GRID_STEP)
    name = {scale["dim"]: scale["name"] for scale in scales}
    named = [{**scale, "name": name[scale["dim"]]} for scale in entry["scales"]]
    by_ability = sorted(named, key=lambda scale: -scale["ability"])
    curves = [_curve(posterior, model, scale, grid, level) for scale in by_ability]
    return {"model": model, "scales": by_ability, "curves": curves}


def _curve(posterior: CurvePosterior, model: str, scale: Record, grid: np.ndarray, level: float) -> Record:
    dim = scale["dim"]
    band = bounded(posterior.curve(model, dim, grid), level)
    row, column = posterior.model_position(model), posterior.dims.index(dim)
    points = [
        _observed(step, posterior.n[row, column, step], posterior.correct[row, column, step], level)
        for step in LEVELS[1:]
        if posterior.n[row, column, step] > 0
    ]
    return {
        "dim": dim,
        "name": scale["name"],
        "grid": grid,
        "p": band["value"],
        "lower": band["lower"],
        "upper": band["upper"],
        "ability": scale["ability"],
        "levels": points,
    }


def _observed(step: int, n: float, correct: float, level: float) -> Record:
    rate = jeffreys_interval(float(correct), float(n), level)
    return {
        "level": step,
        "n": n,
        "correct": correct,
        "rate": rate.point,
        "lower": rate.lower,
        "upper": rate.upper,
    }


def _demands(demands: DemandProfile, names: RubricSet) -> Record:
    rows = {
        row["dim"]: row | {"histogram": counts}
        for row, counts in zip(records(demands.table), demands.histogram, strict=True)
    }
    scales = [{**rows[scale["dim"]], "name": scale["name"]} for scale in scale_names(demands.dims, names)]
    return {"n_items": demands.n_items, "levels": list(LEVELS), "scales": scales}


def _missing(posterior: CurvePosterior) -> Record:
    cells = posterior.n[:, :, 1:]
    empty = int((cells == 0).sum())
    return {"cells": cells.size, "empty": empty, "share": empty / cells.size}


def _spread(posterior: CurvePosterior, level: float) -> Record:
    return {
        "draws": posterior.ability.shape[-1],
        "level_effect_sd": bounded(posterior.level_effect_sd, level),
        "concentration": bounded(posterior.concentration, level),
        "residual_sd": posterior.residual_sd.mean(),
    }
