"""Co-occurrence, effective dimensions, contrasts and claims: by hand, by law and by coverage."""

import numpy as np
import pandas as pd
import pytest

from capscope.data import Demands, Study
from capscope.errors import InputError
from capscope.intervals import bootstrap_interval, cluster_draws
from capscope.profiles import check_claims, demand_contrast, demand_profile, demand_structure
from capscope.profiles.benchmark.model_spread import cluster_moments, filled
from capscope.profiles.benchmark.structure import effective_dimensions


def matrix(level: np.ndarray) -> Demands:
    dims = tuple("ABCDEF"[: level.shape[1]])
    return Demands(tuple(f"i{i:04d}" for i in range(len(level))), dims, level.astype(float))


def test_moments_of_resampled_clusters_are_those_of_the_stacked_rows() -> None:
    rng = np.random.default_rng(0)
    values, cluster, weight = rng.normal(3, 1, (40, 3)), rng.integers(0, 5, 40), rng.uniform(0.5, 2, 40)
    moments = cluster_moments(values, cluster, weight)
    mean, cov = moments.pooled(np.array([[2.0, 0, 1, 0, 3]]))
    rows = np.concatenate([np.flatnonzero(cluster == c) for c in (0, 0, 2, 4, 4, 4)])
    assert mean[0] == pytest.approx(np.average(values[rows], axis=0, weights=weight[rows]))
    assert cov[0] == pytest.approx(np.cov(values[rows].T, aweights=weight[rows], ddof=0))


def test_gaps_become_the_mean() -> None:
    assert filled(np.array([[1, np.nan], [3, np.nan], [np.nan, np.nan]])).tolist() == [[1, 0], [3, 0], [2, 0]]


def test_effective_dimensions_laws() -> None:
    rng = np.random.default_rng(0)
    line = rng.standard_normal((200, 1)) * np.ones(7)
    assert effective_dimensions(line, np.arange(200)).point == pytest.approx(1, abs=1e-3)
    values = rng.standard_normal((200, 5)) * [1, 2, 3, 1, 1]
    turned, _ = np.linalg.qr(rng.standard_normal((5, 5)))
    one, other = (effective_dimensions(x, np.arange(200)) for x in (values, values @ turned))
    assert one.point == pytest.approx(other.point)
    assert (one.lower, one.upper) == pytest.approx((other.lower, other.upper))
    assert np.isnan(effective_dimensions(np.ones((30, 3)), np.arange(30)).point)
    assert np.isnan(effective_dimensions(values[:2], np.arange(2)).point)


@pytest.mark.parametrize(("items", "tasks"), [(20, None), (60, None), (300, 30)])
def test_effective_dimensions_are_unbiased_and_covered(items: int, tasks: int | None) -> None:
    rng = np.random.default_rng(items)
    loading = np.hstack([np.kron(np.eye(2), np.ones((3, 1))) * 0.8, np.eye(6) * 0.6])
    cov = loading @ loading.T
    truth = np.trace(cov) ** 2 / (cov**2).sum()
    points, hits = [], []
    for _ in range(150):
        values, cluster = rng.standard_normal((items, 8)) @ loading.T, np.arange(items)
        if tasks:
            cluster = np.arange(items) % tasks
            values = 0.6 * (rng.standard_normal((tasks, 8)) @ loading.T)[cluster] + 0.8 * values
        found = effective_dimensions(values, cluster)
        assert found.lower <= found.point <= found.upper
        points.append(found.point)
        hits.append(found.lower <= truth <= found.upper)
    assert np.mean(points) == pytest.approx(truth, rel=0.05)
    assert 0.84 <= np.mean(hits) <= 0.99


def test_independent_levels_of_few_items_are_not_said_to_hang_together() -> None:
    values = np.random.default_rng(0).integers(0, 3, (20, 18)).astype(float)
    found = effective_dimensions(values, np.arange(20))
    assert found.lower <= found.point <= found.upper
    assert found.point > 15  # the ratio of the sample's covariance is 8.6


