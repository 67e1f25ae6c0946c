"""Plans: variance components against their truth, stated power against fresh simulation, designs, ranks, command."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtri
from typer.testing import CliRunner

from capscope.cli import app
from capscope.data import Study
from capscope.decide import EvaluationPrices, PlanSettings, plan_evaluation
from capscope.decide.difference import PairedDifferences
from capscope.decide.planning.designs import (
    best_runs,
    cheapest_designs,
    error_variance,
    kendall,
    rank_agreements,
    spread_or_repeat,
)
from capscope.decide.planning.evaluation_plan import expected_costs
from capscope.decide.planning.power import PowerSettings, shifted, simulate_power
from capscope.decide.planning.score_variance import (
    TrialRows,
    VarianceComponent,
    VarianceComponents,
    identified_components,
    moment_estimates,
    variance_components,
)
from capscope.decide.version_answers import VersionAnswers, draw, flip_chances
from capscope.errors import InputError
from decide.worlds import chances, version_answers

runner = CliRunner()
TRUE_SD = {"model": 0.1, "item": 0.2, "prompt": 0.05, "model x item": 0.15, "model x prompt": 0.05, "residual": 0.3}


def scored_rows(rng: np.random.Generator, models=12, items=30, prompts=4, runs=2, kept=0.7) -> TrialRows:
    """Scores that are the sum of normal effects, with gaps."""
    sd = TRUE_SD
    score = rng.normal(0, sd["residual"], (models, items, prompts, runs))
    score += rng.normal(0, sd["model"], (models, 1, 1, 1)) + rng.normal(0, sd["item"], (1, items, 1, 1))
    score += rng.normal(0, sd["prompt"], (1, 1, prompts, 1)) + rng.normal(0, sd["model x item"], (models, items, 1, 1))
    score += rng.normal(0, sd["model x prompt"], (models, 1, prompts, 1))
    seen = rng.random(score.shape) < kept
    model, item, prompt, _ = np.nonzero(seen)
    levels = {"model": model, "item": item, "prompt": prompt}
    return TrialRows(levels, score[seen], np.ones(len(model)), score[seen] ** 2)


def test_components_are_unbiased_with_gaps():
    rng = np.random.default_rng(0)
    estimates = []
    for _ in range(60):
        rows = scored_rows(rng)
        names, runs_known = identified_components(rows)
        assert runs_known
        estimates.append(moment_estimates(rows, names))
    mean, error = np.mean(estimates, axis=0), np.std(estimates, axis=0) / np.sqrt(60)
    for name, value, sd in zip((*names, "residual"), mean, error, strict=True):
        assert value == pytest.approx(TRUE_SD.get(name, 0.0) ** 2, abs=3.5 * sd), name


def repeated_study(seed=0, models=14, items=40, trials=6) -> Study:
    """Right and wrong answers, several of each model to each item, as shares with their number."""
    rng = np.random.default_rng(seed)
    p = chances(rng.normal(0, 1, models), rng.normal(0, 1, items))
    right = rng.binomial(trials, p)
    rows = [
        (f"m{model:02d}", f"i{item:02d}", right[model, item] / trials, trials, 0.01 * (1 + model % 3))
        for model in range(models)
        for item in range(items)
    ]
    return Study.of(responses=pd.DataFrame(rows, columns=["model", "item_id", "score", "n_trials", "usd"]))


def test_trials_of_one_row_count_as_runs():
    found = variance_components(repeated_study(), np.random.default_rng(0), draws=20)
    rows = repeated_study().require("responses")
    within = (rows["score"] * (1 - rows["score"]) * 6 / 5).mean()
    assert found.runs_known
    assert found.of("residual") == pytest.approx(within, rel=1e-9)
    for component in found.components:
        assert component.lower <= component.variance <= component.upper
    assert sum(component.share for component in found.components) == pytest.approx(1)


def test_without_repeats_the_plan_says_what_is_not_known():
    study = repeated_study()
    once = Study.of(
        responses=study.require("responses")
        .drop(columns="n_trials")
        .assign(score=lambda t: (t["score"] > 0.5).astype(float))
    )
    found = variance_components(once, np.random.default_rng(0), draws=10)
    assert not found.runs_known
    assert any("no question was asked twice" in note for note in found.notes)
    assert best_runs(found, EvaluationPrices(item=1.0)) is None
    assert "the data do not say which" in spread_or_repeat(found, 200, 4, 0.95, 0.8)


def components(**variance: float) -> VarianceComponents:
    parts = tuple(
        VarianceComponent(name.replace("_", " "), value, value, value, 0.0, False) for name, value in variance.items()
    )
    return VarianceComponents(parts, True, 20, 100, 1, 0.9, ())


def test_designs_follow_the_textbook():
    found = components(model=0.01, model_x_item=0.02, residual=0.08)
    assert error_variance(found, 50, 4) == pytest.approx(0.02 / 50 + 0.08 / 200)
    assert error_variance(found, 200) < error_variance(found, 50, 4)
    assert best_runs(found, EvaluationPrices(item=1.0, answer=1.0)) == 2
    assert best_runs(found, EvaluationPrices(answer=1.0)) == 1
    text = spread_or_repeat(found, 200, 4, 0.95, 0.8)
    assert text.startswith("200 items once beat 50 items 4 times: they show a difference between models of 8.9 points")
    best = cheapest_designs(found, 0.05, 0.95, 0.8, EvaluationPrices(item=4.0, answer=1.0))[0]
    assert best.runs == 4
    assert best.detectable <= 0.05
    assert cheapest_designs(components(model_x_prompt=0.5, residual=0.1), 0.01, 0.95, 0.8, EvaluationPrices()) == ()


def test_shifted_answers_have_the_wanted_difference():
    answers, full = version_answers(np.random.default_rng(1), 4000, 4000)
    complete = replace(answers, candidate_score=full)
    rng = np.random.default_rng(2)
    for wanted in (-0.08, 0.0, 0.05):
        new = shifted(complete, wanted, rng)
        assert np.isin(new, (0, 1)).all()
        assert (new - answers.baseline_score).mean() == pytest.approx(wanted, abs=0.01)
        assert ((new != full) & ((new > full) != (new.mean() > full.mean()))).sum() == 0


def past_study(rng: np.random.Generator, difficulty: np.ndarray, n_past: int) -> tuple[Study, np.ndarray]:
    past = (rng.random((n_past, len(difficulty))) < chances(rng.normal(0.3, 0.6, n_past), difficulty)).astype(float)
    rows = [(f"p{m:02d}", f"i{i:04d}", past[m, i]) for m in range(n_past) for i in range(len(difficulty))]
    return Study.of(responses=pd.DataFrame(rows, columns=["model", "item_id", "score"])), past


def fresh_power(rng, past, difficulty, answers, settings, runs) -> float:
    """Share of new pairs of versions that truly differ by this much that are found to differ in the right direction.

    The difference is that of the two versions' chances; of their answers to this suite where these are fixed.
    """
    n_items, names = len(difficulty), tuple(f"i{row:04d}" for row in range(len(difficulty)))
    labels = pd.DataFrame({"benchmark": "all", "task": "all"}, index=range(n_items))
    grid = np.linspace(-1.5, 2, 701)
    chance_at = np.array([chances(np.array([ability]), difficulty)[0] for ability in grid])
    shown, quantile = 0, float(ndtri(0.5 + settings.level / 2))
    for run in range(runs):
        ability = rng.normal(0.3, 0.4)
        wanted = settings.difference if run % 2 else -settings.difference
        luck, place = rng.random((2, n_items)), int(np.abs(grid - ability).argmin())
        old = (luck[0] < chance_at[place]).astype(float)
        if settings.fixed:
            row = int(np.abs((luck[1] < chance_at).mean(axis=1) - (old.mean() + wanted)).argmin())
        else:
            mean = chance_at.mean(axis=1)
            row = int(np.abs(mean - (mean[place] + wanted)).argmin())
        new = (luck[1] < chance_at[row]).astype(float)
        chance = flip_chances(past, old, answers)
        drawn = rng.permutation(n_items)[:answers] if settings.design == "even" else draw(chance, rng)
        seen = np.full(n_items, np.nan)
        seen[drawn] = new[drawn]
        pair = VersionAnswers("old", "new", names, old, seen, past, labels)
        found = PairedDifferences.of(pair, None if settings.design == "even" else chance).over()
        lower, upper = found.interval(quantile, found.suite_se if settings.fixed else found.redrawn_se)
        shown += lower > 0 if wanted > 0 else upper < 0
    return shown / runs


def stated_and_met(seed: int, runs: int, fresh: int, n_past: int = 30, **choices: Any) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    difficulty = rng.normal(0, 1.2, 700)
    study, past = past_study(rng, difficulty, n_past)
    settings = PowerSettings(difference=0.07, runs=runs, seed=seed, **choices)
    plan = simulate_power(study, settings)
    answers = plan.answers_for(0.07, 0.8)
    assert answers is not None
    assert 100 < answers < 700
    return plan.power_at(answers, 0.07), fresh_power(rng, past, difficulty, answers, settings, fresh)


def test_stated_power_is_met():
    stated, met = stated_and_met(0, 60, 150)
    assert stated == pytest.approx(0.8, abs=0.01)
    assert met == pytest.approx(stated, abs=0.03 + 2 * np.sqrt(0.16 / 150))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_stated_power_is_met_within_three_points(seed):
    stated, met = stated_and_met(seed, 400, 2000)
    assert met == pytest.approx(stated, abs=0.03 + 2 * np.sqrt(0.16 / 2000))


@pytest.mark.slow
@pytest.mark.parametrize(("design", "fixed"), [("flips", False), ("even", True), ("flips", True)])
def test_stated_power_is_met_with_draws_by_flips_and_fixed_answers(design, fixed):
    stated, met = stated_and_met(4, 250, 600, n_past=60, design=design, fixed=fixed)
    assert met == pytest.approx(stated, abs=0.03 + 2 * np.sqrt(0.16 / 600))


def test_ranks_agree_where_models_differ_and_not_where_they_do_not():
    assert kendall(np.array([1.0, 2, 3]), np.array([1.0, 3, 2])) == pytest.approx(1 / 3)
    rng = np.random.default_rng(0)
    (clear,) = rank_agreements(repeated_study(), rng)
    level = repeated_study().require("responses").assign(score=lambda t: (rng.random(len(t)) < 0.5).astype(float))
    (flat,) = rank_agreements(Study.of(responses=level.drop(columns="n_trials")), rng)
    assert clear.agreement > 0.7
    assert flat.lower < 0.3
    assert flat.lower < flat.agreement < clear.agreement


def test_costs_have_intervals_over_models():
    (found,) = expected_costs(repeated_study(), (100,), np.random.default_rng(0))
    assert found.usd == pytest.approx(100 * np.mean([0.01 * (1 + model % 3) / 6 for model in range(14)]))
    assert found.lower < found.usd < found.upper
    (fixed,) = expected_costs(repeated_study(), (100,), np.random.default_rng(0), price=0.02)
    assert (fixed.lower, fixed.usd, fixed.upper) == pytest.approx((2, 2, 2))


def test_the_command_plans(tmp_path):
    folder = repeated_study(models=12, items=40).save(tmp_path / "study")
    verb = ["plan", str(folder), "--difference", "8pp", "--runs", "20", "--precision", "6pp", "--fixed"]
    plan = json.loads(runner.invoke(app, [*verb, "--json"]).stdout)
    assert {"answers", "sizes", "components", "designs", "sentence", "rank_agreement", "costs", "notes"} <= plan.keys()
    assert plan["answers"] <= 40
    assert plan["sizes"][0]["power_1pp"] < plan["sizes"][-1]["power_5pp"]
    text = runner.invoke(app, verb).stdout
    assert text.startswith("A difference of 8 points is shown with a power of 80%")
    assert "200 items once" in text
    assert runner.invoke(app, ["plan", str(folder), "--power", "7"]).exit_code == 1
    with pytest.raises(InputError, match="no responses by model 'nobody'"):
        plan_evaluation(folder, PlanSettings(baseline="nobody"))


def test_shares_of_variance_stay_within_all_and_nothing():
    rows = pd.DataFrame({"model": ["a", "a", "a", "b", "b", "b"], "item_id": [*"xyz"] * 2, "score": [1, 0, 1, 0, 0, 1]})
    found = variance_components(Study.of(responses=rows.astype({"score": float})), np.random.default_rng(0))
    assert max(part.upper for part in found.components) > sum(part.variance for part in found.components)
    assert all(0 <= part.share_lower <= part.share <= part.share_upper <= 1 for part in found.components)


def test_scores_that_are_all_alike_plan_nothing():
    rows = pd.DataFrame({"model": [*"ab"] * 2, "item_id": [*"xxyy"], "score": 1.0})
    with pytest.raises(InputError, match="all scores are 1, which does not say how much scores vary"):
        plan_evaluation(Study.of(responses=rows))
