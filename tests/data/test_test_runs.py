"""Results of promptfoo, test runs of DeepEval and logs of OpenAI evals: scores, items, and what was not scored."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from capscope.data import Study
from capscope.data.formats import (
    import_deepeval,
    import_every_eval_ever,
    import_lm_eval,
    import_logs,
    import_openai_evals,
    import_promptfoo,
    import_pyirt,
)
from capscope.errors import InputError


def scores(study: Study) -> dict[tuple[str, ...], float]:
    """Scores by model, item's text and prompt."""
    rows, items = study.require("responses"), study.require("items").set_index("item_id")["text"]
    text = [str(items[item]) for item in rows["item_id"].astype(str)]
    keys = [rows["model"].astype(str), text, *([rows["prompt"].astype(str)] if "prompt" in rows else [])]
    return dict(zip(zip(*keys, strict=True), rows["score"].astype(float), strict=True))


Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write documents as JSON, or as JSON lines."""

    def saver(name: str, *documents: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(map(json.dumps, documents)))
        return path

    return saver


# promptfoo


def result(provider: str, city: str, passed: bool, **more: Any) -> dict[str, Any]:
    """One result of a test that asks for the capital of a city's country."""
    check = {"type": "contains", "value": city}
    return {
        "promptIdx": 0,
        "testIdx": 0,
        "provider": {"id": provider, "label": ""},
        "prompt": {"raw": f"Name the capital: {city}", "label": "short"},
        "vars": {"city": city},
        "testCase": {"vars": {"city": city}, "assert": [check]},
        "response": {"output": city if passed else "no idea"},
        "success": passed,
        "score": 1 if passed else 0.25,
        "namedScores": {"tone": 0.5},
        "failureReason": 0 if passed else 1,
        "gradingResult": {"pass": passed, "score": 1 if passed else 0.25, "reason": "checked"},
    } | more


def document(*results: dict[str, Any]) -> dict[str, Any]:
    """What ``promptfoo eval --output`` writes around results."""
    inside = {"version": 3, "timestamp": "2026-11-20T10:00:00.000Z", "prompts": [], "results": results, "stats": {}}
    return {"evalId": "eval-abc", "results": inside, "config": {"description": "capitals"}, "shareableUrl": None}


def test_promptfoo_results_are_recognised_and_failed_providers_are_no_answers(save: Save) -> None:
    down = {"success": False, "score": 0, "failureReason": 2, "gradingResult": None, "response": {"error": "429 slow"}}
    rows = [result("openai:m", "Lima", True), result("openai:m", "Oslo", False), result("openai:n", "Lima", False)]
    path = save("out/results.json", document(*rows, result("openai:n", "Oslo", False, **down)))
    study = import_logs(path.parent)
    lima, oslo = "Name the capital: Lima", "Name the capital: Oslo"
    assert scores(study) == {("openai:m", lima): 1, ("openai:m", oslo): 0, ("openai:n", lima): 0}
    assert study.sources["notes"][:2] == [
        "1 record has no score; they are no responses",
        "results.json: of 1 results the provider failed: 429 slow",
    ]
    assert study.require("items")["target"].tolist() == ["Lima", "Oslo"]
    graded, report = import_promptfoo(path, ["score"])
    assert scores(graded)["openai:m", oslo] == 0.25
    assert "metric" not in str(report.notes)


def test_promptfoo_lines_repeats_and_several_prompts(save: Save) -> None:
    long = {"prompt": {"raw": "Say it: Lima", "label": "x" * 80}, "promptIdx": 1}
    rows = [result("m", "Lima", True), result("m", "Lima", False), result("m", "Lima", True, **long)]
    study, report = import_promptfoo(save("a.jsonl", *rows))
    text = "Name the capital: Lima"
    assert scores(study) == {("m", text, "short"): 0.5, ("m", text, "prompt-d26671"): 1}
    assert report.items == 1
    older = {key: value for key, value in rows[1].items() if key != "failureReason"} | {"error": "expected Lima"}
    assert list(scores(import_promptfoo(save("b.jsonl", older))[0]).values()) == [0]
    with pytest.raises(InputError, match="result 1 does not say which provider"):
        import_promptfoo(save("c.jsonl", {"success": True, "vars": {"a": 1}}))


