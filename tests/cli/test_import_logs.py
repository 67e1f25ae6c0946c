"""Logs in and studies out through the command line: options reach the importers, nothing is written on a refusal."""

import json
import shutil
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[1] / "data" / "fixtures"


COMMANDS = {
    "inspect": ["inspect", "--scorer", "match", "--scorer", "verdict", "--scorer", "choice", "--no-answer", "wrong"],
    "lm-eval": [
        "lm_eval",
        "--metric",
        "acc",
        "--metric",
        "exact_match",
        "--filter",
        "none",
        "--filter",
        "strict-match",
    ],
    "helm": ["helm", "--metric", "exact_match"],
    "every-eval-ever": ["every_eval_ever", "--metric", "acc", "--metric", "exact_match:strict-match"],
}


@pytest.mark.parametrize("format", COMMANDS)
def test_logs_become_a_study_and_an_open_choice_writes_nothing(run, tmp_path, format):
    folder, *options = COMMANDS[format]
    code, out, err = run("import", format, FIXTURES / folder, "--out", tmp_path / "open")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "choose one with --" in err
    assert not (tmp_path / "open").exists()
    code, out, err = run("import", format, FIXTURES / folder, *options, "--out", tmp_path / "study", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["responses"] > 0
    assert run("check", tmp_path / "study")[0] == 0


USUAL = {
    "inspect": {"scorer 'verdict' counts for graded; also there: style.brief, style.polite (choose with --scorer)"},
    "lm-eval": {
        "filter 'strict-match' counts for sums; also there: flexible-extract (choose with --filter)",
        "metric 'acc' counts for pick; also there: acc_norm (choose with --metric)",
    },
    "helm": set(),
    "every-eval-ever": {"metric 'acc' counts for pick; also there: acc_norm (choose with --metric)"},
}


@pytest.mark.parametrize("format", COMMANDS)
def test_a_folder_without_a_format_is_recognised_and_the_usual_score_is_taken(run, tmp_path, format):
    folder, *options = COMMANDS[format]
    code, out, err = run("import", FIXTURES / folder, "--out", tmp_path / "study", "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result["format"] == format
    assert result["taken"][0].startswith(f"recognised as {format}: ")
    assert USUAL[format] <= set(result["notes"])
    if format != "inspect":
        named = run("import", "--out", tmp_path / "named", FIXTURES / folder, *options, "--json")
        assert json.loads(named[1])["responses"] == result["responses"]
    assert run("import", FIXTURES / folder, "--out", tmp_path / "b", "--format", format)[0] == 0


def test_what_is_left_and_what_cannot_be_told_is_said_in_one_line(run, tmp_path):
    code, out, _ = run("import", FIXTURES / "lm_eval", "--out", tmp_path / "a", "--json")
    ((why, files),) = json.loads(out)["left"].items()
    assert "aggregates of lm_eval" in why
    assert len(files) == 2
    (tmp_path / "only").mkdir()
    shutil.copy(next(FIXTURES.glob("lm_eval/*alpha/results_*")), tmp_path / "only")
    assert "it writes single answers with --log_samples" in run("import", tmp_path / "only", "--out", tmp_path / "b")[2]
    assert "is a study already" in run("import", tmp_path / "a", "--out", tmp_path / "b")[2]
    code, _, err = run("import", "lm-evl", "--out", tmp_path / "b")
    assert code == 2
    assert 'did you mean "lm-eval"?' in err
    assert not (tmp_path / "b").exists()


def test_a_folder_of_several_formats_is_one_study_and_format_takes_one(run, tmp_path):
    for folder in ("lm_eval/toy__alpha", "helm"):
        shutil.copytree(FIXTURES / folder, tmp_path / "logs" / folder)
    code, out, err = run("import", tmp_path / "logs", "--out", tmp_path / "all", "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert result["format"] == "lm-eval, helm"
    counts = {name: each["responses"] for name, each in result["formats"].items()}
    assert result["responses"] == counts["lm-eval"] + counts["helm"]
    assert min(counts.values()) > 0
    code, out, _ = run("import", tmp_path / "logs", "--format", "helm", "--out", tmp_path / "one", "--json")
    assert (code, json.loads(out)["responses"]) == (0, counts["helm"])
    assert "of format lm-eval" in json.loads(out)["left"]
    code, out, err = run("import", tmp_path / "logs", "--model", "m", "--out", tmp_path / "none")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "choose one with --format NAME" in err


def test_other_formats_and_export(run, tmp_path):
    (tmp_path / "a.csv").write_text("id,item,resp\nm,q1,1\nm,q2,NA\nn,q1,0\n")
    study, again = tmp_path / "study", tmp_path / "again"
    assert run("import", "irw", tmp_path / "a.csv", "--out", study)[0] == 0
    for format, name in {"pyirt": "b.jsonlines", "irw": "b.csv", "torch-measure": "tm", "tidy": "b.parquet"}.items():
        code, out, _ = run("export", format, study, "--out", tmp_path / name, "--json")
        assert code == 0
        assert json.loads(out)["responses"] == 2
        assert run("import", format, tmp_path / name, "--out", again, "--force")[0] == 0
        assert json.loads(run("check", again, "--json")[1])["sizes"]["responses"] == 2
    code, out, err = run("export", "pyrt", study, "--out", tmp_path / "x")
    assert code == 2
    assert "pyirt" in err


def test_a_batch_of_ratings(run, tmp_path):
    message = {"role": "assistant", "content": "Reasons.\nThe level is: 4"}
    body = {"model": "judge", "choices": [{"message": message, "finish_reason": "stop"}]}
    line = {"custom_id": "q1", "response": {"status_code": 200, "body": body}, "error": None}
    (tmp_path / "out.jsonl").write_text(json.dumps(line) + "\n")
    arguments = ("import", "openai-batch", tmp_path / "out.jsonl", "--rubric", "AS", "--out", tmp_path / "study")
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    assert json.loads(out)["levels"] == 1


def test_levels_that_are_left_out_are_not_counted_as_added_and_bad_confidences_are_named(run, run_json, tmp_path):
    study, levels, sure = tmp_path / "study", tmp_path / "levels.csv", tmp_path / "sure.csv"
    study.mkdir()
    (study / "items.csv").write_text("item_id,text\na,A?\nb,B?\n")
    levels.write_text("item_id,rubric,level\na,AS,4\nb,AS,1\nnope,AS,1\n")
    said = run("import", "levels", levels, "--annotator", "you", "--into", study)[1]
    assert "added 2 demand levels" in said
    assert "1 level of 1 item that the study does not hold" in said
    sure.write_text("model,item_id,score,confidence\nm,a,1,0.5\nm,b,1,high\nm,c,1,90\n")
    notes = " ".join(run_json("import", sure, "--out", tmp_path / "sure")["notes"])
    assert "confidence" in notes
    assert "high" in notes


def test_sources_are_added_to_a_study_and_studies_are_joined(run, run_json, tmp_path):
    study, more, levels = tmp_path / "study", tmp_path / "more.csv", tmp_path / "levels.csv"
    study.mkdir()
    (study / "responses.csv").write_text("model,item_id,score\nm,a,1\nm,b,0\n")
    (study / "annotations.sqlite").write_text("kept")
    more.write_text("model,item_id,score\nM,c,1\nM,a,0\n")
    (tmp_path / "models.csv").write_text("from,to\nM,m\n")
    levels.write_text("item_id,rubric,level\na,AS,2\nb,AS,3\nc,AS,1\n")
    code, _, err = run("import", more, "--into", study, "--rename", tmp_path / "models.csv", "--repeats", "error")
    assert (code, err.count("\n")) == (1, 1)
    assert "choose --repeats latest, mean or all" in err
    result = run_json("import", more, "--into", study, "--rename", tmp_path / "models.csv")
    assert "1 answer is in several runs; those of the latest run count" in result["notes"]
    rows = (study / "responses.csv").read_text().split()
    assert rows == ["model,item_id,score", "m,b,0.0", "m,c,1.0", "m,a,0.0"]
    assert "import levels levels.csv --into STUDY" in run("import", levels, "--into", study)[2]
    assert run_json("import", "levels", levels, "--annotator", "me", "--into", study)["levels"] == 3
    assert (study / "demands.csv").exists()
    assert (study / "annotations.sqlite").read_text() == "kept"
    assert run("import", more, "--out", tmp_path / "other")[0] == 0
    joined = run_json("merge", study, tmp_path / "other", "--out", tmp_path / "both")
    assert (joined["responses"], joined["models"]) == (5, 2)
    assert run("check", tmp_path / "both")[0] == 0
    for wrong in ((), ("--out", tmp_path / "x", "--into", study)):
        assert run("import", more, *wrong)[0] == 2
    assert "no such study folder" in run("import", more, "--into", tmp_path / "ghost")[2]
