"""Bad input through the command line: one line with file, place and fix, exit code 1, and nothing written."""

import json

import pandas as pd
import pytest

HEAD = "model,item_id,score\n"
GOOD = HEAD + "A,1,1\nA,2,0\n"


@pytest.fixture
def work(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def truncated_parquet():
    return pd.DataFrame({"model": ["A"] * 50, "item_id": range(50), "score": 1}).to_parquet()[:-60]


BAD = {
    "missing column": ("a.csv", "model,score\nA,1\n", ["column 'item_id' is missing", "map it on import"]),
    "misspelt column": ("a.csv", "model,item_di,score\nA,1,1\n", ['did you mean "item_di"?', "rename the column"]),
    "score above 1": ("a.csv", HEAD + "A,1,1\nA,2,3\n", ["row 2: score is '3'", "a number from 0 to 1"]),
    "percentage": ("a.csv", HEAD + "A,1,55%\n", ["row 1: score is '55%'", "not a percentage"]),
    "score NaN": ("a.csv", HEAD + "A,1,nan\n", ["row 1: score is 'nan'", "leave out what was not administered"]),
    "score missing": ("a.csv", HEAD + "A,1,\n", ["row 1: score is missing", "--not-administered"]),
    "duplicate key": ("a.csv", HEAD + "A,1,1\nA,1,0\n", ["row 2 repeats model 'A', item_id '1'", "keep one"]),
    "two texts": (
        "a.csv",
        "model,item_id,score,text\nA,q,1,x\nB,q,1,y\n",
        ["row 2: item_id 'q' has two different texts", "its own id"],
    ),
    "empty table": ("a.csv", HEAD, ["the table has no rows", "check how it was written"]),
    "empty file": ("a.csv", "", ["the file is empty", "check how it was written"]),
    "truncated Parquet": ("a.parquet", truncated_parquet(), ["not a readable Parquet file", "write it again"]),
    "truncated CSV": ("a.csv", HEAD + "A,1,1\nA,2", ["line 3 has 2 fields, the header 3", "complete the line"]),
    "unclosed quote": ("a.csv", HEAD + 'A,"1,1\n', ["line 2 opens a quote", "close it"]),
    "truncated JSONL": ("a.jsonl", '{"model": "A", "item', ["line 1 is not JSON", "write it again"]),
    "wrong encoding": ("a.csv", (HEAD + "é,1,1\n").encode("latin-1"), ["line 2 is not utf-8 text", "--encoding"]),
    "UTF-16": ("a.csv", GOOD.encode("utf-16"), ["this is UTF-16 text", "--encoding utf-16"]),
    "unknown kind": ("a.xlsx", GOOD, ["cannot read '.xlsx' files", "save it as one of"]),
}


def is_one_line_of_error(code, out, err):
    assert code == 1
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("fault", list(BAD))
def test_bad_scores_are_refused_and_nothing_is_written(run, work, fault):
    name, content, said = BAD[fault]
    path = work / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    error = is_one_line_of_error(*run("import", "tidy", path, "--out", work / "deep" / "study"))
    assert error.startswith(f"error: {path}: ")
    assert all(part in error for part in said), error
    assert [entry.name for entry in work.iterdir()] == [name]


def test_paths_that_are_no_file(run, work):
    error = is_one_line_of_error(*run("import", "tidy", work / "absent.csv", "--out", work / "study"))
    assert f"{work / 'absent.csv'}: no such file; check the path" in error
    assert "this is a folder" in is_one_line_of_error(*run("import", "tidy", work, "--out", work / "study"))
    assert "no such study folder" in is_one_line_of_error(*run("check", work / "absent"))
    assert list(work.iterdir()) == []


def test_wrong_demands_and_unknown_items(run, work):
    (work / "a.csv").write_text(GOOD)
    (work / "d.csv").write_text("item_id,rubric,annotator,level\n1,AS,x,6\n")
    (work / "i.csv").write_text("item_id,text\n1,x\n")
    before = sorted(entry.name for entry in work.iterdir())
    arguments = ("import", "tidy", work / "a.csv", "--out", work / "study")
    error = is_one_line_of_error(*run(*arguments, "--demands", work / "d.csv"))
    assert f"{work / 'd.csv'}: row 1: level is '6'; it must be a number from 0 to 5" in error
    error = is_one_line_of_error(*run(*arguments, "--items", work / "i.csv"))
    assert "only 50% of the item ids in responses are in items (1 unknown: 2); use the same item_id" in error
    assert sorted(entry.name for entry in work.iterdir()) == before


def test_an_existing_study_stays_unless_forced(run, work):
    (work / "a.csv").write_text(GOOD)
    (work / "bad.csv").write_text(HEAD + "A,1,3\n")
    arguments = ("--out", work / "study")
    assert run("import", "tidy", work / "a.csv", *arguments)[0] == 0
    before = {path.name: path.read_bytes() for path in (work / "study").iterdir()}
    assert "already exists; choose another --out or add --force" in is_one_line_of_error(
        *run("import", "tidy", work / "a.csv", *arguments)
    )
    is_one_line_of_error(*run("import", "tidy", work / "bad.csv", *arguments, "--force"))
    assert {path.name: path.read_bytes() for path in (work / "study").iterdir()} == before
    assert run("import", "tidy", work / "a.csv", *arguments, "--force")[0] == 0


def test_what_is_odd_but_right_is_accepted(run, work):
    (work / "a.csv").write_bytes(b"\xef\xbb\xbf" + "model,item_id,score,text\nA,007,1,<b>=1+1</b>\nA,7,0,é\n".encode())
    code, out, err = run("import", "tidy", work / "a.csv", "--out", work / "study", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["items"] == 2
    items = pd.read_parquet(work / "study" / "items.parquet")
    assert items["item_id"].tolist() == ["007", "7"]
    assert items["text"].tolist() == ["<b>=1+1</b>", "é"]


def test_options_reach_the_importer(run, work):
    (work / "w.csv").write_bytes("wer,q1,q2\nA,1,-1\nB,0,\n".encode("utf-16"))
    arguments = ("import", "tidy", work / "w.csv", "--out", work / "study", "--json")
    options = ("--wide", "--model-col", "wer", "--not-administered", "-1", "--encoding", "utf-16")
    code, out, _ = run(*arguments, *options)
    assert code == 0
    assert {key: json.loads(out)[key] for key in ("responses", "not_administered", "models")} == {
        "responses": 2,
        "not_administered": 2,
        "models": 2,
    }
    assert run(*arguments, "--wide", "--wide-items")[0] == 2
    assert run("import", "tidy", work / "w.csv")[0] == 2


def test_check_speaks_text_and_json(run, work):
    (work / "responses.csv").write_text(HEAD + "A,1,1\nA,2,0\nB,1,0\nB,2,1\n")
    code, out, _ = run("check", work)
    assert code == 0
    assert out.splitlines() == [f"{work}: 4 responses, 2 models, 2 answered items", "nothing is odd"]
    (work / "items.csv").write_text("item_id\n1\n2\n3\n")
    code, out, err = run("check", work, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["sizes"]["items"] == 3
    assert found["odd"] == ["1 item id of items not in responses: 3", "3 items without a text"]


def test_adele_is_imported(run, work):
    (work / "battery.csv").write_text("instance_id,prompt,benchmark,task,UG\n001,One?,B,t,75\n002,Two?,B,t,100\n")
    (work / "GPT-4o.csv").write_text("question,verification_final\nOne?,1\nTwo?,0\n")
    code, out, _ = run("import", "adele", work / "battery.csv", work / "GPT-4o.csv", "--out", work / "study", "--json")
    assert code == 0
    assert json.loads(out)["responses"] == 2
    assert pd.read_parquet(work / "study" / "responses.parquet")["model"].unique().tolist() == ["GPT-4o"]
