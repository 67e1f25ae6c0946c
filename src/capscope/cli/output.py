"""Print results: JSON alone on stdout when asked for, else text."""

import json
import math
import sys
from typing import TYPE_CHECKING, Any

from capscope.errors import printable

if TYPE_CHECKING:
    import pandas as pd


def emit(result: dict[str, Any], as_json: bool, text: str) -> None:
    """Print a result.

    Args:
        result: Plain values; numpy numbers are turned into Python's, what is undefined into null.
        as_json: Print `result` as one JSON document.
        text: What to print otherwise.
    """
    printed = json.dumps(plain(result), indent=2, ensure_ascii=False, allow_nan=False) if as_json else text
    sys.stdout.write(printable(printed) + "\n")


def plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Turn a value into what JSON can hold; NaN and infinity become null."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]  # pyright: ignore[reportUnknownVariableType]
    if value is None or isinstance(value, str | bool | int):
        return value
    number = value.item() if type(value).__module__ == "numpy" else value
    return None if isinstance(number, float) and not math.isfinite(number) else number


def table_text(table: "pd.DataFrame") -> str:
    """Lay a table out as text, numbers with three decimals."""
    return table.to_string(index=False, float_format=lambda number: f"{number:.3f}")
