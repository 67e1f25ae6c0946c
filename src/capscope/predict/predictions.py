"""Results of a prediction: chances by model and item as arrays, and the tables and additive parts made of them."""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.axes import FloatArray, ModelItem, RowFloats
from capscope.display import ArrowTables, html_table
from capscope.errors import OutputError, counted
from capscope.files import refuse_file
from capscope.intervals import bounds_with
from capscope.predict.assessor import Chances

FORMATS = (".parquet", ".csv")
"""Endings of files of predictions."""


@dataclass(frozen=True)
class Predictions(ArrowTables):
    """Predicted chances of success, as tables."""

    table: pd.DataFrame
    """Columns item_id, model, p, lower, upper, in_support: p is the chance of success, the bounds are its interval."""
    scores: pd.DataFrame
    """Columns model, score, lower, upper: the share of the items that a model will get right, with its interval. The
    effects of labels and past benchmarks are included if all items are of one benchmark, else see
    `benchmark_scores`."""
    support: pd.DataFrame
    """Columns item_id, in_support, answers, known, reason: see `support_table`."""
    level: float
    """Nominal coverage of the bounds."""
    benchmark_scores: pd.DataFrame | None = None
    """Columns model, benchmark, score, lower, upper, labels: scores whose interval includes the benchmark's own effect;
    None from a fit without residuals of past benchmarks and without labels."""
    parts: pd.DataFrame | None = None
    """Columns item_id, model, part, log_odds, sd: additive parts of each chance; None unless asked for."""
    notes: tuple[str, ...] = ()
    """Remarks for the user, one line each."""
    chances: Chances | None = None
    """Chances and their log-odds (mean and standard deviation), in the order of the rows of `table`."""
    deferral: pd.DataFrame | None = None
    """Threshold of each model and what is known of it, see `deferral_rules`; None unless a risk is given."""

    def headline(self) -> str:
        """Name the best models with their intervals, and the benchmarks with the highest and lowest scores."""
        by_benchmark = self.benchmark_scores
        names = [] if by_benchmark is None else list(by_benchmark["benchmark"].unique())
        table = self.scores if by_benchmark is None or len(names) > 1 else by_benchmark
        ranked = table.sort_values("score", ascending=False, kind="stable").to_dict("records")
        best = ranked[0]
        text = (
            f"{best['model']} is expected to score {_with_bounds(best)} on {counted(len(self.support), 'item')}"
            f" ({100 * self.level:g} % interval)"
        )
        if len(ranked) > 1:
            near = sum(row["upper"] >= best["lower"] for row in ranked[1:])
            second = ranked[1]
            text += (
                f", the most of {len(ranked)} models\nnext is {second['model']} with {_with_bounds(second)};"
                f" the intervals of {near} of the {len(ranked) - 1} other models overlap with that of {best['model']}"
            )
        if by_benchmark is None or len(names) < 2:
            return text
        means = by_benchmark.groupby("benchmark", sort=False)["score"].mean()
        high, low = str(means.idxmax()), str(means.idxmin())
        mean = "mean score" if len(ranked) > 1 else "score"
        return (
            f"{text}\nof {len(names)} benchmarks, {high} has the highest {mean} ({means[high]:.3f}),"
            f" {low} the lowest ({means[low]:.3f})"
        )

    def __repr__(self) -> str:
        lines = [
            f"Predictions of {self.table['model'].nunique()} models on {counted(len(self.support), 'item')}",
            *self.notes,
        ]
        scores = self.scores.head(10).to_string(index=False, na_rep="-", float_format=lambda number: f"{number:.3f}")
        rest = [f"... {len(self.scores) - 10} more models"] if len(self.scores) > 10 else []
        return "\n".join([*lines, f"scores with {self.level:.0%} intervals:", scores, *rest])

    def _repr_html_(self) -> str:
        return html_table("Predicted scores", self.scores, f"Bounds of {self.level:.0%} intervals.")


def _with_bounds(row: dict[Hashable, Any]) -> str:
    return f"{row['score']:.3f} ({row['lower']:.3f} to {row['upper']:.3f})"


