"""Results answer their question first: sentences with their numbers, in front of and under the tables."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from capscope.data import Study
from capscope.fit import CurvePosterior, Fit, StudyFitSettings, fit_curves, fit_study
from capscope.profiles import (
    AuditSettings,
    ExplainSettings,
    ability_profiles,
    compare,
    explain_benchmark,
    named_dimensions,
    profile,
)
from capscope.profiles.meanings import curve_cautions, leading, meaning_of
from profiles.worlds import study_of


@pytest.fixture(scope="module")
def study() -> Study:
    """Two benchmarks, each with an ability of its own, so that a fit takes several."""
    rng = np.random.default_rng(3)
    ability, level = rng.standard_normal((24, 2)), rng.integers(0, 6, (120, 4)).astype(float)
    task = np.arange(120) % 8
    hard = task >= 4
    odds = 2.5 * np.where(hard, ability[:, 1:], ability[:, :1]) + 1.5 - 0.6 * level[:, 0] + 0.3
    whole = study_of((rng.random(odds.shape) < 1 / (1 + np.exp(-odds))).astype(float), task, level)
    items = whole.items.assign(benchmark=np.where(hard, "hard", "easy"))
    return Study.of(items, whole.responses, whole.demands)


@pytest.fixture(scope="module")
def several(study: Study) -> Fit:
    return fit_study(study, StudyFitSettings(model="mirt", dims=3))


def test_a_fit_with_several_abilities_leads_with_expected_scores(study: Study, several: Fit) -> None:
    found = profile(several, study=study)
    text = found.as_text()
    whole = found.scores[found.scores["scope"] == "all"]
    best = whole.iloc[0]
    assert whole["expected"].is_monotonic_decreasing
    assert text.startswith(f"{best['model']} is ahead: expected {best['expected']:.2f} (90% interval ")
    heads = [line for line in text.splitlines() if line.startswith(("Expected score on", "General ability", "Beyond"))]
    assert heads[0].startswith("Expected score on all items (")
    assert heads[1].startswith("Expected score on easy (")
    assert heads[2].startswith("Expected score on hard (")
    assert heads[3].startswith("General ability, 90% intervals")
    assert "ability 2" not in text


def test_a_direction_gets_a_name_where_its_items_and_models_part(study: Study, several: Fit) -> None:
    names = [one.name for one in named_dimensions(several.posterior, study)]
    assert names[0] == "general"
    assert any(name.startswith(("benchmark ", "task ")) for name in names[1:])
    named = [one for one in named_dimensions(several.posterior, study)[1:] if not one.name.startswith("unnamed")]
    assert all(re.search(r"\d+ standard errors from none", one.evidence) for one in named)
    # models that do not differ along a direction make no skill of it, whatever its loadings go with
    alike = replace(several.posterior, ability_cov=several.posterior.ability_cov + 9 * np.eye(3))
    assert {one.name.split()[0] for one in named_dimensions(alike, study)[1:]} == {"unnamed"}


def test_without_a_study_the_directions_are_counted_not_listed(several: Fit) -> None:
    found = profile(several)
    assert "Expected score on all items" in found.as_text()
    assert "The fit has 3 directions without a name" in found.as_text()
    assert "ability 1" not in found.as_text()
    assert {row["dim"] for row in found.as_dict()["abilities"]} == {"ability 1", "ability 2", "ability 3"}


def test_what_a_unit_means_is_said_by_a_number() -> None:
    general = pd.DataFrame({"model": ["a"], "ability": [5.2]})
    table = pd.DataFrame({"dim": ["general", "WM"], "ability": [0.0, np.log(0.5)]})
    assert meaning_of("curves", general, table).startswith("5.2: succeeds on half of the items of level 5.2")
    zero = general.assign(ability=0.0)
    assert meaning_of("demand", zero, table) == (
        "general 0.0: succeeds on 50% of items of average demands; -0.69 on WM: one more level multiplies the odds by"
        " 0.50"
    )
    assert meaning_of("irt", zero, table.head(1)).startswith("0.0: succeeds on half of the items of difficulty 0.0")


def test_who_is_ahead_is_said_with_how_many_reach_up() -> None:
    rows = pd.DataFrame({"model": ["a", "b", "c"], "ability": [2.0, 1.0, 0.0]})
    apart = rows.assign(lower=rows["ability"] - 0.1, upper=rows["ability"] + 0.1)
    first = "a is ahead: ability 2.00 (90% interval 1.90 to 2.10); next is b with 1.00"
    assert leading(apart, 0.9) == f"{first}, clearly behind."
    near = rows.assign(lower=rows["ability"] - 0.6, upper=rows["ability"] + 0.6)
    assert leading(near, 0.9).endswith("next is b with 1.00; the interval of 1 other reaches up to it.")


def level_counts_posterior(levels: int) -> CurvePosterior:
    """Curves of six models on two scales; the second has answers at few levels."""
    from capscope.data import LevelCounts

    n = np.zeros((6, 2, 6))
    n[:, 0, 1:] = 40
    n[:, 1, 1 : 1 + levels] = 4
    share = np.linspace(0.9, 0.2, 6)[None, None] * np.linspace(1, 0.5, 6)[:, None, None]
    correct = np.round(n * share)
    correct[:, 1] = correct[::-1, 1]  # the weak models are ahead on the few items of the second scale
    return fit_curves(LevelCounts(tuple("abcdef"), ("QLl", "KNn"), n, correct)).posterior


def test_curves_that_are_extrapolated_or_turn_the_raw_order_say_so() -> None:
    lines = curve_cautions(level_counts_posterior(2))
    assert any("fewer than 3 demand levels" in line and "KNn" in line and "QLl" not in line for line in lines)
    assert any("another order than by their raw scores" in line and "KNn" in line for line in lines)
    found = ability_profiles(level_counts_posterior(2))
    assert "\nnote: extrapolated from" in found.as_text()
    assert found.as_dict()["cautions"] == list(lines)


def test_an_explanation_speaks_in_sentences_with_numbers(study: Study) -> None:
    found = explain_benchmark(study, ExplainSettings(claims=("A", "C")), AuditSettings())
    demands, difficulty, claims, look = found.sentences()
    assert re.match(r"Demands most: \w+ at mean level \d\.\d, ", demands)
    assert re.match(r"Difficulty depends on: .*all demands together explain \d+%", difficulty)
    assert claims.startswith("Claims")
    assert look.startswith(("Look at: ", "Items to look at: none"))
    assert found.as_text().startswith(demands)
    assert found.as_dict()["sentences"] == [demands, difficulty, claims, look]


def test_a_comparison_of_two_says_who_is_ahead_by_how_much(study: Study) -> None:
    models = sorted(study.responses["model"].unique())
    found = compare(study, models[0], models[-1])
    whole = found.table.iloc[0]
    size = abs(100 * whole["mean"])
    assert re.match(rf"{models[0]}|{models[-1]}", found.answer)
    assert f"by {size:.1f} points (90% interval " in found.answer
    assert found.answer in found.as_text()
    swapped = compare(study, models[-1], models[0])
    assert swapped.answer.split(" by ")[0] == found.answer.split(" by ")[0]
    assert compare(study).answer.split(" is ahead")[0] == str(compare(study).table["model"].iloc[0])


def test_models_that_come_out_alike_are_not_called_ahead() -> None:
    rows = pd.DataFrame({"model": ["a", "b", "c"], "mean": [1.0, 1.0, 0.5], "lower": 0.4, "upper": 1.0})
    assert leading(rows, 0.9, "mean") == (
        "a, b are level at the top: mean 1.00 (90% interval 0.40 to 1.00); next is c with 0.50."
    )
    expected = rows.head(2).rename(columns={"mean": "expected"})
    assert leading(expected, 0.9, "expected").startswith("No model is ahead: a, b have the same expected score, 1.00")
    alike = "No model is ahead: a, b have the same mean, 1.00 (90% interval 0.40 to 1.00)."
    assert leading(rows.head(2), 0.9, "mean") == alike


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_draws_alone_put_no_model_ahead(score: float) -> None:
    cells = pd.MultiIndex.from_product([["a", "b", "c"], [f"i{number}" for number in range(20)]]).to_frame(index=False)
    responses = cells.set_axis(["model", "item_id"], axis=1).assign(score=score)
    items = pd.DataFrame({"item_id": responses["item_id"].unique(), "benchmark": "P"})
    alike = Study.of(items, responses)
    text = profile(fit_study(alike, StudyFitSettings(model="rasch")), study=alike).as_text()
    assert "No model is ahead: " in text
    assert "have the same expected score, " in text
