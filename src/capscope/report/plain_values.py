"""Plain JSON-able values (None for what is not finite), numbers as text, and the provenance of a page."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope import __version__
from capscope.annotate import RubricSet
from capscope.data import Demands
from capscope.errors import InputError, first_few
from capscope.files import sha256_of
from capscope.intervals import quantile_bounds

Summary = dict[str, Any]
"""Plain values that `json.dumps` takes as they are."""
Record = dict[str, Any]
"""One row of a table, or one entry of a summary."""

MISSING = "\u2013"
"""Stands where there is no number."""
LONGEST_TEXT = 2000
"""Characters of an item's text that a page shows."""


def plain(value: object) -> Any:  # noqa: ANN401 - JSON values have many types
    """Turn numpy values, arrays, tuples and mappings into plain Python, NaN and infinities into None."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value


def records(table: pd.DataFrame) -> list[Record]:
    """Return the rows of a table as plain dicts."""
    columns = {str(name): table[name].tolist() for name in table.columns}
    return [plain(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def bounded(draws: np.ndarray, level: float) -> Record:
    """Mean and central interval over the last axis, the draws.

    Args:
        draws: Draws, along the last axis.
        level: Nominal coverage.
    """
    lower, upper = quantile_bounds(draws, level)
    return {"value": draws.mean(axis=-1), "lower": lower, "upper": upper}


def benchmark_examples(items: pd.DataFrame | None) -> dict[str, str]:
    """Return an item of each benchmark with its text, the middle one by id of those with a text."""
    texts = {item: text for item, text in item_texts(items).items() if text}
    if items is None or "benchmark" not in items:
        return {}
    known = items.loc[items["item_id"].astype(str).isin(texts), ["benchmark", "item_id"]].astype(str)
    middle: dict[str, str] = {}
    for name, ids in known.groupby("benchmark", observed=True)["item_id"]:
        middle[str(name)] = sorted(map(str, ids))[len(ids) // 2]
    return {name: f"For example {item}: {texts[item]}" for name, item in middle.items()}


def level_examples(levels: Demands | None, items: pd.DataFrame | None) -> dict[str, str]:
    """Return an item of the highest level of each dimension with its text, the middle one of those with a text.

    Args:
        levels: Demand levels of the items; None where there are none.
        items: Table with columns `item_id` and `text`, as far as there is one.
    """
    if levels is None:
        return {}
    texts = {item: text for item, text in item_texts(items).items() if text}
    rows = [row for row, item in enumerate(levels.items) if item in texts]
    examples: dict[str, str] = {}
    for dim, level in zip(levels.dims, levels.level.T, strict=True):
        top = max((level[row] for row in rows if np.isfinite(level[row])), default=None)
        if top is not None:
            highest = sorted(levels.items[row] for row in rows if level[row] == top)
            item = highest[len(highest) // 2]
            examples[dim] = f"Level {top:.2g}, for example {item}: {texts[item]}"
    return examples


def item_texts(items: pd.DataFrame | None) -> dict[str, str]:
    """Return the text of each item by its id, cut where it is long; empty where there is none.

    Raises:
        InputError: The table has no ids.
    """
    if items is None:
        return {}
    if "item_id" not in items:
        raise InputError(f"items: column 'item_id' is missing among {first_few(map(str, items.columns))}; name it")
    if "text" not in items:
        return {}
    text = items["text"].astype(object).where(items["text"].notna(), "").astype(str)
    long = text.str.len() > LONGEST_TEXT
    return dict(zip(items["item_id"].astype(str), text.where(~long, text.str[:LONGEST_TEXT] + " \u2026"), strict=True))


def scale_names(dims: tuple[str, ...], rubrics: RubricSet) -> list[Record]:
    """Name the scales and their families in the rubric set's order; a code that it lacks stands for itself, last.

    Args:
        dims: Codes of the scales.
        rubrics: The rubric set.

    Returns:
        One record for each scale, with ``dim``, ``name`` and ``family``.
    """
    known = [code for code in rubrics.codes if code in dims]
    named = [{"dim": code, "name": rubrics.get(code).name, "family": rubrics.family(code)} for code in known]
    return named + [{"dim": dim, "name": dim, "family": ""} for dim in dims if dim not in known]


def fixed(value: float | None, digits: int = 2) -> str:
    """Print a number with a fixed number of digits and a true minus sign.

    Args:
        value: The number; None is printed as missing.
        digits: Digits after the decimal point.

    Returns:
        The text.
    """
    return MISSING if value is None else f"{value:.{digits}f}".replace("-", "\u2212")


def percent(value: float | None, digits: int = 0) -> str:
    """Print a share as a percentage; what is not quite 0 or 1 is not printed as such.

    Args:
        value: A share from 0 to 1; None is printed as missing.
        digits: Digits after the decimal point.

    Returns:
        The text; ``<1%`` or ``>99%`` where rounding would give a false 0 or 1.
    """
    if value is None:
        return MISSING
    edge = 0.5 * 10 ** -(digits + 2)
    if 0 < value <= edge:
        return f"<{10**-digits:.{digits}f}%"
    if 1 - edge <= value < 1:
        return f">{100 - 10**-digits:.{digits}f}%"
    return f"{100 * value:.{digits}f}%"


def count(value: int | float | None) -> str:
    """Print a count with thin spaces between thousands."""
    return MISSING if value is None else f"{value:,.0f}".replace(",", "\u202f")


LIBRARIES = ("torch", "pyro-ppl", "numpy", "scipy", "pandas", "scikit-learn", "matplotlib")
"""Libraries whose versions a report states."""


@dataclass(frozen=True)
class Provenance:
    """Where the numbers of a report come from."""

    title: str
    """Heading of the page."""
    source: str
    """Citation of the data, in plain text."""
    capscope_version: str
    """Version of this package."""
    versions: dict[str, str]
    """Version of Python and of each library that made the numbers."""
    seed: int
    """Seed of all random draws."""
    engine: str
    """Inference engine."""
    inputs: dict[str, str] = field(default_factory=dict[str, str])
    """SHA-256 of each input file, by file name."""
    notes: tuple[str, ...] = ()
    """What a reader must know about the data, one sentence each."""
    facts: tuple[tuple[str, str], ...] = ()
    """Further rows of the table of provenance: what was measured, on which study, when."""


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that make the numbers; none is imported."""
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions


def provenance_of(  # noqa: PLR0913 - each is one line of the page
    title: str,
    source: str,
    *,
    seed: int,
    engine: str,
    inputs: tuple[Path, ...] = (),
    notes: tuple[str, ...] = (),
    facts: tuple[tuple[str, str], ...] = (),
) -> Provenance:
    """Gather the provenance of numbers made by this installation.

    Args:
        title: Heading of the page.
        source: Citation of the data, in plain text.
        seed: Seed of all random draws.
        engine: Inference engine.
        inputs: Input files; their names and hashes are kept, not their folders.
        notes: What a reader must know about the data.
        facts: Further rows of the table of provenance.

    Returns:
        The provenance, with versions, the time, and hashes of the inputs.

    Raises:
        InputError: An input cannot be read.
    """
    hashes = {path.name: _sha256(path) for path in inputs}
    return Provenance(title, source, __version__, installed_versions(), seed, engine, hashes, notes, facts)


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); name an existing file") from None