@dataclass(frozen=True, kw_only=True)
class CellPredictions:
    """Chances of every model on every item before they become tables; rows run over models first, then items."""

    models: tuple[str, ...]
    """Names on the model axis."""
    items: tuple[str, ...]
    """Ids on the item axis."""
    benchmark: tuple[str, ...]
    """Name of each item's benchmark."""
    chances: Chances
    """Chances and log-odds, as (row,)."""
    bounds: tuple[RowFloats, RowFloats]
    """Interval of each chance."""
    level: float
    """Nominal coverage of the bounds."""
    scores: pd.DataFrame
    """See `Predictions.scores`."""
    support: pd.DataFrame
    """See `Predictions.support`, in the order of `items`."""
    benchmark_scores: pd.DataFrame | None = None
    """See `Predictions.benchmark_scores`."""
    parts: pd.DataFrame | None = None
    """See `Predictions.parts`."""
    notes: tuple[str, ...] = ()
    """See `Predictions.notes`."""

    @property
    def known(self) -> np.ndarray:
        """Whether each item, or its task and benchmark, were learnt from."""
        return self.support["known"].to_numpy(dtype=bool)

    def grid(self, values: RowFloats) -> ModelItem:
        """Reshape rows to (model, item)."""
        return values.reshape(len(self.models), len(self.items))

    def with_chances(self, chances: Chances) -> "CellPredictions":
        """Replace the chances; their intervals follow from mean and standard deviation of the log-odds."""
        return replace(self, chances=chances, bounds=chances.bounds(self.level))

    def tables(self, model: str | None = None, defer_below: float | None = None) -> Predictions:
        """Make the tables.

        Args:
            model: Keep this model only.
            defer_below: Mark chances below this one in a column `defer`.
        """
        table = cell_table(self.models, self.items, self.chances.probability, self.bounds)
        table = table.assign(in_support=np.tile(self.support["in_support"].to_numpy(), len(self.models)))
        if defer_below is not None:
            table = table.assign(defer=table["p"] < defer_below)
        whole = Predictions(
            table,
            self.scores,
            self.support,
            self.level,
            self.benchmark_scores,
            self.parts,
            self.notes,
            self.chances,
        )
        return whole if model is None else _only_model(whole, model)


def cell_table(
    models: tuple[str, ...], items: tuple[str, ...], probability: RowFloats, bounds: tuple[RowFloats, RowFloats]
) -> pd.DataFrame:
    """Make the table of chances, models first: columns item_id, model, p, lower, upper.

    Args:
        models: Names of the models.
        items: Ids of the items.
        probability: Chances, models first, shape (model * item,).
        bounds: Lower and upper bounds, in the same order.
    """
    columns = {"item_id": np.tile(np.array(items), len(models)), "model": np.repeat(np.array(models), len(items))}
    return pd.DataFrame(columns | {"p": probability, "lower": bounds[0], "upper": bounds[1]})


def score_table(
    models: tuple[str, ...], probability: FloatArray, rng: np.random.Generator, level: float
) -> pd.DataFrame:
    """Predict the share of items that each model gets right, each item being passed or failed as a whole.

    Args:
        models: Names on the model axis.
        probability: Draws of chances, as (model, item, draw).
        rng: Source of randomness.
        level: Nominal coverage of the intervals.

    Returns:
        Columns model, score, lower, upper.
    """
    passed = rng.random(probability.shape) < probability
    score = probability.mean(axis=(1, 2))
    lower, upper = bounds_with(score, passed.mean(axis=1), level)
    return pd.DataFrame({"model": models, "score": score, "lower": lower, "upper": upper})


def _only_model(predictions: Predictions, model: str) -> Predictions:
    rows = (predictions.table["model"] == model).to_numpy()
    return replace(
        predictions,
        table=_of_model(predictions.table, model),
        scores=_of_model(predictions.scores, model),
        benchmark_scores=None
        if predictions.benchmark_scores is None
        else _of_model(predictions.benchmark_scores, model),
        parts=None if predictions.parts is None else _of_model(predictions.parts, model),
        chances=None if predictions.chances is None else predictions.chances.rows(rows),
    )


def _of_model(table: pd.DataFrame, model: str) -> pd.DataFrame:
    return table[table["model"] == model].reset_index(drop=True)


def refuse_prediction_file(path: Path, *, force: bool, option: str) -> None:
    """Refuse a file for predictions that exists, has another ending, or cannot be written; call it before the work.

    Args:
        path: File to be written.
        force: An existing file may be replaced.
        option: How the user named the file, for messages.

    Raises:
        OutputError: The file cannot be written.
    """
    refuse_file(path, force=force, option=option)
    if path.suffix not in FORMATS:
        raise OutputError(f"{path}: cannot write '{path.suffix}' files; name a .parquet or .csv file")
