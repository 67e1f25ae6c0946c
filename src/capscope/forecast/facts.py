"""Tables of models: what is known of them besides their scores, such as family, size and date."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.axes import FloatArray
from capscope.data import ArrowTable, as_frame, checked_columns, read_table
from capscope.errors import InputError, first_few

LONG_NAMES = {
    "model": ("model", "model_id", "model_name", "modelname", "name", "system"),
    "benchmark": ("benchmark", "benchmark_id", "benchmark_name", "task", "dataset", "metric", "eval"),
    "score": ("score", "value", "result", "accuracy"),
    "n": ("n", "n_items", "items", "count", "n_questions", "test_cases"),
    "date": ("date", "evaluation_date", "date_added"),
    "source": ("source", "reference_url", "url", "reference"),
}
"""Names that the columns of a long table may have."""
COVARIATE_NAMES = {
    "family": r"(model )?family|architecture|base model",
    "size": r".*(parameter|params|model size|size \(b\)).*|size",
    "tokens": r".*(pretraining data|dataset size|training tokens).*|tokens",
    "compute": r".*(flops?|compute).*",
    "date": r".*(date|released?)( .*)?",
    "loss": r".*loss.*",
    "effort": r".*effort.*",
}
"""What the columns of a table of models may be called; `size`, `tokens` and `compute` are used by their logarithms."""
LOGARITHMIC = ("size", "tokens", "compute")
WRITTEN_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[kmbt])", re.IGNORECASE)
"""Sizes such as 7B, 350M or 1.5T."""
BILLIONS = {"k": 1e-6, "m": 1e-3, "b": 1.0, "t": 1e3}
MONTHS = 12
QUARTER = re.compile(r"^(?:(?P<year>\d{4})[- ]?[Qq](?P<part>[1-4])|[Qq](?P<first>[1-4])[- ]?(?P<later>\d{4}))$")
MIDDLE_OF_QUARTER = {"1": "02-15", "2": "05-15", "3": "08-15", "4": "11-15"}
DAY_AND_MONTH = re.compile(r"^(?P<one>\d{1,2})[/.-](?P<two>\d{1,2})[/.-](?P<last>\d{2,4})$")
"""Dates such as 05/03/2025, or 24-03-05, which may be several days."""
MODEL_TABLES = tuple(f"models{suffix}" for suffix in (".csv", ".parquet", ".jsonl", ".json", ".tsv"))
"""Names of a table of models in a study's folder."""
LONG_REMEDY = "give the columns model, benchmark and score"


def covariate_key(column: str) -> str | None:
    """Return the fact that a column's name means, or None."""
    name = column.strip().lower().lstrip("#").strip()
    return next((key for key, pattern in COVARIATE_NAMES.items() if re.fullmatch(pattern, name)), None)


def model_columns(frame: pd.DataFrame, keys: dict[str, str]) -> pd.DataFrame:
    """Rename columns to their covariates; of several columns of one covariate, keep the one with the most values.

    Args:
        frame: A table of models.
        keys: Covariate of each column.
    """
    best: dict[str, str] = {}
    for column, key in keys.items():
        if key not in best or frame[column].notna().sum() > frame[best[key]].notna().sum():
            best[key] = column
    return pd.DataFrame({key: with_sizes(frame[column], key) for key, column in best.items()}, index=frame.index)


def with_sizes(column: pd.Series, name: str) -> pd.Series:
    """Replace sizes in words, such as 7B, 350M or 1.5T, by billions of parameters; other facts stay as they are.

    Args:
        column: Values by model.
        name: The fact; only `size` is read, since tokens and compute have no one unit.
    """
    if name != "size" or pd.api.types.is_numeric_dtype(column):
        return column
    parts = column.astype("string").str.strip().str.extract(f"^{WRITTEN_SIZE.pattern}$", flags=re.IGNORECASE)
    billions = pd.to_numeric(parts["number"]) * pd.to_numeric(parts["unit"].str.lower().map(BILLIONS))
    return column.astype(object).mask(billions.notna(), billions.astype(object))