def test_structure_by_hand_and_under_permutation() -> None:
    level = np.array([[0, 0, 5], [3, 4, 1], [4, 5, 0], [1, 2, 3], [5, 5, 3], [2, 2, 1]])
    cluster = np.array(list("aabbcc"))
    found = demand_structure(matrix(level), cluster)
    assert found.both_high[0].tolist() == pytest.approx([3 / 6, 3 / 6, 1 / 6])
    assert found.correlation[0, 1] == pytest.approx(pd.Series(level[:, 0]).corr(pd.Series(level[:, 1]), "spearman"))
    top = found.pairs().iloc[0]
    assert (top["dim"], top["other"], top["lift"]) == ("A", "B", pytest.approx(2.0))
    order = np.random.default_rng(1).permutation(6)
    again = demand_structure(matrix(level[order]), cluster[order])
    assert again.effective_dims.point == pytest.approx(found.effective_dims.point)
    assert again.correlation == pytest.approx(found.correlation)


@pytest.mark.parametrize("tasks", [6, 20])
def test_contrast_intervals_cover_over_tasks(tasks: int) -> None:
    rng = np.random.default_rng(tasks)
    # forty dimensions are forty repetitions
    task = np.repeat(np.arange(tasks), 20)
    items = tuple(f"i{i:04d}" for i in range(len(task)))
    study = Study.of(pd.DataFrame({"item_id": items, "benchmark": "b", "task": task.astype(str), "text": "x"}))
    dims = tuple(f"D{d}" for d in range(40))
    hits = []
    for _ in range(5):
        drawn = [
            0.6 * rng.standard_normal((tasks, 40))[task] + 0.8 * rng.standard_normal((len(task), 40)) for _ in "ab"
        ]
        one, other = (Demands(items, dims, 2 + x) for x in (drawn[0] - 0.4, drawn[1]))
        table = demand_contrast((one, other), (study, study), rng, 0.9).table
        hits.append(((table["lower"] <= -0.4) & (table["upper"] >= -0.4)).mean())
    assert 0.84 <= np.mean(hits) <= 0.97


def test_bounds_of_a_contrast_stay_within_what_levels_allow() -> None:
    items = tuple("abcdef")
    study = Study.of(pd.DataFrame({"item_id": items, "benchmark": "b", "task": list("xxyyzz"), "text": "t"}))
    one, other = (Demands(items, ("A",), np.array([level]).T) for level in ([0.0, 0, 5, 5, 5, 5], [5.0, 5, 0, 0, 0, 0]))
    table = demand_contrast((one, other), (study, study), np.random.default_rng(0), 0.99).table
    assert (table["lower"][0], table["upper"][0]) == (-5, 5)


def test_bootstrap_interval_is_students_on_a_mean() -> None:
    values = np.random.default_rng(0).standard_normal(8)
    draws = cluster_draws(8, np.random.default_rng(1), 20_000) @ values / 8
    found = bootstrap_interval(float(values.mean()), draws, 8, 0.9)
    half = 1.895 * values.std(ddof=1) / np.sqrt(8)
    assert found.upper - found.lower == pytest.approx(2 * half, rel=0.03)
    assert np.isnan(bootstrap_interval(1.0, draws, 1).point)


def test_sets_without_a_common_dimension_are_refused() -> None:
    one, other = matrix(np.ones((3, 1))), Demands(("a",), ("Z",), np.ones((1, 1)))
    study = Study.of(pd.DataFrame({"item_id": ["a"]}))
    with pytest.raises(InputError, match="share no demand dimension"):
        demand_contrast((one, other), (study, study), np.random.default_rng(0))


def test_claims_are_measured_missed_or_not_made() -> None:
    # A: mean 2.5, s.d. 2.5; B the same; C does not spread; D is low
    level = np.array([[0, 5, 3, 0], [5, 0, 3, 1], [0, 5, 3, 0], [5, 0, 3, 1]])
    found = check_claims(demand_profile(matrix(level)), ("A", "C"))
    assert dict(zip(found.table["dim"], found.table["verdict"], strict=True)) == {
        "A": "measured",
        "B": "unclaimed",
        "C": "missed",
        "D": "",
    }
    assert (found.sensitivity, found.specificity, found.specific) == (0.5, 0.5, False)
    assert check_claims(demand_profile(matrix(level)), ("A", "B")).specific
    with pytest.raises(InputError, match="--claims: no levels of 'a'"):
        check_claims(demand_profile(matrix(level)), ("a",))
