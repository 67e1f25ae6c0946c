import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capscope.data import (
    Demands,
    Responses,
    Study,
    check_study,
    item_folds,
    join_items,
    refuse_foreign_demands,
    task_labels,
)
from capscope.errors import InputError, JoinError

GROUPS = {"id": ["item_id"], "task": ["benchmark", "task"], "benchmark": ["benchmark"]}


@st.composite
def item_tables(draw):
    count = draw(st.integers(2, 30))
    pick = st.lists(st.sampled_from(["x", "y", "z"]), min_size=count, max_size=count)
    return pd.DataFrame({"item_id": [f"i{n}" for n in range(count)], "benchmark": draw(pick), "task": draw(pick)})


@settings(max_examples=60, deadline=None)
@given(table=item_tables(), split=st.sampled_from(list(GROUPS)), folds=st.integers(2, 6), seed=st.integers(0, 99))
def test_folds_partition_items_and_never_cut_a_group(table, split, folds, seed):
    items = Study.of(table).items
    label = items[GROUPS[split]].astype(str).agg("/".join, axis=1)
    label.index = items["item_id"].astype(str)
    if label.nunique() < 2:
        with pytest.raises(InputError, match="nothing can be held out"):
            item_folds(items, split, folds, np.random.default_rng(seed))
        return
    cut = item_folds(items, split, folds, np.random.default_rng(seed))
    assert len(cut) == min(folds, label.nunique())
    assert sorted(i for fold in cut for i in fold.test) == sorted(label.index)
    for fold in cut:
        assert fold.test
        assert sorted(fold.train + fold.test) == sorted(label.index)
        assert not set(label[list(fold.train)]) & set(label[list(fold.test)])
    shuffled = items.sample(frac=1, random_state=seed)
    assert item_folds(shuffled, split, folds, np.random.default_rng(seed)) == cut


