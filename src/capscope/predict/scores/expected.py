"""Scores of whole benchmarks that are expected from elsewhere, such as forecasts from published scores.

They weigh the effects of a benchmark as labels do: the effect is likely at which a model's mean chance is its expected
score.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.special import expit, ndtri

from capscope.axes import ModelFloats
from capscope.data import ArrowTable, as_frame, checked_columns, read_table, read_text
from capscope.errors import InputError, first_few
from capscope.fit import log_odds_of

DEFAULT_LEVEL = 0.8
"""Coverage of the bounds of a table without a column `level`."""
SCALES = {"percent": 100.0, "share": 1.0, "ten": 10.0}
"""Top of each unit that has one."""
NUMBER = r"\d+(?:\.\d+)?"
ONE_NUMBER = re.compile(rf"(?:[^=]+=)?{NUMBER}%?")
STATED = re.compile(rf"(?:(?P<benchmark>[^=]+)=)?(?P<score>{NUMBER}):(?P<lower>{NUMBER}):(?P<upper>{NUMBER})")
"""A score with its bounds, and one without."""
LEAST_SD = 0.05
"""Least standard deviation of an expected score, in log-odds."""


@dataclass(frozen=True)
class ExpectedScores:
    """Expected scores of models on one benchmark, as Gaussians in log-odds; NaN where nothing is expected."""

    log_odds: ModelFloats
    """Log-odds of the score."""
    sd: ModelFloats
    """Standard deviation."""

    @property
    def known(self) -> Bool[np.ndarray, " model"]:
        """Which models have one."""
        return np.isfinite(self.log_odds)

    def log_weights(self, curves: Float[np.ndarray, "model offset"], n_items: int) -> Float[np.ndarray, "model offset"]:
        """Weigh effects by how near they bring each model to its expected score.

        Args:
            curves: Mean chance of each model on the items at each effect.
            n_items: Number of items; few of them are an uncertain sample of the benchmark.

        Returns:
            Logarithms of weights; 0 where nothing is expected.
        """
        chance = expit(self.log_odds[self.known, None])
        variance = self.sd[self.known, None] ** 2 + 1 / (n_items * chance * (1 - chance))
        weights = np.zeros_like(curves)
        distance = log_odds_of(curves[self.known]) - self.log_odds[self.known, None]
        weights[self.known] = -0.5 * distance**2 / variance
        return weights


def read_expected(
    source: Path | str | pd.DataFrame | ArrowTable, models: tuple[str, ...], benchmarks: tuple[str, ...]
) -> pd.DataFrame:
    """Read expected scores: columns model, benchmark, score, lower, upper; optionally unit and level (0.8).

    Args:
        source: A table as `capscope forecast --out` writes it, its path, that of what `--json` prints; or one score of
            every model with its bounds, ``62:55:70`` or ``gsm8k=62:55:70``.
        models: Models that are predicted; others are left out.
        benchmarks: Benchmarks of the items to predict; others are left out.

    Returns:
        Columns model, benchmark, log_odds, sd.

    Raises:
        InputError: The table is wrong, has scores without a top, or says nothing of these models and benchmarks.
    """
    source = as_frame(source)
    table, name = source if isinstance(source, pd.DataFrame) else _read(source, models, benchmarks), "expected scores"
    name = name if isinstance(source, pd.DataFrame) else str(source)
    numbers: dict[str, tuple[float, float]] = dict.fromkeys(("score", "lower", "upper"), (-np.inf, np.inf))
    table = checked_columns(
        table, name, names=("model", "benchmark"), numbers=numbers, remedy="see 'capscope forecast'"
    )
    kept = table[table["model"].isin(models) & table["benchmark"].isin(benchmarks)].reset_index(drop=True)
    if not len(kept):
        has = " of ".join(first_few(sorted(set(table[column]))) for column in ("benchmark", "model"))
        raise InputError(f"{name}: no score is of a predicted model on {first_few(benchmarks)}; it has {has}")
    shares = kept[["score", "lower", "upper"]].astype(float).div(_tops(kept, name), axis=0)
    wrong = ~((shares >= 0) & (shares <= 1)).all(axis=1) | (shares["lower"] > shares["upper"])
    if wrong.any():
        row = kept[wrong].iloc[0]
        raise InputError(f"{name}: {row['model']} on {row['benchmark']}: score and bounds must be ordered shares")
    level = kept["level"].astype(float) if "level" in kept else pd.Series(DEFAULT_LEVEL, index=kept.index)
    middle, lower, upper = (log_odds_of(shares[column].to_numpy().clip(1e-4, 1 - 1e-4)) for column in shares)
    sd = np.maximum((upper - lower) / (2 * ndtri((1 + level.to_numpy()) / 2)), LEAST_SD)
    return kept[["model", "benchmark"]].astype(str).assign(log_odds=middle, sd=sd)


def _read(source: Path | str, models: tuple[str, ...], benchmarks: tuple[str, ...]) -> pd.DataFrame:
    """Read a table, the cells of a forecast in JSON, or a score with bounds."""
    path = Path(source)
    if isinstance(source, str) and not path.is_file() and (stated := STATED.fullmatch(source.strip())):
        name = stated["benchmark"] or (benchmarks[0] if len(benchmarks) == 1 else "")
        if not name:
            raise InputError(f"{source}: of which benchmark? write NAME={source}; there are {first_few(benchmarks)}")
        row = {"benchmark": name} | {part: float(stated[part]) for part in ("score", "lower", "upper")}
        return pd.DataFrame([{"model": model, **row} for model in models])
    if isinstance(source, str) and not path.is_file() and ONE_NUMBER.fullmatch(source.strip()):
        raise InputError(f"{source}: how sure is that? add the bounds of its 80 % interval, as in 62:55:70")
    if path.suffix.lower() == ".json" and path.is_file() and (text := read_text(path)).lstrip().startswith("{"):
        try:
            document = json.loads(text)
        except ValueError as error:
            raise InputError(f"{path}: not JSON ({error}); give what 'capscope forecast --json' prints") from error
        if isinstance(document, dict) and isinstance(document.get("cells"), list):
            return pd.DataFrame(document["cells"])
    return read_table(path)


def expected_of(table: pd.DataFrame | None, benchmark: str, models: tuple[str, ...]) -> ExpectedScores | None:
    """Return the expected scores on one benchmark, by position on the model axis; None where there are none.

    Args:
        table: As `read_expected` returns it.
        benchmark: The benchmark.
        models: Names on the model axis.
    """
    if table is None or not (table["benchmark"] == benchmark).any():
        return None
    own = table[table["benchmark"] == benchmark].groupby("model")[["log_odds", "sd"]].mean().reindex(list(models))
    return ExpectedScores(own["log_odds"].to_numpy(), own["sd"].to_numpy())


def _tops(table: pd.DataFrame, name: str) -> pd.Series:
    """Score of a perfect model in each row's unit; without units, percent where a number is above 1."""
    if "unit" not in table:
        highest = table[["score", "lower", "upper"]].astype(float).max().max()
        return pd.Series(SCALES["percent"] if highest > 1 else SCALES["share"], index=table.index)
    unknown = sorted(set(table["unit"].astype(str)) - set(SCALES))
    if unknown:
        raise InputError(f"{name}: unit '{unknown[0]}' has no top; give scores in {', '.join(SCALES)}")
    return table["unit"].astype(str).map(SCALES).astype(float)
