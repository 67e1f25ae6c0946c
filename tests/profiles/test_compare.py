"""Comparisons: exact laws, coverage of every interval, and known winners."""

import json
import sys
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

from capscope.cli import main
from capscope.errors import InputError
from capscope.profiles import bradley_terry, compare_models, paired_difference, suite_aggregates
from capscope.profiles.comparison.leaderboard import borda, kemeny_order, plackett_luce
from profiles.worlds import study_of


def test_one_task_is_the_dirichlet_posterior() -> None:
    difference = np.array([1.0] * 6 + [0.0] * 10 + [-1.0] * 2)
    found = paired_difference(difference, np.zeros(18, int), np.random.default_rng(0), 0.9)
    draws = np.random.default_rng(1).dirichlet([2.5, 10.5, 6.5], 40_000) @ [-1, 0, 1]
    assert found.mean == pytest.approx(draws.mean(), abs=0.01)
    assert (found.lower, found.upper) == pytest.approx(tuple(np.quantile(draws, [0.05, 0.95])), abs=0.02)
    assert found.ahead == pytest.approx((draws > 0).mean(), abs=0.02)
    assert found.improvement == pytest.approx((6.5 + 10.5 / 2) / 19.5, abs=0.01)


def test_swapping_the_models_mirrors_the_answer() -> None:
    rng = np.random.default_rng(0)
    difference, task = rng.choice([-1.0, 0, 0, 1, 1], 120), np.arange(120) % 6
    one = paired_difference(difference, task, np.random.default_rng(1))
    other = paired_difference(-difference, task, np.random.default_rng(1))
    assert (one.lower, one.upper) == pytest.approx((-other.upper, -other.lower), abs=0.03)
    assert one.ahead == pytest.approx(1 - other.ahead, abs=0.03)


@pytest.mark.parametrize(
    ("tasks", "size", "likeness"), [(1, 12, 0.0), (8, 15, 0.05), pytest.param(25, 10, 0.02, marks=pytest.mark.slow)]
)
def test_paired_intervals_cover(tasks: int, size: int, likeness: float) -> None:
    rng = np.random.default_rng(tasks)
    hits = []
    for _ in range(70 if tasks < 25 else 210):
        frequency = rng.dirichlet([2, 4, 3])
        by_task = rng.dirichlet(frequency * (1 / likeness - 1), tasks) if likeness else frequency[None]
        difference = np.concatenate([rng.choice([-1.0, 0, 1], size, p=p / p.sum()) for p in by_task])
        found = paired_difference(difference, np.repeat(np.arange(tasks), size), rng, 0.9)
        hits.append(found.lower <= frequency @ [-1, 0, 1] <= found.upper)
    least = 0.9 - 3 * (0.9 * 0.1 / len(hits)) ** 0.5
    assert least <= np.mean(hits) <= 0.99


def test_graded_scores_are_covered_too() -> None:
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(50):
        difference = rng.beta(2, 3, 40) - rng.beta(2, 2, 40)
        found = paired_difference(difference, np.zeros(40, int), rng, 0.9)
        hits.append(found.lower <= 0.4 - 0.5 <= found.upper)
    assert 0.8 <= np.mean(hits) <= 0.99


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    ability, difficulty = np.linspace(-1.5, 1.5, 8), rng.normal(0, 1, 600)
    task = np.arange(600) % 10
    level = rng.integers(0, 6, (600, 2)).astype(float)
    logit = ability[:, None] - difficulty
    # the second model has a gift for A that its general ability does not show
    logit[1] += np.where(level[:, 0] >= 3, 2.0, -1.0)
    score = (rng.random(logit.shape) < expit(logit)).astype(float)
    return study_of(score, task, level), score


