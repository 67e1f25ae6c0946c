"""A small study with something odd in it."""

import numpy as np
import pandas as pd
from scipy.special import expit

from capscope.data import Study
from report.pages import HOSTILE

DIMS = ("QLl", "AS", "XX")


def faulty_study(models: tuple[str, ...], benchmarks: tuple[str, str], rubrics: tuple[str, ...] = DIMS) -> Study:
    """Sixty items in two benchmarks; the last three repeat the texts of the first three, one key is wrong."""
    rng = np.random.default_rng(5)
    n_items = 60
    chance = expit(1.5 * (np.linspace(-2, 2, len(models))[:, None] - rng.normal(0, 0.8, n_items)))
    chance[:, 7] = 1 - chance[:, 7]
    score = (rng.random(chance.shape) < chance).astype(float)
    ids = np.array([f"<i>q{number}" for number in range(n_items)])
    words = np.array([f"word{number}" for number in range(300)])
    texts = [f"{HOSTILE[k % len(HOSTILE)]} {' '.join(rng.choice(words, 12))}" for k in range(n_items - 3)]
    home = np.where(np.arange(n_items) < 40, *benchmarks)
    items = pd.DataFrame({"item_id": ids, "benchmark": home, "task": "t", "text": texts + texts[:3]})
    answers = {"model": np.repeat(models, n_items), "item_id": np.tile(ids, len(models)), "score": score.ravel()}
    level = rng.integers(0, 6, (n_items, len(rubrics)))
    demands = pd.DataFrame({"item_id": np.repeat(ids, len(rubrics)), "rubric": np.tile(rubrics, n_items)})
    demands = demands.assign(level=level.ravel().astype(float), annotator="a")
    # the second benchmark is not rated on the last scale
    outside = demands["item_id"].isin(ids[40:]) & (demands["rubric"] == rubrics[-1])
    return Study.of(items, pd.DataFrame(answers), demands[~outside])
