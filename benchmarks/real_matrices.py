"""Real answer matrices under ``--model auto``: held-out log-loss, AUROC, dimensions, CPU seconds.

    python benchmarks/real_matrices.py DATA [--matrix NAME ...]

DATA holds the folders openllm_v2, metabench_openllm_v1 and livecodebench, each with responses.parquet. A fifth of the
cells is held out with seed 0; the choice of the model sees none of them.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

from capscope.data import Responses
from capscope.fit import IRTSettings, Meter, fit_irt
from capscope.fit.links import log_loss_of


@dataclass(frozen=True)
class Source:
    """Where a matrix comes from."""

    folder: str
    benchmark: str = ""
    """Items of this benchmark only."""
    unscored: str = "drop"
    """What is done with scores below 0: ``drop``, ``zero``, or ``cut`` (drop, and cut the others at one half)."""


SOURCES = {
    "BBH": Source("openllm_v2", "BBH"),
    "MMLU-Pro": Source("openllm_v2", "MMLU-Pro"),
    "metabench": Source("metabench_openllm_v1"),
    "LiveCodeBench, unscored dropped": Source("livecodebench"),
    "LiveCodeBench, unscored as 0": Source("livecodebench", unscored="zero"),
    "LiveCodeBench, cut at one half": Source("livecodebench", unscored="cut"),
}


def main() -> None:
    """Fit each matrix and print a row of a table."""
    parser = argparse.ArgumentParser(description="real matrices under --model auto")
    parser.add_argument("data", type=Path)
    parser.add_argument("--matrix", nargs="+", choices=list(SOURCES), default=list(SOURCES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| matrix | models x items | log-loss | AUROC | dimensions | CPU s | MB |\n|---|---|---|---|---|---|---|")
    for name in options.matrix:
        print(row(name, matrix(options.data, SOURCES[name])), flush=True)


def row(name: str, data: Responses) -> str:
    """Fit on four fifths, score on the rest."""
    held = np.random.default_rng(0).random(len(data.score)) < 0.2
    test = data.rows(held)
    meter = Meter()
    posterior = fit_irt(data.rows(~held), IRTSettings(device="cpu")).posterior
    cost = meter.read()
    chance = posterior.probability(test.model_index, test.item_index)
    loss = log_loss_of(chance, test.score)
    area = roc_auc_score(test.score >= 0.5, chance)
    size = f"{len(data.models):,} x {len(data.items):,}"
    return (
        f"| {name} | {size} | {loss:.4f} | {area:.4f} | {posterior.dims} "
        f"| {cost.cpu_seconds:.1f} | {cost.peak_memory_mb:.0f} |"
    )


def matrix(data: Path, source: Source) -> Responses:
    """The answers of one source, one trial each."""
    frame = pd.read_parquet(data / source.folder / "responses.parquet", columns=["model", "item_id", "score"])
    if source.benchmark:
        items = pd.read_parquet(data / source.folder / "items.parquet", columns=["item_id", "benchmark"])
        wanted = items["benchmark"].str.lower() == source.benchmark.lower()
        frame = frame[frame["item_id"].isin(items.loc[wanted, "item_id"])]
    score = frame["score"].clip(0, 1) if source.unscored == "zero" else frame["score"]
    keep = score >= 0
    frame, score = frame[keep], score[keep].to_numpy(float)
    if source.unscored == "cut":
        score = (score >= 0.5).astype(float)
    model, item = (frame[column].astype(str).astype("category") for column in ("model", "item_id"))
    return Responses(
        tuple(model.cat.categories),
        tuple(item.cat.categories),
        model.cat.codes.to_numpy().astype(np.int64),
        item.cat.codes.to_numpy().astype(np.int64),
        score,
        np.ones(len(score)),
    )


if __name__ == "__main__":
    main()
