"""Scores of larger models from the answers of smaller ones, item by item: which items scale, and where they lead.

The items of a benchmark fall into clusters by how their pass rates change over a ladder of models. Clusters that rise
steadily are extrapolated, a smooth map from these to the other items completes the score (clusters of difficulty: Xu
et al., 2025), and this is pooled with the mean score's own curve. A benchmark whose items do not rise, whose largest
models leave the curve of the smaller ones, or whose interval is too wide is not predictable there, and gets no score.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.axes import FloatArray
from capscope.data import ArrowTable, Responses, Study, guess_chance
from capscope.display import ArrowTables, html_table, short_repr
from capscope.errors import InputError, counted, first_few
from capscope.forecast.benchmark_scaling import (
    FARTHEST,
    FEWEST_MODELS,
    FEWEST_SCALES,
    LadderAnswers,
    fit_benchmark,
    too_few,
)
from capscope.forecast.facts import LOGARITHMIC, amounts, as_years, read_models
from capscope.forecast.item_clusters import rungs_of

SCALES = (("compute",), ("size", "tokens"), ("size",), ("tokens",), ("date",))
"""What a ladder may be made of, the first that most models have by default."""


@dataclass(frozen=True, kw_only=True)
class ScalingSettings:
    """Settings of `item_scaling`."""

    at: dict[str, object] = field(default_factory=dict)
    """Facts of the model to forecast: `compute`, `size`, `tokens` or `date`; by default twice the largest scale, or a
    date up to a year after the last."""
    benchmark: str | None = None
    """Forecast this benchmark only."""
    holdout: int = 0
    """Largest rungs of the ladder that are left out and forecast."""
    level: float = 0.8
    """Coverage of the intervals."""
    seed: int = 0
    """Seed of everything random."""


@dataclass(frozen=True)
class ItemScaling(ArrowTables):
    """Forecasts of benchmarks at a scale, by clusters of items."""

    benchmarks: pd.DataFrame
    """benchmark, items, predictable, reason, score, lower, upper (share; NaN where not predictable; a pool of the next
    two), by_clusters, plain, plain_lower, plain_upper (the mean score's own curve), scaling_items (share in clusters
    that are extrapolated), never_passed (items that no model passed)."""
    clusters: pd.DataFrame
    """benchmark, cluster, items, scales, why, now (rate at the largest scale), rate, lower, upper, slope (link scale a
    doubling), slope_lower, slope_upper, samples (expected until one passes), samples_lower, samples_upper."""
    held_out: pd.DataFrame | None
    """model, benchmark, observed (its score), and the columns of `benchmarks` for it; None without `holdout`."""
    scale: str
    """What the ladder is made of."""
    at: float | None
    """The scale that is forecast, in its own unit; None with `holdout`."""
    ladder: tuple[float, float]
    """Smallest and largest scale of the models that are known."""
    models: int
    """Models of the ladder."""
    level: float
    """Coverage of the intervals."""
    notes: tuple[str, ...] = ()
    """What was left out."""

    __repr__ = short_repr

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; what is not predictable is null."""
        return {
            "scale": self.scale,
            "at": self.at,
            "ladder": {"models": self.models, "smallest": self.ladder[0], "largest": self.ladder[1]},
            "level": self.level,
            "notes": list(self.notes),
            "benchmarks": _records(self.benchmarks),
            "clusters": _records(self.clusters),
            "held_out": None if self.held_out is None else _records(self.held_out),
            "errors": None if self.held_out is None else held_out_errors(self.held_out),
        }

    def as_text(self) -> str:
        """Return one paragraph for each benchmark; with `holdout`, errors and coverage."""
        lines = [f"note: {note}" for note in self.notes]
        low, high = self.ladder
        lines.append(f"{counted(self.models, 'model')} from {self.scale} {low:.4g} to {high:.4g}")
        if self.held_out is not None:
            return "\n".join([*lines, *(error_line(row) for row in held_out_errors(self.held_out))])
        lines.append(f"Forecasts at {self.scale} {self.at:.4g}, {100 * self.level:.0f} % intervals:")
        for row in self.benchmarks.to_dict("records"):
            lines += [_benchmark_line(row), *map(_cluster_line, _records(self._clusters_of(row["benchmark"])))]
        return "\n".join(lines)

    def _clusters_of(self, benchmark: str) -> pd.DataFrame:
        return self.clusters[self.clusters["benchmark"] == benchmark] if len(self.clusters) else self.clusters

    def _repr_html_(self) -> str:
        return html_table(f"Forecasts at {self.scale} {self.at}", self.benchmarks)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(key): None if isinstance(value, float) and not np.isfinite(value) else value for key, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _benchmark_line(row: dict[Any, Any]) -> str:
    plain = f"{100 * row['plain']:.1f} ({100 * row['plain_lower']:.1f} to {100 * row['plain_upper']:.1f})"
    if not row["predictable"]:
        return f"  {row['benchmark']}: not predictable: {row['reason']}"
    return (
        f"  {row['benchmark']}: {100 * row['score']:.1f} ({100 * row['lower']:.1f} to {100 * row['upper']:.1f}),"
        f" {100 * row['scaling_items']:.0f} % of the items scale; by the mean score alone {plain}"
    )


