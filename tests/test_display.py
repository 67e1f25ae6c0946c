"""Results show themselves in notebooks as escaped tables."""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pytest

import capscope
from capscope.display import ROWS, ArrowTables, html_table, short_repr
from capscope.errors import InputError, counted
from capscope.fit import Status
from report.worlds import World, counts_of, small_world


def test_texts_are_escaped_and_long_tables_say_how_long_they_are():
    html = html_table("<i>odd</i>", pd.DataFrame({"<b>": ["<script>"] * 50, "n": 0.12345}), note="a & b")
    assert "<script>" not in html
    assert "<i>" not in html
    assert "<b>" not in html
    assert f"The first {ROWS} of 50 rows. a &amp; b" in html
    assert html.count("0.123") == ROWS


def test_results_show_their_numbers():
    world: World = small_world(counts_of(3))
    ability = world.profiles.table["ability"].iloc[0]
    assert f"{ability:.3f}" in world.profiles._repr_html_()
    assert f"{world.predictions.scores['score'].iloc[0]:.3f}" in world.predictions._repr_html_()
    assert "6 items" in world.demands._repr_html_()
    assert world.fit.status.code in world.fit._repr_html_()
    moving = replace(world.fit, status=Status(False, "still-moving", ("give it <more> sweeps",)))
    assert "give it &lt;more&gt; sweeps" in moving._repr_html_()


@dataclass(frozen=True)
class Inner:
    numbers: np.ndarray


@dataclass(frozen=True)
class Outer:
    table: pd.DataFrame
    numbers: np.ndarray
    names: tuple[str, ...]
    text: str
    inner: Inner
    share: float
    nothing: str | None = None
    hidden: str = field(default="x", repr=False)

    __repr__ = short_repr


def test_a_short_repr_says_sizes_and_cuts_what_is_long():
    table = pd.DataFrame({"a": range(5000), "b": 1.0})
    names = tuple(f"m{number}" for number in range(100))
    result = Outer(table, np.zeros((300, 4)), names, "t" * 500, Inner(np.zeros(9)), 1 / 3)
    lines = repr(result).splitlines()
    assert lines[0] == "Outer("
    assert "  table=<5,000 rows: a, b>" in lines
    assert "  numbers=<float64 array (300, 4)>" in lines
    assert "  names=('m0', 'm1', 'm2', ... 100 in all)" in lines
    assert "  inner=<Inner>" in lines
    assert "  share=0.3333" in lines
    assert not [line for line in lines if "nothing" in line or "hidden" in line]
    assert max(map(len, lines)) < 100


def test_every_result_of_the_top_level_fits_a_screen():
    study = capscope.simulate(8, 60, "rasch", demands=("AS", "QLl"), benchmarks=2)
    fit = capscope.fit(study, "2pl")
    battery = capscope.select_battery(study, 10)
    results = [study, fit, fit.posterior, fit.status, fit.predict(study), fit.plot(), battery]
    results += [capscope.explain(study), capscope.compare(study), capscope.score_battery(battery, study)]
    results += [capscope.read_level_counts(capscope.shipped("artifacts/adele-v1") / "level_counts.csv")]
    for result in results:
        assert len(repr(result)) < 1200, type(result)
        assert repr(result).count("\n") < 20, type(result)
    for result in results:
        if type(result).__name__ in {"Study", "Fit", "Predictions", "Battery", "BatteryScores"}:
            assert "<table" in result._repr_html_()


def test_numbers_agree_with_nouns_and_verbs():
    shown = [counted(number, "reply", "are") for number in (0, 1, 2)]
    assert shown == ["0 replies are", "1 reply is", "2 replies are"]
    assert counted(1, "level of demand", "carry") == "1 level of demand carries"


@dataclass(frozen=True)
class OneTable(ArrowTables):
    table: pd.DataFrame


def test_an_arrow_table_keeps_labels_and_refuses_mixed_types_in_one_line():
    pairs = pd.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["model", None])
    assert OneTable(pd.DataFrame({"x": [0.1, 0.2]}, index=pairs)).to_arrow().column_names == ["model", "level_1", "x"]
    labels = OneTable(pd.DataFrame({"x": [0.1, 0.2]}, index=["a", "b"])).to_arrow()
    assert labels.to_pydict() == {"index": ["a", "b"], "x": [0.1, 0.2]}
    assert OneTable(pd.DataFrame({"x": [0.1, 0.2]})).to_arrow().column_names == ["x"]
    with pytest.raises(InputError, match="table 'table' is no Arrow table: .*column x.*; give each column") as refused:
        OneTable(pd.DataFrame({"x": ["a", 1]})).to_arrow()
    assert "\n" not in str(refused.value)
