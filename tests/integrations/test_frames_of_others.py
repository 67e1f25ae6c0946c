"""Every public function that takes a DataFrame takes tables of polars, pyarrow and DuckDB; results go back as Arrow."""

import importlib
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import capscope
from capscope.battery import Bank, RunSettings, plan_battery, score_battery, select_battery
from capscope.data import ArrowTable, Study
from capscope.decide import ModelPrices
from capscope.decide.routing.prices import model_prices
from capscope.display import ArrowTables
from capscope.errors import InputError
from capscope.forecast import forecast_structure, published_scores, score_change, time_horizons
from capscope.report.fit_page import item_part

ROOMS = ("data", "annotate", "fit", "profiles", "predict", "forecast", "battery", "decide", "report")
Wrap = Callable[[pd.DataFrame], Any]


@dataclass(frozen=True)
class Tables:
    """Small tables of every kind that a function takes."""

    folder: Path
    items: pd.DataFrame
    responses: pd.DataFrame
    study: Study
    fit: capscope.Fit
    bank: Bank
    scores: pd.DataFrame
    models: pd.DataFrame
    prices: pd.DataFrame
    judged: pd.DataFrame
    dates: pd.DataFrame
    forecast: pd.DataFrame


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    rng, n = np.random.default_rng(0), 40
    items = pd.DataFrame(
        {
            "item_id": [f"i{k:02d}" for k in range(n)],
            "benchmark": "sums",
            "text": [f"What is {k} + 1?" for k in range(n)],
            "target": [str(k + 1) for k in range(n)],
            "minutes": np.geomspace(1, 60, n),
        }
    )
    ability, names = np.linspace(-1, 2, 8), [f"m{m}" for m in range(8)]
    right = rng.random((8, n)) < 1 / (1 + np.exp(rng.normal(0, 1, n) - ability[:, None]))
    cells = [(name, item) for name in names for item in items["item_id"]]
    responses = pd.DataFrame(cells, columns=["model", "item_id"]).assign(score=right.ravel() * 1.0)
    study = Study.of(items, responses)
    twice = np.repeat(ability, 2)[:, None] + rng.normal(0, 0.2, (16, 6))
    scores = pd.DataFrame(100 / (1 + np.exp(-twice)), columns=[f"b{k}" for k in range(6)])
    scores.insert(0, "model", [f"p{k}" for k in range(16)])
    scores.loc[2, "b1"] = np.nan
    return Tables(
        folder=tmp_path_factory.mktemp("frames"),
        items=items,
        responses=responses,
        study=study,
        fit=capscope.fit(study, "rasch"),
        bank=Bank.build(study, dims=1),
        scores=scores,
        models=pd.DataFrame({"model": scores["model"], "date": [f"20{10 + k}-03" for k in range(16)]}),
        prices=pd.DataFrame({"model": names, "usd": np.arange(1.0, 9.0)}),
        forecast=pd.DataFrame(
            {"model": ["m0"], "benchmark": "sums", "score": 60.0, "lower": 55.0, "upper": 65.0, "unit": "percent"}
        ),
        dates=pd.DataFrame({"model": names, "date": [f"20{10 + k}-03" for k in range(8)]}),
        judged=pd.DataFrame(
            {"model_a": names * 3, "model_b": names[1:] * 3 + names[:3], "winner": ["a", "b", "a"] * 8}
        ),
    )


def priced(tables: Tables, wrap: Wrap) -> pd.DataFrame:
    prices: ModelPrices = model_prices(tables.study, wrap(tables.prices))
    return pd.DataFrame({"model": prices.models, "usd": prices.usd})


def planned(tables: Tables, wrap: Wrap) -> pd.DataFrame:
    settings = RunSettings(size=5, usd_in=1.0, usd_out=1.0, endpoint="http://127.0.0.1:9")
    plan = plan_battery(tables.bank, wrap(tables.items), model="m", out=tables.folder / "run", settings=settings)
    return pd.DataFrame([plan.as_dict()])


