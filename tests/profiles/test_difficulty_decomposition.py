"""What explains difficulty: exact laws of the shares, recovery and coverage in worlds with known truth."""

from dataclasses import replace

import numpy as np
import pytest

from capscope.data import Demands, Responses, Study
from capscope.errors import FitError
from capscope.fit import IRTSettings, fit_irt
from capscope.profiles import (
    Difficulties,
    ExplainSettings,
    Separation,
    difficulty_shares,
    explain,
    held_out_shares,
    separation,
)
from capscope.profiles.benchmark.difficulty_decomposition import entry_orders, order_shares
from capscope.profiles.benchmark.report import explanation_text
from capscope.profiles.item_groups import clusters_of
from profiles.worlds import DIMS, demand_world, study_of


def test_shares_of_one_order_add_up_to_r_squared() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 6)) @ rng.standard_normal((6, 6))
    y = x @ rng.standard_normal(6) + rng.standard_normal(200)
    cov = np.cov(np.column_stack([x, y]).T, ddof=0)
    shares = order_shares(cov, entry_orders(6, rng))
    fitted = (x - x.mean(0)) @ np.linalg.lstsq(x - x.mean(0), y - y.mean(), rcond=None)[0]
    assert shares.sum() == pytest.approx(fitted.var(), rel=1e-6)
    assert (shares >= 0).all()


def test_unrelated_demands_get_what_they_explain_alone() -> None:
    cov = np.diag([1.0, 4, 1, 5])
    cov[:3, 3] = cov[3, :3] = [1, 2, 0]
    assert order_shares(cov, entry_orders(3, np.random.default_rng(0))) == pytest.approx([1, 1, 0], abs=1e-6)


def test_twins_share_alike_and_a_constant_gets_nothing() -> None:
    cov = np.array([[1, 0.999999, 0, 1], [0.999999, 1, 0, 1], [0, 0, 0, 0], [1, 1, 0, 2.0]])
    assert order_shares(cov, entry_orders(3, np.random.default_rng(0))) == pytest.approx([0.5, 0.5, 0], abs=1e-3)


def estimated(rng: np.random.Generator, tasks: int, noise: float) -> tuple[Difficulties, np.ndarray, np.ndarray]:
    """Difficulties known up to noise: A explains 1, B 0.25, C nothing, the task 0.25 and the rest 1 of the variance."""
    task = np.repeat(np.arange(tasks), 25)
    level = rng.standard_normal((len(task), 3))
    value = level @ [1, 0.5, 0] + 0.5 * rng.standard_normal(tasks)[task] + rng.standard_normal(len(task))
    variance = noise * rng.uniform(0.5, 1.5, len(task))
    ids = tuple(f"i{i:04d}" for i in range(len(task)))
    observed = value + np.sqrt(variance) * rng.standard_normal(len(task))
    return Difficulties(ids, observed, variance, 2.5), level, task


@pytest.mark.parametrize("noise", [0.05, 1.5])
def test_intervals_cover_true_shares_whatever_the_noise(noise: float) -> None:
    rng = np.random.default_rng(3)
    truth = {"A": 1 / 2.5, "B": 0.25 / 2.5, "C": 0.0}
    hits, points = dict.fromkeys(truth, 0), []
    for _ in range(80):
        difficulty, level, task = estimated(rng, 24, noise)
        table = difficulty_shares(difficulty, level, ("A", "B", "C"), task, rng).table.set_index("dim")
        points.append(table["share"])
        for dim, share in truth.items():
            hits[dim] += table.loc[dim, "lower"] <= share <= table.loc[dim, "upper"]
    mean = sum(points) / 80
    assert mean[list(truth)].tolist() == pytest.approx(list(truth.values()), abs=0.02)
    # a share of nothing has a skewed estimate, so its interval is allowed to be wide
    assert all(0.82 <= hits[dim] / 80 <= 0.98 for dim in "AB")
    assert hits["C"] / 80 >= 0.82


def test_held_out_shares_find_what_demands_explain_and_that_empty_text_adds_nothing() -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(12):
        difficulty, level, task = estimated(rng, 40, 0.8)
        noise = rng.standard_normal((len(task), 5))
        found.append(held_out_shares(difficulty, level, noise, task, rng))
    on = {(row.predictors, row.held_out): [] for row in found[0].table.itertuples()}
    for one in found:
        for row in one.table.itertuples():
            on[row.predictors, row.held_out].append(row.share)
    assert np.mean(on["demands", "items"]) == pytest.approx(0.5, abs=0.03)
    assert np.mean(on["demands", "tasks"]) == pytest.approx(0.5, abs=0.03)
    assert np.mean(on["task+demands+text", "items"]) == pytest.approx(0.6, abs=0.05)
    assert np.mean([one.unexplained for one in found]) == pytest.approx(0.4, abs=0.05)
    # what is learnt from noise costs a little on held-out items, and never helps
    added = [row for one in found for row in one.text_adds.itertuples()]
    assert all(-0.02 < row.share < 0.01 and row.lower < 0.01 for row in added)


@pytest.fixture(scope="module")
def explained():
    return explain(demand_world(0)[0], ExplainSettings())


