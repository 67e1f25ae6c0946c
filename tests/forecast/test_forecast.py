"""Forecasts of missing scores: planted factors, odd cells, reasons, scores to get next, the command line."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capscope.errors import InputError
from capscope.forecast import (
    FORECASTERS,
    HIDINGS,
    Forecast,
    ForecastEvaluationSettings,
    ForecastSettings,
    evaluate_forecast,
    forecast,
    hidden_cells,
    published_scores,
)
from forecast.planted import planted_table
from pins.running import run

WRONG = ("f", "bencha")


@pytest.fixture(scope="module")
def planted() -> tuple[Forecast, pd.DataFrame, str]:
    """A forecast of a planted table in which one cell is wrong."""
    visible, full, models = planted_table(3)
    row = int(np.flatnonzero(visible["bencha"].notna() & (full["bencha"] > 50))[0])
    visible.loc[row, "bencha"] = 3.0
    return forecast(visible, models), full, str(visible.loc[row, "model"])


def test_missing_scores_are_covered_and_near(planted: tuple[Forecast, pd.DataFrame, str]) -> None:
    result, full, _ = planted
    truth = full.set_index("model")
    cells = result.cells
    known = np.array([truth.loc[m, b] for m, b in zip(cells["model"], cells["benchmark"], strict=True)])
    inside = (cells["lower"] <= known) & (known <= cells["upper"])
    assert 0.72 <= inside.mean() <= 0.9
    assert np.median(np.abs(cells["score"] - known)) < 0.5 * np.median(np.abs(known - truth.mean()[cells["benchmark"]]))


def test_a_wrong_cell_is_named_first(planted: tuple[Forecast, pd.DataFrame, str]) -> None:
    result, _, model = planted
    assert (result.odd.loc[0, "model"], result.odd.loc[0, "benchmark"]) == (model, "bencha")
    assert len(result.odd) <= 4


def test_reasons_name_scores_and_facts(planted: tuple[Forecast, pd.DataFrame, str]) -> None:
    result, _, _ = planted
    assert result.cells["reason"].str.contains(r"bench[a-l] \d").mean() > 0.9
    assert result.cells["reason"].str.contains("scale").any()
    assert len(result.as_text().splitlines()) < 70
    assert "lower" in result._repr_html_()


def test_three_scores_to_get_next_explain_more_and_more(planted: tuple[Forecast, pd.DataFrame, str]) -> None:
    explained = planted[0].next["explains"].to_numpy()
    assert len(explained) == 3
    assert (np.diff(explained) >= 0).all()
    assert 0 < explained[0] < explained[-1] < 1


def test_an_added_model_follows_its_scores() -> None:
    visible, _, models = planted_table(4, n=40, d=8)
    quick = ForecastSettings(add="new", benchmark="benchc")
    low, high = (
        forecast(visible, models, replace(quick, add_scores={"bencha": score, "benchb": score})).cells.iloc[0]
        for score in (5.0, 95.0)
    )
    assert low["score"] + 10 < high["score"]
    assert low["upper"] < high["upper"]
    assert low["lower"] < high["lower"]


def test_facts_alone_forecast_a_model() -> None:
    visible, _, models = planted_table(5, n=30, d=5)
    small, large = (
        forecast(visible, models, ForecastSettings(at={"size": size})).cells["score"].mean() for size in ("0.5", "200")
    )
    assert small < large
    with pytest.raises(InputError, match="says nothing of the tokens"):
        forecast(visible, models, ForecastSettings(at={"tokens": "3"}))


def test_hidden_cells_keep_what_they_should() -> None:
    visible, _, models = planted_table(6)
    table = published_scores(visible, models)
    known = np.isfinite(table.values)
    half = hidden_cells(table, "half", 0)
    assert (half.sum(1) == known.sum(1) // 2).all()
    for name in HIDINGS:
        hidden = hidden_cells(table, name, 1)
        assert not (hidden & ~known).any()
        np.testing.assert_array_equal(hidden, hidden_cells(table, name, 1))
    rows = hidden_cells(table, "family", 0).any(1)
    assert ((known & ~hidden_cells(table, "family", 0))[rows].sum(1) == 2).all()
    largest = hidden_cells(table, "largest", 0).any(1)
    assert models["size"][largest].min() >= models["size"][~largest].max()


@pytest.mark.parametrize("name", list(FORECASTERS))
def test_every_forecaster_is_measured(name: str) -> None:
    visible, _, models = planted_table(7, n=30, d=5)
    settings = ForecastEvaluationSettings(seeds=1, forecaster=name)
    result = evaluate_forecast(visible, models, settings)
    assert result.median_error < 12
    assert 0.5 < result.coverage80 <= 1


def test_evaluation_on_the_command_line(tmp_path: Path) -> None:
    visible, _, models = planted_table(8, n=30, d=5)
    visible.to_csv(tmp_path / "scores.csv", index=False)
    models.to_csv(tmp_path / "models.csv", index=False)
    words = ["forecast", "evaluate", str(tmp_path / "scores.csv"), "--models", str(tmp_path / "models.csv")]
    code, out, _ = run([*words, "--hide", "new-benchmark", "--seeds", "1", "--json"])
    assert code == 0
    result = json.loads(out)
    assert list(result) == [
        "hide",
        "n_hidden",
        "median_error",
        "mean_error",
        "coverage80",
        "width80",
        "seconds",
        "by_benchmark",
    ]
    code, _, err = run([*words, "--hide", "thirds"])
    assert (code, err) == (1, "error: --hide thirds: use one of half, family, largest, new-benchmark\n")


def test_forecast_on_the_command_line(tmp_path: Path) -> None:
    visible, _, _ = planted_table(9, n=24, d=5)
    path = tmp_path / "scores.csv"
    visible.to_csv(path, index=False)
    words = ["forecast", str(path), "--add-model", "mine", "--scores", "bencha=62,benchb=40%"]
    code, out, _ = run([*words, "--json", "--out", str(tmp_path / "cells.csv")])
    assert code == 0
    assert json.loads(out)["n_cells"] == 3 == len(pd.read_csv(tmp_path / "cells.csv"))
    code, _, err = run([*words[:-1], "bencha=much"])
    assert code == 1
    assert err.startswith("error: --scores bencha=much: not a number")


@pytest.mark.slow
def test_intervals_cover_over_many_planted_tables() -> None:
    inside: list[float] = []
    for seed in range(40):
        visible, full, models = planted_table(100 + seed, rank=1 + seed % 3)
        cells = forecast(visible, models).cells
        truth = full.set_index("model")
        known = np.array([truth.loc[m, b] for m, b in zip(cells["model"], cells["benchmark"], strict=True)])
        inside.append(float(((cells["lower"] <= known) & (known <= cells["upper"])).mean()))
    assert abs(np.mean(inside) - 0.8) < 0.02


@pytest.mark.parametrize(("base", "step"), [(50.0, 1.0), (0.5, 0.01), (100.0, -1.0), (0.0, 0.1)])
@pytest.mark.parametrize("name", [name for name in FORECASTERS if name != "hierarchical"])
def test_nearly_equal_scores_leave_intervals_a_width(base: float, step: float, name: str) -> None:
    scores = np.full((12, 5), base)
    scores[0, 1] += step
    scores[np.arange(12), np.arange(12) % 5] = np.nan
    frame = pd.DataFrame(scores, columns=list("abcde")).assign(model=[f"m{row}" for row in range(12)])
    cells = FORECASTERS[name].make().fit(published_scores(frame)).cells(0.8)
    assert (cells.upper > cells.lower).all()
    assert ((cells.lower <= cells.score) & (cells.score <= cells.upper)).all()
