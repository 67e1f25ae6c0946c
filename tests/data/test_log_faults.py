"""One administration is one trial: repeated, failed, cut and damaged records of logs, and what they leave unsaid."""

import json
import zipfile

import numpy as np
import pytest

from capscope.data.formats import (
    import_every_eval_ever,
    import_helm,
    import_inspect,
    import_lm_eval,
    import_openai_batch,
    import_pyirt,
)
from capscope.errors import InputError

RIGHT, WRONG = {"match": {"value": "C"}}, {"match": {"value": "I"}}
DATE = "2025-01-01T10-00-00.000001"


def refused(importer, *arguments, **options):
    with pytest.raises(InputError) as caught:
        importer(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def scores(study):
    table = study.require("responses")
    return dict(zip(table["item_id"].astype(str), table["score"], strict=True))


# Inspect


def sample(identity, scores=RIGHT, epoch=1, **more):
    return {"id": identity, "epoch": epoch, "input": f"ask {identity}", "target": "t", "scores": scores, **more}


def header(created="2025-01-01", status="success", **more):
    return {"status": status, "eval": {"task": "t", "model": "m", "created": created}, **more}


@pytest.fixture
def log(write):
    """Write a log that is one JSON document."""
    return lambda samples, name="a.json", **more: write(name, json.dumps({**header(**more), "samples": samples}))


@pytest.fixture
def archive(tmp_path):
    """Write a log that is an archive of members."""

    def writer(*members):
        path = tmp_path / "a.eval"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, value in members:
                file.writestr(name, value if isinstance(value, str) else json.dumps(value))
        return path

    return writer


def test_costs_and_confidence_of_samples_are_kept(log):
    usage = {"m": {"total_tokens": 30, "total_cost": 0.5}, "grader": {"total_tokens": 900}}
    stated = {"match": {"value": "C", "metadata": {"confidence": 0.9}}}
    odd = {"match": {"value": "I", "metadata": {"confidence": 90}}}
    samples = [
        sample(1, stated, 1, model_usage=usage, total_time=8.0, working_time=5.0),
        sample(1, odd, 2, model_usage={"m": {"total_tokens": 10}}, total_time=7.0),
        sample(2, WRONG, 1),
    ]
    table = import_inspect(log(samples))[0].require("responses").set_index("item_id")
    assert table.loc["t:1", ["n_trials", "tokens", "seconds", "confidence"]].tolist() == [2, 40, 12, 0.9]
    assert table.loc["t:1", "usd"] == 1.0  # the trial without dollars counts the mean of the others
    assert table.loc["t:2", ["usd", "tokens", "seconds", "confidence"]].isna().all()
    answered = [sample(1, {"match": {"value": "C", "answer": text}}, epoch) for epoch, text in enumerate("AaB", 1)]
    agreed = import_inspect(log([*answered, sample(2)]))[0].require("responses").set_index("item_id")["agreement"]
    assert agreed["t:1"] == pytest.approx(1 / 3)
    assert np.isnan(agreed["t:2"])
    assert "tokens" not in import_inspect(log([sample(1), sample(2)]))[0].require("responses")


def test_confidences_that_are_none_are_named(log):
    stated = [{"match": {"value": "C", "metadata": {"confidence": value}}} for value in (0.5, "high", 90)]
    _, report = import_inspect(log([sample(k, one) for k, one in enumerate(stated)], "l.json"))
    assert "l.json: 2 stated confidences are left out" in report.notes[0]
    assert "'high', '90'" in report.notes[0]


def test_plans_of_one_model_on_one_task_are_agents_and_not_repeated_runs(log):
    prompt = {"solver": "system_message", "params": {}}
    plans = {"a": [prompt, {"solver": "react"}], "b": [{"solver": "basic_agent_loop"}], "c": [{"solver": "react"}]}
    files = {
        name: log([sample(1)], f"{name}.json", plan={"steps": steps}, created=f"2025-01-0{day}")
        for day, (name, steps) in enumerate(plans.items(), 1)
    }
    study, report = import_inspect([files["a"], files["b"]])
    assert sorted(study.require("responses")["scaffold"]) == ["basic_agent", "react"]
    assert "ran 't' with 2 plans of solvers (basic_agent, react)" in report.notes[0]
    rerun, _ = import_inspect([files["a"], files["c"]], runs="latest")
    assert "scaffold" not in rerun.require("responses"), "another prompt is no other agent"


def test_tools_and_environment_of_agent_tasks_go_with_the_items(log):
    tools = [
        {"name": "refund", "description": "Refund an\n order.", "parameters": {"properties": {"order": {}}}},
        {"name": "submit", "description": "Hand in."},
    ]
    asked = sample(1, events=[{"event": "model", "tools": tools}], metadata={"environment": "Two orders."})
    spec = {"sandbox": {"type": "docker", "config": "/home/me/compose.yaml"}, "config": {"message_limit": 30}}
    study, _ = import_inspect(log([asked, sample(2)], eval={**header()["eval"], **spec}))
    items = study.require("items").set_index("item_id")
    assert items["tools"].tolist() == ["refund(order): Refund an order."] * 2
    assert items["environment"]["t:1"] == "Two orders. Sandbox: docker (compose.yaml). Limit: 30 messages."
    assert items["environment"]["t:2"] == "Sandbox: docker (compose.yaml). Limit: 30 messages."


def test_a_sample_that_is_logged_twice_counts_once_by_its_last_score(archive):
    summaries = [sample(1, WRONG), sample(2, WRONG), sample(1, RIGHT)]
    study, report = import_inspect(archive(("header.json", header()), ("summaries.json", summaries)))
    assert scores(study) == {"t:1": 1, "t:2": 0}
    assert "n_trials" not in study.require("responses")
    assert "a.eval: 1 sample is logged again; the last score of each counts" in report.notes


def test_later_pages_of_a_journal_win(archive):
    pages = [(f"_journal/summaries/{page}.json", [sample(1, RIGHT if page == 10 else WRONG)]) for page in (9, 10)]
    study, _ = import_inspect(archive(("_journal/start.json", header()), *pages))
    assert scores(study) == {"t:1": 1}


def test_epochs_are_still_trials(log):
    study, _ = import_inspect(log([sample(1, RIGHT, 1), sample(1, WRONG, 2)]))
    assert study.require("responses")[["score", "n_trials"]].to_numpy().tolist() == [[0.5, 2]]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(archive):
    path = archive(("header.json", header()), ("summaries.json", [sample(1)]), ("summaries.json", [sample(1, WRONG)]))
    assert "holds two members summaries.json" in refused(import_inspect, path)


def test_ids_of_two_kinds_are_refused(log):
    assert 'the ids 1 and "1" are two samples of one name' in refused(import_inspect, log([sample(1), sample("1")]))


def test_choices_are_found_in_the_samples_where_summaries_lack_them(archive):
    choices = ["four", "five", "six"]
    whole = sample(1, choices=choices)
    members = [("header.json", header()), ("summaries.json", [sample(1)]), ("samples/1_epoch_1.json", whole)]
    found = import_inspect(archive(*members))[0].require("items")
    newer = import_inspect(archive(members[0], ("summaries.json", [whole])))[0].require("items")
    assert found.to_dict("records") == newer.to_dict("records")
    assert (found["n_options"][0], found["chance"][0]) == (3, pytest.approx(1 / 3))


def test_an_archive_without_summaries_is_read_by_its_samples(archive):
    study, _ = import_inspect(archive(("header.json", header()), ("samples/1_epoch_1.json", sample(1))))
    assert scores(study) == {"t:1": 1}


ENDS = [sample(1, WRONG, limit={"type": "message"}), sample(2, None, error={"message": "boom"})]
ENDS += [sample(3, RIGHT, invalidation={"reason": "leak"}), sample(4)]


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ("scored", {"t:1": 0, "t:4": 1}),
        ("missing", {"t:4": 1}),
        ("wrong", {"t:1": 0, "t:2": 0, "t:3": 0, "t:4": 1}),
    ],
)
def test_samples_that_did_not_end_well_count_as_chosen_and_are_named(log, limits, expected):
    study, report = import_inspect(log(ENDS), limits=limits)
    assert scores(study) == expected
    notes = " ".join(report.notes)
    for what in ("1 sample ended at a limit", "1 sample ended in an error: boom", "1 sample was invalidated"):
        assert what in notes


