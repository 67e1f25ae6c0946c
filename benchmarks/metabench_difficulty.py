"""Difficulties against the parameters that metabench's authors published from R mirt, benchmark by benchmark.

``python benchmarks/metabench_difficulty.py ../shared/data/metabench_openllm_v1`` fits each benchmark's items with the
model its authors chose (2PL, 3PL or 4PL) and correlates difficulties ``-d / a``, the ability halfway between floor and
ceiling. A correlation needs no linking: both scales are linear in each other.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from capscope.data import Responses
from capscope.fit import IRTPosterior, IRTSettings, fit_irt

LEAST_SLOPE, MOST_DIFFICULTY = 0.5, 3.0
"""An item is steep if its published slope is above the first and its difficulty within the second."""


@dataclass(frozen=True)
class Row:
    """One benchmark."""

    benchmark: str
    model: str
    n_items: int
    n_models: int
    pearson: float
    """Over all items."""
    spearman: float
    """Over all items, by rank."""
    n_steep: int
    """Items with a published slope and difficulty within bounds."""
    pearson_steep: float
    """Over those."""
    floor: float
    """Correlation of the floors; NaN for 2PL."""
    ability: float
    """Correlation of the abilities with those published."""
    cpu_seconds: float


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--benchmark", action="append", default=[])
    options = parser.parse_args()
    head = "| benchmark | model | items | models | r | rank r | steep items | r of these | r of floors "
    print(head + "| r of abilities | CPU s |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for benchmark in options.benchmark or ["arc", "gsm8k", "truthfulqa", "mmlu", "hellaswag", "winogrande"]:
        published = published_items(options.folder, benchmark)
        if len(published):
            print(_line(compare(options.folder, benchmark, published)), flush=True)


def published_items(folder: Path, benchmark: str) -> pd.DataFrame:
    """Published parameters of a benchmark's first form, by item."""
    table = pd.read_parquet(folder / "published_item_parameters_mirt.parquet")
    return table[(table["benchmark"] == benchmark) & (table["form"] == "A")].set_index("item_id")


def answers(folder: Path, items: pd.Index) -> Responses:
    """Answers to these items."""
    frame = pd.read_parquet(folder / "responses.parquet", filters=[("item_id", "in", list(items))])
    model, item = (frame[column].astype(str).astype("category") for column in ("model", "item_id"))
    return Responses(
        tuple(model.cat.categories),
        tuple(item.cat.categories),
        model.cat.codes.to_numpy().astype(np.int64),
        item.cat.codes.to_numpy().astype(np.int64),
        frame["score"].to_numpy(dtype=float),
        np.ones(len(frame)),
    )


def compare(folder: Path, benchmark: str, published: pd.DataFrame, model: str | None = None) -> Row:
    """Fit a benchmark and compare."""
    data = answers(folder, published.index)
    name = model or str(published["irt"].iloc[0]).lower()
    start = time.process_time()
    posterior = fit_irt(data, IRTSettings(model=name, form="signed")).posterior
    seconds = time.process_time() - start
    theirs = published.loc[list(posterior.items)]
    ours, other = posterior.difficulty()["mean"].to_numpy(), (-theirs["d"] / theirs["a"]).to_numpy()
    steep = ((theirs["a"] > LEAST_SLOPE) & (np.abs(other) < MOST_DIFFICULTY)).to_numpy()
    floors = np.corrcoef(posterior.floor, theirs["g"])[0, 1] if posterior.floor.any() else float("nan")
    return Row(
        benchmark,
        name,
        len(ours),
        len(data.models),
        float(np.corrcoef(ours, other)[0, 1]),
        float(spearmanr(ours, other).statistic),
        int(steep.sum()),
        float(np.corrcoef(ours[steep], other[steep])[0, 1]),
        float(floors),
        _ability_correlation(folder, benchmark, posterior),
        seconds,
    )


def _ability_correlation(folder: Path, benchmark: str, posterior: IRTPosterior) -> float:
    table = pd.read_parquet(folder / "published_thetas_mirt.parquet")
    table = table[(table["benchmark"] == benchmark) & (table["form"] == "A")].drop_duplicates("model")
    theirs = table.set_index("model")["theta"].reindex(list(posterior.models)).to_numpy()
    known = ~np.isnan(theirs)
    return float(np.corrcoef(posterior.ability_mean[known, 0], theirs[known])[0, 1])


def _line(row: Row) -> str:
    numbers = (row.pearson, row.spearman)
    middle = " | ".join(f"{value:.3f}" for value in numbers)
    tail = f"{row.n_steep} | {row.pearson_steep:.3f} | {row.floor:.2f} | {row.ability:.3f} | {row.cpu_seconds:.1f}"
    return f"| {row.benchmark} | {row.model} | {row.n_items} | {row.n_models} | {middle} | {tail} |"


if __name__ == "__main__":
    main()
