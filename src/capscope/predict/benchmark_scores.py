"""Scores on whole benchmarks: the benchmark's own effect and a few labels, on top of predicted chances."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from capscope.data import read_table, validate
from capscope.errors import InputError, first_few, nearest
from capscope.intervals import normal_quantile
from capscope.predict.labels import Labels, labelled_scores, offset_posterior
from capscope.predict.metrics import Outcomes
from capscope.predict.offsets import FITTED, NOTHING_SEEN, OFFSETS, OffsetSpread
from capscope.predict.predictions import Predictions
from capscope.predict.reliability import predicted_log_odds
from capscope.predict.score_intervals import GroupScores

RESIDUAL_COLUMNS = ("assessor", "seed", "fold", "model", "benchmark", "score", "chance")


def read_spread(path: Path | None, assessor: str | None = None) -> OffsetSpread:
    """Read how far past benchmarks departed from what was predicted of them.

    Args:
        path: Out-of-fold predictions by one assessor, each benchmark left out whole, as `capscope evaluate --split
            benchmark --write` leaves them; None where no benchmark has been seen.
        assessor: Whose predictions to look at; None where the file holds those of one.

    Raises:
        InputError: The file is no such table.
    """
    if path is None:
        return NOTHING_SEEN
    table = read_table(path)
    missing = [column for column in RESIDUAL_COLUMNS if column not in table]
    if missing:
        raise InputError(f"{path}: column '{missing[0]}' is missing; write it with 'capscope evaluate --write'")
    table = _by_assessor(table, path, assessor)
    table = table[table["seed"].astype(int) == table["seed"].astype(int).min()]
    folds = table.groupby(table["benchmark"].astype(str))["fold"].nunique()
    if (folds > 1).any():
        raise InputError(
            f"{path}: benchmark '{folds.idxmax()}' was not left out whole; write it with 'capscope evaluate --split"
            " benchmark'"
        )
    columns = [np.unique(table[name].astype(str), return_inverse=True)[1] for name in ("model", "benchmark")]
    score, chance = (table[name].astype(float).to_numpy() for name in ("score", "chance"))
    outcomes = Outcomes(columns[0], columns[1], columns[1], score, chance)
    return GroupScores.of(outcomes, columns[1]).spread(np.unique(columns[1]))


def _by_assessor(table: pd.DataFrame, path: Path, assessor: str | None) -> pd.DataFrame:
    """Predictions of one assessor."""
    names = sorted(table["assessor"].astype(str).unique())
    if assessor is None and len(names) > 1:
        raise InputError(f"{path}: holds {first_few(names)}; write one with 'capscope evaluate --assessor'")
    if assessor not in (None, *names):
        raise InputError(f"{path}: holds {first_few(names)}, not '{assessor}'; write it with 'capscope evaluate'")
    return table if assessor is None else table[table["assessor"].astype(str) == assessor]


def read_labels(path: Path, models: tuple[str, ...], items: tuple[str, ...]) -> pd.DataFrame:
    """Read answers to some of the predicted items: columns model, item_id, score.

    Args:
        path: A table.
        models: Models that are predicted.
        items: Items that are predicted.

    Raises:
        InputError: The table is wrong, or speaks of models or items that are not predicted.
    """
    labels = validate(read_table(path), "responses", str(path))
    for column, what, known in (("model", "model that is predicted", models), ("item_id", "item to predict", items)):
        unknown = [name for name in labels[column].astype(str).unique() if name not in known]
        if unknown:
            hint = nearest(unknown[0], known)
            raise InputError(f"{path}: {len(unknown)} {column} values are no {what}: {first_few(unknown)}{hint}")
    return labels


def with_benchmark_effects(
    found: Predictions, benchmark: pd.Series, spread: OffsetSpread, labels: pd.DataFrame | None, seed: int
) -> Predictions:
    """Let each benchmark depart from what was predicted of it, as past ones did and as its labels say.

    A benchmark is as hard as its answers said where most of its items, or their tasks, were learnt from: it has no
    offset of its own, and labels of one model speak of that model alone.

    Chances and their intervals take the offset in; `benchmark_scores` holds each model's score on each benchmark with
    an interval over the offset and over which items are passed. Benchmarks are taken as exchangeable.

    Args:
        found: Predictions that know of no benchmark effect.
        benchmark: Benchmark by item id.
        spread: How far benchmarks depart.
        labels: Answers to some of the items; None for none.
        seed: Seed of the draws.
    """
    tables: list[pd.DataFrame] = []
    scores: list[pd.DataFrame] = []
    parts = found.table["item_id"].map(benchmark).astype(str)
    known = found.support.set_index("item_id")["known"].groupby(benchmark).mean()
    for name, part in found.table.groupby(parts, sort=True):
        mine = FITTED if known[name] > 0.5 else spread
        moved, scored = _one_benchmark(part, mine, labels, np.random.default_rng(seed), found.level)
        tables.append(moved)
        scores.append(scored.assign(benchmark=str(name)))
    table = pd.concat(tables).sort_index()
    ordered = pd.concat(scores, ignore_index=True)[["model", "benchmark", "score", "lower", "upper", "labels"]]
    return replace(found, table=table, benchmark_scores=ordered)


def _one_benchmark(
    part: pd.DataFrame, spread: OffsetSpread, labels: pd.DataFrame | None, rng: np.random.Generator, level: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    wide = part.pivot(index="model", columns="item_id", values="p")
    line = predicted_log_odds(wide.to_numpy().ravel()).reshape(wide.shape)
    answers = _located(labels, wide)
    # labels may overrule the past; without any, Student's t over the past benchmarks is what there is
    unsure = spread is not FITTED and (len(answers.score) > 0 or not spread.groups)
    prior = spread.cautious() if unsure else spread
    weight = offset_posterior(line, answers, prior)
    scored = labelled_scores(line, answers, prior, rng, level).assign(model=wide.index.to_numpy())
    return _moved(part, wide, weight, level), scored


def _located(labels: pd.DataFrame | None, wide: pd.DataFrame) -> Labels:
    if labels is None:
        return Labels(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    mine = labels[labels["item_id"].astype(str).isin(wide.columns)]
    model = wide.index.get_indexer(pd.Index(mine["model"].astype(str)))
    item = wide.columns.get_indexer(pd.Index(mine["item_id"].astype(str)))
    return Labels(model, item, mine["score"].to_numpy(dtype=float))


def _moved(part: pd.DataFrame, wide: pd.DataFrame, weight: np.ndarray, level: float) -> pd.DataFrame:
    """Take the offsets' posterior into chances, and their mean and spread into the intervals."""
    own = weight[wide.index.get_indexer(pd.Index(part["model"]))]
    center, lower, upper = (predicted_log_odds(part[name].to_numpy()) for name in ("p", "lower", "upper"))
    mean = own @ OFFSETS
    reach = normal_quantile(level) * np.sqrt(np.maximum(own @ OFFSETS**2 - mean**2, 0))
    return part.assign(
        p=(own * expit(center[:, None] + OFFSETS)).sum(axis=1),
        lower=expit(center + mean - np.hypot(center - lower, reach)),
        upper=expit(center + mean + np.hypot(upper - center, reach)),
    )
