"""The one writer: whole or not at all, under kills, full disks and second processes."""

import contextlib
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capscope import atomic, files
from capscope.errors import InputError, OutputError


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv", ".jsonl"])
def test_a_table_comes_back_as_it_was_written(tmp_path, suffix):
    from capscope.data import read_table

    frame = pd.DataFrame({"name": ["a", 'b "quoted"', "c\u00e9"], "value": [0.1 + 0.2, 1e-17, 3.0]})
    read = read_table(files.write_table(tmp_path / f"t{suffix}", frame))
    assert read["name"].tolist() == frame["name"].tolist()
    assert read["value"].astype(float).tolist() == frame["value"].tolist()
    assert os.listdir(tmp_path) == [f"t{suffix}"]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
@pytest.mark.usefixtures("small_files")
def test_a_full_disk_leaves_the_old_table(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    files.write_table(path, pd.DataFrame({"x": [1]}))
    old = path.read_bytes()
    with pytest.raises(OutputError, match=r"cannot be written"):
        files.write_table(path, pd.DataFrame({"x": np.random.default_rng(0).random(5000)}))
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_leaves_the_old_folder(tmp_path):
    folder = tmp_path / "fit"
    files.write_tensors(folder, {"kind": "old"}, {"x": np.zeros(3)}, force=False, what="fit")
    with pytest.raises(OutputError, match=r"cannot be written"):
        files.write_tensors(folder, {"kind": "new"}, {"x": np.zeros(9000)}, force=True, what="fit")
    manifest, tensors = files.read_tensors(folder, "fit", "fit again")
    assert (manifest["kind"], len(tensors["x"])) == ("old", 3)
    assert os.listdir(tmp_path) == ["fit"]


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_within_a_folder_names_the_folder(tmp_path):
    from capscope.data import Study

    rows = pd.DataFrame({"model": "m", "item_id": [f"i{n}" for n in range(900)], "score": np.linspace(0, 1, 900)})
    with pytest.raises(OutputError) as refused:
        Study.of(responses=rows).save(tmp_path / "study")
    assert str(refused.value) == f"{tmp_path / 'study'}: cannot be written (File too large); choose another --out"
    assert os.listdir(tmp_path) == []


def test_a_file_that_another_process_made_meanwhile_stays(tmp_path):
    path = tmp_path / "x.csv"
    with contextlib.suppress(OutputError), files.whole_file(path, force=False) as scratch:
        scratch.write_text("mine")
        path.write_text("other")
    assert (path.read_text(), os.listdir(tmp_path)) == ("other", ["x.csv"])


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_that_another_process_made_meanwhile_stays_without_force(tmp_path, force):
    def save(text: str) -> contextlib.AbstractContextManager[Path]:
        return files.whole_folder(tmp_path / "x", force=force, what="fit", holds={text, "other"}.__contains__)

    with contextlib.suppress(OutputError), save("mine") as scratch:
        (scratch / "mine").touch()
        with save("other") as second:
            (second / "other").touch()
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["mine" if force else "other"]
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize(
    "moves", ['[["../loot/.capscope-a", "../loot/mine"]]', '[["loot", "x.csv"]]', "[[1, 2]]", "{", '[["a"]]']
)
def test_a_list_of_unfinished_files_moves_nothing_else(tmp_path, moves):
    (tmp_path / "loot").mkdir()
    (tmp_path / "loot" / ".capscope-a").write_text("theirs")
    (tmp_path / "loot" / "mine").write_text("mine")
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / atomic.JOURNAL).write_text(moves)
    with pytest.raises(OSError, match=r"names other files or is damaged"):
        atomic.finish_replacing(folder)
    assert (tmp_path / "loot" / "mine").read_text() == "mine"


