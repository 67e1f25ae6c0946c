"""The GitHub action: its script runs here as a runner would call it, with the files that a runner gives it."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from decide.worlds import version_study

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("action")
    version_study(3, change=1.5).save(folder / "gains")
    version_study(2, change=-1.5).save(folder / "losses")
    version_study(4, size=40).save(folder / "few")
    programs = folder / "bin"
    programs.mkdir()
    for name, text in (
        ("python", f'exec "{sys.executable}" "$@"'),
        ("capscope", f'exec "{sys.executable}" -m capscope "$@"'),
        ("gh", f'echo "$*" >>"{folder}/comments"; cat "${{@: -1}}" >>"{folder}/comments"'),
    ):
        program = programs / name
        program.write_text(f"#!/usr/bin/env bash\n{text}\n")
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
    return folder


def run(folder: Path, study: str, **inputs: str) -> tuple[subprocess.CompletedProcess[str], dict[str, str], str]:
    summary, output = folder / f"{study}-summary.md", folder / f"{study}-output"
    for path in (summary, output):
        path.write_text("")
    defaults = {
        name.upper().replace("-", "_"): str(entry.get("default", ""))
        for name, entry in yaml.safe_load((ROOT / "action.yml").read_text())["inputs"].items()
    }
    environment = {
        **os.environ,
        **defaults,
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "INSTALL": "",
        "STUDY": study,
        "BASELINE": "old",
        "CANDIDATE": "new",
        "PULL_REQUEST": "",
        "GITHUB_REPOSITORY": "owner/name",
        "GITHUB_STEP_SUMMARY": str(summary),
        "GITHUB_OUTPUT": str(output),
        **inputs,
    }
    script = ROOT / "scripts" / "gate-action"
    done = subprocess.run([script], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
    return done, outputs, summary.read_text()


@pytest.mark.slow
def test_a_gain_passes_the_job_and_a_comment_is_made_where_asked(folder: Path) -> None:
    done, outputs, summary = run(folder, "gains", COMMENT="true", PULL_REQUEST="7", PER="benchmark task")
    assert done.returncode == 0, done.stderr
    assert outputs["verdict"] == "ship"
    assert float(outputs["lower"]) < float(outputs["difference"]) < float(outputs["upper"])
    assert summary.startswith("### SHIP: new against old")
    assert "| benchmark even |" in summary
    comment = (folder / "comments").read_text()
    assert comment.startswith("pr comment 7 --repo owner/name")
    assert "### SHIP" in comment


@pytest.mark.slow
def test_a_loss_fails_the_job(folder: Path) -> None:
    done, outputs, summary = run(folder, "losses")
    assert done.returncode == 5
    assert outputs["verdict"] == "hold"
    assert "::error::new is held against old" in done.stdout
    assert "### HOLD" in summary


@pytest.mark.slow
@pytest.mark.parametrize(("fail_on", "code"), [("undecided", 6), ("hold", 0)])
def test_an_undecided_gate_fails_the_job_where_asked(folder: Path, fail_on: str, code: int) -> None:
    done, outputs, _ = run(folder, "few", FAIL_ON=fail_on)
    assert (done.returncode, outputs["verdict"]) == (code, "undecided"), done.stderr


@pytest.mark.slow
def test_what_is_wrong_is_said_and_fails_the_job(folder: Path) -> None:
    done, outputs, _ = run(folder, "gains", CANDIDATE="nwe")
    assert done.returncode not in (0, 5, 6)
    assert "model 'nwe'" in done.stderr
    assert done.stdout.startswith("::error::")
    assert outputs == {}
    assert run(folder, "gains", FAIL_ON="sometimes")[0].returncode == 2


def test_the_action_hands_every_input_to_its_script() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    step = action["runs"]["steps"][0]
    assert set(action["outputs"]) == {"verdict", "difference", "lower", "upper"}
    named = " ".join(step["env"].values())
    assert all(f"inputs.{name} " in named for name in action["inputs"])
    script = (ROOT / "scripts" / "gate-action").read_text()
    assert all(name in script for name in step["env"] if name != "GH_TOKEN")
