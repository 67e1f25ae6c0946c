"""Batteries: honest draw chances, coverage of demands, and intervals that hold."""

import numpy as np
import pandas as pd
import pytest

from capscope.battery import Battery, score_battery, select_battery
from capscope.data import Demands, Study
from capscope.errors import InputError, OutputError
from predict.simulated_study import simulated_study


@pytest.fixture(scope="module")
def study() -> Study:
    return simulated_study()


@pytest.mark.parametrize("method", ["random", "demand"])
def test_every_item_is_drawn_as_often_as_its_stated_chance(study: Study, method: str) -> None:
    drawn = pd.concat([select_battery(study, 40, method=method, seed=seed).table for seed in range(120)])
    assert drawn.groupby("item_id").size().reindex(study.items["item_id"]).mean() == 12
    often = drawn.groupby("item_id", observed=True).size() / 120
    assert drawn["draw_chance"].nunique() == 1
    assert drawn["draw_chance"].iloc[0] == pytest.approx(0.1)
    assert often.max() < 0.1 + 5 * np.sqrt(0.1 * 0.9 / 120)


def test_a_battery_has_no_item_twice_and_the_same_seed_draws_the_same(study: Study) -> None:
    for method in ("random", "demand"):
        table = select_battery(study, 57, method=method, seed=3).table
        assert table["item_id"].is_unique
        assert len(table) == 57
        pd.testing.assert_frame_equal(table, select_battery(study, 57, method=method, seed=3).table)


def test_drawing_by_demand_covers_the_demand_space_better(study: Study) -> None:
    demands = Demands.of(study)
    whole = demands.level.mean(axis=0)

    def error(method: str) -> float:
        batteries = [select_battery(study, 20, method=method, seed=seed).table["item_id"] for seed in range(36)]
        means = [demands.at(tuple(items)).mean(axis=0) for items in batteries]
        return float(np.sqrt(np.mean((np.array(means) - whole) ** 2)))

    assert error("demand") < 0.7 * error("random")


def test_score_intervals_cover_the_score_on_the_whole_pool(study: Study) -> None:
    truth = study.responses.groupby("model", observed=True)["score"].mean()
    hits = []
    for seed in range(60):
        table = score_battery(select_battery(study, 40, method="random", seed=seed), study, level=0.9).scores.set_index(
            "model"
        )
        whole = truth[table.index]
        hits.append(((table["lower"] <= whole) & (whole <= table["upper"])).mean())
    assert 0.88 <= np.mean(hits) <= 0.96


def test_unanswered_items_are_counted_never_wrong(study: Study) -> None:
    battery = select_battery(study, 30, method="random", seed=0)
    first = battery.table["item_id"].iloc[0]
    answers = Study.of(
        responses=study.responses[study.responses["item_id"] != first].astype({"item_id": str, "model": str})
    )
    found = score_battery(battery, answers)
    assert found.unanswered == 6
    assert set(found.scores["answered"]) == {29}


def test_round_trip(study: Study, tmp_path) -> None:
    battery = select_battery(study, 30, method="demand", seed=4)
    battery.save(tmp_path / "b.csv")
    again = Battery.load(tmp_path / "b.csv")
    pd.testing.assert_frame_equal(battery.table, again.table, check_dtype=False)
    assert (again.pool, again.method, again.seed) == (400, "demand", 4)
    with pytest.raises(OutputError, match="already exists"):
        battery.save(tmp_path / "b.csv")


def test_bad_requests_are_one_line(study: Study) -> None:
    with pytest.raises(InputError, match="cannot draw 401 of 400 items"):
        select_battery(study, 401)
    with pytest.raises(InputError, match=r"unknown method 'demands' \(did you mean \"demand\"\?\)"):
        select_battery(study, 10, method="demands")
    other = Study.of(responses=pd.DataFrame({"model": ["m"], "item_id": ["elsewhere"], "score": [1]}))
    battery = select_battery(study, 5)
    with pytest.raises(InputError, match="no answer to any item of the battery"):
        score_battery(battery, other)
