"""``capscope route`` on a small study: what it prints and what a router loads."""

import json
from pathlib import Path

from capscope.data import Study
from cli.running import Run, RunJson
from decide.test_route import answers, prices


def test_the_command_writes_what_a_router_loads(tmp_path: Path, run: Run, run_json: RunJson) -> None:
    study = answers()
    study.save(tmp_path / "study")
    prices().to_csv(tmp_path / "prices.csv", index=False)
    study.require("items").head(12).to_csv(tmp_path / "new.csv", index=False)
    words = ("route", tmp_path / "study", tmp_path / "new.csv", "--prices", tmp_path / "prices.csv")
    words = (*words, "--target", "0.6", "--assessor", "rasch", "--out", tmp_path / "routes.json")
    code, text, _ = run(*words)
    assert code == 0
    assert "best single: large" in text
    written = json.loads((tmp_path / "routes.json").read_text())
    assert written["freshness"]["study_changed"]
    assert len(written["requests"]) == 12
    code, _, error = run(*words)
    assert code == 1
    assert "routes.json" in error
    assert run_json(*words, "--force", "--json")["requests"] == written["requests"]
    assert run("route", tmp_path / "study", tmp_path / "new.csv", "--target", "1.2")[0] != 0


def test_an_evaluation_says_first_what_is_saved(tmp_path: Path, run: Run) -> None:
    answers().save(tmp_path / "study")
    prices().to_csv(tmp_path / "prices.csv", index=False)
    words = ("--prices", tmp_path / "prices.csv", "--assessor", "rasch", "--outer", "2", "--folds", "2")
    code, text, _ = run("route", "evaluate", tmp_path / "study", *words)
    assert code == 0
    assert "best single model's score" in text.splitlines()[0]
    assert "by-task" in text
    assert "holds" in text


def test_costs_of_a_success_are_printed(tmp_path: Path, run: Run, run_json: RunJson) -> None:
    study = answers()
    table = study.require("responses").assign(usd=2.0)
    Study.of(study.items, table, name="priced").save(tmp_path / "priced")
    study.save(tmp_path / "bare")
    code, text, _ = run("route", "costs", tmp_path / "priced", "--budget", "1", "--budget", "3")
    assert code == 0
    assert "large succeeds at least cost" in text
    printed = run_json("route", "costs", tmp_path / "priced", "--budget", "3")
    assert [row["budget"] for row in printed["budgets"]] == [3, 3, 3]
    code, _, error = run("route", "costs", tmp_path / "bare", "--cost", "tokens")
    assert code == 1
    assert "its answers have no tokens" in error
