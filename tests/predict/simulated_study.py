"""A study simulated from an explanatory item response model, for tests of prediction."""

import numpy as np
import pandas as pd

from capscope.data import Study

RUBRICS = ("A", "B", "C")


def simulated_study(seed: int = 0, n_models: int = 6, n_items: int = 400, residual: float = 0.6) -> Study:
    """Six models, eight tasks in two benchmarks, difficulty explained by three demands up to a residual."""
    rng = np.random.default_rng(seed)
    task = rng.integers(0, 8, n_items)
    level = np.clip(rng.integers(0, 6, (n_items, 3)) * 0.7 + task[:, None] % 3, 0, 5).round()
    difficulty = level @ np.array([0.5, 0.3, 0.0]) - 2 + residual * rng.standard_normal(n_items)
    ability = rng.standard_normal(n_models)
    chance = 1 / (1 + np.exp(-(ability[:, None] - difficulty)))
    score = (rng.random(chance.shape) < chance).astype(float)
    item_id = np.array([f"i{number:04d}" for number in range(n_items)])
    model = np.array([f"m{number:02d}" for number in range(n_models)])
    items = pd.DataFrame(
        {
            "item_id": item_id,
            "benchmark": [f"B{t // 4}" for t in task],
            "task": [f"t{t}" for t in task],
        }
    )
    responses = pd.DataFrame(
        {"model": np.repeat(model, n_items), "item_id": np.tile(item_id, n_models), "score": score.ravel()}
    )
    demands = pd.DataFrame(
        {
            "item_id": np.repeat(item_id, 3),
            "rubric": np.tile(RUBRICS, n_items),
            "annotator": "simulated",
            "level": level.ravel(),
        }
    )
    return Study.of(items, responses, demands)