def _cluster_line(row: dict[Any, Any]) -> str:
    now = f"    cluster {row['cluster']}, {counted(round(row['items']), 'item')}: {100 * row['now']:.1f} now"
    if not row["scales"]:
        return f"{now}; left out: {row['why']}"
    bounds = f"{100 * row['rate']:.1f} ({100 * row['lower']:.1f} to {100 * row['upper']:.1f})"
    samples = f"; {row['samples']:.3g} samples until one passes" if row["rate"] < 0.5 else ""
    return f"{now}, then {bounds}{samples}"


def item_scaling(
    study: Study,
    models: pd.DataFrame | ArrowTable | str | Path,
    *,
    settings: ScalingSettings | None = None,
) -> ItemScaling:
    """Forecast the scores of a larger model from the item answers of smaller ones.

    Args:
        study: Items and responses; several trials of an item count as such (`n_trials`). Where a model was sampled
            until it passed once, the score is one over the number of samples.
        models: What is known of the models: columns model, and size, tokens, compute or date.
        settings: The scale to forecast, or rungs to leave out, level and seed.

    Returns:
        Forecasts by benchmark with intervals, or the reason why there is none, and the clusters of items.

    Raises:
        InputError: Too few models have a scale, or a fact or benchmark is unknown.
    """
    chosen = settings or ScalingSettings()
    responses = Responses.of(study)
    ladder = _ladder(models, responses.models, chosen.at)
    dense = responses.dense()
    right, trials = dense.right[ladder.rows], dense.n_trials[ladder.rows]
    held: list[dict[str, object]] = []
    rows: list[dict[str, object]] = []
    clusters: list[dict[str, object]] = []
    hidden = _top_rungs(ladder, chosen.holdout)
    for name, columns, chance in _benchmarks(study, responses, chosen.benchmark):
        data = LadderAnswers(ladder.scale, right[:, columns], trials[:, columns], chance)
        few = too_few(data.rows(~hidden))
        if few is not None:
            rows.append({"benchmark": name, **few})
        elif chosen.holdout:
            fitted = fit_benchmark(data.rows(~hidden), chosen.level, chosen.seed)
            for row in np.flatnonzero(hidden & (data.trials.sum(1) > 0)):
                score = float(data.right[row].sum() / data.trials[row].sum())
                forecast = fitted.at(float(ladder.scale[row]))
                held.append({"model": ladder.names[row], "benchmark": name, "observed": score, **forecast})
        else:
            fitted = fit_benchmark(data, chosen.level, chosen.seed)
            rows.append({"benchmark": name, **fitted.at(ladder.target)})
            clusters += [{"benchmark": name, **row} for row in fitted.cluster_rows(ladder.target)]
    if chosen.holdout and not held:
        raise InputError("--holdout: no benchmark has enough models below the rungs that are left out")
    known = ladder.scale[~hidden]
    return ItemScaling(
        pd.DataFrame(rows),
        pd.DataFrame(clusters),
        pd.DataFrame(held) if chosen.holdout else None,
        ladder.name,
        None if chosen.holdout else ladder.plain(ladder.target),
        (ladder.plain(float(known.min())), ladder.plain(float(known.max()))),
        int((~hidden).sum()),
        chosen.level,
        ladder.notes,
    )


