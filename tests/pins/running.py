"""Run a command in this process, and put what it printed and wrote into plain values that can be compared."""

import contextlib
import io
import json
import re
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from capscope import cli

VOLATILE = frozenset({"seconds", "cpu_seconds", "peak_memory_mb", "version", "capscope", "ended", "created", "written"})
"""Keys whose values differ from run to run."""
LARGEST = 1e6
LINES = 3
"""Lines of a text file that are kept."""


def run(arguments: list[str]) -> tuple[int, str, str]:
    """Run the command line; return its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", ["capscope", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
    return code, out.getvalue(), err.getvalue()


def without(value: Any, dropped: frozenset[str]) -> Any:
    """Leave out keys at any depth."""
    if isinstance(value, dict):
        return {key: without(inner, dropped) for key, inner in value.items() if key not in dropped}
    if isinstance(value, list):
        return [without(inner, dropped) for inner in value]
    return value


def outline(value: Any) -> Any:
    """Keep keys and kinds only; of a list its first entry."""
    if isinstance(value, dict):
        return {key: outline(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [outline(inner) for inner in value[:1]]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def printed(out: str) -> Any:
    """Read JSON from stdout; text is kept as lines."""
    try:
        return json.loads(out)
    except ValueError:
        return out.splitlines()


def describe(path: Path) -> Any:
    """Say what a file or folder holds, in values that can be compared."""
    if not path.exists():
        return None
    if path.is_dir():
        return {child.name: describe(child) for child in sorted(path.iterdir()) if not _passing(child)}
    if path.suffix in (".parquet", ".csv"):
        return _table(pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path))
    if path.suffix == ".safetensors":
        return {name: _tensor(tensor) for name, tensor in sorted(load_file(path).items())}
    if path.suffix == ".json":
        return {"json": outline(without(json.loads(path.read_text("utf-8")), VOLATILE))}
    if path.suffix == ".html":
        return {"sections": re.findall(r'<section id="([\w-]+)"', path.read_text("utf-8"))}
    if path.suffix in (".sqlite", ".npz"):
        return {"bytes": path.suffix}
    lines = path.read_text("utf-8").splitlines()
    return {"lines": len(lines), "first": lines[:LINES]}


def _passing(path: Path) -> bool:
    """Whether a file is a lock or a database's own helper."""
    return path.name.startswith(".") or path.name.endswith(("-wal", "-shm", ".lock"))


def _table(table: pd.DataFrame) -> dict[str, Any]:
    return {"rows": len(table), "columns": {str(name): _column(table[name]) for name in table.columns}}


def _column(column: pd.Series) -> Any:
    values = column.dropna()
    if pd.api.types.is_numeric_dtype(column.dtype):
        numbers = values.to_numpy(float)
        if not len(numbers):
            return {"missing": len(column)}
        spread = float(np.sqrt(np.mean(numbers**2)))
        return {"mean": float(numbers.mean()), "rms": spread, "missing": len(column) - len(values)}
    texts = [str(value) for value in values]
    return {"distinct": len(set(texts)), "first": texts[:2], "last": texts[-1:], "missing": len(column) - len(values)}


def _tensor(tensor: np.ndarray) -> dict[str, Any]:
    """Say shape, kind and size; prior variances without bound are cut, and half precision keeps four digits."""
    numbers = np.clip(np.nan_to_num(tensor.astype(float)), -LARGEST, LARGEST)
    rms = float(np.sqrt(np.mean(numbers * numbers))) if numbers.size else 0.0
    half = tensor.dtype == np.float16
    return {"shape": list(tensor.shape), "dtype": str(tensor.dtype), "rms": float(f"{rms:.3e}") if half else rms}
