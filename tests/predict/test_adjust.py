"""Labels and past benchmarks move log-odds, mean and standard deviation, and leave everything else where it was."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from capscope.predict import Chances, predict
from capscope.predict.features import support_table
from capscope.predict.predictions import CellPredictions
from capscope.predict.scores.benchmark import read_past_effects, with_benchmark_effects
from capscope.predict.scores.benchmark_effect import EffectSd
from predict.simulated_study import simulated_study

NO_EFFECT = EffectSd(0.0, 0.0, 0.0, 1000.0)
"""Thousand past benchmarks came out as predicted."""


def cells(mean: float, sd: float, shared: float = 0.0, n_items: int = 40) -> CellPredictions:
    items = tuple(f"i{number:02d}" for number in range(n_items))
    row = np.ones(n_items)
    chances = Chances.from_moments(mean * row, sd * row)
    chances = Chances(chances.probability, chances.log_odds_mean, chances.log_odds_sd, shared * row)
    support = support_table(items, np.full(n_items, ""), np.zeros(n_items, dtype=bool), np.zeros(n_items))
    scores = pd.DataFrame({"model": ["m"], "score": [0.5], "lower": [0.0], "upper": [1.0]})
    return CellPredictions(
        models=("m",),
        items=items,
        benchmark=("B",) * n_items,
        chances=chances,
        bounds=chances.bounds(),
        level=0.9,
        scores=scores,
        support=support,
    )


def test_an_uncertain_chance_keeps_its_centre() -> None:
    """Mean log-odds 3.52 with sd 2: the chance is expit(2.2), and the centre of its interval stays 3.52."""
    before = cells(3.52, 2.0)
    assert logit(before.chances.probability[0]) == pytest.approx(2.2, abs=0.01)
    after = with_benchmark_effects(before, NO_EFFECT, None, 0)
    lower, upper = (logit(side) for side in after.bounds)
    # the grid of effects keeps a shared part of .05 log-odds
    np.testing.assert_allclose((lower + upper) / 2, 3.52, atol=1e-6)
    np.testing.assert_allclose(upper - lower, 2 * 1.6449 * 2.0, rtol=0.01)
    np.testing.assert_allclose(after.chances.probability, before.chances.probability, atol=0.002)


def test_the_effect_of_the_benchmark_takes_the_place_of_what_its_items_share() -> None:
    after = with_benchmark_effects(cells(1.0, 2.0, shared=1.6), EffectSd(1.6, 0.0, 0.0, 1000.0), None, 0)
    np.testing.assert_allclose(after.chances.log_odds_sd, 2.0, rtol=0.03)
    np.testing.assert_allclose(after.chances.log_odds_mean, 1.0, atol=1e-6)
    np.testing.assert_allclose(after.chances.probability, cells(1.0, 2.0).chances.probability, atol=0.01)


def test_labels_move_the_mean_by_what_they_say() -> None:
    before = cells(0.0, 1.0, n_items=400)
    truth = expit(1.2 + np.random.default_rng(0).standard_normal(400))
    answers = (np.random.default_rng(1).random(400) < truth).astype(float)
    labels = pd.DataFrame({"model": "m", "item_id": before.items, "score": answers}).iloc[::2]
    after = with_benchmark_effects(before, EffectSd(1.0, 0.0, 0.3, 20.0), labels, 0)
    assert after.chances.log_odds_mean.mean() == pytest.approx(1.2, abs=0.35)
    assert after.chances.log_odds_sd.mean() == pytest.approx(1.0, abs=0.05)
    score = after.benchmark_scores["score"].iloc[0]
    assert score == pytest.approx(truth.mean(), abs=0.05)


def test_a_label_of_four_trials_is_four_labels() -> None:
    before = cells(0.0, 1.0)
    whole = pd.DataFrame({"model": "m", "item_id": before.items[:8], "score": 0.75, "n_trials": 4.0})
    single = whole.loc[whole.index.repeat(4)].assign(score=[1.0, 1.0, 1.0, 0.0] * 8, n_trials=1.0)
    past = EffectSd(1.0, 0.0, 0.3, 20.0)
    one, four = (with_benchmark_effects(before, past, labels, 0) for labels in (whole, single))
    np.testing.assert_allclose(one.chances.log_odds_mean, four.chances.log_odds_mean, atol=0.15)
    # eight items are known, whatever number of rows says so
    known = [each.benchmark_scores["score"].iloc[0] for each in (one, four)]
    assert known[0] == pytest.approx(known[1], abs=0.02)
    assert max(known) < 1


def test_past_effects_are_measured_on_log_odds() -> None:
    """All benchmarks lie 1.5 log-odds above wide predictions: the effect is 1.5, not what the chances show of it."""
    rng = np.random.default_rng(0)
    shift = 1.5 * np.resize([1.0, -1.0], 40)
    rows = []
    for benchmark, by in enumerate(shift):
        mean, sd = rng.normal(0, 1, 300), 2.0
        chance = Chances.from_moments(mean, np.full(300, sd))
        score = (rng.random(300) < expit(mean + by + sd * rng.standard_normal(300))).astype(float)
        rows.append(
            pd.DataFrame(
                {"assessor": "a", "seed": 0, "fold": benchmark, "model": "m", "benchmark": f"B{benchmark}"}
                | {"score": score, "chance": chance.probability, "log_odds_mean": mean, "log_odds_sd": sd}
            )
        )
    table = pd.concat(rows)
    assert read_past_effects(table).own == pytest.approx(1.5, abs=0.15)
    # a table without log-odds still works, on the log-odds of its chances
    assert read_past_effects(table.drop(columns=["log_odds_mean", "log_odds_sd"])).own < 1.2
    # what the items of a benchmark share is the effect itself, and is taken off the spread
    shared = table.assign(log_odds_sd=np.hypot(table["log_odds_sd"], 1.5), shared_sd=1.5)
    assert read_past_effects(shared).own == pytest.approx(read_past_effects(table).own, rel=1e-6)


def test_parts_still_add_up_after_labels() -> None:
    study = simulated_study(2, n_models=5, n_items=120)
    new = study.require("items")["benchmark"] == "B1"
    ids = study.require("items")["item_id"].astype(str)
    past, unseen = (study.keep_items(pd.Index(ids[keep])) for keep in (~new, new))
    labels = unseen.require("responses").groupby("model", observed=True).head(6)
    for given in (None, labels):
        found = predict(past, unseen, assessor="explanatory", labels=given, explain=True)
        assert found.parts is not None
        assert found.chances is not None
        assert ("benchmark effect" in set(found.parts["part"])) == (given is not None)
        summed = found.parts.groupby(["model", "item_id"])["log_odds"].sum()
        cells = pd.MultiIndex.from_frame(found.table[["model", "item_id"]])
        np.testing.assert_allclose(summed.loc[cells], found.chances.log_odds_mean, atol=1e-9)
