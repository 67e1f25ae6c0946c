"""Studies with known truth: what makes items difficult, where they come from, and how they are put out of order."""

import numpy as np
import pandas as pd
from scipy.special import expit

from capscope.data import Study

DIMS = ("A", "B", "C", "D")


def demand_world(
    seed: int, n_items: int = 900, n_tasks: int = 30, n_models: int = 30, slopes=(0.6, 0.3, 0.0, 0.0), rest: float = 1.0
) -> tuple[Study, np.ndarray]:
    """Items whose difficulty is a sum of demands and a rest; returns the difficulties too."""
    rng = np.random.default_rng(seed)
    task = np.arange(n_items) % n_tasks
    centre = rng.uniform(1, 4, (n_tasks, len(DIMS)))
    level = np.clip(np.round(centre[task] + rng.standard_normal((n_items, len(DIMS)))), 0, 5)
    difficulty = (level - 2.5) @ np.array(slopes) + rest * rng.standard_normal(n_items)
    ability = rng.standard_normal(n_models)
    chance = 1 / (1 + np.exp(-(ability[:, None] - difficulty)))
    return study_of((rng.random(chance.shape) < chance).astype(float), task, level), difficulty


def study_of(score: np.ndarray, task: np.ndarray, level: np.ndarray | None = None, texts=None) -> Study:
    """A study from a table (model, item); NaN was not administered."""
    n_models, n_items = score.shape
    ids = np.array([f"t{t:02d}/{number}" for number, t in enumerate(task)])
    names = np.array([f"m{number:02d}" for number in range(n_models)])
    model, item = np.nonzero(~np.isnan(score))
    text = [f"item {number}" for number in range(n_items)] if texts is None else texts
    items = pd.DataFrame({"item_id": ids, "benchmark": "W", "task": [f"t{t:02d}" for t in task], "text": text})
    responses = pd.DataFrame({"model": names[model], "item_id": ids[item], "score": score[model, item]})
    if level is None:
        return Study.of(items, responses)
    dims = DIMS[: level.shape[1]]
    demands = pd.DataFrame(
        {
            "item_id": np.repeat(ids, len(dims)),
            "rubric": np.tile(dims, n_items),
            "annotator": "truth",
            "level": level.ravel(),
        }
    )
    return Study.of(items, responses, demands)


def judged(rng: np.random.Generator, strength: np.ndarray, size: int) -> pd.DataFrame:
    """Judgements of random pairs of models with these log-odds of being preferred."""
    pairs = np.array([rng.choice(len(strength), 2, replace=False) for _ in range(size)])
    won = rng.random(size) < expit(strength[pairs[:, 0]] - strength[pairs[:, 1]])
    names = np.array([f"m{number}" for number in range(len(strength))])
    winner = np.where(won, "a", "b")
    return pd.DataFrame({"model_a": names[pairs[:, 0]], "model_b": names[pairs[:, 1]], "winner": winner})