def test_where_all_failed_the_reason_is_given(log):
    failed = [sample(n, None, error={"message": "APIConnectionError: no route"}) for n in range(3)]
    assert "3 samples ended in an error: APIConnectionError: no route" in refused(import_inspect, log(failed))
    study, _ = import_inspect(log(failed), limits="wrong")
    assert set(scores(study).values()) == {0}


def test_wrong_kinds_of_values_are_named_by_sample(log):
    assert "sample 1: scores is not a JSON object" in refused(import_inspect, log([sample(1, "text")]))
    assert "sample 1: choices is not a JSON list" in refused(import_inspect, log([sample(1, choices=4)]))
    assert "limits is 'no'" in refused(import_inspect, log([sample(1)]), limits="no")


def test_a_failed_run_gives_way_to_its_retry(log, tmp_path):
    log([sample(1, WRONG), sample(2, None, error="x")], "z_first.json", status="error", created="2025-01-01")
    log([sample(1, RIGHT), sample(2, WRONG)], "a_retry.json", created="2025-01-02")
    study, report = import_inspect(tmp_path)
    assert scores(study) == {"t:1": 1, "t:2": 0}
    assert "1 answer is in unfinished runs and in the retry; those of the latest run count" in report.notes


@pytest.mark.parametrize(("runs", "expected"), [("latest", 1.0), ("mean", 0.5)])
def test_runs_that_repeat_samples_are_refused_replaced_or_pooled(log, tmp_path, runs, expected):
    log([sample(1, WRONG)], "b.json", created="2025-01-01")
    log([sample(1, RIGHT)], "a.json", created="2025-01-02")
    assert "choose --repeats latest, mean or all" in refused(import_inspect, tmp_path)
    study, report = import_inspect(tmp_path, runs=runs)
    assert scores(study) == {"t:1": expected}
    assert any("1 answer is in several runs" in note for note in report.notes)