def amounts(column: pd.Series, name: str) -> FloatArray:
    """Return a fact as numbers, NaN where it is none; sizes in billions, 7B and 350M too.

    Args:
        column: Values by model.
        name: The fact.
    """
    return pd.to_numeric(with_sizes(column, name), errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def unreadable_facts(table: pd.DataFrame) -> tuple[str, ...]:
    """Return notes on sizes, tokens and compute that are no positive numbers, which count as unknown.

    Args:
        table: Facts by model.
    """
    notes: list[str] = []
    for name in (column for column in LOGARITHMIC if column in table):
        number = amounts(table[name], name)
        given = table[name].notna() & (table[name].astype(str).str.strip() != "")
        wrong = table.index[given & ~((number > 0) & np.isfinite(number))]
        if len(wrong):
            notes.append(f"{name} is no positive number for {first_few(list(wrong))}, and counts as unknown there")
    return tuple(notes)


def named_rows(frame: pd.DataFrame, place: int, where: str) -> tuple[pd.DataFrame, pd.Series]:
    """Leave out empty rows and read the names of the others as text ("NA" is a name).

    Args:
        frame: A table of models.
        place: Position of the column with the names.
        where: Name of the table, for messages.

    Returns:
        The other rows, and their names.

    Raises:
        InputError: A row with values has no name.
    """
    empty = (frame.isna() | (frame.astype(str).apply(lambda column: column.str.strip()) == "")).all(axis=1)
    frame = frame[~empty]
    named = frame.iloc[:, [place]].set_axis(["model"], axis="columns")
    return frame, checked_columns(named, where, names=["model"], remedy=LONG_REMEDY)["model"]


def read_models(
    models: pd.DataFrame | ArrowTable | str | Path, names: pd.Index
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read a table of models; columns of known meaning are renamed, the others kept.

    Args:
        models: The table or its file; its models are in a column `model` or in the first one.
        names: Models of the table of scores.

    Raises:
        InputError: A model has two rows, or hardly any model is in both tables.
    """
    where = str(models) if isinstance(models, str | Path) else "table of models"
    table = facts_of(models)
    matched = names.isin(table.index)
    if not matched.any():
        raise InputError(f"{where}: none of its models has scores; the first is '{table.index[0]}'")
    share = f"{int(matched.sum())} of {len(names)} models have facts: {first_few(table.columns, 8)}"
    table = table.reindex(names)
    return table, (share, *unreadable_facts(table))


def facts_of(models: pd.DataFrame | ArrowTable | str | Path) -> pd.DataFrame:
    """Read a table of models, by model; columns of known meaning have the names of `COVARIATE_NAMES`.

    Args:
        models: The table or its file; its models are in a column `model` or in the first one.

    Returns:
        The facts, one row for each model, whose name is the index.

    Raises:
        InputError: The table is empty, or a model has two rows.
    """
    where = str(models) if isinstance(models, str | Path) else "table of models"
    models = as_frame(models)
    frame = models if isinstance(models, pd.DataFrame) else read_table(Path(models), keep_index=True)
    if frame.empty:
        raise InputError(f"{where}: holds no model; give a column model and facts such as size, family or date")
    lower = [str(column).strip().lower() for column in frame.columns]
    place = next((index for index, name in enumerate(lower) if name in LONG_NAMES["model"]), 0)
    frame, given = named_rows(frame, place, where)
    keyed = frame.set_axis(given.to_numpy(), axis=0)
    keyed = keyed.drop(columns=frame.columns[place])
    if keyed.index.duplicated().any():
        again = keyed.index[keyed.index.duplicated()][0]
        raise InputError(f"{where}: model '{again}' has two rows; keep one")
    keys = {str(column): key for column in keyed if (key := covariate_key(str(column))) is not None}
    table = model_columns(keyed, keys)
    others = [column for column in keyed.columns if str(column) not in keys]
    return table.join(keyed[others].rename(columns=str))


def models_of_study(study: Path) -> Path:
    """Return the table of models that lies in a study's folder.

    Args:
        study: The folder.

    Raises:
        InputError: There is none.
    """
    table = next((place for name in MODEL_TABLES if (place := study / name).is_file()), None)
    if table is None:
        raise InputError(f"{study}: holds no models.csv with the sizes or dates of its models; give one with --models")
    return table


def model_dates(models: pd.DataFrame | ArrowTable | str | Path, names: list[str]) -> FloatArray:
    """Return the dates of models in years, NaN where unknown.

    Args:
        models: A table with the columns model and date, or its file.
        names: The models.

    Raises:
        InputError: There is no column of dates, or hardly any of the models is in the table.
    """
    table, _ = read_models(models, pd.Index(names))
    if "date" not in table:
        raise InputError("the table of models has no column of dates; call one 'date', with values like 2026-03")
    return as_years(table["date"])


def as_years(column: pd.Series) -> FloatArray:
    """Return dates as years with their fraction; NaN where there is none, or where day and month may be swapped.

    Args:
        column: Days, months, quarters (2025Q2) or years (2025.4), as dates or text.
    """
    text = column.astype("string").str.strip().str.replace(r"^(\d{4})\.0$", r"\1", regex=True)
    quarter = text.str.extract(QUARTER)
    year, part = quarter["year"].fillna(quarter["later"]), quarter["part"].fillna(quarter["first"])
    text = text.mask(year.notna(), year + "-" + part.map(MIDDLE_OF_QUARTER).astype("string"))
    numbers = text.str.extract(DAY_AND_MONTH)
    small = (pd.to_numeric(numbers["one"]) <= MONTHS) & (pd.to_numeric(numbers["two"]) <= MONTHS)
    ambiguous = small.fillna(False) & (numbers["one"] != numbers["two"]).fillna(False)
    ambiguous = ambiguous | (numbers["last"].str.len() < len("2025")).fillna(False)
    decimal = pd.to_numeric(text.where(text.str.fullmatch(r"\d{4}\.\d+").fillna(False)), errors="coerce")
    dates = pd.to_datetime(text.mask(ambiguous | decimal.notna()), errors="coerce", format="mixed", utc=True)
    years = (dates.dt.year + (dates.dt.day_of_year - 1) / 365.25).to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isfinite(years), years, decimal.to_numpy(dtype=float, na_value=np.nan))