@dataclass(frozen=True)
class _Ladder:
    """Models with a scale: the log of compute, size or tokens, or the date in years."""

    name: str
    names: tuple[str, ...]
    rows: np.ndarray
    """Places of the models among all models of the study."""
    scale: FloatArray
    target: float
    notes: tuple[str, ...]

    def plain(self, scale: float) -> float:
        """Return a scale in its own unit."""
        return scale if self.name == "date" else float(np.exp(scale))


def _ladder(models: pd.DataFrame | ArrowTable | str | Path, names: tuple[str, ...], at: dict[str, object]) -> _Ladder:
    table, _ = read_models(models, pd.Index(names))
    known = {kind: _scales(table, kind) for kind in SCALES}
    usable = {kind: values for kind, values in known.items() if len(np.unique(values[np.isfinite(values)])) > 1}
    if at:
        wanted = tuple(sorted(at))
        if wanted not in known:
            raise InputError(
                f"--at {','.join(at)}: a ladder is made of {', '.join(' and '.join(kind) for kind in SCALES)}; give one"
            )
        usable = {kind: values for kind, values in usable.items() if kind == wanted}
    if not usable:
        raise InputError(_no_ladder(table, at))
    kind = max(usable, key=lambda kind: int(np.isfinite(usable[kind]).sum()))
    values = usable[kind]
    rows = np.flatnonzero(np.isfinite(values))
    name = " x ".join(kind)
    if len(rows) < FEWEST_MODELS or len(np.unique(values[rows])) < FEWEST_SCALES:
        raise InputError(
            f"{counted(len(rows), 'model')} of {len(np.unique(values[rows]))} different {name} have answers;"
            f" a ladder needs {FEWEST_MODELS} models of {FEWEST_SCALES}"
        )
    further = np.log(2) if kind != ("date",) else min(1.0, FARTHEST / 2 * float(np.ptp(values[rows])))
    target = float(values[rows].max() + further)
    if at:
        target = float(_scales(pd.DataFrame({key: [value] for key, value in at.items()}), kind)[0])
        if not np.isfinite(target):
            raise InputError(f"--at {','.join(f'{key}={value}' for key, value in at.items())}: give positive numbers")
    without = [model for row, model in enumerate(names) if row not in set(rows.tolist())]
    notes = (f"{counted(len(without), 'model', 'have')} no {name}: {first_few(without, 3)}",) if without else ()
    return _Ladder(name, tuple(names[row] for row in rows), rows, values[rows], target, notes)


def _no_ladder(table: pd.DataFrame, at: dict[str, object]) -> str:
    """Return a message on a table of models without a ladder: a value that is no number, or no column."""
    wanted = list(at) or ["size", "tokens", "compute", "date"]
    for name in [name for name in wanted if name in table]:
        given = table[name].dropna()
        wrong = given[~np.isfinite(_scales(given.to_frame(), (name,)))]
        if len(wrong):
            need = "a date such as 2025-03" if name == "date" else "a positive number, such as 7 for 7 billion"
            return f"the {name} of model '{wrong.index[0]}' is '{wrong.iloc[0]}'; write {need}"
    missing = ",".join(at) or "size, tokens, compute or date"
    return f"the table of models has no two different values of {missing}; add that column to --models"


