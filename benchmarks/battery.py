"""Score estimators on held-out models, over three sets of real answers; the published batteries; what a choice costs.

python benchmarks/battery.py estimators [--set NAME...] [--split NAME...] [--seeds 10] [-n 20 50 100]
python benchmarks/battery.py adaptive [the same]
python benchmarks/battery.py profile [--set NAME...] [--seeds 10]
python benchmarks/battery.py published
python benchmarks/battery.py timing
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from capscope import Study
from capscope.battery import (
    SELECTORS,
    AdaptiveBattery,
    Bank,
    BatteryEvaluation,
    BatteryTrial,
    Curves,
    ItemPool,
    ability_posterior,
    evaluate_battery,
    past_bank,
    select_battery,
)
from capscope.battery.estimators.regression import Ridge

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FOLDERS = {"openllm_v2": "openllm_v2", "metabench": "metabench_openllm_v1", "livecodebench": "livecodebench"}
SPLITS = ("interpolation", "frontier", "family")
PUBLISHED = (("arc", "B"), ("gsm8k", "B"), ("mmlu", "A"), ("truthfulqa", "A"), ("winogrande", "A"))


def study_of(name: str) -> Study:
    """A study: 340 complete models of metabench by lot; livecodebench without the rows it marks as not run (-0.01)."""
    folder = DATA / FOLDERS[name]
    items, responses = pd.read_parquet(folder / "items.parquet"), pd.read_parquet(folder / "responses.parquet")
    responses = responses.astype({"model": str, "item_id": str})[["model", "item_id", "score"]]
    responses = responses[responses["score"] >= 0]
    if name == "metabench":
        answered = responses.groupby("model").size()
        complete = sorted(answered.index[answered == len(items)])
        kept = np.random.default_rng(0).choice(complete, 340, replace=False)
        responses = responses[responses["model"].isin(kept)]
    if name == "livecodebench":
        items = items.rename(columns={"scenario": "task"})
    return Study.of(items, responses)


def estimators(given: argparse.Namespace, method: str) -> None:
    """Print a row for each set, split and size: mean absolute error (coverage in %, width), all in points."""
    cells: list[BatteryEvaluation] = []
    for name in given.set:
        study = study_of(name)
        for split in given.split:
            start = time.process_time()
            found = evaluate_battery(
                study, BatteryTrial(n=tuple(given.n), split=split, seeds=given.seeds, method=method)
            )
            seconds = time.process_time() - start
            for cell in found:
                print(
                    f"| {name} | {split} | {cell.n} | {cell.estimates} | {_figures(cell)} | {seconds:.0f} |", flush=True
                )
            cells += found
    for estimator in cells[0].figures:
        covered = [(cell.figures[estimator].coverage95, cell.estimates) for cell in cells]
        pooled = sum(share * count for share, count in covered) / sum(count for _, count in covered)
        shares = [share for share, _ in covered]
        print(f"{estimator}: covers {pooled:.1%} of all, {min(shares):.1%} to {max(shares):.1%} in each cell")


def profile(given: argparse.Namespace) -> None:
    """Print how abilities from 100 answers correlate with those from all answers, over held-out models."""
    for name in given.set:
        whole = Bank.build(study_of(name), dims=1, max_sweeps=50)
        history, general, several = whole.known_scores(), [], []
        for seed in range(given.seeds):
            rng = np.random.default_rng(seed)
            order = rng.permutation(len(whole.models))
            new, past = order[: len(order) // 4], np.sort(order[len(order) // 4 :])
            bank = past_bank(whole, past)
            few, full = _abilities(bank, history[new], 100, rng)
            several.append([np.corrcoef(few[:, dim], full[:, dim])[0, 1] for dim in range(few.shape[1])])
            direction = bank.posterior.item_mean[:, :-1].mean(0)
            general.append(np.corrcoef(few @ direction, full @ direction)[0, 1])
        dims = ", ".join(f"{value:.2f}" for value in np.mean(several, axis=0))
        print(f"| {name} | {len(several[0])} | {np.mean(general):.3f} | {dims} |", flush=True)


def _abilities(bank: Bank, score: np.ndarray, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Abilities of models from so many of their answers, drawn evenly, and from all."""
    curves, few, full = Curves.of(bank), [], []
    for answers in score:
        answered = np.flatnonzero(~np.isnan(answers))
        drawn = rng.choice(answered, min(size, len(answered)), replace=False)
        for index, found in ((drawn, few), (answered, full)):
            found.append(ability_posterior(curves.take(index), answers[None, index]).mean[0])
    return np.array(few), np.array(full)


def _figures(cell: BatteryEvaluation) -> str:
    texts = [
        f"{found.mae_pp:.2f} ({100 * found.coverage95:.0f}, {found.width95_pp:.0f})" for found in cell.figures.values()
    ]
    if "adaptive" in cell.figures:
        even, chosen = cell.figures["mean"], cell.figures["adaptive"]
        texts.append(f"{(even.width95_pp / chosen.width95_pp) ** 2:.2f}")
        texts.append(f"{(even.rmse_pp / chosen.rmse_pp) ** 2:.2f}")
    return " | ".join(texts)


