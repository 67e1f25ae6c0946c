"""Forecasts by clusters of items: larger models, small pass rates, benchmarks that are not predictable, the command."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capscope.data import Study
from capscope.errors import InputError
from capscope.forecast import ScalingSettings, item_scaling
from capscope.forecast.scaling_curves import Counts, Draws, fit_curve
from pins.running import run

MODELS, ITEMS = 10, 120


def ladder_study(rng: np.random.Generator, trials: int = 2, slope: float = 1.5) -> tuple[Study, pd.DataFrame]:
    """Ten models over 12 doublings on a benchmark that rises, and on one of guesses that does not."""
    x = np.r_[np.linspace(-1, 1, MODELS - 1), 1.3]
    ability = slope * x + 0.1 * rng.standard_normal(MODELS)
    known = 1 / (1 + np.exp(-(ability[:, None] - rng.normal(0.5, 1, ITEMS))))
    guess = np.full((MODELS, ITEMS), 0.25)
    share = rng.binomial(trials, np.hstack([known, guess])) / trials
    names = [f"m{row:02d}" for row in range(MODELS)]
    ids = [f"i{column:03d}" for column in range(2 * ITEMS)]
    items = pd.DataFrame({"item_id": ids, "benchmark": np.repeat(["rising", "guesses"], ITEMS), "task": "t"})
    answers = pd.DataFrame(share, index=names, columns=ids).rename_axis("model")
    long = answers.melt(ignore_index=False, var_name="item_id", value_name="score").reset_index()
    models = pd.DataFrame({"model": names, "size": np.exp2(6 * x), "tokens": 2.0, "date": "2025-01"})
    return Study.of(items, long.assign(n_trials=trials)), models


def test_the_largest_model_is_forecast_and_guesses_are_not_predictable() -> None:
    study, models = ladder_study(np.random.default_rng(1))
    result = item_scaling(study, models, settings=ScalingSettings(holdout=1, level=0.95))
    assert result.held_out is not None
    rows = result.held_out.set_index("benchmark")
    assert rows.loc["rising", "predictable"]
    assert rows.loc["rising", "lower"] <= rows.loc["rising", "observed"] <= rows.loc["rising", "upper"]
    assert abs(rows.loc["rising", "score"] - rows.loc["rising", "observed"]) < 0.08
    assert rows.loc["rising", "upper"] - rows.loc["rising", "lower"] < 0.3
    assert not rows.loc["guesses", "predictable"]
    assert "rises steadily" in rows.loc["guesses", "reason"]
    assert np.isnan(rows.loc["guesses", "score"])


@pytest.mark.slow
def test_a_size_far_beyond_the_ladder_is_not_predictable() -> None:
    study, models = ladder_study(np.random.default_rng(2))
    near, far = (
        item_scaling(study, models, settings=ScalingSettings(at={"size": size}, benchmark="rising")).benchmarks.iloc[0]
        for size in (400, 1e9)
    )
    assert near["predictable"]
    assert "lengths of the ladder" in far["reason"]


@pytest.mark.slow
def test_models_that_leave_the_curve_make_a_benchmark_not_predictable() -> None:
    study, models = ladder_study(np.random.default_rng(3), trials=8)
    assert study.responses is not None
    broken = study.responses.assign(
        score=np.where(study.responses["model"].astype(str) >= "m08", 0.05, study.responses["score"])
    )
    row = item_scaling(Study.of(study.items, broken), models).benchmarks.set_index("benchmark").loc["rising"]
    assert not row["predictable"]
    assert row["reason"].startswith("the largest")


def test_small_pass_rates_are_counts() -> None:
    """Rates of 1 in 20,000 to 1 in 100 lead on, although half of the models passed nothing."""
    rng = np.random.default_rng(4)
    scale = np.linspace(0, 7, 8)
    rate = 1 / (1 + np.exp(10 - 0.8 * scale))
    right = rng.binomial(3000, rate).astype(float)
    assert (right == 0).sum() >= 2
    curve = fit_curve(Counts(scale, right, np.full(8, 3000.0), 0.0))
    drawn = curve.rates(8.5, Draws.of(1, 4000, rng), 0)
    truth = 1 / (1 + np.exp(10 - 0.8 * 8.5))
    lower, middle, upper = np.quantile(drawn, [0.02, 0.5, 0.98])
    assert lower < truth < upper
    assert truth / 2.5 < middle < 2.5 * truth


def test_sampling_until_a_pass_has_the_likelihood_of_counts() -> None:
    """One pass in n samples says the same whether n was fixed or sampling stopped at the pass."""
    scale = np.linspace(0, 3, 6)
    right, trials = np.ones(6), np.array([900.0, 400.0, 150.0, 80.0, 30.0, 11.0])
    curve = fit_curve(Counts(scale, right, trials, 0.0))
    np.testing.assert_allclose(1 / curve.expected(scale), trials, rtol=0.5)


def test_odd_ladders_are_refused() -> None:
    study, models = ladder_study(np.random.default_rng(5))
    with pytest.raises(InputError, match="no two different values of tokens"):
        item_scaling(study, models, settings=ScalingSettings(at={"tokens": 4}))
    with pytest.raises(InputError, match="a ladder is made of"):
        item_scaling(study, models, settings=ScalingSettings(at={"family": "x"}))
    with pytest.raises(InputError, match="--holdout 7"):
        item_scaling(study, models, settings=ScalingSettings(holdout=7))
    with pytest.raises(InputError, match="give positive numbers"):
        item_scaling(study, models, settings=ScalingSettings(at={"size": "big"}))
    with pytest.raises(InputError, match="size of model 'm00' is 'seven'; write a positive number"):
        item_scaling(study, models.assign(size="seven", tokens=1, date=None))
    with pytest.raises(InputError, match="a ladder needs 5"):
        item_scaling(study, models.head(4))


@pytest.mark.slow
def test_a_benchmark_that_few_models_answered_is_said_to_be() -> None:
    study, models = ladder_study(np.random.default_rng(8))
    assert study.responses is not None
    answers = study.responses.astype({"model": str, "item_id": str})
    few = answers[(answers["item_id"] < f"i{ITEMS:03d}") | (answers["model"] < "m02")]
    near = models.assign(size=100 + np.arange(MODELS) * 1e-3)
    for facts, reason in ((models, "2 models of 2 scales answered it"), (near, "2 models of 2 scales answered it")):
        row = item_scaling(Study.of(study.items, few), facts).benchmarks.set_index("benchmark").loc["guesses"]
        assert reason in row["reason"]
        assert not row["predictable"]


@pytest.mark.slow
def test_the_command_prints_json_and_reasons(tmp_path: Path) -> None:
    study, models = ladder_study(np.random.default_rng(6))
    study.save(tmp_path / "study")
    command = ["forecast", "scaling", str(tmp_path / "study")]
    code, _, problem = run(command)
    assert code == 1
    assert "--models" in problem
    models.to_csv(tmp_path / "study" / "models.csv", index=False)
    code, printed, problem = run([*command, "--at", "size=200", "--json"])
    assert code == 0, problem
    answer = json.loads(printed)
    by_name = {row["benchmark"]: row for row in answer["benchmarks"]}
    assert by_name["guesses"]["score"] is None
    assert by_name["rising"]["lower"] < by_name["rising"]["score"] < by_name["rising"]["upper"]
    assert all(row["samples"] >= 1 for row in answer["clusters"])
    code, printed, _ = run([*command, "--holdout", "1"])
    assert code == 0
    assert "guesses: 1 model left out; not predictable" in printed


@pytest.mark.slow
def test_intervals_cover_and_what_cannot_be_predicted_is_refused() -> None:
    rng = np.random.default_rng(7)
    held = []
    for seed in range(80):
        study, models = ladder_study(rng, trials=1, slope=float(rng.uniform(1, 3)))
        result = item_scaling(study, models, settings=ScalingSettings(holdout=1, seed=seed))
        assert result.held_out is not None
        held.append(result.held_out)
    rows = pd.concat(held)
    guesses, rising = (rows[rows["benchmark"] == name] for name in ("guesses", "rising"))
    assert guesses["predictable"].mean() < 0.1
    kept = rising[rising["predictable"]]
    assert len(kept) > 0.9 * len(rising)
    inside = (kept["lower"] <= kept["observed"]) & (kept["observed"] <= kept["upper"])
    assert 0.72 <= inside.mean() <= 0.9
