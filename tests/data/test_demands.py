"""Levels of annotators of different severity in one column."""

import numpy as np
import pandas as pd
import pytest

from capscope.data import Demands, Study, known_levels
from capscope.data.demands import severity

N_ITEMS = 400


def rated(share_of_both: float, severity: float, seed: int = 0, noise: float = 0.4) -> tuple[pd.DataFrame, np.ndarray]:
    """Levels by two annotators, of which each rates half the items and both a share of them."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(1, 4, N_ITEMS)
    both = rng.random(N_ITEMS) < share_of_both
    first = rng.random(N_ITEMS) < 0.5
    ids = [f"i{number:03d}" for number in range(N_ITEMS)]
    rows = []
    for name, side, by in (("a", severity / 2, both | first), ("b", -severity / 2, both | ~first)):
        level = np.clip(truth + side + rng.normal(0, noise, N_ITEMS), 0, 5)
        rows.append(pd.DataFrame({"item_id": ids, "annotator": name, "level": level})[by])
    return pd.concat(rows, ignore_index=True).assign(rubric="AS"), truth


def test_leniency_is_recovered_from_few_common_items() -> None:
    demands, _ = rated(share_of_both=0.15, severity=1.2)
    found = pd.Series(severity(demands)).groupby(demands["annotator"]).first()
    assert found["a"] - found["b"] == pytest.approx(1.2, abs=0.15)
    assert found.sum() == pytest.approx(0, abs=1e-12)


def test_levels_come_closer_to_the_truth_than_plain_means() -> None:
    demands, truth = rated(share_of_both=0.15, severity=1.2)
    adjusted = Demands.of(Study.of(demands=demands)).level[:, 0]
    plain = demands.groupby("item_id")["level"].mean().to_numpy()
    assert np.std(adjusted - truth) < 0.75 * np.std(plain - truth)


def test_cells_that_everyone_rated_keep_their_mean() -> None:
    demands, _ = rated(share_of_both=1.0, severity=1.0)
    plain = demands.groupby("item_id")["level"].mean().to_numpy()
    np.testing.assert_allclose(Demands.of(Study.of(demands=demands)).level[:, 0], plain, atol=1e-8)


def test_annotators_without_common_items_count_as_alike() -> None:
    demands, _ = rated(share_of_both=0.0, severity=1.0)
    assert (severity(demands) == 0).all()


def test_one_annotator_more_who_rates_alike_changes_little() -> None:
    demands, _ = rated(share_of_both=0.3, severity=1.0)
    again = pd.concat([demands, demands[demands["annotator"] == "a"].assign(annotator="c")])
    found = pd.Series(severity(again)).groupby(again["annotator"].to_numpy()).first()
    assert found["a"] == pytest.approx(found["c"], abs=0.05)
    assert found["a"] - found["b"] == pytest.approx(1.0, abs=0.15)


def test_a_single_rating_is_less_sure_than_the_mean_of_two() -> None:
    demands, truth = rated(share_of_both=0.5, severity=0.8, noise=0.5)
    ids = tuple(sorted(demands["item_id"].unique()))
    level, sd = known_levels(Study.of(demands=demands), ids)
    twice = (demands.groupby("item_id").size() == 2).to_numpy()
    assert sd[~twice].mean() / sd[twice].mean() == pytest.approx(np.sqrt(2))
    error = (level[:, 0] - truth) / sd[:, 0]
    assert 0.9 < error[twice].std() < 1.1
    assert 0.9 < error[~twice].std() < 1.1


def test_fused_levels_are_as_sure_as_the_fusion_says() -> None:
    demands, _ = rated(share_of_both=0.5, severity=0.8, noise=0.5)
    mean = demands.groupby("item_id", as_index=False)["level"].mean()
    fused = mean.assign(annotator="fused", rubric="AS", sd=0.05)
    study = Study.of(demands=pd.concat([demands, fused], ignore_index=True))
    level, sd = known_levels(study, tuple(mean["item_id"]))
    np.testing.assert_allclose(level[:, 0], mean["level"])
    np.testing.assert_allclose(sd, 0.05)
