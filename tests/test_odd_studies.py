"""Studies in which nothing varies, or hardly anything is known: numbers hold together, and no number is made up."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from capscope.data import Study
from capscope.decide.planning.designs import EvaluationPrices, best_runs
from capscope.decide.planning.score_variance import variance_components
from capscope.errors import InputError
from capscope.fit import fit
from capscope.forecast.change import doubling_text, growth_of
from capscope.forecast.structure import rank_agreement
from capscope.forecast.table_of_scores import published_scores
from capscope.intervals import Interval, bootstrap_interval, error_of_mean
from capscope.profiles import compare_parts
from capscope.profiles.comparison.version_flips import PairedRuns, flips
from honest_studies import Shape, write_study
from pins.running import run

ESTIMATES = ("score", "estimate", "mean", "chance", "ability")
EXACT = ("ranks", "effective_dims")
"""Where bounds may coincide: a place among models, and the number of dimensions where there is one."""


def wrong_intervals(value: Any, path: str = "") -> list[str]:
    """Intervals in JSON that have no width, are upside down, or leave out their own estimate."""
    if isinstance(value, list):
        return [fault for inner in value for fault in wrong_intervals(inner, path)]
    if not isinstance(value, dict):
        return []
    found = [fault for key, inner in value.items() for fault in wrong_intervals(inner, f"{path}.{key}")]
    lower, upper = value.get("lower"), value.get("upper")
    if not isinstance(lower, float) or not isinstance(upper, float) or path.split(".")[-1] in EXACT:
        return found
    estimate = next((value[name] for name in ESTIMATES if isinstance(value.get(name), float)), lower)
    whole = value.get("answered") is not None and estimate == lower == upper
    return found if lower < upper and lower <= estimate <= upper or whole else [*found, f"{path} {value}"]


ALIKE = Shape(models=6, items=10, benchmarks=1, tasks=2, scores="constant", rubrics=1)
VERBS = (
    "predict study study --assessor item-mean --embedder tfidf --out chances.csv",
    "fit study --model rasch --device cpu --out fit",
    "predict fit study --out more.csv",
    "profile fit",
    "bank build study --dims 1 --out bank",
    "battery score bank study",
)


def test_answers_that_are_all_right_give_intervals_with_a_width_and_abilities_without_a_unit(tmp_path: Path) -> None:
    write_study(ALIKE, tmp_path / "study")
    printed = {}
    with contextlib.chdir(tmp_path):
        for line in VERBS:
            code, out, err = run([*line.split(), "--json"])
            assert code == 0, err
            printed[line.split()[0] + line.split()[1]] = out
            assert wrong_intervals(json.loads(out)) == []
        chances = pd.read_csv("chances.csv")
        code, out, _ = run(["battery", "score", "bank", "study"])
    assert (chances["lower"] < chances["upper"]).all()
    assert "have no unit" in out
    assert "standard deviations" not in out
    assert "have no unit" in json.loads(printed["profilefit"])["unit"]
    assert json.loads(printed["bankbuild"])["notes"]


def test_an_interval_holds_its_point_and_keeps_a_width() -> None:
    draws = np.r_[np.zeros(97), 5.0, 5.0, 5.0]
    found = bootstrap_interval(0.2, draws, 4)
    assert found.lower <= found.point <= found.upper
    moved = Interval(-0.3, -0.5, -0.1, 0.9).within(0.0, 1.0)
    assert (moved.point, moved.lower) == (0.0, 0.0)
    assert moved.upper == pytest.approx(0.2)
    assert error_of_mean(np.ones(4)) == pytest.approx(np.sqrt(0.9 * 0.1 / 4))


def test_models_in_one_order_are_not_known_to_be_so_for_sure() -> None:
    point, lower, upper = rank_agreement(np.arange(9.0), np.arange(9.0) ** 2, np.random.default_rng(0))
    assert point == pytest.approx(1)
    assert 0.6 < lower < 0.99
    assert upper >= point


def test_growth_that_there_is_not_is_said_in_words() -> None:
    assert doubling_text(growth_of(np.full(9, -0.1), 0.8)) == "do not double"
    assert "no growth" in doubling_text(growth_of(np.linspace(-0.2, 1.0, 50), 0.8))
    assert not re.search("inf|nan", doubling_text(growth_of(np.linspace(-1.0, 0.2, 50), 0.8)))
    with pytest.raises(InputError, match="all scores are 100"):
        published_scores(pd.DataFrame({"model": ["a", "b", "c"], "x": 100.0, "y": 100.0}))


def sparse_study(rng: np.random.Generator) -> Study:
    """Trials of nine models on six items, of which they share two or three."""
    rows = [(f"m{m}", f"i{i}", rng.integers(0, 3) / 2) for m in range(9) for i in range(6) if (m + i) % 4 == 0]
    return Study.of(responses=pd.DataFrame(rows, columns=["model", "item_id", "score"]).assign(n_trials=2))


def test_a_plan_of_sparse_answers_has_shares_inside_their_bounds_and_runs_that_cost_nothing() -> None:
    found = variance_components(sparse_study(np.random.default_rng(0)), np.random.default_rng(1))
    for part in found.components:
        assert not part.share < part.share_lower
        assert not part.share > part.share_upper
        assert part.share_lower != part.share_upper
    assert best_runs(found, EvaluationPrices(answer=0.0)) in (1, None)


def test_a_change_of_the_mean_is_no_loss_on_items_that_only_gain() -> None:
    rng = np.random.default_rng(3)
    before, runs = rng.uniform(0.1, 0.6, 200), np.full(200, 4.0)
    right = tuple(rng.binomial(4, chance).astype(float) for chance in (before, before + 0.3))
    found = flips(PairedRuns((right[0], right[1]), (runs, runs), np.arange(200)), "all", "", 0.9, rng)
    assert found.lost is not None
    assert found.gained is not None
    assert found.lost.value == found.lost.lower == 0
    assert found.lost.upper > 0
    assert found.gained.lower < 0.3 < found.gained.upper


def test_scaffolds_that_always_agree_differ_by_nothing_with_an_interval() -> None:
    rows = [(f"m{m}", f"i{i}", 1.0, name) for m in range(2) for i in range(m * 4 + 1) for name in "ab"]
    study = Study.of(responses=pd.DataFrame(rows, columns=["model", "item_id", "score", "scaffold"]))
    found = compare_parts(study, "a", "b")
    assert (found.table["lower"] < 0).all()
    assert (found.table["upper"] > 0).all()
    assert "nan" not in found.as_text().lower()


def test_a_low_reliability_stands_beside_that_of_shuffled_answers() -> None:
    rng = np.random.default_rng(0)
    chance = 1 / (1 + np.exp(-np.linspace(-0.6, 0.6, 40)))[:, None]
    right = pd.DataFrame((rng.random((40, 20)) < chance) * 1.0).rename(index="m{}".format, columns="q{}".format)
    found = fit(right, "rasch")
    first, *_, last = found.status.advice
    known = re.search(r"reliability (0\.\d+)", first)
    control = re.search(r"assigned to the models at random give reliability (0\.\d+)", last)
    assert known
    assert control
    assert float(control[1]) < float(known[1])
