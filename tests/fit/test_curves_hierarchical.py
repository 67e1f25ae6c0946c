"""The hierarchical curves: calibrated on simulated data, close to NUTS on the published counts, lawful everywhere."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit

from capscope.data import LevelCounts, read_level_counts, shipped
from capscope.errors import FitError, InputError
from capscope.fit import CurvePosterior, CurveWorld, Fit, fit_curves, load_fit, save_fit, simulate_counts
from capscope.fit.curves.program import CurveProgram, curve_data
from capscope.fit.engines import laplace
from capscope.fit.engines.laplace import fit_laplace
from capscope.fit.engines.precision import ArrowFactor, DenseFactor
from capscope.fit.links import curve_log_odds
from capscope.fit.tensor_links import curve_area

ARTIFACT = "artifacts/adele-v1"


def even_design(n_models: int, n_dims: int, rng: np.random.Generator) -> np.ndarray:
    n = np.zeros((n_models, n_dims, 6))
    n[:, :, 1:] = rng.choice([20, 60, 200, 600], (1, n_dims, 5))
    return n


@pytest.fixture(scope="module")
def published() -> Fit[CurvePosterior]:
    return fit_curves(read_level_counts(shipped(ARTIFACT) / "level_counts.csv"))


@pytest.fixture(scope="module")
def small() -> Fit[CurvePosterior]:
    rng = np.random.default_rng(5)
    counts, _ = simulate_counts(even_design(6, 4, rng), CurveWorld(), rng)
    return fit_curves(counts, draws=300)


def test_area_is_the_integral_of_the_curve() -> None:
    grid = np.linspace(0, 10, 20001)
    for midpoint, slope in [(3.0, 1.2), (-2.0, 0.4), (9.0, 0.3), (15.0, 2.0)]:
        expected = np.trapezoid(expit(curve_log_odds(midpoint, slope, grid)), grid)
        found = curve_area(torch.tensor([midpoint]).double(), torch.tensor([slope]).double())
        assert float(found[0]) == pytest.approx(expected, abs=1e-7)


@pytest.mark.slow
def test_intervals_are_calibrated_on_simulated_counts() -> None:
    z, covered = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        counts, true = simulate_counts(even_design(12, 8, rng), CurveWorld(), rng)
        posterior = fit_curves(counts, seed=seed, draws=400).posterior
        lower, upper = posterior.ability_interval(0.9)
        z.append((posterior.ability_mean - true) / posterior.ability_sd)
        covered.append((lower <= true) & (true <= upper))
    assert 0.85 <= np.mean(covered) <= 0.95
    assert 0.9 <= np.std(z) <= 1.1
    assert abs(np.mean(z)) < 0.15


def test_recovery_has_the_right_slope_and_spread() -> None:
    rng = np.random.default_rng(11)
    counts, true = simulate_counts(even_design(15, 10, rng), CurveWorld(), rng)
    found = fit_curves(counts, draws=300).posterior.ability_mean
    slope = np.polyfit(true.ravel(), found.ravel(), 1)[0]
    assert 0.95 <= slope <= 1.05
    assert found.std() / true.std() == pytest.approx(1, abs=0.05)


def test_fewer_answers_give_a_wider_interval() -> None:
    rng = np.random.default_rng(7)
    n = np.zeros((10, 6, 6))
    n[:, :, 1:] = 300
    n[0, :, 1:] = 8
    counts, _ = simulate_counts(n, CurveWorld(), rng)
    sd = fit_curves(counts, draws=300).posterior.ability_sd.mean(axis=1)
    assert sd[0] > 1.5 * sd[1:].max()


def test_published_profiles_agree_with_the_shipped_nuts_run(published: Fit[CurvePosterior]) -> None:
    reference = pd.read_csv(shipped(ARTIFACT) / "hierarchical_reference.csv")
    posterior = published.posterior
    shape = (len(posterior.models), len(posterior.dims))
    assert list(reference["model"].unique()) == list(posterior.models)
    mean, sd = (reference[column].to_numpy().reshape(shape) for column in ("mean", "sd"))
    assert np.abs((posterior.ability_mean - mean) / sd).max() < 0.5
    assert (posterior.ability_sd / sd).min() > 0.8
    assert (posterior.ability_sd / sd).max() < 1.25
    made = json.loads((shipped(ARTIFACT) / "hierarchical_reference.json").read_text())
    assert posterior.concentration.mean() == pytest.approx(made["mean_concentration"], rel=0.1)
    assert posterior.level_effect_sd.mean() == pytest.approx(made["mean_level_effect_sd"], rel=0.1)


def test_dimension_effects_do_not_collapse(published: Fit[CurvePosterior]) -> None:
    assert published.status.converged
    assert published.posterior.residual_sd.min() > 0.08


@pytest.mark.slow
def test_nuts_agrees_with_laplace_on_a_small_world(small: Fit[CurvePosterior]) -> None:
    posterior = small.posterior
    counts = LevelCounts(posterior.models, posterior.dims, posterior.n, posterior.correct)
    judge = fit_curves(counts, engine="nuts", draws=600, seed=3).posterior
    assert np.abs((posterior.ability_mean - judge.ability_mean) / judge.ability_sd).max() < 0.5
    assert 0.75 < np.median(posterior.ability_sd / judge.ability_sd) < 1.1


def test_same_seed_same_bits_whatever_the_global_seed(small: Fit[CurvePosterior]) -> None:
    posterior = small.posterior
    counts = LevelCounts(posterior.models, posterior.dims, posterior.n, posterior.correct)
    torch.manual_seed(99)
    again = fit_curves(counts, draws=300).posterior
    assert np.array_equal(posterior.ability, again.ability)


def test_permuting_models_and_dims_permutes_the_answer(small: Fit[CurvePosterior]) -> None:
    posterior = small.posterior
    models, dims = np.array([3, 1, 5, 0, 2, 4]), np.array([2, 0, 3, 1])
    counts = LevelCounts(
        tuple(posterior.models[row] for row in models),
        tuple(posterior.dims[column] for column in dims),
        posterior.n[models][:, dims],
        posterior.correct[models][:, dims],
    )
    permuted = fit_curves(counts, draws=2000).posterior
    expected = posterior.ability_mean[models][:, dims]
    np.testing.assert_allclose(permuted.ability_mean, expected, atol=4 * posterior.ability_sd.max() / np.sqrt(300))


def test_chances_rise_with_ability_and_fall_with_demand(published: Fit[CurvePosterior]) -> None:
    posterior = published.posterior
    grid = np.linspace(0, 6, 25)
    for dim in posterior.dims:
        strong, weak = (posterior.curve(model, dim, grid).mean(axis=1) for model in ("o1", "Babbage-002"))
        assert (np.diff(strong) < 0).all()
        assert (strong > weak).all()


def test_item_chances_follow_the_dominant_dimension(small: Fit[CurvePosterior]) -> None:
    posterior = small.posterior
    level = np.array([[1.0, 0, 0, 0], [3, 0, 0, 0], [5, 0, 0, 0], [3, 2, 1, 0]])
    log_odds = posterior.item_log_odds(level, np.random.default_rng(0))
    assert (np.diff(log_odds.mean(axis=2)[:, :3], axis=1) < 0).all()
    assert np.array_equal(log_odds[:, 1], log_odds[:, 3]), "demands below the highest do not change a slice"


def test_a_tie_averages_the_curves(small: Fit[CurvePosterior]) -> None:
    posterior = small.posterior
    rng = np.random.default_rng
    alone = [posterior.item_log_odds(np.eye(4)[[dim]] * 3, rng(0)) for dim in (0, 1)]
    tie = posterior.item_log_odds(np.array([[3.0, 3, 0, 0]]), rng(0))
    np.testing.assert_allclose(tie, (alone[0] + alone[1]) / 2)


def test_support_is_the_smallest_count_among_dominant_cells(small: Fit[CurvePosterior]) -> None:
    posterior = small.posterior
    level = np.array([[4.0, 4, 0, 0], [0, 0, 2, 0]])
    per_model = posterior.n.mean(axis=0)
    expected = [min(per_model[0, 4], per_model[1, 4]), per_model[2, 2]]
    np.testing.assert_allclose(posterior.support(level), expected)


def test_round_trip(small: Fit[CurvePosterior], tmp_path) -> None:
    save_fit(small, tmp_path / "fit")
    again = load_fit(tmp_path / "fit")
    assert again.status == small.status
    assert np.array_equal(again.posterior.ability, small.posterior.ability)
    assert np.array_equal(again.posterior.classical.ability, small.posterior.classical.ability)


def test_no_answers_above_level_zero_is_one_line() -> None:
    n = np.zeros((2, 1, 6))
    n[:, :, 0] = 10
    with pytest.raises(FitError, match="no answers at demand level 1 or above; annotate"):
        fit_curves(LevelCounts(("a", "b"), ("X",), n, n))


def test_unknown_model_names_the_nearest(small: Fit[CurvePosterior]) -> None:
    with pytest.raises(InputError, match=r'no model .model-0O.* \(did you mean "model-0'):
        small.posterior.model_position("model-0O")


def test_dimensions_without_answers_are_left_out_and_named() -> None:
    rng = np.random.default_rng(8)
    n = even_design(5, 4, rng)
    n[:, 1, 1:] = 0
    n[:, 2, 2:] = 0
    counts, _ = simulate_counts(n, CurveWorld(), rng)
    fit = fit_curves(counts, draws=50)
    assert fit.posterior.dims == ("D00", "D02", "D03")
    assert fit.status.advice[0].startswith("left out D01: no answer at level 1 or above")
    assert fit.status.advice[1].startswith("D02: answers at one level only")


def test_model_by_model_is_the_same_approximation_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    counts, _ = simulate_counts(even_design(5, 3, rng), CurveWorld(), rng)
    program = CurveProgram(curve_data(counts))
    dense = fit_laplace(program)
    monkeypatch.setattr(laplace, "MOST_DENSE", 0)
    arrow = fit_laplace(program)
    assert isinstance(dense.factor, DenseFactor)
    assert isinstance(arrow.factor, ArrowFactor)
    assert arrow.change == pytest.approx(dense.change, abs=1e-7)
    for name, value in (dense.variances | dense.dispersion).items():
        torch.testing.assert_close((arrow.variances | arrow.dispersion)[name], value, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(arrow.mode, dense.mode, rtol=1e-7, atol=1e-7)
    eye = torch.eye(len(dense.mode), dtype=torch.float64)
    roots = [fit.factor.colour(eye) for fit in (arrow, dense)]
    torch.testing.assert_close(roots[0] @ roots[0].T, roots[1] @ roots[1].T, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(arrow.factor.half_log_determinant(), dense.factor.half_log_determinant())
    torch.testing.assert_close(arrow.factor.solve(eye[0]), dense.factor.solve(eye[0]), rtol=1e-6, atol=1e-8)
