import json

import pandas as pd
import pytest

from capscope.data import Study, read_items
from capscope.errors import InputError

CODES = ("AS", "CL", "QLl")


def jsonl(write, *records):
    return write("questions.jsonl", "".join(json.dumps(record) + "\n" for record in records))


def record(number, **fields):
    return {"item_id": f"q{number}", "text": f"Question {number}?", "demands": {"AS": 1, "CL": 0}, **fields}


def test_nested_demands_become_levels(write):
    path = jsonl(write, record(1, annotator="authors"), record(2, annotator="authors", demands={"AS": 5, "QLl": 2.5}))
    study = read_items(path, CODES)
    assert study.items["item_id"].tolist() == ["q1", "q2"]
    assert not {"demands", "annotator"} & set(study.items)
    rows = study.demands[["item_id", "rubric", "annotator", "level"]].to_numpy().tolist()
    assert sorted(rows[:2]) == [["q1", "AS", "authors", 1], ["q1", "CL", "authors", 0]]
    assert sorted(rows[2:]) == [["q2", "AS", "authors", 5], ["q2", "QLl", "authors", 2.5]]


def test_the_same_items_from_csv_and_parquet(write, tmp_path):
    nested = read_items(jsonl(write, record(1), record(2)), CODES)
    wide = pd.DataFrame({"item_id": ["q1", "q2"], "text": ["Question 1?", "Question 2?"], "AS": 1, "CL": 0})
    wide.to_csv(tmp_path / "wide.csv", index=False)
    pd.DataFrame([record(1), record(2)]).to_parquet(tmp_path / "nested.parquet")
    text = pd.DataFrame([record(1), record(2)])
    text.assign(demands=text["demands"].map(json.dumps)).to_csv(tmp_path / "nested.csv", index=False)
    for name in ("wide.csv", "nested.parquet", "nested.csv"):
        found = read_items(tmp_path / name, CODES)
        pd.testing.assert_frame_equal(found.demands, nested.demands)
        pd.testing.assert_frame_equal(found.items, nested.items)


def test_items_may_be_unrated(write):
    study = read_items(jsonl(write, record(1), {"item_id": "q2", "text": "x"}), CODES)
    assert study.demands["item_id"].unique().tolist() == ["q1"]
    assert read_items(write("plain.csv", "item_id,text,AS\nq1,x,9\n")).demands is None


def test_a_study_folder_gives_its_items_and_demands(tmp_path):
    demands = pd.DataFrame({"item_id": ["a"], "rubric": "AS", "annotator": "x", "level": [2]})
    responses = pd.DataFrame({"model": ["m"], "item_id": ["a"], "score": [1]})
    folder = Study.of(pd.DataFrame({"item_id": ["a"]}), responses, demands).save(tmp_path / "study")
    study = read_items(folder)
    assert study.responses is None
    assert len(study.items) == len(study.demands) == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"demands": {"AS": 6}}, "row 2, column 'AS': level is '6'; it must be a number from 0 to 5"),
        ({"demands": {"AS": "high"}}, "row 2, column 'AS': level is 'high'"),
        ({"demands": {"QLI": 1}}, """row 2: demands name an unknown rubric 'QLI' (did you mean "QLl"?)"""),
        ({"demands": [1, 2]}, "row 2: demands is [1, 2]; write"),
        ({"demands": "{oops"}, "row 2: column 'demands' is not JSON"),
        ({"item_id": "q1", "text": "other"}, "row 2: item_id 'q1' has two different texts"),
        ({"item_id": "q1", "text": "Question 1?"}, "row 2 repeats item_id 'q1'"),
        ({"item_id": None}, "row 2 has no item_id"),
        ({"CL": 1}, "demands stand both in 'demands' and in 'CL'"),
    ],
)
def test_wrong_items_are_named(write, fields, said):
    path = jsonl(write, record(1), record(2, **fields))
    with pytest.raises(InputError) as caught:
        read_items(path, CODES)
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)


def test_a_misspelt_id_gets_the_nearest_name(write):
    with pytest.raises(InputError, match='did you mean "itemid"'):
        read_items(write("a.csv", "itemid,text\nq1,x\n"))