def test_two_models_by_benchmark_and_dimension(world) -> None:
    study, score = world
    found = compare_models(study, ("m07", "m00"))
    whole = found.table.iloc[0]
    assert whole["difference"] == pytest.approx((score[7] - score[0]).mean())
    assert (whole["leader"], whole["items"], whole["tasks"]) == ("m07", 600, 10)
    assert whole["ahead"] > 0.99
    gift = compare_models(study, ("m01", "m02")).table.set_index("name")
    assert gift.loc["A", "beyond_lower"] > 0
    assert abs(gift.loc["B", "beyond"]) < 0.08
    with pytest.raises(InputError, match="cannot be compared with itself"):
        compare_models(study, ("m01", "m01"))
    with pytest.raises(InputError, match="no responses by model 'm1'"):
        compare_models(study, ("m1", "m01"))


def test_suite_aggregates_order_the_models(world) -> None:
    study, score = world
    found = suite_aggregates(study)
    table = found.table.set_index("model")
    by_hand = np.mean([score[:, np.arange(600) % 10 == t].mean(axis=1) for t in range(10)], axis=0)
    assert table["mean"].sort_index().to_numpy() == pytest.approx(by_hand)
    assert (table["mean_lower"] <= table["mean"]).all()
    assert found.kemeny_exact
    assert table.loc["m07", "kemeny"] == 1
    assert table["strength"].corr(table["mean"], "spearman") > 0.95
    assert (table["iqm"] - table["mean"]).abs().max() < 0.05


def test_the_interquartile_mean_is_that_of_the_middle_half_of_tasks() -> None:
    # eight tasks of ten items, of which a model gets 0 to 7 right: the middle four have 2 to 5
    right = np.concatenate([np.arange(10) < count for count in range(8)]).astype(float)
    score = np.stack([right, 1 - right])
    table = suite_aggregates(study_of(score, np.repeat(np.arange(8), 10))).table.set_index("model")
    assert table["iqm"].loc[["m00", "m01"]].tolist() == pytest.approx([0.35, 0.65])
    assert table["mean"].loc[["m00", "m01"]].tolist() == pytest.approx([0.35, 0.65])
    # what the best and the worst tasks do moves the mean and not the interquartile mean
    score[0, :20], score[1, :20] = 1.0, 0.0
    moved = suite_aggregates(study_of(score, np.repeat(np.arange(8), 10))).table.set_index("model")
    assert moved.loc["m00", "iqm"] == pytest.approx(np.mean([0.4, 0.5, 0.6, 0.7]))
    assert moved.loc["m00", "mean"] == pytest.approx(np.mean([1.0, 1.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]))


@pytest.mark.slow
def test_suite_intervals_cover_means_over_items() -> None:
    rng = np.random.default_rng(0)
    ability, centre = np.array([-0.5, 0.0, 0.5]), rng.normal(0, 1, 6)
    hits = {"mean": [], "strength": []}
    for _ in range(40):
        task = np.repeat(np.arange(6), 40)
        chance = expit(ability[:, None] - centre[task] - 0.5 * rng.standard_normal(240))
        score = (rng.random(chance.shape) < chance).astype(float)
        table = suite_aggregates(study_of(score, task), seed=1).table.sort_values("model")
        spread = np.random.default_rng(1).standard_normal(20_000) * 0.5
        true_mean = [np.mean([expit(a - c - spread).mean() for c in centre]) for a in ability]
        for name, truth in (("mean", true_mean), ("strength", ability)):
            hits[name].append((table[f"{name}_lower"] <= truth) & (table[f"{name}_upper"] >= truth))
    for found in hits.values():
        assert 0.82 <= np.mean(found) <= 0.97


def test_plackett_luce_is_the_rasch_model_without_difficulties() -> None:
    rng = np.random.default_rng(0)
    ability, difficulty = np.array([-1.0, -0.3, 0.2, 1.1]), rng.normal(0, 2, 20_000)
    score = (rng.random((4, 20_000)) < expit(ability[:, None] - difficulty)).astype(float)
    assert plackett_luce(score) == pytest.approx(ability, abs=0.06)
    assert plackett_luce(score[:, rng.permutation(20_000)]) == pytest.approx(plackett_luce(score))