# DeepEval


def case(number: int, passed: bool | None, *metrics: dict[str, Any]) -> dict[str, Any]:
    asked = {"input": f"question {number}", "expectedOutput": f"answer {number}", "actualOutput": "?"}
    return {"name": f"test_case_{number}", "order": number, "success": passed, "metricsData": list(metrics)} | asked


def metric(name: str, score: float | None, **more: Any) -> dict[str, Any]:
    judge = {"threshold": 0.5, "evaluationModel": "judge-1", "success": score is not None and score >= 0.5}
    return {"name": name, "score": score, **judge} | more


def test_deepeval_runs_are_recognised_and_errors_of_the_judge_are_no_failures(save: Save) -> None:
    cases = [
        case(0, True, metric("Correctness [GEval]", 0.9), metric("Bias", 0.6)),
        case(1, False, metric("Correctness [GEval]", 0.2), metric("Bias", 0.7)),
        case(2, False, metric("Correctness [GEval]", None, error="judge timed out"), metric("Bias", 0.8)),
    ]
    run = {"testFile": "test_chat.py", "testCases": cases, "hyperparameters": {"model": "chat-1"}, "testPassed": 1}
    path = save(".deepeval/.latest_test_run.json", {"testRunData": run, "testRunLink": None})
    study = import_logs(path.parent)
    assert scores(study) == {("chat-1", "question 0"): 1, ("chat-1", "question 1"): 0}
    assert "1 metrics ended in an error: judge timed out" in str(study.sources["notes"])
    assert "also there: Correctness [GEval], Bias (choose with --metric)" in str(study.sources["notes"])
    bias, _ = import_deepeval(path, ["Bias"], model="other")
    assert sorted(scores(bias).values()) == [0.6, 0.7, 0.8]
    assert import_logs(save("run.json", run)).sources["format"] == "deepeval"


def test_older_deepeval_files_and_a_model_that_is_not_named(save: Save) -> None:
    older = {"name": "t", "success": True, "input": "q", "expected_output": "a"}
    older["metrics_data"] = [{"name": "Match", "score": 1.0, "error": None}]
    path = save("old.json", {"test_results": [older]})
    with pytest.raises(InputError, match="do not say which model answered .*give --model"):
        import_deepeval(path)
    study, report = import_deepeval(path, model="m")
    assert scores(study) == {("m", "q"): 1}
    assert (report.items, study.require("items")["target"].tolist()) == (1, ["a"])


# OpenAI evals


def event(number: int, sample: int, kind: str, **data: Any) -> dict[str, Any]:
    return {"run_id": "r", "event_id": number, "sample_id": f"sums.dev.{sample}", "type": kind, "data": data}


def log(model: str, *events: dict[str, Any], final: bool = True, day: int = 1) -> list[dict[str, Any]]:
    spec = {"completion_fns": [model], "eval_name": "sums.dev.v0", "created_at": f"2026-11-0{day} 10:00:00"}
    return [{"spec": spec}, *events, *([{"final_report": {"accuracy": 0.5}}] if final else [])]


ASKED = [{"role": "system", "content": "Add."}, {"role": "user", "content": "1 + 1"}]


def test_openai_evals_are_recognised_and_samples_without_a_score_are_no_answers(save: Save) -> None:
    events = [
        event(0, 0, "sampling", prompt=ASKED, sampled=["2"]),
        event(1, 0, "match", correct=True, expected="2", picked="2"),
        event(2, 1, "sampling", prompt="2 + 2", sampled=["5"]),
        event(3, 1, "match", correct=False, expected="4", picked=None),
        event(4, 2, "sampling", prompt="3 + 3", sampled=["6"]),
        event(5, 3, "error", type="APIError", message="busy"),
    ]
    path = save("logs/a.jsonl", *log("gpt-x", *events))
    study = import_logs(path.parent)
    assert scores(study) == {("gpt-x", "Add.\n1 + 1"): 1, ("gpt-x", "2 + 2"): 0}
    assert study.require("items")["item_id"].tolist()[:2] == ["sums.dev.0", "sums.dev.1"]
    assert study.require("items")["target"].tolist()[:2] == ["2", "4"]
    assert "2 records have no score; they are no responses" in study.sources["notes"]
    assert "a.jsonl: 1 sample ended in an error: busy" in study.sources["notes"]


