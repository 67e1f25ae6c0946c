"""The demand-ability model: recovery, calibration over tasks and benchmarks, monotone demands, floors, refusals."""

from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, ndtri

from capscope.data import Responses, typical_levels, with_gaps_filled
from capscope.errors import FitError
from capscope.fit import DemandItems, DemandSettings, draw_demand_chances, fit_demand, load_fit, save_fit

EFFECT = np.array([-0.9, -0.5, 0.0])


@dataclass(frozen=True)
class Size:
    """How large a world is, and how high its chance of a guess."""

    n_models: int = 25
    n_items: int = 600
    n_tasks: int = 30
    n_benchmarks: int = 1
    floor: float = 0.0


def world(seed: int, size: Size = Size()) -> tuple[Responses, DemandItems, np.ndarray, np.ndarray]:
    """Simulate answers with demands, model slopes, task and benchmark effects and item departures."""
    n_models, n_items, n_tasks, n_benchmarks, floor = astuple(size)
    rng = np.random.default_rng(seed)
    task = np.arange(n_items) % n_tasks
    benchmark = task % n_benchmarks
    level = np.clip(rng.normal(2.5, 1.2, (n_items, 3)), 0, 5).round()
    ability = rng.normal(0.3, 1.0, n_models)
    slopes = rng.normal(0, 0.15, (n_models, 3))
    item = (level - 2.5) @ EFFECT + 0.6 * rng.standard_normal(n_tasks)[task] + 0.7 * rng.standard_normal(n_items)
    item = item + 1.0 * rng.standard_normal(n_benchmarks)[benchmark] * (n_benchmarks > 1)
    truth = ability[:, None] + slopes @ (level - 2.5).T + item
    chance = floor + (1 - floor) * expit(truth)
    score = (rng.random(chance.shape) < chance).astype(float)
    names = tuple(f"i{number:04d}" for number in range(n_items))
    models = tuple(f"m{number:02d}" for number in range(n_models))
    rows = np.indices(score.shape).reshape(2, -1)
    matrix = Responses(models, names, rows[0], rows[1], score.ravel(), np.ones(score.size))
    items = DemandItems(level, None, None, tuple(map(str, task)), tuple(map(str, benchmark)), np.full(n_items, floor))
    return matrix, items, truth, ability


def test_effects_of_demands_and_abilities_are_recovered_with_slope_and_spread() -> None:
    matrix, items, _, ability = world(0)
    fit = fit_demand(matrix, items, ("A", "B", "C"))
    posterior = fit.posterior
    assert fit.status.converged
    effect = posterior.weight[:3] / posterior.basis.scale
    assert effect == pytest.approx(EFFECT, abs=0.12)
    assert np.polyfit(ability, posterior.ability_mean[:, 0], 1)[0] == pytest.approx(1, abs=0.15)
    assert posterior.residual_sd == pytest.approx(0.7, abs=0.12)
    task_sd = posterior.group_sd[3] * np.sqrt(8 / 6)  # the variance of a Student-t with 8 degrees of freedom
    assert 0.35 < task_sd < 1.0


@pytest.mark.parametrize("held_out", ["item", "task"])
def test_intervals_of_new_items_and_tasks_hold_the_truth(held_out: str) -> None:
    inside: dict[float, list[float]] = {0.5: [], 0.8: [], 0.95: []}
    for seed in range(10):
        matrix, items, truth, _ = world(seed, Size(n_tasks=40))
        by_task = np.isin(items.task, [str(number) for number in range(10)])
        test = by_task if held_out == "task" else np.random.default_rng(seed).random(len(matrix.items)) < 0.25
        posterior = fit_demand(matrix.rows(~test[matrix.item_index]), items).posterior
        rows = np.flatnonzero(test[matrix.item_index])
        model, item = matrix.model_index[rows], matrix.item_index[rows]
        found = posterior.log_odds(model, items, np.full(len(matrix.items), -1), item)
        z = (truth[model, item] - found.mean) / np.sqrt(found.variance)
        for level, shares in inside.items():
            shares.append(float(np.mean(np.abs(z) < ndtri((1 + level) / 2))))
    for level, shares in inside.items():
        assert np.mean(shares) == pytest.approx(level, abs=0.03), level


def test_missing_levels_of_learnt_and_new_items_leave_slope_and_spread() -> None:
    z: list[np.ndarray] = []
    for seed in range(3):
        matrix, items, truth, _ = world(seed, Size(n_models=15, n_items=500))
        level, test = items.demands, np.arange(500) % 4 == 0
        assert level is not None
        gappy = np.where(np.random.default_rng(seed).random(level.shape) < 0.1, np.nan, level)
        filled, sd = with_gaps_filled(gappy, np.zeros_like(gappy), typical_levels(gappy))
        items = replace(items, demands=filled, demand_sd=sd)
        posterior = fit_demand(matrix.rows(~test[matrix.item_index]), items).posterior
        assert posterior.weight[:3] / posterior.basis.scale == pytest.approx(EFFECT, abs=0.15)
        model, item = (index.ravel() for index in np.meshgrid(np.arange(15), np.flatnonzero(test), indexing="ij"))
        found = posterior.log_odds(model, items, np.full(len(matrix.items), -1), item)
        z.append(((truth[model, item] - found.mean) / np.sqrt(found.variance)).reshape(15, -1))
        lacking = np.isnan(gappy).any(axis=1)[test]
        assert found.variance.reshape(15, -1)[:, lacking].mean() > found.variance.reshape(15, -1)[:, ~lacking].mean()
    assert np.std(np.concatenate([each.ravel() for each in z])) == pytest.approx(1, abs=0.1)


