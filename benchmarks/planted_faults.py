"""Simulated studies with planted faults: wrong keys, a model whose rows are shifted, items that are there twice."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from capscope.data import Study
from capscope.profiles.auditing.findings import discovered

TASKS = 8
FAMILY = 5
"""Models of one family, which share what they find hard."""
SLIP = 0.1
"""How often a model answers an item anew when it is asked a second time."""
WRONG_KEYS, COPIES = 0.02, 0.01
ORACLE_DRAWS = 4000
KINDS = ("reversed", "four options", "families")


@dataclass(frozen=True)
class World:
    """A shape of a study."""

    models: int
    items: int
    text: bool
    kind: str
    """`reversed`: no guessing, a wrong key turns right into wrong; `four options`: guesses, and a wrong key is hit by a
    third of the wrong answers; `families`: as the first, with models that share item effects by fives."""


@dataclass(frozen=True)
class Planted:
    """A study and what is wrong with it."""

    study: Study
    wrong: set[str]
    shifted: str
    copies: set[str]
    best_recall: float
    """Recall of wrong keys by one who knows all abilities and the laws of slopes, difficulties and faults."""


def planted(world: World, seed: int) -> Planted:
    """Draw a world and plant 2 % wrong keys, one model shifted by a place, and 1 % copies."""
    rng = np.random.default_rng(seed)
    ability = rng.standard_normal(world.models)
    slope, difficulty = _laws(world.items, rng)
    mean = slope * (ability[:, None] - difficulty)
    if world.kind == "families":
        effect = rng.normal(0, 0.8, (-(-world.models // FAMILY), world.items))
        mean = mean + effect[np.arange(world.models) // FAMILY]
    chosen = rng.permutation(world.items)
    count = round(WRONG_KEYS * world.items)
    wrong, sources = chosen[:count], chosen[count : count + round(COPIES * world.items)]
    chance = _keyed(expit(mean), np.isin(np.arange(world.items), wrong), world.kind)
    score = (rng.random(chance.shape) < chance).astype(float)
    anew = rng.random((world.models, len(sources))) < SLIP
    again = np.where(anew, rng.random(anew.shape) < chance[:, sources], score[:, sources])
    best = _best_recall(world, score, ability, wrong, rng)
    score = np.hstack([score, again])
    model = int(rng.integers(world.models))
    score[model] = np.roll(score[model], 1)
    task = np.arange(world.items) * TASKS // world.items
    study, ids = _study(score, np.concatenate([task, task[sources]]), _texts(world, sources, rng))
    return Planted(study, set(ids[wrong]), f"m{model:02d}", set(ids[world.items :]), best)


def _laws(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.lognormal(0.2, 0.3, size), rng.normal(-0.2, 1.0, size)


def _keyed(knows: np.ndarray, wrong: np.ndarray, kind: str) -> np.ndarray:
    """Chance of a right mark where models know with some chance."""
    if kind == "four options":
        return np.where(wrong, (1 - knows) / 4, knows + (1 - knows) / 4)
    return np.where(wrong, 1 - knows, knows)


def _best_recall(
    world: World, score: np.ndarray, ability: np.ndarray, wrong: np.ndarray, rng: np.random.Generator
) -> float:
    if world.kind == "families":
        return float("nan")
    slope, difficulty = _laws(ORACLE_DRAWS, rng)
    knows = expit(slope * (ability[:, None] - difficulty))
    found = []
    for key in (False, True):
        chance = np.clip(_keyed(knows, np.full(ORACLE_DRAWS, key), world.kind), 1e-9, 1 - 1e-9)
        joint = score.T @ np.log(chance) + (1 - score.T) @ np.log1p(-chance)
        found.append(np.logaddexp.reduce(joint, axis=1))
    taken = discovered(expit(found[1] - found[0] + logit(WRONG_KEYS)), 0.2)
    return float(taken[wrong].mean())


def _texts(world: World, sources: np.ndarray, rng: np.random.Generator) -> list[str] | None:
    if not world.text:
        return None
    words = np.array([f"word{number}" for number in range(400)])
    texts = [" ".join(rng.choice(words, 40)) for _ in range(world.items)]
    return texts + [texts[i].upper() if n % 2 else texts[i] + " also" for n, i in enumerate(sources)]


def _study(score: np.ndarray, task: np.ndarray, texts: list[str] | None) -> tuple[Study, np.ndarray]:
    n_models, n_items = score.shape
    ids = np.array([f"t{t:02d}/{number}" for number, t in enumerate(task)])
    names = np.array([f"m{number:02d}" for number in range(n_models)])
    items = pd.DataFrame({"item_id": ids, "benchmark": "W", "task": [f"t{t:02d}" for t in task], "text": texts})
    answers = {"model": np.repeat(names, n_items), "item_id": np.tile(ids, n_models), "score": score.ravel()}
    return Study.of(items, pd.DataFrame(answers)), ids
