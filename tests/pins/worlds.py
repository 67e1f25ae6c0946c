"""Two small studies, made from a seed: one in Parquet, one in CSV tables."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

RUBRICS = ("AS", "KNn", "QLl")
VERBS = ("Add", "Name", "Prove", "Sort", "Translate", "Count")
NOUNS = ("birds", "numbers", "lemmas", "cities", "verbs", "colours", "prices")


@dataclass(frozen=True)
class World:
    """Sizes of a study."""

    form: str
    """Suffix of its tables."""
    models: int
    items: int
    tasks: int
    """Tasks of each of the two benchmarks."""
    seed: int
    missing: float = 0.0
    """Share of the answers that were not administered."""


WORLDS = {
    "parquet": World("parquet", models=10, items=48, tasks=2, seed=11),
    "csv": World("csv", models=12, items=42, tasks=3, seed=12, missing=0.1),
}


def tables(world: World) -> dict[str, pd.DataFrame]:
    """Draw the three tables: difficulty follows two of three demands, models differ in a general ability."""
    rng = np.random.default_rng(world.seed)
    number = np.arange(world.items)
    benchmark, task = number % 2, number // 2 % world.tasks
    ids = np.array([f"i{n:03d}" for n in number])
    level = np.clip(rng.integers(0, 6, (world.items, 3)) - task[:, None] % 2, 0, 5)
    options = np.where(number % 3 == 0, 4, 0)
    items = pd.DataFrame({"item_id": ids, "benchmark": [f"bench{b}" for b in benchmark]})
    items["task"] = [f"bench{b}-t{t}" for b, t in zip(benchmark, task, strict=True)]
    items["text"] = [
        f"{VERBS[(n + x) % 6]} the {y + 2} {NOUNS[(n * z + b) % 7]}, then {VERBS[z].lower()} {NOUNS[n % 7]} {n}"
        for n, b, (x, y, z) in zip(number, benchmark, level, strict=True)
    ]
    items["target"] = np.where(options > 0, "B", [str(n + 3) for n in number])
    items["n_options"] = np.where(options > 0, 4, np.nan)
    difficulty = level @ np.array([0.5, 0.35, 0.0]) - 2 + 0.5 * rng.standard_normal(world.items)
    ability = rng.standard_normal(world.models) * 1.2 + 0.3
    score = rng.random((world.models, world.items)) < 1 / (1 + np.exp(difficulty - ability[:, None]))
    names = [f"org{m % 4}/base{m % 4}-{m}b" for m in range(world.models)]
    model, item = np.divmod(np.arange(score.size), world.items)
    responses = pd.DataFrame({"model": np.array(names)[model], "item_id": ids[item], "score": score.ravel() * 1.0})
    responses = responses[rng.random(len(responses)) >= world.missing].reset_index(drop=True)
    return {"items": items, "responses": responses, "demands": _rated(ids, level, rng)}


def _rated(ids: np.ndarray, level: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Rate by two annotators, the second of whom errs by a level at one cell in five."""
    cells = {"item_id": np.repeat(ids, 3), "rubric": np.tile(RUBRICS, len(ids))}
    sure = level.ravel()
    other = np.clip(sure + rng.integers(-1, 2, sure.size) * (rng.random(sure.size) < 0.3), 0, 5)
    first, second = (
        pd.DataFrame(cells | {"annotator": name, "level": values.astype(float)})
        for name, values in (("ann", sure), ("bob", other))
    )
    return pd.concat([first, second], ignore_index=True)


def write_world(world: World, folder: Path) -> None:
    """Write the study as a person would, without capscope."""
    folder.mkdir(parents=True)
    for name, table in tables(world).items():
        if world.form == "parquet":
            table.to_parquet(folder / f"{name}.parquet", index=False)
        elif world.form == "csv":
            table.to_csv(folder / f"{name}.csv", index=False)
        else:
            table.to_json(folder / f"{name}.jsonl", orient="records", lines=True)
