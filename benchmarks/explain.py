"""CPU time and memory of `capscope explain --audit`: on a study folder, or on 20,000 simulated items x 80 models.

python benchmarks/explain.py [STUDY] [--items 20000] [--models 80]
"""

import argparse
import resource
import time

import numpy as np
import pandas as pd

from capscope.data import Study
from capscope.profiles import AuditSettings, ExplainSettings, explain_benchmark

DIMS = [f"D{number:02d}" for number in range(18)]


def simulated(n_items: int, n_models: int) -> Study:
    """Items of 40 tasks with 18 demand levels and texts of sixty words, answered by all models."""
    rng = np.random.default_rng(0)
    task = np.arange(n_items) % 40
    level = np.clip(np.round(rng.uniform(0, 4, (40, 18))[task] + rng.standard_normal((n_items, 18))), 0, 5)
    difficulty = (level - 2) @ rng.uniform(0, 0.3, 18) + rng.standard_normal(n_items)
    right = rng.random((n_models, n_items)) < 1 / (1 + np.exp(difficulty - 2 * rng.standard_normal((n_models, 1))))
    ids = np.array([f"t{t:02d}/{number}" for number, t in enumerate(task)])
    words = np.array([f"word{number}" for number in range(5000)])
    texts = [" ".join(rng.choice(words, 60)) for _ in range(n_items)]
    models = np.array([f"m{number:02d}" for number in range(n_models)])
    items = pd.DataFrame({"item_id": ids, "benchmark": [f"b{t % 5}" for t in task], "task": task.astype(str)})
    answers = {"model": np.repeat(models, n_items), "item_id": np.tile(ids, n_models), "score": right.ravel() * 1.0}
    demands = {"item_id": np.repeat(ids, 18), "rubric": np.tile(DIMS, n_items), "annotator": "simulated"}
    return Study.of(items.assign(text=texts), pd.DataFrame(answers), pd.DataFrame(demands | {"level": level.ravel()}))


def main() -> None:
    """Measure one run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("study", nargs="?")
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--models", type=int, default=80)
    given = parser.parse_args()
    study = Study.load(given.study) if given.study else simulated(given.items, given.models)
    start = time.process_time()
    found = explain_benchmark(study, ExplainSettings(), AuditSettings())
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    counts = found.audit.counts() if found.audit else {}
    print(f"{seconds:.1f} CPU s, peak {peak:.2f} GB; listed: {counts}")


if __name__ == "__main__":
    main()
