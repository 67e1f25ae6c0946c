"""Responses read from Parquet a block at a time, for tables larger than memory; every block passes the same checks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from capscope.axes import RowIndex
from capscope.data.responses import Facet, Responses
from capscope.data.tables import FACETS, TABLES, validate
from capscope.errors import InputError

ROWS_AT_ONCE = 1 << 19
"""Rows in memory at once."""

MOST_CELLS_SEEN = 1 << 31
"""Cells up to which repeated keys are looked for over the whole table: one bit each."""


@dataclass(frozen=True)
class ResponseFile:
    """A table of responses that stays on disk."""

    path: Path
    """The Parquet file."""
    models: tuple[str, ...]
    """Sorted names on the model axis."""
    items: tuple[str, ...]
    """Sorted ids on the item axis."""
    n_rows: int
    """Number of responses."""
    facets: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Sorted names of each facet that the table has."""

    @classmethod
    def open(cls, path: Path) -> "ResponseFile":
        """Read the table twice: its names, then its keys.

        Raises:
            InputError: The file cannot be read, or a row is wrong or comes twice; the message says which.
        """
        names: dict[str, set[str]] = {}
        n_rows = 0
        for frame in _frames(path):
            for column in ("model", "item_id", *FACETS):
                if column in frame:
                    names.setdefault(column, set()).update(frame[column].cat.categories)
            n_rows += len(frame)
        if not n_rows:
            raise InputError(f"{path}: the table has no rows; check how it was written")
        axes = {column: tuple(sorted(values)) for column, values in names.items()}
        table = cls(path, axes.pop("model"), axes.pop("item_id"), n_rows, axes)
        table._refuse_repeats()
        return table

    def blocks(self) -> Iterator[Responses]:
        """The responses in the order of the file, over the axes of the whole table."""
        model_at, item_at = (pd.Index(names) for names in (self.models, self.items))
        for frame in _frames(self.path):
            model, item = _positions(frame["model"], model_at), _positions(frame["item_id"], item_at)
            score = frame["score"].to_numpy(dtype=np.float64)
            trials = frame["n_trials"].to_numpy(dtype=np.float64) if "n_trials" in frame else np.ones(len(frame))
            facets = {
                name: Facet(names, _positions(frame[name], pd.Index(names))) for name, names in self.facets.items()
            }
            yield Responses(self.models, self.items, model, item, score, trials, facets)

    def _refuse_repeats(self) -> None:
        n_cells = len(self.models) * len(self.items)
        if n_cells > MOST_CELLS_SEEN or self.facets:
            return
        seen = np.zeros(n_cells // 8 + 1, np.uint8)
        for block in self.blocks():
            cell = block.model_index * np.int64(len(self.items)) + block.item_index
            bit = (1 << (cell & 7)).astype(np.uint8)
            again = np.flatnonzero(seen[cell >> 3] & bit)
            if len(again):
                model, item = self.models[block.model_index[again[0]]], self.items[block.item_index[again[0]]]
                raise InputError(f"{self.path}: model '{model}', item_id '{item}' comes twice; keep one of the rows")
            np.bitwise_or.at(seen, cell >> 3, bit)


def rows_in(path: Path) -> int:
    """Number of rows of a Parquet file, from its footer.

    Raises:
        InputError: It is no Parquet file.
    """
    return _opened(path).metadata.num_rows


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, read_dictionary=["model", "item_id"])
    except PermissionError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file (truncated?); write it again") from error


def _frames(path: Path) -> Iterator[pd.DataFrame]:
    """Checked blocks of the table, with the columns that a fit uses."""
    with _opened(path) as file:
        spec = TABLES["responses"]
        wanted = {*spec.required, "n_trials", *FACETS}
        columns = [name for name in file.schema_arrow.names if name in wanted] or None
        first = 0
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
            yield validate(batch.to_pandas(), "responses", str(path) if not first else f"{path}, after row {first}")
            first += batch.num_rows


def _positions(column: pd.Series, names: pd.Index) -> RowIndex:
    return names.get_indexer(column.cat.categories)[column.cat.codes.to_numpy()].astype(np.int64)
