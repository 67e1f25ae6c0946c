"""Every example runs as a person would run it, and is short."""

import os
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


def test_every_example_is_listed_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(LAST_WORDS)


@pytest.mark.parametrize("name", sorted(LAST_WORDS))
def test_example_runs(name: str, tmp_path: Path) -> None:
    path = EXAMPLES / name
    assert len(path.read_text().splitlines()) <= 60
    environment = os.environ | {"PYTHONPATH": str(EXAMPLES.parent / "src")}
    command = [sys.executable, "-W", "error", str(path)]
    shown = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    last = (shown.stdout.strip().splitlines() or [""])[-1]
    assert LAST_WORDS[name] in last
    if name == "05_picture.py":
        assert (tmp_path / "profiles.svg").read_text().startswith("<svg")
