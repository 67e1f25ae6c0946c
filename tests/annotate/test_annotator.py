import json
import logging
import math
import multiprocessing
from pathlib import Path

import pandas as pd
import pytest

from annotate.helpers import write_rubrics
from annotate.scripted import (
    KEY,
    PRICES,
    Run,
    codes_of,
    is_probe,
    item_of,
    judge,
    level_of,
    small_study,
)
from capscope.annotate import LEDGER_NAME
from capscope.data import Study
from capscope.endpoint import Ledger, answered_keys
from capscope.errors import BudgetReached, ConfirmationNeeded, EndpointError, InputError
from endpoint.server import Answer, ScriptedServer, completion, error


@pytest.fixture
def folder(tmp_path):
    return small_study(tmp_path / "study")


def asked(server):
    return [call for call in server.calls if not is_probe(call)]


def test_labels_are_written_and_a_rerun_asks_nothing(folder):
    with ScriptedServer(judge) as server:
        report = Run(folder).write(server.url, 1)
        assert (report.labels, report.asked, report.cached, report.unparsed) == (12, 12, 0, 0)
        assert [codes_of(call)[0] for call in asked(server)] == ["AA"] * 6 + ["BB"] * 6, "ordered by rubric"
        again = Run(folder).write(server.url)
        assert (again.asked, again.cached, len(asked(server))) == (0, 12, 12)
    demands = Study.load(folder).demands
    row = demands[(demands["item_id"] == "i__3") & (demands["rubric"] == "BB")].iloc[0]
    assert row["level"] == level_of("BB", "Task 3: pick A or B.")
    assert row["annotator"] == "m"
    assert len(row["rubric_sha"]) == 64
    assert demands["sd"].isna().all()


def test_a_changed_rubric_is_asked_anew_and_never_mixes_silently(folder, tmp_path):
    rubrics = write_rubrics(tmp_path / "mine")
    with ScriptedServer(judge) as server:
        Run(folder, rubrics=rubrics).write(server.url)
        text = (rubrics / "AA.txt").read_text("utf-8")
        (rubrics / "AA.txt").write_text(text + "One more sentence.\n", "utf-8")
        outcome = Run(folder, rubrics=rubrics).ask(server.url)
        assert (outcome.report.asked, outcome.report.cached) == (6, 6)
    with pytest.raises(InputError, match="another version of AA"):
        outcome.write(folder)
    assert outcome.write(folder, replace=True).report.as_dict()["labels"] == 12
    assert Study.load(folder).demands["rubric_sha"].nunique() == 2


def test_other_annotators_with_other_versions_are_warned_of(folder, tmp_path):
    rubrics = write_rubrics(tmp_path / "mine")
    with ScriptedServer(judge) as server:
        Run(folder, rubrics=rubrics).write(server.url)
        (rubrics / "AA.txt").write_text((rubrics / "AA.txt").read_text("utf-8") + "More.\n", "utf-8")
        run = Run(folder, rubrics=rubrics, model="other")
        report = run.write(server.url)
    assert any("different versions" in warning for warning in report.warnings)


def test_unreadable_replies_are_kept_counted_and_asked_again_on_request(folder):
    bad = {"on": True}

    def script(call):
        if bad["on"] and not is_probe(call) and item_of(call).startswith("Task 2"):
            return Answer(completion("I would say level 3 of 5."))
        return judge(call)

    with ScriptedServer(script) as server:
        outcome = Run(folder).ask(server.url)
        report = outcome.write(folder).report
        assert (report.labels, report.unparsed) == (10, 2)
        with Ledger(folder / LEDGER_NAME) as ledger:
            kept = [entry.reply.text for entry in ledger.done(key for key in answered_keys(folder / LEDGER_NAME))]
        assert kept.count("I would say level 3 of 5.") == 2
        rerun = Run(folder).ask(server.url)
        assert rerun.report.asked == 0, "an unparsed reply was paid for; it is not asked again by itself"
        bad["on"] = False
        report = Run(folder).write(server.url, only_failed=True)
        assert (report.labels, report.unparsed, report.asked) == (12, 0, 2)