def test_borda_by_hand() -> None:
    assert borda(np.array([[0.9, 0.5], [0.7, 0.5], [0.1, 0.8]])).tolist() == [1.75, 2.25, 2.0]


def test_kemeny_is_the_best_of_all_orders_and_exchanges_come_close() -> None:
    rng = np.random.default_rng(0)
    votes = rng.integers(0, 10, (6, 6)).astype(float)

    def agreement(order) -> float:
        return sum(votes[order[i], order[j]] for i in range(6) for j in range(i + 1, 6))

    order, exact = kemeny_order(votes)
    assert exact
    assert agreement(order) == max(agreement(o) for o in permutations(range(6)))
    strong = np.arange(15)[::-1]
    many = (strong[:, None] > strong).astype(float)
    found, exact = kemeny_order(many)
    assert (found.tolist(), exact) == (list(range(15)), False)


def judged(rng: np.random.Generator, strength: np.ndarray, size: int) -> pd.DataFrame:
    pairs = np.array([rng.choice(len(strength), 2, replace=False) for _ in range(size)])
    won = rng.random(size) < expit(strength[pairs[:, 0]] - strength[pairs[:, 1]])
    names = np.array([f"m{number}" for number in range(len(strength))])
    winner = np.where(won, "a", "b")
    return pd.DataFrame({"model_a": names[pairs[:, 0]], "model_b": names[pairs[:, 1]], "winner": winner})


@pytest.mark.slow
def test_judged_strengths_are_recovered_and_covered() -> None:
    rng, strength = np.random.default_rng(0), np.array([-0.8, -0.2, 0.1, 0.9])
    hits = []
    for seed in range(25):
        table = bradley_terry(judged(rng, strength, 300), seed).table.sort_values("model")
        hits.append((table["lower"] <= strength) & (table["upper"] >= strength))
    assert 0.8 <= np.mean(hits) <= 0.98


def test_a_pair_of_judged_models_is_the_log_odds() -> None:
    judgements = pd.DataFrame(
        {"model_a": ["x"] * 100, "model_b": ["y"] * 100, "winner": ["a"] * 60 + ["b"] * 30 + ["tie"] * 10}
    )
    table = bradley_terry(judgements).table.set_index("model")
    assert table.loc["x", "strength"] - table.loc["y", "strength"] == pytest.approx(np.log(65 / 35), abs=0.01)
    assert stats.rankdata(-table["strength"]).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"winner": ["x", "b"]}, "row 0: winner is 'x'; use one of a, b, tie"),
        ({"model_b": ["p", "s"]}, "row 0 compares a model with itself"),
        ({}, "r, s never met p"),
    ],
)
def test_bad_judgements_are_one_line(change: dict, message: str) -> None:
    table = pd.DataFrame({"model_a": ["p", "r"], "model_b": ["q", "s"], "winner": ["a", "b"]}).assign(**change)
    with pytest.raises(InputError, match=message):
        bradley_terry(table)


def test_the_command_compares_two_models_all_models_and_judgements(world, tmp_path, capsys, monkeypatch) -> None:
    study, _ = world
    study.save(tmp_path / "study")
    judged(np.random.default_rng(0), np.array([0.0, 1.0]), 40).to_csv(tmp_path / "judged.csv", index=False)
    monkeypatch.setattr("capscope.profiles.comparison.leaderboard.DRAWS", 20)

    def run(*arguments: str) -> dict:
        monkeypatch.setattr(sys, "argv", ["capscope", "compare", *arguments, "--json"])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert not stopped.value.code
        return json.loads(capsys.readouterr().out)

    pair = run(str(tmp_path / "study"), "m07", "m00")
    assert (pair["a"], pair["rows"][0]["leader"]) == ("m07", "m07")
    assert {row["scope"] for row in pair["rows"]} == {"all", "benchmark", "dim"}
    assert run(str(tmp_path / "study"))["models"][0]["model"] == "m07"
    assert run(str(tmp_path / "judged.csv"))["models"][0]["model"] == "m1"
