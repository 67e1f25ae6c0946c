import numpy as np
import pandas as pd
import pytest

from capscope.data import validate
from capscope.errors import InputError


def responses(**columns):
    base = {"model": ["m", "m"], "item_id": ["a", "b"], "score": [1, 0]} | columns
    return pd.DataFrame({name: values for name, values in base.items() if values is not None})


def refused(frame, table="responses"):
    with pytest.raises(InputError) as caught:
        validate(frame, table, "table.csv")
    message = str(caught.value)
    assert message.startswith("table.csv: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("ids", "kept"),
    [
        (["007", "7"], ["007", "7"]),
        ([7, 8], ["7", "8"]),
        ([7.0, 8.5], ["7", "8.5"]),
        (["7.0", 7], ["7.0", "7"]),
        (pd.Categorical([8, 7]), ["8", "7"]),
        (pd.array([7, 8], dtype="Int64"), ["7", "8"]),
        ([10**30, 1], [str(10**30), "1"]),
        ([" a ", "b\n"], ["a", "b"]),
        (["=1+1", "<b>"], ["=1+1", "<b>"]),
    ],
)
def test_identifiers_are_text(ids, kept):
    checked = validate(responses(item_id=ids), "responses", "x")
    assert checked["item_id"].tolist() == kept
    assert checked["item_id"].cat.categories.tolist() == sorted(kept)


@pytest.mark.parametrize("ids", [["7", 7], [" 7", "7"], pd.Categorical([7, "7"]), [7.0, "7"]])
def test_the_same_identifier_twice_is_a_duplicate(ids):
    assert "row 2 repeats model 'm', item_id '7' (1 such rows)" in refused(responses(item_id=ids))


@pytest.mark.parametrize("empty", ["", "  ", None, np.nan])
def test_a_row_without_an_identifier_is_named(empty):
    assert "row 2 has no item_id" in refused(responses(item_id=["a", empty]))
    assert "row 2 has no item_id" in refused(responses(item_id=pd.Categorical(["a", empty])))


@pytest.mark.parametrize(
    ("score", "shown"),
    [
        (3, "'3'"),
        (-0.01, "'-0.01'"),
        (np.float32(-0.01), "'-0.01'"),
        (np.nan, "missing"),
        (None, "missing"),
        ("", "missing"),
        ("nan", "'nan'"),
        (np.inf, "'inf'"),
        ("-inf", "'-inf'"),
        ("55%", "'55%'"),
        ("0,5", "'0,5'"),
        ("yes", "'yes'"),
        ([1], "'[1]'"),
        (pd.Timestamp("2020-01-01"), "'2020-01-01 00:00:00'"),
        (1j, "'1j'"),
    ],
)
def test_what_is_no_score_is_named_with_its_row(score, shown):
    frame = responses(score=pd.Series([0.5, score], dtype=object))
    assert f"row 2: score is {shown}; a score is a number from 0 to 1" in refused(frame)


@pytest.mark.parametrize("dtype", [float, "float32", "Int64"])
def test_missing_numbers_of_every_type_are_refused(dtype):
    assert "row 2: score is missing" in refused(responses(score=pd.array([1, None], dtype=dtype)))


@pytest.mark.parametrize(
    "scores", [[True, False], ["True", " false "], ["1", "0"], [1, 0.0], pd.array([True, False], dtype="boolean")]
)
def test_booleans_count_as_scores(scores):
    assert validate(responses(score=scores), "responses", "x")["score"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("level", [-1, 5.5, "high", True, "true", np.nan])
def test_levels_lie_between_0_and_5(level):
    frame = pd.DataFrame({"item_id": ["a", "b"], "rubric": "AS", "annotator": "x"})
    frame["level"] = pd.Series([2.5, level], dtype=object)
    assert "row 2: level is" in (message := refused(frame, "demands"))
    assert "from 0 to 5" in message


def test_duplicates_are_told_by_prompt_and_scaffold():
    frame = responses(item_id=["a", "a"], prompt=["p", "q"])
    assert len(validate(frame, "responses", "x")) == 2
    frame["prompt"] = "p"
    assert "item_id 'a', prompt 'p'" in refused(frame)
    assert "prompt 'p', scaffold 's'" in refused(frame.assign(scaffold="s"))


def test_one_item_with_two_texts_and_one_row_twice():
    twice = pd.DataFrame({"item_id": ["a", "b", "a"], "text": ["x", "y", "z"]})
    assert "row 3: item_id 'a' has two different texts" in refused(twice, "items")
    again = pd.DataFrame({"item_id": ["a", "b", "a"], "text": ["x", "y", "x"]})
    assert "row 3 repeats item_id 'a'" in refused(again, "items")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"itemid": ["a", "b"], "item_id": None}, """'item_id' is missing (did you mean "itemid"?)"""),
        ({"scroe": [1, 0], "score": None}, """'score' is missing (did you mean "scroe"?)"""),
        ({"n_trails": [1, 1]}, "column 'n_trails' looks like a misspelt 'n_trials'; rename it"),
        ({"N Trials": [1, 1]}, "column 'N Trials' looks like a misspelt 'n_trials'; rename it"),
    ],
)
def test_misspelt_columns_get_the_nearest_name(columns, said):
    assert said in refused(responses(**columns))


def test_repeated_columns_and_empty_tables_are_refused():
    frame = pd.DataFrame([["m", "a", 1, 1]], columns=["model", "item_id", "score", "score"])
    assert "same name (score)" in refused(frame)
    assert "no rows" in refused(responses().iloc[:0])


def test_other_columns_are_kept():
    checked = validate(responses(seed=[1, 2], tags=[["x"], {"y": 1}], note=["n", None]), "responses", "x")
    assert checked["seed"].tolist() == [1, 2]
    assert checked["tags"].tolist() == ['["x"]', '{"y": 1}']
    assert checked["note"].isna().tolist() == [False, True]


def test_the_frame_that_was_given_is_left_alone():
    given = responses()
    before = given.copy(deep=True)
    validate(given, "responses", "x")
    pd.testing.assert_frame_equal(given, before)