def test_openai_evals_metrics_and_the_retry_of_a_run_that_did_not_finish(save: Save) -> None:
    first = save("logs/a.jsonl", *log("m", event(0, 0, "metrics", score=0.2, choice="B"), final=False))
    study, report = import_openai_evals(first)
    assert study.require("responses")["score"].tolist() == [0.2]
    assert report.notes == ("a.jsonl: has no final report, so the run did not finish; its samples are taken",)
    save("logs/b.jsonl", *log("m", event(0, 0, "metrics", score=0.8), day=2))
    both, report = import_openai_evals(first.parent)
    assert both.require("responses")["score"].tolist() == [0.8]
    assert "unfinished runs and in the retry; those of the latest run count" in report.notes[-1]
    with pytest.raises(InputError, match="give --model"):
        import_openai_evals(save("c.jsonl", event(0, 0, "match", correct=True)))


def test_two_runs_in_one_file_keep_their_models_and_repeated_lines_count_once(save: Save) -> None:
    first, second = log("gpt-x", event(0, 0, "match", correct=True)), log("gpt-y", event(0, 0, "match", correct=False))
    second[1]["run_id"] = "s"
    path = save("a.jsonl", *first, *second, second[1])
    study, report = import_openai_evals(path)
    assert scores_by_model(study) == {"gpt-x": 1, "gpt-y": 0}
    assert "n_trials" not in study.require("responses")
    assert "a.jsonl: 1 event repeats another in full; each counts once" in report.notes


def scores_by_model(study: Study) -> dict[str, float]:
    rows = study.require("responses")
    return dict(zip(rows["model"].astype(str), rows["score"].astype(float), strict=True))


def test_openai_evals_raw_samples_say_what_was_asked(save: Save) -> None:
    events = [event(0, 0, "raw_sample", input=ASKED, ideal="2"), event(1, 0, "match", correct=True)]
    items = import_openai_evals(save("a.jsonl", *log("m", *events)))[0].require("items")
    assert items[["text", "target"]].to_numpy().tolist() == [["Add.\n1 + 1", "2"]]


def test_two_metrics_of_one_name_do_not_replace_each_other(save: Save) -> None:
    path = save("run.json", {"testCases": [case(0, True, metric("G", 1.0), metric("G", 0.0))]})
    with pytest.raises(InputError, match="scored under success, G#1, G#2, not 'G'"):
        import_deepeval(path, ["G"], model="m")
    assert list(scores(import_deepeval(path, ["G#2"], model="m")[0]).values()) == [0]


def test_promptfoo_tables_and_results_without_a_provider_are_named(save: Save) -> None:
    with pytest.raises(InputError, match="holds no list of single results"):
        import_promptfoo(save("a.json", {"results": {"version": 2, "table": {}}}))
    older = {key: value for key, value in result("p", "Rome", True).items() if key != "provider"}
    with pytest.raises(InputError, match="does not say which provider answered; give --model"):
        import_promptfoo(save("b.json", {"results": [older]}))


# a record that repeats another in full

SAMPLES = "lab/samples_t_2026-11-01T00-00-00.000000.jsonl"


def lm_line(doc: int, acc: float, **more: Any) -> dict[str, Any]:
    record = {"doc_id": doc, "doc": {"question": f"q{doc}"}, "target": "1", "doc_hash": f"h{doc}"}
    return record | {"metrics": ["acc"], "acc": acc} | more