@pytest.mark.parametrize("moment", range(1, 9))
def test_no_old_file_stands_beside_a_new_one_when_a_kill_cuts_writing_several(tmp_path, monkeypatch, moment):
    main, beside = tmp_path / "p.csv", tmp_path / "p-parts.csv"
    contents = {text: {path: pd.DataFrame({"of": [text]}) for path in (main, beside)} for text in ("old", "new")}
    files.write_all(contents["old"])
    calls = []

    def until_killed(real):
        def call(path, *rest, **options):
            calls.append(path)
            if len(calls) >= moment:
                raise KeyboardInterrupt
            return real(path, *rest, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink"):
            patch.setattr(Path, name, until_killed(getattr(Path, name)))
        with pytest.raises(KeyboardInterrupt):
            files.write_all(contents["new"])
    left = {path.read_text().split()[1] for path in (main, beside) if path.exists()}
    assert len(left) == 1
    atomic.finish_replacing(tmp_path)
    texts = [path.read_text().split()[1] for path in (main, beside)]
    assert texts in (["old"] * 2, ["new"] * 2)


def test_a_study_that_changes_while_it_is_read_is_read_again(tmp_path):
    from capscope.data.study_folder import read_unchanged

    table, contents = tmp_path / "items.csv", []
    table.write_text("old")

    def read(folder):
        contents.append((folder / "items.csv").read_text())
        if len(contents) == 1:
            files.write_text(table, "new")
            raise InputError("half old, half new")
        return contents[-1]

    assert read_unchanged(tmp_path, read) == "new"
    with pytest.raises(InputError, match="goes on changing"):
        read_unchanged(tmp_path, lambda folder: files.write_text(folder / "items.csv", os.urandom(4).hex()))


def test_tensors_of_another_manifest_are_refused(tmp_path):
    for name in ("a", "b"):
        files.write_tensors(tmp_path / name, {}, {"x": np.full(3, ord(name[0]))}, force=False, what="fit")
    (tmp_path / "a" / files.TENSORS).write_bytes((tmp_path / "b" / files.TENSORS).read_bytes())
    with pytest.raises(InputError, match=r"not the one that manifest\.json was written with"):
        files.read_tensors(tmp_path / "a", "fit", "fit again")


def test_axes_of_another_length_than_their_names_are_refused(tmp_path):
    tensors = {"item_mean": np.zeros((4, 2))}
    files.refuse_lengths(tmp_path, "fit", tensors, {"item_mean": (0, ["a", "b", "c", "d"])}, "fit again")
    with pytest.raises(InputError, match=r"item_mean has shape \(4, 2\), but the manifest names 3 on axis 0"):
        files.refuse_lengths(tmp_path, "fit", tensors, {"item_mean": (0, ["a", "b", "c"])}, "fit again")


def test_existing_and_foreign_outputs_are_refused(tmp_path):
    (tmp_path / "there.csv").write_text("x\n1\n")
    with pytest.raises(OutputError, match=r"already exists; choose another --out or add --force"):
        files.write_text(tmp_path / "there.csv", "new", force=False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(OutputError, match=r"holds more than a fit \(thesis\.tex\)"):
        files.write_tensors(tmp_path / "mine", {}, {}, force=True, what="fit")
    with pytest.raises(OutputError, match=r"this is a folder"):
        files.write_text(tmp_path / "mine", "new")
    with pytest.raises(OutputError, match=r"is a file, not a folder"):
        files.refuse_unwritable(tmp_path / "there.csv" / "below" / "x.csv")


def test_a_link_is_followed_and_keeps_pointing(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    files.write_text(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_a_device_is_written_to_directly():
    files.write_text(Path("/dev/null"), "x")
    assert not Path("/dev/null").is_file()


KILLED = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np
from capscope import atomic, files
folder = Path(sys.argv[1])
print("ready", flush=True)
while True:
    for value in (1, 2):
        files.write_tensors(folder, {"value": value}, {"x": np.full(20_000, value)}, force=True, what="fit")
"""


def test_a_killed_writer_leaves_one_whole_folder(tmp_path):
    folder = tmp_path / "fit"
    files.write_tensors(folder, {"value": 1}, {"x": np.full(20_000, 1)}, force=False, what="fit")
    rng = np.random.default_rng(0)
    for _ in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(KILLED), str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0, 0.05))
        child.kill()
        child.wait()
        child.stdout.close()
        manifest, tensors = files.read_tensors(folder, "fit", "fit again")
        assert (tensors["x"] == manifest["value"]).all()
    files.write_text(tmp_path / "next.txt", "x")
    assert sorted(os.listdir(tmp_path)) == ["fit", "next.txt"], "what killed writers left is removed"


def test_only_one_process_holds_a_lock(tmp_path):
    code = (
        "import sys; from pathlib import Path; from capscope.files import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.readline()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(OutputError, match=r"another process is writing it"), files.locked(tmp_path, 0.05):
        pass
    child.communicate("\n")
    with files.locked(tmp_path, 5.0):
        assert child.returncode == 0


def test_locks_leave_no_file_behind_and_hold_while_they_come_and_go(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    counter = tmp_path / "counter"
    counter.write_text("0")

    def count(_):
        for _ in range(5):
            with files.locked(counter):
                held = int(counter.read_text())
                time.sleep(0.001)
                counter.write_text(str(held + 1))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(count, range(4)))
    assert counter.read_text() == "20"
    assert list((tmp_path / "temp").iterdir()) == []


def test_a_user_without_a_name_can_lock(tmp_path, monkeypatch):
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4242424)
    with files.locked(tmp_path / "study"):
        assert files.write_text(tmp_path / "t", "x").read_text() == "x"
