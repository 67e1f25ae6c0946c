"""A cell means what its column says; a name is never made of an index, an aggregate or a wrapped value."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from capscope.data import Study, check_study, checked_columns, read_families, read_table
from capscope.data.formats import (
    FORMATS,
    ExtraTables,
    export_tidy,
    export_torch_measure,
    import_adele,
    import_logs,
    import_tidy,
    import_torch_measure,
)
from capscope.errors import InputError, JoinError, first_few, shortened

MATRIX = pd.DataFrame({"q0": [1, 0, 1], "q1": [0, 0, 1]}, index=["gpt", "claude", "qwen"])


def refused(function, *arguments, **options):
    with pytest.raises(InputError) as caught:
        function(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names(study):
    table = study.require("responses")
    return sorted(table["model"].unique()), sorted(table["item_id"].unique())


@pytest.mark.parametrize("indexed", ["index of names", "blank", "Unnamed: 0", "__index_level_0__", "index"])
def test_an_index_is_never_an_item(tmp_path, indexed):
    if indexed == "index of names":
        path = tmp_path / "a.parquet"
        MATRIX.to_parquet(path)
    else:
        path = tmp_path / "a.csv"
        table = MATRIX.rename_axis("model").reset_index()
        table.insert(0, "" if indexed == "blank" else indexed, range(3))
        table.to_csv(path, index=False)
    study, report = import_tidy(path, layout="wide")
    assert names(study) == (["claude", "gpt", "qwen"], ["q0", "q1"])
    assert (indexed == "index of names") != any("only numbers the rows" in note for note in report.notes)


def test_numbers_may_still_name_the_rows_of_a_matrix(write):
    study, _ = import_tidy(write("a.csv", ",gpt,claude\n0,1,0\n1,0,1\n"), layout="wide-items")
    assert names(study) == (["claude", "gpt"], ["0", "1"])


def test_an_index_is_no_rubric(write):
    demands = write("d.csv", ",item_id,AS,QLl\n0,q1,3,2\n1,q2,1,5\n")
    scores = write("r.csv", "model,item_id,score\nm,q1,1\nm,q2,0\n")
    study = import_logs(scores, "tidy", {"demands": demands, "annotator": "me"})
    assert sorted(study.require("demands")["rubric"].unique()) == ["AS", "QLl"]
    assert "only numbers the rows" in study.sources["notes"][0]


@pytest.mark.parametrize(
    ("text", "layout", "named"),
    [
        ("model,q0,q1,q2,q3,average\na,1,0,1,0,0.5\nb,1,1,1,0,0.75\n", "wide", "column 'average'"),
        ("item_id,a,b,mean\nq1,1,0,0.5\nq2,0,1,0.5\n", "wide-items", "column 'mean'"),
        ("model,q0,q1,q2\na,1,0,1\nb,0,1,0\nall,0.5,0.5,0.5\n", "wide", "row 'all'"),
        ("model,q0,q1,q2,x\na,1,0,1,0.67\nb,1,0,0,0.33\n", "wide", "column 'x'"),
    ],
)
def test_a_mean_of_the_others_is_named(write, text, layout, named):
    _, report = import_tidy(write("a.csv", text), layout=layout)
    assert any(f"{named} is the mean of the others" in note for note in report.notes)


def test_equal_answers_are_no_mean(write):
    _, report = import_tidy(write("a.csv", "model,q0,q1,q2\na,1,1,1\nb,0,0,0\n"), layout="wide")
    assert report.notes == ()


def test_bytes_are_utf8_text(tmp_path):
    frame = pd.DataFrame({"model": [b"gpt", "é".encode()], "item_id": [b"000", b"1"], "score": [1, 0]})
    frame.to_parquet(tmp_path / "a.parquet")
    assert names(import_tidy(tmp_path / "a.parquet")[0]) == (["gpt", "é"], ["000", "1"])


@pytest.mark.parametrize("wrapped", [{"value": 1}, ["i0"], True])
@pytest.mark.parametrize("column", ["model", "item_id"])
def test_wrapped_names_are_refused_with_their_row(write, wrapped, column):
    records = [{"model": "m", "item_id": "a", "score": 1}, {"model": "m", "item_id": "b", "score": 1, column: wrapped}]
    path = write("a.jsonl", "".join(json.dumps(record) + "\n" for record in records))
    assert f"row 2: {column} is" in refused(import_tidy, path)


def test_integers_of_any_length_are_refused_or_kept_as_text(write):
    score = write("a.jsonl", json.dumps({"model": "m", "item_id": "i", "score": 10**400}))
    assert "score is an integer too long to be read" in refused(import_tidy, score)
    extra = pd.DataFrame({"item_id": ["a"], "extra": [-(2**63) - 1]})
    assert Study.of(extra).require("items")["extra"].tolist() == [str(-(2**63) - 1)]


def test_other_kinds_of_columns_are_kept_as_text(tmp_path):
    frame = pd.DataFrame(
        {
            "item_id": ["a"],
            "z": [1j],
            "span": pd.interval_range(0, 1),
            "month": pd.period_range("2025-01", periods=1, freq="M"),
        }
    )
    items = Study.load(Study.of(frame).save(tmp_path / "s")).require("items")
    assert items[["z", "span", "month"]].iloc[0].tolist() == ["1j", "(0, 1]", "2025-01"]


@pytest.mark.parametrize(
    ("one", "other"), [("café", "cafe\u0301"), ("q1", "\u200bq1"), ("GPT-X", "gpt-x"), ("a b", "a  b"), ("ﬁ", "fi")]
)
def test_names_that_differ_only_in_form_are_named(one, other):
    table = pd.DataFrame({"model": [one, other], "item_id": ["i", "j"], "score": [1, 0]})
    odd = check_study(Study.of(responses=table)).odd
    assert any("1 name of models differs only in form" in remark for remark in odd)


def test_long_names_are_cut_in_messages(write):
    message = refused(import_tidy, write("a.csv", "model,item_id,score\n" + ("m" * 100_000 + ",i,1\n") * 2))
    assert len(message) < 500
    assert message.endswith("merge trials into score and n_trials")


def test_invisible_characters_of_a_name_are_shown():
    assert first_few(["\u200bq1", "é 1", "a\x1b"]) == "\\u200bq1, é 1, a\\x1b"


def test_a_text_too_long_keeps_its_beginning_and_end():
    assert shortened("a" * 50 + "b" * 50, 20) == "aaaaaaaaaaa...bbbbbb"


def test_texts_alone_become_items(write):
    study, report = import_tidy(write("a.jsonl", '{"item_id": "n1", "text": "What?"}\n'))
    assert study.require("items")["text"].tolist() == ["What?"]
    assert study.responses is None
    assert report.items == 1
    study, _ = import_tidy(write("new.csv", "text\nWhat?\nWhy?\n"))
    assert study.require("items")["item_id"].tolist() == ["new:1", "new:2"]


# ADeLe's release tables


def test_release_tables_hold_levels_by_version(write):
    wide = write("w.csv", "instance_id,benchmark,v2/QLl,v2/PLp\na,b,2,3\nc,b,1,4\n")
    demands = import_adele(wide)[0].require("demands")
    assert sorted(demands["rubric"].unique()) == ["PLp", "QLl"]
    assert sorted(demands["level"]) == [1, 2, 3, 4]
    both = write("b.csv", "instance_id,v1/QLl,v2/QLl\na,2,3\n")
    assert "v1/QLl and v2/QLl rate one rubric" in refused(import_adele, both)


def test_long_levels_name_their_judge(write):
    long = write("l.csv", "instance_id,rubric,level,judge_model\na,QLl,2,j\na,KNn,3,j\n")
    study, _ = import_adele(long)
    assert study.items is None
    assert study.require("demands")["annotator"].unique().tolist() == ["j"]


# exports


@pytest.mark.parametrize(
    "benchmarks", [("items", "b"), ("foo_traces", "b"), ("a/b", "a_b"), ("x" * 300, "b"), ("A", "a"), (".h", "con")]
)
def test_every_benchmark_survives_an_export(tmp_path, benchmarks):
    ids = [f"i{k}" for k in range(4)]
    items = pd.DataFrame({"item_id": ids, "benchmark": np.repeat(benchmarks, 2)})
    responses = pd.DataFrame({"model": "m", "item_id": ids, "score": [1, 0, 1, 1]})
    export_torch_measure(Study.of(items, responses), tmp_path / "out")
    back, _ = import_torch_measure(tmp_path / "out")
    assert back.require("items").set_index("item_id")["benchmark"].astype(str).to_dict() == dict(
        zip(ids, np.repeat(benchmarks, 2).tolist(), strict=True)
    )
    assert back.require("responses")["score"].sum() == 3


def test_names_that_look_like_formulas_are_written_as_they_are(tmp_path):
    study = Study.of(responses=pd.DataFrame({"model": ["=1+1"], "item_id": ["@x"], "score": [1]}))
    export_tidy(study, tmp_path / "a.csv")
    assert names(import_tidy(tmp_path / "a.csv")[0]) == (["=1+1"], ["@x"])


# recognising formats


def test_formats_are_recognised_by_their_files(write, tmp_path):
    assert import_logs(write("a.csv", "model,item_id,score\nm,i,1\n")).sources["format"] == "tidy"
    assert import_logs(write("b.csv", "id,item,resp\nm,i,1\n")).sources["format"] == "irw"
    lines = write("c.jsonlines", '{"subject_id": "m", "responses": {"i": 1}}\n')
    assert import_logs(str(lines)).sources["format"] == "pyirt"
    log = {"eval": {"task": "t", "model": "m"}, "status": "success"}
    log["samples"] = [{"id": 1, "epoch": 1, "input": "x", "target": "y", "scores": {"s": {"value": "C"}}}]
    (tmp_path / "logs").mkdir()
    write("logs/a.json", json.dumps(log))
    assert import_logs(tmp_path / "logs").sources["format"] == "inspect"
    assert "no format recognises these files" in refused(import_logs, write("d.csv", "a,b\n1,2\n"))
    assert "has no option 'metric' (did you mean" in refused(import_logs, tmp_path / "logs", "lm-eval", {"metric": "x"})
    assert "openai-batch needs the option read_level" in refused(import_logs, tmp_path / "logs", "openai-batch")


def test_the_page_of_commands_names_every_format():
    page = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text("utf-8")
    assert [name for name in FORMATS if f"import {name}`" not in page] == []
    export = next(line for line in page.splitlines() if line.startswith("| `capscope export`"))
    assert [name for name, entry in FORMATS.items() if entry.write and f"`{name}`" not in export] == []


def test_a_lone_carriage_return_ends_a_line(write):
    assert read_families(write("a.csv", "model,family\rm,a\rn,b\r")) == {"m": "a", "n": "b"}
    assert "line 3 has 1 fields" in refused(read_families, write("b.csv", "model,family\nm,a\rn\nk,\n"))


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"a": ["x"], "n": ["0b1"]}, "row 1: n is '0b1'; it must be a number from 0 to 1"),
        ({"a": ["x", "y"], "n": ["1", ""]}, "row 2: n is missing"),
        ({"a": ["x"], "n": [np.inf]}, "row 1: n is 'inf'"),
        ({"a": [""], "n": [1.0]}, "row 1 has no a"),
        ({"a": ["x"], "nn": [1.0]}, "column 'n' is missing (did you mean \"nn\"?); write it again"),
    ],
)
def test_columns_of_other_tables_are_checked_too(frame, said):
    assert said in refused(
        checked_columns, pd.DataFrame(frame), "t.csv", names=["a"], numbers={"n": (0.0, 1.0)}, remedy="write it again"
    )


def test_a_small_file_that_unpacks_to_more_than_memory_holds_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "responses.parquet"
    table = pa.table({"model": ["m" * 2000] * 5000, "item_id": list(map(str, range(5000))), "score": [1.0] * 5000})
    pq.write_table(table, path)
    assert len(read_table(path)) == 5000
    monkeypatch.setattr("capscope.data.reading.LARGEST_TABLE", 5_000_000)
    monkeypatch.setattr("capscope.data.reading.MOST_INFLATED", 20)
    assert "5,000 rows would take about 0 GB of memory from a file of" in refused(read_table, path)


def test_categories_of_a_large_table_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [f"an item with a long name, number {number:05d}" for number in range(20_000)]
    frame = pd.DataFrame({"item_id": pd.Categorical(items * 20), "score": 1.0})
    frame.to_parquet(tmp_path / "responses.parquet")
    monkeypatch.setattr("capscope.data.reading.LARGEST_TABLE", 20_000_000)
    monkeypatch.setattr("capscope.data.reading.MOST_INFLATED", 1)
    assert len(read_table(tmp_path / "responses.parquet")) == 400_000


def test_days_name_items_as_a_csv_file_writes_them(tmp_path):
    days = pd.to_datetime(["2026-01-01", "2026-01-02"])
    table = pd.DataFrame({"model": "m", "item_id": days, "score": [1, 0]})
    table.to_parquet(tmp_path / "a.parquet")
    table.to_csv(tmp_path / "a.csv", index=False)
    of = [names(import_tidy(tmp_path / f"a.{kind}")[0])[1] for kind in ("parquet", "csv")]
    assert of[0] == of[1] == ["2026-01-01", "2026-01-02"]


def test_a_mean_of_ones_is_one_and_more_is_refused_with_its_digits(write):
    table = "model,item_id,score\nm,a,{}\n"
    score = import_tidy(write("a.csv", table.format("1.0000000000000002")))[0].require("responses")["score"]
    assert score.tolist() == [1]
    more = write("b.jsonl", '{"model": "m", "item_id": "a", "score": 1.0000001}\n')
    assert "score is '1.0000001'" in refused(import_tidy, more)


@pytest.mark.parametrize(
    ("header", "said"),
    [("item_id,instance_id,AS", "'instance_id', which is an id and no rubric"), ("id,number,AS", "'id' may name")],
)
def test_an_id_of_a_table_of_levels_is_no_rubric(write, header, said):
    scores, levels = write("a.csv", "model,item_id,score\nm,0,1\nm,1,0\n"), write("d.csv", f"{header}\n0,1,2\n1,2,3\n")
    assert said in refused(import_tidy, scores, extra=ExtraTables(demands=levels, annotator="me"))


def test_levels_of_other_items_are_refused(write):
    scores, levels = write("a.csv", "model,item_id,score\nm,x,1\n"), write("d.csv", "item_id,AS\n0,1\n")
    with pytest.raises(JoinError, match="only 0% of the item ids in responses are in demands"):
        import_tidy(scores, extra=ExtraTables(demands=levels, annotator="me"))


def test_a_chance_of_one_is_said_and_counts_as_an_open_question():
    items = pd.DataFrame({"item_id": ["a", "b"], "text": ["x", "y"], "chance": [1.0, 0.25]})
    odd = check_study(Study.of(items)).odd
    assert "1 item with a chance of guessing of 1, which count as open questions: a" in odd


def test_who_scored_may_stand_in_the_source():
    rows = pd.DataFrame({"model": "m", "item_id": [*"abc"], "score": 1.0, "source": ["human", "judge:x", "judge:x"]})
    odd = check_study(Study.of(responses=rows)).odd
    assert any("people checked too little of what 1 judge scored: judge:x (0 of 2 scores)" in line for line in odd)
    plain = check_study(Study.of(responses=rows.assign(source="a leaderboard"))).odd
    assert not any("checked" in line for line in plain)