CASES: dict[str, Callable[[Tables, Wrap], pd.DataFrame]] = {
    "Study.of": lambda t, wrap: Study.of(wrap(t.items), wrap(t.responses)).require("responses"),
    "fit": lambda t, wrap: capscope.fit(wrap(t.responses), "rasch").abilities(),
    "Fit.predict": lambda t, wrap: t.fit.predict(wrap(t.items)).table,
    "predict": lambda t, wrap: capscope.predict(t.fit, wrap(t.items)).table,
    "predict labels": lambda t, wrap: capscope.predict(t.fit, t.items, labels=wrap(t.responses.head(5))).table,
    "compare": lambda t, wrap: capscope.compare(wrap(t.judged)).table,
    "score_battery": lambda t, wrap: score_battery(t.bank, wrap(t.responses.head(15))).scores,
    "score_battery expected": lambda t, wrap: (
        score_battery(t.bank, t.responses.head(15), expected=wrap(t.forecast)).scores
    ),
    "plan_battery": planned,
    "route prices": priced,
    "forecast": lambda t, wrap: published_scores(wrap(t.scores), wrap(t.models)).scores,
    "forecast_structure": lambda t, wrap: forecast_structure(wrap(t.scores), wrap(t.models)).pairs,
    "score_change": lambda t, wrap: score_change(wrap(t.scores), wrap(t.models)).abilities,
    "time_horizons": lambda t, wrap: (
        time_horizons(t.study, wrap(t.models.head(8).assign(model=t.prices["model"]))).models
    ),
    "report items": lambda t, wrap: item_part(t.fit, wrap(t.items)).predictions.table,
}


@pytest.mark.parametrize("name", CASES)
def test_a_polars_table_gives_what_a_pandas_table_gives(tables: Tables, name: str) -> None:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    expected = CASES[name](tables, lambda frame: frame)
    pd.testing.assert_frame_equal(CASES[name](tables, polars.from_pandas), expected)


@pytest.mark.parametrize("library", ["pyarrow", "polars", "duckdb"])
def test_scores_are_read_from_any_library(tables: Tables, library: str) -> None:
    module = pytest.importorskip(library, reason=f"{library} is not installed")
    wrap = {"pyarrow": "Table.from_pandas", "polars": "from_pandas", "duckdb": "from_df"}[library]
    for part in wrap.split("."):
        module = getattr(module, part)
    pd.testing.assert_frame_equal(
        published_scores(module(tables.scores)).scores, published_scores(tables.scores).scores
    )


def members(hint: object) -> tuple[type, ...]:
    """The classes of a union."""
    return tuple(one for one in typing.get_args(hint) if isinstance(one, type))


def test_no_public_function_takes_a_data_frame_alone() -> None:
    lacking: list[str] = []
    for room in ROOMS:
        module = importlib.import_module(f"capscope.{room}")
        for name in module.__all__:
            value = getattr(module, name)
            if not inspect.isfunction(value):
                continue
            hints = inspect.unwrap(value).__annotations__
            lacking += [
                f"{room}.{name}({parameter}=)"
                for parameter, hint in hints.items()
                if parameter != "return"
                and {pd.DataFrame, Path} <= {*members(hint)}
                and ArrowTable not in members(hint)
            ]
    assert not lacking


def test_tables_of_results_go_back_as_arrow(tables: Tables) -> None:
    predicted = capscope.predict(tables.fit, tables.items)
    assert isinstance(predicted, ArrowTables)
    table = predicted.to_arrow()
    assert isinstance(table, pa.Table)
    assert table.column("p").to_pylist() == predicted.table["p"].tolist()
    assert predicted.to_arrow("support").num_rows == len(predicted.support)
    with pytest.raises(InputError, match="there is no table 'parts' in Predictions; it has table, scores, support"):
        predicted.to_arrow("parts")
    battery = select_battery(tables.bank, 5)
    assert battery.to_arrow().column_names == list(battery.table.columns)


@pytest.mark.parametrize("library", ["polars", "duckdb"])
def test_other_libraries_read_them(tables: Tables, library: str) -> None:
    module = pytest.importorskip(library, reason=f"{library} is not installed")
    made = tables.fit.predict(tables.items).to_arrow()
    count = len(module.from_arrow(made)) if library == "polars" else len(module.from_arrow(made).fetchall())
    assert count == made.num_rows


def test_every_public_result_with_tables_gives_them_as_arrow() -> None:
    lacking: list[str] = []
    for room in ROOMS:
        module = importlib.import_module(f"capscope.{room}")
        for name in module.__all__:
            value = getattr(module, name)
            fields = getattr(value, "__dataclass_fields__", {}) if inspect.isclass(value) else {}
            holds = any(entry.type is pd.DataFrame for entry in fields.values())
            if holds and not issubclass(value, ArrowTables):
                lacking.append(f"{room}.{name}")
    # what a fit or a forecast is made from, and one part of a page
    assert set(lacking) <= {"data.Levels", "forecast.PublishedScores"}
