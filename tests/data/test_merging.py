"""Several sources become one study: items are compared, answers of the same model and item follow one rule."""

from pathlib import Path

import pandas as pd
import pytest

from capscope.data import Study
from capscope.data.formats import import_levels, merge_studies, read_renames
from capscope.errors import InputError


def study(name: str, answers: str, items: dict[str, str] | None = None, **columns: object) -> Study:
    """A study of answers such as ``m:a=1 m:b=0`` and of items with texts."""
    rows = [part.replace("=", ":").split(":") for part in answers.split()]
    responses = pd.DataFrame(rows, columns=["model", "item_id", "score"]).astype({"score": float}).assign(**columns)
    ids = sorted(set(responses["item_id"]))
    texts = [(items or {}).get(item, f"text of {item}") for item in ids]
    return Study.of(pd.DataFrame({"item_id": ids, "text": texts}), responses, name=name)


def scores(merged: Study) -> dict[str, float]:
    rows = merged.require("responses")
    facets = [name for name in ("prompt", "run") if name in rows]
    keys = [":".join(map(str, key)) for key in rows[["model", "item_id", *facets]].to_numpy().tolist()]
    return dict(zip(keys, rows["score"].tolist(), strict=True))


def test_items_and_answers_of_two_studies_stand_together() -> None:
    merged = merge_studies([study("A", "m:a=1 m:b=0"), study("B", "n:b=1 n:c=0", n_trials=2.0)]).study
    assert scores(merged) == {"m:a": 1, "m:b": 0, "n:b": 1, "n:c": 0}
    assert merged.require("items")["item_id"].tolist() == ["a", "b", "c"]
    assert merged.require("responses")["n_trials"].tolist() == [1, 1, 2, 2]


def test_one_id_for_two_items_is_refused_and_what_is_open_is_filled_in() -> None:
    first = study("A", "m:a=1")
    with pytest.raises(InputError, match=r"B: item 'a' has the text 'other', in A it is 'text of a' \(1 such items\)"):
        merge_studies([first, study("B", "n:a=1", {"a": "other"})])
    more = Study.of(pd.DataFrame({"item_id": ["a"], "benchmark": ["bench"], "task": ["t"], "n_options": [4]}), name="B")
    row = merge_studies([first, more]).study.require("items").iloc[0]
    assert (row["benchmark"], row["task"], row["text"], row["chance"]) == ("bench", "t", "text of a", 0.25)


@pytest.mark.parametrize(
    ("repeats", "expected"),
    [
        ("latest", {"m:a": 0, "m:b": 1}),
        ("mean", {"m:a": 0.5, "m:b": 1}),
        ("all", {"m:a:1": 1, "m:a:2": 0, "m:b:1": 1}),
    ],
)
def test_repeats_follow_the_rule_and_equal_answers_count_once(repeats: str, expected: dict[str, float]) -> None:
    first, second = study("A", "m:a=1 m:b=1"), study("B", "m:a=0 m:b=1")
    with pytest.raises(InputError, match="B: row 1 repeats model 'm', item_id 'a' of A .*choose --repeats"):
        merge_studies([first, second])
    merged = merge_studies([first, second], repeats)
    assert scores(merged.study) == expected
    assert merged.notes[0] == "1 responses are in several studies with the same score; each counts once"


def test_models_are_renamed_and_their_answers_unified(tmp_path: Path) -> None:
    path = tmp_path / "models.csv"
    path.write_text("from,to\nopenai/m,m\nazure/m,m\nghost,x\n")
    names = read_renames(path)
    merged = merge_studies([study("A", "openai/m:a=1"), study("B", "azure/m:b=0")], rename=names)
    assert scores(merged.study) == {"m:a": 1, "m:b": 0}
    assert "to be renamed, but not there: ghost" in merged.notes
    both = study("A", "openai/m:a=1 azure/m:a=0")
    assert scores(merge_studies([both], "mean", names).study) == {"m:a": 0.5}
    with pytest.raises(InputError, match="which is the latest is not known"):
        merge_studies([both], "latest", names)
    path.write_text("from,to\na,x\na,y\n")
    with pytest.raises(InputError, match="model 'a' is to be 'x' and 'y'"):
        read_renames(path)


def test_levels_of_a_public_benchmark_are_added_by_id_or_by_text(tmp_path: Path) -> None:
    path, base = tmp_path / "levels.csv", study("A", "m:a=1 m:b=0")
    path.write_text("item_id,AS,CL\na,1,2\nb,3,\nz,5,5\n")
    with pytest.raises(InputError, match="give --annotator NAME"):
        import_levels(path)
    levels, report = import_levels(path, annotator="judge")
    assert (report.levels, report.unrated) == (5, 1)
    merged = merge_studies([base, levels])
    assert merged.study.require("demands")["level"].tolist() == [1, 2, 3]
    assert "2 levels of 1 item that the study does not hold are left out: z" in merged.notes[0]
    path.write_text("custom_id,text,demand,level,judge_model\nx1, text of b,AS,4,j\n")
    by_text = merge_studies([base, import_levels(path)[0]]).study.require("demands")
    assert by_text[["item_id", "level", "annotator"]].to_numpy().tolist() == [["b", 4, "j"]]
    path.write_text("item_id,demand,level,judge_model\nx1,AS,4,j\n")
    with pytest.raises(InputError, match=r"none of its 1 items is in A \(x1\)"):
        merge_studies([base, import_levels(path)[0]])