def test_the_latest_of_two_runs_is_the_later_moment_in_any_time_zone(log, tmp_path):
    log([sample(1, WRONG)], "a.json", created="2025-02-01T01:00:00+05:00")
    log([sample(1, RIGHT)], "b.json", created="2025-01-31T23:00:00+00:00")
    assert scores(import_inspect(tmp_path, runs="latest")[0]) == {"t:1": 1.0}


def test_a_small_archive_cannot_fill_the_memory(archive):
    text = " " * 50_000_000 + "[]"
    path = archive(("header.json", header()), ("summaries.json", text))
    assert path.stat().st_size < 100_000
    assert "its member summaries.json unpacks to more than" in refused(import_inspect, path)


def test_a_member_that_is_larger_than_it_says_is_refused(archive):
    path = archive(("header.json", header()), ("summaries.json", [sample(n) for n in range(200)]))
    raw = path.read_bytes()
    size = len(json.dumps([sample(n) for n in range(200)])).to_bytes(4, "little")
    assert raw.count(size) >= 1
    path.write_bytes(raw.replace(size, (10).to_bytes(4, "little")))
    assert "its member summaries.json cannot be unpacked" in refused(import_inspect, path)


# lm-eval


def line(number, metrics=("acc",), doc=None, arguments=None, **values):
    doc = {"question": f"q{number}"} if doc is None else doc
    arguments = {"gen_args_0": {"arg_0": f"q{number}"}} if arguments is None else arguments
    record = {"doc_id": number, "doc": doc, "target": "1", "arguments": arguments, "doc_hash": f"h{number}"}
    return {**record, "metrics": list(metrics), "filter": "none", **values}


@pytest.fixture
def samples(write, tmp_path):
    """Write a file of samples."""

    def writer(records, task="toy", date=DATE):
        (tmp_path / "lab").mkdir(exist_ok=True)
        return write(f"lab/samples_{task}_{date}.jsonl", "".join(json.dumps(each) + "\n" for each in records))

    return writer


