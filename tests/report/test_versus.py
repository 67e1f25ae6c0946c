"""Model against model, and predicted against observed: the laws they obey and the coverage of their bounds."""

import numpy as np
import pandas as pd
import pytest

from capscope.data import Study
from capscope.fit import IRTSettings, fit_irt
from capscope.intervals import jeffreys_interval
from capscope.report import SECTIONS
from capscope.report.section import irt_scores
from capscope.report.sections.calibration import BINS, expected_error, reliability
from capscope.report.sections.versus import MOST_MODELS, ahead, differences, rival_of
from fit.simulated import world_2pl
from report.worlds import DIMS


@pytest.fixture(scope="module")
def posterior(world):
    return world.fit.posterior


def test_chances_to_be_ahead_complement_each_other(posterior):
    overall = posterior.ability.mean(axis=1)
    found = ahead(posterior.models, overall)
    assert found["left_out"] == 0
    assert found["models"] == [posterior.models[row] for row in np.argsort(-overall.mean(axis=1))]
    for one in range(5):
        assert found["chance"][one][one] is None
        for two in set(range(5)) - {one}:
            assert found["chance"][one][two] + found["chance"][two][one] == pytest.approx(1)
    first, last = (posterior.models.index(found["models"][place]) for place in (0, -1))
    share = (overall[first] > overall[last]).mean()
    assert found["chance"][0][-1] == min(share, 1 - 0.5 / overall.shape[1]) < 1  # no certainty from draws


def test_equal_draws_are_even_and_many_models_are_cut_to_the_strongest():
    overall = np.repeat(np.arange(40.0)[:, None], 3, axis=1)
    overall[0] = overall[39]
    names = tuple(f"m{number}" for number in range(40))
    found = ahead(names, overall, keep=("m5",))
    assert found["left_out"] == 40 - MOST_MODELS - 1
    assert found["models"][-1] == "m5"
    assert found["chance"][0][1] == 0.5


def test_the_rival_stands_next_to_the_focus():
    assert rival_of(["a", "b", "c"], "a") == "b"
    assert rival_of(["a", "b", "c"], "c") == "b"
    assert rival_of(["a"], "a") is None


def test_differences_are_those_of_the_draws(posterior):
    one, two = posterior.models[:2]
    entries = differences(posterior, one, two, 0.9)
    values = [entry["value"] for entry in entries]
    assert values == sorted(values, reverse=True)
    turned = {entry["dim"]: entry for entry in differences(posterior, two, one, 0.9)}
    for entry in entries:
        gap = (
            posterior.ability[0, posterior.dims.index(entry["dim"])]
            - posterior.ability[1][posterior.dims.index(entry["dim"])]
        )
        assert entry["value"] == pytest.approx(gap.mean())
        assert (entry["lower"], entry["upper"]) == pytest.approx(tuple(np.quantile(gap, [0.05, 0.95])))
        assert turned[entry["dim"]]["value"] == pytest.approx(-entry["value"])


def test_expected_scores_are_the_mean_chances_of_the_fit():
    fit = fit_irt(world_2pl(12, 40)[1], IRTSettings(model="2pl"))
    draws = irt_scores(fit.posterior, np.random.default_rng(1))
    model, item = np.divmod(np.arange(12 * 40), 40)
    mean = fit.posterior.probability(model, item).reshape(12, 40).mean(axis=1)
    np.testing.assert_allclose(draws.mean(axis=1), mean, atol=0.01)


def test_bins_hold_every_answer_and_predict_what_came():
    rng = np.random.default_rng(0)
    chance = rng.random(20_000)
    score = (rng.random(20_000) < chance).astype(float)
    bins = reliability(chance, score, np.ones(20_000), np.arange(20_000), rng)
    assert len(bins) == BINS
    assert sum(entry["answers"] for entry in bins) == 20_000
    assert expected_error(bins) < 0.02
    shifted = reliability(np.clip(chance + 0.2, 0, 1), score, np.ones(20_000), np.arange(20_000), rng)
    assert expected_error(shifted) == pytest.approx(0.18, abs=0.02)


def test_bounds_of_observed_shares_cover_at_their_level():
    rng = np.random.default_rng(2)
    inside, total = 0, 0
    item = np.repeat(np.arange(60), 8)
    for _ in range(150):
        truth = np.repeat(rng.beta(2, 2, 60), 8)  # the answers to one item go together
        score = (rng.random(480) < truth).astype(float)
        (found,) = reliability(np.full(480, 0.5), score, np.ones(480), item, rng)
        inside += found["lower"] <= 0.5 <= found["upper"]
        total += 1
    assert 0.85 <= inside / total <= 0.95


def test_one_item_gives_no_bounds_and_no_answers_give_no_bin():
    rng = np.random.default_rng(0)
    (found,) = reliability(np.array([0.3, 0.3]), np.array([1.0, 0.0]), np.ones(2), np.zeros(2), rng)
    assert (found["lower"], found["upper"]) == (None, None)
    assert reliability(np.array([0.3]), np.array([1.0]), np.zeros(1), np.zeros(1), rng) == []


def test_bounds_have_a_width_where_all_answers_are_alike():
    rng = np.random.default_rng(0)
    (none_right,) = reliability(np.full(5, 0.05), np.zeros(5), np.ones(5), np.arange(5), rng)
    expected = jeffreys_interval(0.0, 5.0, 0.9)
    assert (none_right["lower"], none_right["upper"]) == (expected.lower, expected.upper)
    assert none_right["upper"] == pytest.approx(0.31, abs=0.01)
    (all_right,) = reliability(np.full(5, 0.95), np.ones(5), np.ones(5), np.arange(5), rng)
    assert (all_right["lower"], all_right["upper"]) == (pytest.approx(1 - none_right["upper"]), 1.0)


def test_with_the_study_each_answer_counts_once(world):
    rng = np.random.default_rng(0)
    ids = [f"q{number}" for number in range(30)]
    levels = np.array([[3, 3, 0, 0], [1, 2, 0, 0], [4, 4, 4, 4]] * 10, dtype=float)  # two in three have a tie
    columns = {"item_id": np.repeat(ids, 4), "rubric": np.tile(DIMS, 30), "level": levels.ravel(), "annotator": "a"}
    models = world.fit.posterior.models
    answers = {"model": np.repeat(models, 30), "item_id": np.tile(ids, 5), "score": rng.integers(0, 2, 150) * 1.0}
    study = Study.of(responses=pd.DataFrame(answers), demands=pd.DataFrame(columns))
    record = SECTIONS["calibration"].build(world.source(study=study))
    assert (record["kind"], record["answers"]) == ("in sample", 150)
    assert SECTIONS["calibration"].build(world.source())["kind"] == "in sample, by scale"
