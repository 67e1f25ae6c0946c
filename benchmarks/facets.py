"""Whose are an agent's results? Splits real agents into model, scaffold and effort; writes the figures of facets.md.

Run: python benchmarks/facets.py DATA, where DATA holds the folders `agentic` and `tb_science`.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from capscope import Study, evaluate, fit
from capscope.data import check_study
from capscope.decide.routing.cost_per_success import ratio_interval
from capscope.profiles import part_effects

PARTS = {
    "Claude 4 Sonnet - 10132025": ("claude-sonnet-4", "october"),
    "Claude Sonnet 4 - paper": ("claude-sonnet-4", "paper"),
    "Claude 4.5 Sonnet - 10132025": ("claude-sonnet-4.5", "october"),
    "Claude 4.5 Haiku -- 10222025": ("claude-haiku-4.5", "october"),
    "Claude Opus 4.1 - paper": ("claude-opus-4.1", "paper"),
    "GLM-4.5 -- 10222025": ("glm-4.5", "october"),
    "GPT OSS - paper": ("gpt-oss", "paper"),
    "GPT-4o - paper": ("gpt-4o", "paper"),
    "GPT-5 - 10132025": ("gpt-5", "october"),
    "GPT-5 Codex -- debug-oct22": ("gpt-5-codex", "debug"),
    "GPT-5 High - paper": ("gpt-5", "paper"),
    "Gemini 2.5 Pro Preview - paper": ("gemini-2.5-pro", "paper"),
    "Gemini 2.5 Pro Preview -- debug-oct22": ("gemini-2.5-pro", "debug"),
    "Kimi - paper": ("kimi-k2", "paper"),
}
"""Model and scaffold of the agents of SWE-bench Pro, as their names tell them."""


def agentic(data: Path, *, both: bool) -> Study:
    """Answers of the agents of SWE-bench Pro; with `both`, also of GSO, whose agents have a scaffold of their own."""
    pro = pd.read_parquet(data / "agentic" / "swebench_pro_responses.parquet")
    parts = [PARTS[name] for name in pro["model"]]
    pro = pro.assign(model=[model for model, _ in parts], scaffold=[scaffold for _, scaffold in parts])
    tables, benchmark = [pro], dict.fromkeys(pro["item_id"].unique(), "SWE-bench Pro")
    if both:
        gso = pd.read_parquet(data / "agentic" / "gso_responses.parquet").assign(scaffold="gso")
        tables.append(gso)
        benchmark |= dict.fromkeys(gso["item_id"].unique(), "GSO")
    items = pd.DataFrame({"item_id": list(benchmark), "benchmark": list(benchmark.values())})
    return Study.of(items, pd.concat(tables, ignore_index=True), name="agentic")


def tb_science(data: Path) -> Study:
    """Answers of Terminal-Bench Science with the base model, the scaffold and the effort apart, and demands."""
    folder = data / "tb_science"
    responses = pd.read_parquet(folder / "responses.parquet").drop(columns=["benchmark", "n_success"])
    responses = responses.assign(model=responses.pop("base_model"))
    demands = pd.read_parquet(folder / "demands.parquet").drop(columns="benchmark")
    return Study.of(pd.read_parquet(folder / "items.parquet"), responses, demands, name="tb_science")


def unseen_pairs(study: Study, title: str, seeds: int) -> None:
    """Log-loss on agents held out whole, whose model and scaffold were both seen in others."""
    agents = study.require("responses")[["model", "scaffold"]].astype(str).drop_duplicates()
    evaluation = evaluate(study, "new-pair", ["rasch", "agents", "stacked"], folds=len(agents), seeds=seeds)
    rows = {name: {key: values[key] for key in ("log_loss", "brier", "auroc", "ece")} for name, values in
            evaluation.as_dict()["assessors"].items()}  # fmt: skip
    print(f"\n## {title}: unseen pairs of seen parts\n\n{pd.DataFrame(rows).T.round(4).to_string()}")


def terminal_bench_science(study: Study) -> None:
    """Which effects are separable in a nested design, and whether demands explain anything."""
    print("\n## tb_science\n")
    print("\n".join(f"- {line}" for line in check_study(study).design))
    fitted = fit(study, "rasch")
    for by in ("model", "scaffold", "effort"):
        effects = part_effects(fitted, by)
        print(f"\n{effects.effects.drop(columns='factor').round(3).to_string(index=False)}")
    print(f"\n{effects.scales.round(3).to_string(index=False)}")
    table = study.require("demands").pivot_table(index="item_id", columns="rubric", values="level", aggfunc="mean")
    means = study.require("responses").groupby("item_id", observed=True)["score"].mean()
    rng = np.random.default_rng(0)
    print(
        "\n| demand | levels | items | Spearman with the solve rate | 90 % interval over items |\n|---|---|---|---|---|"
    )
    for rubric in table:
        both = pd.concat([table[rubric], means], axis=1, join="inner").dropna().to_numpy()
        draws = [_spearman(both[rng.integers(0, len(both), len(both))]) for _ in range(500)]
        low, high = np.nanquantile(draws, [0.05, 0.95])
        levels = "/".join(f"{value:g}" for value in np.unique(both[:, 0]))
        print(f"| {rubric} | {levels} | {len(both)} | {_spearman(both):+.2f} | {low:+.2f} to {high:+.2f} |")
    pro = evaluate(study, "id", ["rasch", "explanatory"], folds=5, seeds=3).as_dict()["assessors"]
    print("\nlog-loss on new tasks:", {name: round(values["log_loss"], 4) for name, values in pro.items()})


def ratio_coverage(draws: int = 2000) -> None:
    """Coverage of 90 % intervals of cost per success: lognormal costs, twice as high for failures."""
    print(
        "\n## cost per success: coverage\n\n| items | success rate | sd of log costs | covers | truth below | above |"
    )
    for n, rate, spread in ((n, r, s) for n in (30, 200) for r in (0.1, 0.5, 0.9) for s in (0.5, 1.0)):
        rng, truth = np.random.default_rng(2), np.exp(spread**2 / 2) * (rate + 2 * (1 - rate)) / rate
        below = above = 0
        for _ in range(draws):
            right = (rng.random(n) < rate) * 1.0
            lower, upper = ratio_interval(np.exp(spread * rng.normal(size=n) + np.log(2) * (1 - right)), right, 0.9)
            below, above = below + (truth < lower), above + (truth > upper)
        shares = [f"{100 * count / draws:.1f}" for count in (draws - below - above, below, above)]
        print(f"| {n} | {rate} | {spread} | {' | '.join(shares)} |")


def _spearman(pairs: np.ndarray) -> float:
    return float(pd.DataFrame(pairs).corr(method="spearman").iloc[0, 1])


if __name__ == "__main__":
    root = Path(sys.argv[1])
    ratio_coverage()
    unseen_pairs(agentic(root, both=False), "SWE-bench Pro", 1)
    unseen_pairs(agentic(root, both=True), "SWE-bench Pro and GSO", 1)
    terminal_bench_science(tb_science(root))
