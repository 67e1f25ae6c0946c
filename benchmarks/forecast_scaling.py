"""Forecasts of larger models from item answers of smaller ones: simulated worlds, and real ladders.

    python benchmarks/forecast_scaling.py worlds [--worlds 100]
    python benchmarks/forecast_scaling.py real --data ../shared/data

Worlds: items with two-parameter curves over log compute, models that scatter around the line, one or eight trials.
Predictable worlds rise; others are flat at the chance of a guess and jump beyond the ladder, fall, turn at the largest
models, or have models that scatter so much that nothing can be said. Real ladders are those of `openllm_v2` (sizes of
81 models) and the final checkpoints of Pythia (`pythia_checkpoints`; subjects of MMLU are items with as many trials as
their standard errors tell), with the largest one and two rungs left out, beside the mean score's own curve and beside
`capscope forecast` on the table of scores.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.data import Study
from capscope.forecast import ScalingSettings, item_scaling, published_scores
from capscope.forecast.forecasters import HierarchicalForecaster

KINDS = ("rising", "steep", "guessing", "rare", "runs", "bent runs", "flat", "falling", "turning", "scattered")
PREDICTABLE = ("rising", "steep", "guessing", "rare", "runs", "bent runs")
RUNS = ("runs", "bent runs")
SIZES = ((7, 200, 1), (12, 100, 8), (30, 400, 1))
RUN_SIZES = ((11, 200, 1), (17, 100, 8), (31, 400, 1))


def world(kind: str, rng: np.random.Generator, models: int, items: int, trials: int) -> tuple[Study, pd.DataFrame]:
    """Draw answers of models over 12 doublings of compute; the largest is two doublings above the ladder."""
    x = np.r_[np.sort(rng.uniform(-1, 1, models - 2)), 1.0, 1.35]
    scatter = {"scattered": 1.5}.get(kind, 0.15)
    noise = rng.standard_normal(models)
    if kind in RUNS:
        x = np.sort(x)
        x[:-1] = x[:-1][np.arange(models - 1) // 2 * 2]
        noise[:-1] = 0.6**0.5 * noise[np.arange(models - 1) // 2 * 2] + 0.4**0.5 * rng.standard_normal(models - 1)
    slope = {"steep": 3.0, "flat": 0.0, "falling": -1.0}.get(kind, 1.5)
    ability = slope * x + scatter * noise
    if kind == "bent runs":
        ability = ability + rng.normal(0, 0.4) * (x**2 - 1 / 3)
    if kind == "turning":
        ability = np.where(x > 0.4, 2 * slope * 0.4 - slope * x, slope * x) + scatter * rng.standard_normal(models)
    difficulty = rng.normal({"rare": 4.0, "guessing": 0.5}.get(kind, rng.uniform(-0.5, 1.5)), 1.0, items)
    chance = 0.25 if kind in ("guessing", "flat") else 0.0
    known = 1 / (1 + np.exp(-np.exp(rng.normal(0, 0.3, items)) * (ability[:, None] - difficulty)))
    if kind == "flat":
        known[:] = 0.0
        known[-1] = 1 / (1 + np.exp(-rng.normal(1, 1, items)))
    share = rng.binomial(trials, chance + (1 - chance) * known) / trials
    names = [f"m{row:02d}" for row in range(models)]
    items_frame = pd.DataFrame({"item_id": [f"i{k}" for k in range(items)], "benchmark": kind, "task": "t"})
    if chance:
        items_frame["chance"] = chance
    answers = pd.DataFrame(share, index=names, columns=items_frame["item_id"]).rename_axis("model")
    long = answers.melt(ignore_index=False, var_name="item_id", value_name="score").reset_index()
    return Study.of(items_frame, long.assign(n_trials=trials)), pd.DataFrame({"model": names, "size": np.exp(4 * x)})


def run_worlds(count: int, seed: int, kinds: tuple[str, ...]) -> None:
    """Print coverage and how often worlds are called predictable."""
    rng = np.random.default_rng(seed)
    print(
        "| world | models | items | trials | predictable | mean error | cover | width | clusters, error | plain, error"
        " | plain cover | off by 15 |"
    )
    print("|---" * 12 + "|")
    for kind in kinds:
        for models, items, trials in RUN_SIZES if kind in RUNS else SIZES:
            frames = []
            for number in range(count):
                study, facts = world(kind, rng, models, items, trials)
                frames.append(item_scaling(study, facts, settings=ScalingSettings(holdout=1, seed=number)).held_out)
            held = pd.concat([frame[frame["model"] == frame["model"].max()] for frame in frames])
            print("|", " | ".join([kind, str(models), str(items), str(trials), *summary(held)]), "|", flush=True)


def summary(held: pd.DataFrame) -> list[str]:
    """Share predictable, error, coverage, width; of the mean score's curve; and share of all that are wrong calls."""
    kept = held[held["predictable"]]
    seen = kept["observed"]
    inside = (kept["lower"] <= seen) & (seen <= kept["upper"])
    plain = (kept["plain_lower"] <= seen) & (seen <= kept["plain_upper"])
    far = ((kept["score"] - seen).abs() > 0.15).sum() / max(len(held), 1)
    return [
        f"{100 * len(kept) / len(held):.0f} %",
        f"{100 * (kept['score'] - seen).abs().mean():.1f}",
        f"{100 * inside.mean():.0f} %",
        f"{100 * (kept['upper'] - kept['lower']).mean():.0f}",
        f"{100 * (kept['by_clusters'] - seen).abs().mean():.1f}",
        f"{100 * (kept['plain'] - seen).abs().mean():.1f}",
        f"{100 * plain.mean():.0f} %",
        f"{100 * far:.0f} %",
    ]