def test_filters_that_a_file_does_not_name_can_be_chosen(samples):
    records = [line(n, filter=None, acc=float(score)) for score in (1, 0) for n in range(2)]
    for record in records:
        del record["filter"], record["metrics"]
    path = samples(records)
    assert "holds each document 2 times, under filters that it does not name" in refused(import_lm_eval, path)
    study, _ = import_lm_eval(path, filters=["2"])
    assert set(scores(study).values()) == {0}


def test_tasks_that_measure_perplexity_are_passed_over_and_named(samples, tmp_path):
    samples([line(0, acc=1.0)])
    wiki = samples([line(0, ["word_perplexity"], word_perplexity=[-12.5, 10])], "wiki")
    study, report = import_lm_eval(tmp_path, ["acc"])
    assert scores(study) == {"toy:0": 1}
    assert len(study.require("items")) == 1
    assert any(wiki.name in note and "perplexity" in note for note in report.notes)
    assert "give tasks whose answers are right or wrong" in refused(import_lm_eval, wiki)


def test_a_written_answer_is_asked_by_its_prompt(samples):
    doc = {"question": "What is 2 + 7?", "choices": ["14", "15", "9"]}
    hidden = {"gen_args_0": {"arg_0": "Q: 1 + 1?\nA: 2\n\nQ: What is 2 + 7?\nA:", "arg_1": {}}}
    shown = {"gen_args_0": {"arg_0": "What is 2 + 7?\n(A) 14\n(B) 15\n(C) 9\nAnswer:", "arg_1": {}}}
    items = import_lm_eval(samples([line(0, doc=doc, arguments=hidden, acc=1.0)]))[0].require("items")
    assert items["text"].tolist() == ["Q: What is 2 + 7?\nA:"]
    assert "n_options" not in items
    items = import_lm_eval(samples([line(0, doc=doc, arguments=shown, acc=1.0)]))[0].require("items")
    assert items[["text", "n_options"]].to_numpy().tolist() == [["What is 2 + 7?\n14\n15\n9", 3]]


def test_an_aggregate_file_is_named_as_one(write):
    path = write(f"results_{DATE}.json", json.dumps({"results": {}}))
    assert "an aggregate file without single answers" in refused(import_lm_eval, path)


def test_metrics_that_are_no_names_are_refused(samples):
    assert "line 1: metrics lists something that is no name" in refused(import_lm_eval, samples([line(0, [{}], acc=1)]))


def test_two_dates_of_one_task_are_two_runs(samples, tmp_path):
    samples([line(0, acc=1.0)], date=DATE)
    samples([line(0, acc=0.0)], date=DATE.replace("2025", "2026"))
    assert "choose --repeats latest" in refused(import_lm_eval, tmp_path)
    assert scores(import_lm_eval(tmp_path, runs="latest")[0]) == {"toy:0": 0}
    table = import_lm_eval(tmp_path, runs="mean")[0].require("responses")
    assert table[["score", "n_trials"]].to_numpy().tolist() == [[0.5, 2]]


# HELM


@pytest.fixture
def run(write, tmp_path):
    """Write a run folder."""

    def writer(records, states=None, method="multiple_choice_joint"):
        (tmp_path / "r").mkdir(exist_ok=True)
        spec = {"name": "mmlu:subject=x,model=m", "adapter_spec": {"model": "m", "method": method}}
        write("r/run_spec.json", json.dumps(spec))
        if states is not None:
            write("r/scenario_state.json", json.dumps({"request_states": states}))
        return write("r/per_instance_stats.json", json.dumps(records))

    return writer


def stat(name, value, **more):
    return {"name": {"name": name, **more}, "count": 1, "mean": value}


def test_statistics_of_nan_are_no_values(run):
    stats = [stat("exact_match", 1.0), stat("entropy", float("nan")), stat("entropy", float("nan"))]
    study, _ = import_helm(run([{"instance_id": "i", "stats": stats}]), ["exact_match"])
    assert scores(study) == {"mmlu:subject=x:i": 1}


def test_one_statistic_of_two_splits_is_refused(run):
    stats = [stat("exact_match", 1.0, split="test"), stat("exact_match", 0.0, split="valid")]
    message = refused(import_helm, run([{"instance_id": "i", "stats": stats}]), ["exact_match"])
    assert "two values of 'exact_match' (1.0, 0.0); the record mixes two splits or runs" in message


