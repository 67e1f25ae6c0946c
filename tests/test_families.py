"""Every family takes a new member by one module and one line: the examples of CONTRIBUTING.md, put in and used."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
MODULE = re.compile(r"New module `(?P<path>[^`]+)`:\n\n```python\n(?P<code>.*?)```", re.S)
LINE = re.compile(
    r"(?:New lines? in `(?P<path>[^`]+)`, below|and below) `(?P<anchor>[^\n]+)`:\n\n```text\n(?P<line>.*?)```", re.S
)
LONGEST_LINES = 1
"""Lines that a member may need in its family's list."""

PROGRAM = """
import contextlib, io, json, sys
from pathlib import Path
import numpy as np, pandas as pd
from capscope import cli, __file__ as where
from capscope.data import Study
from capscope.data.formats import import_logs

def run(*arguments):
    out, err, sys.argv = io.StringIO(), io.StringIO(), ["capscope", *map(str, arguments)]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as stop:
            if stop.code:
                return f"exit {stop.code}: {err.getvalue()}"
    return out.getvalue()

rng = np.random.default_rng(0)
ids = [f"i{k:03d}" for k in range(60)]
eta = np.linspace(-1.5, 1.5, 16)[:, None] - rng.normal(0, 1, 60)
score = (rng.random(eta.shape) < 1 / (1 + np.exp(-eta))).astype(float)
frame = pd.DataFrame(score, [f"m{k:02d}" for k in range(16)], ids).rename_axis("model").reset_index()
responses = frame.melt("model", var_name="item_id", value_name="score")
level = np.clip(np.round(2.5 - eta.mean(0)), 0, 5)
texts = [f"word {k % 7} and {k}" for k in range(60)]
items = pd.DataFrame({"item_id": ids, "benchmark": "b", "task": "t", "text": texts})
demands = pd.DataFrame({"item_id": ids, "rubric": "AS", "level": level, "annotator": "me"})
study = Study.of(items, responses, demands).save("study")
shown = {"where": where}
judged = responses[responses["model"] == "m08"].assign(judge="model-judge")
import capscope.battery.graders as g
"""
ASSERTED = "print(json.dumps(shown))"


def chapters() -> dict[str, str]:
    """The chapters of the guide that add a member, by their title."""
    parts = re.split(r"^### (.+)$", GUIDE, flags=re.M)
    return {title: text for title, text in zip(parts[1::2], parts[2::2], strict=True) if "New module" in text}


def lines_of(text: str) -> list[tuple[str, str, str]]:
    """Path, anchor and new text of every line that a chapter adds."""
    path, found = "", []
    for match in LINE.finditer(text):
        path = match["path"] or path
        found.append((path, match["anchor"], match["line"]))
    return found


