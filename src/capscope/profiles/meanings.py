"""Sentences that interpret results, and tables as text.

Sentences give units of ability, limits of curves, low reliability, and two lines under each table; tables have names
beside codes, and are written as files.
"""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from capscope.errors import OutputError, first_few
from capscope.files import refuse_file, whole_file
from capscope.fit import CurvePosterior

FEWEST_LEVELS = 3
"""A curve over fewer levels with answers is extrapolated."""
OFTEN_REVERSED = 0.1
"""Share of the pairs of models from which on their order by a curve is said to differ from that by raw scores."""
MOST_MODELS = 500
"""Models that are compared in pairs; of more, the first ones."""

ABILITY_COLUMNS = {
    "irt": "lower and upper bound the ability; sd is its standard error. Models whose intervals overlap may well stand"
    "\nthe other way round.",
    "curves": "classical is the published recipe's estimate without interval; answers is what the ability rests on."
    "\nModels whose intervals overlap may be in the other order.",
    "demand": "A row beyond `general` is what one more level of that demand does to the log-odds of success:"
    "\n0 is nothing, -0.69 halves the odds. Models whose intervals overlap may be in the other order.",
}
"""Lines printed below a table of abilities, by kind of fit."""
SCORE_COLUMNS = (
    "expected is the mean score that the fit expects on these items, answered or not; observed is the mean of the"
    "\nanswers there are. Read differences between models from intervals that do not overlap."
)
DIRECTION_COLUMNS = (
    "Directions are at right angles to the general ability, in standard deviations over these models; a name is what"
    "\nits items go with most clearly, not proof of a skill."
)


SUFFIXES = (".csv", ".parquet", ".json")

LOW_RELIABILITY = 0.5
"""Reliability under which most of the difference between models is chance."""


def meaning_of(kind: str, general: pd.DataFrame | None, table: pd.DataFrame) -> str:
    """Say what a unit of ability means by the first of the numbers that are shown.

    Args:
        kind: Kind of the fit.
        general: General abilities, most able first.
        table: Columns dim, ability.
    """
    if general is None or not len(general):
        return ""
    value = float(general["ability"].iloc[0])
    if kind == "curves":
        return f"{value:.1f}: succeeds on half of the items of level {value:.1f}, the average over the scales"
    if kind == "demand":
        effects = table.loc[table["dim"] != "general", ["dim", "ability"]]
        lines = f"general {value:.1f}: succeeds on {expit(value):.0%} of items of average demands"
        if not len(effects):
            return lines
        row = int(effects["ability"].to_numpy(dtype=float).argmin())
        code, effect = str(effects["dim"].iloc[row]), float(effects["ability"].iloc[row])
        return f"{lines}; {effect:.2f} on {spelled([code])}: one more level multiplies the odds by {np.exp(effect):.2f}"
    if table["dim"].nunique() > 1:
        return (
            f"general {value:.1f}: {abs(value):.1f} standard deviations {_side(value)} the average of the fit's models"
        )
    return f"{value:.1f}: succeeds on half of the items of difficulty {value:.1f}; 0 is the average of these models"


def _side(value: float) -> str:
    return "above" if value >= 0 else "below"


def leading(general: pd.DataFrame, level: float, what: str = "ability") -> str:
    """Say who is ahead and whether the next is clearly behind.

    Args:
        general: Columns model, `what`, lower, upper; best first.
        level: Coverage of the bounds.
        what: Column of the values.
    """
    first = general.iloc[0]
    bounds = f"{first[what]:.2f} ({level:.0%} interval {first['lower']:.2f} to {first['upper']:.2f})"
    if len(general) == 1:
        return f"{first['model']}: {what} {bounds}."
    level_with = int(np.isclose(general[what], first[what], rtol=0, atol=1e-6).sum())
    if level_with > 1:
        named = first_few(general["model"].iloc[:level_with].astype(str), 3)
        if level_with == len(general):
            noun = "expected score" if what == "expected" else what
            return f"No model is ahead: {named} have the same {noun}, {bounds}."
        other = general.iloc[level_with]
        return f"{named} are level at the top: {what} {bounds}; next is {other['model']} with {other[what]:.2f}."
    second = general.iloc[1]
    near = int((general["upper"].iloc[1:] >= first["lower"]).sum())
    line = f"{first['model']} is ahead: {what} {bounds}; next is {second['model']} with {second[what]:.2f}"
    if not near:
        return f"{line}, clearly behind."
    reach = "interval of 1 other reaches" if near == 1 else f"intervals of {near} others reach"
    return f"{line}; the {reach} up to it."


def curve_cautions(posterior: CurvePosterior) -> tuple[str, ...]:
    """Say which curves are extrapolated from few levels, and which rank models against their raw scores."""
    counted = posterior.n[:, :, 1:]
    levels = (counted.sum(axis=0) > 0).sum(axis=-1)
    few = [dim for dim, number in zip(posterior.dims, levels, strict=True) if number < FEWEST_LEVELS]
    lines: list[str] = []
    if few:
        lines.append(
            f"extrapolated from fewer than {FEWEST_LEVELS} demand levels with answers, so that they depend on the"
            f" general ability: {spelled(few)}"
        )
    reversed_pairs = {
        dim: share
        for number, dim in enumerate(posterior.dims)
        if (share := _reversed_share(posterior, number)) > OFTEN_REVERSED
    }
    if reversed_pairs:
        listed = ", ".join(
            f"{dim} {share:.0%}" for dim, share in sorted(reversed_pairs.items(), key=lambda pair: -pair[1])
        )
        lines.append(
            "models are in another order than by their raw scores on the same scale (share of pairs):"
            f" {listed}; few answers there, or answers to other levels"
        )
    return tuple(lines)


def _reversed_share(posterior: CurvePosterior, dim: int) -> float:
    """Share of the pairs of models with answers whose order by the curve is not that by the raw score."""
    asked = posterior.n[:, dim, 1:].sum(axis=-1)
    rows = np.flatnonzero(asked > 0)[:MOST_MODELS]
    if len(rows) < 2:
        return 0.0
    score = posterior.correct[rows, dim, 1:].sum(axis=-1) / asked[rows]
    ability = posterior.ability[rows, dim].mean(axis=-1)
    first, second = np.triu_indices(len(rows), 1)
    return float(((ability[first] - ability[second]) * (score[first] - score[second]) < 0).mean())


def listed_with_names(codes: Sequence[str], values: Sequence[str]) -> str:
    """Join codes, each with its name and a value: ``WM (working memory), mean level 2.1``.

    Args:
        codes: Codes of rubrics.
        values: Text printed after each one.

    Returns:
        The list as one text.
    """
    names = {code: f"{code} ({name})" for code, name in dimension_names().items()}
    return ", ".join(f"{names.get(code, code)} {value}" for code, value in zip(codes, values, strict=True))


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
    """Return the warning that belongs first where items do not distinguish the models, else nothing.

    Args:
        reliability: Share of the variance between models that is not error; NaN where all are alike.
        what: What distinguishes the models: `items` or `answers`, say.
    """
    if math.isnan(reliability):
        return (f"all models have equal results: these {what} do not distinguish them",)
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
    text = table.to_string(index=False, na_rep="-", float_format=lambda number: f"{number:.3f}", formatters=formatters)
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
