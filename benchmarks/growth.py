"""How time and memory of a 2PL fit grow with the cells, from a million to a hundred million.

    python benchmarks/growth.py [--most 100000000] [--plot benchmarks/growth.svg]

Answers are simulated in chunks, one byte a cell; every fit runs in a process of its own with one thread.
"""

import argparse
import json
import os
import subprocess
import sys

import numpy as np

SIZES = ((500, 2_000), (1_000, 3_000), (2_000, 5_000), (3_000, 10_000), (5_000, 20_000))
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


def main() -> None:
    """Fit every size in a process of its own, print a table, draw a plot."""
    parser = argparse.ArgumentParser(description="growth of a fit with its cells")
    parser.add_argument("--most", type=int, default=100_000_000, help="largest number of cells")
    parser.add_argument("--plot", help="file for the plot, .svg")
    parser.add_argument("--size", type=int, nargs=2, help="models and items of one fit; used by the script itself")
    options = parser.parse_args()
    if options.size:
        print(json.dumps(one_fit(*options.size)))
        return
    rows = [measured(*size) for size in SIZES if size[0] * size[1] <= options.most]
    print("| models x items | cells | CPU s | ns a cell | sweeps | MB |\n|---|---|---|---|---|---|")
    for row in rows:
        each = 1e9 * row["cpu"] / row["cells"]
        print(
            f"| {row['models']} x {row['items']} | {row['cells']:.0e} | {row['cpu']:.2f} | {each:.0f} "
            f"| {row['sweeps']} | {row['mb']:.0f} |"
        )
    if options.plot:
        draw(rows, options.plot)


def measured(n_models: int, n_items: int) -> dict[str, float]:
    """One fit in a process of its own."""
    command = [sys.executable, __file__, "--size", str(n_models), str(n_items)]
    run = subprocess.run(command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def one_fit(n_models: int, n_items: int) -> dict[str, float]:
    """Simulate and fit; the time is that of the fit, the memory that of the process."""
    import torch

    from capscope.fit import GridAnswers, IRTSettings, Meter, fit_irt

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    ability = rng.standard_normal(n_models).astype(np.float32)
    slope = np.exp(0.4 * rng.standard_normal(n_items)).astype(np.float32)
    intercept = (0.3 + 1.2 * rng.standard_normal(n_items)).astype(np.float32)
    answer = np.empty((n_models, n_items), np.int8)
    for model in range(n_models):
        chance = 1 / (1 + np.exp(-(ability[model] * slope + intercept)))
        answer[model] = rng.random(n_items, np.float32) < chance
    names = tuple(f"m{i}" for i in range(n_models)), tuple(f"i{i}" for i in range(n_items))
    meter = Meter()
    fit = fit_irt(GridAnswers(*names, answer), IRTSettings(model="2pl", form="signed", device="cpu"))
    cost = meter.read()
    found = np.corrcoef(fit.posterior.ability_mean[:, 0], ability)[0, 1]
    assert found > 0.98, f"abilities correlate {found:.3f} with the truth"
    sizes = {"models": n_models, "items": n_items, "cells": n_models * n_items}
    return sizes | {"cpu": cost.cpu_seconds, "sweeps": len(fit.history), "mb": cost.peak_memory_mb}


def draw(rows: list[dict[str, float]], path: str) -> None:
    """CPU seconds against cells, both on log scales, beside a line of slope one."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "growth"})
    from matplotlib import pyplot

    cells, cpu = (np.array([row[name] for row in rows]) for name in ("cells", "cpu"))
    figure, axes = pyplot.subplots(figsize=(4.5, 3))
    axes.loglog(cells, cpu, "o-", label="2PL fit, one thread")
    axes.loglog(cells, cpu[-1] * cells / cells[-1], "--", color="grey", label="linear in cells")
    axes.set_xlabel("cells")
    axes.set_ylabel("CPU seconds")
    axes.legend(frameon=False)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    main()
