"""Data of other IRT tools, read and written: what goes out comes back the same, and what has no place is said."""

import json
import shutil
from itertools import product

import numpy as np
import pandas as pd
import pytest

from capscope.annotate import parse_reply
from capscope.data import Study
from capscope.data.formats import (
    FORMATS,
    BatchNames,
    export_every_eval_ever,
    export_irw,
    export_pyirt,
    export_tidy,
    export_torch_measure,
    import_every_eval_ever,
    import_irw,
    import_openai_batch,
    import_pyirt,
    import_tidy,
    import_torch_measure,
)
from capscope.errors import InputError, JoinError, OutputError


def refused(importer, *arguments, **options):
    """Return the one line with which a call is refused."""
    with pytest.raises((InputError, OutputError)) as caught:
        importer(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def a_study(seed, trials=False, scaffolds=False, binary=True):
    """Return a small study with gaps, awkward names and, on request, trials and scaffolds."""
    rng = np.random.default_rng(seed)
    models, items = ["a/b", "ä, ö", "007"], [f"task:{place}" for place in range(7)]
    keys = list(product(models, items, ["none", "react"] if scaffolds else ["none"]))
    kept = [keys[place] for place in np.flatnonzero(rng.random(len(keys)) < 0.8)]
    responses = pd.DataFrame(kept, columns=["model", "item_id", "scaffold"])
    responses = responses if scaffolds else responses.drop(columns="scaffold")
    n_trials = rng.integers(1, 6, len(kept)) if trials else np.ones(len(kept))
    successes = rng.integers(0, n_trials + 1)
    score = successes / n_trials if trials or binary else rng.random(len(kept))
    responses["score"] = score
    if trials:
        responses["n_trials"] = n_trials.astype(float)
    answered = sorted(responses["item_id"].unique())
    items = pd.DataFrame({"item_id": answered, "text": [f'Say "{item}",\nthen stop.' for item in answered]})
    items["benchmark"] = [("b1", "b2")[place % 2] for place in range(len(answered))]
    items["target"] = "yes"
    return Study.of(items, responses)


def table(study, columns=("model", "item_id", "scaffold", "score", "n_trials")):
    """Return the responses as a set of rows, whatever their order."""
    named = [name for name in columns if name in study.responses]
    return set(map(tuple, study.responses[named].astype({"model": str, "item_id": str}).astype(object).to_numpy()))


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("seed", range(3))
def test_tidy_comes_back_the_same(tmp_path, ending, seed):
    study = a_study(seed, trials=seed == 1, scaffolds=seed == 2, binary=False)
    out = tmp_path / f"out.{ending}"
    report = export_tidy(study, out)
    back, _ = import_tidy([out])
    assert table(back) == table(study)
    for column in ("benchmark", "text", "target"):
        assert back.items[column].tolist() == study.items[column].tolist()
    assert report.left_behind == ()


@pytest.mark.parametrize("binary", [True, False])
def test_pyirt_comes_back_the_same(tmp_path, binary):
    study = a_study(3, binary=binary)
    report = export_pyirt(study, tmp_path / "x.jsonlines")
    back, counted = import_pyirt([tmp_path / "x.jsonlines"])
    assert table(back) == table(study)
    assert counted.models == report.models == 3
    assert set(report.left_behind) == {"items.benchmark", "items.text", "items.target", "items.task"}
    line = json.loads((tmp_path / "x.jsonlines").read_text().splitlines()[0])
    assert set(line) == {"subject_id", "responses"}
    assert all(isinstance(value, int) for value in line["responses"].values()) == binary


@pytest.mark.parametrize(("trials", "scaffolds"), [(False, False), (True, False), (True, True)])
def test_irw_and_torch_measure_come_back_the_same(tmp_path, trials, scaffolds):
    study = a_study(4, trials, scaffolds)
    export_irw(study, tmp_path / "x.csv")
    assert table(import_irw([tmp_path / "x.csv"])[0]) == table(study)
    export_torch_measure(study, tmp_path / "tm")
    back, _ = import_torch_measure([tmp_path / "tm"])
    assert {tuple(map(rounded, row)) for row in table(back)} == {tuple(map(rounded, row)) for row in table(study)}
    for column in ("benchmark", "text", "target"):
        described = [each.items.set_index("item_id")[column].to_dict() for each in (back, study)]
        assert described[0] == described[1]


def rounded(value):
    return round(value, 12) if isinstance(value, float) else value


def test_a_rate_that_is_no_count_keeps_its_mean_and_its_trials(tmp_path):
    study = Study.of(responses=pd.DataFrame({"model": ["m"], "item_id": ["q"], "score": [0.3], "n_trials": [4]}))
    export_torch_measure(study, tmp_path / "tm")
    back, report = import_torch_measure([tmp_path / "tm"])
    assert back.responses[["score", "n_trials"]].to_numpy().tolist() == [[pytest.approx(0.3), 4]]
    assert report.rows == 4


def test_what_a_killed_export_left_is_no_data(tmp_path):
    rows = pd.DataFrame({"model": ["m", "m", "n", "n"], "item_id": ["a", "b"] * 2, "score": [1.0, 0.0, 1.0, 1.0]})
    study = Study.of(responses=rows)
    export_every_eval_ever(study, tmp_path / "out")
    shutil.copytree(tmp_path / "out", tmp_path / ".capscope-host-1-abcd")
    found = import_every_eval_ever(tmp_path)[0].require("responses")
    assert sorted(found["score"]) == sorted(rows["score"])


def test_exports_write_over_nothing_and_refuse_what_they_cannot_hold(tmp_path):
    study = a_study(5, scaffolds=True)
    assert "several prompts or scaffolds" in refused(export_pyirt, study, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    for name, export in ((name, entry.write) for name, entry in FORMATS.items() if entry.write):
        out = tmp_path / f"{name}.csv"
        plain = a_study(5)
        export(plain, out)
        assert "already exists" in refused(export, plain, out)
        export(plain, out, True)
    assert "cannot write '.xlsx' files" in refused(export_tidy, study, tmp_path / "x.xlsx")
    assert "this is a folder" in refused(export_irw, study, tmp_path)
    assert not list(tmp_path.rglob("*.part"))


def test_pyirt_lines_are_checked(write):
    path = write("x.jsonlines", '{"subject_id": "a", "responses": {"q1": 1, "q2": null}}\n')
    study, report = import_pyirt([path])
    assert (len(study.responses), report.not_administered) == (1, 1)
    first = '{"subject_id": "a", "responses": {"q": 1}}\n'
    path = write("x.jsonlines", first + '{"subject_id": 7, "responses": {"q1": 2}}\n')
    assert f"{path}: line 2: response of item 'q1': score is '2'" in refused(import_pyirt, [path])
    path = write("x.jsonlines", '{"subject_id": "a", "responses": [1]}\n')
    assert f"{path}: line 1: responses is not a JSON object" in refused(import_pyirt, [path])
    path = write("x.jsonlines", first + '{"subject_id": "a", "responses": {"q": 0}}\n')
    assert f"{path}: row 2 repeats model 'a', item_id 'q'" in refused(import_pyirt, [path])


def test_irw_missing_and_ordered_responses(write):
    study, report = import_irw([write("x.csv", "id,item,resp,wave\n1,a,1,1\n1,b,NA,1\n2,a,,1\n2,b,0,1\n")])
    assert table(study) == {("1", "a", 1.0), ("2", "b", 0.0)}
    assert report.not_administered == 2
    path = write("y.csv", "id,item,resp\n1,a,1\n1,b,4\n")
    assert f"{path}: row 2: score is '4'" in refused(import_irw, [path])
    assert "column 'resp' is missing" in refused(import_irw, [write("z.csv", "id,item,response\n1,a,1\n")])


def test_torch_measure_trials_missing_and_repeated(tmp_path):
    frame = pd.DataFrame(
        {
            "subject_id": ["s1", "s1", "s1", "s2"],
            "item_id": ["q", "q", "q", "q"],
            "benchmark_id": "bench",
            "trial": [1, 2, 3, 1],
            "test_condition": None,
            "response": [1.0, 0.0, np.nan, 1.0],
        }
    )
    path = tmp_path / "bench.parquet"
    frame.to_parquet(path)
    study, report = import_torch_measure([tmp_path])
    assert table(study) == {("s1", "q", 0.5, 2), ("s2", "q", 1.0, 1)}
    assert (report.rows, report.not_administered) == (4, 1)
    frame.assign(trial=1).to_parquet(path)
    assert f"{path}: row 2 repeats its subject_id" in refused(import_torch_measure, [path])
    frame.assign(response=[1, 0, 5, 1]).to_parquet(path)
    assert f"{path}: row 3: score is '5'" in refused(import_torch_measure, [path])
    frame.drop(columns="response").to_parquet(path)
    assert "column 'response' is missing" in refused(import_torch_measure, [path])


# Output of the OpenAI Batch API


def level_of(text, finish):
    return parse_reply(text, finish).level


def reply(custom_id, text, finish="stop", **changes):
    """Return a line of output as the API documents it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    body = {"object": "chat.completion", "model": "gpt-4o-2024", "choices": [choice]}
    response = {"status_code": 200, "request_id": "r", "body": body}
    return {"id": "batch_req_1", "custom_id": custom_id, "response": response, "error": None} | changes


def batch(write, *lines):
    return write("out.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


ADELE = "1. It needs recall.\n\nThus, the level of *Volume* demanded by the given TASK INSTANCE is: **3**"


def test_batch_levels_by_custom_id_by_file_and_by_table(write):
    path = batch(write, reply("a__b__AS", '{"level": 2}'), reply("q__VO", ADELE))
    study, report = import_openai_batch([path], level_of)
    rows = set(map(tuple, study.demands[["item_id", "rubric", "annotator", "level"]].astype(object).to_numpy()))
    assert rows == {("a__b", "AS", "gpt-4o-2024", 2), ("q", "VO", "gpt-4o-2024", 3)}
    assert report.levels == 2
    study, _ = import_openai_batch([batch(write, reply("a__b", ADELE))], level_of, BatchNames("VO", annotator="me"))
    assert study.demands[["item_id", "rubric", "annotator"]].to_numpy().tolist() == [["a__b", "VO", "me"]]
    names = write("names.csv", "custom_id,item_id,rubric\nh1,007,AS\n")
    study, _ = import_openai_batch([batch(write, reply("h1", ADELE))], level_of, BatchNames(table=names))
    assert study.demands[["item_id", "rubric"]].to_numpy().tolist() == [["007", "AS"]]
    assert "custom_id 'h2' is not in" in refused(
        import_openai_batch, [batch(write, reply("h2", ADELE))], level_of, BatchNames(table=names)
    )


def test_batch_replies_without_a_level_are_counted_by_reason(write):
    failed = {"response": None, "error": {"code": "batch_expired", "message": "late"}}
    path = batch(
        write,
        reply("a__AS", ADELE),
        reply("b__AS", "level 3 of 5"),
        reply("c__AS", ADELE, "length"),
        reply("d__AS", "", **failed),
        reply("e__AS", "", response={"status_code": 429, "body": {}}),
    )
    study, report = import_openai_batch([path], level_of)
    assert len(study.demands) == 1
    assert report.unrated == 4
    assert report.rows == 5
    for reason in ("unparsed: 1", "finish_reason length: 1", "not sent (batch_expired): 1", "status 429: 1"):
        assert reason in report.notes[0]


def test_batch_lines_that_are_wrong_are_named(write):
    path = batch(write, reply("a__AS", ADELE), reply("a__AS", ADELE, id="again"))
    assert f"{path}: line 2 rates item 'a' on 'AS' again" in refused(import_openai_batch, [path], level_of)
    path = batch(write, reply("plain", ADELE))
    assert "line 1: custom_id 'plain' is not item__RUBRIC" in refused(import_openai_batch, [path], level_of)
    path = batch(write, reply("a__AS", "no"))
    assert "no reply holds a level (unparsed: 1)" in refused(import_openai_batch, [path], level_of)
    path = batch(write, reply("a__AS", ADELE))
    items = write("items.csv", "item_id,text\nb,x\n")
    with pytest.raises(JoinError, match="1 unknown: a"):
        import_openai_batch([path], level_of, items=items)


def test_every_eval_ever_gives_back_what_was_written(tmp_path):
    study = a_study(4)
    items = pd.DataFrame({"item_id": [f"task:{place}" for place in range(7)], "benchmark": "b", "task": "task"})
    items = items.assign(text=[f"What is {place}?" for place in range(7)], target="1")
    study = Study.of(items, study.require("responses")[["model", "item_id", "score"]])
    report = export_every_eval_ever(study, tmp_path / "out")
    again, _ = import_every_eval_ever(tmp_path / "out")
    for table, key in (("responses", ["model", "item_id"]), ("items", ["item_id"])):
        columns = {"responses": ["model", "item_id", "score"], "items": ["item_id", "task", "text", "target"]}[table]
        old, new = (each.require(table)[columns].astype(object).sort_values(key) for each in (study, again))
        pd.testing.assert_frame_equal(old.reset_index(drop=True), new.reset_index(drop=True))
    assert len(report.files) == 2 * 3 + 1
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\npretty_name: ")
    assert '- config_name: "b"\n    data_files:\n      - split: test\n        path: "data/b/**/*_samples.jsonl"' in card
    for path in (tmp_path / "out" / "data").rglob("*.json"):
        aggregate = json.loads(path.read_text())
        (result,) = aggregate["evaluation_results"]
        rows = [json.loads(line) for line in (tmp_path / "out" / aggregate["detailed_evaluation_results"]["file_path"])
                .read_text().splitlines()]  # fmt: skip
        assert result["score_details"]["score"] == pytest.approx(np.mean([row["evaluation"]["score"] for row in rows]))
        assert aggregate["detailed_evaluation_results"]["total_rows"] == len(rows)
    assert "exists" in refused(export_every_eval_ever, study, tmp_path / "out")
    first = {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*.json*")}
    export_every_eval_ever(study, tmp_path / "out", force=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*.json*")} == first
