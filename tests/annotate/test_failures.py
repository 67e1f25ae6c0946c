"""Where runs failed by demand: transcripts of Inspect logs, judged by a scripted server on the loopback device."""

import json
import re
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from annotate.scripted import KEY, is_probe
from capscope.annotate import find_failures
from capscope.annotate.failure_questions import definition, parse_causes, shown_transcript
from capscope.cli import app
from capscope.data.formats import Transcript, TranscriptStep, import_inspect, read_transcripts
from capscope.errors import BudgetReached, CapscopeError, InputError
from endpoint.server import Answer, Call, ScriptedServer, completion


def sample(number: int, score: object, *extra: dict) -> dict:
    """A run of seven messages, in which step 4 calls a tool and step 5 is its answer."""
    messages = [
        {"role": "system", "content": "You book travel."},
        {"role": "user", "content": f"Book flight {number}."},
        {"role": "assistant", "content": [{"type": "reasoning", "reasoning": "I look first."}, {"text": "Looking."}]},
        {"role": "assistant", "content": "", "tool_calls": [{"function": "pay", "arguments": {"usd": number}}]},
        {"role": "tool", "content": "attachment://0123456789abcdef", "error": {"message": "card refused"}},
        {"role": "assistant", "content": "Done."},
    ]
    scores = {} if score is None else {"match": {"value": score}}
    attachments = {"0123456789abcdef": "the long answer"}
    held = {"id": number, "epoch": 1, "input": "x", "messages": messages, "scores": scores, "attachments": attachments}
    return held | {name: value for entry in extra for name, value in entry.items()}


def log(folder: Path, samples: list[dict], solver: str = "react", name: str = "a.json") -> Path:
    folder.mkdir(exist_ok=True)
    spec = {"task": "travel", "model": "agent-1", "created": "2026-01-01", "solver": solver}
    (folder / name).write_text(json.dumps({"status": "success", "eval": spec, "samples": samples}), "utf-8")
    return folder / name


SAMPLES = [sample(1, "I"), sample(2, "C"), sample(3, 0.25), sample(4, None, {"error": {"message": "boom"}})]


def test_transcripts_hold_thoughts_calls_and_answers_under_the_names_of_the_import(tmp_path):
    path = log(tmp_path, SAMPLES)
    runs = read_transcripts(path)
    assert [(run.item_id, run.score, run.end) for run in runs] == [
        ("travel:1", 0.0, ""),
        ("travel:2", 1.0, ""),
        ("travel:3", 0.25, ""),
        ("travel:4", None, "error"),
    ]
    assert runs[0].facets == {"scaffold": "react"}
    assert [step.role for step in runs[0].steps][3:] == ["assistant", "tool", "assistant"]
    assert runs[0].steps[2].text == "THOUGHT: I look first.\nLooking."
    assert runs[0].steps[3].text == 'CALL pay {"usd": 1}'
    assert runs[0].steps[4].text == "the long answer\nERROR: card refused"
    assert [runs[0].agent_step(step) for step in (0, 1, 3, 5, 6, 7)] == [None, None, 3, 4, 6, None]
    items = set(import_inspect(path)[0].require("items")["item_id"])
    assert {run.item_id for run in runs} == items


def test_an_archive_and_a_document_give_the_same_transcripts(tmp_path):
    document = log(tmp_path / "document", SAMPLES[:2])
    held = json.loads(document.read_text("utf-8"))
    with zipfile.ZipFile(tmp_path / "a.eval", "w") as archive:
        archive.writestr("header.json", json.dumps({"status": held["status"], "eval": held["eval"]}))
        for entry in held["samples"]:
            archive.writestr(f"samples/{entry['id']}_epoch_1.json", json.dumps(entry))
    assert read_transcripts(tmp_path / "a.eval") == read_transcripts(document)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([sample(1, 7)], "sample 1 has the score 7, no number from 0 to 1"),
        ([sample(1, "good")], "sample 1 has the score 'good'"),
        ([sample(1, "C", {"scores": {"a": {"value": 1}, "b": {"value": 0}}})], "choose one with --scorer"),
        ([sample(1, "C", {"messages": []})], "no sample has messages"),
        ([sample(1, "C", {"messages": "hi"})], "messages"),
    ],
)
def test_a_log_that_cannot_be_read_is_one_line(tmp_path, samples, message):
    with pytest.raises(InputError, match=message):
        read_transcripts(log(tmp_path, samples))


