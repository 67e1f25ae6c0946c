"""Predict each model's score on a benchmark that none has run, from answers to others, and see what a few labels add.

python examples/07_predict_an_unseen_benchmark.py
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from capscope import Study, predict

MODELS, ITEMS = [f"model-{number:02d}" for number in range(12)], 400


def simulated() -> Study:
    """Answers to five benchmarks of 80 items, whose two demands explain most of what makes them hard."""
    rng = np.random.default_rng(0)
    benchmark = np.arange(ITEMS) // 80
    level = rng.integers(0, 6, (ITEMS, 2))
    difficulty = level @ [0.6, 0.4] - 2 + rng.normal(0, 0.5, 5)[benchmark] + rng.normal(0, 0.5, ITEMS)
    chance = 1 / (1 + np.exp(difficulty - rng.normal(0, 1, (len(MODELS), 1))))
    score = (rng.random(chance.shape) < chance).astype(int)
    ids = [f"item-{number:03d}" for number in range(ITEMS)]
    items = pd.DataFrame({"item_id": ids, "benchmark": [f"benchmark-{number}" for number in benchmark]})
    responses = pd.DataFrame(score, MODELS, ids).rename_axis("model").reset_index()
    responses = responses.melt("model", var_name="item_id", value_name="score")
    demands = pd.DataFrame({"item_id": np.repeat(ids, 2), "rubric": ["QLl", "KNn"] * ITEMS, "level": level.ravel()})
    return Study.of(items, responses, demands.assign(annotator="simulated"))


def main() -> None:
    study = simulated()
    new = study.items["benchmark"] == "benchmark-4"
    past = study.keep_items(pd.Index(study.items.loc[~new, "item_id"]))
    unseen = study.keep_items(pd.Index(study.items.loc[new, "item_id"]))
    came = unseen.responses.astype({"model": str}).groupby("model")["score"].mean()

    found = predict(past, unseen)
    scores = found.benchmark_scores.set_index("model").drop(columns="benchmark").assign(came=came)
    print(scores.round(2).to_string())
    with tempfile.TemporaryDirectory() as folder:
        labels = Path(folder) / "labels.csv"
        unseen.responses[unseen.responses["item_id"].isin(unseen.items["item_id"][:10])].to_csv(labels, index=False)
        labelled = predict(past, unseen, labels=labels).benchmark_scores
    error = [(each.set_index("model")["score"] - came).abs().mean() for each in (scores.reset_index(), labelled)]
    print(f"mean error of a score: {error[0]:.3f} before any answer, {error[1]:.3f} with answers to 10 items")


if __name__ == "__main__":
    main()
