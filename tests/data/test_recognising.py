"""Tables whose columns have other names, matrices, and tables beside each other are recognised, or one line asks."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from capscope.data import Study
from capscope.data.formats import FORMATS, import_lm_eval, import_logs, read_recognised, with_keywords
from capscope.errors import InputError

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file and return its path."""

    def writer(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return writer


def scores(study: Study) -> dict[tuple[str, str], float]:
    rows = study.require("responses")
    return {(str(m), str(i)): float(s) for m, i, s in zip(rows["model"], rows["item_id"], rows["score"], strict=True)}


def test_columns_by_their_usual_names(write: Write) -> None:
    path = write("a.csv", "model_name,question_id,correct\nm,q1,True\nm,q2,False\n")
    assert scores(import_logs(path)) == {("m", "q1"): 1, ("m", "q2"): 0}


def test_columns_of_other_names_are_asked_for_and_an_option_of_one_format_names_it(write: Write) -> None:
    path = write("a.csv", "who,which,points\nm,q1,1\nm,q2,0\n")
    with pytest.raises(InputError, match="has the columns points, which, who: say which hold what with"):
        import_logs(path)
    named = {"model_col": "who", "id_col": "which", "score_col": "points"}
    assert scores(import_logs(path, options=named)) == {("m", "q1"): 1, ("m", "q2"): 0}


def test_a_matrix_is_read_by_its_first_column_or_asked_about(write: Write) -> None:
    models = write("a.csv", "model,q1,q2\nm,1,0\nn,0.5,\n")
    items = write("b.csv", "item_id,m,n\nq1,1,0.5\nq2,0,\n")
    assert (
        scores(import_logs(models)) == scores(import_logs(items)) == {("m", "q1"): 1, ("m", "q2"): 0, ("n", "q1"): 0.5}
    )
    open_matrix = write("c.csv", "who,q1,q2\nm,1,0\nn,0.5,\n")
    with pytest.raises(InputError, match=r'say which with options\["wide"\] \(models\) or options\["wide_items"\]'):
        import_logs(open_matrix)
    assert scores(import_logs(open_matrix, options={"wide": True})) == scores(import_logs(models))


def test_scores_items_and_levels_in_one_folder(write: Write) -> None:
    write("tables/scores.csv", "model,item_id,score\nm,a,1\nm,b,0\n")
    write("tables/items.csv", "item_id,question\na,x y\nb,z z\n")
    folder = write("tables/levels.csv", "item_id,rubric,annotator,level\na,AS,me,2\nb,AS,me,3\n").parent
    study = import_logs(folder)
    assert study.require("items")["text"].tolist() == ["x y", "z z"]
    assert study.require("demands")["level"].tolist() == [2, 3]
    assert scores(study) == {("m", "a"): 1, ("m", "b"): 0}


def lm_eval_line(doc: int, **scored: float) -> str:
    return (
        json.dumps({"doc_id": doc, "doc": {"question": f"q{doc}"}, "target": "1", "doc_hash": f"h{doc}"} | scored)
        + "\n"
    )


def test_all_models_of_a_task_are_scored_by_the_same_metric(write: Write, tmp_path: Path) -> None:
    date = "2026-11-21T00-00-00.000000"
    write(f"a/samples_t_{date}.jsonl", lm_eval_line(0, acc=1, exact_match=0))
    write(f"b/samples_t_{date}.jsonl", lm_eval_line(0, acc=0))
    study = import_logs(tmp_path)
    assert scores(study) == {("a", "t:0"): 1, ("b", "t:0"): 0}
    assert study.sources["notes"] == ["metric 'acc' counts for t; also there: exact_match (choose with --metric)"]
    write(f"c/samples_t_{date}.jsonl", lm_eval_line(0, f1=0.5))
    with pytest.raises(InputError, match=r"task 't': its logs have no name in common \(acc, exact_match, f1\)"):
        import_logs(tmp_path)


def test_runs_of_one_model_are_counted_by_the_latest_or_all_kept(write: Write, tmp_path: Path) -> None:
    for day, value in ((1, 1), (2, 0)):
        write(f"m/samples_t_2026-11-0{day}T00-00-00.000000.jsonl", lm_eval_line(0, acc=value))
    assert scores(import_logs(tmp_path)) == {("m", "t:0"): 0}
    kept = import_lm_eval(tmp_path, runs="all")[0].require("responses")
    assert dict(zip(kept["run"].astype(str), kept["score"], strict=True)) == {"1": 1, "2": 0}


def test_errors_name_options_as_python_takes_them() -> None:
    message = "task 'a': choose one with --metric NAME, or --repeats latest; say which with --format"
    expected = 'task \'a\': choose one with options["metrics"] NAME, or options["runs"] latest; say which with format='
    assert with_keywords(FORMATS, message) == expected


@pytest.mark.parametrize(
    ("name", "text", "cause"),
    [
        ("a.csv", "model;item_id;score\na;q;1\n", "the header holds ';'"),
        ("a.csv", "model|item_id|score\na|q|1\n", "the header holds '|'"),
        ("a.csv", "", "the file is empty"),
        ("a.csv.gz", "anything", "unpack it to one of .parquet"),
        ("a.xlsx", "anything", "save it as one of .parquet"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(tmp_path, name, text, cause):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=re.escape(cause)):
        import_logs(tmp_path / name)


def test_usual_names_are_known_in_any_letter_case(tmp_path):
    (tmp_path / "a.csv").write_text("Model,Question_ID,Score\na,q1,1\na,q2,0\n")
    study = import_logs(tmp_path / "a.csv")
    assert study.require("responses")["score"].tolist() == [1, 0]


def inspect_log(task: str, model: str, text: str, value: str = "C") -> str:
    """A log of one sample, whose id is 0."""
    sample = {"id": 0, "epoch": 1, "input": text, "target": "1", "scores": {"match": {"value": value}}}
    run = {"task": task, "model": model, "created": "2026-11-02"}
    return json.dumps({"status": "success", "eval": run, "samples": [sample]})


SAMPLES = "m/samples_t_2026-11-01T00-00-00.000000.jsonl"


def test_a_folder_of_several_formats_becomes_one_study(write: Write, tmp_path: Path) -> None:
    write(SAMPLES, lm_eval_line(0, acc=1) + lm_eval_line(1, acc=0))
    write("logs/a.json", inspect_log("u", "org/m", "q1"))
    write("logs/b.json", inspect_log("t", "other", "q0", "I"))
    write("levels.csv", "item_id,rubric,level\nt:0,AS,1\n")
    write("notes.csv", "model,item_id,score\nm,z,1\n")
    imported = read_recognised(FORMATS, tmp_path, {})
    expected = {("m", "t:0"): 1, ("m", "t:1"): 0, ("org/m", "u:0"): 1, ("other", "t:0"): 0}
    assert scores(imported.study) == expected
    assert imported.remarks[:4] == (
        "recognised as inspect: 2 files",
        "recognised as lm-eval: one file",
        "left: 1 tables of demand levels beside logs"
        " (add one with 'capscope import levels FILE --into STUDY'): levels.csv",
        "left: 1 tables beside logs (add one with 'capscope import FILE --into STUDY'): notes.csv",
    )
    assert imported.remarks[4:] == (
        "inspect: 2 responses of 2 models on 2 items",
        "lm-eval: 2 responses of 1 model on 2 items",
    )
    assert (imported.report.rows, imported.report.items, len(imported.report.sources)) == (4, 3, 3)
    notes = " ".join(imported.report.notes)
    assert "inspect and lm-eval: 1 text is in both under other item ids" in notes
    assert "1 model stands under several names that differ before the last '/' alone" in notes
    one = read_recognised(FORMATS, tmp_path, {}, name="lm-eval")
    assert scores(one.study) == {("m", "t:0"): 1, ("m", "t:1"): 0}
    assert one.recognised.left["of format inspect"]
    chosen = read_recognised(FORMATS, tmp_path, {"scorers": ["match"], "metrics": ["acc"]})
    assert scores(chosen.study) == expected


def test_formats_that_disagree_about_an_item_or_an_answer_are_refused(write: Write, tmp_path: Path) -> None:
    write(SAMPLES, lm_eval_line(0, acc=1))
    write("a.json", inspect_log("t", "other", "another question"))
    with pytest.raises(InputError, match=r"item 't:0' has the text .* or take one of the formats \(inspect, lm-eval\)"):
        import_logs(tmp_path)
    write("a.json", inspect_log("t", "m", "q0"))
    assert scores(import_logs(tmp_path)) == {("m", "t:0"): 1}, "the same answer in both counts once"
    write("a.json", inspect_log("t", "m", "q0", "I"))
    with pytest.raises(
        InputError, match=r"keep one, or choose options\[.runs.\] mean or all; or take one of the formats"
    ):
        import_logs(tmp_path, options={"runs": "latest"})
    assert scores(import_logs(tmp_path, options={"runs": "mean"})) == {("m", "t:0"): 0.5}
    with pytest.raises(
        InputError, match=r"says who answered in the files of one format, and here are inspect, lm-eval"
    ):
        import_logs(tmp_path, options={"model": "x"})
    write("b.json", '{"eval": 1}')
    with pytest.raises(InputError, match=r"or take one of the formats \(inspect, lm-eval\)"):
        import_logs(tmp_path)
