"""Readers for arguments of the battery: a bank or a study, answers, costs, and names in the evaluation harness.

Each takes a path or the object itself.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from capscope.battery.banks.bank import Bank
from capscope.data import ArrowTable, Study, checked_columns, read_table
from capscope.data.formats import read_answers
from capscope.data.json_text import parse_json
from capscope.data.reading import read_text
from capscope.errors import InputError
from capscope.files import MANIFEST


def load_source(source: Study | Bank | str | Path) -> Study | Bank:
    """Read a bank or a study, by what the folder holds.

    Args:
        source: A bank, a study, or the folder of either.

    Returns:
        The bank or the study.

    Raises:
        InputError: The folder holds neither.
    """
    if isinstance(source, Study | Bank):
        return source
    return Bank.load(source) if is_bank(source) else Study.load(Path(source))


def load_bank(source: Bank | str | Path) -> Bank:
    """Read a bank, or return one as it is.

    Args:
        source: A bank, or its folder.

    Returns:
        The bank.
    """
    return source if isinstance(source, Bank) else Bank.load(source)


def is_bank(folder: str | Path) -> bool:
    """Return whether a folder has the manifest of a bank.

    Args:
        folder: Any path; it need not exist.
    """
    return (Path(folder) / MANIFEST).is_file()


def load_answers(source: Study | pd.DataFrame | ArrowTable | str | Path, bank: Bank | None = None) -> Study:
    """Read answers: a study, a table or logs (see `read_answers`).

    Args:
        source: The answers.
        bank: The bank that the items are of: items that other tools name by task and number get their ids in the bank.

    Returns:
        A study with responses.

    Raises:
        InputError: The path or the table holds no answers.
    """
    study = read_answers(source)
    return study if bank is None else with_item_ids(study, bank.items, bank.task, bank.document.tolist())


def with_item_ids(answers: Study, items: Sequence[str], task: Sequence[str], document: Sequence[int]) -> Study:
    """Return answers under the ids of items that a tool names by task and document number.

    Args:
        answers: Answers, whose ids may be `task:number`.
        items: Ids of the items.
        task: Name of each item's task in the tool.
        document: Number of each item in its task, below 0 where unknown.
    """
    known = set(items)
    if answers.responses is None or known.issuperset(answers.responses["item_id"].astype(str)):
        return answers
    places = zip(task, document, items, strict=True)
    ids = {f"{name}:{number}": item for name, number, item in places if number >= 0}
    named = [name if name in known else ids.get(name, name) for name in answers.responses["item_id"].astype(str)]
    return Study.of(responses=answers.responses.assign(item_id=named), name=answers.name)


def load_costs(path: str | Path) -> dict[str, float]:
    """Read costs of answers: a table with columns item_id and cost.

    Args:
        path: Table with columns item_id and cost, in any unit.

    Returns:
        Cost of an answer by item id.

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

    Args:
        path: JSON file.

    Returns:
        Name of a task in the harness by its name in the bank.

    Raises:
        InputError: The file is not a JSON object of texts.
    """
    path = Path(path)
    names = parse_json(path, read_text(path))
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise InputError(f'{path}: not a JSON object of names; write {{"benchmark/task": "name in the harness"}}')
    return {str(key): name for key, name in names.items()}