def test_a_member_is_one_module_and_its_line() -> None:
    for title, text in chapters().items():
        assert len(MODULE.findall(text)) == 1, title
        assert 1 <= sum(line.count("\n") for _, _, line in lines_of(text)) <= LONGEST_LINES, title
        assert len({path for path, _, _ in lines_of(text)}) == 1, title


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a copy of the package with all new members shows, in one process of its own."""
    folder = tmp_path_factory.mktemp("families")
    for part in ("src", "rubrics", "artifacts/adele-v1", "examples"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for text in chapters().values():
        for path, code in MODULE.findall(text):
            assert not (folder / path).exists()
            (folder / path).write_text(code, "utf-8")
        for path, anchor, line in lines_of(text):
            source = (folder / path).read_text("utf-8")
            assert source.count(f"\n{anchor}\n") == 1, f"{path}: {anchor}"
            (folder / path).write_text(source.replace(f"\n{anchor}\n", f"\n{anchor}\n{line}"), "utf-8")
    steps = "\n".join(f"shown[{name!r}] = {step}" for name, step in STEPS.items())
    command = [sys.executable, "-c", PROGRAM + steps + "\n" + ASSERTED]
    environment = os.environ | {"PYTHONPATH": str(folder / "src"), "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert result["where"].startswith(str(folder))
    return result


STEPS = {
    "fit": 'run("fit", "study", "--model", "rasch", "--out", "fit")',
    "report": 'run("report", "fit", "--out", "page.html") and Path("page.html").read_text()',
    "engine help": 'run("fit", "-h")',
    "engine": 'run("fit", "study", "--model", "2pl", "--engine", "quick", "--out", "quick", "--json")',
    "score model": 'run("fit", "study", "--model", "2pl", "--response", "generous", "--out", "generous", "--json")',
    "generous profile": 'run("profile", "generous")',
    "format help": 'run("import", "-h")',
    "format options": 'run("import", "votes", "-h")',
    "format file": 'Path("a.votes").write_text("m i yes\\nm j no\\n")',
    "format": 'run("import", "votes", "a.votes", "--right", "yes", "--out", "v", "--json")',
    "format by its files": 'import_logs("a.votes", options={"right": "no"}).require("responses")["score"].tolist()',
    "unknown": 'run("fit", "study", "--model", "2pl", "--response", "gnerous", "--out", "x")',
    "assessor help": 'run("evaluate", "-h")',
    "assessor": 'run("evaluate", "study", "--split", "id", "--assessor", "coin", "--assessor", "mean", "--json")',
    "annotator help": 'run("annotate", "-h")',
    "annotator": 'run("annotate", "study", "--annotator", "length", "--only", "AS", "--json")',
    "annotator on all": 'run("annotate", "study", "--annotator", "length", "--json")',
    "selector help": 'run("battery", "select", "-h")',
    "selector": 'run("battery", "select", "study", "-n", 9, "--method", "short-ids", "--out", "b.csv", "--json")',
    "estimator help": 'run("battery", "evaluate", "-h")',
    "grader help": 'run("battery", "run", "-h")',
    "grader": '[g.grade_reply(t, g.AnswerKey(target="yes"), g.GRADERS["yes-no"]).score for t in ("Yes.", "Who?")]',
    "judge file": 'pd.concat([judged, judged.head(40).assign(judge="human")]).to_csv("judged.csv", index=False)',
    "judged": 'run("import", "tidy", "judged.csv", "--out", "judged")',
    "judge estimator": 'run("judge", "score", "judged", "--estimator", "halfway", "--json")',
    "table file": 'Path("scores.csv").write_text("model,x,y\\na,10,20\\nb,30,40\\nc,50,\\nd,70,80\\n")',
    "forecaster help": 'run("forecast", "cells", "-h")',
    "forecaster": 'run("forecast", "cells", "scores.csv", "--forecaster", "middle", "--json")',
    "estimator": 'run("battery", "evaluate", "study", "--size", 12, "--estimator", "pulled", "--seeds", 1, "--json")',
}
"""What is run with the new members, as expressions of the program."""


def test_a_page_section(shown: dict[str, Any]) -> None:
    assert '<section id="spread"' in shown["report"]
    assert '<a href="#spread">How far the models lie apart</a>' in shown["report"]
    assert re.search(r"The 16 models have a spread of \d\.\d\d\.", shown["report"])


def test_a_response_model(shown: dict[str, Any]) -> None:
    assert "generous" in shown["engine help"]
    assert json.loads(shown["score model"])["status"] == "converged"
    assert "m15" in shown["generous profile"]
    assert 'did you mean "generous"?' in shown["unknown"]


def test_a_file_format(shown: dict[str, Any]) -> None:
    assert "Votes, one a line." in shown["format help"]
    assert "The word for a right answer." in shown["format options"]
    assert json.loads(shown["format"])["responses"] == 2
    assert shown["format by its files"] == [0, 1]


def test_an_engine(shown: dict[str, Any]) -> None:
    assert "quick" in shown["engine help"]
    assert "this was quick" in json.loads(shown["engine"])["advice"]


def test_an_assessor_and_a_metric(shown: dict[str, Any]) -> None:
    assert "coin" in shown["assessor help"]
    scores = json.loads(shown["assessor"])["assessors"]
    assert list(scores) == ["coin", "mean"]
    assert scores["coin"]["boldness"] == 0
    assert scores["mean"]["boldness"] > 0


def test_an_annotator(shown: dict[str, Any]) -> None:
    assert "length" in shown["annotator help"]
    assert json.loads(shown["annotator"])["labels"] == 60
    assert json.loads(shown["annotator on all"])["labels"] == 60 * 18


def test_an_item_selector(shown: dict[str, Any]) -> None:
    assert "short-ids" in shown["selector help"]
    assert json.loads(shown["selector"])


def test_a_score_estimator(shown: dict[str, Any]) -> None:
    assert "pulled" in shown["estimator help"]
    assert "pulled" in json.loads(shown["estimator"])["estimators"]


def test_a_grader(shown: dict[str, Any]) -> None:
    assert "yes-no" in shown["grader help"]
    assert shown["grader"] == [1.0, None]


def test_a_judge_estimator(shown: dict[str, Any]) -> None:
    assert json.loads(shown["judge estimator"])


def test_a_forecaster(shown: dict[str, Any]) -> None:
    assert "middle" in shown["forecaster help"]
    assert "40" in shown["forecaster"]
