"""How far ``--model auto`` is behind the best of one, two, four and eight dimensions on held-out answers, over seeds.

    python benchmarks/auto_choice.py ../shared/data [--seeds 10] [--matrix NAME ...]

A fifth of the answers is held out at each seed; neither the fits nor the choice see any of them. The best of each seed
is known only after the fact, and differs from seed to seed where few answers are held out; the best number for all
seeds is what a user could have settled on. Matrices of more than
`MOST_ITEMS` items are drawn down to so many, anew at each seed.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from capscope.data import Responses, Study
from capscope.fit import IRTSettings, fit_irt
from capscope.fit.links import log_loss_of

DIMS = (1, 2, 4, 8)
MOST_ITEMS = 600
SOURCES = {
    "GSO": "agentic/gso_responses",
    "SWE-bench Pro": "agentic/swebench_pro_responses",
    "TB-Science": "tb_science/responses",
    "Julia": "julia_codegen_repeats/responses",
    "LSAT and other tests": "classical_irt/responses",
    "ZeroEval": "zeroeval_2024/responses",
    "BBH and MATH": "joined_bbh_math/responses",
    "LiveCodeBench n10": "livecodebench_n10/responses",
}


def main() -> None:
    """Print a row for each matrix."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--matrix", nargs="+", choices=list(SOURCES), default=list(SOURCES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| matrix | models x items | behind the best number for all seeds | behind the best of each seed: mean"
        " | worst seed | dimensions taken | s a seed |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in options.matrix:
        begun = time.monotonic()
        losses, taken, size = zip(*(trial(options.data, name, seed) for seed in range(options.seeds)), strict=True)
        single = min(np.mean([of[choice] for of in losses]) for choice in DIMS)
        overall = np.mean([of["auto"] for of in losses]) - single
        behind = [of["auto"] - min(of[choice] for choice in DIMS) for of in losses]
        seconds = (time.monotonic() - begun) / options.seeds
        shown = ", ".join(map(str, taken))
        figures = f"{overall:+.4f} | {np.mean(behind):+.4f} | {max(behind):+.4f}"
        print(f"| {name} | {size[0]} | {figures} | {shown} | {seconds:.0f} |", flush=True)


def trial(data: Path, name: str, seed: int) -> tuple[dict[str | int, float], int, str]:
    """Return the held-out log-loss of each choice, how many dimensions auto took, and the matrix's size."""
    rng = np.random.default_rng(seed)
    whole = matrix(data / f"{SOURCES[name]}.parquet", rng)
    held = rng.random(len(whole.score)) < 0.2
    training, test = whole.rows(~held), whole.rows(held)
    losses: dict[str | int, float] = {}
    dims = 0
    for choice in ("auto", *DIMS):
        several = isinstance(choice, int) and choice > 1
        model = "mirt" if several else "2pl" if choice == 1 else "auto"
        settings = IRTSettings(model=model, dims=choice if several else 1, device="cpu", seed=seed)
        posterior = fit_irt(training, settings).posterior
        dims = posterior.dims if choice == "auto" else dims
        known = np.isin(test.model_index, training.model_index) & np.isin(test.item_index, training.item_index)
        part = test.rows(known)
        losses[choice] = log_loss_of(posterior.answer_chances(part), part.score, part.n_trials)
    size = f"{len(whole.models)} x {len(whole.items)}"
    return losses, dims, size


def matrix(path: Path, rng: np.random.Generator) -> Responses:
    """Return the answers of one source."""
    frame = pd.read_parquet(path)
    if "person" in frame:
        frame = frame.assign(model=frame["dataset"].astype(str) + "/" + frame["person"].astype(str))
    if "answered" in frame:
        frame = frame.assign(item_id=frame["task"].astype(str) + "/" + frame["item_id"].astype(str))
    kept = [name for name in ("model", "item_id", "score", "n_trials") if name in frame]
    frame = frame.loc[frame["score"] >= 0, kept].assign(score=lambda rows: rows["score"].clip(0, 1))
    frame = frame.drop_duplicates(["model", "item_id"])
    ids = np.sort(frame["item_id"].astype(str).unique())
    if len(ids) > MOST_ITEMS:
        frame = frame[frame["item_id"].astype(str).isin(rng.choice(ids, MOST_ITEMS, replace=False))]
    return Responses.of(Study.of(responses=frame))


if __name__ == "__main__":
    main()
