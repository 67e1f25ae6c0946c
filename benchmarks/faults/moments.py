"""Stop verbs at every change that they make on the disk: killed, interrupted, or without room from there on.

A verb runs in a forked process under a library (`moments.c`, built by `cc`) that counts its writes, renames, flushes
and new files below one folder. Afterwards every output is the old one or the new one, an error is one line without the
name of a scratch file, and a second run ends as an undisturbed one does.
"""

import ctypes
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capscope.atomic import SCRATCH, finish_replacing
from pins.worlds import World, write_world

SOURCE = Path(__file__).with_name("moments.c")
COUNT, KILLED, INTERRUPTED, FULL = 1, 2, 3, 4
MANIFEST = "study.json"
"""It names the sources of a study, and names them again after a second run."""
STOPS = {"killed": KILLED, "interrupted": INTERRUPTED, "full": FULL}
VERBS = {
    "fit": ("fit s --device cpu --model rasch --out f --force", "fit s --device cpu --model 2pl --out f", "f"),
    "bank": ("bank build s --dims 1 --out b --force", "bank build t --dims 1 --out b", "b"),
    "select": ("battery select s -n 4 --out b.csv --force", "battery select s -n 4 --seed 9 --out b.csv", "b.csv"),
    "predict": (
        "predict s s --assessor mean --out p.parquet --force",
        "predict s s --assessor item-mean --out p.parquet",
        "p.parquet",
    ),
    "predict --explain": (
        "predict s s --assessor rasch --explain --out o/p.csv --force",
        "predict s s --assessor rasch --level 0.5 --explain --out o/p.csv",
        "o",
    ),
    "report --card": ("report f --study s --card c.json --force", "fit s --device cpu --model 2pl --out f", "c.json"),
    "fuse": ("fuse s", "", "s"),
    "fuse, CSV": ("fuse c", "", "c"),
    "import": ("import tidy more.csv --out m --force", "import tidy s/responses.parquet --out m", "m"),
    "import --into": ("import tidy more.csv --into s", "", "s"),
    "import --into, CSV": ("import tidy more.csv --into c", "", "c"),
    "export tidy": ("export tidy s --out e.csv --force", "export tidy t --out e.csv", "e.csv"),
    "export torch-measure": ("export torch-measure s --out e --force", "export torch-measure t --out e", "e"),
    "explain": ("explain s --audit --out x.csv --force", "", "x.csv"),
    "evaluate": ("evaluate s --split id --folds 2 --assessor mean --write w.csv --force", "", "w.csv"),
}  # fmt: skip
"""The command that is stopped, one that makes an older output or what the command needs, and the output."""


@dataclass(frozen=True)
class End:
    """How a process ended."""

    code: int
    """Exit code; of a killed one the negative signal."""
    words: str
    """What it wrote on stderr."""
    changes: int
    """Changes that it made on the disk."""


def stopped(most: int, only: str = "") -> dict[str, Counter[str]]:
    """Stop every verb at up to `most` moments in each of three ways, and count the ends.

    Args:
        most: Moments of each verb and way.
        only: Part of the names of the verbs.
    """
    if "MOMENTS" not in os.environ:
        raise SystemExit(_again_under_the_library())
    import sklearn.ensemble  # noqa: F401
    import torch  # noqa: F401

    import capscope.cli  # noqa: F401 - once here rather than in every process
    from capscope import battery, fit, predict, profiles  # noqa: F401
    from capscope.data import formats  # noqa: F401

    library = ctypes.CDLL(os.environ["MOMENTS"])
    return {name: _ends(library, name, most) for name in VERBS if only in name}


def _again_under_the_library() -> int:
    """Run this program again with the library in front of the C library."""
    built = Path(tempfile.mkdtemp(prefix="moments-")) / "moments.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(built), str(SOURCE), "-ldl"], check=True)
    environment = os.environ | {"LD_PRELOAD": str(built), "MOMENTS": str(built)}
    return subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode


def _ends(library: ctypes.CDLL, name: str, most: int) -> Counter[str]:
    command, before, output = VERBS[name]
    parent = Path(os.path.realpath(tempfile.mkdtemp(prefix="moments-")))
    ready, place, ends = parent / "ready", parent / "place", Counter[str]()
    _prepare(ready)
    if before:
        _run(library, before, ready, 0, 0)
    old = _content(ready / output)
    _fresh(ready, place)
    whole = _run(library, command, place, COUNT, 0)
    if whole.code:
        raise AssertionError(whole.words)
    changes = whole.changes
    new, rows = _content(place / output), _content(place / output, MANIFEST)
    for stop, mode in STOPS.items():
        for moment in sorted({round(1 + (changes - 1) * step / (most - 1)) for step in range(most)}):
            _fresh(ready, place)
            end = _run(library, command, place, mode, moment)
            ends[f"{stop}: {_judged(place, output, end, stop, old, new)}"] += 1
            again = _run(library, command, place, 0, 0).code
            if again or _content(place / output, MANIFEST) != rows or _leftovers(place):
                ends["second run differs"] += 1
    shutil.rmtree(parent)
    return ends


