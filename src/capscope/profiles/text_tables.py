"""What results print: tables with names beside codes, the warning of low reliability; and tables as files."""

import math
from functools import cache
from pathlib import Path

import pandas as pd

from capscope.errors import OutputError
from capscope.files import refuse_file, whole_file

SUFFIXES = (".csv", ".parquet", ".json")
LOW_RELIABILITY = 0.5
"""Reliability under which most of the difference between models is chance."""


@cache
def dimension_names() -> dict[str, str]:
    """Names of the shipped rubrics by code, such as `QLl` for quantitative and logical reasoning."""
    from capscope.annotate import known_rubrics

    return {rubric.code: rubric.name for rubric in known_rubrics().rubrics}


def named_dims(table: pd.DataFrame, column: str = "dim", label: str = "dimension") -> pd.DataFrame:
    """Put the name of each demand dimension beside its code, as a last column; without a known code nothing changes.

    Args:
        table: A table with a column of codes.
        column: Column that holds the codes.
        label: Name of the new column.
    """
    names = table[column].astype(str).map(dimension_names()).fillna("")
    return table.assign(**{label: names}) if (names != "").any() else table


def spelled(codes: list[str]) -> str:
    """Join codes of demand dimensions, each with its name where a shipped rubric set has one."""
    return ", ".join(f"{code} ({dimension_names()[code]})" if code in dimension_names() else code for code in codes)


def reliability_notes(reliability: float, what: str = "items") -> tuple[str, ...]:
    """Return the warning that belongs first where items do not tell the models apart, else nothing.

    Args:
        reliability: Share of the variance between models that is not error; NaN where all are alike.
        what: What the models are told apart by.
    """
    if math.isnan(reliability):
        return (f"all models come out alike: these {what} do not tell them apart",)
    if reliability < LOW_RELIABILITY:
        return (f"reliability {reliability:.2f}: most of the difference between these models is chance; add {what}",)
    return ()


def table_lines(table: pd.DataFrame) -> str:
    """Lay a table out as text, numbers with three decimals and texts of the last column to the left."""
    if not len(table):
        return f"(no rows: {', '.join(map(str, table.columns))})"
    last = str(table.columns[-1])
    formatters = {}
    if not pd.api.types.is_numeric_dtype(table[last]):
        width = int(table[last].astype(str).str.len().max())
        formatters[last] = lambda value: f"{value!s:<{width}}"
    text = table.to_string(index=False, float_format=lambda number: f"{number:.3f}", formatters=formatters)
    return "\n".join(line.rstrip() for line in text.split("\n"))


def refuse_table_file(path: str | Path, *, force: bool = False) -> None:
    """Refuse a file for findings before anything is computed for it.

    Args:
        path: The file; it need not exist.
        force: An existing file may be replaced.

    Raises:
        OutputError: The file exists and `force` is not set, its kind is unknown, or it cannot be written.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise OutputError(f"{path}: cannot write '{path.suffix}' files; name one of {', '.join(SUFFIXES)}")
    refuse_file(path, force=force)


def write_findings(table: pd.DataFrame, path: str | Path, *, force: bool = True) -> None:
    """Write findings as CSV, Parquet or JSON, by the file's ending, whole or not at all.

    Args:
        table: The findings.
        path: File to write.
        force: An existing file may be replaced.

    Raises:
        OutputError: See `refuse_table_file`.
    """
    path = Path(path)
    refuse_table_file(path, force=force)
    with whole_file(path, force=force) as scratch:
        if path.suffix == ".parquet":
            table.to_parquet(scratch, index=False)
        elif path.suffix == ".json":
            table.to_json(scratch, orient="records", indent=2, force_ascii=False)
        else:
            table.to_csv(scratch, index=False)
