"""A bank on disk is the old one or the new one, whole; a damaged one is refused, an old one without hashes is read."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from capscope.battery import Bank, Battery, load_costs
from capscope.errors import InputError, OutputError

KILLS = 25
PROGRAM = """
import collections, os, random, resource, signal, sys, time
from dataclasses import replace
from pathlib import Path
from capscope.battery import Bank

first, chance, seen = Bank.load(sys.argv[1]), random.Random(1), collections.Counter()
names = tuple("zz" + name for name in first.models)
shifted = first.posterior.ability_mean + 100
other = replace(first, posterior=replace(first.posterior, models=names, ability_mean=shifted))
folder = Path(sys.argv[1]).parent / "target"
for _ in range(int(sys.argv[2])):
    first.save(folder, force=True)
    child = os.fork()
    if child == 0:
        other.save(folder, force=True)
        os._exit(0)
    time.sleep(chance.random() * 0.06)
    try:
        os.kill(child, 9)
    except ProcessLookupError:
        pass
    os.waitpid(child, 0)
    bank = Bank.load(folder)
    renamed, shifted = bank.models[0].startswith("zz"), bank.posterior.ability_mean.mean() > 50
    seen["new" if renamed and shifted else "old" if not renamed and not shifted else "mixed"] += 1
print(dict(seen))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
first.compact().save(sys.argv[1], force=True)
"""


@pytest.fixture
def folder(bank: Bank, tmp_path: Path) -> Path:
    return bank.save(tmp_path / "bank")


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_killed_save_or_a_full_disk_leaves_the_old_bank_or_the_new_one(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    shown = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(KILLS)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert "old" in shown.stdout, shown.stderr
    assert "mixed" not in shown.stdout
    assert "OutputError" in shown.stderr
    assert "File too large" in shown.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_tensors_of_another_bank_are_refused(bank: Bank, folder: Path) -> None:
    other = replace(bank, posterior=replace(bank.posterior, ability_mean=bank.posterior.ability_mean + 1))
    other.save(folder.parent / "other")
    (folder / "tensors.safetensors").write_bytes((folder.parent / "other" / "tensors.safetensors").read_bytes())
    with pytest.raises(InputError, match="is not the one that manifest.json was written with"):
        Bank.load(folder)


def rewritten(folder: Path, **tensors: np.ndarray) -> dict[str, object]:
    """Change tensors of a bank and leave its hash out, as banks of earlier versions had none."""
    path = folder / "tensors.safetensors"
    save_file({**load_file(path), **tensors}, path)
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sha256"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return manifest


def test_a_bank_without_hashes_is_read(bank: Bank, folder: Path) -> None:
    rewritten(folder)
    assert Bank.load(folder).items == bank.items


ONE_AXIS, TWO_AXES = ("document", "cost", "floor"), ("history", "item_mean", "item_cov", "ability_mean", "ability_cov")


@pytest.mark.parametrize(
    ("name", "axis"),
    [*((name, 0) for name in (*ONE_AXIS, *TWO_AXES, "demands")), *((name, 1) for name in (*TWO_AXES, "demands"))],
)
def test_an_axis_of_another_length_is_refused(bank: Bank, tmp_path: Path, name: str, axis: int) -> None:
    n_items = len(bank.items)
    whole = replace(
        bank,
        dims=("AS", "QLl"),
        demands=np.ones((n_items, 2)),
        cost=np.ones(n_items),
        posterior=replace(bank.posterior, floor=np.full(n_items, 0.25)),
    )
    folder = whole.save(tmp_path / "bank")
    tensor = load_file(folder / "tensors.safetensors")[name]
    rewritten(folder, **{name: np.delete(tensor, 0, axis=axis)})
    with pytest.raises(InputError, match="damaged"):
        Bank.load(folder)


@pytest.mark.parametrize("key", ["models", "dims"])
def test_a_name_too_few_is_refused(bank: Bank, folder: Path, key: str) -> None:
    if key == "dims":
        bank = replace(bank, dims=("AS", "QLl"), demands=np.ones((len(bank.items), 2)))
        bank.save(folder, force=True)
    manifest = rewritten(folder)
    manifest[key] = manifest[key][1:]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="damaged"):
        Bank.load(folder)


def test_names_that_are_no_texts_are_refused(folder: Path) -> None:
    manifest = rewritten(folder)
    for names in ([*manifest["models"][1:], 1e308], [*manifest["models"][1:], manifest["models"][1]], "abc"):
        (folder / "manifest.json").write_text(json.dumps({**manifest, "models": names}))
        with pytest.raises(InputError, match="damaged bank"):
            Bank.load(folder)


@pytest.mark.parametrize("cost", [-1.0, float("inf"), float("nan"), "much"])
def test_costs_are_numbers_of_at_least_zero(tmp_path: Path, cost: object) -> None:
    (tmp_path / "costs.csv").write_text(f"item_id,cost\na,1\nb,{cost}\n")
    with pytest.raises(InputError, match="row 2: cost is"):
        load_costs(tmp_path / "costs.csv")


def test_ids_that_repeat_or_miscount_are_refused(folder: Path) -> None:
    manifest = rewritten(folder)
    groups = manifest["groups"]
    for changed in ([*groups[:-1]], [*groups, groups[0]]):
        (folder / "manifest.json").write_text(json.dumps({**manifest, "groups": changed}))
        with pytest.raises(InputError, match="damaged"):
            Bank.load(folder)


def test_files_beside_the_bank_stay(bank: Bank, folder: Path) -> None:
    (folder / "README.md").write_text("where it came from")
    bank.compact().save(folder, force=True)
    assert (folder / "README.md").read_text() == "where it came from"
    assert Bank.load(folder).history is None
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds more than a bank"):
        bank.save(folder, force=True)


def test_a_battery_that_was_cut_is_refused(tmp_path: Path) -> None:
    rows = "item_id,stratum,draw_chance,weight,pool,method,seed\ni0,0,0.5,2,8,random,0\n"
    (tmp_path / "b.csv").write_text(rows)
    assert Battery.load(tmp_path / "b.csv").pool == 8
    for cut, message in (
        (rows.removesuffix("0\n"), "row 1: seed is missing"),
        (rows.replace("8,", "x,"), "pool is 'x'"),
    ):
        (tmp_path / "b.csv").write_text(cut)
        with pytest.raises(InputError, match=message):
            Battery.load(tmp_path / "b.csv")