def test_an_equal_line_of_lm_eval_counts_once_and_another_score_of_a_document_is_refused(save: Save) -> None:
    named = [lm_line(doc, acc, filter="none") for doc, acc in ((0, 1.0), (1, 0.0))]
    for rows in ([*named, named[0]], [lm_line(0, 1.0), lm_line(1, 0.0), lm_line(0, 1.0)]):
        study, report = import_lm_eval(save(SAMPLES, *rows))
        assert scores(study) == {("lab", "q0"): 1, ("lab", "q1"): 0}
        assert "n_trials" not in study.require("responses")
        assert [note for note in report.notes if "1 line repeats another in full; each counts once" in note]
    with pytest.raises(InputError, match="line 3 repeats item 't:0'"):
        import_lm_eval(save(SAMPLES, *named, lm_line(0, 0.0, filter="none")))
    with pytest.raises(InputError, match="under filters that it does not name"):
        import_lm_eval(save(SAMPLES, *(lm_line(doc, acc) for acc in (1.0, 0.0) for doc in (0, 1)), lm_line(2, 1.0)))


def test_equal_lines_of_other_formats_count_once(save: Save) -> None:
    eee = {"schema_version": "0.3.0", "model_id": "m", "evaluation_name": "e", "sample_id": "1"}
    eee |= {"input": {"raw": "q"}, "evaluation": {"score": 1.0}}
    named = eee | {"evaluation_result_id": "e"}
    study, report = import_every_eval_ever(save("u_samples.jsonl", named, named))
    assert (scores(study), len(report.notes)) == ({("m", "q"): 1}, 1)
    with pytest.raises(InputError, match="scores item 'e:1' again"):  # it may be another metric with the same score
        import_every_eval_ever(save("u_samples.jsonl", eee, eee))
    rows = [result("m", "Lima", True), result("m", "Lima", True), result("m", "Lima", False, testIdx=1)]
    study, report = import_promptfoo(save("a.jsonl", *rows))
    assert scores(study) == {("m", "Name the capital: Lima"): 0.5}
    assert "a.jsonl: 1 result repeats another in full; each counts once" in report.notes
    subject = {"subject_id": "s", "responses": {"i": 1, "j": 0}}
    assert len(import_pyirt(save("a.jsonlines", subject, subject))[0].require("responses")) == 2


# siblings: what other versions and other settings of the tools write


def test_promptfoo_keeps_providers_and_prompts_apart_and_joins_one_prompt_over_providers(save: Save) -> None:
    long = {"prompt": {"raw": "Name the capital: Lima", "label": "{{city}}" * 20}}
    study, _ = import_promptfoo(save("a.json", document(*(result(m, "Lima", m == "a", **long) for m in "ab"))))
    text = "Name the capital: Lima"
    assert scores(study) == {("a", text): 1, ("b", text): 0}, "one long prompt is no facet"
    twice = [result("a", "Lima", True, promptId="x"), result("a", "Lima", False, promptIdx=1, promptId="x")]
    study, report = import_promptfoo(save("b.json", document(*twice)))
    assert scores(study) == {("a", text): 1, ("a#2", text): 0}
    assert "several providers have one name; they are kept apart as a#2" in " ".join(report.notes)
    twice[1]["promptId"] = "y"
    assert set(scores(import_promptfoo(save("c.json", document(*twice)))[0])) == {
        ("a", text, "short"),
        ("a", text, "short#2"),
    }


def test_promptfoo_ungraded_tests_costs_sessions_and_version_2(save: Save) -> None:
    bare = {"gradingResult": {"pass": True, "score": 1, "reason": "No assertions"}}
    paid = {"cost": 0.5, "latencyMs": 1500, "response": {"output": "x", "tokenUsage": {"total": 20}}}
    cached = paid | {"response": {"cached": True}, "vars": {"city": "Oslo", "_conversation": ["m"], "sessionId": "1"}}
    rows = [result("m", "Lima", True, **paid), result("m", "Oslo", False, **cached), result("m", "Rome", True, **bare)]
    older = {key: value for key, value in document(*rows).items() if key != "evalId"}
    study = import_logs(save("v2/r.json", older).parent)
    table = study.require("responses")
    assert table["score"].tolist() == [1, 0]
    assert table[["usd", "tokens", "seconds"]].iloc[0].tolist() == [0.5, 20, 1.5]
    assert table["usd"].isna().tolist() == [False, True]
    assert "1 result has no assertion" in " ".join(study.sources["notes"])
    plain = import_promptfoo(save("p.json", document(result("m", "Oslo", False))))[0].require("items")
    assert plain["item_id"].astype(str)[0] in set(study.require("items")["item_id"].astype(str))