def test_a_new_benchmark_is_less_certain_than_a_new_task() -> None:
    matrix, items, _, _ = world(1, Size(n_benchmarks=5))
    posterior = fit_demand(matrix, items).posterior
    one = items.at(np.arange(1))
    row, unknown = np.zeros(1, dtype=np.int64), np.full(1, -1)
    known = posterior.log_odds(row, one, unknown, row)
    task = posterior.log_odds(
        row, DemandItems(one.demands, None, None, ("new",), one.benchmark, one.floor), unknown, row
    )
    both = posterior.log_odds(row, DemandItems(one.demands, None, None, ("new",), ("new",), one.floor), unknown, row)
    assert known.variance < task.variance < both.variance
    assert known.shared == task.shared == 0 < both.shared


def test_no_demand_raises_a_monotone_chance_and_parts_add_up() -> None:
    matrix, items, _, _ = world(2, Size(n_models=12, n_items=200))
    assert items.demands is not None
    helping = replace(items, demands=5 - items.demands)
    posterior = fit_demand(matrix, helping).posterior
    levels = np.tile(np.linspace(0, 5, 6)[:, None], (1, 3))
    ladder = DemandItems(levels, None, None, ("0",) * 6, ("0",) * 6, np.zeros(6))
    model, item = np.repeat(np.arange(12), 6), np.tile(np.arange(6), 12)
    found = posterior.log_odds(model, ladder, np.full(6, -1), item)
    assert (np.diff(found.mean.reshape(12, 6), axis=1) <= 1e-9).all()
    parts = posterior.parts(model, ladder, np.full(6, -1), item)
    assert parts.shape[1] == len(posterior.part_names)
    assert parts.sum(axis=1) == pytest.approx(found.mean)


def test_a_known_floor_is_not_taken_for_ability() -> None:
    matrix, items, truth, _ = world(3, Size(floor=0.25))
    posterior = fit_demand(matrix, items).posterior
    model, item = matrix.model_index, matrix.item_index
    found = posterior.log_odds(model, items, np.arange(len(matrix.items)), item)
    assert found.probability.min() > 0.25
    assert np.polyfit(truth[model, item], found.mean, 1)[0] == pytest.approx(0.95, abs=0.15)


def test_noisier_levels_widen_the_chances() -> None:
    matrix, items, _, _ = world(4, Size(n_models=8, n_items=150))
    posterior = fit_demand(matrix, items).posterior
    noisy = DemandItems(items.demands, np.full((150, 3), 1.0), None, items.task, items.benchmark, items.floor)
    row = np.zeros(1, dtype=np.int64)
    exact, blurred = (posterior.log_odds(row, each, np.full(150, -1), row).variance for each in (items, noisy))
    assert blurred > exact + 0.3


def test_texts_of_new_items_alone_do_not_move_their_chances() -> None:
    matrix, items, _, _ = world(6, Size(n_models=6, n_items=40))
    blank, row = replace(items, text=np.zeros((40, 3))), np.zeros(1, dtype=np.int64)
    posterior = fit_demand(matrix, blank).posterior
    with_texts = replace(items, text=np.random.default_rng(0).normal(size=(40, 3)))
    new = [posterior.log_odds(row, each, np.full(40, -1), row) for each in (blank, with_texts)]
    assert new[1].variance == new[0].variance, "nothing is known of texts, so that they may not blow up the variance"
    assert new[1].variance < 20


def test_refusals_are_one_line() -> None:
    matrix, items, _, _ = world(5, Size(n_models=4, n_items=60))
    with pytest.raises(FitError, match="interactions are not monotone"):
        DemandSettings(interactions=True)
    posterior = fit_demand(matrix, items).posterior
    row = np.zeros(1, dtype=np.int64)
    assert items.demands is not None
    fewer = replace(items, demands=items.demands[:, :2])
    with pytest.raises(FitError, match="the items have 2 demands and the fit 3"):
        posterior.log_odds(row, fewer, np.full(60, -1), row)
    with pytest.raises(FitError, match="there are no responses"):
        fit_demand(matrix.rows(np.zeros(0, dtype=np.int64)), items)