def _judged(place: Path, output: str, end: End, stop: str, old: str, new: str) -> str:
    content, lines = _content(place / output), end.words.strip().splitlines()
    if content not in (old, new):
        return "neither"
    if stop != "killed":
        code = {"interrupted": (130,), "full": (0, 1)}[stop]
        told = [line for line in lines if line.startswith("error: ")]
        if end.code not in code or len(told) != (end.code != 0) or "Traceback" in end.words or SCRATCH in end.words:
            return f"code {end.code}, {end.words[-200:]!r}"
        if _leftovers(place) and stop == "full":
            return "leaves files"
    return "new" if content == new else "old"


def _run(library: ctypes.CDLL, command: str, place: Path, mode: int, moment: int) -> End:
    words, count = place.parent / "words", place.parent / "count"
    child = os.fork()
    if child == 0:
        _be_the_command(library, command, place, (mode, moment), words, count)
    _, status = os.waitpid(child, 0)
    changes = int(count.read_text() or 0) if count.exists() else 0
    return End(os.waitstatus_to_exitcode(status), words.read_text("utf-8", "replace"), changes)


def _be_the_command(
    library: ctypes.CDLL, command: str, place: Path, stop: tuple[int, int], words: Path, count: Path
) -> None:
    code: Any = 0
    try:
        os.chdir(place)
        for stream, path in ((1, os.devnull), (2, words)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["capscope", *command.split()]
        from capscope.__main__ import main

        library.arm(stop[0], ctypes.c_long(stop[1]), str(place).encode())
        main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001 - it is what the judge looks for
        traceback.print_exc()
        code = 1
    finally:
        changes = library.changes()
        library.arm(0, ctypes.c_long(0), b"")
        count.write_text(str(changes))
        sys.stderr.flush()
        os._exit(int(code or 0))


def _prepare(folder: Path) -> None:
    import pandas as pd

    folder.mkdir()
    for name, form, seed in (("s", "parquet", 5), ("t", "parquet", 6), ("c", "csv", 5)):
        write_world(World(form, models=6, items=16, tasks=2, seed=seed), folder / name)
    rows = pd.read_parquet(folder / "s" / "responses.parquet")
    rows.assign(model="new-" + rows["model"].astype(str)).to_csv(folder / "more.csv", index=False)


def _fresh(ready: Path, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(ready, place)


def _content(path: Path, but: str = "") -> str:
    """Return a hash of a file, or of the files of a folder but one, after what a reader of a study does first."""
    if path.is_dir():
        finish_replacing(path)
    files = sorted(path.rglob("*")) if path.is_dir() else [path] * path.exists()
    held = [(file.name, _timeless(file)) for file in files if file.is_file() and not file.name.startswith(SCRATCH)]
    held = [(name, content) for name, content in held if name != but]
    return hashlib.sha256(repr(held).encode()).hexdigest()


def _timeless(file: Path) -> bytes:
    """Return a file's content; of a manifest without times and the hash over them."""
    content = file.read_bytes()
    if file.suffix != ".json":
        return content
    content = re.sub(rb'"(seconds|fitted_at|created|made|date|peak_mb)": ?[^,}\n]*', b"", content)
    return re.sub(rb'"sha256": ?\{[^}]*\}|\d{4}-\d\d-\d\d[T ]?[\d:.+Z]*|[\d.]+ (s|MB)\b', b"", content)


def _leftovers(place: Path) -> list[str]:
    return [path.name for path in place.rglob("*") if path.name.startswith(SCRATCH)]


def table_of(ends: dict[str, Counter[str]]) -> str:
    """Return a table in Markdown."""
    rows = ["| verb | " + " | ".join(STOPS) + " | wrong |", "|---" * (len(STOPS) + 2) + "|"]
    for verb, held in ends.items():
        right = [f"{held[f'{stop}: old']} old, {held[f'{stop}: new']} new" for stop in STOPS]
        wrong = {end: n for end, n in held.items() if not end.endswith((": old", ": new"))}
        rows.append(f"| {verb} | {' | '.join(right)} | {', '.join(f'{n} x {end}' for end, n in wrong.items()) or 0} |")
    return "\n".join(rows)
