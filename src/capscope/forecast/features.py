"""Covariates from names and facts of models and benchmarks, as blocks of regression columns."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from capscope.axes import FloatArray
from capscope.forecast.facts import LOGARITHMIC
from capscope.forecast.table_of_scores import PublishedScores

WORD = re.compile(r"[a-z]+|\d+(?:\.\d+)?[bm]?")
SIZE = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)\s*([bm])(?![a-z])")
MOST_COMMON = 0.7
"""Largest share of the names that contain a word, for the word to be a feature."""
MOST_WORDS = 120
"""Words that are used; those in the most names first."""
MOST_VALUES = 30
"""Different values that a text column may have."""


@dataclass(frozen=True)
class Block:
    """Columns of a design that share one prior variance."""

    name: str
    """Name of the block: `scale`, `family`, `size within family`, `names`, ..."""
    columns: FloatArray
    """Shape (model or benchmark, column)."""
    labels: tuple[str, ...]
    """Name of each column."""


def model_blocks(table: PublishedScores, leave_out: tuple[str, ...] = ()) -> list[Block]:
    """Return the blocks for the models of a table.

    Args:
        table: The scores, with facts about the models.
        leave_out: Names of blocks to leave out.
    """
    size = _size(table)
    blocks = [_numeric_block(table, size), _interaction(table, size)]
    families = table.families()
    blocks.append(_groups("family", families, 2))
    near = [f"{family} {value:.1f}" if np.isfinite(value) else "" for family, value in zip(families, size, strict=True)]
    blocks.append(_groups("size within family", near, 2))
    blocks += _other_facts(table)
    blocks.append(name_words(table.names, 3))
    return [block for block in blocks if block.columns.shape[1] and block.name not in leave_out]


def fact_blocks(names: list[str], facts: pd.DataFrame) -> list[Block]:
    """Return the blocks for models without a table of scores.

    Args:
        names: Names of the models.
        facts: What is known of them, by model; see `facts.facts_of`.
    """
    return model_blocks(PublishedScores(scores=pd.DataFrame(index=names), units={}, models=facts))


def benchmark_blocks(table: PublishedScores) -> list[Block]:
    """Return the blocks for the benchmarks of a table: words that their names share."""
    words = name_words(table.benchmarks, 2)
    return [words] if words.columns.shape[1] else []


def name_words(names: list[str], fewest: int) -> Block:
    """Return one column for each word that some names share, such as `llama`, `70b` or `instruct`.

    Args:
        names: Names of models or benchmarks; the part before a slash is ignored.
        fewest: Names a word has to be in.
    """
    places: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        for word in set(WORD.findall(name.lower().rsplit("/", 1)[-1])):
            places.setdefault(word, []).append(index)
    distinct = {tuple(rows): word for word, rows in sorted(places.items(), reverse=True)}
    usable = [rows for rows in distinct if fewest <= len(rows) <= MOST_COMMON * len(names)]
    usable = sorted(usable, key=lambda rows: (-len(rows), distinct[rows]))[:MOST_WORDS]
    columns = np.zeros((len(names), len(usable)))
    for column, rows in enumerate(usable):
        columns[list(rows), column] = 1
    return Block("names", columns, tuple(distinct[rows] for rows in usable))


def size_in_name(name: str) -> float:
    """Return the logarithm of the size in billions that a name states (`7b`, `560m`), or NaN."""
    stated = SIZE.findall(name.lower())
    return float(np.log(max(float(stated[-1][0]), 1e-6) * (1 if stated[-1][1] == "b" else 1e-3))) if stated else np.nan


def _size(table: PublishedScores) -> FloatArray:
    """Log size by model: as stated, else from the names."""
    stated = table.covariate("size")
    if stated is None or not np.isfinite(stated).any():
        return np.array([size_in_name(name) for name in table.names])
    return _logged(stated)


def _logged(values: FloatArray) -> FloatArray:
    return np.log(np.where(values > 0, values, np.nan))


def _numeric_block(table: PublishedScores, size: FloatArray) -> Block:
    named = {"size": size}
    for name in ("tokens", "compute", "date", "loss"):
        values = table.covariate(name)
        if values is not None:
            named[name] = _logged(values) if name in LOGARITHMIC else values
    columns, labels = [], []
    for name, values in named.items():
        for label, column in _standardised(name, values):
            columns.append(column)
            labels.append(label)
    return Block("scale", np.array(columns).reshape(-1, len(size)).T, tuple(labels))


def _interaction(table: PublishedScores, size: FloatArray) -> Block:
    tokens = table.covariate("tokens")
    first, second = _standardised("size", size), [] if tokens is None else _standardised("tokens", _logged(tokens))
    if not first or not second:
        return Block("size x tokens", np.zeros((len(size), 0)), ())
    return Block("size x tokens", (first[0][1] * second[0][1])[:, None], ("size x tokens",))


def _standardised(name: str, values: FloatArray) -> list[tuple[str, FloatArray]]:
    """Standardise a covariate; unknown values are 0 and marked by a second column."""
    known = np.isfinite(values)
    if known.sum() < 5 or np.std(values[known]) == 0:
        return []
    filled = np.where(known, (values - values[known].mean()) / values[known].std(), 0.0)
    return [(name, filled)] + ([(f"{name} unknown", (~known).astype(float))] if (~known).sum() > 2 else [])


def _groups(name: str, labels: list[str], fewest: int) -> Block:
    """One column for each group of at least `fewest` models; an empty label is no group."""
    values, counts = np.unique(np.array(labels, dtype=object).astype(str), return_counts=True)
    kept = [value for value, count in zip(values, counts, strict=True) if value and count >= fewest]
    columns = (np.array(labels)[:, None] == np.array(kept)[None]).astype(float) if kept else np.zeros((len(labels), 0))
    return Block(name, columns, tuple(kept))


def _other_facts(table: PublishedScores) -> list[Block]:
    """Further columns of the table of models: numbers standardised, short texts as groups."""
    known = {"family", "size", "tokens", "compute", "date", "loss"}
    blocks: list[Block] = []
    for name in [str(column) for column in table.models.columns if column not in known]:
        column = table.models[name].reindex(table.scores.index)
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)
        if np.isfinite(numbers).sum() >= 0.5 * column.notna().sum() > 0:
            entries = _standardised(name, numbers)
            array = np.array([values for _, values in entries]).reshape(-1, len(column)).T
            blocks.append(Block(name, array, tuple(label for label, _ in entries)))
        elif column.nunique() <= MOST_VALUES:
            blocks.append(_groups(name, ["" if pd.isna(value) else str(value) for value in column], 3))
    return blocks
