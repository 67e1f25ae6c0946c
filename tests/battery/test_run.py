"""Adaptive batteries against a real server: paid for once, graded or counted, with scores that hold."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from capscope.battery import (
    AdaptiveBattery,
    Bank,
    BatteryQuestion,
    BatteryRun,
    Curves,
    Graded,
    RunSettings,
    battery_questions,
    run_adaptively,
    run_battery,
)
from capscope.cli import app
from capscope.data import Study
from capscope.endpoint import EndpointSettings
from capscope.errors import BudgetReached, ConfirmationNeeded, EndpointError, InputError, OutputError
from endpoint.server import Answer, Call, ScriptedServer, completion

N_ITEMS, N_MODELS = 120, 25


@pytest.fixture(scope="module")
def world() -> tuple[Study, np.ndarray]:
    """A study of past models, and what a new model of known ability answers to each item."""
    rng = np.random.default_rng(5)
    slope, intercept = np.exp(rng.normal(0, 0.3, N_ITEMS)), rng.normal(0, 1.2, N_ITEMS)
    ability = np.append(rng.normal(size=N_MODELS), 0.8)
    score = (rng.random((N_MODELS + 1, N_ITEMS)) < 1 / (1 + np.exp(-(np.outer(ability, slope) + intercept)))) * 1.0
    ids = [f"i{number}" for number in range(N_ITEMS)]
    benchmark = np.where(np.arange(N_ITEMS) < 60, "first", "second")
    targets = np.where(np.arange(N_ITEMS) % 2, "B", "17")
    items = pd.DataFrame({"item_id": ids, "benchmark": benchmark, "task": "t", "target": targets})
    items["text"] = "Question about " + items["item_id"]
    model, item = np.divmod(np.arange(N_MODELS * N_ITEMS), N_ITEMS)
    rows = {"model": [f"m{m}" for m in model], "item_id": np.array(ids)[item], "score": score[:-1].ravel()}
    return Study.of(items, pd.DataFrame(rows)), score[-1]


@pytest.fixture(scope="module")
def bank(world) -> Bank:
    return Bank.build(world[0], dims=1)


@pytest.fixture(scope="module")
def questions(world, bank) -> list[BatteryQuestion]:
    return battery_questions(world[0].require("items"), bank.items)


def right(question: BatteryQuestion) -> str:
    return f"Let me think.\nAnswer: {question.target}"


def wrong(question: BatteryQuestion) -> str:
    return "Answer: C" if question.kind == "letter" else "Answer: 18"


def model_that_answers(score: np.ndarray, bank: Bank):
    place = {item: number for number, item in enumerate(bank.items)}
    return lambda question: Graded(float(score[place[question.item_id]]))


def in_bank_order(bank: Bank, score: np.ndarray) -> np.ndarray:
    return np.array([score[int(item[1:])] for item in bank.items])


def test_items_without_what_a_battery_needs_are_refused(bank):
    bare = pd.DataFrame({"item_id": ["i1"], "text": ["?"]})
    with pytest.raises(InputError, match="study: column 'target' is missing"):
        battery_questions(bare, bank.items, name="study")
    with pytest.raises(InputError, match="none of the bank's items"):
        battery_questions(bare.assign(item_id="zz", target="1"), bank.items)
    with pytest.raises(InputError, match="unknown grader"):
        battery_questions(bare.assign(target="1"), bank.items, "guess")


def test_the_same_seed_gives_the_same_run_and_no_item_twice(world, bank, questions):
    answer = model_that_answers(in_bank_order(bank, world[1]), bank)
    one, two = (run_adaptively(bank, questions, answer, "new", RunSettings(size=30, seed=4)) for _ in range(2))
    pd.testing.assert_frame_equal(one.steps, two.steps)
    assert one.steps["item_id"].is_unique
    assert one.status == "max_items"
    assert set(one.scores["target"]) == {"all", "first", "second"}
    other = run_adaptively(bank, questions, answer, "new", RunSettings(size=30, seed=5))
    assert list(other.steps["item_id"]) != list(one.steps["item_id"])


def test_a_run_of_the_whole_bank_gives_its_score(world, bank, questions):
    truth = in_bank_order(bank, world[1])
    run = run_adaptively(bank, questions, model_that_answers(truth, bank), "new", RunSettings(size=N_ITEMS))
    assert run.status == "no-items-left"
    scores = run.scores.set_index("target")
    assert scores.loc["all", "score"] == pytest.approx(truth.mean(), abs=0.05)
    assert scores.loc["all", "lower"] <= truth.mean() <= scores.loc["all", "upper"]


def test_it_stops_when_it_knows_enough(world, bank, questions):
    answer = model_that_answers(in_bank_order(bank, world[1]), bank)
    run = run_adaptively(bank, questions, answer, "new", RunSettings(size=N_ITEMS, width=0.3))
    assert run.status == "width"
    whole = run.scores.set_index("target").loc["all"]
    assert whole["upper"] - whole["lower"] <= 0.3
    sure = run_adaptively(bank, questions, answer, "new", RunSettings(size=N_ITEMS, ability_sd=0.4))
    assert sure.status == "ability_sd"
    assert sure.abilities["sd"].max() <= 0.4


def test_only_the_wanted_benchmark_is_asked(world, bank, questions):
    answer = model_that_answers(in_bank_order(bank, world[1]), bank)
    run = run_adaptively(bank, questions, answer, "new", RunSettings(size=20, benchmarks=("second",)))
    assert all(int(item[1:]) >= 60 for item in run.steps["item_id"])
    assert list(run.scores["target"]) == ["all"]
    assert run.scores["items"].iloc[0] == 60


def test_nonsense_is_unscored_counted_and_never_zero(bank, questions):
    run = run_adaptively(bank, questions, lambda _: Graded(None, "no answer"), "mute", RunSettings(size=15))
    shown = run.as_dict()
    assert (shown["asked"], shown["unscored"], shown["problems"]) == (15, 15, {"no answer": 15})
    assert run.answers().empty
    whole = run.scores.set_index("target").loc["all"]
    assert (whole["lower"], whole["upper"]) == (0, 1)


def test_every_item_left_may_be_drawn_and_chances_sum_to_one(bank):
    curves = Curves.of(bank)
    state = AdaptiveBattery.start(curves)
    rng = np.random.default_rng(0)
    for _ in range(20):
        chance = state.next_chances
        assert chance.sum() == pytest.approx(1)
        assert chance.min() >= 0.1 / len(chance) - 1e-12
        item, drawn = state.draw(rng)
        assert chance[list(state.left).index(item)] == drawn
        state = state.with_answer(item, drawn, float(rng.random() < 0.5))


@pytest.mark.parametrize("wrong_curves", [0.0, 1.0])
def test_intervals_hold_however_wrong_the_curves_are(wrong_curves):
    rng = np.random.default_rng(3)
    errors, inside = [], []
    for _ in range(50):
        slope, intercept = np.exp(rng.normal(0, 0.4, 150))[:, None], rng.normal(0, 1.3, 150)
        odds = slope[:, 0] * rng.normal() + intercept + wrong_curves * rng.normal(size=150)
        answers = (rng.random(150) < 1 / (1 + np.exp(-odds))) * 1.0
        curves = Curves(slope, intercept, np.zeros(150), np.zeros(1), np.eye(1))
        state = AdaptiveBattery.start(curves)
        for _ in range(25):
            item, chance = state.draw(rng)
            state = state.with_answer(item, chance, float(answers[item]))
        found = state.estimate(0.95)
        errors.append(found.score[0] - answers.mean())
        inside.append(found.lower[0] <= answers.mean() <= found.upper[0])
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(len(errors))
    assert 0.9 <= np.mean(inside) <= 1.0


class LoopbackModel:
    """A server whose "model" has a known answer to each item; some replies are nonsense."""

    def __init__(self, questions: list[BatteryQuestion], score: dict[str, float], delay: float = 0.0) -> None:
        self.questions = {f"Question about {question.item_id}\n": question for question in questions}
        self.score, self.delay = score, delay
        self.mute: set[str] = set()
        self.asked: list[str] = []

    def __call__(self, call: Call) -> Answer:
        found = next((q for text, q in self.questions.items() if call.prompt.startswith(text)), None)
        if found is None:
            return Answer(completion('{"reasoning": "", "level": 3}'))
        self.asked.append(found.item_id)
        if found.item_id in self.mute:
            return Answer(completion("I would rather not."), delay=self.delay)
        text = right(found) if self.score[found.item_id] else wrong(found)
        return Answer(completion(text), delay=self.delay)


def command(bank_folder: Path, items: Path, out: Path, url: str, *more: str) -> list[str]:
    base = [sys.executable, "-m", "capscope", "battery", "run", str(bank_folder), "--items", str(items)]
    return [*base, "--model", "toy", "--out", str(out), "--base-url", url, "--json", *more]


@pytest.fixture(scope="module")
def folders(world, bank, tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("run")
    bank.save(folder / "bank")
    world[0].require("items").to_json(folder / "items.jsonl", orient="records", lines=True)
    return folder / "bank", folder / "items.jsonl"


def test_end_to_end_with_a_kill_on_the_way(world, bank, questions, folders, tmp_path):
    truth = in_bank_order(bank, world[1])
    model = LoopbackModel(questions, dict(zip(bank.items, truth, strict=True)), delay=0.01)
    model.mute = {questions[3].item_id, questions[70].item_id}
    with ScriptedServer(model) as server:
        whole = run_command(folders, tmp_path / "whole", server.url, "-n", "40")
        first_time = len(model.asked)
        assert first_time == len(set(model.asked)) == 40
        model.asked.clear()
        model.delay = 0.03
        killed = subprocess.Popen(
            command(*folders, tmp_path / "cut", server.url, "-n", "40"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        deadline = time.monotonic() + 60
        while len(model.asked) < 12 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(killed.pid, signal.SIGKILL)
        killed.communicate()
        again = run_command(folders, tmp_path / "cut", server.url, "-n", "40")
    result, resumed = json.loads(whole.stdout), json.loads(again.stdout)
    assert {**resumed, "out": ""} == {**result, "out": ""}
    assert len(model.asked) <= 41  # at most the call in flight is asked twice
    assert pd.read_csv(tmp_path / "cut" / "steps.csv").equals(pd.read_csv(tmp_path / "whole" / "steps.csv"))
    assert result["unscored"] == len(pd.read_csv(tmp_path / "whole" / "steps.csv").query("score != score"))
    suite = next(row for row in result["scores"] if row["target"] == "all")
    assert suite["lower"] <= truth.mean() <= suite["upper"]
    answers = pd.read_csv(tmp_path / "whole" / "responses.csv")
    assert len(answers) == 40 - result["unscored"]
    assert set(answers["item_id"]).isdisjoint(model.mute)


def run_command(folders: tuple[Path, Path], out: Path, url: str, *more: str) -> Result:
    return CliRunner().invoke(app, command(*folders, out, url, *more)[3:])


def settings(url: str, size: int, **changed) -> RunSettings:
    return RunSettings(size=size, endpoint=EndpointSettings(base_url=url, concurrency=1, max_attempts=1), **changed)


def run_toy(folders: tuple[Path, Path], out: Path, settings: RunSettings) -> BatteryRun:
    return run_battery(*folders, model="toy", out=out, settings=settings)


def test_an_endpoint_that_refuses_says_why(folders, tmp_path):
    def refuse(_: Call) -> Answer:
        return Answer({"error": {"message": "no such key"}}, status=401)

    with ScriptedServer(refuse) as server, pytest.raises(EndpointError, match="no such key"):
        run_toy(folders, tmp_path / "run", settings(server.url, 5))


def test_a_server_that_fails_leaves_items_unscored(folders, tmp_path):
    def fail(call: Call) -> Answer:
        if "Question about" in call.prompt:
            return Answer({"error": {"message": "overloaded"}}, status=500)
        return Answer(completion('{"reasoning": "", "level": 3}'))

    with ScriptedServer(fail) as server:
        found = run_toy(folders, tmp_path / "run", settings(server.url, 3))
    assert found.as_dict()["problems"] == {"HTTP 500: overloaded": 3}


def test_refusals_and_silence_are_unscored_and_counted(folders, bank, tmp_path):
    silent, refused = bank.items[::3], bank.items[1::3]

    def reply(call: Call) -> Answer:
        item = next((name for name in bank.items if f"Question about {name}\n" in call.prompt), None)
        if item is None:
            return Answer(completion('{"reasoning": "", "level": 3}'))
        if item in refused:
            return Answer({"error": {"message": "content policy"}}, status=400)
        text = "Answer: B" if int(item[1:]) % 2 else "Answer: 17"
        return Answer(completion(text), delay=1.5 if item in silent else 0.0)

    with ScriptedServer(reply) as server:
        patient = settings(server.url, 9)
        hasty = replace(patient, endpoint=replace(patient.endpoint, timeout=0.5))
        found = run_toy(folders, tmp_path / "run", hasty)
    steps = found.steps.set_index("item_id")
    lost = steps["score"].isna()
    assert set(steps.index[lost]) == set(steps.index) & {*silent, *refused}
    assert 2 <= lost.sum() == found.as_dict()["unscored"] == sum(found.as_dict()["problems"].values())
    assert len(found.answers()) == 9 - lost.sum()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["random", "all right", "all wrong", "only the second benchmark", "hard ones only"])
def test_models_unlike_any_in_the_bank_keep_intervals_that_hold(bank, kind):
    rng, curves = np.random.default_rng(7), Curves.of(bank)
    easy = curves.chances(curves.prior_mean[None])[0]
    second = np.array(bank.benchmark) == "second"
    held = []
    for _ in range(40):
        answers = {
            "random": (rng.random(N_ITEMS) < 0.25) * 1.0,
            "all right": np.ones(N_ITEMS),
            "all wrong": np.zeros(N_ITEMS),
            "only the second benchmark": second * 1.0,
            "hard ones only": (easy < np.median(easy)) * 1.0,
        }[kind]
        state = AdaptiveBattery.start(curves)
        for _ in range(30):
            item, chance = state.draw(rng)
            state = state.with_answer(item, chance, float(answers[item]))
        found = state.estimate(0.95)
        held.append(found.lower[0] - 1e-9 <= answers.mean() <= found.upper[0] + 1e-9)
        assert found.upper[0] - found.lower[0] > 0.01
    assert np.mean(held) >= 0.88


def test_a_judge_grades_and_one_budget_holds_for_both(folders, tmp_path):
    def reply(call: Call) -> Answer:
        if "<reference>" in call.prompt:
            return Answer(completion("Answer: right", tokens=(20, 5)))
        return Answer(completion("Something long.", tokens=(20, 5)))

    with ScriptedServer(reply) as server:
        open_answers = settings(server.url, 40, grader="judge")
        with pytest.raises(InputError, match="name it with --judge"):
            run_toy(folders, tmp_path / "run", open_answers)
        priced = replace(open_answers, judge="wise", max_tokens=100, usd_in=1000.0, usd_out=1000.0, max_usd=0.6)
        found = run_toy(folders, tmp_path / "run", priced)
        assert found.status == "budget"
        assert 2 <= len(found.steps) <= 10  # each step costs 0.025 for the reply and as much for the verdict
        assert (found.steps["score"] == 1).all()
        assert found.usd <= 0.6
        with pytest.raises(BudgetReached, match=r"of --max-usd 0.6; \d+ answers are scored"):
            found.refuse_unfinished()
        again = run_toy(folders, tmp_path / "run", replace(priced, max_usd=None, max_usd_total=0.7))
    assert len(found.steps) < len(again.steps) <= len(found.steps) + 4
    assert found.usd + again.usd <= 0.7
    assert "--max-usd-total" in again.cause


def test_the_limit_holds_where_usage_is_not_stated_and_a_dear_run_asks_first(folders, tmp_path):
    def reply(_: Call) -> Answer:
        body = completion("Answer: B")
        del body["usage"]
        return Answer(body)

    prices = ("--usd-in", "10", "--usd-out", "30")
    with ScriptedServer(reply) as server:
        planned = run_command(folders, tmp_path / "run", server.url, "-n", "30", "--plan", *prices)
        assert json.loads(planned.stdout)["questions"] == 30
        assert not (tmp_path / "run").exists()
        dear = run_command(folders, tmp_path / "run", server.url, "-n", "30", "--usd-in", "1000", "--usd-out", "3000")
        assert isinstance(dear.exception, ConfirmationNeeded)
        assert len(server.calls) == 0
        stopped = run_command(folders, tmp_path / "run", server.url, "-n", "30", "--max-usd", "0.1", *prices)
    assert isinstance(stopped.exception, BudgetReached)
    assert stopped.exception.exit_code == 4
    result = json.loads(stopped.stdout)
    assert result["status"] == "budget"
    assert 0 < result["asked"] < 30
    assert result["usd"] <= 0.1


@pytest.mark.parametrize("finish", ["length", "content_filter", "max_tokens"])
def test_replies_that_were_cut_are_unscored_and_a_run_without_scores_fails(folders, tmp_path, finish):
    def reply(_: Call) -> Answer:
        body = completion("Weigh the options. Answer: C")
        body["choices"][0]["finish_reason"] = finish
        return Answer(body)

    with ScriptedServer(reply) as server:
        run = run_command(folders, tmp_path / "run", server.url, "-n", "3")
    assert isinstance(run.exception, EndpointError)
    assert f"none of 3 replies could be scored; 3 times: the reply is not whole (finish_reason '{finish}'" in str(
        run.exception
    )
    assert pd.read_csv(tmp_path / "run" / "steps.csv")["score"].isna().all()


def test_a_row_of_ungradable_replies_ends_the_run_and_keeps_what_came(folders, tmp_path):
    with ScriptedServer(lambda _: Answer(completion("Lovely weather today."))) as server:
        with pytest.raises(EndpointError, match="none of them readable.*Lovely weather"):
            run_toy(folders, tmp_path / "run", settings(server.url, 40, max_failures=4))
        assert len(server.calls) <= 8  # up to four of them are the probe
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "endpoint"


def test_a_folder_that_cannot_be_written_is_refused_before_the_first_call(folders, tmp_path):
    (tmp_path / "file").write_text("x")
    with ScriptedServer(lambda _: Answer(completion("Answer: B"))) as server:
        with pytest.raises(OutputError):
            run_toy(folders, tmp_path / "file" / "run", settings(server.url, 3))
        assert len(server.calls) == 0