def test_seeds_choose_the_folds():
    items = Study.of(pd.DataFrame({"item_id": [str(n) for n in range(50)]})).items
    cuts = [item_folds(items, "id", 5, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert cuts[0] == cuts[1] != cuts[2]
    assert [len(fold.test) for fold in cuts[0]] == [10] * 5


def test_bad_splits_are_refused():
    items = Study.of(pd.DataFrame({"item_id": ["a", "b"]})).items
    with pytest.raises(InputError, match="1 fold leaves"):
        item_folds(items, "id", 1, np.random.default_rng(0))


def test_tasks_of_two_benchmarks_stay_apart():
    items = Study.of(pd.DataFrame({"item_id": ["a", "b"], "benchmark": ["x", "y"], "task": ["t", "t"]})).items
    assert task_labels(items).tolist() == ["x/t", "y/t"]


def study_of(answered, described, rated=None):
    return Study.of(
        pd.DataFrame({"item_id": described}),
        pd.DataFrame({"model": "m", "item_id": answered, "score": [n % 2 for n in range(len(answered))]}),
        None if rated is None else pd.DataFrame({"item_id": rated, "rubric": "AS", "annotator": "x", "level": 1}),
        name="study",
    )


def test_joins_report_their_share():
    join = join_items(study_of([str(n) for n in range(20)], [str(n) for n in range(19)]), "responses", "items")
    assert join.share == pytest.approx(0.95)
    assert join.missing == ("19",)


def test_a_poor_join_names_share_and_first_five():
    ids = [f"q{n}" for n in range(10)]
    with pytest.raises(JoinError) as caught:
        check_study(study_of(ids, ids[:4]))
    assert str(caught.value) == (
        "study: only 40% of the item ids in responses are in items (6 unknown: q4, q5, q6, q7, q8 and 1 more);"
        " use the same item_id in both tables"
    )


def test_check_counts_and_names_what_is_odd():
    ids = [f"q{n}" for n in range(20)]
    found = check_study(study_of(ids, ids[:-1] + ["unasked"], ids[:5])).as_dict()
    assert found["sizes"]["items"] == 20
    assert found["joins"][0] == {
        "table": "responses",
        "other": "items",
        "share": pytest.approx(0.95),
        "missing": 1,
        "first_missing": ["q19"],
    }
    assert found["odd"] == [
        "1 item id of responses not in items: q19",
        "15 item ids of responses not in demands: q10, q11, q12, q13, q14 and 10 more",
        "10 items have every answer wrong: q0, q10, q12, q14, q16 and 5 more",
        "10 items have every answer right: q1, q11, q13, q15, q17 and 5 more",
        "1 item id of items not in responses: unasked",
        "15 item ids of items not in demands: q10, q11, q12, q13, q14 and 10 more",
        "20 items without a text",
    ]


def test_check_names_groups_without_a_common_item_and_one_model_of_two_providers():
    rows = [("a/m", "q1"), ("a/n", "q1"), ("b/m", "q2"), ("b/m", "q3")]
    frame = pd.DataFrame(rows, columns=["model", "item_id"]).assign(score=[0.0, 1.0, 1.0, 0.0])
    odd = " ".join(check_study(Study.of(responses=frame)).odd)
    assert "the models form 2 groups that share no item (one of them: b/m)" in odd
    assert (
        "1 model stands under several names that differ before the last '/' alone and share no item: a/m and b/m" in odd
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999))
def test_the_order_of_rows_changes_no_matrix(seed):
    rng = np.random.default_rng(seed)
    responses = pd.DataFrame(
        [(m, i, p) for m in "CAB" for i in ("7", "007", "x") for p in "pq"], columns=["model", "item_id", "prompt"]
    )
    responses["score"] = rng.uniform(size=len(responses)).round(1)
    responses["n_trials"] = rng.integers(1, 3, len(responses))
    demands = pd.DataFrame(
        [(i, r, a) for i in "ab" for r in "SR" for a in "uv"], columns=["item_id", "rubric", "annotator"]
    )
    demands["level"] = rng.integers(0, 6, len(demands))
    plain = Study.of(responses=responses, demands=demands)
    mixed = Study.of(
        responses=responses.sample(frac=1, random_state=seed), demands=demands.sample(frac=1, random_state=seed)
    )
    left, right = Responses.of(plain), Responses.of(mixed)
    assert (left.models, left.items) == (right.models, right.items) == (("A", "B", "C"), ("007", "7", "x"))
    for field in ("model_index", "item_index", "score", "n_trials"):
        np.testing.assert_array_equal(getattr(left, field), getattr(right, field))
    np.testing.assert_array_equal(Demands.of(plain).level, Demands.of(mixed).level)


def test_each_row_of_the_matrix_is_a_row_of_the_table():
    table = pd.DataFrame({"model": ["b", "a", "b"], "item_id": ["y", "x", "x"], "score": [0.1, 0.2, 0.3]})
    matrix = Responses.of(Study.of(responses=table))
    cells = {
        (matrix.models[m], matrix.items[i]): s
        for m, i, s in zip(matrix.model_index, matrix.item_index, matrix.score, strict=True)
    }
    assert cells == {("b", "y"): 0.1, ("a", "x"): 0.2, ("b", "x"): 0.3}
    assert matrix.n_trials.tolist() == [1, 1, 1]


def test_demands_are_averaged_over_annotators_and_missing_ones_are_nan():
    rows = [("a", "AS", "u", 1), ("a", "AS", "v", 4), ("b", "CL", "u", 3)]
    study = Study.of(demands=pd.DataFrame(rows, columns=["item_id", "rubric", "annotator", "level"]))
    both = Demands.of(study)
    np.testing.assert_array_equal(both.level, [[2.5, np.nan], [np.nan, 3.0]])
    np.testing.assert_array_equal(both.at(("b", "nowhere", "a")), [[np.nan, 3], [np.nan, np.nan], [2.5, np.nan]])
    np.testing.assert_array_equal(Demands.of(study, "v").level, [[4.0]])
    with pytest.raises(InputError, match="no demands by annotator 'w'"):
        Demands.of(study, "w")
    with pytest.raises(InputError, match="no rubric As"):
        Demands.of(study, rubrics=("As",))


def test_a_part_of_the_answered_items_may_be_rated_but_no_others():
    def study(answered, rated, listed=None):
        responses = pd.DataFrame({"model": "m", "item_id": answered, "score": 1.0})
        demands = pd.DataFrame({"item_id": rated, "rubric": "AS", "annotator": "a", "level": 1.0})
        return Study.of(None if listed is None else pd.DataFrame({"item_id": listed}), responses, demands)

    ten, more = [f"i{n}" for n in range(10)], [f"i{n}" for n in range(7, 17)]
    assert refuse_foreign_demands(study(ten, ten[:3])).share == pytest.approx(0.3)
    assert refuse_foreign_demands(study(ten, more, [*ten, *more[3:]])).share == pytest.approx(0.3)
    for foreign in (study(ten, more), study(ten, ["x"]), study(ten, ["x"], [*ten, "x"])):
        with pytest.raises(JoinError, match="use the same item_id in both tables"):
            refuse_foreign_demands(foreign)
