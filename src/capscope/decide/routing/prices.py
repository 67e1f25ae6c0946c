"""Prices of answers by model: from a table, or mean costs of a study's answers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.axes import ModelFloats, ModelItem
from capscope.data import ArrowTable, Study, as_frame, checked_columns, read_table
from capscope.endpoint import estimate_tokens
from capscope.errors import InputError, first_few, nearest

REPLY_TOKENS = 500
"""Default length of an answer in tokens, for prices by token."""
COLUMNS = ("usd", "usd_in", "usd_out", "tokens_out")
REMEDY = "give a table with the columns model and usd (an answer), or model, usd_in, usd_out (a million tokens)"

PriceTable = pd.DataFrame | ArrowTable | Path | str
"""Prices as a table, or its file."""


@dataclass(frozen=True, kw_only=True)
class ModelPrices:
    """Prices of the candidates."""

    models: tuple[str, ...]
    """Names, sorted."""
    usd: ModelFloats
    """Fixed cost of an answer in US dollars (model,)."""
    usd_in: ModelFloats
    """US dollars for each token of the request (model,)."""
    sd: ModelFloats
    """Standard deviation of the cost of an answer (model,); 0 where it is unknown."""
    notes: tuple[str, ...] = ()
    """Assumptions, one line each."""

    def of_items(self, texts: list[str]) -> ModelItem:
        """Return the cost of each model's answer to each request in US dollars, as (model, item).

        Args:
            texts: Text of each request; its tokens are estimated as a quarter of its characters.
        """
        tokens = np.array([estimate_tokens((("user", text),)) for text in texts], dtype=float)
        return self.usd[:, None] + self.usd_in[:, None] * tokens


def model_prices(study: Study, prices: PriceTable | None) -> ModelPrices:
    """Read prices of models with answers in a study.

    Args:
        study: A study with responses; without a table of prices, its column `usd` is used.
        prices: Table or file: `model`, and `usd` for an answer, or `usd_in` and `usd_out` for a million tokens read and
            written; `tokens_out` is the usual length of an answer.

    Raises:
        InputError: There are no prices, a price is no number, a model occurs twice, or fewer than two of the models
            have answers.
    """
    answered = sorted(study.require("responses")["model"].astype(str).unique())
    if prices is None:
        return _observed(study, answered)
    name = str(prices) if isinstance(prices, Path | str) else "prices"
    frame = read_table(Path(prices)) if isinstance(prices, Path | str) else as_frame(prices)
    table = _checked(frame, name)
    known = [model for model in table.index if model in answered]
    unknown = [model for model in table.index if model not in answered]
    if len(known) < 2:
        hint = nearest(unknown[0], answered) if unknown else ""
        raise InputError(
            f"{name}: two or more of its models need answers in {study.name}, and {len(known)} has{hint};"
            f" there are {first_few(answered)}"
        )
    table = table.loc[sorted(known)]
    notes = [f"left out, since {study.name} has no answer of them: {first_few(unknown)}"] if unknown else []
    by_token = table["usd"].isna().to_numpy()
    if by_token.any() and table.loc[by_token, "tokens_out"].isna().any():
        notes.append(f"answers are taken to have {REPLY_TOKENS} tokens; a column tokens_out says better")
    reply = table["tokens_out"].fillna(REPLY_TOKENS).to_numpy() * table["usd_out"].to_numpy() / 1e6
    return ModelPrices(
        models=tuple(table.index),
        usd=np.where(by_token, reply, table["usd"].to_numpy()),
        usd_in=np.where(by_token, table["usd_in"].to_numpy() / 1e6, 0.0),
        sd=np.zeros(len(table)),
        notes=tuple(notes),
    )


def _checked(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the prices by model as numbers, NaN where a column is absent.

    Raises:
        InputError: See `model_prices`.
    """
    if "model" not in frame or not ("usd" in frame or {"usd_in", "usd_out"} <= set(frame.columns)):
        raise InputError(f"{name}: no prices in columns {first_few(map(str, frame.columns))}; {REMEDY}")
    named = checked_columns(frame, name, names=["model"], remedy=REMEDY)
    table = pd.DataFrame(dict.fromkeys(COLUMNS, np.nan), index=pd.Index(named["model"]))
    for column in COLUMNS:
        if column in frame:
            table[column] = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float)
            written = frame[column].fillna("").astype(str).str.strip().to_numpy(dtype=str)
            value = table[column].to_numpy(dtype=float)
            wrong = (written != "") & ~(np.isfinite(value) & (value >= 0))
            if wrong.any():
                row = int(np.flatnonzero(wrong)[0])
                raise InputError(
                    f"{name}: row {row + 1} ({table.index[row]}): {column} is '{written[row]}'; write"
                    " dollars (or tokens) as a number of 0 or more"
                )
    unpriced = table.index[table["usd"].isna() & table[["usd_in", "usd_out"]].isna().any(axis=1)]
    if len(unpriced):
        raise InputError(f"{name}: no price of {first_few(unpriced)}; {REMEDY}")
    twice = table.index[table.index.duplicated()]
    if len(twice):
        raise InputError(f"{name}: two prices of {first_few(twice)}; keep one row for each model")
    return table


def _observed(study: Study, answered: list[str]) -> ModelPrices:
    responses = study.require("responses")
    if "usd" not in responses or not responses["usd"].notna().any():
        raise InputError(f"{study.name}: its answers have no costs; {REMEDY} by --prices")
    usd = responses["usd"].astype(float)
    if "n_trials" in responses:
        usd = usd / responses["n_trials"].astype(float)
    by_model = usd.groupby(responses["model"].astype(str))
    mean, sd = by_model.mean().dropna(), by_model.std().fillna(0.0)
    if len(mean) < 2:
        raise InputError(f"{study.name}: answers of {len(mean)} model have costs; {REMEDY} by --prices")
    unknown = [model for model in answered if model not in mean.index]
    notes = [f"left out, since their answers have no costs: {first_few(unknown)}"] if unknown else []
    zero = np.zeros(len(mean))
    return ModelPrices(
        models=tuple(map(str, mean.index)),
        usd=mean.to_numpy(),
        usd_in=zero,
        sd=sd.reindex(mean.index).to_numpy(),
        notes=("prices are mean costs of the study's answers", *notes),
    )
