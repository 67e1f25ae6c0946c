import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from annotate.helpers import two_annotators
from capscope.annotate import agreement
from capscope.annotate import rater_agreement as stats
from capscope.annotate.rater_agreement import low_spread, mostly_chance, same_item_warnings
from capscope.data import Study
from capscope.errors import InputError


@pytest.fixture
def pair(rng):
    left = rng.integers(0, 6, 400).astype(float)
    right = np.clip(left + rng.integers(-2, 3, 400), 0, 5).astype(float)
    return left, right


def test_kappa_equals_the_table_form(pair):
    left, right = pair
    table = cohen_kappa_score(left.astype(int), right.astype(int), weights="quadratic")
    assert stats.quadratic_weighted_kappa(left, right) == pytest.approx(table, abs=1e-12)


def test_alpha_of_a_worked_example():
    # Four units, two raters; by hand: values 1, 2, 3 with totals 3, 3, 2 have squared ordinal distances
    # 9 (1-2), 6.25 (2-3), 30.25 (1-3); observed 2 * 9 + 2 * 6.25, expected 2 * (81 + 37.5 + 181.5) / 7.
    left, right = np.array([1.0, 1.0, 2.0, 3.0]), np.array([1.0, 2.0, 2.0, 3.0])
    assert stats.krippendorff_alpha(left, right) == pytest.approx(1 - 7 * 18 / (2 * (9 * 9 + 6 * 6.25 + 6 * 30.25)))


def test_alpha_is_one_zero_and_undefined_where_it_should_be(rng):
    levels = rng.integers(0, 6, 5000).astype(float)
    assert stats.krippendorff_alpha(levels, levels) == 1
    assert abs(stats.krippendorff_alpha(levels, rng.permutation(levels))) < 0.05
    assert np.isnan(stats.krippendorff_alpha(np.ones(5), np.ones(5)))
    assert np.isnan(stats.quadratic_weighted_kappa(np.ones(5), np.ones(5)))


def test_r_wg_flatters_raters_who_say_the_same_about_everything(rng):
    left, right = (rng.random((2, 2000)) < 0.1).astype(float)
    assert stats.r_within_group(left, right) > 0.9
    assert abs(stats.quadratic_weighted_kappa(left, right)) < 0.1


def test_spearman_within_groups_ignores_what_groups_share(rng):
    group = np.repeat(["a", "b"], 200)
    shift = np.where(group == "a", 0.0, 4.0)
    left, right = shift + rng.random(400), shift + rng.random(400)
    assert stats.spearman(left, right) > 0.6
    assert abs(stats.spearman_within(left, right, group)) < 0.15


def test_the_published_pair_of_annotators():
    result = agreement(two_annotators(), "gpt-4o", seed=0)
    found = result.annotators["gemini"]
    assert found.items == 10_330
    assert found.qwk == pytest.approx(0.423, abs=0.005)
    assert found.r_wg == pytest.approx(0.825, abs=0.005)
    assert found.exact == pytest.approx(0.549, abs=0.005)
    assert len(found.by_rubric) == 18
    # One set in this pair has its ids out of step; the others do not.
    shuffled = [line.split(":")[0] for line in found.warnings if "same-id" in line]
    assert shuffled == ["Text_Navigation"]
    plain = result.as_dict()
    assert set(plain["annotators"]["gemini"]) >= {"items", "qwk", "alpha", "spearman", "r_wg", "exact", "by_rubric"}


def test_shuffled_ids_are_noticed_and_true_ones_are_not(rng):
    x = rng.integers(0, 6, (60, 4)).astype(float)
    y = np.clip(x + rng.integers(-1, 2, x.shape), 0, 5)
    group = np.repeat("one", 60)
    assert same_item_warnings(x, y, group, rng) == ()
    assert "same-id agreement" in same_item_warnings(x, y[rng.permutation(60)], group, rng)[0]


def test_constant_labels_raise_the_low_spread_alarm():
    levels = np.column_stack([np.full(30, 5.0), np.arange(30.0) % 6])
    assert "1 of 2 rubrics: A" in low_spread(levels, ("A", "B"), "tiny")[0]


def test_levels_that_differ_less_than_they_are_uncertain_raise_an_alarm(rng):
    levels = np.column_stack([rng.normal(2.5, 0.3, 40), rng.integers(0, 6, 40)]).astype(float)
    assert "1 rubric: A" in mostly_chance(levels, np.full((40, 2), 1.5), ("A", "B"), "tiny")[0]
    assert mostly_chance(levels, np.full((40, 2), np.nan), ("A", "B"), "tiny") == ()


def test_partial_overlap_is_compared_rubric_by_rubric():
    rows = [("i1", "A", "x", 1), ("i1", "A", "y", 1), ("i2", "B", "x", 2), ("i2", "B", "y", 4), ("i3", "A", "x", 3)]
    demands = pd.DataFrame(rows, columns=["item_id", "rubric", "annotator", "level"])
    found = agreement(Study.of(demands=demands), "x", seed=0).annotators["y"]
    assert (found.items, found.by_rubric["A"].items, found.by_rubric["B"].items) == (2, 1, 1)
    assert found.exact == 0.5


def test_one_annotator_cannot_agree():
    demands = pd.DataFrame({"item_id": ["a"], "rubric": ["A"], "annotator": ["x"], "level": [1]})
    with pytest.raises(InputError, match="agreement takes two"):
        agreement(Study.of(demands=demands), "x", seed=0)
