"""Scores on whole benchmarks: the benchmark's own effect and a few labels, applied to predicted log-odds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.data import checked_columns, read_table, validate
from capscope.errors import InputError, first_few, nearest
from capscope.fit import contribution_table, joined_contributions
from capscope.predict.assessor import Chances
from capscope.predict.outcomes import Outcomes
from capscope.predict.predictions import CellPredictions
from capscope.predict.scores.benchmark_effect import FITTED, NOTHING_SEEN, OFFSETS, EffectSd, LogOddsRows
from capscope.predict.scores.calibrated import GroupScores
from capscope.predict.scores.expected import expected_of
from capscope.predict.scores.labels import Labels, LogOddsGrid, labelled_scores, offset_posterior

RESIDUAL_NAMES = ("assessor", "model", "benchmark")
RESIDUAL_NUMBERS = {"seed": (0.0, 1e18), "fold": (0.0, 1e18), "score": (0.0, 1.0), "chance": (0.0, 1.0)}
LOG_ODDS = {"log_odds_mean": (-1e6, 1e6), "log_odds_sd": (0.0, 1e6)}
"""Columns that are used where the table has both; without them the log-odds of `chance` are."""
EFFECT = "benchmark effect"
"""Name of the part of a chance's log-odds that labels and past benchmarks add."""
SHARED_SD = "shared_sd"
"""Column of the part of `log_odds_sd` that the items of one benchmark share; files of version 0.1 lack it."""


def read_past_effects(source: Path | pd.DataFrame | None, assessor: str | None = None) -> EffectSd:
    """Estimate the size of benchmark effects from out-of-fold predictions of past benchmarks.

    Args:
        source: Out-of-fold predictions by one assessor, each benchmark held out whole, as `capscope evaluate --split
            benchmark --write` writes them: a table or its path. None if no benchmark has been seen.
        assessor: Assessor whose predictions to use; None if the table holds those of one.

    Raises:
        InputError: The file is no such table.
    """
    if source is None:
        return NOTHING_SEEN
    table, name = (source, "residuals") if isinstance(source, pd.DataFrame) else (read_table(source), str(source))
    numbers = RESIDUAL_NUMBERS | (LOG_ODDS if set(LOG_ODDS) <= set(table) else {})
    remedy = "write it with 'capscope evaluate --write'"
    table = checked_columns(table, name, names=RESIDUAL_NAMES, numbers=numbers, remedy=remedy)
    table = one_assessor(table, name, assessor)
    table = table[table["seed"] == table["seed"].min()]
    folds = table.groupby("benchmark")["fold"].nunique()
    if (folds > 1).any():
        raise InputError(
            f"{name}: benchmark '{folds.idxmax()}' was not left out whole; write it with 'capscope evaluate --split"
            " benchmark'"
        )
    model, benchmark = (np.unique(table[key].astype(str), return_inverse=True)[1] for key in ("model", "benchmark"))
    score, chance = (table[key].astype(float).to_numpy() for key in ("score", "chance"))
    outcomes = Outcomes(model, benchmark, benchmark, score, chance)
    return GroupScores.of(outcomes, benchmark, _log_odds(table, name)).effect_sd(np.unique(benchmark))


def _log_odds(table: pd.DataFrame, name: str) -> LogOddsRows | None:
    """Log-odds of each row without the uncertainty that a benchmark's items share, where the table has them."""
    if not set(LOG_ODDS) <= set(table):
        return None
    mean, sd = (table[column].to_numpy(dtype=float) for column in LOG_ODDS)
    if SHARED_SD in table:
        bounds = {SHARED_SD: (0.0, float(sd.max()) + 1e-9)}
        shared = checked_columns(table, name, numbers=bounds, remedy="write the file again")[SHARED_SD]
        sd = np.sqrt(np.maximum(sd**2 - shared.to_numpy(dtype=float) ** 2, 0))
    return LogOddsRows(mean, sd)


def one_assessor(table: pd.DataFrame, name: str, assessor: str | None) -> pd.DataFrame:
    """Predictions of one assessor."""
    names = sorted(table["assessor"].astype(str).unique())
    if assessor is None and len(names) > 1:
        raise InputError(f"{name}: holds {first_few(names)}; write one with 'capscope evaluate --assessor'")
    if assessor not in (None, *names):
        raise InputError(f"{name}: holds {first_few(names)}, not '{assessor}'; write it with 'capscope evaluate'")
    return table if assessor is None else table[table["assessor"].astype(str) == assessor]


