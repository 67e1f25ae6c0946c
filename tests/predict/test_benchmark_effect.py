"""Offsets of whole benchmarks: solved exactly, their spread recovered, and intervals that cover."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit, logit

from capscope.predict.outcomes import Outcomes
from capscope.predict.scores.benchmark import benchmark_intervals, coverage, exchangeable_groups
from capscope.predict.scores.benchmark_effect import (
    ENOUGH_ITEMS,
    NOTHING_SEEN,
    OFFSETS,
    TABLE_OWN_SD,
    TABLE_SD,
    EffectSd,
    LogOddsRows,
    effect_sd,
    offset_of,
    score_curve,
)


def test_the_curve_is_the_mean_of_shifted_chances() -> None:
    line = np.array([-1.0, 0.0, 2.0])
    np.testing.assert_allclose(score_curve(LogOddsRows.known(line))[80], expit(line).mean())
    np.testing.assert_allclose(score_curve(LogOddsRows.known(line))[100], expit(line + OFFSETS[100]).mean())
    many = np.random.default_rng(0).normal(0, 2, 20 * ENOUGH_ITEMS + 7)
    np.testing.assert_allclose(
        score_curve(LogOddsRows.known(many)), expit(many[:, None] + OFFSETS).mean(axis=0), atol=1e-3
    )


def test_the_offset_brings_the_score_right() -> None:
    # all items alike: the smoothed score (8 + .5) / (10 + 1) is an offset of its log-odds
    offset, variance = offset_of(score_curve(LogOddsRows.known(np.zeros(10))), 0.8, 10.0)
    assert offset == pytest.approx(logit(8.5 / 11), abs=0.01)
    assert variance == pytest.approx(1 / (11 * (8.5 / 11) * (2.5 / 11)), rel=0.05)
    assert np.isfinite(offset_of(score_curve(LogOddsRows.known(np.zeros(10))), 0.0, 10.0)).all()


def test_the_parts_of_offsets_are_recovered() -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(200):
        offset = 0.8 * rng.standard_normal(6) + 0.3 * rng.standard_normal((20, 1)) + 0.5 * rng.standard_normal((20, 6))
        variance = np.full(offset.shape, 0.04)
        offset = offset + 0.2 * rng.standard_normal(offset.shape)
        offset[rng.random(offset.shape) < 0.2] = np.nan
        spread = effect_sd(offset, np.where(np.isnan(offset), np.nan, variance))
        found.append([spread.benchmark**2, spread.model**2, spread.rest**2])
    np.testing.assert_allclose(np.mean(found, axis=0), [0.64, 0.09, 0.25], atol=0.04)


def test_what_all_models_share_is_not_taken_for_the_models_own() -> None:
    rng = np.random.default_rng(3)
    alone = [effect_sd(np.tile(0.7 * rng.standard_normal(12), (6, 1)), np.zeros((6, 12))) for _ in range(50)]
    # twelve benchmarks never lie evenly around 0, and six models go along with all of them
    assert max(spread.model for spread in alone) < 1e-6
    assert np.mean([spread.benchmark**2 for spread in alone]) == pytest.approx(0.49, rel=0.15)
    mixed = [0.7 * rng.standard_normal(12) + 0.4 * rng.standard_normal((6, 1)) for _ in range(200)]
    found = [effect_sd(offset, np.zeros((6, 12))).model ** 2 for offset in mixed]
    assert np.mean(found) == pytest.approx(0.16, rel=0.15)


def test_one_model_or_one_benchmark_leaves_all_to_the_rest() -> None:
    one = effect_sd(np.array([[0.5, -0.7]]), np.zeros((1, 2)))
    assert (one.benchmark, one.groups) == (0, 2)
    assert one.rest**2 == pytest.approx((0.25 + 0.49) / 2 - max(-0.35, 0))
    assert effect_sd(np.array([[0.5], [-0.7]]), np.zeros((2, 1))).model == 0


def test_before_any_benchmark_is_seen_a_score_could_be_almost_anything() -> None:
    drawn = NOTHING_SEEN.cautious().draws(1, 1, np.random.default_rng(0), 4000)
    assert (np.abs(drawn) > 2).mean() > 0.4
    many = EffectSd(0.5, 0.0, 0.5, 1000.0).cautious()
    assert many.benchmark == pytest.approx(0.5, abs=0.03)


def test_the_prior_of_published_tables_counts_as_three_benchmarks_and_fades() -> None:
    few, many = EffectSd(0.5, 0.2, 0.3, 3.0).published(), EffectSd(0.5, 0.2, 0.3, 3000.0).published()
    assert few.groups == 6
    assert few.benchmark == pytest.approx(np.sqrt((0.5**2 + TABLE_SD**2) / 2))
    assert (few.model, few.rest) == (0.2, pytest.approx(np.sqrt((0.3**2 + TABLE_OWN_SD**2) / 2)))
    assert many.benchmark == pytest.approx(0.5, abs=0.01)


def test_without_labels_intervals_cover_and_lose_width_where_benchmarks_differ_as_published_ones_do() -> None:
    rng, inside, width = np.random.default_rng(0), [], []
    for _ in range(300):
        effect = TABLE_SD * rng.standard_normal(4) + TABLE_OWN_SD * rng.standard_normal((12, 4))
        past = effect_sd(effect[:, :3], np.full((12, 3), 1e-9))
        priors = past, past.published()
        reach = [stats.t.ppf(0.9, prior.groups) * np.hypot(prior.benchmark, prior.own) for prior in priors]
        inside.append([(np.abs(effect[:, 3]) < each).mean() for each in reach])
        width.append(reach)
    assert np.abs(np.mean(inside, axis=0) - 0.8).max() < 0.06
    assert np.std(width, axis=0)[1] < 0.5 * np.std(width, axis=0)[0]


def test_held_out_benchmarks_are_as_sure_as_published_ones_allow() -> None:
    outcomes = world(np.random.default_rng(5), 2, 1, (0.8, 0.0))
    made = [
        benchmark_intervals(outcomes, outcomes.benchmark, np.random.default_rng(0), held_out)
        for held_out in ("items", "benchmarks")
    ]
    plain, published = (coverage(each)["width_80"] for each in made)
    assert published != plain
    assert 0.3 < published < 0.8


def world(rng: np.random.Generator, n_benchmarks: int, tasks: int, sds: tuple[float, float]) -> Outcomes:
    """Six models on benchmarks of several tasks, each with an effect that nobody predicted."""
    n_models, items = 6, 400 // tasks
    benchmark, task, _ = np.indices((n_benchmarks, tasks, items)).reshape(3, -1)
    task = benchmark * tasks + task
    effect = sds[0] * rng.standard_normal(n_benchmarks)[benchmark]
    effect = effect + sds[1] * rng.standard_normal(n_benchmarks * tasks)[task]
    line = rng.normal(0, 1, (n_models, 1)) + rng.normal(0, 1, benchmark.size)
    score = (rng.random(line.shape) < expit(line + effect)).astype(float)
    model = np.repeat(np.arange(n_models), benchmark.size)
    tiled = [np.tile(each, n_models) for each in (task, benchmark)]
    return Outcomes(model, *tiled, score.ravel(), expit(line).ravel())


def covered(benchmarks: int, n_benchmarks: int, tasks: int, sds: tuple[float, float]) -> dict[str, float]:
    """Coverage over many benchmarks, in worlds of a few each."""
    rng = np.random.default_rng(7)
    found = []
    for _ in range(benchmarks // n_benchmarks):
        outcomes = world(rng, n_benchmarks, tasks, sds)
        group = exchangeable_groups(outcomes) if tasks > 1 else outcomes.benchmark
        found.append(coverage(benchmark_intervals(outcomes, group, rng)))
    return {name: float(np.mean([each[name] for each in found])) for name in found[0]}


def test_intervals_of_held_out_models_learn_from_other_models() -> None:
    # models depart from their predictions on one benchmark by 1 log-odds, on the other hardly
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        model, benchmark, _ = np.indices((12, 2, 60)).reshape(3, -1)
        effect = rng.standard_normal((12, 2)) * np.array([1.0, 0.2])
        line = rng.normal(0, 1, model.size)
        score = (rng.random(model.size) < expit(line + effect[model, benchmark])).astype(float)
        outcomes = Outcomes(model, benchmark, benchmark, score, expit(line))
        found.append(benchmark_intervals(outcomes, exchangeable_groups(outcomes, "models"), rng, "models"))
    for _, intervals in pd.concat(found).groupby("benchmark"):
        shares = coverage(intervals)
        # 144 models: a rate of .8 is known to .033
        assert shares["coverage_80"] == pytest.approx(0.8, abs=0.07)
        assert shares["coverage_95"] == pytest.approx(0.95, abs=0.04)


def test_two_held_out_models_use_other_benchmarks() -> None:
    outcomes = world(np.random.default_rng(3), 2, 1, (0.8, 0.0))
    few = outcomes.rows(np.flatnonzero(outcomes.model < 2))
    made = [
        benchmark_intervals(few, few.benchmark, np.random.default_rng(0), held_out) for held_out in ("items", "models")
    ]
    pd.testing.assert_frame_equal(*made)


def test_intervals_of_benchmark_scores_cover() -> None:
    # all models share a benchmark's effect, so the count behind each rate is 90 benchmarks
    found = covered(90, 6, 1, (0.8, 0.0))
    assert found["coverage_50"] == pytest.approx(0.5, abs=0.12)
    assert found["coverage_80"] == pytest.approx(0.8, abs=0.1)
    assert found["coverage_95"] > 0.88
    assert found["width_80"] < 0.6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_benchmarks", "tasks", "sds"),
    [(6, 1, (0.8, 0.0)), (4, 1, (0.8, 0.0)), (6, 4, (0.0, 0.7)), (6, 4, (0.5, 0.5)), (2, 12, (0.0, 0.7))],
)
def test_intervals_of_benchmark_scores_cover_at_their_nominal_rates(n_benchmarks, tasks, sds) -> None:
    found = covered(900, n_benchmarks, tasks, sds)
    for level in (0.5, 0.8, 0.95):
        # three points, and one standard error of a rate over 900 benchmarks
        allowed = 0.03 + np.sqrt(level * (1 - level) / 900)
        assert found[f"coverage_{level * 100:.0f}"] == pytest.approx(level, abs=allowed)
