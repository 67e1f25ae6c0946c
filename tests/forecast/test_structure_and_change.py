"""Structure of benchmarks and change over time, on planted tables."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capscope.errors import InputError
from capscope.forecast import forecast_structure, published_scores, score_change, series_signal
from capscope.forecast.change import local_lines, records
from capscope.forecast.explanations import reasons
from capscope.forecast.forecasters import HierarchicalForecaster
from capscope.forecast.structure import generalizability, maximum_likelihood_factors, varimax
from pins.running import run


def percent(logit: np.ndarray) -> np.ndarray:
    return 100 / (1 + np.exp(-logit))


def two_constructs(n: int = 150, trend: float = 0.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three benchmarks of one construct (two of them one test), three of another, and one of neither."""
    rng = np.random.default_rng(1)
    date = rng.uniform(2022, 2026, n)
    a, b, c = rng.normal(size=(3, n))
    noise = rng.normal(0, 0.25, (7, n))
    logit = np.array([a, a, 0.9 * a, b, b, 0.9 * b, c]) + noise * np.array([0.2, 0.2, 2, 2, 2, 2, 1])[:, None]
    logit = logit + trend * (date - 2024)
    names = ["know1", "know2", "know3", "code1", "code2", "code3", "odd"]
    scores = pd.DataFrame(percent(logit.T), columns=names)
    scores.insert(0, "model", [f"m{i}" for i in range(n)])
    return scores, pd.DataFrame(
        {"model": scores["model"], "date": [f"{int(y)}-{int(12 * (y % 1)) + 1:02d}" for y in date]}
    )


def test_redundant_pairs_lone_benchmarks_and_factors_are_found() -> None:
    scores, _ = two_constructs()
    found = forecast_structure(scores)
    result = found.as_dict()
    assert [(pair["first"], pair["second"]) for pair in result["redundant"]] == [("know1", "know2")]
    assert result["lone"] == ["odd"]
    best = found.factors.loc[found.factors["bic"].idxmin()]
    assert best["factors"] == 2
    assert best["cfi"] > 0.97
    assert best["rmsea"] < 0.1
    assert "Isolated benchmarks: odd" in found.as_text()
    pair = found.pairs.set_index(["first", "second"]).loc[("code1", "code2")]
    assert pair["rank_lower"] < pair["rank"] < pair["rank_upper"]


def test_a_common_trend_in_date_is_taken_off() -> None:
    scores, dates = two_constructs(trend=1.5)
    raw = forecast_structure(scores).pairs.set_index(["first", "second"])["correlation"]
    clean = forecast_structure(scores, dates)
    assert clean.without_trend
    corrected = clean.pairs.set_index(["first", "second"])["correlation"]
    assert raw["know1", "code1"] > 0.6
    assert abs(corrected["know1", "code1"]) < 0.2


def test_correlations_are_corrected_for_few_items() -> None:
    rng = np.random.default_rng(2)
    ability = rng.normal(0, 0.8, 400)
    rows = [
        {
            "model": f"m{i}",
            "benchmark": name,
            "score": 100 * rng.binomial(40, 1 / (1 + np.exp(-ability[i]))) / 40,
            "n": 40,
        }
        for i in range(400)
        for name in ("x", "y")
    ]
    pair = forecast_structure(pd.DataFrame(rows)).pairs.iloc[0]
    assert pair["correlation"] < 0.9
    assert pair["corrected"] == pytest.approx(1, abs=0.05)


def test_factor_analysis_recovers_planted_loadings() -> None:
    rng = np.random.default_rng(3)
    planted = np.zeros((8, 2))
    planted[:4, 0], planted[4:, 1] = rng.uniform(0.5, 0.9, 4), rng.uniform(0.5, 0.9, 4)
    matrix = planted @ planted.T
    np.fill_diagonal(matrix, 1)
    loading, unique = maximum_likelihood_factors(matrix, 2)
    np.testing.assert_allclose(unique, 1 - (planted**2).sum(1), atol=0.01)
    turned = varimax(loading)
    turned = turned if turned[0, 0] > 0.3 else turned[:, ::-1]
    np.testing.assert_allclose(turned, planted, atol=0.03)


def test_generalizability_of_known_variances() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(size=(3000, 1)) + rng.normal(size=(3000, 4))
    assert generalizability(values) == pytest.approx(0.8, abs=0.02)


def test_the_frontier_and_saturation_dates_are_recovered() -> None:
    rng = np.random.default_rng(5)
    date = np.sort(rng.uniform(2022, 2026, 60))
    ability = 1.2 * (date - 2024) - np.abs(rng.normal(0, 0.4, 60)) * (rng.random(60) < 0.7)
    intercept = np.array([1.0, 0.0, -1.0, -2.0])
    scores = pd.DataFrame(
        percent(ability[:, None] + intercept + rng.normal(0, 0.1, (60, 4))), columns=[f"b{j}" for j in range(4)]
    ).mask(rng.random((60, 4)) < 0.3)
    scores.insert(0, "model", [f"m{i}" for i in range(60)])
    models = pd.DataFrame({"model": scores["model"]})
    models["date"] = [str((pd.Timestamp("2022-01-01") + pd.Timedelta(days=365.25 * (d - 2022))).date()) for d in date]
    found = score_change(scores, models)
    # floors that are estimated for the two hardest benchmarks stretch their log-odds a little
    assert found.frontier["per_year"] == pytest.approx(1.2, rel=0.2)
    assert found.frontier["per_year_lower"] < found.frontier["per_year"] < found.frontier["per_year_upper"]
    assert found.frontier["doubling_months"] == pytest.approx(12 * np.log(2) / found.frontier["per_year"])
    due = 2024 + (np.log(0.95 / 0.05) - intercept) / 1.2
    np.testing.assert_allclose(found.benchmarks["saturates"], due, atol=0.9)
    assert (found.benchmarks["lower"] <= found.benchmarks["upper"]).all()
    assert "double every" in found.as_text()