def read_labels(source: Path | pd.DataFrame, models: tuple[str, ...], items: tuple[str, ...]) -> pd.DataFrame:
    """Read answers to some of the items to predict: columns model, item_id, score, optionally n_trials.

    Args:
        source: A table, or its path.
        models: Models that are predicted.
        items: Items that are predicted.

    Raises:
        InputError: The table is wrong, or is about models or items that are not predicted.
    """
    table, name = (source, "labels") if isinstance(source, pd.DataFrame) else (read_table(source), str(source))
    labels = validate(table, "responses", name)
    for column, what, known in (("model", "model that is predicted", models), ("item_id", "item to predict", items)):
        unknown = [value for value in labels[column].astype(str).unique() if value not in known]
        if unknown:
            hint = nearest(unknown[0], known)
            raise InputError(f"{name}: {len(unknown)} {column} values are no {what}: {first_few(unknown)}{hint}")
    return labels


def with_benchmark_effects(
    cells: CellPredictions,
    past: EffectSd,
    labels: pd.DataFrame | None,
    seed: int,
    expected: pd.DataFrame | None = None,
) -> CellPredictions:
    """Add each benchmark's effect, as large as those of past benchmarks and as its labels say, to the log-odds.

    A benchmark with most of its items, or their tasks, in the training part has no effect of its own, and labels of
    one model move that model only. Benchmarks are exchangeable.

    Args:
        cells: Predictions; the uncertainty that the items of a benchmark share is replaced by the effect's.
        past: Size of the effects of past benchmarks.
        labels: Answers to some of the items; None for none.
        seed: Seed of the draws.
        expected: Scores expected from elsewhere, see `scores.expected.read_expected`; None for none.

    Returns:
        Predictions whose chances and intervals include the effect, with `benchmark_scores`: each model's score on each
        benchmark, with an interval over the effect and over which items are passed.
    """
    own = cells.chances.without_shared()
    mean, sd, probability = (cells.grid(each).copy() for each in (own.log_odds_mean, own.log_odds_sd, own.probability))
    effect, effect_sd = np.zeros_like(mean), np.zeros_like(mean)
    names = np.array(cells.benchmark, dtype=str)
    scores: list[pd.DataFrame] = []
    for name in np.unique(names):
        place = np.flatnonzero(names == name)
        rng = np.random.default_rng(seed)
        prior = FITTED if cells.known[place].mean() > 0.5 else past
        answers = replace(_located(labels, cells, place), expected=expected_of(expected, str(name), cells.models))
        grid = LogOddsGrid(mean[:, place], sd[:, place])
        prior = _prior(prior, answers)
        weight = offset_posterior(grid, answers, prior)
        table = labelled_scores(grid, answers, prior, rng, cells.level)
        scores.append(table.assign(model=cells.models, benchmark=name))
        for model, curve in enumerate(weight):
            rows = grid.of(model, np.arange(len(place)))
            effect[model, place] = curve @ OFFSETS
            effect_sd[model, place] = np.sqrt(max(curve @ OFFSETS**2 - (curve @ OFFSETS) ** 2, 0.0))
            probability[model, place] = rows.chances() @ curve
    mean, sd = mean + effect, np.hypot(sd, effect_sd)
    chances = Chances(probability.ravel(), mean.ravel(), sd.ravel(), np.zeros(mean.size))
    if cells.parts is not None:
        added = contribution_table(cells.models, cells.items, [(EFFECT, effect, effect_sd)])
        cells = replace(cells, parts=joined_contributions([cells.parts, added], cells.items))
    columns = ["model", "benchmark", "score", "lower", "upper", "labels"]
    return replace(cells.with_chances(chances), benchmark_scores=pd.concat(scores, ignore_index=True)[columns])


def _prior(past: EffectSd, labels: Labels) -> EffectSd:
    """Return the prior of the effect: labels may overrule the past; without labels it is Student's t over the past."""
    evidence = len(labels.score) > 0 or labels.expected is not None
    unsure = past is not FITTED and (evidence or not past.groups)
    return past.cautious() if unsure else past


def _located(labels: pd.DataFrame | None, cells: CellPredictions, place: np.ndarray) -> Labels:
    """Labels of the items at these positions, by position on the model axis and among these items."""
    if labels is None:
        return Labels(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    item = pd.Index([cells.items[each] for each in place]).get_indexer(pd.Index(labels["item_id"].astype(str)))
    model = pd.Index(cells.models).get_indexer(pd.Index(labels["model"].astype(str)))
    trials = labels["n_trials"].to_numpy(dtype=float) if "n_trials" in labels else np.ones(len(labels))
    here = item >= 0
    return Labels(model[here], item[here], labels["score"].to_numpy(dtype=float)[here], trials[here])
