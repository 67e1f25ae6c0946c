"""Recognition of tables by columns and first cells: scores, items or demand levels, long or wide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from capscope.data.columns import blank_cells, coerced
from capscope.data.formats.described_items import ITEM_COLUMNS
from capscope.data.formats.format import Head, Suggestion, head_of
from capscope.data.levels import ITEM_NAMES, TEXT_NAMES
from capscope.data.reading import SUFFIXES, read_table
from capscope.errors import InputError, first_few

Role = Literal["scores", "items", "demands", "wide", "wide-items", "matrix", ""]
"""Scores by row; items; demand levels; a matrix whose rows are models, items, or either; none of these."""
MODEL_NAMES = ("model", "model_name", "model_id", "llm", "system", "agent")
"""Names of the model's column."""
SCORE_NAMES = ("score", "correct", "is_correct", "success", "passed", "accuracy", "acc", "outcome", "verdict")
"""Names of the score's column."""
PLACES = {"model_col": ("model", MODEL_NAMES), "id_col": ("item_id", ITEM_NAMES), "score_col": ("score", SCORE_NAMES)}
"""Options that name a column, with its standard name and all recognised ones."""


@dataclass(frozen=True)
class TableRole:
    """What a table holds, and the columns that have other names than the standard ones."""

    role: Role
    """What it holds."""
    columns: dict[str, str] = field(default_factory=dict[str, str])
    """Names of columns by the option that names them."""


def role_of(head: Head) -> TableRole:
    """Return what a table holds; the role is "" where it is not recognised."""
    if head.path.suffix.lower() not in SUFFIXES:
        return TableRole("")
    given = {option: _present(names, head.names) for option, (_, names) in PLACES.items()}
    item = given["id_col"]
    if {"rubric", "level"} <= head.names and "item_id" in head.names:
        return TableRole("demands")
    if all(given.values()):
        other = {option: name for option, name in given.items() if name and name != PLACES[option][0]}
        return TableRole("scores", other)
    text = _present(TEXT_NAMES, head.names)
    if item and text and not given["score_col"]:
        names = {"id_col": item, "text_col": text}
        return TableRole("items", {o: n for o, n in names.items() if n not in ("item_id", "text")})
    return TableRole(_matrix_role(head.path))


def _present(names: Sequence[str], there: frozenset[str]) -> str | None:
    """Return the first of the names that a table has, in any letter case, as the table writes it."""
    written = {name.strip().lower(): name for name in sorted(there, reverse=True)}
    return next((name if name in there else written[name] for name in names if name in written), None)


def _matrix_role(path: Path) -> Role:
    """Return whether a table is a matrix of scores from 0 to 1, and what its rows are."""
    try:
        frame = read_table(path, keep_index=True)
    except InputError:
        return ""
    values = frame.drop(columns=[frame.columns[0], *(name for name in ITEM_COLUMNS if name in frame)])
    names = frame.iloc[:, 0].astype(str)
    if values.shape[1] < 2 or len(frame) < 2 or names.duplicated().any():
        return ""
    title = str(frame.columns[0])
    if title not in (*MODEL_NAMES, *ITEM_NAMES) and coerced(frame.iloc[:, 0]).notna().all():
        return ""
    for column in values:
        blank, number = blank_cells(values[column]), coerced(values[column]).to_numpy(dtype=float)
        if not np.all(blank | ((number >= 0) & (number <= 1))):
            return ""
    return "wide" if title in MODEL_NAMES else "wide-items" if title in ITEM_NAMES else "matrix"


def suggest_tables(files: Sequence[Path], given: Mapping[str, Any]) -> Suggestion:
    """Return how tables are read together: which hold scores, items and levels, and which columns are which.

    Args:
        files: The tables.
        given: Options that are given.

    Raises:
        InputError: Tables differ in their layout or the names of their columns, or a matrix can be read in two ways.
    """
    roles = {path: role_of(head_of(path)) for path in files}
    scores = [path for path, role in roles.items() if role.role not in ("items", "demands")]
    if given.get("wide") or given.get("wide_items"):
        layouts: list[Role] = ["wide" if given.get("wide") else "wide-items"]
    else:
        layouts = list(dict.fromkeys(roles[path].role for path in scores))
    if "matrix" in layouts:
        first = next(path for path in scores if roles[path].role == "matrix")
        raise InputError(
            f"{first}: a matrix of scores whose rows may be models or items;"
            " say which with --wide (models) or --wide-items"
        )
    if len(layouts) > 1:
        kinds = ", ".join(layouts)
        raise InputError(f"{first_few(map(str, scores))}: tables of several layouts ({kinds}); import each by itself")
    return _suggestion(files, roles, scores, layouts[0] if layouts else "")


def _suggestion(
    files: Sequence[Path], roles: dict[Path, TableRole], scores: Sequence[Path], layout: Role
) -> Suggestion:
    options: dict[str, object] = {}
    remarks: list[str] = []
    if layout in ("wide", "wide-items"):
        options[layout.replace("-", "_")] = True
        rows, columns = ("models", "items") if layout == "wide" else ("items", "models")
        remarks.append(f"taken as a matrix of scores: rows are {rows}, columns are {columns}")
    for path, role in roles.items():
        for option, name in role.columns.items():
            if options.setdefault(option, name) != name:
                other = options[option]
                raise InputError(f"{path}: column '{name}' is '{other}' in other tables; import each by itself")
            remarks.append(f"column '{name}' is the {_meaning(option)}")
    beside = {role: [path for path in files if roles[path].role == role] for role in ("items", "demands")}
    if not scores and not beside["items"]:
        raise InputError(
            f"{first_few(map(str, files))}: demand levels without scores or items; add them to a study with"
            f" 'capscope import levels {files[0].name} --into STUDY'"
        )
    if not scores:
        return Suggestion(
            paths=tuple(beside["items"] or files), options=_with_levels(options, beside), remarks=tuple(remarks)
        )
    if len(beside["items"]) == 1:
        options["items"] = beside["items"][0]
    return Suggestion(
        paths=(*scores, *(beside["items"] if len(beside["items"]) > 1 else ())),
        options=_with_levels(options, beside),
        remarks=tuple(dict.fromkeys(remarks)),
    )


def _with_levels(options: dict[str, object], beside: dict[str, list[Path]]) -> dict[str, object]:
    """Add the table of levels.

    Raises:
        InputError: There are several.
    """
    levels = beside["demands"]
    if len(levels) > 1:
        raise InputError(f"{first_few(map(str, levels))}: several tables of demand levels; put them into one")
    return options | ({"demands": levels[0]} if levels else {})


def _meaning(option: str) -> str:
    return {"model_col": "model", "id_col": "item's id", "score_col": "score", "text_col": "item's text"}[option]