def test_another_file_of_a_run_is_named_as_one(run):
    path = run([{"instance_id": "i", "stats": [stat("exact_match", 1.0)]}]).with_name("run_spec.json")
    assert "a part of a HELM run without its answers; give the folder" in refused(import_helm, path)


def test_perturbations_of_one_name_and_two_settings_are_left_out(run):
    records = [{"instance_id": "i", "stats": [stat("exact_match", 1.0)]}]
    for share in (0.1, 0.5):
        twist = {"name": "typos", "prob": share}
        records.append({"instance_id": "i", "stats": [stat("exact_match", 0.0)], "perturbation": twist})
    study, report = import_helm(run(records), ["exact_match"])
    assert scores(study) == {"mmlu:subject=x:i": 1}
    assert any("2 records are left out" in note for note in report.notes)


@pytest.mark.parametrize("mapped", [True, False])
def test_options_stand_in_the_requests(run, mapped):
    references = [{"output": {"text": f"o{k}"}, "tags": ["correct"] if k == 2 else []} for k in range(4)]
    state = {"instance": {"id": "i", "input": {"text": "Which?"}, "references": references}}
    if mapped:
        state["output_mapping"] = {letter: f"o{k}" for k, letter in enumerate("ABCD")}
    path = run([{"instance_id": "i", "stats": [stat("exact_match", 1.0)]}], [state])
    item = import_helm(path, ["exact_match"])[0].require("items").iloc[0]
    assert (item["text"], item["target"], item["n_options"], item["chance"]) == (
        "Which?\no0\no1\no2\no3",
        "o2",
        4,
        0.25,
    )


def test_several_right_references_of_a_written_answer_are_no_options(run):
    references = [{"output": {"text": text}, "tags": ["correct"]} for text in ("4", "four")]
    state = {"instance": {"id": "i", "input": {"text": "2+2?"}, "references": references}}
    path = run([{"instance_id": "i", "stats": [stat("exact_match", 1.0)]}], [state], "generation")
    items = import_helm(path, ["exact_match"])[0].require("items")
    assert items["text"].tolist() == ["2+2?"]
    assert "n_options" not in items


# Every Eval Ever, batches, py-irt


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda result, _: result.update(source_data="hub"), "source_data is not a JSON object"),
        (lambda result, _: result["metric_config"].update(min_score="zero"), "min_score is 'zero', which is no number"),
        (lambda result, _: result["metric_config"].update(lower_is_better="no"), "is 'no', which is neither true nor"),
        (lambda _, record: record["input"].update(choices=4), "choices is not a JSON list"),
        (lambda _, record: record.update(sample_id={}), "'sample_id' is neither text nor a number"),
    ],
)
def test_wrong_kinds_in_every_eval_ever_are_named(write, change, said):
    result = {"evaluation_result_id": "r", "evaluation_name": "e", "metric_config": {"metric_name": "acc"}}
    record = {"schema_version": "0.3.0", "model_id": "m", "evaluation_name": "e", "sample_id": 1}
    record |= {"input": {"raw": "q"}, "evaluation": {"score": 1.0}, "evaluation_result_id": "r"}
    change(result, record)
    write("u.json", json.dumps({"evaluation_results": [result]}))
    assert said in refused(import_every_eval_ever, write("u_samples.jsonl", json.dumps(record)))


def test_a_line_that_repeats_another_in_full_is_no_second_trial(write):
    record = {"schema_version": "0.3.0", "model_id": "m", "evaluation_name": "e", "sample_id": 1}
    record |= {"input": {"raw": "q"}, "evaluation": {"score": 1.0}, "evaluation_result_id": "r"}
    again = record | {"evaluation": {"score": 0.0}}
    path = write("u_samples.jsonl", "".join(json.dumps(each) + "\n" for each in (record, again, record)))
    study, report = import_every_eval_ever(path)
    assert study.require("responses")[["score", "n_trials"]].to_numpy().tolist() == [[0.5, 2]]
    assert "u_samples.jsonl: 1 line repeats another in full; each counts once" in report.notes


