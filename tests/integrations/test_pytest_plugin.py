"""The pytest plugin, as a user runs it: a real pytest over a test file that gates models of a study on disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from decide.worlds import version_study

TESTS = """
import pytest
from capscope.decide import GateSettings

def test_ship(capscope_gate):
    result = capscope_gate("gains", baseline="old", candidate="new", margin="1pp")
    assert result.verdict == "ship"

def test_hold(capscope_gate):
    capscope_gate("losses", baseline="old", candidate="new")

def test_open(capscope_gate):
    capscope_gate("few", baseline="old", candidate="new", settings=GateSettings(margin=0.02))

def test_marked(capscope_gate):
    capscope_gate("few", baseline="old", candidate="new", undecided="xfail")

def test_unknown(capscope_gate):
    capscope_gate("few", baseline="old", candidate="nwe")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gates")
    version_study(3, change=1.5).save(folder / "gains")
    version_study(2, change=-1.5).save(folder / "losses")
    version_study(4, size=40).save(folder / "few")
    (folder / "test_release.py").write_text(TESTS)
    return folder


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    source = str(Path(__file__).parents[2] / "src")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "capscope_pytest", "-p", "no:cacheprovider", *options]
    environment = {**os.environ, "PYTHONPATH": source, "COLUMNS": "160"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_gate_passes_fails_and_skips_tests_and_shows_every_verdict(folder: Path) -> None:
    done = run(folder, "-p", "no:xdist", "--capscope-undecided=skip", "--capscope-report=gates.md")
    assert "2 failed, 1 passed, 1 skipped, 1 xfailed" in done.stdout, done.stdout
    summary = done.stdout[done.stdout.index("capscope gates") :]
    for verdict in ("SHIP: new against old", "HOLD: new against old", "UNDECIDED: new against old"):
        assert verdict in summary
    assert "Difference on this suite" in summary
    assert "model 'nwe'" in done.stdout
    assert "Error" not in done.stdout
    report = (folder / "gates.md").read_text()
    assert report.count("### ") == 4
    assert "### HOLD: new against old" in report


@pytest.mark.slow
def test_undecided_fails_unless_asked_otherwise(folder: Path) -> None:
    done = run(folder, "-p", "no:xdist", "-k", "open")
    assert "1 failed" in done.stdout
    assert "UNDECIDED: new against old" in done.stdout


@pytest.mark.slow
def test_verdicts_come_back_from_other_processes(folder: Path) -> None:
    done = run(folder, "-n", "2", "--capscope-undecided=skip")
    assert "2 failed, 1 passed, 1 skipped, 1 xfailed" in done.stdout
    assert "HOLD: new against old" in done.stdout[done.stdout.index("capscope gates") :]


def test_without_a_gate_nothing_of_capscope_is_imported(folder: Path) -> None:
    (folder / "test_plain.py").write_text(
        "import sys\n\ndef test_plain():\n    assert not any(name.startswith('capscope.') for name in sys.modules)\n"
    )
    done = run(folder, "-p", "no:xdist", "test_plain.py")
    assert "1 passed" in done.stdout
    assert "capscope gates" not in done.stdout
