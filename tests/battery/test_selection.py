"""Batteries from a bank: stated chances are true, forms are parallel, informative draws inform."""

import ast
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from battery.conftest import World, make_abilities
from capscope.battery import (
    SELECTORS,
    AdaptiveBattery,
    AdaptiveSettings,
    Bank,
    BatteryDesign,
    Curves,
    ItemPool,
    ability_posterior,
    harness_run,
    save_task_group,
    score_battery,
    select_battery,
    select_forms,
)
from capscope.battery.scoring import combined
from capscope.battery.selectors.selector import inclusion_chances
from capscope.cli import app
from capscope.data import Study
from capscope.errors import InputError, OutputError

METHODS = [name for name, selector in SELECTORS.items() if selector.needs != "demands"]


@pytest.mark.parametrize("method", ["fisher", "anchor"])
def test_items_are_drawn_as_often_as_stated(bank: Bank, method: str) -> None:
    part = bank.take_items(np.arange(60))
    tables = [select_battery(part, 12, method=method, seed=seed).table for seed in range(100)]
    drawn = pd.concat(tables)
    assert all(table["item_id"].is_unique and len(table) == 12 for table in tables)
    often = drawn.groupby("item_id").size().reindex(part.items).fillna(0) / 100
    # every stated chance is that of the same design; anchors move with the seed, so only their sum is compared
    if method == "fisher":
        chance = drawn.groupby("item_id")["draw_chance"].first().reindex(often.index)
        error = np.sqrt(chance * (1 - chance) / 100)
        seen = chance.notna()
        assert (np.abs(often - chance)[seen] < 4.5 * error[seen] + 1e-9).all()
    assert np.mean([(1 / table["draw_chance"]).sum() for table in tables]) == pytest.approx(60, rel=0.15)


def test_chances_add_up_under_a_cap_and_keep_a_uniform_share() -> None:
    gain = np.array([100.0, 10, 1, 0, 0, 0, 0, 0, 0, 0])
    chance = inclusion_chances(gain, 4, 0.2, 0.7)
    assert chance.sum() == pytest.approx(4)
    assert chance.max() <= 0.7 + 1e-9
    assert chance.min() >= 0.2 * 4 / 10 - 1e-9
    with pytest.raises(InputError, match="raise --exposure"):
        inclusion_chances(gain, 9, 0.2, 0.7)


@pytest.mark.parametrize("method", METHODS)
def test_forms_share_no_item_and_the_seed_decides(bank: Bank, method: str) -> None:
    first, second = select_forms(bank, 30, method=method, seed=4, design=BatteryDesign(forms=2))
    assert not set(first.table["item_id"]) & set(second.table["item_id"])
    assert len(first.table) == len(second.table) == 30
    again = select_forms(bank, 30, method=method, seed=4, design=BatteryDesign(forms=2))
    pd.testing.assert_frame_equal(first.table, again[0].table)


def test_cheap_items_are_drawn_more_often(bank: Bank) -> None:
    cost = {item: 1.0 if place % 2 else 16.0 for place, item in enumerate(bank.items)}
    table = select_battery_with_cost(bank, cost)
    paid = table["item_id"].map(cost)
    assert (paid == 1.0).mean() > 0.65
    with pytest.raises(InputError, match="no cost for"):
        select_forms(bank, 20, method="fisher", design=BatteryDesign(cost={bank.items[0]: 1.0}))


def select_battery_with_cost(bank: Bank, cost: dict[str, float]) -> pd.DataFrame:
    return select_forms(bank, 100, design=BatteryDesign(cost=cost))[0].table


def test_informative_draws_narrow_abilities_more(world: World, bank: Bank) -> None:
    truth = make_abilities(150, 21)
    score = (np.random.default_rng(3).random((150, len(bank.items))) < world.chances(truth)).astype(float)
    curves = Curves.of(bank)

    def spread(method: str) -> float:
        places = bank.positions(select_battery(bank, 60, method=method, seed=1).items)
        cov = ability_posterior(curves.take(places), score[:, places]).cov
        return float(np.trace(cov, axis1=1, axis2=2).mean())

    assert spread("profile") < 0.9 * spread("random")
    assert spread("fisher") < 0.9 * spread("random")


