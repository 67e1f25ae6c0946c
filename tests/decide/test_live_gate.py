"""A gate at an endpoint: asked once, decided early, what is not scored is missing; margins of benchmarks."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from capscope.battery import RunSettings
from capscope.cli import app
from capscope.data import Study
from capscope.decide import GateSettings, gate, plan_live_gate, run_gate
from capscope.endpoint import answered_keys, estimate_tokens
from capscope.errors import BudgetReached, ConfirmationNeeded, InputError
from decide.worlds import version_study
from endpoint.server import Answer, Call, ScriptedServer, completion

runner = CliRunner()


def asked_study(seed: int = 0, change: float = 0.0) -> tuple[Study, dict[str, float]]:
    """A study whose items can be asked, without the candidate, and what the candidate would score."""
    study = version_study(seed, n_items=160, size=160, change=change)
    rows = study.require("responses").astype({"model": str, "item_id": str})
    own = rows[rows["model"] == "new"].set_index("item_id")["score"].to_dict()
    items = study.require("items").assign(target="17")
    items["text"] = "Question " + items["item_id"].astype(str) + "."
    return Study.of(items=items, responses=rows[rows["model"] != "new"].reset_index(drop=True)), own


def replies(own: dict[str, float], broken: frozenset[str] = frozenset()):
    def reply(call: Call) -> Answer:
        if "Question " not in call.prompt:
            return Answer(completion("ok"))
        item = call.prompt.split("Question ")[1].split(".")[0]
        if item in broken:
            return Answer(completion("I would rather not say."))
        return Answer(completion(f"Answer: {17 if own[item] else 18}", tokens=(100, 5)))

    return reply


def asking(url: str, **changed) -> RunSettings:
    return RunSettings(**({"size": 160, "endpoint": url, "seed": 1} | changed))


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")


def test_a_clear_loss_is_held_early_and_asked_once(tmp_path):
    study, own = asked_study(2, change=-3.0)
    with ScriptedServer(replies(own)) as server:
        live = run_gate(
            study, "old", model="new", out=tmp_path / "r", settings=GateSettings(looks=4), run=asking(server.url)
        )
        calls = len(server.calls)
        again = run_gate(
            study, "old", model="new", out=tmp_path / "r", settings=GateSettings(looks=4), run=asking(server.url)
        )
        assert len(server.calls) - calls <= 2
    assert live.result.verdict == "hold"
    assert live.asked < 160
    assert again.result == live.result
    answers = pd.read_csv(tmp_path / "r" / "responses.csv")
    assert len(answers) == live.asked
    assert answers["score"].tolist() == [own[item] for item in answers["item_id"]]
    assert json.loads((tmp_path / "r" / "result.json").read_text())["verdict"] == "hold"


def heed_interrupts() -> None:
    """A shell starts background jobs with interrupts ignored, which a child would inherit."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
def test_an_interruption_is_one_line_and_the_next_run_goes_on(tmp_path):
    study, own = asked_study(4)
    study.save(tmp_path / "s")
    reply = replies(own)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    with ScriptedServer(lambda call: replace(reply(call), delay=0.05)) as server:
        options = ["--baseline", "old", "--model", "new", "--out", str(tmp_path / "r"), "--base-url", server.url]
        with subprocess.Popen(
            [sys.executable, "-m", "capscope", "gate", "run", str(tmp_path / "s"), *options, "-n", "160"],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_interrupts,  # noqa: PLW1509 - nothing else runs in this process
        ) as process:
            while len(server.calls) < 10 and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=60)
    kept = len(answered_keys(tmp_path / "r" / "replies.sqlite"))
    assert process.returncode == 130
    assert kept >= 5
    ledger = tmp_path / "r" / "replies.sqlite"
    expected = f"error: stopped by Ctrl-C; {kept} replies are kept in {ledger}; run the same command again to go on"
    assert told.strip().split("\n")[-1] == expected


def test_replies_that_cannot_be_scored_are_missing(tmp_path):
    study, own = asked_study(3)
    some = frozenset(list(own)[::16])
    with ScriptedServer(replies(own, some)) as server:
        live = run_gate(study, "old", model="new", out=tmp_path / "r", run=asking(server.url))
        assert set(live.problems) == some
        assert live.result.difference.n_answers == 160 - len(some)
        many = frozenset(list(own)[::2])
        with ScriptedServer(replies(own, many)) as other, pytest.raises(InputError, match="replies were not scored"):
            run_gate(study, "old", model="new", out=tmp_path / "q", run=asking(other.url))


def test_a_budget_ends_the_run_and_keeps_the_answers(tmp_path):
    study, own = asked_study(4)
    with ScriptedServer(replies(own)) as server:
        settings = asking(server.url, usd_in=1000.0, usd_out=1000.0, max_usd=3.0)
        with pytest.raises(BudgetReached, match="answers are kept"):
            run_gate(study, "old", model="new", out=tmp_path / "r", run=settings)
    assert (tmp_path / "r" / "replies.sqlite").exists()


