"""Every example runs as a person would run it, and is short."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LAST_WORDS = {
    "01_profile_published_models.py": "of the profiles",
    "02_study_from_tables.py": "on the fifth of the answers that was held out",
    "03_predict_new_questions.py": "questions lie outside what the counts support",
    "04_small_battery.py": "score on all 500: 0.518",
    "05_picture.py": "",
    "06_new_model_from_a_bank.py": "score on all 18653 items: 0.602",
    "07_predict_an_unseen_benchmark.py": "with answers to 10 items",
}
SLOW = ("01_profile_published_models.py", "05_picture.py")
"""Examples that fit what the demo and 03_predict_new_questions.py fit too."""
PART, NUMBER = re.compile(r"figure-[\w.-]+"), re.compile(r"-?\d+(?:\.\d+)?")
ONE_AFTER_THE_OTHER = """
import contextlib, io, json, os, pathlib, runpy, sys
shown = {}
for path in map(pathlib.Path, sys.argv[1:]):
    sys.argv = [str(path)]
    os.mkdir(path.stem)
    with contextlib.chdir(path.stem), contextlib.redirect_stdout(io.StringIO()) as printed:
        runpy.run_path(str(path), run_name="__main__")
    shown[path.name] = printed.getvalue()
print(json.dumps(shown))
"""


def test_every_example_is_listed_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(LAST_WORDS)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the quick examples print, run one after the other in one process, which loads the libraries once."""
    folder = tmp_path_factory.mktemp("examples")
    names = [name for name in sorted(LAST_WORDS) if name not in SLOW]
    return json.loads(python_in(folder, "-c", ONE_AFTER_THE_OTHER, *[str(EXAMPLES / name) for name in names]))


def python_in(folder: Path, *arguments: str) -> str:
    """Run Python in a folder, warnings being errors; return what it prints."""
    environment = os.environ | {"PYTHONPATH": str(EXAMPLES.parent / "src")}
    command = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", sorted(LAST_WORDS))
def test_an_example_is_short(name: str) -> None:
    assert len((EXAMPLES / name).read_text().splitlines()) <= 60


@pytest.mark.parametrize("name", sorted(set(LAST_WORDS) - set(SLOW)))
def test_example_runs(name: str, shown: dict[str, str]) -> None:
    assert LAST_WORDS[name] in last_line(shown[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_example_runs_as_a_person_runs_it(name: str, tmp_path: Path) -> None:
    assert LAST_WORDS[name] in last_line(python_in(tmp_path, str(EXAMPLES / name)))
    if name == "05_picture.py":
        drawn, shipped = (path.read_text() for path in (tmp_path / "profiles.svg", EXAMPLES / "profiles.svg"))
        assert words_of(drawn) == words_of(shipped), f"run 'python {EXAMPLES.name}/{name} {EXAMPLES.name}/profiles.svg'"
        assert numbers_of(drawn) == pytest.approx(numbers_of(shipped), abs=0.1)


def words_of(drawing: str) -> str:
    """The drawing without its numbers and the names of its parts, which differ from run to run."""
    return NUMBER.sub("", PART.sub("", drawing))


def numbers_of(drawing: str) -> list[float]:
    return [float(number) for number in NUMBER.findall(PART.sub("", drawing))]


def last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]
