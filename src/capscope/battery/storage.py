"""Batteries and runs as files that a person can read and any program can use."""

import json
from pathlib import Path

import pandas as pd

from capscope.battery.banks.bank import Bank
from capscope.battery.design.harness import HarnessRun, harness_run
from capscope.battery.design.selection import Battery
from capscope.battery.live.running import BatteryRun
from capscope.battery.prompts.accuracy import PromptScores
from capscope.data import Study, read_table
from capscope.errors import InputError, OutputError

COLUMNS = ("item_id", "stratum", "draw_chance", "weight", "pool", "method", "seed")


def save_battery(battery: Battery, path: Path, *, force: bool = False) -> None:
    """Write a battery as CSV.

    Raises:
        OutputError: The file exists and `force` is not set.
    """
    if path.exists() and not force:
        raise OutputError(f"{path}: already exists; choose another --out or add --force")
    battery.table.assign(pool=battery.pool, method=battery.method, seed=battery.seed).to_csv(path, index=False)


def load_battery(path: Path) -> Battery:
    """Read a battery.

    Raises:
        InputError: A column is missing or not a number.
    """
    frame = read_table(path)
    missing = [column for column in COLUMNS if column not in frame]
    if missing:
        raise InputError(f"{path}: column '{missing[0]}' is missing; make the file with 'capscope battery select'")
    try:
        numbers = {name: pd.to_numeric(frame[name]) for name in ("stratum", "draw_chance", "weight", "pool", "seed")}
    except ValueError as error:
        raise InputError(f"{path}: {error}; make the file with 'capscope battery select'") from error
    table = frame.assign(**numbers)[list(COLUMNS[:4])]
    return Battery(table, int(numbers["pool"].iloc[0]), str(frame["method"].iloc[0]), int(numbers["seed"].iloc[0]))


def save_run(run: BatteryRun, folder: Path) -> None:
    """Write a run: `result.json`, every question in `steps.csv`, and the scored answers in `responses.csv`.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        run.steps.to_csv(folder / "steps.csv", index=False)
        run.answers().to_csv(folder / "responses.csv", index=False)
        (folder / "result.json").write_text(json.dumps(run.as_dict(), indent=2, allow_nan=False) + "\n", "utf-8")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from None


def save_forms(batteries: list[Battery], path: Path, *, force: bool = False) -> list[Path]:
    """Write parallel forms: one under the path itself, several with a number before the suffix.

    Raises:
        OutputError: A file exists and `force` is not set.
    """
    numbered = [path.with_name(f"{path.stem}-{number}{path.suffix}") for number in range(1, len(batteries) + 1)]
    paths = [path] if len(batteries) == 1 else numbered
    for battery, target in zip(batteries, paths, strict=True):
        save_battery(battery, target, force=force)
    return paths


def save_samples(source: Study | Bank, battery: Battery, path: Path, *, force: bool = False) -> HarnessRun:
    """Write the document indices of a battery for lm-evaluation-harness.

    Raises:
        InputError: The source is no bank, or does not know the documents.
        OutputError: The file exists and `force` is not set.
    """
    if not isinstance(source, Bank):
        raise InputError("--samples needs the document indices of a bank; make one with 'capscope bank build'")
    if path.exists() and not force:
        raise OutputError(f"{path}: already exists; choose another --samples or add --force")
    run = harness_run(source, tuple(str(item) for item in battery.table["item_id"]))
    path.write_text(json.dumps(run.samples) + "\n", encoding="utf-8")
    return run


def save_prompt_items(scores: PromptScores, path: Path, *, force: bool = False) -> None:
    """Write items by how much they turn on the prompt, as CSV.

    Raises:
        OutputError: The file exists and `force` is not set.
    """
    if path.exists() and not force:
        raise OutputError(f"{path}: already exists; choose another --items or add --force")
    scores.items.to_csv(path, index=False)
