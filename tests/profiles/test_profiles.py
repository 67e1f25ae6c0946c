"""Ability and demand profiles against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from capscope.data import Demands, LevelCounts, Study
from capscope.errors import InputError
from capscope.fit import CurveWorld, fit_curves, simulate_counts
from capscope.profiles import ability_profiles, demand_profile, general_factor_share, of_benchmark


@pytest.fixture(scope="module")
def posterior():
    rng = np.random.default_rng(0)
    n = np.zeros((5, 3, 6))
    n[:, :, 1:] = 200
    counts, _ = simulate_counts(n, CurveWorld(), rng)
    return fit_curves(counts, draws=200).posterior


def test_profile_table_is_the_posterior(posterior) -> None:
    profiles = ability_profiles(posterior, 0.8)
    assert len(profiles.table) == 15
    row = profiles.table.iloc[7]  # model 2, dim 1
    assert (row["model"], row["dim"]) == ("model-02", "D01")
    draws = posterior.ability[2, 1]
    assert row["ability"] == pytest.approx(draws.mean())
    assert (row["lower"], row["upper"]) == pytest.approx(tuple(np.quantile(draws, [0.1, 0.9])))
    assert row["answers"] == 1000
    assert row["classical"] == posterior.classical.ability[2, 1]


def test_one_model_comes_strongest_first(posterior) -> None:
    ability = ability_profiles(posterior).of("model-03")["ability"].to_numpy()
    assert (np.diff(ability) <= 0).all()


def test_general_share_is_one_for_one_factor_and_equal_shares_for_none() -> None:
    factor = np.random.default_rng(0).standard_normal(50)
    assert general_factor_share(factor[:, None] * np.array([1.0, 2, 0.5]) + 3) == pytest.approx(1)
    unrelated = np.random.default_rng(1).standard_normal((20000, 4))
    assert general_factor_share(unrelated) == pytest.approx(0.25, abs=0.01)
    assert np.isnan(general_factor_share(np.ones((1, 4))))


def test_general_share_has_an_interval_around_its_draws(posterior) -> None:
    share = ability_profiles(posterior).general_share
    by_hand = [general_factor_share(posterior.ability[..., draw]) for draw in range(200)]
    assert share.point == pytest.approx(np.mean(by_hand))
    assert share.lower <= share.point <= share.upper <= 1


def test_demand_profile_by_hand() -> None:
    level = np.array([[0.0, 3, 5], [2, 3, 1], [4, 3, np.nan], [1.5, 3, 0]])
    found = demand_profile(Demands(("a", "b", "c", "d"), ("X", "Y", "Z"), level))
    assert found.histogram.tolist() == [[1, 0, 2, 0, 1, 0], [0, 0, 0, 4, 0, 0], [1, 1, 0, 0, 0, 1]]
    rows = found.table.set_index("dim")
    assert rows["items"].tolist() == [4, 4, 3]
    assert rows.loc["X", "mean"] == pytest.approx(7.5 / 4)
    assert rows["dominant"].tolist() == [1, 2, 1]
    assert rows["sensitive"].tolist() == [False, False, True]  # Z: mean 2, s.d. 2.2; Y does not spread


def test_no_levels_is_one_line() -> None:
    with pytest.raises(InputError, match="no item has demand levels; annotate"):
        demand_profile(Demands(("a",), ("X",), np.full((1, 1), np.nan)))


def test_one_benchmark_of_a_study() -> None:
    items = pd.DataFrame({"item_id": ["a", "b", "c"], "benchmark": ["P", "P", "Q"], "task": "t", "text": "x y"})
    demands = pd.DataFrame({"item_id": ["a", "b", "c"], "rubric": "X", "annotator": "n", "level": [1, 2, 3]})
    study = Study.of(items, demands=demands)
    assert list(of_benchmark(study, "P").demands["item_id"]) == ["a", "b"]
    with pytest.raises(InputError, match="no benchmark 'R'; there are P, Q"):
        of_benchmark(study, "R")


def test_dropping_a_model_changes_no_classical_ability(posterior) -> None:
    counts = LevelCounts(posterior.models, posterior.dims, posterior.n, posterior.correct)
    rest = fit_curves(counts.take_models(list(posterior.models[:-1])), draws=10).posterior
    assert np.array_equal(rest.classical.ability, posterior.classical.ability[:-1])
