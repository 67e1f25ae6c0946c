"""Scores on whole benchmarks: own effect, a few labels, and intervals calibrated on the other benchmarks."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from capscope.axes import RowIndex
from capscope.data import ArrowTable, as_frame, checked_columns, read_table, validate
from capscope.errors import InputError, first_few, nearest
from capscope.fit import contribution_table, joined_contributions, log_odds_of
from capscope.intervals import quantile_bounds
from capscope.predict.assessor import Chances
from capscope.predict.outcomes import Outcomes, row_groups, weighted_mean
from capscope.predict.predictions import CellPredictions
from capscope.predict.scores.benchmark_effect import (
    FITTED,
    NOTHING_SEEN,
    OFFSETS,
    EffectSd,
    EffectSdByModel,
    LogOddsRows,
    ModelGroup,
    effect_sd,
    offset_of,
    score_curve,
)
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


LEVELS = (0.5, 0.8, 0.95)
"""Nominal coverages of the intervals."""

SEVERAL_BENCHMARKS = 3
"""With at least this many benchmarks, intervals come from the residuals of whole benchmarks instead of tasks."""

FEWEST_MODELS = 3
"""With at least this many held-out models, their intervals come from the residuals of the others."""

HeldOut = Literal["items", "models", "benchmarks"]
"""What nothing was learnt from when chances were predicted."""

DRAWS = 400


def read_past_effects(source: Path | pd.DataFrame | ArrowTable | None, assessor: str | None = None) -> EffectSd:
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
    source = as_frame(source)
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
    """Select the predictions of one assessor.

    Args:
        table: Predictions of one or several assessors.
        name: Name of the table's file, for messages.
        assessor: Name of the assessor; None where the table has one only.

    Returns:
        Its rows.

    Raises:
        InputError: There is no such assessor, or several and none is named.
    """
    names = sorted(table["assessor"].astype(str).unique())
    if assessor is None and len(names) > 1:
        raise InputError(f"{name}: holds {first_few(names)}; write one with 'capscope evaluate --assessor'")
    if assessor not in (None, *names):
        raise InputError(f"{name}: holds {first_few(names)}, not '{assessor}'; write it with 'capscope evaluate'")
    return table if assessor is None else table[table["assessor"].astype(str) == assessor]


def read_labels(
    source: Path | pd.DataFrame | ArrowTable, models: tuple[str, ...], items: tuple[str, ...]
) -> pd.DataFrame:
    """Read answers to some of the items to predict: columns model, item_id, score, optionally n_trials.

    Args:
        source: A table, or its path.
        models: Models that are predicted.
        items: Items that are predicted.

    Raises:
        InputError: The table is wrong, or is about models or items that are not predicted.
    """
    source = as_frame(source)
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
    """Return the prior of the effect: labels may overrule the past; without labels published tables add to it."""
    if past is FITTED:
        return past
    evidence = len(labels.score) > 0 or labels.expected is not None
    return past.cautious() if evidence or not past.groups else past.published()


def _located(labels: pd.DataFrame | None, cells: CellPredictions, place: np.ndarray) -> Labels:
    """Labels of the items at these positions, by position on the model axis and among these items."""
    if labels is None:
        return Labels(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    item = pd.Index([cells.items[each] for each in place]).get_indexer(pd.Index(labels["item_id"].astype(str)))
    model = pd.Index(cells.models).get_indexer(pd.Index(labels["model"].astype(str)))
    trials = labels["n_trials"].to_numpy(dtype=float) if "n_trials" in labels else np.ones(len(labels))
    here = item >= 0
    return Labels(model[here], item[here], labels["score"].to_numpy(dtype=float)[here], trials[here])


@dataclass(frozen=True)
class GroupScores:
    """Predicted score curves and observed scores of every model on every group of items (a benchmark or a task)."""

    curve: Float[np.ndarray, "model group offset"]
    """Mean score at each of `OFFSETS`."""
    observed: Float[np.ndarray, "model group"]
    """Observed mean score; NaN where a model has no answers."""
    size: Float[np.ndarray, "model group"]
    """Number of trials."""

    @classmethod
    def of(cls, outcomes: Outcomes, group: RowIndex, log_odds: LogOddsRows | None = None) -> "GroupScores":
        """Collect outcomes by model and group.

        Args:
            outcomes: Out-of-fold predictions; models are numbered from 0.
            group: Group of each row, numbered from 0.
            log_odds: Log-odds of each row; None for those of the expected chances.
        """
        n_models, n_groups = int(outcomes.model.max()) + 1, int(group.max()) + 1
        curve = np.zeros((n_models, n_groups, len(OFFSETS)))
        observed, size = np.full((n_models, n_groups), np.nan), np.zeros((n_models, n_groups))
        log_odds = LogOddsRows.known(log_odds_of(outcomes.chance)) if log_odds is None else log_odds
        weight = outcomes.weight
        for rows in row_groups(outcomes.model * n_groups + group):
            cell = int(outcomes.model[rows[0]]), int(group[rows[0]])
            curve[cell] = score_curve(log_odds.rows(rows), weight[rows])
            observed[cell], size[cell] = weighted_mean(outcomes.score[rows], weight[rows]), weight[rows].sum()
        return cls(curve, observed, size)

    def effect_sd(self, groups: np.ndarray) -> EffectSd:
        """Estimate the size of effects from some groups."""
        return effect_sd(*self._effects(groups))

    def effects_of_models(self, models: np.ndarray, groups: np.ndarray) -> EffectSdByModel:
        """Estimate the size of effects on some groups for each of some models, from the effects of the others."""
        offset, variance = self._effects(groups)
        return EffectSdByModel.of(offset[models], variance[models])

    def _effects(self, groups: np.ndarray) -> tuple[ModelGroup, ModelGroup]:
        """Return effects and their sampling variances; NaN where a model has no answers."""
        offset = np.full((len(self.curve), len(groups)), np.nan)
        variance = np.full_like(offset, np.nan)
        for model, place in zip(*np.nonzero(self.size[:, groups]), strict=True):
            cell = model, groups[place]
            offset[model, place], variance[model, place] = offset_of(
                self.curve[cell], float(self.observed[cell]), float(self.size[cell])
            )
        return offset, variance


def exchangeable_groups(outcomes: Outcomes, held_out: HeldOut = "items") -> RowIndex:
    """Return the groups that are treated as exchangeable: benchmarks, or tasks if items of few benchmarks are held out.

    Args:
        outcomes: Scores and predicted chances.
        held_out: What nothing was learnt from.
    """
    several = len(np.unique(outcomes.benchmark)) >= SEVERAL_BENCHMARKS
    return outcomes.benchmark if held_out != "items" or several else outcomes.task


def benchmark_intervals(
    outcomes: Outcomes, group: RowIndex, rng: np.random.Generator, held_out: HeldOut = "items"
) -> pd.DataFrame:
    """Predict each model's score on each benchmark, with intervals, beside the observed score.

    The interval of a benchmark uses the effects of the groups of the other benchmarks only, so its own answers are not
    used; with one benchmark it uses all of its groups. For held-out benchmarks, how far these depart in published
    tables is added. Where models are held out, benchmarks are known and models are exchangeable: the interval uses the
    effects of the other models on the benchmark. Each item is passed or failed as a whole.

    Args:
        outcomes: Out-of-fold predictions.
        group: Task or benchmark of each row, numbered from 0: what shares an effect; see `exchangeable_groups`.
        rng: Source of the draws.
        held_out: What nothing was learnt from.

    Returns:
        Columns model, benchmark, predicted, observed, and ``lower_80``, ``upper_80`` for each of `LEVELS`.
    """
    held = GroupScores.of(outcomes, group)
    predicted = [_of_benchmark(held, outcomes, group, rows, rng, held_out) for rows in row_groups(outcomes.benchmark)]
    return pd.concat(predicted, ignore_index=True)


def _of_benchmark(
    held: GroupScores,
    outcomes: Outcomes,
    group: RowIndex,
    rows: np.ndarray,
    rng: np.random.Generator,
    held_out: HeldOut,
) -> pd.DataFrame:
    own = np.unique(group[rows])
    asked = np.flatnonzero(held.size[:, own].sum(axis=1))
    if held_out == "models" and len(asked) >= FEWEST_MODELS:
        effects = held.effects_of_models(asked, own)
    else:
        others = np.setdiff1d(np.unique(group), own)
        effects = held.effect_sd(others if len(others) else own)
        effects = effects.published() if held_out == "benchmarks" else effects
    offsets = effects.draws(len(asked), len(own), rng, DRAWS)
    size = held.size[np.ix_(asked, own)]
    passed = np.zeros((len(asked), DRAWS))
    for (model, place), n in np.ndenumerate(size):
        chance = np.interp(offsets[model, place], OFFSETS, held.curve[asked[model], own[place]])
        passed[model] += rng.binomial(round(n), chance)
    share = size / size.sum(axis=1, keepdims=True)
    middle = held.curve[np.ix_(asked, own)][..., len(OFFSETS) // 2]
    table: dict[str, object] = {
        "model": asked,
        "benchmark": int(outcomes.benchmark[rows[0]]),
        "predicted": (share * middle).sum(axis=1),
        "observed": (share * np.nan_to_num(held.observed[np.ix_(asked, own)])).sum(axis=1),
    }
    drawn = passed / size.sum(axis=1, keepdims=True)
    for level in LEVELS:
        lower, upper = quantile_bounds(drawn, level)
        table |= {f"lower_{level * 100:.0f}": lower, f"upper_{level * 100:.0f}": upper}
    return pd.DataFrame(table)


def coverage(intervals: pd.DataFrame) -> dict[str, float]:
    """Share of benchmark scores inside their intervals, and the mean width of the 80 % interval."""
    observed, shares = intervals["observed"], dict[str, float]()
    for level in LEVELS:
        name = f"{level * 100:.0f}"
        inside = observed.between(intervals[f"lower_{name}"], intervals[f"upper_{name}"])
        shares[f"coverage_{name}"] = float(inside.mean())
    return shares | {"width_80": float((intervals["upper_80"] - intervals["lower_80"]).mean())}
