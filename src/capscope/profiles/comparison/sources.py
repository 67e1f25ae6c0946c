"""What `capscope compare` says: two models, all models of a study, or judged pairs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from capscope.data import Study, read_table
from capscope.errors import InputError
from capscope.profiles.comparison.leaderboard import suite_aggregates
from capscope.profiles.comparison.paired_judgements import bradley_terry
from capscope.profiles.comparison.two_models import compare_models


@dataclass(frozen=True)
class Compared:
    """A comparison, ready to be printed."""

    head: str
    """One line that says what the table is."""
    table: pd.DataFrame
    """The comparison."""
    result: dict[str, Any]
    """The same as plain values."""


def compare_source(source: Path, models: list[str], seed: int = 0, level: float = 0.9) -> Compared:
    """Compare two models of a study, aggregate all of them, or rank judged models.

    Args:
        source: A study folder, or a file of judgements.
        models: Two models of a study, or none.
        seed: Seed of everything random.
        level: Nominal coverage.

    Raises:
        InputError: Another number of models, or models with a file of judgements.
    """
    if len(models) not in (0, 2):
        raise InputError(f"{len(models)} models are named; name two, or none to rank all")
    if source.is_file():
        if models:
            raise InputError(f"{source}: judgements rank all their models; name none")
        return _judged(source, seed, level)
    study = Study.load(source)
    return _pair(study, (models[0], models[1]), seed, level) if models else _suite(study, seed, level)


def _judged(path: Path, seed: int, level: float) -> Compared:
    found = bradley_terry(read_table(path), seed, level)
    head = f"{found.judgements} judgements: log-odds of being preferred, {level:.0%} intervals over prompts"
    result = {"judgements": found.judgements, "level": level, "models": found.table.to_dict("records")}
    return Compared(head, found.table, result)


def _pair(study: Study, names: tuple[str, str], seed: int, level: float) -> Compared:
    found = compare_models(study, names, seed, level)
    head = (
        f"{names[0]} (a) against {names[1]} (b): differences a - b, {level:.0%} intervals over tasks like these;"
        " `beyond` is what the difference in general ability leaves"
    )
    notes = list(found.notes)
    result = {"a": names[0], "b": names[1], "level": level, "rows": found.table.to_dict("records"), "notes": notes}
    return Compared("\n".join([head, *(f"note: {note}" for note in notes)]), found.table, result)


def _suite(study: Study, seed: int, level: float) -> Compared:
    found = suite_aggregates(study, seed, level)
    kind = "the best order" if found.kemeny_exact else "the best order that exchanges found"
    head = (
        f"{len(found.table)} models on {found.items} items of {found.tasks} tasks that all answered, {level:.0%}"
        f" intervals over items within tasks; kemeny is the place in {kind}"
    )
    sizes = {"n_items": found.items, "n_tasks": found.tasks, "level": level, "kemeny_exact": found.kemeny_exact}
    return Compared(head, found.table, sizes | {"models": found.table.to_dict("records")})
