"""Small honest studies of every shape, drawn from a seed: what a person may have measured, with nothing wrong in it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

VERBS = ("Add", "Name", "Prove", "Sort", "Translate", "Count")
NOUNS = ("birds", "numbers", "lemmas", "cities", "verbs", "colours", "prices")


@dataclass(frozen=True)
class Shape:
    """What a study looks like."""

    models: int = 8
    items: int = 30
    benchmarks: int = 2
    tasks: int = 2
    """Tasks of each benchmark."""
    answered: float = 1.0
    """Share of the cells that were administered."""
    scores: str = "binary"
    """`binary`, `trials` (shares of a few trials), `fractions`, `grades`, or `constant` (all the same)."""
    texts: str = "all"
    """`all`, `some`, `none`, or `same` (one text for all items)."""
    rated: str = "all"
    """Who has demands: `all`, `some`, `more` (also items without answers), `none`, or `same` (one level for all)."""
    rubrics: int = 3
    annotators: int = 1
    items_table: bool = True
    options: bool = False
    """Whether items know their number of options."""
    facet: str = ""
    """A facet of which every cell has two values: `prompt`, `scaffold` or `run`."""
    seed: int = 0

    def __str__(self) -> str:
        """Say what differs from the plain study."""
        plain = Shape()
        return (
            ",".join(f"{name}={value}" for name, value in vars(self).items() if value != getattr(plain, name))
            or "plain"
        )


CHOICES: dict[str, tuple] = {
    "models": (1, 2, 3, 4, 6, 9, 14),
    "items": (2, 6, 12, 24, 40),
    "benchmarks": (1, 2, 3),
    "tasks": (1, 2, 4),
    "answered": (1.0, 1.0, 0.5, 0.15),
    "scores": ("binary", "binary", "trials", "fractions", "grades", "constant"),
    "texts": ("all", "some", "none", "same"),
    "rated": ("all", "some", "more", "none", "same"),
    "rubrics": (1, 3, 5),
    "annotators": (1, 2),
    "items_table": (True, True, True, False),
    "options": (False, True),
    "facet": ("", "", "", "prompt", "scaffold", "run"),
}


def drawn_shape(seed: int) -> Shape:
    """Draw a shape."""
    rng = np.random.default_rng(seed)
    return Shape(**{name: values[rng.integers(len(values))] for name, values in CHOICES.items()}, seed=seed)


def write_study(shape: Shape, folder: Path) -> None:
    """Write a study of a shape."""
    rng = np.random.default_rng(shape.seed)
    folder.mkdir(parents=True)
    number = np.arange(shape.items)
    ids = np.array([f"i{n:03d}" for n in number])
    benchmark = number % shape.benchmarks
    level = rng.integers(0, 6, (shape.items, shape.rubrics)) * (shape.rated != "same")
    _responses(shape, ids, level, rng).to_parquet(folder / "responses.parquet", index=False)
    if shape.rated != "none":
        _demands(shape, ids, level, rng).to_parquet(folder / "demands.parquet", index=False)
    if shape.items_table:
        items = pd.DataFrame({"item_id": ids, "benchmark": [f"b{b}" for b in benchmark]})
        task = number // shape.benchmarks % shape.tasks
        items["task"] = [f"b{b}-t{t}" for b, t in zip(benchmark, task, strict=True)]
        items["text"] = [_text(shape, int(n), row) for n, row in zip(number, level, strict=True)]
        if shape.options:
            items["n_options"] = np.where(number % 2, 4.0, np.nan)
        items.to_parquet(folder / "items.parquet", index=False)


def _text(shape: Shape, number: int, level: np.ndarray) -> str | None:
    if shape.texts == "none" or (shape.texts == "some" and number % 3 == 0):
        return None
    if shape.texts == "same":
        return "The same question."
    return f"{VERBS[level[0] % 6]} the {number} {NOUNS[number % 7]} of {level.sum()} {NOUNS[level[-1]]}"


def _responses(shape: Shape, ids: np.ndarray, level: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    ability = rng.normal(0, 1.2, shape.models)
    difficulty = level.mean(axis=1) - 2.5 + 0.7 * rng.standard_normal(shape.items)
    chance = 1 / (1 + np.exp(difficulty - ability[:, None]))
    trials = np.ones_like(chance)
    if shape.scores == "trials":
        trials = rng.integers(1, 6, chance.shape).astype(float)
        score = rng.binomial(trials.astype(int), chance) / trials
    elif shape.scores == "fractions":
        score = rng.beta(4 * chance + 0.1, 4 * (1 - chance) + 0.1)
    elif shape.scores == "grades":
        score = rng.binomial(4, chance) / 4
    elif shape.scores == "constant":
        score = np.ones_like(chance)
    else:
        score = (rng.random(chance.shape) < chance) * 1.0
    model, item = np.nonzero(_administered(shape, rng))
    table = {"model": [f"m{m:02d}" for m in model], "item_id": ids[item], "score": score[model, item]}
    frame = pd.DataFrame(table | ({"n_trials": trials[model, item]} if shape.scores == "trials" else {}))
    if not shape.facet:
        return frame
    again = frame.assign(score=np.roll(frame["score"], 1)) if shape.scores != "trials" else frame
    return pd.concat(
        [frame.assign(**{shape.facet: "first"}), again.assign(**{shape.facet: "second"})], ignore_index=True
    )


def _administered(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Leave out cells, but let every model have answered something; `more` also leaves a third of the items out."""
    shown = rng.random((shape.models, shape.items)) < shape.answered
    shown[np.arange(shape.models), rng.integers(0, shape.items, shape.models)] = True
    if shape.rated == "more":
        shown[:, : shape.items // 3] = False
        shown[:, -1] = True
    return shown


def _demands(shape: Shape, ids: np.ndarray, level: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    rows = [
        {"item_id": item, "rubric": f"R{code}", "annotator": f"a{name}", "level": float(np.clip(value + noise, 0, 5))}
        for name in range(shape.annotators)
        for item, values in zip(ids, level, strict=True)
        for code, value in enumerate(values)
        for noise in [rng.integers(-1, 2) if name else 0]
        if shape.rated != "some" or rng.random() < 0.7
    ]
    return pd.DataFrame(rows or [{"item_id": ids[0], "rubric": "R0", "annotator": "a0", "level": 1.0}])