def test_deepeval_cases_that_nothing_measured_flaky_metrics_copies_and_conversations(save: Save) -> None:
    flaky = metric("Tone", None, error="timeout", flaky=True)
    measured = case(1, False, metric("Bias", 0.1)) | {"tokenCost": 0.25, "inputTokenCount": 3, "completionTime": 2}
    cases = [case(0, True, metric("Bias", 0.9), flaky), measured, measured, case(2, True)]
    study, report = import_deepeval(save("r.json", {"testCases": cases, "hyperparameters": {"Model": "m"}}))
    assert scores(study) == {("m", "question 0"): 1, ("m", "question 1"): 0}
    assert study.require("responses")[["usd", "tokens", "seconds"]].iloc[1].tolist() == [0.25, 3, 2]
    notes = " ".join(report.notes)
    assert "1 test case repeats another in full" in notes
    assert "1 record has no score" in notes
    talks = [
        save(
            f"{reply}.json",
            {
                "conversationalTestCases": [
                    {
                        "success": True,
                        "metricsData": [metric("Bias", 0.9)],
                        "turns": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": reply}],
                    }
                ],
                "hyperparameters": {"model": reply},
            },
        )
        for reply in "ab"
    ]
    assert scores(import_deepeval(talks)[0]) == {("a", "hi"): 1, ("b", "hi"): 1}


def test_openai_evals_counters_are_no_scores_and_grades_in_letters_are_named(save: Save) -> None:
    spec = {"spec": {"completion_fns": ["m"], "eval_name": "e"}}

    def events(*data: dict[str, Any]) -> list[dict[str, Any]]:
        kinds = {"run_id": "r", "type": "metrics"}
        return [kinds | {"event_id": n, "sample_id": f"e.{n}", "data": each} for n, each in enumerate(data)]

    odd = {"run_id": "r", "event_id": 9, "sample_id": None, "type": "extra", "data": {}}
    parts = [{"role": "user", "content": [{"type": "text", "text": "ask"}]}]
    asked = {"run_id": "r", "event_id": 8, "sample_id": "e.0", "type": "sampling", "data": {"prompt": parts}}
    turns = events({"violations": 1, "is_correct": False}, {"violations": 0, "is_correct": True})
    study, _ = import_openai_evals(save("a.jsonl", spec, odd, asked, *turns))
    assert study.require("responses")["score"].tolist() == [0, 1]
    assert study.require("items")["text"].tolist()[0] == "ask"
    with pytest.raises(InputError, match="have none of the usual metrics"):
        import_openai_evals(save("b.jsonl", spec, *events({"steps": 1, "violations": 0})))
    with pytest.raises(InputError, match="2 samples have a grade without a number, such as choice 'Y'"):
        import_openai_evals(save("c.jsonl", spec, *events({"choice": "Y"}, {"choice": "N"})))


def test_scores_written_as_text_count_and_files_of_no_format_say_what_they_are(save: Save, tmp_path: Path) -> None:
    rows = [result("m", "Lima", True, success="true", score=0), result("m", "Oslo", True, success="False")]
    study, _ = import_promptfoo(save("a.json", document(*rows)))
    assert study.require("responses")["score"].tolist() == [1, 0]
    for start, why in (
        (b"version https://git-lfs.github.com/spec/v1", "git-lfs pointers"),
        ("[]".encode("utf-16"), "in UTF-16"),
        (b"\x1f\x8bpacked", "packed with gzip"),
        (b"[" * 100_000, "no format recognises"),
    ):
        (tmp_path / "odd").mkdir(exist_ok=True)
        (tmp_path / "odd" / "a.json").write_bytes(start)
        with pytest.raises(InputError, match=why):
            import_logs(tmp_path / "odd")


def test_a_long_message_of_a_provider_is_cut_in_the_remark(save: Save) -> None:
    down = {"success": False, "failureReason": 2, "gradingResult": None, "response": {"error": "<p>\n" * 5000}}
    rows = [result("m", "Lima", True), result("m", "Oslo", False, **down)]
    note = import_promptfoo(save("a.json", document(*rows)))[1].notes[1]
    assert "the provider failed: <p> <p>" in note
    assert len(note) < 300
