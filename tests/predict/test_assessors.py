"""Assessors: one protocol, honest pooling, warm items, missing features; no order of items or leak matters."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, log_expit

from capscope.data import Responses, Study
from capscope.errors import InputError
from capscope.predict import Assessor, ItemFeatures, ItemTexts, Training, item_features
from capscope.predict.answer_statistics import group_count, group_folds, regime_of_items
from capscope.predict.assessors import ASSESSORS, usable
from capscope.predict.assessors.explanatory import ExplanatoryAssessor
from capscope.predict.assessors.forest import ForestAssessor, TextForestAssessor
from capscope.predict.assessors.stacked import (
    FittedStack,
    Pool,
    StackedAssessor,
    expected_weights,
    fit_pool,
    members_for,
)
from capscope.predict.evaluation.metrics.calibration import calibration_slope
from capscope.predict.evaluation.metrics.loss import log_loss
from predict.simulated_study import simulated_study

SMALL: dict[str, Assessor] = {
    "forest": ForestAssessor(trees=25),
    "text-forest": TextForestAssessor(ForestAssessor(trees=25)),
}


@pytest.fixture(scope="module")
def stack(training: Training) -> FittedStack:
    return StackedAssessor(folds=2).fit(training)


@pytest.fixture(scope="module")
def study() -> Study:
    return simulated_study(2, n_models=8, n_items=240)


@pytest.fixture(scope="module")
def training(study: Study) -> Training:
    """Answers to all items but those of two tasks."""
    responses = Responses.of(study)
    features = item_features(study, responses.items)
    held_out = np.isin(features.task, [1, 6])[responses.item_index]
    stated = np.random.default_rng(3).random((len(responses.models), len(responses.items)))
    return Training(responses, with_words(features), 0, confidence=stated).without(held_out)


def with_words(features: ItemFeatures) -> ItemFeatures:
    assert features.demands is not None
    words = np.array(["easy", "plain", "some", "hard", "odd", "deep"])
    texts = tuple(
        " ".join([*words[level.astype(int)], f"task{task}"])
        for level, task in zip(features.demands, features.task, strict=True)
    )
    return replace(features, texts=ItemTexts(texts, "tfidf"))


# `text-encoder` fine-tunes a model from files: tests/predict/test_text_encoder.py makes one
@pytest.mark.parametrize(
    "name", [name for name, entry in ASSESSORS.items() if entry.needs != "agents" and name != "text-encoder"]
)
def test_every_assessor_gives_chances_with_a_spread(name: str, training: Training, stack: FittedStack) -> None:
    fitted = stack if name == "stacked" else (SMALL.get(name) or ASSESSORS[name].assessor).fit(training)
    asked = np.flatnonzero(training.asked)
    model, item = np.repeat(np.arange(8), len(asked)), np.tile(asked, 8)
    found = fitted.predict(model, item)
    assert found.probability.shape == model.shape
    assert ((found.probability > 0) & (found.probability < 1)).all()
    assert (found.log_odds_sd >= found.shared_sd).all()
    assert found.log_odds_sd.max() > 0.1
    lower, upper = found.bounds(0.8)
    assert (lower <= upper).all()
    assert (lower < found.probability).mean() > 0.95
    again = fitted.predict(model[::-1].copy(), item[::-1].copy())
    assert again.probability[::-1] == pytest.approx(found.probability)


def test_the_stack_keeps_up_with_its_best_member(study: Study, training: Training, stack: FittedStack) -> None:
    responses = Responses.of(study)
    rows = responses.rows(training.asked[responses.item_index])
    fitted = {"stacked": stack, "mean": ASSESSORS["mean"].assessor.fit(training), **stack.members}
    losses = {
        name: log_loss(rows.score, each.predict(rows.model_index, rows.item_index).probability)
        for name, each in fitted.items()
    }
    assert losses["stacked"] < min(losses.values()) + 0.01
    assert losses["stacked"] < losses["mean"] - 0.02


def test_parts_add_up_to_the_log_odds(stack: FittedStack) -> None:
    model, item = np.arange(8), np.arange(8)
    parts = stack.parts(model, item)
    assert {"ability", "task", "residual", "adjustment"} < set(parts.names)
    assert parts.value.sum(axis=1) == pytest.approx(stack.predict(model, item).log_odds_mean)


def test_other_models_answers_help_on_warm_items() -> None:
    # twenty models and items that depart by one log-odds: what the answers give exceeds the noise of the test answers
    study = simulated_study(2, n_models=20, n_items=240, residual=1.0)
    responses = Responses.of(study)
    features = item_features(study, responses.items)
    held_out = np.random.default_rng(0).random(len(responses.score)) < 0.2
    warm = Training(responses, features, 0).without(held_out)
    assert set(regime_of_items(warm)) == {"warm"}
    rows = responses.rows(held_out)
    fitted = ExplanatoryAssessor().fit(warm)
    chance = fitted.predict(rows.model_index, rows.item_index).probability
    blind = fitted.log_odds(rows.model_index, rows.item_index, warm=False).probability
    assert log_loss(rows.score, chance) < log_loss(rows.score, blind) - 0.02
    assert 0.8 < calibration_slope(rows.score, chance) < 1.2


def test_folds_inside_the_training_part_never_split_a_task(training: Training) -> None:
    task = training.features.task[training.responses.item_index]
    folds = group_folds(training, "task", 3)
    assert (np.sum(folds, axis=0) == 1).all()
    for held_out in folds:
        assert not set(task[held_out]) & set(task[~held_out])


def test_a_useless_member_gets_no_weight_and_the_pool_calibrates() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 1.5, 20_000)
    score = (rng.random(20_000) < 1 / (1 + np.exp(-truth))).astype(float)
    pool = fit_pool(np.column_stack([2 * truth, rng.normal(size=20_000)]), score, np.ones(20_000), 5000.0)
    # 20,000 answers tell weights and offset to .012, .018 and .018; the bounds are three of these
    assert pool.weight[0] == pytest.approx(0.5, abs=0.036)
    assert pool.weight[1] == pytest.approx(0, abs=0.054)
    assert pool.offset == pytest.approx(0, abs=0.054)


def test_the_pool_mends_high_chances_that_are_too_high() -> None:
    rng = np.random.default_rng(5)
    told = rng.normal(-0.5, 1.5, 20_000)

    def true_chance(log_odds: np.ndarray) -> np.ndarray:
        # one slope for low chances, a flatter one for high ones
        return expit(1.1 * log_expit(log_odds) - 0.5 * log_expit(-log_odds))

    score = (rng.random(20_000) < true_chance(told)).astype(float)
    asked = np.array([-3.0, -1.0, 1.0, 3.0])
    bent = fit_pool(told[:, None], score, np.ones(20_000), 20_000.0)
    straight = Pool(bent.weight, bent.offset)
    off = [np.abs(expit(pool.log_odds(asked[:, None])) - true_chance(asked)).max() for pool in (bent, straight)]
    assert off[0] < 0.035
    assert off[0] < 0.5 * off[1]


def test_trees_count_nothing_on_a_benchmark_of_a_kind_never_held_out(study: Study) -> None:
    features = item_features(study, Responses.of(study).items)
    held_out = (features.benchmark == 1)[Responses.of(study).item_index]
    training = Training(Responses.of(study), features, 0).without(held_out)
    names = tuple(members_for(features))
    for kind in ("item", "task", "benchmark"):
        assert expected_weights(names, kind, 3).sum() == pytest.approx(1)
    weight = dict(zip(names, expected_weights(names, "benchmark", 3), strict=True))
    assert weight["mean"] == pytest.approx(0.1)
    assert weight["explanatory"] == pytest.approx(0.45)
    assert weight["forest"] == 0
    fitted = StackedAssessor(folds=2).fit(training)
    rows = np.flatnonzero(features.benchmark == 1)[:20]
    found, core = (each.predict(np.zeros(20, int), rows) for each in (fitted, fitted.members["explanatory"]))
    # how far a new benchmark may depart is what the core says
    np.testing.assert_allclose(found.log_odds_sd, core.log_odds_sd)
    np.testing.assert_allclose(found.shared_sd, core.shared_sd)
    assert found.shared_sd.min() > 0.5


def test_the_core_of_the_stack_counts_less_where_more_than_eight_tasks_are_known() -> None:
    members = ("explanatory", "linear", "interactions", "forest", "demand-forest", "mean")
    known = (2, 8, 9, 16, 64, 10**6)
    weight = [dict(zip(members, expected_weights(members, "task", groups), strict=True)) for groups in known]
    # of what the mean score leaves, the core has .7 up to eight tasks, then less, towards an equal share
    share = [each["explanatory"] / (1 - each["mean"]) for each in weight]
    assert share[:2] == pytest.approx([0.7, 0.7])
    assert all(more > fewer for more, fewer in pairwise(share[1:]))
    assert share[3] == pytest.approx(0.2 + 0.5 / 2)
    assert share[-1] == pytest.approx(1 / 5, abs=1e-4)
    on_benchmarks = [expected_weights(members, "benchmark", groups) for groups in (8, 64)]
    assert [each[0] / (1 - each[-1]) for each in on_benchmarks] == pytest.approx([0.5, 0.5])


def test_two_known_tasks_predict_a_third_as_a_new_task_and_lean_on_the_mean_score(study: Study) -> None:
    features = item_features(study, Responses.of(study).items)
    few = replace(features, task=np.arange(features.n_items) % 3, benchmark=np.zeros(features.n_items, int))
    held_out = (few.task == 2)[Responses.of(study).item_index]
    training = Training(Responses.of(study), few, 0).without(held_out)
    assert set(regime_of_items(training)) == {"warm", "task"}
    assert group_count(training, "task") == 2
    pool = StackedAssessor(folds=2).fit(training).regimes["task"].pool
    weight = dict(zip(members_for(few), pool.weight, strict=True))
    assert 0 < weight["mean"] < 0.5
    assert weight["explanatory"] > max(value for name, value in weight.items() if name != "explanatory")
    assert pool.bend == (1.0, 1.0, 0.0)


def test_one_known_task_cannot_show_how_a_second_one_differs(study: Study) -> None:
    features = item_features(study, Responses.of(study).items)
    two = replace(features, task=np.arange(features.n_items) % 2, benchmark=np.zeros(features.n_items, int))
    training = Training(Responses.of(study), two, 0).without((two.task == 1)[Responses.of(study).item_index])
    fitted = StackedAssessor(folds=2).fit(training)
    assert fitted.regimes["task"].unlearnt
    rows = np.flatnonzero(two.task == 1)[:10]
    chances, core = (each.predict(np.zeros(10, int), rows) for each in (fitted, fitted.members["explanatory"]))
    np.testing.assert_allclose(chances.log_odds_sd, core.log_odds_sd)


def test_what_is_missing_is_answered_or_refused_in_one_line(study: Study) -> None:
    items, answers = study.require("items"), study.require("responses")
    bare = Study.of(items, answers)
    responses = Responses.of(bare)
    features = item_features(bare, responses.items)
    assert set(usable(features)) == {"base-rate", "mean", "item-mean", "rasch", "explanatory", "stacked"}
    some = Training(responses, features, 0).without(responses.item_index < 40)
    found = ASSESSORS["stacked"].assessor.fit(some).predict(np.arange(8), np.arange(8))
    assert np.isfinite(found.probability).all()
    with pytest.raises(InputError, match="assessor 'forest' needs demands and the study has none"):
        ASSESSORS["forest"].assessor.fit(some)
    with pytest.raises(InputError, match="neither demands nor text"):
        ASSESSORS["pooled-forest"].assessor.fit(some)
    with pytest.raises(InputError, match="there are no answers to learn from"):
        Training(responses.rows(np.zeros(0, dtype=np.int64)), features, 0)


def test_a_gap_in_the_levels_is_filled_and_counts_as_unsure(study: Study) -> None:
    demands = study.require("demands")
    first = demands["item_id"].astype(str) == "i0000"
    gap = Study.of(study.items, study.responses, demands[~(first & (demands["rubric"] == "B"))])
    features = item_features(gap, Responses.of(gap).items)
    assert features.demands is not None
    assert features.demand_sd is not None
    assert features.demands[0, 1] == pytest.approx(features.demands[1:, 1].mean())
    assert features.demand_sd[0, 1] > 0.5
    assert features.demand_sd[0, 0] == 0


def test_annotators_that_disagree_make_levels_unsure(study: Study) -> None:
    demands = study.require("demands")
    rng = np.random.default_rng(0)
    level = np.clip(demands["level"] + rng.normal(0, 1, len(demands)), 0, 5)
    second = demands.assign(annotator="other", level=level)
    both = Study.of(study.items, study.responses, pd.concat([demands.astype({"annotator": str}), second]))
    features = item_features(both, Responses.of(both).items)
    assert features.demand_sd is not None
    assert 0.25 < features.demand_sd.mean() < 0.6


def test_a_model_without_answers_gets_an_average_chance(study: Study) -> None:
    responses = Responses.of(study)
    features = item_features(study, responses.items)
    quiet = Training(responses, features, 0).without((responses.model_index == 3) | (responses.item_index < 40))
    fitted = StackedAssessor(folds=2).fit(quiet)
    chance = fitted.predict(np.repeat(np.arange(8), 40), np.tile(np.arange(40), 8)).probability.reshape(8, 40).mean(1)
    others = np.delete(chance, 3)
    assert others.min() - 0.02 < chance[3] < others.max() + 0.02


def test_an_item_that_every_guess_gets_right_is_an_open_question() -> None:
    study = simulated_study(n_models=3, n_items=6)
    certain = Study.of(study.require("items").assign(chance=1.0), study.responses, study.demands)
    assert not item_features(certain, Responses.of(certain).items).floor.any()


def test_no_demand_and_no_lower_mean_raises_a_monotone_chance(training: Training) -> None:
    fitted = ASSESSORS["monotone"].assessor.fit(training)
    levels = training.features.need_demands("this test")
    item = np.arange(len(levels))
    raised = replace(fitted, demands=levels + np.array([1.0, 0.0, 1.0]))
    for model in range(8):
        same = np.full(len(levels), model)
        lower, higher = (each.predict(same, item).probability for each in (raised, fitted))
        assert (lower <= higher + 1e-12).all()
    by_mean = np.argsort(fitted.mean)
    chance = np.array([fitted.predict(np.full(len(levels), model), item).probability for model in by_mean])
    assert (np.diff(chance, axis=0) >= -1e-12).all()
    assert chance.std() > 0.05


def alike_tasks(reach: float, seed: int = 4) -> tuple[Training, Responses]:
    """Twelve tasks in two kinds of text and demand; a task is `reach` log-odds easier or harder by its kind."""
    rng = np.random.default_rng(seed)
    task = np.repeat(np.arange(12), 20)
    kind = task % 2
    level = np.column_stack([rng.integers(0, 6, 240), 2 + 2 * kind + rng.integers(0, 2, 240)]).astype(float)
    log_odds = rng.standard_normal((10, 1)) + reach * (2 * kind - 1) - 0.4 * (level[:, 0] - 2.5)
    score = (rng.random(log_odds.shape) < expit(log_odds)).astype(float)
    model, item = np.indices(score.shape).reshape(2, -1)
    names = tuple(f"m{number}" for number in range(10)), tuple(f"i{number:03d}" for number in range(240))
    responses = Responses(*names, model, item, score.ravel(), np.ones(score.size))
    nothing = np.zeros(240)
    features = ItemFeatures(level, np.zeros_like(level), None, task, np.zeros(240, np.int64), nothing)
    known = task[item] < 8
    return Training(responses.rows(known), features, 0), responses.rows(~known)


# higher levels of the second demand make items easier, which the monotone model cannot learn
def test_a_new_task_leans_on_tasks_like_it_and_on_none_where_none_helps() -> None:
    losses = {}
    for reach in (1.0, 0.0):
        training, rows = alike_tasks(reach)
        fitted = {name: ASSESSORS[name].assessor.fit(training) for name in ("explanatory", "neighbours")}
        losses[reach] = [
            log_loss(rows.score, each.predict(rows.model_index, rows.item_index).probability)
            for each in fitted.values()
        ]
    assert losses[1.0][1] < losses[1.0][0] - 0.03
    assert losses[0.0][1] < losses[0.0][0] + 0.005
