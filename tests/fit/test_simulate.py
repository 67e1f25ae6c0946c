"""Simulated studies have the shape and the truth that is asked for."""

import numpy as np
import pytest

from capscope.errors import InputError
from capscope.fit import fit, simulate


def test_a_simulated_study_has_the_shape_asked_for():
    study = simulate(6, 40, demands=("AS", "QLl"), benchmarks=3, share=0.5, chance=0.25, seed=1)
    assert study.responses["model"].nunique() == 6
    assert study.items["benchmark"].value_counts().max() <= 14
    assert set(study.items["chance"]) == {0.25}
    assert len(study.demands) == 80
    assert set(study.demands["level"]) <= set(range(6))
    assert len(study.responses) == pytest.approx(120, abs=30)
    again = simulate(6, 40, demands=("AS", "QLl"), benchmarks=3, share=0.5, chance=0.25, seed=1)
    assert again.responses.equals(study.responses)


def test_higher_demands_make_items_harder():
    study = simulate(40, 300, demands=("AS",), seed=0)
    right = study.responses.astype({"item_id": str}).groupby("item_id")["score"].mean()
    level = study.demands.set_index(study.demands["item_id"].astype(str))["level"].reindex(right.index)
    assert np.corrcoef(level, right)[0, 1] < -0.6


def test_a_fit_recovers_the_spread_of_a_simulated_study():
    abilities = fit(simulate(40, 200, "rasch", seed=3), "rasch").abilities()
    assert abilities["ability"].std(ddof=0) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("wrong", [{"n_models": 0}, {"share": 0.0}, {"chance": 1.0}, {"model": "4pl"}])
def test_what_cannot_be_simulated_is_one_line(wrong):
    with pytest.raises(InputError, match="simulate: "):
        simulate(**wrong)