def causes_of(call: Call) -> list[dict]:
    """Blame the refused card at step 5, and the missing look of flight 3 at step 3."""
    number = int(re.search(r"Book flight (\d)", call.prompt)[1])
    if number == 3:
        return [{"step": 3, "demand": "ENo", "probability": 0.9, "reason": "never looked"}]
    if number == 4:
        return []
    card = {"step": 5, "demand": "ER", "probability": 0.6, "reason": "gave up"}
    return [card, {"step": 6, "demand": "PLe", "probability": 0.2, "reason": "did not check"}]


def judge(call: Call) -> Answer:
    if is_probe(call):
        return Answer(completion('{"reasoning": "r", "level": 1}'))
    return Answer(completion(json.dumps({"reasoning": "r", "causes": causes_of(call)})))


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_failed_runs_are_asked_about_once_and_divide_among_demands(place):
    path = log(place / "logs", SAMPLES)
    with ScriptedServer(judge) as server:
        first = find_failures(path, "openai:m", base_url=server.url, usd_in=1.0, usd_out=1.0)
        asked = [call for call in server.calls if not is_probe(call)]
        again = find_failures(read_transcripts(path), "openai:m", base_url=server.url, usd_in=1.0, usd_out=1.0)
        assert len([call for call in server.calls if not is_probe(call)]) == len(asked) == 3
    head = asked[0].body["messages"][0]["content"]
    assert head.count("DEMAND ") == 14
    assert "Level 0" not in head
    report = first.report
    assert (report.runs, report.failed_runs, report.judged, report.without_cause) == (4, 3, 3, 1)
    assert (report.asked, again.report.asked, again.report.cached) == (3, 0, 3)
    assert report.usd > 0
    pd.testing.assert_frame_equal(first.causes, again.causes)
    assert list(first.causes.columns)[-1] == "scaffold"
    named = first.causes[["item_id", "step", "rubric", "confidence"]].to_numpy().tolist()
    assert named == [["travel:1", 4, "ER", 0.6], ["travel:1", 6, "PLe", 0.2], ["travel:3", 3, "ENo", 0.9]]
    shares = first.by_demand("scaffold").set_index("rubric")
    assert set(shares["scaffold"]) == {"react"}
    assert set(shares["runs"]) == {3}
    assert shares["share"].to_dict() == pytest.approx({"ENo": 0.3, "ER": 0.2, "PLe": 0.2 / 3})
    assert shares.loc["ER", "step"] == pytest.approx(4 / 6)
    with pytest.raises(InputError, match="no such column"):
        first.by_demand("colour")


def test_repeats_give_mean_confidence_and_agreement(place):
    seen = []

    def moody(call: Call) -> Answer:
        if is_probe(call):
            return judge(call)
        seen.append(call)
        code = "ER" if len(seen) % 3 else "AR"
        cause = {"step": 4, "demand": code, "probability": 0.9, "reason": code}
        return Answer(completion(json.dumps({"reasoning": "r", "causes": [cause]})))

    with ScriptedServer(moody) as server:
        outcome = find_failures(
            log(place / "logs", SAMPLES[:1]), "openai:m", base_url=server.url, samples=3, temperature=1.0, concurrency=1
        )
    rows = outcome.causes.set_index("rubric")
    assert rows["confidence"].to_dict() == pytest.approx({"ER": 0.6, "AR": 0.3})
    assert rows["agreement"].to_dict() == pytest.approx({"ER": 2 / 3, "AR": 1 / 3})