def test_profile_intervals_hold(world: World, bank: Bank) -> None:
    # the bank's scale is that of its fit: compare with the posterior from every answer
    truth = make_abilities(300, 22)
    score = (np.random.default_rng(4).random((300, len(bank.items))) < world.chances(truth)).astype(float)
    curves = Curves.of(bank)
    whole = ability_posterior(curves, score)
    rng = np.random.default_rng(5)
    held = []
    for start in range(0, 300, 10):
        places = rng.choice(len(bank.items), 100, replace=False)
        rows = slice(start, start + 10)
        found = ability_posterior(curves.take(places), score[rows][:, places])
        spread = np.diagonal(found.cov - whole.cov[rows], axis1=1, axis2=2)
        held.append(np.abs(found.mean - whole.mean[rows]) <= 1.645 * np.sqrt(spread))
    assert 0.87 <= np.mean(held) <= 0.93


def test_adaptive_batteries_are_unbiased_hold_and_need_fewer_items(world: World, bank: Bank) -> None:
    pool = ItemPool.of(bank)
    rng = np.random.default_rng(6)
    score = (rng.random((36, pool.size)) < world.chances(make_abilities(36, 23))).astype(float)
    held, width, error = [], [], []
    for answers in score:
        run = AdaptiveBattery.start(pool.curves)
        for _ in range(40):
            item, chance = run.draw(rng)
            run = run.with_answer(item, chance, float(answers[item]))
        found = run.estimate(0.95)
        held.append(found.lower[0] <= answers.mean() <= found.upper[0])
        width.append(found.upper[0] - found.lower[0])
        error.append(found.score[0] - answers.mean())
    assert np.mean(held) >= 0.88
    assert abs(np.mean(error)) < 3 * np.std(error) / np.sqrt(36)
    assert np.mean(width) < 2 * 1.96 * np.sqrt(np.mean(score.mean(1) * (1 - score.mean(1))) / 40)


def test_an_adaptive_battery_refuses_nonsense_and_never_asks_twice(bank: Bank) -> None:
    curves = Curves.of(bank).take(np.arange(6))
    run, rng = (
        AdaptiveBattery.start(curves, settings=AdaptiveSettings(aim="profile")).without(2),
        np.random.default_rng(0),
    )
    for _ in range(5):
        item, chance = run.draw(rng)
        run = run.with_answer(item, chance, 1.0)
    assert sorted(draw.item for draw in run.draws) == [0, 1, 3, 4, 5]
    with pytest.raises(InputError, match="not left to ask"):
        run.with_answer(0, 0.5, 1.0)
    with pytest.raises(InputError, match="every item"):
        run.draw(rng)
    assert run.estimate().upper[0] == 1.0
    with pytest.raises(InputError, match="unknown aim"):
        AdaptiveSettings(aim="rank")


def test_harness_arguments_name_the_documents(bank: Bank) -> None:
    run = harness_run(bank, ("alpha_0/17", "alpha_0/3", "beta_1/9"))
    assert run.samples == {"alpha_0": [3, 17], "beta_1": [9]}
    assert run.tasks == "alpha_0,beta_1"


def test_a_group_of_tasks_holds_numbers_and_no_texts(world: World, bank: Bank, tmp_path: Path) -> None:
    battery = select_battery(bank, 12, method="variance")
    folder = tmp_path / "battery-lm-eval"
    assert save_task_group(bank, battery, folder) == "capscope_battery_lm_eval"
    group = (folder / "capscope_battery_lm_eval.yaml").read_text()
    samples = harness_run(bank, battery.items).samples
    assert all(f'- task: "{task}"' in group for task in samples)
    assert group.count("class: !function capscope_documents.DrawnDocuments") == len(samples)
    assert json.loads((folder / "documents.json").read_text()) == samples
    ast.parse((folder / "capscope_documents.py").read_text())
    with pytest.raises(OutputError, match="--force"):
        save_task_group(bank, battery, folder)
    save_task_group(bank, battery, folder, force=True)
    study = world.study(make_abilities(3, 1), np.random.default_rng(0))
    with pytest.raises(InputError, match="a group of tasks needs the document indices of a bank"):
        save_task_group(study, battery, tmp_path / "other")


