"""Simulated worlds shared by the tests of the battery room."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from capscope.battery import Bank
from capscope.data import Study

DIMS = 2


@dataclass(frozen=True)
class World:
    """Items of three benchmarks with known parameters; models are drawn on demand."""

    slope: np.ndarray
    intercept: np.ndarray
    items: pd.DataFrame

    def chances(self, ability: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-(ability @ self.slope.T + self.intercept)))

    def study(self, ability: np.ndarray, rng: np.random.Generator, prefix: str = "m") -> Study:
        score = (rng.random((len(ability), len(self.items))) < self.chances(ability)).astype(float)
        return self.study_of(score, prefix)

    def study_of(self, score: np.ndarray, prefix: str = "m") -> Study:
        names = np.repeat([f"{prefix}{i:03d}" for i in range(len(score))], len(self.items))
        ids = np.tile(self.items["item_id"].to_numpy(), len(score))
        responses = pd.DataFrame({"model": names, "item_id": ids, "score": score.ravel()})
        return Study.of(self.items, responses)


def make_world(n_items: int = 600, seed: int = 0) -> World:
    rng = np.random.default_rng(seed)
    benchmark = np.array(["alpha", "beta", "gamma"])[np.arange(n_items) % 3]
    lean = np.where(benchmark == "alpha", 0.9, np.where(benchmark == "beta", 0.1, 0.5))
    slope = np.stack([lean, 1 - lean], 1) * rng.lognormal(0.3, 0.4, (n_items, 1)) * 1.5
    intercept = rng.normal(0.2, 1.5, n_items)
    number = np.arange(n_items) // 3
    items = pd.DataFrame(
        {"benchmark": benchmark, "task": [f"{b}_{n % 4}" for b, n in zip(benchmark, number, strict=True)]}
    )
    items["doc_index"] = items.groupby("task").cumcount()
    items["item_id"] = items["task"] + "/" + items["doc_index"].astype(str)
    order = np.argsort(items["item_id"].to_numpy())
    return World(slope[order], intercept[order], items.iloc[order].reset_index(drop=True))


def make_abilities(n_models: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    general = rng.standard_normal((n_models, 1))
    return 0.8 * general + 0.6 * rng.standard_normal((n_models, DIMS))


@pytest.fixture(scope="session")
def world() -> World:
    return make_world()


@pytest.fixture(scope="session")
def past(world: World) -> Study:
    return world.study(make_abilities(80, 1), np.random.default_rng(2))


@pytest.fixture(scope="session")
def bank(past: Study) -> Bank:
    return Bank.build(past, dims=2)