def test_the_command_plans_asks_writes_and_stops_at_the_budget(place):
    path = log(place / "logs", SAMPLES)
    with ScriptedServer(judge) as server:
        common = ["failures", str(path), "--annotator", "openai:m", "--json", "--usd-in", "1", "--usd-out", "1"]
        plan = json.loads(CliRunner().invoke(app, [*common, "--plan"]).stdout)
        assert (plan["items"], plan["to_ask"], len(server.calls)) == (3, 3, 0)
        with pytest.raises(BudgetReached, match="run again with a larger limit"):
            find_failures(path, "openai:m", base_url=server.url, usd_in=1.0, usd_out=1.0, max_usd=1e-4)
        result = CliRunner().invoke(app, [*common, "--base-url", server.url, "--out", "causes.csv"])
        found = json.loads(result.stdout)
        assert found["judged"] == 3
        assert [row["rubric"] for row in found["by_demand"]] == ["ENo", "ER", "PLe"]
        assert list(pd.read_csv("causes.csv")["step"]) == [4, 6, 3]
        text = CliRunner().invoke(app, [*common[:4], "--base-url", server.url]).stdout
        assert "3 of 3 failed runs judged (4 runs in all)" in text
        assert "ENo" in text


def test_unreadable_replies_are_kept_counted_and_asked_anew_on_request(place):
    path = log(place / "logs", SAMPLES[:1])
    bad = Answer(completion(json.dumps({"causes": [{"step": 1, "demand": "ER", "probability": 0.5}]})))
    with ScriptedServer(lambda call: judge(call) if is_probe(call) else bad) as server:
        outcome = find_failures(path, "openai:m", base_url=server.url)
    assert (outcome.report.judged, outcome.report.unparsed) == (0, 1)
    assert outcome.report.problems == {"'1' is no step of the agent": 1}
    assert outcome.by_demand().empty
    with ScriptedServer(judge) as server:
        assert find_failures(path, "openai:m", base_url=server.url).report.asked == 0
        assert find_failures(path, "openai:m", base_url=server.url, only_failed=True).report.judged == 1


@pytest.mark.parametrize(
    ("causes", "problem"),
    [
        ("none", "'causes' is no list"),
        ([{"step": True, "demand": "ER", "probability": 0.5}], "no step of the agent"),
        ([{"step": 99, "demand": "ER", "probability": 0.5}], "no step of the agent"),
        ([{"step": 3, "demand": "XX", "probability": 0.5}], "no demand of the set"),
        ([{"step": 3, "demand": "ER", "probability": 50}], "no probability"),
        ([3], "a cause is no object"),
    ],
)
def test_a_reply_that_names_no_cause_of_this_run_is_unparsed(causes, problem):
    run = Transcript("m", "i", "1", steps=tuple(TranscriptStep(role, "") for role in ("user", "user", "assistant")))
    parsed = parse_causes(json.dumps({"causes": causes}), run, ["ER"])
    assert parsed.causes == ()
    assert problem in parsed.problem


def test_probabilities_above_one_in_sum_are_scaled_and_equal_causes_are_added():
    run = Transcript("m", "i", "1", steps=(TranscriptStep("assistant", ""), TranscriptStep("tool", "")))
    stated = [{"step": step, "demand": "ER", "probability": 0.8, "reason": "r"} for step in (1, 2)]
    parsed = parse_causes(json.dumps({"causes": stated}), run, ["ER"])
    assert [(cause.step, cause.probability) for cause in parsed.causes] == [(1, 1.0)]


def test_long_steps_keep_their_ends_and_rubrics_their_definitions():
    steps = tuple(TranscriptStep("assistant", f"start{number}" + "x" * 9000 + f"end{number}") for number in range(2))
    shown = shown_transcript(Transcript("m", "i", "1", steps=steps))
    assert all(f"{part}{number}" in shown for part in ("start", "end") for number in range(2))
    assert len(shown) < 9000
    from capscope.annotate import known_rubrics

    assert definition(known_rubrics().get("ER")).startswith("Measures how hard")
    assert "Level" not in definition(known_rubrics().get("ER")).split("Level 1 is within")[0]


def test_what_cannot_be_judged_is_refused(place):
    path = log(place / "logs", [sample(1, "C")])
    with pytest.raises(InputError, match="none of 1 runs scored below 0.5"):
        find_failures(path, "openai:m", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(InputError, match="judged by openai:MODEL only"):
        find_failures(path, "local")
    with pytest.raises(CapscopeError, match="no rubric 'ZZ'"):
        find_failures(path, "openai:m", only=["ZZ"], base_url="http://127.0.0.1:9/v1")