def test_failures_are_counted_and_tried_again_by_a_rerun(folder):
    def refuse(call):
        sick = not is_probe(call) and item_of(call).startswith("Task 0")
        return Answer(error("content policy"), 400) if sick else judge(call)

    with ScriptedServer(refuse) as server:
        report = Run(folder).write(server.url)
        assert (report.labels, report.failed) == (10, 2)
        assert "content policy" in next(iter(report.problems))
        server.script = judge
        report = Run(folder).write(server.url)
        assert (report.labels, report.failed, report.asked) == (12, 0, 2)


def test_repeats_give_a_mean_and_a_spread(folder):
    def script(call):
        if is_probe(call):
            return judge(call)
        return Answer(completion(json.dumps({"reasoning": "r", "level": 2 + call.body.get("seed", 0)})))

    with ScriptedServer(script) as server:
        run = Run(folder, samples=3, temperature=1.0)
        run.write(server.url)
    demands = Study.load(folder).demands
    assert demands["level"].tolist() == [3.0] * 12
    assert demands["sd"].tolist() == [1.0] * 12
    assert demands["confidence"].iloc[0] == pytest.approx(1 / 3)


def test_log_probabilities_give_an_expectation(folder):
    tokens = [
        {"token": '"', "logprob": 0.0, "top_logprobs": []},
        {
            "token": " 3",
            "logprob": math.log(0.6),
            "top_logprobs": [
                {"token": " 3", "logprob": math.log(0.6)},
                {"token": " 4", "logprob": math.log(0.2)},
                {"token": " 9", "logprob": math.log(0.1)},
                {"token": "three", "logprob": math.log(0.1)},
            ],
        },
        {"token": "}", "logprob": 0.0, "top_logprobs": []},
    ]
    reply = Answer(completion('{"reasoning": "r", "level": 3}', logprobs=tokens))
    with ScriptedServer(lambda call: judge(call) if is_probe(call) else reply) as server:
        run = Run(folder, logprobs=True)
        run.write(server.url)
        assert asked(server)[0].body["top_logprobs"] == 20
    row = Study.load(folder).demands.iloc[0]
    assert row["level"] == pytest.approx(3.25)
    assert row["sd"] == pytest.approx(math.sqrt(0.75 * 0.25))
    assert row["confidence"] == pytest.approx(0.75)


def test_joint_questions_take_one_call_an_item_and_a_name_of_their_own(folder):
    with ScriptedServer(judge) as server:
        report = Run(folder, joint=True).write(server.url)
        assert (report.labels, report.asked, len(asked(server))) == (12, 6, 6)
    assert set(Study.load(folder).demands["annotator"]) == {"m+joint"}


def test_unguessability_comes_from_the_table_or_from_the_item(tmp_path):
    rubrics = write_rubrics(tmp_path / "r", ("AA", "UG"))
    (rubrics / "index.json").write_text('{"control": ["UG"]}', "utf-8")
    frame = pd.DataFrame(
        {"item_id": ["a", "b", "c"], "text": ["A or B?", "Say why.", "One of five."], "n_options": [None, None, 5]}
    )
    Study.of(items=frame).save(tmp_path / "s")
    with ScriptedServer(judge) as server:
        report = Run(tmp_path / "s", rubrics=rubrics).write(server.url)
        assert len(asked(server)) == 5, "three levels, and the options of the two items that do not state them"
    items = Study.load(tmp_path / "s").items.set_index("item_id")
    assert items["unguessability"].to_dict() == {"a": 75.0, "b": 100.0, "c": 80.0}
    assert items["chance"].to_dict() == {"a": 0.25, "b": 0.0, "c": 0.2}
    assert report.labels == 3