def test_draws_average_to_the_expected_chance_for_known_and_new_items() -> None:
    matrix, items, _, _ = world(3, Size(n_models=8, n_items=200, n_tasks=10))
    posterior = fit_demand(matrix, items, ("A", "B", "C")).posterior
    known = np.where(np.arange(200) < 100, np.arange(200), -1)
    asked = replace(
        items, task=tuple("new" if place < 0 else task for place, task in zip(known, items.task, strict=True))
    )
    drawn = draw_demand_chances(posterior, asked, known, np.random.default_rng(0), draws=2000)
    model, item = np.indices((8, 200)).reshape(2, -1)
    expected = posterior.log_odds(model, asked, known, item).probability.reshape(8, 200)
    assert np.array([chance.mean(axis=1) for chance in drawn]) == pytest.approx(expected, abs=0.03)


def test_score_intervals_hold_on_tasks_that_the_fit_has_not_seen() -> None:
    inside: list[np.ndarray] = []
    for seed in range(8):
        matrix, items, truth, _ = world(40 + seed, Size(n_models=10, n_items=600, n_tasks=60))
        new = np.array([int(task) >= 40 for task in items.task])
        seen = matrix.rows(~new[matrix.item_index])
        posterior = fit_demand(seen, items, ("A", "B", "C")).posterior
        asked = items.at(np.flatnonzero(new))
        unknown = np.full(new.sum(), -1)
        scores = np.array(
            [chance.mean(axis=0) for chance in draw_demand_chances(posterior, asked, unknown, np.random.default_rng(1))]
        )
        lower, upper = np.quantile(scores, (0.05, 0.95), axis=1)
        actual = expit(truth[:, new]).mean(axis=1)
        inside.append((lower <= actual) & (actual <= upper))
    # models share the tasks' effects, so that a world's ten models stand or fall together
    assert 0.8 <= np.mean(inside) <= 1.0


def test_a_fit_comes_back_from_its_folder_bit_by_bit(tmp_path: Path) -> None:
    matrix, items, _, _ = world(5, Size(n_models=6, n_items=120, n_tasks=8))
    fit = fit_demand(matrix, items, ("A", "B", "C"))
    save_fit(fit, tmp_path / "fit")
    back = load_fit(tmp_path / "fit").posterior
    model, item = np.indices((6, 120)).reshape(2, -1)
    one, other = (each.log_odds(model, items, np.arange(120), item) for each in (fit.posterior, back))
    assert np.array_equal(one.mean, other.mean)
    assert np.array_equal(one.variance, other.variance)
    assert (back.models, back.items, back.dims, back.monotone) == (matrix.models, matrix.items, ("A", "B", "C"), True)


def rated_with_error(seed: int, error: float = 0.7) -> tuple[Responses, DemandItems, np.ndarray]:
    """Answers by 12 models on 250 items with three correlated demands, rated with error; the models' true slopes."""
    rng = np.random.default_rng([31, seed])
    mix = np.array([[1, 0, 0], [0.5, 0.9, 0], [0, 0.3, 0.9]])
    demand = rng.standard_normal((250, 3)) @ mix.T
    slopes = np.array([-0.7, -0.35, -0.5]) + 0.15 * rng.standard_normal((12, 3))
    log_odds = rng.standard_normal((12, 1)) + slopes @ demand.T + 0.6 * rng.standard_normal(250)
    score = (rng.random(log_odds.shape) < expit(log_odds)).astype(float)
    rated = 2.5 + demand + error * rng.standard_normal(demand.shape)
    rows = np.indices(score.shape).reshape(2, -1)
    names = tuple(f"m{number:02d}" for number in range(12)), tuple(f"i{number:03d}" for number in range(250))
    same = ("all",) * 250
    items = DemandItems(rated, np.full(rated.shape, error), None, same, same, np.zeros(250))
    return Responses(*names, rows[0], rows[1], score.ravel(), np.ones(score.size)), items, slopes


def test_slopes_corrected_for_rating_error_have_the_true_size_and_spread() -> None:
    size, away = [], []
    for seed in range(12):
        responses, items, slopes = rated_with_error(seed)
        posterior = fit_demand(responses, items, ("A", "B", "C"), DemandSettings(monotone=False)).posterior
        tables = (posterior.abilities(corrected=corrected).query("dim != 'general'") for corrected in (False, True))
        pairs = [(table["ability"].to_numpy(), table["sd"].to_numpy()) for table in tables]
        size.append([mean.mean() / slopes.mean() for mean, _ in pairs])
        away.append([(mean - slopes.ravel()) / sd for mean, sd in pairs])
    plain, corrected = np.mean(size, axis=0)
    assert plain < 0.8
    assert corrected == pytest.approx(1, abs=0.06)
    z_plain, z_corrected = np.moveaxis(np.array(away), 1, 0)
    assert abs(z_plain.mean()) > 1
    assert abs(z_corrected.mean()) < 0.25
    assert 0.75 < z_corrected.std() < 1.15


def test_levels_that_are_mostly_error_are_not_corrected() -> None:
    responses, items, _ = rated_with_error(0)
    noisy = replace(items, demand_sd=np.full((250, 3), 1.3))
    with pytest.raises(FitError, match="little more than their rating error"):
        fit_demand(responses, noisy, ("A", "B", "C")).posterior.abilities(corrected=True)
