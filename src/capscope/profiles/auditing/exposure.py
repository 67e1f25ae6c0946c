"""Which items each model may have seen: by date and cut-off, by a column of exposure, against a control benchmark."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.axes import FloatArray, ModelItem
from capscope.data import read_table
from capscope.errors import InputError, first_few, nearest

DATES = ("date", "released", "release_date", "created", "created_at", "published")
"""Columns of items that hold the day on which an item became public, the first that there is."""
CUTOFF = "cutoff"
WORDS = {"true": "1", "false": "0", "nan": "", "none": "", "<na>": ""}
TABLES_OF_MODELS = ("models.csv", "models.parquet", "models.jsonl", "models.json", "models.tsv")

Cutoffs = Mapping[str, str] | str | Path


@dataclass(frozen=True)
class Exposure:
    """One way in which models may have seen items."""

    evidence: str
    """``date``, ``control``, the name of a column, or ``pattern`` where no item is singled out."""
    exposed: ModelItem | None
    """Exposure of each model to each item, 0 to 1, NaN where it is not known; None for ``pattern``."""


def cutoffs_of(source: Cutoffs | None, folder: Path | None) -> dict[str, pd.Timestamp]:
    """Return the training cut-off of each model.

    Args:
        source: Dates by model, or a table with columns model and cutoff; None for the table of models in the folder.
        folder: Study folder, where ``models.csv`` (or another table of that name) may have a column cutoff.

    Returns:
        Cut-offs by model; empty where nothing says so.

    Raises:
        InputError: The table lacks a column, or a date cannot be read.
    """
    if isinstance(source, Mapping):
        return _dated(pd.Series(dict(source)), "cutoffs")
    if source is not None:
        path = Path(source)
        table = read_table(path)
        for column in ("model", CUTOFF):
            if column not in table:
                raise InputError(f"{path}: column '{column}' is missing; cut-offs need the columns model and {CUTOFF}")
        return _dated(_by_model(table), str(path))
    for path in () if folder is None else (folder / name for name in TABLES_OF_MODELS):
        if path.is_file():
            table = read_table(path)
            if "model" in table and CUTOFF in table:
                return _dated(_by_model(table), str(path))
    return {}


def _by_model(table: pd.DataFrame) -> pd.Series:
    return pd.Series(table[CUTOFF].to_numpy(), index=table["model"].astype(str))


def _dated(values: pd.Series, source: str) -> dict[str, pd.Timestamp]:
    """Read dates by model; empty cells are left out."""
    repeated = values.index[values.index.duplicated()]
    if len(repeated):
        raise InputError(f"{source}: model '{repeated[0]}' has two cut-offs; keep one")
    given = values[values.notna() & (values.astype(str).str.strip() != "")]
    dates = _dates(given)
    wrong = given.index[dates.isna().to_numpy()]
    if len(wrong):
        shown = given[wrong[0]]
        raise InputError(f"{source}: cut-off '{shown}' of model '{wrong[0]}' is no date; write it as 2024-03-31")
    return {str(model): date for model, date in zip(given.index, dates, strict=True)}


def _dates(values: pd.Series) -> pd.Series:
    """Read days, whatever their time zone; NaT where a value is none."""
    text = values if pd.api.types.is_datetime64_any_dtype(values) else values.astype(str)
    return pd.to_datetime(text, errors="coerce", utc=True, format=None if text is values else "ISO8601").dt.tz_localize(
        None
    )


def by_date(
    items: pd.DataFrame, models: tuple[str, ...], ids: tuple[str, ...], cutoffs: dict[str, pd.Timestamp]
) -> Exposure | None:
    """Items that were public before a model's cut-off; None where items have no dates or models no cut-offs.

    Args:
        items: A study's items, perhaps with one of the columns `DATES`.
        models: Names on the model axis.
        ids: Ids on the item axis.
        cutoffs: Cut-off by model.
    """
    column = next((name for name in DATES if name in items), None)
    if column is None or not any(model in cutoffs for model in models):
        return None
    dates = pd.Series(_dates(items[column]).to_numpy(), index=items["item_id"].astype(str)).reindex(list(ids))
    day: FloatArray = np.where(dates.isna(), np.nan, dates.to_numpy().astype("datetime64[s]").astype(float))
    last = np.array([cutoffs[model].timestamp() if model in cutoffs else np.nan for model in models])
    known = np.isfinite(day) & np.isfinite(last)[:, None]
    with np.errstate(invalid="ignore"):
        return Exposure("date", np.where(known, (day <= last[:, None]).astype(float), np.nan))


def by_column(items: pd.DataFrame, name: str, models: tuple[str, ...], ids: tuple[str, ...]) -> Exposure:
    """Exposure that a column of items states, such as a share of n-grams met in a training corpus, scaled to 0 to 1.

    Args:
        items: A study's items.
        name: The column: numbers, or true and false.
        models: Names on the model axis.
        ids: Ids on the item axis.

    Raises:
        InputError: There is no such column, or a cell is no number.
    """
    if name not in items:
        columns = [str(column) for column in items.columns]
        raise InputError(
            f"the items have no column '{name}'{nearest(name, columns)}; there are {first_few(columns, 12)}"
        )
    spelled = items[name].astype(str).str.lower().map(lambda cell: WORDS.get(str(cell), str(cell)))
    value = pd.to_numeric(spelled.where(spelled != ""), errors="coerce")
    wrong = np.flatnonzero(value.isna().to_numpy() & (spelled != "").to_numpy())
    if len(wrong):
        item, cell = items["item_id"].iloc[wrong[0]], items[name].iloc[wrong[0]]
        raise InputError(f"items: {name} '{cell}' of item '{item}' is no number; write one, or true or false")
    by_item = pd.Series(value.to_numpy(dtype=float), index=items["item_id"].astype(str)).reindex(list(ids)).to_numpy()
    low, high = (np.nanmin(by_item), np.nanmax(by_item)) if np.isfinite(by_item).any() else (0.0, 0.0)
    scaled = (by_item - low) / (high - low) if high > low else np.zeros(len(ids))
    return Exposure(name, np.tile(scaled, (len(models), 1)))


def against_control(suspect: np.ndarray, models: tuple[str, ...]) -> Exposure:
    """Items of the suspected benchmark, where the others are a control that cannot have leaked.

    Args:
        suspect: Whether each item is of the suspected benchmark.
        models: Names on the model axis.
    """
    return Exposure("control", np.tile(suspect.astype(float), (len(models), 1)))
