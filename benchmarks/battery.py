"""Score estimators on held-out models, over three sets of real answers.

python benchmarks/battery.py SET [SPLIT...] [--seeds 10] [--method random|adaptive|variance...] [-n 20 50 100]
python benchmarks/battery.py metabench --published
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from capscope import Study
from capscope.battery import BatteryTrial, evaluate_battery
from capscope.battery.estimators.regression import Ridge

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FOLDERS = {"openllm_v2": "openllm_v2", "metabench": "metabench_openllm_v1", "livecodebench": "livecodebench"}


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


def table(name: str, splits: list[str], sizes: tuple[int, ...], seeds: int, method: str) -> None:
    """Print a row for each split, size and estimator."""
    study = study_of(name)
    for split in splits:
        start = time.process_time()
        found = evaluate_battery(study, BatteryTrial(sizes, split, seeds, method=method))
        seconds = time.process_time() - start
        for evaluation in found:
            cells = " | ".join(
                f"{figures.mae_pp:.2f} ({100 * figures.coverage95:.0f}, {figures.width95_pp:.0f})"
                for figures in evaluation.figures.values()
            )
            print(
                f"| {name} | {split} | {evaluation.n} | {evaluation.estimates} | {cells} | {seconds:.0f} |", flush=True
            )


def published() -> None:
    """RMSE of the published full-benchmark score from the published battery, on a tenth of the models, ten times."""
    folder = DATA / FOLDERS["metabench"]
    items, models = pd.read_parquet(folder / "items.parquet"), pd.read_parquet(folder / "models.parquet")
    responses = pd.read_parquet(folder / "responses.parquet").astype({"model": str, "item_id": str})
    official = models.set_index("name")
    columns = {column.lower().replace("_", ""): column for column in official.columns}
    for benchmark, form in (("arc", "B"), ("gsm8k", "B"), ("mmlu", "A"), ("truthfulqa", "A"), ("winogrande", "A")):
        wanted = items.loc[(items["benchmark"] == benchmark) & (items["forms"] == form), "item_id"]
        part = responses[responses["item_id"].isin(wanted)]
        answers = part.pivot(index="model", columns="item_id", values="score").dropna()
        score = official[columns[benchmark]].reindex(answers.index)
        answers, score = answers[score.notna()].to_numpy(float), score.dropna().to_numpy(float)
        summary = 3 * answers.shape[1] ** 0.5 * answers.mean(1, keepdims=True)
        features = np.concatenate([summary, summary**2 / summary.mean(), answers], axis=1)
        errors = []
        for seed in range(10):
            order = np.random.default_rng(seed).permutation(len(score))
            new, past = order[: len(score) // 10], order[len(score) // 10 :]
            errors.append(Ridge.of(features[past], score[past]).predict(features[new]) - score[new])
        rmse = [float(np.sqrt((error**2).mean())) for error in errors]
        print(f"| {benchmark} | {answers.shape[1]} | {len(score)} | {np.mean(rmse):.2f} | {np.std(rmse):.2f} |")


def main() -> None:
    """Read the arguments and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(FOLDERS))
    parser.add_argument("splits", nargs="*", default=["interpolation", "frontier", "family"])
    parser.add_argument("-n", nargs="+", type=int, default=[20, 50, 100])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--method", default="random")
    parser.add_argument("--published", action="store_true")
    given = parser.parse_args()
    if given.published:
        published()
    else:
        table(given.name, given.splits, tuple(given.n), given.seeds, given.method)


if __name__ == "__main__":
    main()