def published() -> None:
    """RMSE of the published full-benchmark score from the published battery, on a tenth of the models, ten times."""
    folder = DATA / FOLDERS["metabench"]
    items, models = pd.read_parquet(folder / "items.parquet"), pd.read_parquet(folder / "models.parquet")
    responses = pd.read_parquet(folder / "responses.parquet").astype({"model": str, "item_id": str})
    official = models.set_index("name")
    columns = {column.lower().replace("_", ""): column for column in official.columns}
    for benchmark, form in PUBLISHED:
        wanted = items.loc[(items["benchmark"] == benchmark) & (items["forms"] == form), "item_id"]
        part = responses[responses["item_id"].isin(wanted)]
        answers = part.pivot(index="model", columns="item_id", values="score").dropna()
        score = official[columns[benchmark]].reindex(answers.index)
        score = score.where(score > 0)  # 0.0 marks a run that failed; nobody has that on multiple choice
        answers, score = answers[score.notna()].to_numpy(float), score.dropna().to_numpy(float)
        summary = 3 * answers.shape[1] ** 0.5 * answers.mean(1, keepdims=True)
        features = np.concatenate([summary, summary**2 / summary.mean(), answers], axis=1)
        rmse: list[float] = []
        for seed in range(10):
            order = np.random.default_rng(seed).permutation(len(score))
            new, past = order[: len(score) // 10], order[len(score) // 10 :]
            error = Ridge.of(features[past], score[past]).predict(features[new]) - score[new]
            rmse.append(float(np.sqrt((error**2).mean())))
        print(f"| {benchmark} | {answers.shape[1]} | {len(score)} | {np.mean(rmse):.2f} | {np.std(rmse):.2f} |")


def large_bank(n_models: int = 100, n_items: int = 20000) -> Bank:
    """A bank of simulated answers with six abilities and demand levels."""
    rng = np.random.default_rng(0)
    slope = rng.lognormal(0, 0.4, (n_items, 1)) * rng.dirichlet(np.ones(6), n_items)
    odds = rng.standard_normal((n_models, 6)) @ slope.T + rng.normal(0, 1.3, n_items)
    score = (rng.random(odds.shape) < 1 / (1 + np.exp(-odds))).astype(float)
    ids = np.array([f"i{number:05d}" for number in range(n_items)])
    items = pd.DataFrame({"item_id": ids, "benchmark": [f"b{number % 6}" for number in range(n_items)], "task": "t"})
    model = np.repeat([f"m{number:03d}" for number in range(n_models)], n_items)
    responses = pd.DataFrame({"model": model, "item_id": np.tile(ids, n_models), "score": score.ravel()})
    levels = pd.DataFrame({"item_id": np.repeat(ids, 8), "rubric": np.tile([f"R{k}" for k in range(8)], n_items)})
    levels = levels.assign(annotator="a", level=rng.integers(0, 6, len(levels)).astype(float))
    return Bank.build(Study.of(items, responses, levels), dims=6, max_sweeps=20)


def timing() -> None:
    """Print what choosing costs in a bank of 20,000 items with six abilities: CPU time of one core."""
    bank = large_bank()
    state, rng = AdaptiveBattery.start(ItemPool.of(bank)), np.random.default_rng(0)
    steps: list[float] = []
    scored: list[float] = []
    for _ in range(100):
        start = time.process_time()
        item, chance = state.draw(rng)
        state = state.with_answer(item, chance, float(rng.random() < 0.6))
        steps.append(1000 * (time.process_time() - start))
        start = time.process_time()
        state.estimate(0.95, 1)
        scored.append(1000 * (time.process_time() - start))
    names = ("next item, with the answer taken in", "score and interval after an answer, past models included")
    for name, found in zip(names, (steps, scored), strict=True):
        print(f"| {name} (ms, median / slowest of 100) | {np.median(found):.0f} / {max(found):.0f} |")
    for method in SELECTORS:
        start = time.process_time()
        select_battery(bank, 100, method=method)
        print(f"| select -n 100 --method {method} (s) | {time.process_time() - start:.1f} |")


def main() -> None:
    """Read the arguments and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=("estimators", "adaptive", "profile", "published", "timing"))
    parser.add_argument("--set", nargs="+", default=list(FOLDERS), choices=FOLDERS)
    parser.add_argument("--split", nargs="+", default=list(SPLITS), choices=SPLITS)
    parser.add_argument("-n", nargs="+", type=int, default=[20, 50, 100])
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    if given.table in ("estimators", "adaptive"):
        estimators(given, "random" if given.table == "estimators" else "adaptive")
    elif given.table == "profile":
        profile(given)
    else:
        {"published": published, "timing": timing}[given.table]()


if __name__ == "__main__":
    main()
