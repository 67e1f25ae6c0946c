"""Damaged inputs are refused in one line, or read as a strict reader does; `benchmarks/robustness.py` has more."""

import random
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

from faults.inputs import inputs
from faults.judging import Verdict, judge

GOOD = {"same", "read", "refused"}
FAST = (
    "study",
    "Inspect",
    "lm-eval",
    "HELM",
    "Every",
    "format",
    "costs",
    "labels",
    "level counts",
    "families",
    "texts",
)


def verdicts(folder: Path, seeds: range, names: tuple[str, ...]) -> list[Verdict]:
    known = [entry for entry in inputs() if entry.name.startswith(names)]
    chosen = [(seed, random.Random(seed).choice(known)) for seed in seeds]
    right = {}
    for entry in {entry.name: entry for _, entry in chosen}.values():
        (folder / entry.name).mkdir()
        entry.make(folder / entry.name)
        right[entry.name] = entry.read(folder / entry.name)
    found = []
    for seed, entry in chosen:
        (folder / str(seed)).mkdir()
        found.append(judge(entry, seed, folder / str(seed), right[entry.name]))
    return found


@pytest.mark.parametrize(
    "seeds", [range(40), pytest.param(range(40, 1500), marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_damage_is_no_traceback_and_no_wrong_number(tmp_path, seeds):
    found = verdicts(tmp_path, seeds, FAST)
    assert [one for one in found if one.end not in GOOD] == []
    assert {"same", "refused", "read"} <= {one.end for one in found}