def reply(custom_id, response):
    return json.dumps({"custom_id": custom_id, "response": response, "error": None}) + "\n"


def body(content="3", status=200, choices=1):
    message = {"message": {"content": content}, "finish_reason": "stop"}
    return {"status_code": status, "body": {"model": "j", "choices": [message] * choices}}


@pytest.mark.parametrize("odd", [None, body(choices=0), {"status_code": 200, "body": None}, body(status=500)])
def test_a_row_without_a_reply_is_counted_and_the_rest_is_read(write, odd):
    path = write("out.jsonl", reply("q1__AS", body()) + reply("q2__AS", odd))
    study, report = import_openai_batch(path, lambda text, _: int(text))
    assert (len(study.require("demands")), report.unrated) == (1, 1)


@pytest.mark.parametrize("good", [body(status="200"), body([{"type": "text", "text": "3"}]), body(["3"])])
def test_replies_of_other_servers_are_read(write, good):
    study, _ = import_openai_batch(write("out.jsonl", reply("q1__AS", good)), lambda text, _: int(text))
    assert study.require("demands")["level"].tolist() == [3]


def test_an_item_twice_in_one_subject_is_refused(write):
    path = write("a.jsonlines", '{"subject_id": "m", "responses": {"i": 1, "j": 0, "i": 0}}\n')
    assert "line 1 has the key 'i' twice" in refused(import_pyirt, path)


# siblings: what other versions of the tools write


def test_a_later_entry_without_any_score_does_not_undo_the_last_score(log):
    assert scores(import_inspect(log([sample(1), sample(1, None), sample(2, WRONG)]))[0]) == {"t:1": 1, "t:2": 0}


def test_two_entries_that_do_not_say_their_epoch_are_one_trial(log):
    first, again = ({key: value for key, value in sample(1, of).items() if key != "epoch"} for of in (RIGHT, WRONG))
    assert "n_trials" not in (study := import_inspect(log([first, again]))[0]).require("responses")
    assert scores(study) == {"t:1": 0}


def test_early_logs_hold_one_score_of_the_scorer_that_the_results_name(log):
    samples = [{"id": 1, "epoch": 1, "input": "q", "target": "a", "score": {"value": "C"}}]
    study, _ = import_inspect(log(samples, results={"scorer": {"name": "match"}}), scorers=["match"])
    assert scores(study) == {"t:1": 1}


@pytest.mark.parametrize(("word", "score"), [("Yes", 1), ("NO", 0), ("correct", 1), ("Incorrect", 0), ("TRUE", 1)])
def test_words_of_scorers_are_read_in_any_letter_case(log, word, score):
    assert scores(import_inspect(log([sample(1, {"match": {"value": word}})]))[0]) == {"t:1": score}


def test_samples_that_no_summary_is_of_are_taken_and_scores_are_looked_up(archive):
    bare = {key: value for key, value in sample(1).items() if key != "scores"}
    members = [("header.json", header()), ("summaries.json", [bare])]
    members += [(f"samples/{number}_epoch_1.json", sample(number)) for number in (1, 2)]
    assert scores(import_inspect(archive(*members))[0]) == {"t:1": 1, "t:2": 1}


def test_the_sample_of_an_id_with_a_slash_is_found(archive):
    whole = sample("a/b", choices=["x", "y"])
    members = [("header.json", header()), ("summaries.json", [sample("a/b")]), ("samples/a%2Fb_epoch_1.json", whole)]
    study, report = import_inspect(archive(*members))
    assert study.require("items")["n_options"].tolist() == [2]
    assert report.notes == ()


def test_a_log_without_samples_is_named_as_one(log):
    assert "holds no sample, only what was run" in refused(import_inspect, log(None))


def test_a_blank_id_is_refused(log):
    assert "sample 1: 'id' is blank" in refused(import_inspect, log([sample(" ")]))


def test_a_perplexity_beside_a_score_leaves_no_choice_open(write):
    line = {"doc_id": 0, "doc": {"question": "q"}, "target": "a", "metrics": ["perplexity", "acc"]}
    path = write(f"samples_t_{DATE}.jsonl", json.dumps({**line, "perplexity": -3.2, "acc": 1.0}))
    assert scores(import_lm_eval(path)[0]) == {"t:0": 1}