def test_records_are_the_best_of_their_time() -> None:
    date = np.array([3.0, 1.0, 2.0, np.nan, 4.0])
    assert records(date, np.array([5.0, 1.0, 0.0, 9.0, 6.0])).tolist() == [True, True, False, False, True]


def test_signal_of_series_tells_clear_benchmarks_from_noisy_ones(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    step = np.tile(np.arange(20), 3)
    clear = percent(-1 + 0.1 * step + rng.normal(0, 0.05, 60))
    noisy = percent(rng.normal(0, 0.3, 60))
    names = [f"run{i // 20}@{step[i]}" for i in range(60)]
    pd.DataFrame({"model": names, "clear": clear, "noisy": noisy}).to_csv(tmp_path / "s.csv", index=False)
    pd.DataFrame({"model": names, "run": [n[:4] for n in names], "step": step}).to_csv(tmp_path / "m.csv", index=False)
    signal = series_signal(published_scores(tmp_path / "s.csv", tmp_path / "m.csv"), "run", "step").set_index(
        "benchmark"
    )
    assert signal.loc["clear", "signal_to_noise"] > 3
    assert signal.loc["noisy", "signal_to_noise"] < 1
    assert signal.loc["clear", "monotone"] > 0.9
    words = ["forecast", "change", str(tmp_path / "s.csv"), "--models", str(tmp_path / "m.csv"), "--json"]
    code, out, _ = run([*words, "--series", "run"])
    assert (code, json.loads(out)["benchmarks"][0]["benchmark"]) == (0, "clear")
    code, _, err = run(words)
    assert (code, err) == (1, "error: change over time needs the dates of at least 6 models; give them with --models\n")


def test_a_date_that_cannot_be_read_is_named() -> None:
    scores = pd.DataFrame({"model": [f"m{i}" for i in range(8)], "a": np.arange(8) * 9 + 5, "b": np.arange(8) * 8 + 9})
    for cell in ("soon", "2025-13", "third quarter"):
        models = pd.DataFrame({"model": scores["model"], "date": ["2024-01"] * 4 + [cell] * 4})
        with pytest.raises(InputError, match=f"date '{cell}' of model 'm4' cannot be read .4 dates in all.; write"):
            score_change(scores, models)
    models = pd.DataFrame({"model": scores["model"], "date": ["2024-01"] * 4 + [""] * 4})
    with pytest.raises(InputError, match="and 4 have one; give them with --models"):
        score_change(scores, models)


def test_scores_without_a_top_get_reasons_and_no_share_of_it() -> None:
    rng = np.random.default_rng(3)
    ability = np.linspace(-1, 1, 12)[:, None]
    values = 1200 + 150 * (ability + rng.normal(0, 0.1, (12, 3)))
    scores = pd.DataFrame(values.round(), columns=["arena elo", "code elo", "chess elo"])
    scores.insert(0, "model", [f"m{i}" for i in range(12)])
    models = pd.DataFrame({"model": scores["model"], "date": [f"2024-{i + 1:02d}" for i in range(12)]})
    some = models.assign(date=models["date"].mask(models["model"] == "m3", "soon").mask(models["model"] == "m5", ""))
    change = score_change(scores, some)
    assert "% of its top" not in change.as_text()
    assert change.notes[0].startswith("1 date cannot be read and the models are left out of the frontier: date 'soon'")
    assert change.notes[1] == "1 model has no date: left out of the frontier"
    fitted = HierarchicalForecaster(factors=1, questions=0).fit(published_scores(scores, models), 0)
    assert "code elo 1" in reasons(fitted, 0, np.array([0]))[0]


def test_a_smoother_of_lines_keeps_lines() -> None:
    time = np.arange(12.0)
    np.testing.assert_allclose(local_lines(time) @ (3 + 2 * time), 3 + 2 * time, atol=1e-6)


def test_structure_on_the_command_line(tmp_path: Path) -> None:
    scores, _ = two_constructs(40)
    scores.to_csv(tmp_path / "s.csv", index=False)
    code, out, _ = run(["forecast", "structure", str(tmp_path / "s.csv"), "--json"])
    assert code == 0
    assert set(json.loads(out)) >= {"pairs", "benchmarks", "factors", "redundant", "lone", "generalizability"}
    with pytest.raises(InputError, match="no two benchmarks share 8 models"):
        forecast_structure(scores.head(5))