def test_a_plan_counts_and_writes_nothing(folder):
    before = sorted(path.name for path in folder.iterdir())
    plan = Run(folder, prices=PRICES, samples=2).plan()
    assert sorted(path.name for path in folder.iterdir()) == before
    assert (plan.cells, plan.cached, plan.to_ask, plan.items) == (24, 0, 24, 6)
    assert plan.usd == pytest.approx((plan.prompt_tokens + plan.completion_tokens) / 1e6)
    assert plan.longest_prompt > 200
    assert Run(folder).plan().usd is None
    with ScriptedServer(judge) as server:
        Run(folder).ask(server.url)
    assert Run(folder, samples=2).plan().cached == 12


def test_dear_runs_want_a_yes_and_unknown_prices_block_nothing(folder):
    plan = Run(folder, prices=PRICES).plan()
    with pytest.raises(ConfirmationNeeded, match="--yes") as caught:
        plan.confirm(False, above=0.0001)
    assert caught.value.exit_code == 3
    plan.confirm(True, above=0.0001)
    Run(folder).plan().confirm(False, above=0.0)


def test_the_budget_stops_the_run_and_keeps_what_was_paid_for(folder):
    with ScriptedServer(judge) as server:
        # A call may cost 1,000 written tokens and its prompt, and then costs 110 tokens.
        stopped = Run(folder, prices=PRICES, max_usd=0.002)
        outcome = stopped.ask(server.url, 1)
        with pytest.raises(BudgetReached, match="run again with a larger limit") as caught:
            outcome.write(folder)
        assert caught.value.exit_code == 4
        assert 0 < outcome.report.asked < 12
        assert outcome.report.usd <= 0.002
        assert len(Study.load(folder).demands) == outcome.report.asked
        report = Run(folder).write(server.url)
        assert report.asked == 12 - outcome.report.asked
    with pytest.raises(InputError, match="--max-usd needs a price"):
        Run(folder, max_usd=1.0).ask("http://127.0.0.1:9/v1")


def test_the_key_appears_nowhere(folder, caplog):
    caplog.set_level(logging.DEBUG)
    leak = {"error": {"message": f"Incorrect API key provided: {KEY}"}}

    def script(call):
        if not is_probe(call) and item_of(call).startswith("Task 1"):
            return Answer(leak, 400)
        return judge(call)

    with ScriptedServer(script) as server:
        report = Run(folder).write(server.url)
        server.script = lambda _: Answer(leak, 401)
        with pytest.raises(EndpointError) as caught:
            Run(folder).write(server.url)
    assert report.failed == 2
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert KEY.encode() not in written
    assert KEY not in caplog.text + str(caught.value) + json.dumps(report.as_dict()) + report.as_text()


def test_constant_labels_raise_an_alarm(tmp_path):
    folder = small_study(tmp_path / "s", 25)
    constant = Answer(completion('{"reasoning": "r", "level": 5}'))
    with ScriptedServer(lambda _: constant) as server:
        report = Run(folder).write(server.url)
    assert "nearly constant levels on 2 of 2" in report.warnings[0]


def test_flagged_items_are_rated_and_reported(folder):
    frame = pd.DataFrame({"item_id": ["x"], "text": ["This task is level 0."]})
    Study.of(items=frame).save(folder, force=True)
    with ScriptedServer(judge) as server:
        report = Run(folder).write(server.url)
    assert report.labels == 2
    assert report.flags[0].item_id == "x"
    assert "states its own level" in report.as_text()


def run_elsewhere(folder, url):
    Run(Path(folder)).ask(url)


def test_two_processes_on_one_ledger_ask_nothing_twice(tmp_path):
    folder = small_study(tmp_path / "s", 40)

    def slow(call):
        answer = judge(call)
        answer.delay = 0.02
        return answer

    with ScriptedServer(slow) as server:
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=run_elsewhere, args=(str(folder), server.url)) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert [worker.exitcode for worker in workers] == [0, 0]
        assert len(asked(server)) == 80
        assert Run(folder).ask(server.url).report.cached == 80


def test_items_without_text_cannot_be_rated(tmp_path):
    Study.of(items=pd.DataFrame({"item_id": ["a"]})).save(tmp_path / "s")
    with pytest.raises(InputError, match="no item has a text"):
        Run(tmp_path / "s").plan()
