"""Time of predicting unseen items from a study of 80 models, 1,600 items and 18 demands, by the default assessor.

python benchmarks/predict_study.py [--assessor stacked]

Run it with and without OMP_NUM_THREADS=1: products of small matrices use one thread either way.
"""

import argparse
import os
import platform
import time
from datetime import date
from importlib.metadata import version

import numpy as np
import pandas as pd
from scipy.special import expit

from capscope.data import Study
from capscope.predict import predict

MODELS, ITEMS, DEMANDS, TASKS = 80, 1600, 18, 40


def main() -> None:
    """Print one Markdown row for each set of items asked about."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assessor", default="stacked")
    arguments = parser.parse_args()
    study = simulated()
    items = study.require("items")
    number = items["task"].astype(str).str[1:].astype(int)
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    cpu = platform.processor() or platform.machine()
    print(f"{date.today()}, {cpu}, numpy {version('numpy')}, scikit-learn {version('scikit-learn')}")
    print("| asked about | OMP_NUM_THREADS | wall s | CPU s |\n|---|---|---|---|")
    new = {"a new benchmark": items["benchmark"] == "B0", "eight new tasks": number < 8}
    for name, asked in new.items():
        learnt, unseen = (study.keep_items(pd.Index(items.loc[keep, "item_id"])) for keep in (~asked, asked))
        wall, processor = time.perf_counter(), time.process_time()
        predict(learnt, unseen, assessor=arguments.assessor)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        print(f"| {name} | {threads} | {wall:.1f} | {processor:.1f} |")


def simulated() -> Study:
    """Answers that demands explain, up to effects of tasks and items; four benchmarks of ten tasks, no texts."""
    rng = np.random.default_rng(0)
    level = rng.normal(2, 1.3, (ITEMS, DEMANDS)).clip(0, 5).round()
    task = rng.integers(0, TASKS, ITEMS)
    item = 2 - level @ rng.uniform(0, 0.12, DEMANDS) + rng.normal(0, 0.6, TASKS)[task] + rng.normal(0, 0.7, ITEMS)
    score = (rng.random((MODELS, ITEMS)) < expit(rng.normal(0, 1, (MODELS, 1)) + item)).astype(float)
    ids, models = [f"i{number:05d}" for number in range(ITEMS)], [f"m{number:02d}" for number in range(MODELS)]
    items = {"item_id": ids, "benchmark": [f"B{each % 4}" for each in task], "task": [f"t{each}" for each in task]}
    answers = {"model": np.repeat(models, ITEMS), "item_id": np.tile(ids, MODELS), "score": score.ravel()}
    rubric = np.tile([f"R{number:02d}" for number in range(DEMANDS)], ITEMS)
    demands = {"item_id": np.repeat(ids, DEMANDS), "rubric": rubric, "annotator": "simulated", "level": level.ravel()}
    return Study.of(pd.DataFrame(items), pd.DataFrame(answers), pd.DataFrame(demands))


if __name__ == "__main__":
    main()
