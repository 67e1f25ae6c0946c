import json

import numpy as np
import pandas as pd
import pytest

from capscope.data import Responses, Study
from capscope.data.formats import Columns, ExtraTables, import_tidy
from capscope.errors import InputError, JoinError

LONG = "llm,question,mark,suite,prompt_text\nA,007,1,s,What?\nA,8,0.5,s,Why?\nB,007,0,s,What?\nB,8,-1,s,Why?\n"
NAMES = Columns("llm", "question", "mark", benchmark="suite", text="prompt_text")


def cells(study):
    table = study.responses
    return {(m, i): s for m, i, s in zip(table["model"], table["item_id"], table["score"], strict=True)}


def refused(paths, *args, error=InputError, **options):
    with pytest.raises(error) as caught:
        import_tidy(paths, *args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_long_tables_with_mapped_columns(write):
    study, report = import_tidy([write("a.csv", LONG)], NAMES, not_administered=["-1"])
    assert cells(study) == {("A", "007"): 1, ("A", "8"): 0.5, ("B", "007"): 0}
    assert study.items[["item_id", "benchmark", "text"]].to_numpy().tolist() == [
        ["007", "s", "What?"],
        ["8", "s", "Why?"],
    ]
    assert list(study.responses) == ["model", "item_id", "score"]
    assert report.as_dict() == {
        "rows": 4,
        "responses": 3,
        "models": 2,
        "items": 2,
        "levels": 0,
        "not_administered": 1,
        "unrated": 0,
        "sources": ("a.csv",),
        "notes": (),
    }


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_every_kind_of_file_gives_the_same_study(tmp_path, kind):
    frame = pd.DataFrame({"model": ["m", "m"], "item_id": [7, 8], "score": [0.25, 1.0]})
    path = tmp_path / f"a.{kind}"
    {
        "csv": lambda: frame.to_csv(path, index=False),
        "tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        "jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        "json": lambda: frame.to_json(path, orient="records"),
        "parquet": lambda: frame.to_parquet(path),
    }[kind]()
    assert cells(import_tidy([path])[0]) == {("m", "7"): 0.25, ("m", "8"): 1}


def test_wide_both_ways_equals_long(write):
    long, _ = import_tidy([write("a.csv", "model,item_id,score\nA,007,1\nA,8,0.5\nB,007,0\n")])
    wide, report = import_tidy([write("b.csv", "name,007,8\nA,1,0.5\nB,0,\n")], layout="wide")
    turned, _ = import_tidy([write("c.csv", "question,A,B\n007,1,0\n8,0.5,\n")], layout="wide-items")
    assert cells(long) == cells(wide) == cells(turned)
    assert report.not_administered == 1
    left, right = Responses.of(long), Responses.of(wide)
    np.testing.assert_array_equal(left.score, right.score)
    assert left.items == right.items == ("007", "8")


def test_wide_items_may_describe_their_items(write):
    path = write("a.csv", "qid,suite,A\nq1,x,1\nq2,y,0\n")
    study, _ = import_tidy([path], Columns(item_id="qid", benchmark="suite"), "wide-items")
    assert study.items["benchmark"].tolist() == ["x", "y"]
    assert cells(study) == {("A", "q1"): 1, ("A", "q2"): 0}


def test_sentinels_are_told_as_text_and_as_number(write, tmp_path):
    text = write("a.csv", "model,item_id,score\nA,1,n/a\nA,2,-1.0\nA,3,1\nA,4,\n")
    study, report = import_tidy([text], not_administered=["n/a", "-1", ""])
    assert (cells(study), report.not_administered) == ({("A", "3"): 1}, 3)
    path = tmp_path / "b.parquet"
    score = np.array([-0.01, 0.5, np.nan], dtype=np.float32)
    pd.DataFrame({"model": "A", "item_id": [1, 2, 3], "score": score}).to_parquet(path)
    assert import_tidy([path], not_administered=["-0.01", "nan"])[1].not_administered == 2
    wide = write("c.csv", "model,q1,q2\nA,-1,1\n")
    assert import_tidy([wide], layout="wide", not_administered=["-1"])[1].not_administered == 1


def test_rows_keep_their_numbers_when_sentinels_go(write):
    path = write("a.csv", "model,item_id,score\nA,1,-1\nA,2,-1\nA,3,3\n")
    assert "row 3: score is '3'" in refused([path], not_administered=["-1"])


def test_wide_cells_are_named_by_row_and_column(write):
    path = write("a.csv", "model,q1,q2\nA,1,1\nB,,3\n")
    assert f"{path}: row 2, column 'q2': score is '3'" in refused([path], layout="wide")
    assert "row 2 repeats model 'A'" in refused([write("b.csv", "model,q1\nA,1\nA,0\n")], layout="wide")


@pytest.mark.parametrize("sentinel", ["0", "1", "0.5"])
def test_a_score_is_no_sentinel(write, sentinel):
    assert "is a score" in refused([write("a.csv", "model,item_id,score\nA,1,1\n")], not_administered=[sentinel])


def test_several_files_are_put_together_and_clashes_name_both(write):
    first, second = (
        write("a.csv", "model,item_id,score\nA,1,1\n"),
        write("b.csv", "model,item_id,score\nB,1,0\nA,1,0\n"),
    )
    third = write("c.csv", "model,item_id,score\nB,1,0\n")
    assert cells(import_tidy([first, third])[0]) == {("A", "1"): 1, ("B", "1"): 0}
    message = refused([first, second])
    assert message.startswith(f"{second}: row 2 repeats model 'A', item_id '1' of {first}")


def test_one_item_with_two_texts_is_named_in_its_file(write):
    text = "model,item_id,score,text\n"
    assert "row 2: item_id '1' has two different texts" in refused([write("a.csv", text + "A,1,1,x\nB,1,1,y\n")])
    first, second = write("b.csv", text + "A,1,1,x\n"), write("c.csv", text + "B,2,1,z\nB,1,1,y\n")
    assert f"{second}: row 2: item_id '1' has two different texts" in refused([first, second])


def test_unknown_columns_of_the_mapping_get_the_nearest_name(write):
    path = write("a.csv", LONG)
    assert """column 'lllm' is missing (did you mean "llm"?)""" in refused([path], Columns(model="lllm"))
    clash = write("b.csv", "name,model,item_id,score\na,b,c,1\n")
    assert "a column 'model' is there too" in refused([clash], Columns(model="name"))


def test_items_and_demands_beside_the_scores(write):
    scores = write("a.csv", "model,qid,score,benchmark\nA,q1,1,x\nA,q2,0,x\n")
    items = write("items.jsonl", "".join(json.dumps({"qid": q, "text": q}) + "\n" for q in ("q1", "q2", "q3")))
    wide = write("wide.csv", "qid,text,AS,CL\nq1,t,1,\nq2,t,5,0\n")
    long = write("long.csv", "qid,rubric,level\nq1,AS,1\nq2,AS,5\nq2,CL,0\n")
    read = [
        import_tidy([scores], Columns(item_id="qid"), extra=ExtraTables(items, demands, "ann"))
        for demands in (wide, long)
    ]
    tables = [study.demands.sort_values(["item_id", "rubric"], ignore_index=True) for study, _ in read]
    pd.testing.assert_frame_equal(*[table[["item_id", "rubric", "annotator", "level"]] for table in tables])
    assert [report.unrated for _, report in read] == [1, 0]
    assert read[0][0].items["benchmark"].tolist() == ["x", "x", "unknown"]
    assert "give --annotator NAME" in refused([scores], Columns(item_id="qid"), extra=ExtraTables(items, wide))


def test_unknown_items_are_refused_with_share_and_ids(write):
    scores = write("a.csv", "model,item_id,score\nA,q1,1\nA,q2,0\n")
    items = write("items.csv", "item_id,text\nq1,x\n")
    message = refused([scores], extra=ExtraTables(items), error=JoinError)
    assert "only 50% of the item ids in responses are in items (1 unknown: q2)" in message


def test_an_imported_study_survives_saving(write, tmp_path):
    study, _ = import_tidy([write("a.csv", LONG)], NAMES, not_administered=["-1"])
    back = Study.load(study.save(tmp_path / "out"))
    for table, frame in study.tables().items():
        pd.testing.assert_frame_equal(frame, back.tables()[table])
    assert [source["name"] for source in back.sources["files"]] == ["a.csv"]
