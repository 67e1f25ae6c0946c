"""Pairwise judgements of answers: strengths of models by Bradley and Terry, with intervals over prompts."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from capscope.axes import FloatArray
from capscope.errors import InputError, first_few
from capscope.intervals import quantile_bounds
from capscope.profiles.comparison.leaderboard import strengths

DRAWS = 200
COLUMNS = ("model_a", "model_b", "winner")
WINNERS = ("a", "b", "tie")


@dataclass(frozen=True)
class JudgedModels:
    """Models ranked by judges."""

    table: pd.DataFrame
    """Columns model, strength (log-odds of being preferred, mean 0), lower, upper, judgements; strongest first."""
    judgements: int
    """Number of judgements."""
    level: float
    """Coverage of the bounds."""


def bradley_terry(judgements: pd.DataFrame, seed: int = 0, level: float = 0.9) -> JudgedModels:
    """Fit strengths to judgements; a tie is half a win for each, and the order of judgements does not matter.

    Args:
        judgements: Columns model_a, model_b, winner (`a`, `b` or `tie`), and optionally prompt: judgements of one
            prompt are drawn together.
        seed: Seed of the bootstrap.
        level: Nominal coverage.

    Raises:
        InputError: A column is missing, a winner is none of these, or models fall into groups never compared.
    """
    _check(judgements)
    models = sorted(set(judgements["model_a"].astype(str)) | set(judgements["model_b"].astype(str)))
    place = {name: number for number, name in enumerate(models)}
    pair = np.array([judgements[column].astype(str).map(place) for column in COLUMNS[:2]])
    won = judgements["winner"].map({"a": 1.0, "b": 0.0, "tie": 0.5}).to_numpy(dtype=float)
    counts = _wins(pair, won, np.ones(len(won)), len(models))
    _refuse_islands(counts, models)
    prompts = judgements["prompt"].astype(str) if "prompt" in judgements else judgements.index.astype(str)
    _, prompt = np.unique(prompts.to_numpy(), return_inverse=True)
    size, rng = prompt.max() + 1, np.random.default_rng(seed)
    draws = [
        strengths(_wins(pair, won, rng.multinomial(size, np.full(size, 1 / size))[prompt].astype(float), len(models)))
        for _ in range(DRAWS)
    ]
    lower, upper = quantile_bounds(np.stack(draws, axis=1), level)
    taken = np.bincount(pair.ravel(), minlength=len(models))
    columns = {"model": models, "strength": strengths(counts), "lower": lower, "upper": upper, "judgements": taken}
    table = pd.DataFrame(columns).sort_values("strength", ascending=False, kind="stable").reset_index(drop=True)
    return JudgedModels(table, len(won), level)


def _check(judgements: pd.DataFrame) -> None:
    missing = [column for column in COLUMNS if column not in judgements]
    if missing:
        raise InputError(f"judgements: column '{missing[0]}' is missing; give {', '.join(COLUMNS)}")
    bad = np.flatnonzero(~judgements["winner"].isin(WINNERS).to_numpy())
    if len(bad):
        value = judgements["winner"].iloc[bad[0]]
        raise InputError(f"judgements: row {bad[0]}: winner is '{value}'; use one of {', '.join(WINNERS)}")
    same = np.flatnonzero((judgements["model_a"].astype(str) == judgements["model_b"].astype(str)).to_numpy())
    if len(same):
        raise InputError(f"judgements: row {same[0]} compares a model with itself; drop the row")


def _wins(pair: np.ndarray, won: FloatArray, weight: FloatArray, size: int) -> FloatArray:
    wins = np.zeros((size, size))
    np.add.at(wins, (pair[0], pair[1]), weight * won)
    np.add.at(wins, (pair[1], pair[0]), weight * (1 - won))
    return wins


def _refuse_islands(wins: FloatArray, models: list[str]) -> None:
    met = (wins + wins.T) > 0
    reached = np.zeros(len(models), bool)
    reached[0] = True
    for _ in models:
        reached |= met[reached].any(axis=0)
    if not reached.all():
        apart = [name for name, known in zip(models, reached, strict=True) if not known]
        raise InputError(f"judgements: {first_few(apart)} never met {models[0]} or who met it; judge some such pairs")
