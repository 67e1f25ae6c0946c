"""Comparisons: exact laws, coverage of every interval, and known winners."""

import json
import sys
from itertools import permutations

import numpy as np
import pytest
from scipy.special import expit

from capscope.cli import main
from capscope.errors import InputError
from capscope.profiles import compare_models, paired_difference, suite_aggregates
from capscope.profiles.comparison.leaderboard import contest_scores, item_wins
from capscope.profiles.comparison.rankings import borda, fit_strengths, kemeny_order
from profiles.worlds import judged, study_of


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


def test_an_interval_is_not_wide_where_tasks_do_not_differ() -> None:
    rng = np.random.default_rng(0)
    difference = rng.choice([1.0, -1.0, 0.0], 57 * 250, p=[0.25, 0.23, 0.52])
    found = paired_difference(difference, np.repeat(np.arange(57), 250), rng)
    assert found.upper - found.lower == pytest.approx(2 * 1.645 * difference.std() / np.sqrt(len(difference)), rel=0.1)


@pytest.mark.parametrize(("tasks", "likeness"), [(8, 0.3), (20, 0.6)])
def test_intervals_cover_where_tasks_disagree_on_the_leader(tasks: int, likeness: float) -> None:
    rng = np.random.default_rng(tasks)
    hits, task = [], np.repeat(np.arange(tasks), 25)
    for _ in range(200):
        # half of the items are level in every task; who wins the others differs by task
        lead = rng.beta(*(np.array([0.6, 0.4]) * (1 / likeness - 1)), tasks)[task]
        difference = np.where(rng.random(len(task)) < 0.5, 0.0, np.where(rng.random(len(task)) < lead, 1.0, -1.0))
        found = paired_difference(difference, task, rng)
        hits.append(found.lower <= 0.1 <= found.upper)
    assert 0.83 <= np.mean(hits) <= 0.97


def test_tasks_that_all_agree_leave_the_next_task_open() -> None:
    one = paired_difference(np.ones(20), np.zeros(20, int), np.random.default_rng(0))
    four = paired_difference(np.ones(20), np.arange(20) % 4, np.random.default_rng(0))
    assert four.lower < one.lower < 1


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
    found = compare_models(study, "m07", "m00")
    whole = found.table.iloc[0]
    assert whole["difference"] == pytest.approx((score[7] - score[0]).mean())
    assert (whole["leader"], whole["items"], whole["tasks"]) == ("m07", 600, 10)
    assert whole["ahead"] > 0.99
    gift = compare_models(study, "m01", "m02").table.set_index("name")
    assert gift.loc["A", "beyond_lower"] > 0
    assert abs(gift.loc["B", "beyond"]) < 0.08
    with pytest.raises(InputError, match="cannot be compared with itself"):
        compare_models(study, "m01", "m01")
    with pytest.raises(InputError, match="no responses by model 'm1'"):
        compare_models(study, "m1", "m01")


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


def test_strengths_from_items_are_the_rasch_model_without_difficulties() -> None:
    rng = np.random.default_rng(0)
    ability, difficulty = np.array([-1.0, -0.3, 0.2, 1.1]), rng.normal(0, 2, 20_000)
    score = (rng.random((4, 20_000)) < expit(ability[:, None] - difficulty)).astype(float)
    wins = item_wins(score)
    assert fit_strengths(wins) == pytest.approx(ability, abs=0.06)
    assert fit_strengths(item_wins(score[:, rng.permutation(20_000)])) == pytest.approx(fit_strengths(wins))
    # graded scores are contests too, and the fast count of wins is the plain one
    graded = score / 2 + 0.1
    assert item_wins(graded) == pytest.approx(wins)
    assert contest_scores(graded, wins) == pytest.approx(contest_scores(score, wins))


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


def test_the_command_compares_two_models_all_models_and_judgements(world, tmp_path, capsys, monkeypatch) -> None:
    study, _ = world
    study.save(tmp_path / "study")
    judged(np.random.default_rng(0), np.array([0.0, 1.0]), 40).to_csv(tmp_path / "judged.csv", index=False)

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


def test_two_models_with_equal_scores_are_level() -> None:
    answer = compare_models(study_of(np.tile([1.0, 0, 1, 1], (2, 1)), np.zeros(4, int)), "m00", "m01").answer
    assert answer.startswith("Neither m00 nor m01 is ahead") or answer.startswith("Neither m01 nor m00 is ahead")
