"""Prompts as a facet: the spread over prompts comes back, its intervals hold, and odd studies are no trouble."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from capscope.battery import PromptScores, PromptSettings, prompt_scores
from capscope.battery.prompts.accuracy import QUANTILES
from capscope.battery.prompts.prompt_fit import PROMPT_SCALE, PromptCells, fit_prompts
from capscope.cli import app
from capscope.data import Study
from capscope.errors import InputError

NAMES = [f"q{round(100 * quantile):02d}" for quantile in QUANTILES]


@dataclass(frozen=True)
class PromptWorld:
    """Answers of models to every item under every prompt, of which few are shown."""

    answers: np.ndarray
    """Scores (model, prompt, item)."""
    shown: np.ndarray
    """Which of them are shown."""

    @property
    def study(self) -> Study:
        model, prompt, item = np.nonzero(self.shown)
        rows = {
            "model": [f"m{number}" for number in model],
            "prompt": [f"p{number:03d}" for number in prompt],
            "item_id": [f"i{number:04d}" for number in item],
            "score": self.answers[self.shown],
        }
        ids = [f"i{number:04d}" for number in range(self.answers.shape[2])]
        items = pd.DataFrame({"item_id": ids, "benchmark": "b", "task": "t", "text": ids})
        return Study.of(items, pd.DataFrame(rows))

    @property
    def accuracy(self) -> np.ndarray:
        return self.answers.mean(2)


def world(
    seed: int,
    cells: float,
    shape: tuple[int, int, int] = (1, 30, 80),
    prompt_sd: float = 0.5,
    own_sd: np.ndarray | float = 0.0,
) -> PromptWorld:
    rng = np.random.default_rng(seed)
    n_models, n_prompts, n_items = shape
    effect = rng.normal(0, 0.7, (n_models, 1)) + rng.normal(0, prompt_sd, (n_models, n_prompts))
    own = rng.standard_normal((n_prompts, n_items)) * own_sd
    odds = effect[:, :, None] + rng.normal(0, 1.1, n_items) + own
    answers = (rng.random(shape) < 1 / (1 + np.exp(-odds))).astype(float)
    return PromptWorld(answers, rng.random(shape) < cells)


def quantiles_of(found: PromptScores) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = found.models
    return tuple(table[[name + end for name in NAMES]].to_numpy() for end in ("", "_lower", "_upper"))


def test_a_study_answered_whole_has_the_quantiles_it_shows() -> None:
    whole = world(0, 2.0, (2, 8, 30))
    found = prompt_scores(whole.study, PromptSettings(draws=50))
    for bound in quantiles_of(found):
        np.testing.assert_allclose(bound, np.quantile(whole.accuracy, QUANTILES, axis=1).T, atol=1e-9)
    np.testing.assert_allclose(found.models["sd"], whole.accuracy.std(1), atol=1e-9)


def test_the_spread_over_prompts_comes_back_and_its_intervals_hold() -> None:
    error, plain, held, slope = [], [], [], []
    for seed in range(6):
        one = world(seed, 0.15, prompt_sd=0.2 + 0.15 * (seed % 4))
        found = prompt_scores(one.study, PromptSettings(draws=60))
        truth = np.quantile(one.accuracy[0], QUANTILES)
        estimate, lower, upper = (bound[0] for bound in quantiles_of(found))
        error.append(estimate - truth)
        held.append((lower <= truth) & (truth <= upper))
        means = one.study.responses.groupby("prompt", observed=True)["score"].mean()
        plain.append(np.quantile(means, QUANTILES) - truth)
        slope.append((found.models["sd"][0], one.accuracy.std()))
    assert np.abs(error).mean() < 0.6 * np.abs(plain).mean()
    assert np.abs(error)[:, [0, 4]].mean() < 0.35 * np.abs(plain)[:, [0, 4]].mean()
    assert np.mean(held) >= 0.9
    assert np.abs(np.mean(error, axis=0)).max() < 0.03
    estimated, true = np.array(slope).T
    assert np.polyfit(true, estimated, 1)[0] > 0.2  # drawn in where answers are few, but not to one value
    assert estimated.mean() == pytest.approx(true.mean(), rel=0.15)


def test_with_more_answers_the_spread_comes_back_in_full() -> None:
    spread = []
    for seed in range(6):
        one = world(50 + seed, 0.5, (1, 20, 100), 0.1 + 0.15 * seed)
        spread.append((prompt_scores(one.study, PromptSettings(draws=40)).models["sd"][0], one.accuracy.std()))
    estimated, true = np.array(spread).T
    assert np.polyfit(true, estimated, 1)[0] == pytest.approx(1, abs=0.25)
    assert np.abs(estimated - true).mean() < 0.015


def test_a_few_broken_prompts_are_told_from_a_wide_spread() -> None:
    error, held = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        effect = 0.3 + rng.normal(0, 0.25, 50) - 3 * (rng.random(50) < 0.12)
        odds = effect[:, None] + rng.normal(0, 1.1, 80)
        answers = (rng.random((1, 50, 80)) < 1 / (1 + np.exp(-odds))).astype(float)
        one = PromptWorld(answers, rng.random((1, 50, 80)) < 0.2)
        found = prompt_scores(one.study, PromptSettings(draws=80))
        truth = np.quantile(one.accuracy[0], QUANTILES)
        estimate, lower, upper = (bound[0] for bound in quantiles_of(found))
        error.append(estimate - truth)
        held.append((lower <= truth) & (truth <= upper))
    assert np.mean(held) >= 0.9
    assert np.abs(error).mean() < 0.03  # a Gaussian is 0.04 off


def test_ties_of_a_weak_model_are_quantiles_of_zero() -> None:
    held = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        odds = -4.3 + rng.normal(0, 0.4, (1, 40, 1)) + rng.normal(0, 1.1, 60)
        answers = (rng.random((1, 40, 60)) < 1 / (1 + np.exp(-odds))).astype(float)
        one = PromptWorld(answers, rng.random((1, 40, 60)) < 0.15)
        _, lower, upper = (bound[0] for bound in quantiles_of(prompt_scores(one.study, PromptSettings(draws=50))))
        truth = np.quantile(one.accuracy[0], QUANTILES)
        held.append((lower <= truth) & (truth <= upper))
    assert np.mean(held) >= 0.93


@pytest.mark.slow
def test_intervals_of_quantiles_and_of_prompts_hold() -> None:
    held, of_prompts = [], []
    for seed in range(36):
        # spreads as models show them over paraphrases, from none to twice the usual
        spread = abs(np.random.default_rng(seed).normal(0, PROMPT_SCALE))
        one = world(100 + seed, 0.15, prompt_sd=spread)
        found = prompt_scores(one.study, PromptSettings(draws=120, level=0.9))
        truth = np.quantile(one.accuracy[0], QUANTILES)
        _, lower, upper = (bound[0] for bound in quantiles_of(found))
        held.append((lower <= truth) & (truth <= upper))
        table = found.prompts
        of_prompts.append((table["lower"] <= one.accuracy[0]) & (one.accuracy[0] <= table["upper"]))
    assert 0.84 <= np.mean(held) <= 0.96
    assert 0.84 <= np.mean(np.concatenate(of_prompts)) <= 0.94


def test_the_order_and_the_names_of_prompts_change_nothing() -> None:
    rng = np.random.default_rng(1)
    trials = (rng.random((12, 40)) < 0.3).astype(float)
    cells = PromptCells(trials * (rng.random((12, 40)) < 0.6), trials)
    order = rng.permutation(12)
    one, other = fit_prompts(cells), fit_prompts(PromptCells(cells.score[order], cells.trials[order]))
    np.testing.assert_allclose(one.weight, other.weight, atol=1e-4)
    np.testing.assert_allclose(one.best.mean[order], other.best.mean, atol=2e-3)
    study = world(2, 0.3, (1, 6, 30)).study
    shuffled = replace(study, responses=study.responses.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(*(prompt_scores(each, PromptSettings(draws=20)).models for each in (study, shuffled)))


def test_items_that_turn_on_the_prompt_are_found() -> None:
    own_sd = np.where(np.arange(60) < 20, 1.4, 0.0)
    found = prompt_scores(world(3, 0.5, (8, 30, 60), 0.3, own_sd).study, PromptSettings(draws=50)).items
    table = found.set_index("item_id").sort_index()
    variance = table["sd_log_odds"].to_numpy() ** 2
    assert np.mean(variance[:20, None] > variance[20:]) > 0.9
    assert variance.mean() == pytest.approx(0.3**2 + (own_sd**2).mean(), rel=0.4)
    assert variance[:20].mean() > 2.2 * variance[20:].mean()
    assert table["evidence"].between(0.2, 0.9).all()
    alone = prompt_scores(world(3, 0.5, (1, 30, 60), 0.3, own_sd).study, PromptSettings(draws=50)).items
    assert (alone["evidence"] == 0).all()
    assert np.ptp(alone["sd_log_odds"]) < 1e-9


def test_covariates_that_explain_prompts_help() -> None:
    gain = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        known = rng.standard_normal(40)
        odds = 0.9 * known[:, None] + rng.normal(0, 1, 60)
        answers = (rng.random((1, 40, 60)) < 1 / (1 + np.exp(-odds))).astype(float)
        one = PromptWorld(answers, rng.random((1, 40, 60)) < 0.05)
        table = pd.DataFrame({"prompt": [f"p{number:03d}" for number in range(40)], "x": known})
        errors = []
        for covariates in (None, table):
            score = prompt_scores(one.study, PromptSettings(draws=50), covariates=covariates).prompts
            truth = one.accuracy[0][[int(name[1:]) for name in score["prompt"]]]
            errors.append(np.abs(score["score"] - truth).mean())
        gain.append(errors[1] / errors[0])
    assert np.mean(gain) < 0.75
    with pytest.raises(InputError, match=r"covariates: prompt p000 has none, or no number"):
        prompt_scores(one.study, covariates=table[1:])


def test_odd_studies() -> None:
    one_prompt = prompt_scores(world(4, 0.5, (1, 1, 60)).study)
    row = one_prompt.models.iloc[0]
    assert row["prompts"] == 1
    assert row["sd"] == 0
    assert row["q05"] == row["q95"]
    assert row["q50_lower"] < row["q50"] < row["q50_upper"]
    right = PromptWorld(np.ones((1, 10, 50)), np.random.default_rng(0).random((1, 10, 50)) < 0.2)
    row = prompt_scores(right.study).models.iloc[0]
    assert row["q50"] > 0.93
    assert row["q50_upper"] > 0.98
    assert row["q05_lower"] < row["q05"]
    assert np.isfinite(row.drop(["model", "benchmark"]).astype(float)).all()
    study = world(5, 0.3).study
    bare = replace(study, responses=study.responses.drop(columns="prompt").drop_duplicates(["model", "item_id"]))
    with pytest.raises(InputError, match="responses have no column prompt"):
        prompt_scores(bare)
    with pytest.raises(InputError, match="no model 'm9'"):
        prompt_scores(study, PromptSettings(model="m9"))


def test_the_command_prints_one_row_for_each_model(tmp_path) -> None:
    world(6, 0.3, (2, 8, 30)).study.save(tmp_path / "study")
    command = ["battery", "prompts", str(tmp_path / "study"), "--draws", "60", "--json"]
    shown = CliRunner().invoke(app, [*command, "--items", str(tmp_path / "items.csv")])
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert [row["model"] for row in found["models"]] == ["m0", "m1"]
    assert {"prompts", "answers", "ability", "sd", "q05", "q50_lower", "q95_upper"} <= set(found["models"][0])
    assert len(found["items"]) == 10
    assert len(pd.read_csv(tmp_path / "items.csv")) == 30
    assert json.loads(CliRunner().invoke(app, command).stdout)["models"] == found["models"]
    again = CliRunner().invoke(app, [*command, "--items", str(tmp_path / "items.csv")])
    assert again.exit_code == 1
    assert "already exists" in str(again.exception)
    one = CliRunner().invoke(app, [*command, "--model", "m1"])
    assert [row["model"] for row in json.loads(one.stdout)["models"]] == ["m1"]