def test_a_command_that_one_output_stops_writes_none(bank: Bank, tmp_path: Path) -> None:
    bank.save(tmp_path / "bank")
    table, folder = tmp_path / "drawn.csv", tmp_path / "drawn-lm-eval"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    command = ["battery", "select", str(tmp_path / "bank"), "-n", "12", "--out", str(table), "--for", "lm-eval"]
    result = CliRunner().invoke(app, [*command, "--samples", str(tmp_path / "samples.json")])
    assert isinstance(result.exception, OutputError)
    assert str(folder) in str(result.exception)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bank", "drawn-lm-eval"]


def test_answers_that_a_tool_names_by_task_and_number_are_scored(bank: Bank) -> None:
    battery = select_battery(bank, 30)
    table = pd.DataFrame({"model": "new", "item_id": battery.items, "score": np.arange(30) % 2})
    task, number = (dict(zip(bank.items, names, strict=True)) for names in (bank.task, bank.document))
    named = table.assign(item_id=[f"{task[item]}:{number[item]}" for item in battery.items])
    pd.testing.assert_frame_equal(
        score_battery(bank, named, battery=battery).scores, score_battery(bank, table, battery=battery).scores
    )


def test_new_items_join_a_bank_whose_old_items_stay(world: World) -> None:
    ability = make_abilities(60, 31)
    study = world.study(ability, np.random.default_rng(7))
    old = study.keep_items(pd.Index(world.items.loc[world.items["benchmark"] != "gamma", "item_id"]))
    bank = Bank.build(old, dims=1)
    grown = bank.add(study)
    np.testing.assert_array_equal(grown.posterior.item_mean[: len(bank.items)], bank.posterior.item_mean)
    assert grown.benchmarks == ("alpha", "beta", "gamma")
    new = grown.of_benchmarks(("gamma",))
    easy = pd.Series(grown.posterior.item_mean[new, -1], [grown.items[i] for i in new])
    told = pd.Series(world.intercept, world.items["item_id"])[easy.index]
    assert np.corrcoef(easy, told)[0, 1] > 0.9
    assert np.isnan(grown.history).sum() == 0
    with pytest.raises(InputError, match="nothing was added"):
        grown.add(study)


def test_the_commands_select_score_and_profile(world: World, bank: Bank, tmp_path) -> None:
    bank.save(tmp_path / "bank")
    runner = CliRunner()
    out, samples = tmp_path / "b.csv", tmp_path / "samples.json"
    command = ["battery", "select", str(tmp_path / "bank"), "-n", "60", "--method", "variance", "--out", str(out)]
    shown = runner.invoke(app, [*command, "--samples", str(samples), "--json"])
    assert shown.exit_code == 0, shown.output
    told = json.loads(shown.stdout)
    assert json.loads(samples.read_text()) == told["samples"]
    assert sum(map(len, told["samples"].values())) == 60
    score = (np.random.default_rng(8).random((1, len(bank.items))) < world.chances(make_abilities(1, 41)))[0]
    drawn = pd.read_csv(out)["item_id"]
    places = bank.positions(tuple(drawn))
    pd.DataFrame({"model": "new", "item_id": drawn, "score": score[places].astype(int)}).to_csv(tmp_path / "a.csv")
    command = ["battery", "score", str(tmp_path / "bank"), str(tmp_path / "a.csv"), "--battery", str(out), "--json"]
    shown = runner.invoke(app, command)
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert {row["benchmark"] for row in found["scores"]} == {"all", "alpha", "beta", "gamma"}
    whole = next(row for row in found["scores"] if row["benchmark"] == "all")
    assert abs(whole["score"] - score.mean()) < 0.15
    assert [row["dim"] for row in found["profile"]] == [1, 2]


