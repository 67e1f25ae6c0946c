"""Expected scores of whole benchmarks, such as forecasts, beside and without labels."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from capscope.errors import InputError
from capscope.predict import predict
from capscope.predict.scores.benchmark_effect import EffectSd
from capscope.predict.scores.expected import ExpectedScores, read_expected
from capscope.predict.scores.labels import Labels, LogOddsGrid, labelled_scores
from pins.running import run
from predict.simulated_study import simulated_study

PRIOR = EffectSd(1.0, 0.0, 0.5, 8.0).cautious()
EMPTY = (np.zeros(0, int), np.zeros(0, int), np.zeros(0))


def scored(n_labels: int, sd: float | None, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Scores of six models on a benchmark 1.5 log-odds harder than predicted, from labels and expected scores."""
    rng = np.random.default_rng(seed)
    line = rng.normal(0.5, 1, (6, 1)) + rng.normal(0, 1, (6, 400))
    score = (rng.random(line.shape) < expit(line - 1.5 + rng.normal(0, 0.4, (6, 1)))).astype(float)
    truth = score.mean(axis=1)
    expected = None
    if sd is not None:
        # forecasts of one benchmark err together: a correlation of .3
        error = sd * (np.sqrt(0.3) * rng.standard_normal() + np.sqrt(0.7) * rng.standard_normal(6))
        expected = ExpectedScores(logit(truth) + error, np.full(6, sd))
    model, item = (each.ravel() for each in np.indices((6, n_labels)))
    item = item + model * n_labels
    labels = Labels(model, item, score[model, item], expected=expected) if n_labels else Labels(*EMPTY, None, expected)
    return labelled_scores(LogOddsGrid.known(line), labels, PRIOR, rng, 0.8), truth


def test_expected_scores_are_reached_and_labels_add_to_them() -> None:
    error: dict[str, float] = {}
    for name, n_labels, sd in (("neither", 0, None), ("labels", 5, None), ("expected", 0, 0.3), ("both", 5, 0.3)):
        found = [scored(n_labels, sd, seed) for seed in range(6)]
        error[name] = float(np.mean([np.abs(table["score"] - truth).mean() for table, truth in found]))
    assert error["expected"] < 0.06 < error["labels"] < error["neither"]
    assert error["both"] <= error["expected"]


@pytest.mark.slow
@pytest.mark.parametrize("n_labels", [0, 5])
def test_intervals_from_expected_scores_cover(n_labels: int) -> None:
    found = [scored(n_labels, 0.3, seed) for seed in range(100)]
    inside = [(table["lower"] <= truth) & (truth <= table["upper"]) for table, truth in found]
    assert 0.76 <= np.mean(inside) <= 0.9


def test_a_wide_expectation_says_nothing() -> None:
    (vague, _), (none, _) = scored(5, 30.0, 3), scored(5, None, 3)
    np.testing.assert_allclose(vague["score"], none["score"], atol=0.03)


def test_a_table_in_percent_and_one_in_shares_are_the_same() -> None:
    share = pd.DataFrame({"model": ["m", "x"], "benchmark": "B", "score": 0.6, "lower": 0.5, "upper": 0.7})
    percent = share.assign(**{name: 100 * share[name] for name in ("score", "lower", "upper")}, unit="percent")
    one, other = (read_expected(table, ("m",), ("B",)) for table in (share, percent))
    pd.testing.assert_frame_equal(one, other)
    assert one["log_odds"].iloc[0] == pytest.approx(logit(0.6))
    assert read_expected(share.assign(level=0.95), ("m",), ("B",))["sd"].iloc[0] < one["sd"].iloc[0]
    with pytest.raises(InputError, match="no score is of a predicted model on B; it has C of m, x"):
        read_expected(share.assign(benchmark="C"), ("m",), ("B",))
    with pytest.raises(InputError, match="unit 'elo' has no top"):
        read_expected(share.assign(unit="elo"), ("m",), ("B",))
    with pytest.raises(InputError, match="must be ordered shares"):
        read_expected(share.assign(lower=0.8), ("m",), ("B",))


def test_the_command_takes_a_forecast(tmp_path: Path) -> None:
    study = simulated_study(2, n_models=5, n_items=120)
    items = study.require("items")
    ids = items["item_id"].astype(str)
    new = items["benchmark"] == "B1"
    past, unseen = (study.keep_items(pd.Index(ids[keep])) for keep in (~new, new))
    past.save(tmp_path / "past")
    unseen.save(tmp_path / "new")
    model = str(past.require("responses")["model"].iloc[0])
    forecast = {"model": [model], "benchmark": "B1", "score": 12.0, "lower": 10.0, "upper": 14.0, "unit": "percent"}
    pd.DataFrame(forecast).to_csv(tmp_path / "forecast.csv", index=False)
    command = ["predict", str(tmp_path / "past"), str(tmp_path / "new"), "--assessor", "mean", "--out"]
    code, _, problem = run([*command, str(tmp_path / "p.csv"), "--expected", str(tmp_path / "forecast.csv")])
    assert code == 0, problem
    chances = pd.read_csv(tmp_path / "p.csv")
    assert chances.loc[chances["model"] == model, "p"].mean() == pytest.approx(0.12, abs=0.05)
    plain = predict(past, unseen, assessor="mean").table
    assert plain.loc[plain["model"] == model, "p"].mean() > 0.2
