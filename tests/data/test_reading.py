import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from capscope.data import read_table
from capscope.errors import InputError

HEAD = "model,item_id,score\n"


def refused(path, **options):
    with pytest.raises(InputError) as caught:
        read_table(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def test_csv_text_stays_text(write):
    frame = read_table(write("a.csv", HEAD + "m,007,1\nm,7,0\nm,7.0,1\nm,NA,1\nm,1e3,0\n"))
    assert frame["item_id"].tolist() == ["007", "7", "7.0", "NA", "1e3"]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_endings(write, ending):
    frame = read_table(write("a.csv", (HEAD + "m,a,1\nm,b,0\n").replace("\n", ending)))
    assert frame.to_dict("list") == {"model": ["m", "m"], "item_id": ["a", "b"], "score": ["1", "0"]}


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_byte_order_mark_is_accepted(write, name):
    text = HEAD + "m,a,1\n" if name == "a.csv" else '{"model": "m", "item_id": "a", "score": 1}\n'
    assert list(read_table(write(name, b"\xef\xbb\xbf" + text.encode()))) == ["model", "item_id", "score"]


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "cp1252"])
def test_named_encodings_are_read(write, encoding):
    path = write("a.csv", (HEAD + "modèle,a,1\n").encode(encoding))
    assert read_table(path, encoding)["model"].tolist() == ["modèle"]


def test_wrong_encodings_are_named(write):
    assert "UTF-16" in refused(write("a.csv", (HEAD + "m,a,1\n").encode("utf-16")))
    assert "line 3 is not utf-8 text" in refused(write("b.csv", (HEAD + "m,a,1\né,b,1\n").encode("latin-1")))
    assert "--encoding" in refused(write("c.csv", (HEAD + "m,a,1\n").encode("utf-16-le")))
    assert "unknown encoding 'utf-99'" in refused(write("d.csv", HEAD), encoding="utf-99")
    assert "not utf-16 text" in refused(write("e.csv", HEAD + "m"), encoding="utf-16")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('m,"a,1\nm,b,1\n', "line 2 opens a quote that nothing closes"),
        ('m,a,1\nm,"b\nc,1\n', "line 3 opens a quote that nothing closes"),
        ("m,a,1,9\nm,b,1\n", "line 2 has 4 fields, the header 3"),
        ("m,a,1\nm,b,1,9\n", "line 3 has 4 fields, the header 3"),
        ("m,a,1\nm,b\n", "line 3 has 2 fields, the header 3"),
        ("m,a,1,\nm,b,1,\n", "line 2 has 4 fields, the header 3"),
        ("", "no rows"),
        ("m,\0,1\n", "line 2 holds a NUL byte"),
    ],
)
def test_broken_lines_are_named(write, body, said):
    assert said in refused(write("a.csv", HEAD + body))


def test_empty_cells_in_the_last_column_are_no_fault(write):
    assert read_table(write("a.csv", "item_id,target\na,\nb,x\n"))["target"].tolist() == ["", "x"]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("model,item_id,score,score\n", "same name (score)"),
        ("model;item_id;score\n", "the header holds ';'"),
        ('"model,item_id\n', "line 1 opens a quote"),
    ],
)
def test_broken_headers_are_named(write, header, said):
    assert said in refused(write("a.csv", header + "m,a,1,1\n"))


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__"])
def test_a_column_that_numbers_the_rows_is_left_out_and_named(write, name):
    frame = read_table(write("a.csv", f"{name},model,item_id,score\n0,m,a,1\n1,m,b,0\n"))
    assert list(frame) == ["model", "item_id", "score"]
    assert frame.attrs["left_out"] == (name or "Unnamed: 0",)


def test_a_column_without_a_name_that_holds_something_is_refused(write):
    assert "column 3 has no name" in refused(write("a.csv", "model,item_id,,score\nm,a,x,1\nm,b,y,1\n"))


