"""Simulated answers of past models and of two versions of one model."""

import numpy as np
import pandas as pd

from capscope.data import Study
from capscope.decide.version_answers import VersionAnswers

TASKS = 25


def chances(abilities: np.ndarray, difficulty: np.ndarray, slope: float = 1.5) -> np.ndarray:
    """Chance of each model on each item."""
    return 1 / (1 + np.exp(-slope * (abilities[:, None] - difficulty)))


def version_answers(
    rng: np.random.Generator, n_items: int = 600, size: int = 200, n_past: int = 30, change: float = 0.0
) -> tuple[VersionAnswers, np.ndarray]:
    """Answers of two versions whose abilities differ by `change`, the candidate's to `size` items; and all of them."""
    difficulty = rng.normal(0, 1.5, n_items)
    past = rng.random((n_past, n_items)) < chances(rng.normal(0.3, 1, n_past), difficulty)
    old, new = rng.random((2, n_items)) < chances(np.array([0.5, 0.5 + change]), difficulty)
    seen = np.full(n_items, np.nan)
    drawn = rng.permutation(n_items)[:size]
    seen[drawn] = new[drawn]
    labels = pd.DataFrame({"benchmark": "b", "task": [f"t{row % TASKS}" for row in range(n_items)]})
    items = tuple(f"i{row:04d}" for row in range(n_items))
    return VersionAnswers("old", "new", items, old.astype(float), seen, past.astype(float), labels), new.astype(float)


def version_study(seed: int = 0, n_items: int = 240, size: int = 120, change: float = 0.0, n_past: int = 12) -> Study:
    """A study with past models, a baseline that answered everything and a candidate that answered some."""
    answers, _ = version_answers(np.random.default_rng(seed), n_items, size, n_past, change)
    scores = np.vstack([answers.past_score, answers.baseline_score, answers.candidate_score])
    names = [*(f"past{row:02d}" for row in range(n_past)), "old", "new"]
    rows = [
        (name, item, score)
        for name, of_model in zip(names, scores, strict=True)
        for item, score in zip(answers.items, of_model, strict=True)
        if not np.isnan(score)
    ]
    items = pd.DataFrame({"item_id": answers.items, "task": answers.labels["task"], "text": "?"})
    items["benchmark"] = np.where(np.arange(n_items) % 2, "odd", "even")
    return Study.of(items=items, responses=pd.DataFrame(rows, columns=["model", "item_id", "score"]))