def test_the_plan_counts_the_judge(tmp_path):
    study, _ = asked_study(4)
    prices = {"usd_in": 1000.0, "usd_out": 1000.0}
    plain = plan_live_gate(study, "old", "new", asking("http://127.0.0.1:1/v1", **prices), out=tmp_path).cost
    settings = asking("http://127.0.0.1:1/v1", grader="judge", judge="grader", **prices)
    plan = plan_live_gate(study, "old", "new", settings, out=tmp_path)
    assert (plain.questions, plan.cost.questions) == (160, 320)
    assert plan.cost.completion_tokens == 2 * plain.completion_tokens
    # the judge reads the question and a reply of 200 tokens
    assert plan.cost.prompt_tokens > 2 * plain.prompt_tokens + 160 * 150
    assert plan.cost.usd is not None
    assert plan.cost.usd == pytest.approx((plan.cost.prompt_tokens + plan.cost.completion_tokens) / 1000)
    with pytest.raises(ConfirmationNeeded, match=r"up to 320 questions for about \$"):
        plan.confirm(False)


def test_the_plan_of_a_rerun_counts_only_the_rest(tmp_path):
    study, own = asked_study(4)
    prices = {"usd_in": 1000.0, "usd_out": 1000.0}
    with ScriptedServer(replies(own)) as server:
        fresh = plan_live_gate(study, "old", "new", asking(server.url, **prices), out=tmp_path / "r")
        with pytest.raises(BudgetReached):
            run_gate(study, "old", model="new", out=tmp_path / "r", run=asking(server.url, max_usd=3.0, **prices))
        kept = len(server.calls)
        again = plan_live_gate(study, "old", "new", asking(server.url, **prices), out=tmp_path / "r")
    assert fresh.cost.cached == 0
    assert 0 < again.cost.cached <= kept < 160
    left = again.questions[again.cost.cached :]
    assert again.cost.completion_tokens == 200 * len(left)
    assert again.cost.prompt_tokens == sum(estimate_tokens(one.messages) for one in left)
    assert again.cost.usd is not None
    assert fresh.cost.usd is not None
    assert again.cost.usd < fresh.cost.usd


def test_the_command_runs_and_refuses_a_known_candidate(tmp_path):
    study, own = asked_study(5, change=3.0)
    folder = study.save(tmp_path / "study")
    with ScriptedServer(replies(own)) as server:
        verb = ["gate", "run", str(folder), "--baseline", "old", "--base-url", server.url, "-n", "80", "--looks", "2"]
        planned = runner.invoke(app, [*verb, "--model", "new", "--out", str(tmp_path / "r"), "--plan", "--json"])
        assert json.loads(planned.stdout)["questions"] == 80
        assert not (tmp_path / "r").exists()
        told = runner.invoke(app, [*verb, "--model", "new", "--out", str(tmp_path / "r"), "--plan"]).stdout
        assert "questions  at most 80; 0 replies are in the ledger" in told
        done = runner.invoke(app, [*verb, "--model", "new", "--out", str(tmp_path / "r"), "--json"])
        assert done.exit_code == 0
        assert json.loads(done.stdout)["verdict"] == "ship"
        known = runner.invoke(app, [*verb, "--model", "past01", "--out", str(tmp_path / "r")])
        assert "has answers already" in str(known.exception)


def test_every_margin_must_hold():
    study = version_study(6, n_items=400, size=400, change=1.5)
    odd = set(study.require("items").loc[lambda table: table["benchmark"] == "odd", "item_id"].astype(str))
    rows = study.require("responses").copy()
    broken = (rows["model"].astype(str) == "new") & rows["item_id"].astype(str).isin(list(odd)[::3])
    rows.loc[broken, "score"] = 0.0
    study = Study.of(items=study.items, responses=rows)
    wide = gate(study, "old", "new", GateSettings(margin=0.05, margins=(("even", 0.05),)))
    assert wide.verdict == "ship"
    both = gate(study, "old", "new", GateSettings(margin=0.05, margins=(("even", 0.05), ("odd", 0.0))))
    assert both.verdict != "ship"
    assert [found.benchmark for found in both.margins] == ["even", "odd"]
    with pytest.raises(InputError, match="which the suite lacks"):
        gate(study, "old", "new", GateSettings(margins=(("evn", 0.01),)))


def test_margins_are_read_from_options_and_tables(tmp_path):
    folder = version_study(7, change=-1.5).save(tmp_path / "study")
    table = tmp_path / "margins.csv"
    table.write_text("benchmark,margin\neven,3pp\n")
    verb = ["gate", str(folder), "--baseline", "old", "--candidate", "new", "--exit-zero", "--json"]
    done = json.loads(
        runner.invoke(app, [*verb, "--margin", "2pp", "--margin", "odd=4pp", "--margin", str(table)]).stdout
    )
    assert done["margin"] == 0.02
    assert {found["benchmark"]: found["margin"] for found in done["margins"]} == {"odd": 0.04, "even": 0.03}


def test_other_judges_are_refused_and_other_prompts_named():
    study = version_study(8)
    rows = study.require("responses").astype({"model": str})
    own = rows["model"] == "new"
    judged = Study.of(items=study.items, responses=rows.assign(judge=np.where(own, "mild", "strict")))
    with pytest.raises(InputError, match="scored by different judges"):
        gate(judged, "old", "new")
    prompted = Study.of(items=study.items, responses=rows.assign(prompt=np.where(own, "p2", "p1")))
    assert any("different values of prompt" in warning for warning in gate(prompted, "old", "new").warnings)
