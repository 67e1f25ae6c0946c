"""Readers for arguments of the battery: a bank or a study, answers, costs, and names in the evaluation harness.

Each takes a path or the object itself.
"""

import math
from pathlib import Path

import pandas as pd

from capscope.battery.banks.bank import Bank
from capscope.data import Study, checked_columns, read_table
from capscope.data.reading import parse_json, read_text
from capscope.errors import InputError
from capscope.files import MANIFEST


def load_source(source: Study | Bank | str | Path) -> Study | Bank:
    """Read a bank or a study, by what the folder holds.

    Raises:
        InputError: The folder holds neither.
    """
    if isinstance(source, Study | Bank):
        return source
    return Bank.load(source) if is_bank(source) else Study.load(Path(source))


def load_bank(source: Bank | str | Path) -> Bank:
    """Read a bank, or return one as it is."""
    return source if isinstance(source, Bank) else Bank.load(source)


def is_bank(folder: str | Path) -> bool:
    """Return whether a folder has the manifest of a bank."""
    return (Path(folder) / MANIFEST).is_file()


def load_answers(source: Study | pd.DataFrame | str | Path) -> Study:
    """Read answers: a study or its folder, or a table (or its file) with columns model, item_id, score.

    Raises:
        InputError: The path or the table holds no answers.
    """
    if isinstance(source, Study):
        return source
    if isinstance(source, pd.DataFrame):
        return Study.of(responses=source, name="answers")
    path = Path(source)
    return Study.load(path) if path.is_dir() else Study.of(responses=read_table(path), name=str(path))


def load_costs(path: str | Path) -> dict[str, float]:
    """Read costs of answers: a table with columns item_id and cost.

    Raises:
        InputError: A column is missing, an item stands twice, or a cost is no number of at least 0.
    """
    path = Path(path)
    table = read_table(path)
    bounds = {"cost": (0.0, math.inf)}
    table = checked_columns(table, str(path), names=["item_id"], numbers=bounds, remedy="write item_id and cost")
    items, cost = table["item_id"], table["cost"]
    if items.duplicated().any():
        row = int(items.duplicated().to_numpy().argmax())
        raise InputError(f"{path}: row {row + 1}: item '{items.iloc[row]}' has a second cost; keep one row for it")
    return dict(zip(items, cost, strict=True))


def read_harness_names(path: str | Path) -> dict[str, str]:
    """Read the evaluation harness's names of tasks from a JSON object.

    Raises:
        InputError: The file is not a JSON object of texts.
    """
    path = Path(path)
    names = parse_json(path, read_text(path))
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise InputError(f'{path}: not a JSON object of names; write {{"benchmark/task": "name in the harness"}}')
    return {str(key): name for key, name in names.items()}
