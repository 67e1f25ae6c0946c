"""Tables of published scores: model by benchmark, with units, counts, dates and facts about the models."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from capscope.axes import FloatArray
from capscope.data import ArrowTable, as_frame, checked_columns, family_by_name, read_table
from capscope.display import short_repr
from capscope.errors import InputError, counted, first_few, nearest
from capscope.forecast.facts import (
    LONG_NAMES,
    LONG_REMEDY,
    amounts,
    as_years,
    covariate_key,
    model_columns,
    named_rows,
    read_models,
    unreadable_facts,
)
from capscope.forecast.links import LINKS, TableLink, recognised_unit, table_link

MISSING = ("", "-", "--", "?", "na", "n/a", "nan", "none", "null", "tbd")
LEAST_BENCHMARKS, LEAST_MODELS = 1, 3
ROW_NAMES = ("", "unnamed: 0", "metric")


@dataclass(frozen=True, kw_only=True)
class PublishedScores:
    """Scores of models on benchmarks, NaN where none is published."""

    scores: pd.DataFrame
    """Scores in their own units; index: models, columns: benchmarks."""
    units: dict[str, str]
    """Unit of each benchmark, a name of `LINKS`."""
    counts: dict[str, float] = field(default_factory=dict)
    """Number of items of benchmarks, where stated."""
    models: pd.DataFrame = field(default_factory=pd.DataFrame)
    """What is known of the models, by model: `family`, `size`, `tokens`, `compute`, `date`, ... ; may be empty."""
    notes: tuple[str, ...] = ()
    """What was recognised, and what is odd."""

    __repr__ = short_repr

    @property
    def names(self) -> list[str]:
        """Names of the models."""
        return [str(name) for name in self.scores.index]

    @property
    def benchmarks(self) -> list[str]:
        """Names of the benchmarks."""
        return [str(name) for name in self.scores.columns]

    @property
    def values(self) -> FloatArray:
        """Scores as an array, shape (model, benchmark)."""
        return self.scores.to_numpy(dtype=float)

    @property
    def tops(self) -> FloatArray:
        """Largest possible score of each benchmark."""
        return np.array([LINKS[self.units[name]].top for name in self.benchmarks])

    def link(self) -> TableLink:
        """Return the links of the benchmarks."""
        return table_link(self.values, [self.units[name] for name in self.benchmarks])

    def hidden(self, mask: np.ndarray) -> "PublishedScores":
        """Return the table without some cells.

        Args:
            mask: True where a score is taken away, shape (model, benchmark).
        """
        return replace(self, scores=self.scores.mask(mask))

    def families(self) -> list[str]:
        """Family of each model: as stated, else guessed from the name."""
        guessed = [family_by_name(name) for name in self.names]
        if "family" not in self.models:
            return guessed
        stated = self.models["family"].reindex(self.scores.index)
        return [
            str(family) if isinstance(family, str) and family else guess
            for family, guess in zip(stated, guessed, strict=True)
        ]

    def covariate(self, name: str) -> FloatArray | None:
        """Return a numeric covariate by model, NaN where unknown; None where the table has none of the name."""
        if name not in self.models:
            return None
        column = self.models[name].reindex(self.scores.index)
        return as_years(column) if name == "date" else amounts(column, name)

    def with_model(self, name: str, scores: dict[str, float], covariates: dict[str, object]) -> "PublishedScores":
        """Return the table with one more model, or with more scores of a model.

        Args:
            name: The model.
            scores: Its known scores, in the units of the table.
            covariates: What is known of it: `family`, `size`, `tokens`, `compute`, `date`.

        Raises:
            InputError: A benchmark is not in the table, or a score lies outside its unit.
        """
        table = self.scores.copy()
        if name not in table.index:
            table.loc[name] = np.nan
        for benchmark, score in scores.items():
            column = self.benchmark(benchmark)
            refuse_outside(score, column, self.units[column])
            table.loc[name, column] = score
        models = self.models.copy() if len(self.models.columns) else pd.DataFrame(index=self.scores.index)
        for key, value in covariates.items():
            if key not in models:
                models[key] = pd.Series(np.nan, index=models.index, dtype=object)
            models[key] = models[key].astype(object)
            models.loc[name, key] = value  # pyright: ignore[reportCallIssue, reportArgumentType]
        return replace(self, scores=table, models=models)

    def benchmark(self, name: str) -> str:
        """Find a benchmark by its name in any letter case, or by a part that only one name has.

        Raises:
            InputError: None or several have it.
        """
        if name in self.benchmarks:
            return name
        same = [known for known in self.benchmarks if known.lower() == name.lower()]
        same = same or [known for known in self.benchmarks if name.lower() in known.lower()]
        if len(same) == 1:
            return same[0]
        hint = f"could be {first_few(same)}" if same else f"there are {first_few(self.benchmarks)}"
        raise InputError(f"benchmark '{name}': not in the table{nearest(name, self.benchmarks)}; {hint}")


def refuse_outside(score: float, benchmark: str, unit: str) -> None:
    """Refuse a score outside the range of its unit.

    Args:
        score: The score, in the unit.
        benchmark: Its benchmark, for the message.
        unit: Name of the unit, a key of `LINKS`.

    Raises:
        InputError: It is not finite, or it lies outside 0 to the top of its unit.
    """
    top = LINKS[unit].top
    if not np.isfinite(score) or (np.isfinite(top) and not 0 <= score <= top):
        raise InputError(f"{benchmark}={score:g}: outside 0 to {top:g} ({unit}); give it in the unit of the table")


def published_scores(
    scores: pd.DataFrame | ArrowTable | str | Path,
    models: pd.DataFrame | ArrowTable | str | Path | None = None,
    units: dict[str, str] | None = None,
) -> PublishedScores:
    """Read a long or a wide table of published scores.

    A long table has the columns model, benchmark and score (and may have n, date, source); a wide one has a row a model
    and a column a benchmark. Units are recognised from the values.

    Args:
        scores: The table, or its file.
        models: What is known of the models (column model, and family, size, tokens, compute, date, ...), or its file.
        units: Units of benchmarks that are not as recognised: names of `LINKS`.

    Returns:
        Scores (model, benchmark) in their own units, with units and facts about the models.

    Raises:
        InputError: The table has no scores, a cell is no number, or a unit is unknown or does not fit.
    """
    where = str(scores) if isinstance(scores, str | Path) else "table of scores"
    scores = as_frame(scores)
    frame = scores.copy() if isinstance(scores, pd.DataFrame) else read_table(Path(scores), keep_index=True)
    columns = _long_columns(frame)
    if {"model", "benchmark", "score"} <= set(columns):
        wide, counts, model_facts, notes = _from_long(frame, columns, where)
    else:
        wide, counts, model_facts, notes = _from_wide(frame, where)
    kept = wide.loc[wide.notna().any(axis=1), wide.notna().any(axis=0)]
    if len(kept) < LEAST_MODELS or len(kept.columns) < LEAST_BENCHMARKS:
        raise InputError(
            f"{where}: {counted(len(kept), 'model')} with scores on"
            f" {counted(len(kept.columns), 'benchmark')}; needs {LEAST_MODELS} models"
        )
    known = kept.to_numpy(dtype=float)[kept.notna().to_numpy()]
    if np.ptp(known) == 0:
        raise InputError(f"{where}: all scores are {known[0]:g}, so that no two models differ; give scores that differ")
    chosen, stated = _units(kept, units or {}, where)
    if models is not None:
        model_facts, more = read_models(models, kept.index)
        notes = (*notes, *more)
    return PublishedScores(scores=kept, units=chosen, counts=counts, models=model_facts, notes=(*stated, *notes))


def _long_columns(frame: pd.DataFrame) -> dict[str, str]:
    by_lower = {str(column).strip().lower(): str(column) for column in frame.columns}
    columns = {
        key: next((by_lower[name] for name in names if name in by_lower), None) for key, names in LONG_NAMES.items()
    }
    return {key: column for key, column in columns.items() if column is not None}


_Parts = tuple[pd.DataFrame, dict[str, float], pd.DataFrame, tuple[str, ...]]


def _from_long(frame: pd.DataFrame, columns: dict[str, str], where: str) -> _Parts:
    long = pd.DataFrame({key: frame[column] for key, column in columns.items()})
    long = checked_columns(long, where, names=("model", "benchmark"), remedy=LONG_REMEDY)
    long["score"] = [_number(cell, f"{where}: row {row + 1}") for row, cell in enumerate(long["score"])]
    known = long[long["score"].notna()]
    grouped = known.groupby(["model", "benchmark"], sort=False)["score"]
    notes: list[str] = []
    repeated = grouped.size()
    if (repeated > 1).any():
        spread = cast(tuple[str, str], (grouped.max() - grouped.min()).idxmax())
        notes.append(
            f"{counted(int((repeated > 1).sum()), 'cell', 'have')} several scores, which are averaged;"
            f" they differ most for {spread[0]} on {spread[1]}"
        )
    wide = grouped.mean().unstack("benchmark")
    wide = wide.reindex(index=known["model"].unique(), columns=known["benchmark"].unique())
    counts: dict[str, float] = {}
    if "n" in known:
        numbers = pd.to_numeric(known["n"], errors="coerce")
        counts = {str(name): float(n) for name, n in numbers.groupby(known["benchmark"]).median().items() if n > 0}
    notes.insert(0, f"a long table of {counted(len(known), 'score')}")
    wide.index.name, wide.columns.name = "model", None
    return wide, counts, pd.DataFrame(), tuple(notes)


def _from_wide(frame: pd.DataFrame, where: str) -> _Parts:
    lower = [str(column).strip().lower() for column in frame.columns]
    wanted = (*LONG_NAMES["model"], *ROW_NAMES)
    place = next((index for index, name in enumerate(lower) if name in wanted), None)
    place = 0 if place is None else place
    frame, names = named_rows(frame, place, where)
    if names.duplicated().any():
        again = names[names.duplicated()].iloc[0]
        raise InputError(f"{where}: model '{again}' has two rows; keep one, or give a long table")
    rest = frame.drop(columns=frame.columns[place]).set_axis(names.to_numpy(), axis=0)
    covariates = {str(column): key for column in rest if (key := covariate_key(str(column))) is not None}
    columns: dict[str, list[float]] = {}
    text: list[str] = []
    for column in rest.columns:
        if str(column) in covariates:
            continue
        numbers = pd.to_numeric(rest[column].map(_plain_text), errors="coerce")
        given = rest[column].map(_is_given)
        if given.any() and numbers[given].isna().mean() > 0.5:
            text.append(str(column))
            continue
        columns[str(column)] = [
            _number(cell, f"{where}: model '{name}', {column}") for name, cell in rest[column].items()
        ]
    wide = pd.DataFrame(columns, index=rest.index)
    wide.index.name = "model"
    model_facts = model_columns(rest[[*covariates]], covariates)
    notes = [f"a wide table of {counted(len(wide), 'model')} and {counted(len(wide.columns), 'benchmark')}"]
    notes.extend(unreadable_facts(model_facts))
    if covariates or text:
        notes.append(f"columns taken as facts about models: {first_few([*covariates, *text], 8)}")
    model_facts = model_facts.join(rest[text]) if len(text) else model_facts
    return wide, {}, model_facts, tuple(notes)


def _units(wide: pd.DataFrame, stated: dict[str, str], where: str) -> tuple[dict[str, str], tuple[str, ...]]:
    for name, unit in stated.items():
        if name not in wide.columns:
            raise InputError(f"{where}: unit of '{name}': no such benchmark{nearest(name, map(str, wide.columns))}")
        if unit not in LINKS:
            raise InputError(f"{where}: unit '{unit}' of {name}: use one of {', '.join(LINKS)}")
    typical = float(np.median(wide.max()))
    units: dict[str, str] = {}
    for name in map(str, wide.columns):
        observed = wide[name].dropna().to_numpy(dtype=float)
        units[name] = stated.get(name) or recognised_unit(observed, name, typical)
        for score in observed:
            refuse_outside(float(score), f"{where}: {name}", units[name])
    groups = {unit: [name for name, of in units.items() if of == unit] for unit in LINKS}
    counted = [f"{len(names)} benchmarks in {unit}" for unit, names in groups.items() if names]
    odd = [f"{name} in {unit}" for name, unit in units.items() if len(groups) > 1 and len(groups[unit]) <= 3]
    detail = f" ({first_few(odd)})" if odd and len(counted) > 1 else ""
    return units, (f"units recognised: {', '.join(counted)}{detail}",)


def _is_given(cell: object) -> bool:
    return not pd.isna(cell) and str(cell).strip().lower() not in MISSING  # pyright: ignore[reportGeneralTypeIssues, reportArgumentType, reportCallIssue]


def _plain_text(cell: object) -> str:
    return re.sub(r"^[~≈<>]\s*|\s*(%|\*+|†)$", "", str(cell).strip())


def _number(cell: object, where: str) -> float:
    """Read a cell: ``62``, ``62.1%``, ``~62`` and ``62*`` are numbers, blanks and dashes are missing."""
    if not _is_given(cell):
        return float("nan")
    try:
        number = float(_plain_text(cell))
    except ValueError:
        raise InputError(f"{where}: score '{cell}' is no number; correct it or leave it empty") from None
    if not np.isfinite(number):
        raise InputError(f"{where}: score '{cell}' is not finite; correct it or leave it empty")
    return number
