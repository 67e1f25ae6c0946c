"""Exposure of models to items: by date and training cut-off, by a column, or against a control benchmark."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.axes import FloatArray, ModelItem
from capscope.data import checked_columns, model_tables, read_table
from capscope.errors import InputError, counted, first_few, nearest

DATES = ("date", "released", "release_date", "created", "created_at", "published")
"""Names of the column with an item's publication date; the first one present is used."""
CUTOFF = "cutoff"
WORDS = {"true": "1", "false": "0", "nan": "", "none": "", "<na>": ""}

Cutoffs = Mapping[str, str] | str | Path


@dataclass(frozen=True)
class Exposure:
    """Exposure of models to items by one kind of evidence."""

    evidence: str
    """``date``, ``control``, the name of a column, or ``pattern`` where exposure is unknown."""
    exposed: ModelItem | None
    """Exposure of each model to each item, 0 to 1, NaN where it is not known; None for ``pattern``."""


def cutoffs_of(source: Cutoffs | None, folder: Path | None) -> dict[str, pd.Timestamp]:
    """Return the training cut-off of each model.

    Args:
        source: Dates by model, or a table with columns model and cutoff; None for the table of models in the folder.
        folder: Study folder, where ``models.csv`` (or another table of that name) may have a column cutoff.

    Returns:
        Cut-offs by model; empty where there are none.

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
        return _dated(_by_model(table, str(path)), str(path))
    for path in () if folder is None else model_tables(folder):
        table = read_table(path)
        if "model" in table and CUTOFF in table:
            return _dated(_by_model(table, str(path)), str(path))
    return {}


def _by_model(table: pd.DataFrame, source: str) -> pd.Series:
    named = checked_columns(table, source, names=["model"], remedy=f"give the columns model and {CUTOFF}")
    return pd.Series(table[CUTOFF].to_numpy(), index=named["model"])


def _dated(values: pd.Series, source: str) -> dict[str, pd.Timestamp]:
    """Read dates by model; empty cells are left out."""
    repeated = values.index[values.index.duplicated()]
    if len(repeated):
        raise InputError(f"{source}: model '{repeated[0]}' has two cut-offs; keep one")
    given = values[values.notna() & (values.astype(str).str.strip() != "")]
    dates = _last_days(given)
    wrong = given.index[dates.isna().to_numpy()]
    if len(wrong):
        shown = given[wrong[0]]
        raise InputError(f"{source}: cut-off '{shown}' of model '{wrong[0]}' is no date; write it as 2024-03-31")
    return {str(model): date for model, date in zip(given.index, dates, strict=True)}


def _last_days(values: pd.Series) -> pd.Series:
    """Read cut-offs; a month or a year without a day means its last day."""
    text = values.astype(str).str.strip().str.replace(r"\.0$", "", regex=True)
    dates = _dates(values.where(~text.str.fullmatch(r"\d{4}"), text))
    month, year = (text.str.fullmatch(form) & dates.notna() for form in (r"\d{4}-\d{2}", r"\d{4}"))
    dates = dates.where(~month, dates + pd.offsets.MonthEnd(0))
    return dates.where(~year, dates + pd.offsets.YearEnd(0))


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
    column = _date_column(items)
    if column is None or not any(model in cutoffs for model in models) or not _dates(items[column]).notna().any():
        return None
    dates = pd.Series(_dates(items[column]).to_numpy(), index=items["item_id"].astype(str)).reindex(list(ids))
    day: FloatArray = np.where(dates.isna(), np.nan, dates.to_numpy().astype("datetime64[s]").astype(float))
    last = np.array([cutoffs[model].timestamp() if model in cutoffs else np.nan for model in models])
    known = np.isfinite(day) & np.isfinite(last)[:, None]
    with np.errstate(invalid="ignore"):
        return Exposure("date", np.where(known, (day <= last[:, None]).astype(float), np.nan))


def _date_column(items: pd.DataFrame) -> str | None:
    return next((name for name in DATES if name in items), None)


def date_notes(items: pd.DataFrame | None, models: tuple[str, ...], cutoffs: dict[str, pd.Timestamp]) -> list[str]:
    """Return notes on dates that cannot be read, and on why there is no evidence by date.

    Args:
        items: A study's items, or None.
        models: Names on the model axis.
        cutoffs: Cut-off by model.
    """
    column = None if items is None else _date_column(items)
    if items is None or column is None:
        return [f"no dates: items need a column such as {DATES[0]}, models a cut-off (--cutoffs, or models.csv)"]
    notes: list[str] = []
    given = items[items[column].notna() & (items[column].astype(str).str.strip() != "")]
    wrong = given[_dates(given[column]).isna()]
    if len(wrong):
        first = f"'{wrong[column].iloc[0]}' of item '{wrong['item_id'].iloc[0]}'"
        notes.append(
            f"{counted(len(wrong), 'date')} of items cannot be read (first {first}) and are left out; write them as"
            " 2024-03-31"
        )
    if not len(given):
        notes.append(f"no dates: the column {column} of the items is empty; write dates as 2024-03-31")
    if not cutoffs:
        notes.append(f"no cut-offs: give a date for models in a column {CUTOFF} (--cutoffs, or models.csv)")
    elif not any(model in cutoffs for model in models):
        notes.append(f"no cut-offs of the models that answered, such as {models[0]}; use the names of the study")
    return notes


def unknown_cutoffs(cutoffs: dict[str, pd.Timestamp], models: list[str]) -> list[str]:
    """Return a note on models with a cut-off but without answers.

    Args:
        cutoffs: Cut-off by model.
        models: Models of the study.
    """
    unknown = sorted(set(cutoffs) - set(models))
    if not unknown:
        return []
    return [f"cut-offs of {counted(len(unknown), 'model')} without answers are not used: {first_few(unknown)}"]


def by_column(items: pd.DataFrame, name: str, models: tuple[str, ...], ids: tuple[str, ...]) -> Exposure:
    """Exposure from a column of items, such as the share of n-grams in a training corpus, scaled to 0 to 1.

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