def test_scores_by_bank_need_answers_of_it(bank: Bank) -> None:
    other = Study.of(responses=pd.DataFrame({"model": ["m"], "item_id": ["elsewhere"], "score": [1]}))
    with pytest.raises(InputError, match="no answer to any item of the bank"):
        score_battery(bank, other)


def test_combined_intervals_cover_narrow_with_honest_forecasts_and_survive_wrong_ones() -> None:
    rng = np.random.default_rng(0)
    own_sd, quantile = 0.5, 1.96
    estimate = own_sd * rng.standard_normal(20_000)  # of a truth of 0
    precision = np.full(len(estimate), own_sd**-2)
    for stated_sd, bias, narrower, least in (
        (0.5, 0, 0.8, 0.93),
        (1.0, 0, 0.95, 0.93),
        (0.5, 4, 1, 0.93),
        (0.2, 0.8, 1, 0.8),
    ):
        forecast = bias + stated_sd * rng.standard_normal(len(estimate))
        mean, total = combined(estimate, precision, forecast, np.full(len(estimate), stated_sd))
        assert (np.abs(mean) < quantile / np.sqrt(total)).mean() > least, (stated_sd, bias)
        assert (own_sd**-1 / np.sqrt(total)).mean() < narrower
    unknown = np.full(len(estimate), np.nan)
    np.testing.assert_array_equal(combined(estimate, precision, unknown, unknown)[0], estimate)


@pytest.mark.parametrize("form", ["text", "named", "json"])
def test_an_expected_score_may_be_text_or_a_forecast_in_json(bank: Bank, form: str, tmp_path: Path) -> None:
    answers = pd.DataFrame({"model": "new", "item_id": bank.items[:40], "score": np.arange(40) % 2})
    table = pd.DataFrame({"model": ["new"], "benchmark": "alpha", "score": 90.0, "lower": 80.0, "upper": 96.0})
    (tmp_path / "forecast.json").write_text(json.dumps({"cells": table.to_dict("records")}))
    stated = {"text": "90:80:96", "named": "alpha=90:80:96", "json": str(tmp_path / "forecast.json")}[form]
    one = len(bank.benchmarks) == 1
    if form == "text" and not one:
        with pytest.raises(InputError, match="of which benchmark"):
            score_battery(bank, answers, expected=stated)
        return
    expected = score_battery(bank, answers, expected=table).scores
    pd.testing.assert_frame_equal(score_battery(bank, answers, expected=stated).scores, expected)
    with pytest.raises(InputError, match="how sure is that"):
        score_battery(bank, answers, expected="alpha=90")


def test_an_expected_score_is_a_prior_that_the_answers_update(bank: Bank) -> None:
    right = np.random.default_rng(3).random(40) < 0.6
    answers = pd.DataFrame({"model": "new", "item_id": bank.items[:40], "score": right.astype(float)})
    plain = score_battery(bank, answers).scores.set_index("benchmark")
    expected = pd.DataFrame({"model": ["new"], "benchmark": "alpha", "score": 90.0, "lower": 80.0, "upper": 96.0})
    moved = score_battery(bank, answers, expected=expected).scores.set_index("benchmark")
    own, new = plain.loc["alpha"], moved.loc["alpha"]
    assert own["score"] < new["score"] < 0.9
    assert new["upper"] - new["lower"] < own["upper"] - own["lower"]
    pd.testing.assert_frame_equal(moved.drop(index="alpha"), plain.drop(index="alpha"))
    vague = expected.assign(lower=0.1, upper=99.9)
    assert score_battery(bank, answers, expected=vague).scores.set_index("benchmark").loc["alpha", "score"] == (
        pytest.approx(own["score"], abs=0.03)
    )
    with pytest.raises(InputError, match="no score is of a predicted model on alpha"):
        score_battery(bank, answers, expected=expected.assign(benchmark="other"))
    battery = select_battery(bank, 5)
    with pytest.raises(InputError, match="expected scores are of a bank's benchmarks"):
        score_battery(battery, answers.head(5), expected=expected)
