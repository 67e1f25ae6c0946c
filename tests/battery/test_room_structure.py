"""The room's families, its Python interface, and studies of every honest shape."""

import ast
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import capscope.battery as room
from capscope.battery import (
    ESTIMATORS,
    GRADERS,
    SELECTORS,
    AnswerKey,
    Bank,
    Battery,
    BatteryTrial,
    Candidates,
    Estimate,
    Estimator,
    Graded,
    Grader,
    ItemPool,
    ItemWeights,
    Sample,
    Selector,
    battery_questions,
    evaluate_battery,
    grade_reply,
    score_battery,
    select_battery,
    select_forms,
)
from capscope.battery.evaluation import SeedTask, evaluate_seed
from capscope.cli import app
from capscope.data import Study
from capscope.errors import InputError

SOURCE = Path(room.__file__).parent


def invoke(*words: str) -> str:
    shown = CliRunner().invoke(app, ["battery", *words], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    return shown.stdout


def last_items(candidates: Candidates, size: int, seed: int) -> ItemWeights:
    gain = np.zeros(len(candidates.items))
    gain[-size:] = 1.0
    return ItemWeights(items=candidates.items, stratum=np.full(len(gain), seed), gain=gain)


def always_half(sample: Sample, level: float) -> Estimate:
    half = np.full(len(sample.score), 0.5)
    return Estimate(half, np.full_like(half, level), np.zeros_like(half), np.ones_like(half))


def test_a_selector_is_one_entry(monkeypatch: pytest.MonkeyPatch, bank: Bank, tmp_path: Path) -> None:
    monkeypatch.setitem(SELECTORS, "last", Selector(name="last", help="the last ones", needs="items", weigh=last_items))
    assert "last" in invoke("select", "-h")
    folder = bank.take_items(np.arange(40)).save(tmp_path / "bank")
    out = json.loads(
        invoke("select", str(folder), "-n", "5", "--method", "last", "--out", str(tmp_path / "b.csv"), "--json")
    )
    assert out["method"] == "last"
    drawn = [bank.items.index(item) for item in Battery.load(tmp_path / "b.csv").items]
    assert np.mean(np.array(drawn) >= 30) > 0.5
    with pytest.raises(InputError, match="use one of .*last"):
        select_battery(bank, 5, method="none such")


def test_an_estimator_is_one_entry(monkeypatch: pytest.MonkeyPatch, past: Study, bank: Bank) -> None:
    entry = Estimator(name="half", help="one half, always", needs="nothing", estimate=always_half)
    monkeypatch.setitem(ESTIMATORS, "half", entry)
    assert "half" in invoke("evaluate", "-h")
    assert "half" in invoke("score", "-h")
    few = past.keep_items(pd.Index(bank.items[:30])).keep_models(["m000", "m001"])
    assert (score_battery(bank, few, estimator="half").scores["score"] == 0.5).all()
    (found,) = evaluate_battery(past, BatteryTrial(n=(20,), seeds=1), ["half"])
    assert found.figures["half"].coverage95 == 1


def test_a_grader_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    def grade(text: str, key: AnswerKey) -> Graded:
        return Graded(float(len(text) == len(key.target)))

    entry = Grader(name="length", help="as long", form="Be brief.", grade=grade, takes=lambda key: bool(key.target))
    monkeypatch.setitem(GRADERS, "length", entry)
    assert grade_reply("abc", AnswerKey(target="xyz"), GRADERS["length"]).score == 1
    items = pd.DataFrame({"item_id": ["a"], "text": "?", "target": "xyz"})
    monkeypatch.setattr("capscope.battery.adaptive.questions.KINDS", ("auto", *GRADERS))
    (question,) = battery_questions(items, ("a",), "length")
    assert question.messages[0][1].endswith("Be brief.")


@pytest.mark.parametrize("family", [SELECTORS, ESTIMATORS, GRADERS])
def test_every_member_carries_its_own_name_and_help(family: dict[str, Selector | Estimator | Grader]) -> None:
    for name, member in family.items():
        assert member.name == name
        assert member.help


def test_no_module_is_named_like_a_public_function_and_no_file_is_long() -> None:
    modules = {path.stem for path in SOURCE.rglob("*.py")}
    functions = {name for name in room.__all__ if callable(getattr(room, name)) and name.islower()}
    assert modules & functions == set()
    for path in SOURCE.rglob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= 400, path
        assert ast.get_docstring(ast.parse(text)), path


def test_results_describe_themselves_in_a_few_lines(past: Study, bank: Bank) -> None:
    battery = select_battery(bank, 30, method="variance")
    few = past.keep_models(["m000", "m001"])
    (evaluated,) = evaluate_battery(past, BatteryTrial(n=(20,), seeds=1), ["mean"])
    results = [bank, battery, score_battery(bank, few, battery=battery), score_battery(battery, few), evaluated]
    for result in results:
        assert len(repr(result).splitlines()) <= 8
        assert len(repr(result)) < 700
        assert "<table" in result._repr_html_()
    assert len(repr(ItemPool.of(bank))) < 100


def test_paths_may_be_texts_and_answers_may_be_a_frame(past: Study, bank: Bank, tmp_path: Path) -> None:
    folder, file = str(tmp_path / "bank"), str(tmp_path / "battery.csv")
    bank.save(folder)
    battery = select_battery(folder, 30)
    battery.save(file)
    answers = past.keep_models(["m000"]).responses
    answers.to_csv(tmp_path / "answers.csv", index=False)
    by_objects = score_battery(bank, answers, battery=battery).as_dict()
    by_paths = score_battery(folder, str(tmp_path / "answers.csv"), battery=file).as_dict()
    assert by_paths["scores"][0]["score"] == pytest.approx(by_objects["scores"][0]["score"], abs=1e-4)
    plain = score_battery(file, answers)
    assert plain.estimator == "mean"
    assert plain.profile is None
    with pytest.raises(InputError, match="estimator 'rsl' needs past models; give a bank"):
        score_battery(file, answers, estimator="rsl")
    past.save(str(tmp_path / "study"))
    assert Bank.build(str(tmp_path / "study"), dims=1, max_sweeps=2).items == bank.items


def test_a_battery_file_that_contradicts_itself_is_refused(bank: Bank, tmp_path: Path) -> None:
    table = select_battery(bank, 5).save(tmp_path / "b.csv")
    frame = pd.read_csv(table)
    faults = {
        "draw_chance 0.0 is not in": frame.assign(draw_chance=[0.0, *frame["draw_chance"][1:]]),
        "stands twice": frame.assign(item_id=frame["item_id"].iloc[0]),
        "several values of pool": frame.assign(pool=[9, *frame["pool"][1:]]),
        "the table has no rows": frame.head(0),
        "5 items of a pool of 3": frame.assign(pool=3),
    }
    for words, changed in faults.items():
        changed.to_csv(tmp_path / "bad.csv", index=False)
        with pytest.raises(InputError, match=words):
            Battery.load(tmp_path / "bad.csv")


def test_a_seed_can_be_sent_to_another_process(past: Study) -> None:
    bank = Bank.build(past, dims=1, max_sweeps=5)
    trial = BatteryTrial(n=(20,), seeds=1, most_past=30, most_new=5)
    task = SeedTask(bank, np.arange(len(bank.models)), trial, ("mean", "rsl"), 3)
    here, there = (evaluate_seed(each) for each in (task, pickle.loads(pickle.dumps(task))))
    for key, errors in here.items():
        np.testing.assert_array_equal(np.concatenate(errors), np.concatenate(there[key]))


@pytest.mark.slow
def test_seeds_on_several_processes_give_the_same_numbers(past: Study) -> None:
    trial = BatteryTrial(n=(20,), seeds=3, most_past=30, most_new=10)
    alone, spread = (evaluate_battery(past, trial, ["mean", "rsl"], workers=workers) for workers in (1, 2))
    assert [found.as_dict() for found in alone] == [found.as_dict() for found in spread]


def test_a_model_that_answered_the_whole_bank_has_its_score(past: Study, bank: Bank) -> None:
    for name in ESTIMATORS:
        found = score_battery(bank, past.keep_models(["m000"]), estimator=name)
        row = found.scores[found.scores["benchmark"] == "all"].iloc[0]
        assert np.isfinite(row[["score", "lower", "upper"]].astype(float)).all()
        if name != "rsl":
            assert row["score"] == pytest.approx(np.nanmean(bank.history[0]), abs=0.02)


def shaped(models: int, items: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    odds = rng.normal(size=(models, 1)) + rng.normal(0, 1.2, items)
    return (rng.random((models, items)) < 1 / (1 + np.exp(-odds))).astype(float)


def study_of(score: np.ndarray, keep: float = 1.0, **columns: object) -> Study:
    model, item = np.nonzero(np.random.default_rng(1).random(score.shape) < keep)
    rows = {"model": [f"m{m:03d}" for m in model], "item_id": [f"i{i}" for i in item], "score": score[model, item]}
    return Study.of(responses=pd.DataFrame(rows).assign(**columns))


HONEST = {
    "six models": study_of(shaped(6, 30)),
    "sparse": study_of(shaped(30, 60), 0.4),
    "all right": study_of(np.ones((12, 30))),
    "fractions and trials": study_of(np.round(shaped(12, 40) * 0.7 + 0.15, 2), n_trials=4),
    "half the items alike": study_of(np.where(np.arange(40) < 20, 1.0, shaped(12, 40))),
}


@pytest.mark.parametrize("name", HONEST)
def test_every_honest_study_goes_through(name: str) -> None:
    study = HONEST[name]
    bank = Bank.build(study)
    few = study.keep_items(pd.Index(bank.items[::3]))
    for estimator in ESTIMATORS:
        found = score_battery(bank, few, estimator=estimator)
        assert np.isfinite(found.scores[["score", "lower", "upper"]].to_numpy()).all()
        assert found.scores["score"].between(found.scores["lower"], found.scores["upper"]).all()
    for method in SELECTORS:
        if method != "demand":
            forms = select_forms(bank, 5, method=method, design=room.BatteryDesign(forms=2))
            assert [len(form.items) for form in forms] == [5, 5]
            assert set(forms[0].items).isdisjoint(forms[1].items)
    for method in ("random", "adaptive"):
        (found,) = evaluate_battery(study, BatteryTrial(method=method, seeds=1, most_new=3))
        assert all(np.isfinite(list(vars(figures).values())).all() for figures in found.figures.values())


def test_items_are_drawn_from_a_study_of_answers_alone() -> None:
    assert len(select_battery(HONEST["sparse"], 10).items) == 10


def test_an_estimate_is_inside_its_interval_when_all_answers_agree(bank: Bank) -> None:
    pool = ItemPool.of(bank)
    index, chance = np.arange(30), np.full(30, 30 / pool.size)
    for value in (0.0, 1.0):
        sample = Sample(pool, index, np.full((1, 30), value), chance)
        for estimator in ESTIMATORS.values():
            found = estimator.estimate(sample, 0.95)
            assert found.lower[0] <= found.score[0] <= found.upper[0]
            assert found.upper[0] - found.lower[0] > 0.005
    assert replace(sample, index=index).n == 30
