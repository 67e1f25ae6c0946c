"""Benchmark and task of each item: clusters to resample, parts of a study, and expected scores by benchmark."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.axes import FloatArray
from capscope.data import Responses, Study, task_labels, with_models_of
from capscope.errors import InputError, first_few, nearest
from capscope.fit import Fit, Posterior, load_fit
from capscope.intervals import quantile_bounds


def opened(source: Study | str | Path) -> Study:
    """Return a study as it is, or load it from its folder.

    Raises:
        InputError: There is no such folder, or its tables are no study.
    """
    return source if isinstance(source, Study) else Study.load(Path(source))


@dataclass(frozen=True)
class Places:
    """Benchmark and task of each item."""

    items: tuple[str, ...]
    """Ids on the item axis."""
    benchmark: np.ndarray
    """Benchmark of each."""
    task: np.ndarray
    """Task of each, with its benchmark's name."""

    def take(self, index: np.ndarray) -> "Places":
        """Return some of the items."""
        return Places(tuple(self.items[i] for i in index), self.benchmark[index], self.task[index])

    def table(self) -> pd.DataFrame:
        """Columns benchmark, task."""
        return pd.DataFrame({"benchmark": self.benchmark, "task": self.task})


def places_of(study: Study, items: tuple[str, ...]) -> Places:
    """Look up benchmark and task of items; items that the study does not describe belong to one of their own.

    Args:
        study: The study.
        items: Ids, in the order wanted.

    Returns:
        Benchmark and task of each item.
    """
    if study.items is None:
        return Places(items, np.full(len(items), "all"), np.full(len(items), "all"))
    ids = study.items["item_id"].astype(str)
    benchmark = pd.Series(study.items["benchmark"].astype(str).to_numpy(), index=ids)
    task = pd.Series(task_labels(study.items), index=ids)
    wanted = list(items)
    columns = [column.reindex(wanted).fillna("?").astype(str).to_numpy(dtype=str) for column in (benchmark, task)]
    return Places(items, columns[0], columns[1])


def clusters_of(study: Study, items: tuple[str, ...]) -> np.ndarray:
    """Label each item with its task; where all are of one task, or none is known, each item is its own cluster.

    Args:
        study: The study.
        items: Ids, in the order wanted.

    Returns:
        Name of each item's cluster, shape (item,).
    """
    if study.items is None:
        return np.array(items)
    labels = dict(zip(study.items["item_id"].astype(str), task_labels(study.items), strict=True))
    tasks = np.array([labels.get(item, f"?/{item}") for item in items])
    return np.array(items) if len(np.unique(tasks)) < 2 else tasks


def of_benchmark(study: Study, benchmark: str) -> Study:
    """Return the part of a study that belongs to one benchmark.

    Args:
        study: The study.
        benchmark: Its name in the table of items.

    Raises:
        InputError: There is no such benchmark.
    """
    items = study.require("items")
    known = sorted(items["benchmark"].astype(str).unique())
    if benchmark not in known:
        hint = nearest(benchmark, known)
        raise InputError(f"{study.name}: no benchmark '{benchmark}'{hint}; there are {first_few(known)}")
    return study.keep_items(pd.Index(items.loc[items["benchmark"] == benchmark, "item_id"]))


def expected_scores(
    fit: Fit[Any] | Posterior | str | Path,
    study: Study | str | Path,
    *,
    level: float = 0.9,
    draws: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Expected mean score of each model on a study's items: all of them, and each benchmark.

    The intervals are of the posterior: they hold for the expectation on these very items, over the uncertainty of
    abilities and items.

    Args:
        fit: A fit of any kind, its posterior, or the folder it is stored in.
        study: The items (with demand levels where the fit needs them), or their folder.
        level: Nominal coverage of the bounds.
        draws: Number of posterior draws, where the fit holds none.
        seed: Seed of the draws.

    Returns:
        Columns scope (`all`, `benchmark`), name, model, items, expected, lower, upper, answers, observed (mean score of
        the model's answers; NaN without any), best expected score first within each scope.

    Raises:
        InputError: The study lacks demand levels that the fit needs.
    """
    study = opened(study)
    if isinstance(fit, str | Path):
        fit = load_fit(Path(fit))
    posterior = fit.posterior if isinstance(fit, Fit) else fit
    ids = _item_ids(study)
    benchmark = places_of(study, ids).benchmark
    scopes = [("all", "all items", np.ones(len(ids), bool))]
    scopes += [("benchmark", str(name), benchmark == name) for name in np.unique(benchmark)]
    score, trials = _observed(study, posterior.models, ids)
    rows: list[dict[str, object]] = []
    for number, chance in enumerate(posterior.chances(study, np.random.default_rng(seed), draws=draws)):
        for scope, name, mask in scopes:
            means = _draws_of_mean(chance[mask], trials[number, mask])
            lower, upper = quantile_bounds(means, level)
            row: dict[str, object] = {"scope": scope, "name": name, "model": posterior.models[number]}
            row |= {"items": int(mask.sum()), "expected": float(means.mean())}
            answers = score[number, mask & (trials[number] > 0)]
            row |= {"lower": float(lower), "upper": float(upper), "answers": len(answers)}
            row["observed"] = float(answers.mean()) if len(answers) else float("nan")
            rows.append(row)
    table = pd.DataFrame(rows)
    keys = (-table["expected"].to_numpy(dtype=float), table["name"].astype(str), table["scope"].astype(str))
    return table.iloc[np.lexsort(keys)].reset_index(drop=True)


def _draws_of_mean(chance: FloatArray, trials: FloatArray) -> FloatArray:
    """Draws of the mean chance, spread at least as much as the answers to these items vary by themselves.

    The posterior takes abilities and items for independent, which understates the spread where few models answered.

    Args:
        chance: Chances (item, draw).
        trials: Number of trials of the model's answer to each item; 0 for none.
    """
    means, expected = chance.mean(axis=0), chance.mean(axis=1)
    answered = trials > 0
    variance = (expected * (1 - expected))[answered] / trials[answered]
    least = float(np.sqrt(variance.sum())) / len(chance)
    stretch = max(1.0, least / max(float(means.std()), 1e-12))
    return np.clip(means.mean() + stretch * (means - means.mean()), 0.0, 1.0)


def _item_ids(study: Study) -> tuple[str, ...]:
    """Sorted ids of a study's items, from whichever table names them."""
    table = next(iter(study.tables().values()))
    return tuple(sorted(table["item_id"].astype(str).unique()))


def _observed(study: Study, models: tuple[str, ...], ids: tuple[str, ...]) -> tuple[FloatArray, FloatArray]:
    """Mean score over trials and number of trials by (model, item); 0 trials where there is no answer."""
    score, trials = np.zeros((len(models), len(ids))), np.zeros((len(models), len(ids)))
    if study.responses is None:
        return score, trials
    responses = Responses.of(with_models_of(study, models))
    row = pd.Index(models).get_indexer(pd.Index(responses.models))
    column = pd.Index(ids).get_indexer(pd.Index(responses.items))
    table = responses.dense()
    kept, place = np.ix_(row >= 0, column >= 0), np.ix_(row[row >= 0], column[column >= 0])
    trials[place] = table.n_trials[kept]
    score[place] = np.nan_to_num(table.score[kept])
    return score, trials