def test_every_eval_ever_names_its_target_as_text_in_earlier_versions(write):
    line = {"schema_version": "0.2.1", "model_id": "m", "evaluation_name": "e", "sample_id": "1"}
    line |= {"input": {"raw": "q", "reference": "5"}, "evaluation": {"score": 1.0}}
    path = write("u_samples.jsonl", json.dumps(line))
    assert import_every_eval_ever(path)[0].require("items")["target"].tolist() == ["5"]


def test_a_failed_request_of_helm_is_no_answer_and_a_mean_is_reckoned_where_it_is_left_out(run):
    total = {"name": {"name": "exact_match"}, "count": 2, "sum": 1.0}
    records = [{"instance_id": i, "train_trial_index": 0, "stats": [stat("exact_match", 0.0)]} for i in "ab"]
    records.append({"instance_id": "c", "train_trial_index": 0, "stats": [total]})
    failed = {"success": False, "error": "rate limit", "completions": []}
    states = [
        {"instance": {"id": i, "input": {"text": i}}, "train_trial_index": 0, "result": result}
        for i, result in (("a", failed), ("b", {"success": True}))
    ]
    path = run(records, states)
    study, report = import_helm(path)
    assert scores(study) == {"mmlu:subject=x:b": 0, "mmlu:subject=x:c": 0.5}
    assert "r: the request of 1 record failed, which is no answer: rate limit" in report.notes
    spec = path.with_name("run_spec.json")
    spec.write_text(spec.read_text().replace('"model": "m"', '"model_deployment": "d"'))
    assert import_helm(path)[0].require("responses")["model"].unique().tolist() == ["d"]
    assert "holds no record" in refused(import_helm, run([]))


def test_a_line_of_every_eval_ever_with_an_error_is_no_answer(write):
    line = {"schema_version": "0.3.0", "model_id": "m", "evaluation_name": "e", "input": {"raw": "q"}}
    lines = [
        line | {"sample_id": "1", "evaluation": {"score": 1.0}, "token_usage": {"total_tokens": 15}},
        line | {"sample_id": "2", "evaluation": {"score": 0.0}, "error": "timeout"},
        line | {"sample_id": "3", "evaluation": {"score": 0.0}, "performance": {"latency_ms": 2500}, "error": None},
    ]
    study, report = import_every_eval_ever(write("u_samples.jsonl", "\n".join(map(json.dumps, lines))))
    assert scores(study) == {"e:1": 1, "e:3": 0}
    assert "u_samples.jsonl: 1 line with an error, which is no answer: timeout" in report.notes
    costs = study.require("responses")[["tokens", "seconds"]]
    assert costs.fillna(-1).to_numpy().tolist() == [[15, -1], [-1, 2.5]]


def test_an_archive_names_its_invalidated_samples_in_the_samples_alone(archive):
    whole = [sample(1), sample(2, invalidation={"reason": "leak"})]
    summaries = [sample(1), sample(2)]
    members = [(f"samples/{each['id']}_epoch_1.json", each) for each in whole]
    path = archive(("header.json", header(invalidated=True)), ("summaries.json", summaries), *members)
    study, report = import_inspect(path)
    assert scores(study) == {"t:1": 1}
    assert "a.eval: 1 sample was invalidated; they are left out" in report.notes


def test_an_empty_text_is_no_score(log):
    study, report = import_inspect(log([sample(1, {"match": {"value": " "}}), sample(2, WRONG)]))
    assert scores(study) == {"t:2": 0}
    assert "1 record has no score; they are no responses" in report.notes


def test_a_log_without_a_model_is_called_by_its_only_role(log):
    run = header()["eval"] | {"model": "none/none"}
    named = import_inspect(log([sample(1)], eval=run | {"model_roles": {"solver": {"model": "o/x"}}}))[0]
    assert named.require("responses")["model"].tolist() == ["o/x"]
    two = {"solver": {"model": "o/x"}, "critic": [{"model": "o/y"}]}
    assert "say who answered with --model" in refused(import_inspect, log([sample(1)], eval=run | {"model_roles": two}))
