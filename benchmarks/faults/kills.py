"""Kill a process by SIGKILL at a random moment of a save: what is on disk afterwards is the old one or the new one."""

import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from capscope.battery import Bank
from capscope.data import Study
from capscope.endpoint import ChatReply, Ledger
from capscope.errors import CapscopeError
from capscope.files import write_table
from capscope.fit import load
from faults.inputs import banked, fitted
from faults.tables import answers


@dataclass(frozen=True)
class Save:
    """Something that is saved over an older one."""

    name: str
    """What it is."""
    write: Callable[[Path, bool], object]
    """Writes the new one (True) or the old one."""
    read: Callable[[Path], list[bool]]
    """Says of every part whether it is the new one's."""


def saves() -> list[Save]:
    """Return what is killed: a fit, a bank, a study, one of its tables, predictions, a ledger."""
    fit, bank, table = load(fitted("2pl")), Bank.load(banked()), answers()
    named = tuple("zz" + name for name in fit.posterior.models)
    other = replace(fit, posterior=replace(fit.posterior, models=named, ability_mean=fit.posterior.ability_mean + 100))
    names = tuple("zz" + name for name in bank.models)
    shifted = replace(bank.posterior, models=names, ability_mean=bank.posterior.ability_mean + 100)
    banks = {True: replace(bank, posterior=shifted), False: bank}
    new = table.assign(model="zz" + table["model"], score=1 - table["score"])
    tables = {True: new, False: table}
    level = {True: 5.0, False: 0.0}

    def rated(held: pd.DataFrame | None, is_new: bool) -> pd.DataFrame:
        del held
        rows = [(f"i{i}", "AS", "new" if is_new else "old", level[is_new]) for i in range(2000)]
        return pd.DataFrame(rows, columns=["item_id", "rubric", "annotator", "level"])

    def ledger(path: Path, is_new: bool) -> None:
        with Ledger(path / "l.sqlite") as held:
            for number in range(8):
                if held.claim(f"{is_new}{number}"):
                    held.put(f"{is_new}{number}", ChatReply(f"whole {is_new}"), "m", 0.1)

    def replies(path: Path) -> list[bool]:
        with Ledger(path / "l.sqlite") as held:
            texts = [entry.reply.text for entry in held.done([f"False{n}" for n in range(8)])]
            later = [entry.reply.text for entry in held.done([f"True{n}" for n in range(8)])]
        if len(texts) != 8 or set(later) - {"whole True"}:
            raise AssertionError("replies are lost or cut")
        return [len(later) == 8]

    return [
        Save(
            "fit",
            lambda path, is_new: (other if is_new else fit).save(path),
            lambda path: _of(load(path).posterior.models, load(path).posterior.ability_mean.mean() > 50),
        ),
        Save(
            "bank",
            lambda path, is_new: banks[is_new].save(path, force=True),
            lambda path: _of(Bank.load(path).models, Bank.load(path).posterior.ability_mean.mean() > 50),
        ),
        Save(
            "study",
            lambda path, is_new: Study.of(responses=tables[is_new]).save(path, force=True),
            lambda path: _of_study(Study.load(path), table),
        ),
        Save(
            "table of a study",
            lambda path, is_new: Study.replace_table(_ready(path), "demands", lambda held: rated(held, is_new)),
            lambda path: (Study.load(path).require("demands")["level"] > 0).tolist(),
        ),
        Save(
            "predictions",
            lambda path, is_new: write_table(path / "p.csv", pd.concat([tables[is_new]] * 200)),
            lambda path: pd.read_csv(path / "p.csv")["model"].str.startswith("zz").tolist(),
        ),
        Save("ledger", ledger, replies),
    ]


def _ready(path: Path) -> Path:
    if not (path / "responses.parquet").exists():
        write_table(path / "responses.parquet", answers())
    return path


def _of(names: tuple[str, ...], is_new: object) -> list[bool]:
    return [names[0].startswith("zz"), bool(is_new)]


def _of_study(study: Study, old: pd.DataFrame) -> list[bool]:
    held = study.require("responses")
    scores = dict(zip(zip(old["model"], old["item_id"], strict=True), old["score"], strict=True))
    rows = zip(held["model"].astype(str), held["item_id"].astype(str), held["score"], strict=True)
    return [name.startswith("zz") for name, _, _ in rows] + [
        score != scores[name.removeprefix("zz"), item] for name, item, score in rows if score != 0.5
    ]


def killed(save: Save, kills: int) -> Counter[str]:
    """Kill a save again and again; count the ends: old, new, mixed, refused."""
    ends: Counter[str] = Counter()
    chance, parent = random.Random(0), Path(tempfile.mkdtemp(prefix="kills-"))
    folder = parent / "x"
    seconds = _duration(save, parent / "timed")
    for _ in range(kills):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        save.write(folder, False)
        child = os.fork()
        if child == 0:
            save.write(folder, True)
            os._exit(0)
        time.sleep(chance.random() * seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        try:
            parts = save.read(folder)
            ends["new" if all(parts) else "mixed" if any(parts) else "old"] += 1
        except (CapscopeError, AssertionError, OSError, ValueError) as error:
            ends[f"refused: {error}"[:120]] += 1
    shutil.rmtree(parent)
    return ends


def _duration(save: Save, folder: Path) -> float:
    folder.mkdir()
    save.write(folder, False)
    begun = time.monotonic()
    save.write(folder, True)
    return 1.5 * (time.monotonic() - begun)


def table_of(ends: dict[str, Counter[str]]) -> str:
    """Return a table in Markdown."""
    rows = ["| saved | kills | old | new | mixed | refused or lost |", "|---|---|---|---|---|---|"]
    for name, held in ends.items():
        rest = {end: count for end, count in held.items() if end not in ("old", "new", "mixed")}
        shown = f"{sum(rest.values())} {', '.join(rest)}".strip()
        rows.append(f"| {name} | {held.total()} | {held['old']} | {held['new']} | {held['mixed']} | {shown} |")
    return "\n".join(rows)
