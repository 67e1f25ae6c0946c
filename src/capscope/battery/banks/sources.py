"""Where items are drawn from: a bank or a study, told apart by what the folder holds."""

from pathlib import Path

import pandas as pd

from capscope.battery.banks.bank import Bank
from capscope.battery.banks.storage import MANIFEST, load_bank
from capscope.data import Study, read_table
from capscope.errors import InputError


def load_source(folder: Path) -> Study | Bank:
    """Read a bank or a study.

    Raises:
        InputError: The folder holds neither.
    """
    return load_bank(folder) if is_bank(folder) else Study.load(folder)


def is_bank(folder: Path) -> bool:
    """Whether a folder says that it is a bank."""
    return (folder / MANIFEST).is_file()


def load_answers(path: Path) -> Study:
    """Read answers: a study folder, or one table with columns model, item_id, score.

    Raises:
        InputError: Neither.
    """
    return Study.load(path) if path.is_dir() else Study.of(responses=read_table(path), name=str(path))


def load_costs(path: Path) -> dict[str, float]:
    """Read what answers cost: a table with columns item_id and cost.

    Raises:
        InputError: A column is missing, or a cost is no number.
    """
    table = read_table(path)
    missing = [name for name in ("item_id", "cost") if name not in table]
    if missing:
        raise InputError(f"{path}: column '{missing[0]}' is missing; write item_id and cost")
    cost = pd.to_numeric(table["cost"], errors="coerce")
    if cost.isna().any():
        row = int(cost.isna().to_numpy().argmax())
        raise InputError(
            f"{path}: row {row + 1}: cost is '{table['cost'].iloc[row]}', not a number; give tokens or money"
        )
    return dict(zip(table["item_id"].astype(str), cost.astype(float), strict=True))