def test_a_world_of_answers_gives_back_its_shares(explained) -> None:
    shares = explained.responses.shares
    by_dim = shares.table.set_index("dim")
    assert list(shares.table["dim"][:2]) == ["A", "B"]
    assert by_dim.loc["A", "slope"] == pytest.approx(0.6, abs=0.12)
    assert by_dim.loc["B", "slope"] == pytest.approx(0.3, abs=0.12)
    assert abs(by_dim.loc[["C", "D"], "slope"]).max() < 0.12
    # levels have a variance near 1.7; the rest has 1
    assert shares.explained.point == pytest.approx(0.42, abs=0.1)
    assert shares.spread == pytest.approx(1.3, abs=0.15)


def test_models_that_respond_alike_are_not_said_to_differ(explained) -> None:
    table = explained.responses.separation.table
    assert table["lower"].max() < 0.1
    assert explained.responses.separation.general == pytest.approx(1.0, abs=0.25)


def bent_world(seed: int) -> tuple[Study, np.ndarray]:
    """Models that respond differently to D: the study, and the slope of each."""
    rng = np.random.default_rng(seed)
    task, models = np.arange(900) % 30, 20
    level = np.clip(np.round(rng.uniform(1, 4, (30, 4))[task] + rng.standard_normal((900, 4))), 0, 5)
    standard = (level[:, 3] - level[:, 3].mean()) / level[:, 3].std()
    bend = 0.5 * rng.standard_normal(models)
    logit = rng.standard_normal((models, 1)) - rng.standard_normal(900) + bend[:, None] * standard
    score = (rng.random(logit.shape) < 1 / (1 + np.exp(-logit))).astype(float)
    return study_of(score, task, level), bend


def separated(study: Study) -> Separation:
    responses = Responses.of(study)
    fit = fit_irt(responses, IRTSettings(model="rasch")).posterior
    levels = Demands.of(study).at(fit.items)
    return separation(fit, responses, (levels, DIMS), clusters_of(study, fit.items), np.random.default_rng(0))


def test_a_dimension_on_which_models_differ_is_found_and_covered() -> None:
    hits = []
    for seed in range(6):
        study, bend = bent_world(seed)
        first, spread = separated(study).table.iloc[0], bend.std(ddof=1)
        assert first["dim"] == "D"
        assert bend[int(first["best"][1:])] > bend.max() - 0.3 > bend[int(first["worst"][1:])] + 0.3
        assert first["spread"] == pytest.approx(spread, rel=0.15)
        hits.append(first["lower"] <= spread <= first["upper"])
    assert sum(hits) >= 4


def test_no_spread_where_a_level_hardly_varies(explained) -> None:
    rng = np.random.default_rng(0)
    task = np.arange(300) % 30
    level = np.clip(np.round(rng.uniform(1, 4, (30, 4))[task] + rng.standard_normal((300, 4))), 0, 5)
    level[:, 2] = 3.0 + 0.01 * rng.standard_normal(300)
    level[:, 3] = 0.0
    level[:5, 3] = 4.0
    logit = rng.standard_normal((10, 1)) - rng.standard_normal(300)
    table = separated(study_of((rng.random(logit.shape) < 1 / (1 + np.exp(-logit))) * 1.0, task, level)).table
    rows = table.set_index("dim")
    assert rows.loc[["C", "D"], ["spread", "lower", "upper"]].isna().all(axis=None)
    assert rows.loc[["A", "B"], ["spread", "lower", "upper"]].notna().all(axis=None)
    assert not rows.loc[["C", "D"], "best"].any()
    responses = replace(explained.responses, separation=replace(explained.responses.separation, table=table))
    text = explanation_text(replace(explained, responses=responses))
    assert "the level hardly varies between these items" in text


def test_without_answers_the_demands_are_explained_and_a_note_says_why() -> None:
    study, _ = demand_world(0, n_items=60)
    found = explain(type(study).of(study.items, demands=study.demands), ExplainSettings())
    assert found.responses is None
    assert "add responses.parquet" in found.notes[0]
    assert found.demand.dims == DIMS


def test_too_few_items_for_shares_is_one_line() -> None:
    difficulty, level, task = estimated(np.random.default_rng(0), 24, 0.1)
    ten, rng = difficulty.take(np.arange(10)), np.random.default_rng(0)
    with pytest.raises(FitError, match="10 items have levels and answers; shares of 3 demands need 15"):
        difficulty_shares(ten, level[:10], ("A", "B", "C"), task[:10], rng)


def test_shares_of_few_items_stay_within_all_and_nothing() -> None:
    for seed in range(6):
        difficulty, level, task = estimated(np.random.default_rng(seed), 4, 2.0)
        shares = difficulty_shares(difficulty, level, ("A", "B", "C"), task, np.random.default_rng(0))
        stated = shares.table[["share", "lower", "upper"]].to_numpy()
        stated = np.append(stated, [shares.explained.point, shares.explained.lower, shares.explained.upper])
        assert ((stated >= 0) & (stated <= 1) | np.isnan(stated)).all()
        held_out = held_out_shares(difficulty, level, None, task, np.random.default_rng(0)).table
        assert held_out[["share", "lower", "upper"]].abs().max(axis=None) <= 1