def test_an_index_of_text_is_a_column_and_one_of_numbers_is_not(tmp_path):
    frame = pd.DataFrame({"q1": [1, 0], "q2": [1, 1]}, index=["gpt", "claude"])
    frame.to_parquet(tmp_path / "text.parquet")
    assert read_table(tmp_path / "text.parquet").iloc[:, 0].tolist() == ["gpt", "claude"]
    frame.set_axis([5, 2], axis="index").to_parquet(tmp_path / "numbers.parquet")
    assert list(read_table(tmp_path / "numbers.parquet")) == ["q1", "q2"]


def test_two_parquet_columns_of_one_name_are_named(tmp_path):
    frame = pd.DataFrame([["m", "a", 1, 0]], columns=["model", "item_id", "score", "score"])
    pq.write_table(
        pa.Table.from_arrays([pa.array(frame.iloc[:, k]) for k in range(4)], list(frame)), tmp_path / "a.parquet"
    )
    assert "two columns have the same name (score)" in refused(tmp_path / "a.parquet")


def test_a_pointer_of_git_lfs_is_named_as_one(write):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    for name in ("a.csv", "a.parquet", "a.jsonl"):
        assert "a git-lfs pointer, not the data" in refused(write(name, pointer))


def test_cells_of_any_length_are_read(write):
    frame = read_table(write("a.csv", f"item_id,text,target\nq1,{'y' * 200_000},1\nq2,short,\n"))
    assert len(frame["text"][0]) == 200_000


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_key_twice_in_one_object_is_refused(write, name):
    record = '{"model": "m", "item_id": "a", "score": 1, "score": 0}'
    assert "has the key 'score' twice" in refused(write(name, record if name == "a.jsonl" else f"[{record}]"))


def test_empty_and_unknown_files(write, tmp_path):
    assert "the file is empty" in refused(write("a.csv", ""))
    assert "no rows" in refused(write("a.jsonl", ""))
    assert "cannot read '.xlsx'" in refused(write("a.xlsx", "x"))
    assert "no such file" in refused(tmp_path / "absent.csv")
    assert "this is a folder" in refused(tmp_path)


def test_parquet_that_is_cut_short_or_none_at_all(write, tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"model": ["m"] * 99, "item_id": range(99), "score": 1}).to_parquet(path)
    whole = path.read_bytes()
    assert "not a readable Parquet file" in refused(write("b.parquet", whole[:-100]))
    assert "not a readable Parquet file" in refused(write("c.parquet", whole[:8] + bytes(60) + whole[68:]))
    assert "not a readable Parquet file" in refused(write("d.parquet", HEAD))
    assert "utf-8" in refused(write("e.csv", whole))


def test_parquet_with_named_index_keeps_it_as_columns(tmp_path):
    path = tmp_path / "a.parquet"
    frame = pd.DataFrame({"model": ["m"], "item_id": ["a"], "score": [1]})
    frame.set_index(["model", "item_id"]).to_parquet(path)
    assert read_table(path).to_dict("list") == frame.to_dict("list")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1}\n{"a": ', "line 2 is not JSON"),
        ('{"a": 1}\n[1]\n', "line 2 is not a JSON object"),
        ("[" * 50_000, "line 1 is not JSON"),
        ('{"a": "\\ud800"}\n', "lone"),
    ],
)
def test_broken_json_lines_are_named(write, text, said):
    assert said in refused(write("a.jsonl", text))


def test_json_lists(write):
    assert read_table(write("a.json", '[{"item_id": 1}, {"item_id": 2}]'))["item_id"].tolist() == [1, 2]
    assert "expected a JSON list" in refused(write("b.json", '{"item_id": 1}'))
    assert "line 2 is not JSON" in refused(write("c.json", "[\n{]"))


def test_large_integers_keep_their_digits_beside_gaps(write):
    frame = read_table(write("a.jsonl", '{"item_id": 90071992547409931}\n{"item_id": 1, "seed": 90071992547409931}\n'))
    assert frame["item_id"].tolist() == [90071992547409931, 1]
    assert frame["seed"].tolist()[1] == 90071992547409931
    assert not isinstance(frame["seed"].tolist()[1], float)


def test_json_text_may_hold_any_line_separator_of_unicode(write):
    assert read_table(write("a.jsonl", '{"text": "x\u2028y"}\n'))["text"].tolist() == ["x\u2028y"]
