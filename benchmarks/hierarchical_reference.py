"""Make the NUTS reference of the hierarchical curves on the published level counts.

    python benchmarks/hierarchical_reference.py

Writes artifacts/adele-v1/hierarchical_reference.csv (model, rubric, mean, sd) and .json (how it was made).
"""

import json
import platform
import time
from importlib.metadata import version

import pandas as pd
import torch

from capscope.data import read_level_counts, shipped
from capscope.fit import fit_curves

DRAWS, SEED = 1500, 1


def main() -> None:
    """Run the chain and write its summary."""
    torch.set_num_threads(1)
    folder = shipped("artifacts/adele-v1")
    start = time.perf_counter()
    posterior = fit_curves(
        read_level_counts(folder / "level_counts.csv"), engine="nuts", draws=DRAWS, seed=SEED
    ).posterior
    seconds = time.perf_counter() - start
    index = pd.MultiIndex.from_product([posterior.models, posterior.dims], names=["model", "rubric"])
    summary = {"mean": posterior.ability_mean.ravel(), "sd": posterior.ability_sd.ravel()}
    pd.DataFrame(summary, index=index).round(4).to_csv(folder / "hierarchical_reference.csv")
    versions = {name: version(name) for name in ("torch", "pyro-ppl", "numpy")}
    made = {
        "script": "benchmarks/hierarchical_reference.py",
        "engine": "NUTS, one chain from the Laplace approximation, 300 warm-up steps",
        "draws": DRAWS,
        "seed": SEED,
        "seconds": round(seconds),
        "mean_concentration": round(float(posterior.concentration.mean()), 1),
        "mean_level_effect_sd": round(float(posterior.level_effect_sd.mean()), 3),
        "python": platform.python_version(),
        "versions": versions,
    }
    (folder / "hierarchical_reference.json").write_text(json.dumps(made, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
