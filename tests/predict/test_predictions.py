"""Predictions from curves: stated uncertainty of the levels is carried, and coverage holds on simulated items."""

import numpy as np
import pandas as pd
import pytest

from capscope.data import Demands, Responses, Study
from capscope.errors import InputError
from capscope.fit import CurvePosterior, CurveWorld, IRTSettings, fit_curves, fit_irt, simulate_counts
from capscope.predict import Predictions, predict_from_curves, predict_from_irt
from predict.simulated_study import simulated_study


@pytest.fixture(scope="module")
def posterior() -> CurvePosterior:
    rng = np.random.default_rng(0)
    n = np.zeros((8, 3, 6))
    n[:, :, 1:] = 400
    counts, _ = simulate_counts(n, CurveWorld(), rng)
    return fit_curves(counts, draws=400).posterior


def matrix(level: list[list[float]], sd: list[list[float]] | None = None) -> Demands:
    items = tuple(f"q{number}" for number in range(len(level)))
    return Demands(items, ("D00", "D01", "D02"), np.array(level), None if sd is None else np.array(sd))


def test_uncertain_levels_widen_the_interval(posterior: CurvePosterior) -> None:
    sure = predict_from_curves(posterior, matrix([[3.0, 0, 0]]), np.random.default_rng(1)).table
    unsure = predict_from_curves(posterior, matrix([[3.0, 0, 0]], [[1.0, 0, 0]]), np.random.default_rng(1)).table
    wider = (unsure["upper"] - unsure["lower"]) / (sure["upper"] - sure["lower"])
    assert (wider > 1.2).all()


def test_columns_are_matched_by_name(posterior: CurvePosterior) -> None:
    swapped = Demands(("q0",), ("D02", "D00", "D01"), np.array([[0.0, 4, 1]]))
    found = predict_from_curves(posterior, swapped, np.random.default_rng(1)).table
    expected = predict_from_curves(posterior, matrix([[4.0, 1, 0]]), np.random.default_rng(1)).table
    pd.testing.assert_frame_equal(found, expected)


def test_score_is_the_mean_of_the_chances_and_its_interval_shrinks_with_more_items(posterior: CurvePosterior) -> None:
    few, many = (
        predict_from_curves(posterior, matrix([[2.0, 1, 0]] * count), np.random.default_rng(2)) for count in (5, 200)
    )
    means = many.table.groupby("model")["p"].mean()
    np.testing.assert_allclose(many.scores.set_index("model")["score"], means[list(many.scores["model"])])
    width = [(each.scores["upper"] - each.scores["lower"]).mean() for each in (few, many)]
    assert width[1] < width[0]


def test_the_headline_names_the_best_model_its_rivals_and_the_easiest_benchmark() -> None:
    scores = pd.DataFrame(
        {"model": ["m", "n", "o"], "score": [0.4, 0.7, 0.6], "lower": [0.3, 0.5, 0.55], "upper": [0.45, 0.9, 0.65]}
    )
    both = pd.concat([scores.assign(benchmark="a"), scores.assign(benchmark="b", score=scores["score"] - 0.1)])
    support = pd.DataFrame({"item_id": ["x", "y"], "in_support": True})
    table = pd.DataFrame({"model": ["m"]})
    lines = Predictions(table, scores, support, 0.9, both).headline().splitlines()
    assert lines[0].startswith("n is expected to score 0.700 (0.500 to 0.900) on 2 items (90 % interval)")
    assert lines[1] == (
        "next is o with 0.600 (0.550 to 0.650); the intervals of 1 of the 2 other models overlap with that of n"
    )
    assert lines[2] == "of 2 benchmarks, a has the highest mean score (0.567), b the lowest (0.467)"
    assert Predictions(table, scores.head(1), support, 0.9).headline() == (
        "m is expected to score 0.400 (0.300 to 0.450) on 2 items (90 % interval)"
    )


def test_missing_demands_are_one_line(posterior: CurvePosterior) -> None:
    with pytest.raises(InputError, match="no demands on D02, which the fit needs; annotate"):
        predict_from_curves(posterior, Demands(("a",), ("D00", "D01"), np.zeros((1, 2))), np.random.default_rng(0))
    with pytest.raises(InputError, match="1 item lacks some demand levels: q1; annotate"):
        predict_from_curves(posterior, matrix([[1.0, 1, 1], [1, np.nan, 1]]), np.random.default_rng(0))


def test_item_response_chances_are_known_for_known_items_and_wide_for_new_ones() -> None:
    responses = Responses.of(simulated_study(n_models=20, n_items=150))
    fit = fit_irt(responses, IRTSettings(model="2pl", form="signed")).posterior
    found = predict_from_irt(fit, ("i0003", "i0100", "unseen"), np.random.default_rng(0))
    assert found.support["in_support"].tolist() == [True, True, False]
    table = found.table.assign(width=found.table["upper"] - found.table["lower"])
    assert table.groupby("item_id")["width"].mean().idxmax() == "unseen"
    known = table[table["item_id"] == "i0003"].set_index("model")["p"]
    model = np.arange(20)
    expected = fit.probability(model, np.full(20, fit.items.index("i0003")))
    np.testing.assert_allclose(known[list(fit.models)], expected, atol=0.06)


def test_benchmark_scores_cover_what_models_go_on_to_score() -> None:
    rng = np.random.default_rng(4)
    hits = []
    for seed in range(6):
        study = simulated_study(seed, n_models=30, n_items=300)
        responses = Responses.of(study)
        asked = responses.item_index < 200
        fit = fit_irt(responses.rows(asked), IRTSettings(model="rasch")).posterior
        test = tuple(responses.items[item] for item in range(200, 300))
        fresh = tuple(f"new-{item}" for item in test)
        scores = predict_from_irt(fit, fresh, rng, 0.9).scores.set_index("model").loc[list(responses.models)]
        came = np.array([responses.score[~asked & (responses.model_index == m)].mean() for m in range(30)])
        hits.append(((scores["lower"] <= came) & (came <= scores["upper"])).mean())
    assert 0.8 <= np.mean(hits) <= 1.0


def test_fused_levels_stand_in_for_their_annotators_and_carry_their_spread() -> None:
    demands = pd.DataFrame(
        {
            "item_id": "a",
            "rubric": "X",
            "annotator": ["one", "two", "fused"],
            "level": [1.0, 5.0, 2.5],
            "sd": [np.nan, np.nan, 0.7],
        }
    )
    study = Study.of(demands=demands)
    fused, one = Demands.of(study), Demands.of(study, "one")
    assert (fused.level[0, 0], fused.sd[0, 0]) == (2.5, 0.7)
    assert (one.level[0, 0], one.sd) == (1.0, None)
    both = Study.of(demands=demands.iloc[:2].assign(sd=[0.6, 0.8]))
    assert Demands.of(both).sd[0, 0] == pytest.approx(np.sqrt(0.36 + 0.64) / 2)