def pythia(folder: Path) -> tuple[Study, pd.DataFrame]:
    """Return the final checkpoints of Pythia: tasks are items, with as many trials as the standard errors tell."""
    frame = pd.read_parquet(folder / "pythia_checkpoints" / "checkpoints.parquet")
    frame = frame[(frame["metric"] == "acc") & (frame["step"] == 143000) & (frame["setting"] == "five-shot")]
    frame = frame.drop_duplicates(["model", "task"])
    trials = (frame["value"] * (1 - frame["value"]) / frame["stderr"] ** 2).clip(20, 1e5).round()
    mmlu = frame["task"].str.startswith("hendrycksTest")
    frame = frame.assign(benchmark=np.where(mmlu, "MMLU", frame["task"]), item_id=frame["task"], n_trials=trials)
    items = frame.drop_duplicates("item_id")[["item_id", "benchmark", "task"]]
    size = frame["model"].str.extract(r"pythia-([\d.]+)([mb])")
    sizes = size[0].astype(float) * np.where(size[1] == "m", 1e-3, 1.0)
    models = pd.DataFrame({"model": frame["model"], "size": sizes}).drop_duplicates("model")
    answers = frame.rename(columns={"value": "score"})[["model", "item_id", "score", "n_trials"]]
    return Study.of(items, answers), models


def open_llm(folder: Path) -> tuple[Study, pd.DataFrame]:
    """Return Open LLM Leaderboard v2, the tasks of BBH as benchmarks of their own."""
    study = Study.load(folder / "openllm_v2")
    assert study.items is not None
    named = np.where(
        study.items["benchmark"] == "BBH", "BBH " + study.items["task"].astype(str), study.items["benchmark"]
    )
    models = pd.read_parquet(folder / "openllm_v2" / "models.parquet").rename(columns={"params_b": "size"})
    return Study.of(study.items.assign(benchmark=named), study.responses), models


def by_scores(study: Study, models: pd.DataFrame, held: pd.DataFrame) -> pd.DataFrame:
    """Forecast the held-out models' scores from the table of scores and their sizes alone."""
    assert study.items is not None
    assert study.responses is not None
    answers = study.responses.astype({"item_id": str, "model": str}).merge(
        study.items[["item_id", "benchmark"]].astype(str), on="item_id"
    )
    weighted = answers.assign(n_trials=answers.get("n_trials", 1))
    weighted["right"] = weighted["score"] * weighted["n_trials"]
    total = weighted.groupby(["model", "benchmark"])[["right", "n_trials"]].sum()
    wide = (100 * total["right"] / total["n_trials"]).unstack("benchmark")
    kept = wide.loc[wide.index.isin(models.loc[models["size"].notna(), "model"])]
    out = held["model"].unique()
    table = published_scores(kept.reset_index(), models)
    mask = np.isin(table.names, out)[:, None] & np.isfinite(table.values)
    hidden = table.hidden(mask)
    cells = HierarchicalForecaster().fit(hidden, 0).cells(0.8)
    place = {name: row for row, name in enumerate(table.names)}
    column = {name: row for row, name in enumerate(table.benchmarks)}
    rows, columns = held["model"].map(place).to_numpy(), held["benchmark"].map(column).to_numpy()
    return held.assign(
        table=cells.score[rows, columns] / 100,
        table_lower=cells.lower[rows, columns] / 100,
        table_upper=cells.upper[rows, columns] / 100,
    )


def run_real(folder: Path, *, by_benchmark: bool) -> None:
    """Print errors and coverage on the largest rungs, which are left out."""
    for name, (study, models) in {"openllm_v2": open_llm(folder), "pythia": pythia(folder)}.items():
        for holdout in (1, 2):
            held = item_scaling(study, models, settings=ScalingSettings(holdout=holdout)).held_out
            assert held is not None
            both = by_scores(study, models, held)
            groups = both.groupby("benchmark", sort=False) if by_benchmark else []
            for label, group in [("all", both), *groups]:
                kept = group[group["predictable"]]
                table = (kept["table_lower"] <= kept["observed"]) & (kept["observed"] <= kept["table_upper"])
                error = 100 * (kept["table"] - kept["observed"]).abs().mean()
                why = "" if len(kept) else group["reason"].iloc[0]
                numbers = [*summary(group)[:-1], f"{error:.1f}", f"{100 * table.mean():.0f} %", why]
                print("|", " | ".join([name, str(holdout), label, str(len(group)), *numbers]), "|", flush=True)


def main() -> None:
    """Print one line a world, or a ladder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["worlds", "real"])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--by-benchmark", action="store_true")
    chosen = parser.parse_args()
    if chosen.what == "worlds":
        run_worlds(chosen.worlds, chosen.seed, tuple(chosen.kinds))
    else:
        run_real(chosen.data, by_benchmark=chosen.by_benchmark)


if __name__ == "__main__":
    main()
