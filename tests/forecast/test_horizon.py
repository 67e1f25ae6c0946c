"""Time horizons: recovery, coverage over new tasks, guesses, models that solve nothing, and the command."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capscope.data import Study
from capscope.errors import InputError
from capscope.forecast import Horizons, HorizonSettings, time_horizons
from capscope.forecast.horizon import POINTS, duration
from pins.running import run

DOUBLINGS_A_YEAR = 1.7


def timed_study(
    rng: np.random.Generator, tasks: int = 40, items_of_a_task: int = 3, trials: int = 1, chance: float = 0.0
) -> tuple[Study, pd.DataFrame, np.ndarray]:
    """Twelve dated models on tasks of 15 seconds to 9 hours; returns the true horizons in doublings of a minute."""
    n_models, n_items = 12, tasks * items_of_a_task
    date = np.sort(rng.uniform(2021, 2026, n_models))
    horizon = np.log2(10) + DOUBLINGS_A_YEAR * (date - 2023.5) + rng.normal(0, 0.4, n_models)
    slope = 0.6 * np.exp(0.1 * rng.normal(size=n_models))
    length, task = rng.uniform(-2, 9, n_items), np.repeat(np.arange(tasks), items_of_a_task)
    luck = rng.normal(size=tasks)[task] + 0.5 * rng.normal(size=n_items)
    known = 1 / (1 + np.exp(-(slope[:, None] * (horizon[:, None] - length) + luck)))
    score = rng.binomial(trials, chance + (1 - chance) * known) / trials
    names = [f"m{row:02d}" for row in range(n_models)]
    items = pd.DataFrame(
        {
            "item_id": [f"i{column}" for column in range(n_items)],
            "benchmark": "work",
            "task": [f"t{number}" for number in task],
            "minutes": 2**length,
            "chance": chance,
        }
    )
    responses = pd.DataFrame(score, index=names, columns=items["item_id"]).rename_axis("model")
    long = responses.melt(ignore_index=False, var_name="item_id", value_name="score").reset_index()
    dates = [f"{int(year)}-{int(12 * (year % 1)) + 1:02d}" for year in date]
    return Study.of(items, long.assign(n_trials=trials)), pd.DataFrame({"model": names, "date": dates}), horizon


@pytest.fixture(scope="module")
def world() -> tuple[Horizons, np.ndarray]:
    study, models, horizon = timed_study(np.random.default_rng(1), tasks=60, trials=2)
    return time_horizons(study, models), horizon


def test_horizons_are_recovered_with_slope_and_growth(world: tuple[Horizons, np.ndarray]) -> None:
    found, truth = world
    table = found.models.set_index("model").sort_index()
    estimate = np.log2(table["horizon_50"].to_numpy())
    assert np.polyfit(truth, estimate, 1)[0] == pytest.approx(1, abs=0.1)
    assert np.abs(estimate - truth).mean() < 0.5
    assert found.growth is not None
    assert found.growth["doubling_months_lower"] < 12 / DOUBLINGS_A_YEAR < found.growth["doubling_months_upper"]
    assert (table["horizon_80"] < table["horizon_50"]).all()
    assert found.models["horizon_50"].is_monotonic_decreasing
    assert "has the longest horizon" in found.as_text()


def test_longer_units_scale_horizons_alone() -> None:
    study, _, _ = timed_study(np.random.default_rng(2), tasks=20)
    assert study.items is not None
    hours = study.items.assign(minutes=study.items["minutes"] / 60)
    first, second = time_horizons(study), time_horizons(Study.of(hours, study.responses))
    np.testing.assert_allclose(second.models["horizon_50"] * 60, first.models["horizon_50"], rtol=1e-6)
    np.testing.assert_allclose(second.models["slope"], first.models["slope"], rtol=1e-6)


def test_ratings_are_lengths_on_the_elo_scale() -> None:
    study, models, _ = timed_study(np.random.default_rng(9), tasks=20)
    assert study.items is not None
    rated = study.items.assign(rating=1500 + POINTS * np.log2(study.items["minutes"])).drop(columns="minutes")
    by_time = time_horizons(study, models)
    by_rating = time_horizons(Study.of(rated, study.responses), models, settings=HorizonSettings(rating="rating"))
    expected = 1500 + POINTS * np.log2(by_time.models["horizon_50"])
    np.testing.assert_allclose(by_rating.models["horizon_50"], expected, rtol=1e-6)
    np.testing.assert_allclose(by_rating.models["slope"], by_time.models["slope"] * np.log2(10), rtol=1e-6)
    assert by_time.growth is not None
    assert by_rating.growth is not None
    assert by_rating.growth["points_per_year"] == pytest.approx(
        12 * POINTS / by_time.growth["doubling_months"], rel=0.05
    )
    assert by_rating.as_dict()["minutes"] is None
    assert "highest rating" in by_rating.as_text()


@pytest.mark.slow
def test_the_deviation_of_ratings_flattens_no_curve() -> None:
    """With true ratings spread around the stated ones, the slope is that of the true ones."""
    rng = np.random.default_rng(10)
    stated = rng.normal(1800, 400, 1500)
    true = stated + rng.normal(0, 350, 1500)
    ability = np.array([1500.0, 1800.0, 2100.0])
    score = rng.binomial(1, 1 / (1 + 10 ** ((true - ability[:, None]) / 400)))
    ids = [f"i{k}" for k in range(1500)]
    items = pd.DataFrame({"item_id": ids, "benchmark": "chess", "task": "t", "rating": stated, "rating_sd": 350.0})
    answers = pd.DataFrame(score, index=["a", "b", "c"], columns=ids).rename_axis("model")
    long = answers.melt(ignore_index=False, var_name="item_id", value_name="score").reset_index()
    settings = HorizonSettings(rating="rating")
    known = time_horizons(Study.of(items, long), settings=settings).models
    blind = time_horizons(Study.of(items.drop(columns="rating_sd"), long), settings=settings).models
    np.testing.assert_allclose(known.sort_values("model")["horizon_50"], ability, atol=80)
    assert abs(known["slope"].mean() - np.log(10)) < abs(blind["slope"].mean() - np.log(10)) / 2


def test_known_guesses_are_no_success() -> None:
    study, _, truth = timed_study(np.random.default_rng(3), tasks=60, trials=4, chance=0.5)
    estimate = time_horizons(study).models.set_index("model").sort_index()["horizon_50"]
    assert np.abs(np.log2(estimate.to_numpy()) - truth).mean() < 0.6


def test_a_model_that_solves_nothing_has_a_bound_above_only() -> None:
    study, _, _ = timed_study(np.random.default_rng(4))
    assert study.responses is not None
    failed = study.responses.assign(score=np.where(study.responses["model"] == "m03", 0.0, study.responses["score"]))
    table = time_horizons(Study.of(study.items, failed)).models
    (row,) = table[table["model"] == "m03"].to_dict("records")
    assert row["horizon_50"] < 0.25
    assert row["horizon_50_upper"] < 1
    assert row["extrapolated"]


def test_minutes_that_say_nothing_are_said_to() -> None:
    study, _, _ = timed_study(np.random.default_rng(5))
    assert study.items is not None
    shuffled = study.items.assign(minutes=np.random.default_rng(6).permutation(study.items["minutes"]))
    found = time_horizons(Study.of(shuffled, study.responses))
    assert (found.models["slope_lower"] <= 0).mean() > 0.8
    assert "success does not clearly fall with length" in found.as_text()
    with pytest.raises(InputError, match="no column 'hours'"):
        time_horizons(study, settings=HorizonSettings(minutes="hours"))
    with pytest.raises(InputError, match="item 'i0' has minutes"):
        time_horizons(Study.of(study.items.assign(minutes=-study.items["minutes"]), study.responses))


def test_the_command_writes_table_and_json(tmp_path: Path) -> None:
    study, models, _ = timed_study(np.random.default_rng(7), tasks=20)
    study.save(tmp_path / "study")
    models.to_csv(tmp_path / "models.csv", index=False)
    out = tmp_path / "horizons.csv"
    command = ["forecast", "horizon", str(tmp_path / "study")]
    code, printed, problem = run([*command, "--models", str(tmp_path / "models.csv"), "--json"])
    assert code == 0, problem
    answer = json.loads(printed)
    assert answer["clusters"] == 20
    assert len(answer["models"]) == 12
    assert answer["growth"]["doubling_months"] > 0
    code, _, problem = run([*command, "--chance", "0.7", "--out", str(out)])
    assert code == 0, problem
    assert {"horizon_70", "horizon_70_lower", "horizon_70_upper"} <= set(pd.read_csv(out).columns)


def test_times_are_said_in_units_of_people() -> None:
    assert [duration(minutes) for minutes in (0.25, 3.0, 90.0, 150.0, 3000.0, float(np.inf))] == [
        "15 s",
        "3 min",
        "90 min",
        "2.5 h",
        "2.08 days",
        "no bound",
    ]


@pytest.mark.slow
def test_intervals_cover_new_tasks_few_and_many() -> None:
    rng = np.random.default_rng(8)
    for tasks, of_a_task, trials in ((12, 4, 3), (60, 1, 3)):
        covered: list[np.ndarray] = []
        z: list[np.ndarray] = []
        for _ in range(120):
            study, _, truth = timed_study(rng, tasks, of_a_task, trials)
            table = time_horizons(study).models.set_index("model").sort_index()
            names = ["horizon_50_lower", "horizon_50", "horizon_50_upper"]
            lower, middle, upper = (np.log2(table[name].to_numpy()) for name in names)
            covered.append((lower <= truth) & (truth <= upper))
            z.append((middle - truth) / ((upper - lower) / 3.29))
        # the models of a world share its tasks, so that the rate over 120 worlds has a standard error of .02
        assert 0.85 <= np.mean(covered) <= 0.95
        assert 0.9 <= np.std(z) <= 1.1