def _scales(table: pd.DataFrame, kind: tuple[str, ...]) -> FloatArray:
    """Return the log of the product of facts, or the date in years; NaN where one is unknown."""
    total = np.zeros(len(table))
    for name in kind:
        if name not in table:
            return np.full(len(table), np.nan)
        if name not in LOGARITHMIC:
            return as_years(table[name])
        values = amounts(table[name], name)
        total = total + np.log(np.where(values > 0, values, np.nan))
    return total


def _top_rungs(ladder: _Ladder, count: int) -> np.ndarray:
    rung = rungs_of(ladder.scale)
    hidden = rung > rung.max() - count
    left = ladder.scale[~hidden]
    if len(left) < FEWEST_MODELS or len(np.unique(left)) < FEWEST_SCALES:
        raise InputError(
            f"--holdout {count}: {counted(len(left), 'model')} of {len(np.unique(left))} {ladder.name} are left;"
            f" a ladder needs {FEWEST_MODELS} models of {FEWEST_SCALES}"
        )
    return hidden


def _benchmarks(
    study: Study, responses: Responses, wanted: str | None
) -> list[tuple[str, np.ndarray, FloatArray | None]]:
    """Return the name, the items and the chances of a guess of each benchmark; without items, all are one."""
    if study.items is None:
        return [("all items", np.arange(len(responses.items)), None)]
    items = study.items.assign(item_id=study.items["item_id"].astype(str)).set_index("item_id")
    items = items.reindex(list(responses.items))
    chance = items.get("chance")
    if chance is None and "n_options" in items:
        chance = guess_chance(items["n_options"])
    label = items["benchmark"].astype("string").fillna("no benchmark").to_numpy(dtype=str)
    names = list(dict.fromkeys(label.tolist()))
    if wanted is not None and wanted not in names:
        raise InputError(f"--benchmark {wanted}: the study has {first_few(names)}")
    result: list[tuple[str, np.ndarray, FloatArray | None]] = []
    for name in names if wanted is None else [wanted]:
        columns = np.flatnonzero(label == name)
        stated = None if chance is None else chance.to_numpy(dtype=float, na_value=np.nan)[columns]
        result.append((name, columns, None if stated is None or np.isnan(stated).any() else stated))
    return result


def held_out_errors(held: pd.DataFrame) -> list[dict[str, Any]]:
    """Return errors and coverage on models that were left out, by benchmark, in points of percent.

    Args:
        held: Rows of models and benchmarks, see `ItemScaling.held_out`.

    Returns:
        benchmark, n, predictable (share of the rows), reason, and for the predictable rows mean_error and coverage,
        beside those of the mean score's own curve (`plain_`) on the same rows.
    """
    rows: list[dict[str, Any]] = []
    for benchmark, group in held.groupby("benchmark", sort=False):
        kept = group[group["predictable"]]
        row: dict[str, Any] = {"benchmark": benchmark, "n": len(group), "predictable": len(kept) / len(group)}
        row["reason"] = "" if len(kept) == len(group) else group.loc[~group["predictable"], "reason"].iloc[0]
        for name, ends in (("", ("lower", "upper")), ("plain_", ("plain_lower", "plain_upper"))):
            middle = kept["plain" if name else "score"]
            inside = (kept[ends[0]] <= kept["observed"]) & (kept["observed"] <= kept[ends[1]])
            row[f"{name}mean_error"] = 100 * float((middle - kept["observed"]).abs().mean()) if len(kept) else None
            row[f"{name}coverage"] = float(inside.mean()) if len(kept) else None
        rows.append(row)
    return rows


def error_line(row: dict[str, Any]) -> str:
    """Return the errors of one benchmark, a row of `held_out_errors`, as text."""
    head = f"  {row['benchmark']}: {counted(row['n'], 'model')} left out"
    if not row["predictable"]:
        return f"{head}; not predictable: {row['reason']}"
    return (
        f"{head}, {100 * row['predictable']:.0f} % predictable; mean error {row['mean_error']:.1f} points, intervals"
        f" cover {100 * row['coverage']:.0f} %; by the mean score alone {row['plain_mean_error']:.1f} and"
        f" {100 * row['plain_coverage']:.0f} %"
    )
