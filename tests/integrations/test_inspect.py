"""Inspect, as a user runs it: real tasks with a model that Inspect simulates, whose answers are known."""

import asyncio
import gc
import json
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from capscope.battery import AdaptiveBattery, Bank, ItemPool, score_battery, size_for_width
from capscope.cli.battery_command import battery_app
from capscope.data import Study
from capscope.data.formats import LoggedBattery, import_logs, read_draws
from capscope.decide import gate
from capscope.errors import InputError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("inspect_ai", reason="inspect-ai is not installed; install capscope[inspect]")
    from inspect_ai import Task, eval, task_with
    from inspect_ai.dataset import Sample
    from inspect_ai.log import EvalLog, EvalSample, write_eval_log
    from inspect_ai.model import Model, ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import SampleScore, Score, Scorer, Target, mean, scorer
    from inspect_ai.solver import Generate, Solver, TaskState, generate, solver

    import capscope_inspect
    from capscope.integrations.inspect_ai import (
        BatterySource,
        capscope_ability,
        capscope_battery,
        capscope_score,
        drawn_scores,
        score_log,
        score_of,
    )
    from capscope.integrations.inspect_stopping import capscope_stopping, score_stopped_log

pytestmark = pytest.mark.filterwarnings("ignore")
N_ITEMS, N_PAST = 250, 25


@pytest.fixture(autouse=True, scope="module")
def streams_of_a_run_that_ended_early() -> Iterator[None]:
    """Collect the streams that Inspect leaves open where a run fails, so that no later test warns of them."""
    yield
    gc.collect()


@dataclass(frozen=True)
class World:
    """A bank of past models, and the samples whose target a new model answers right or wrong."""

    folder: Path
    samples: list[Sample]
    answers: np.ndarray
    past: Study


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder, rng = tmp_path_factory.mktemp("inspect"), np.random.default_rng(0)
    chance = 1 / (1 + np.exp(-1.3 * (rng.normal(0, 1, N_PAST + 1)[:, None] - rng.normal(0, 1.3, N_ITEMS))))
    right = (rng.random(chance.shape) < chance).astype(float)
    items = [f"quiz:{number}" for number in range(N_ITEMS)]
    rows = [(f"m{model}", item, right[model, place]) for model in range(N_PAST) for place, item in enumerate(items)]
    study = Study.of(
        pd.DataFrame({"item_id": items, "benchmark": "quiz", "task": "quiz"}),
        pd.DataFrame(rows, columns=["model", "item_id", "score"]),
    )
    Bank.build(study).save(folder / "bank")
    samples = [
        Sample(id=str(number), input=f"question {number}", target="yes" if right[-1, number] else "no")
        for number in range(N_ITEMS)
    ]
    return World(folder, samples, right[-1], study)


def yes_man() -> Model:
    """A model that says yes; usage is given, since Inspect would fetch a tokenizer to count it."""

    def say_yes(*_: object) -> ModelOutput:
        output = ModelOutput.from_content("mockllm", "yes")
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output

    return get_model("mockllm/model", custom_outputs=say_yes)


def exact(bank: Path | None = None) -> Scorer:
    own = [] if bank is None else [capscope_score(str(bank)), capscope_ability(str(bank))]

    @scorer(metrics=[mean(), *own])
    def same_as_target() -> Callable[..., Any]:
        async def score(state: TaskState, target: Target) -> Score:
            return Score(value=float(state.output.completion == target.text))

        return score

    return same_as_target()


@solver
def failing() -> Solver:
    """Fail on every fifth sample, answer the others."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        if int(state.sample_id) % 5 == 0:
            raise RuntimeError("the sandbox is gone")
        return await generate(state)

    return solve


@solver
def cut() -> Solver:
    """Answer every sample; every third is ended by its limit of messages afterwards, with its answer in place."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state = await generate(state)
        if int(state.sample_id) % 3 == 0:
            state.message_limit = len(state.messages)
            state.messages.append(state.messages[0])
        return state

    return solve


def of_value(value: Any) -> EvalSample:
    """A complete sample with one score."""
    return EvalSample(id="7", epoch=1, input="?", target="yes", scores={"judge": Score(value=value)})


def test_a_task_left_unchanged_runs_the_battery_alone_and_its_log_is_scored(world: World) -> None:
    manager = capscope_stopping(world.folder / "bank", stop="items:60", seed=1)
    task = Task(dataset=world.samples, name="quiz", solver=generate(), scorer=exact())
    log = eval(
        task_with(task, early_stopping=manager), model=yes_man(), log_dir=str(world.folder / "stopped"), display="none"
    )[0]
    assert log.status == "success", log.error
    assert log.results is not None
    assert log.results.early_stopping is not None
    assert len(log.results.early_stopping.early_stops) == N_ITEMS - 60
    assert len(log.samples or []) == 60
    scores = score_stopped_log(world.folder / "bank", log).iloc[0]
    assert scores["answered"] == 60
    assert scores["lower"] <= world.answers.mean() <= scores["upper"]
    assert scores["upper"] - scores["lower"] < 0.2
    check_a_run_that_ended_early(world, log)
    as_json = world.folder / "stopped" / "log.json"
    write_eval_log(log, as_json)
    for file in (log.location, as_json):
        command = [str(world.folder / "bank"), str(file), "--json"]
        shown = json.loads(CliRunner().invoke(battery_app, ["score", *command], catch_exceptions=False).output)
        assert shown["scores"] == [pytest.approx(scores.to_dict())]
    drawn = score_battery(world.folder / "bank", log.location)
    even = score_battery(world.folder / "bank", import_logs(log.location, "inspect"))
    assert drawn.scores["score"].tolist() != even.scores["score"].tolist()
    result = gate(world.past, "m0", "acme/new", answers=log.location)
    past = world.past.require("responses")
    truth = world.answers.mean() - past.loc[past["model"].astype(str) == "m0", "score"].mean()
    assert result.difference.n_answers == 60
    assert result.lower < truth < result.upper


def check_a_run_that_ended_early(world: World, log: EvalLog) -> None:
    """Without its results, a log is scored by what its samples say of their draw, in Inspect and from its file."""
    bank, file = world.folder / "bank", world.folder / "stopped" / "early.json"
    cut = log.model_copy(update={"results": None, "status": "cancelled"})
    assert score_stopped_log(bank, cut).equals(score_stopped_log(bank, log))
    cut = cut.model_copy(update={"samples": (log.samples or [])[:20]})
    write_eval_log(cut, file)
    result = score_battery(bank, file)
    assert "20 of 60 drawn samples ran" in result.notes[-1]
    assert result.scores.iloc[0].to_dict() == pytest.approx(score_stopped_log(bank, cut).iloc[0].to_dict())
    drawn, whole = read_draws(file), read_draws(log.location)
    assert isinstance(drawn, LoggedBattery)
    assert isinstance(whole, LoggedBattery)
    assert sorted(drawn.pool) == sorted(whole.pool)
    assert drawn.drawn.merge(whole.drawn).shape == drawn.drawn.shape
    with pytest.raises(InputError, match="no battery"):
        score_stopped_log(bank, log.model_copy(update={"results": None, "samples": []}))


def test_a_log_that_was_stopped_says_how_samples_are_scored(world: World) -> None:
    manager = capscope_stopping(world.folder / "bank", stop="items:30", seed=2, limits="missing")
    task = Task(dataset=world.samples[:120], name="quiz", solver=cut(), scorer=exact(), early_stopping=manager)
    log = eval(task, model=yes_man(), log_dir=str(world.folder / "stopped"), display="none")[0]
    met = [sample for sample in log.samples or [] if sample.limit is not None]
    assert 0 < len(met) < 30
    result = score_battery(world.folder / "bank", log.location)
    assert result.scores.loc[0, "answered"] == 30 - len(met)
    assert result.unanswered == len(met)
    assert result.scores.iloc[0].to_dict() == pytest.approx(
        score_stopped_log(world.folder / "bank", log).iloc[0].to_dict()
    )
    decided = gate(world.past, "m0", "acme/new", answers=log.location)
    assert (
        decided.warnings[0] == "130 items of the study had no sample in the task: the difference is that on the others"
    )
    assert decided.difference.n_items == 120


def test_a_wanted_width_sets_the_number_of_samples(world: World) -> None:
    bank = Bank.load(world.folder / "bank")
    sizes = [size_for_width(bank, width) for width in (0.2, 0.1, 0.05)]
    assert sizes == sorted(sizes)
    assert sizes[0] < N_ITEMS / 2 < sizes[-1] <= N_ITEMS
    for rule in ("ability:0.3", "items:inf", "items:0.5", "items:2.5", "width:inf", "width:nan"):
        with pytest.raises(InputError, match=f"stop rule '{rule}' cannot be read"):
            capscope_stopping(bank, stop=rule)


def run(world: World, source: BatterySource, **settings: Any) -> EvalLog:
    task = Task(
        dataset=source, name="quiz", solver=settings.pop("solver", generate()), scorer=exact(world.folder / "bank")
    )
    return eval(task, model=yes_man(), log_dir=str(world.folder / "logs"), display="none", **settings)[0]


@pytest.fixture(scope="module")
def adaptive(world: World) -> tuple[EvalLog, BatterySource]:
    source = capscope_battery(world.folder / "bank", world.samples, stop="width:0.12")
    os.environ[capscope_inspect.STUDY] = str(world.folder / "study")
    try:
        return run(world, source), source
    finally:
        del os.environ[capscope_inspect.STUDY]


def test_a_task_stops_when_the_interval_is_narrow_and_prints_the_score(
    world: World, adaptive: tuple[EvalLog, BatterySource]
) -> None:
    log, source = adaptive
    assert log.status == "success"
    assert log.samples is not None
    # a Wilson interval of this width takes 225 samples at a score of .55
    assert 10 <= len(log.samples) <= 112
    values = {name: metric.value for name, metric in log.results.scores[0].metrics.items()}  # type: ignore[union-attr]
    assert values["answers"] == len(log.samples)
    assert values["upper"] - values["lower"] <= 0.12
    assert values["lower"] < world.answers.mean() < values["upper"]
    assert values["score"] == pytest.approx(source.state.estimate().score[0], abs=1e-6)


def test_the_log_alone_gives_the_score(world: World, adaptive: tuple[EvalLog, BatterySource]) -> None:
    log, source = adaptive
    table = score_log(world.folder / "bank", log)
    own = source.state.estimate()
    assert table.loc[0, ["score", "lower", "upper"]].tolist() == pytest.approx(
        [own.score[0], own.lower[0], own.upper[0]], abs=1e-6
    )


def test_the_file_of_the_log_goes_into_score_battery_and_gate(
    world: World, adaptive: tuple[EvalLog, BatterySource]
) -> None:
    log, source = adaptive
    own = source.state.estimate()
    scores = score_battery(world.folder / "bank", log.location)
    assert scores.scores.loc[0, ["score", "lower", "upper"]].tolist() == pytest.approx(
        [own.score[0], own.lower[0], own.upper[0]], abs=1e-6
    )
    assert scores.scores.loc[0, "answered"] == len(log.samples or [])
    past = world.past
    result = gate(past, "m0", "acme/new", answers=log.location)
    answers = past.require("responses")
    truth = world.answers.mean() - answers.loc[answers["model"].astype(str) == "m0", "score"].mean()
    assert result.difference.n_answers == len(log.samples or [])
    assert result.lower < truth < result.upper


def test_a_hook_adds_the_log_to_a_study(world: World, adaptive: tuple[EvalLog, BatterySource]) -> None:
    log, _ = adaptive
    study = Study.load(world.folder / "study")
    answers = study.require("responses")
    assert len(answers) == len(log.samples or [])
    right = dict(zip([f"quiz:{number}" for number in range(N_ITEMS)], world.answers, strict=True))
    assert [right[item] for item in answers["item_id"]] == answers["score"].tolist()


def test_samples_that_fail_are_unscored_and_replaced(world: World) -> None:
    source = capscope_battery(world.folder / "bank", world.samples, stop="items:40", seed=3)
    log = run(world, source, solver=failing(), fail_on_error=False)
    failed = [sample for sample in log.samples or [] if sample.error is not None]
    assert len(log.samples or []) == 40
    assert 0 < len(failed) < 20
    assert len(source.state.draws) == 40 - len(failed)
    asked = [int(source.bank.items[draw.item].removeprefix("quiz:")) for draw in source.state.draws]
    assert not any(number % 5 == 0 for number in asked)
    assert [draw.score for draw in source.state.draws] == world.answers[asked].tolist()


def test_epochs_of_a_sample_are_one_answer(world: World) -> None:
    source = capscope_battery(world.folder / "bank", world.samples, stop="items:12", in_flight=2)
    log = run(world, source, epochs=3)
    assert len(log.samples or []) == 36
    assert len(source.state.draws) == 12
    assert score_log(world.folder / "bank", log).loc[0, "score"] == pytest.approx(source.state.estimate().score[0])


def test_answers_may_come_in_any_order_and_no_item_is_drawn_twice(world: World) -> None:
    rng, state = np.random.default_rng(1), AdaptiveBattery.start(ItemPool.of(Bank.load(world.folder / "bank")))
    held = []
    for number in range(30):
        before = state.next_chances
        assert before.sum() == pytest.approx(1)
        state, each = state.hold(number, rng)
        held.append(each)
    assert len({each.item for each in held}) == 30
    forward = backward = state
    for one, other in zip(held, reversed(held), strict=True):
        forward = forward.with_held_answer(one, world.answers[one.item])
        backward = backward.with_held_answer(other, world.answers[other.item])
    assert forward.estimate().score == pytest.approx(backward.estimate().score, abs=1e-6)
    assert [draw.number for draw in backward.draws] == list(range(30))


def test_a_serial_run_is_the_same_held_or_not(world: World) -> None:
    start = AdaptiveBattery.start(ItemPool.of(Bank.load(world.folder / "bank")))
    plain, held, first, second = start, start, np.random.default_rng(2), np.random.default_rng(2)
    for number in range(15):
        item, chance = plain.draw(first)
        plain = plain.with_answer(item, chance, world.answers[item])
        held, each = held.hold(number, second)
        held = held.with_held_answer(each, world.answers[each.item])
        assert (each.item, each.chance) == (item, chance)
    assert plain.estimate().score[0] == held.estimate().score[0]


def test_a_retry_gets_the_same_follow_ups(world: World, adaptive: tuple[EvalLog, BatterySource]) -> None:
    log, _ = adaptive
    source = capscope_battery(world.folder / "bank", world.samples, stop="width:0.12")
    first = {str(sample.id) for sample in source.initial_samples()}
    done = next(sample for sample in log.samples or [] if str(sample.id) in first)
    once, again = (asyncio.run(source.sample_complete(done)) for _ in range(2))
    assert once is not None
    assert [sample.id for sample in once] == [sample.id for sample in again or []]


def test_what_cannot_be_run_is_said_in_one_line(world: World) -> None:
    bank = world.folder / "bank"
    with pytest.raises(InputError, match="no sample is an item of the bank: other; the bank has quiz:0"):
        capscope_battery(bank, [Sample(id="other", input="?")])
    for rule in ("narrow", "items:inf", "items:0.5"):
        with pytest.raises(InputError, match=f"stop rule '{rule}' cannot be read; write width:0.05"):
            capscope_battery(bank, world.samples, stop=rule)
    with pytest.raises(InputError, match="no sample says how it was drawn"):
        score_log(bank, EvalLog.model_construct(samples=[]))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"form": 1.0, "content": 0.0}, r"sample '7': the score holds 2 values \(form, content\); give one number"),
        ([1.0, 0.0, 1.0], "sample '7': the score holds 3 values; give one number from 0 to 1"),
        ("grade B", "sample '7': the score 'grade B' is no number; give one from 0 to 1, or C, P, I or N"),
        ("c", "the score 'c' is no number"),
        (7.0, "the score 7 is not from 0 to 1; scale it in the scorer"),
    ],
)
def test_a_score_that_is_no_share_ends_the_run_in_one_line(world: World, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        score_of(of_value(value))
    with pytest.raises(InputError, match=message):
        drawn_scores([SampleScore(score=Score(value=value), sample_id="7", sample_metadata={"capscope": {}})])
    source = capscope_battery(world.folder / "bank", world.samples, stop="items:20")
    drawn = of_value(value).model_copy(update={"id": source.initial_samples()[0].id})
    with pytest.raises(InputError, match="sample '"):
        asyncio.run(source.sample_complete(drawn))


def test_values_that_inspect_knows_are_read_as_it_reads_them() -> None:
    values = ["C", "P", "I", "N", "Yes", "false", "0.25", True, float("nan")]
    assert [score_of(of_value(value)) for value in values] == [1, 0.5, 0, 0, 1, 0, 0.25, 1, None]


@pytest.mark.parametrize(("limits", "counted"), [("scored", 18), ("wrong", 18), ("missing", 0)])
def test_a_sample_that_met_a_limit_counts_as_it_is_told_to(world: World, limits: Any, counted: int) -> None:
    source = capscope_battery(world.folder / "bank", world.samples, stop="items:18", limits=limits, seed=4)
    log = run(world, source, solver=cut())
    met = {str(sample.id) for sample in log.samples or [] if sample.limit is not None}
    assert 0 < len(met) < 18
    assert len(source.state.draws) == (counted or 18 - len(met))
    for draw in source.state.draws:
        number = source.bank.items[draw.item].removeprefix("quiz:")
        assert draw.score == (0.0 if limits == "wrong" and number in met else world.answers[int(number)])
    own = source.state.estimate()
    assert score_log(world.folder / "bank", log).loc[0, ["score", "lower", "upper"]].tolist() == pytest.approx(
        [own.score[0], own.lower[0], own.upper[0]], abs=1e-5
    )


def test_items_without_a_sample_are_left_out_and_the_log_says_so(world: World) -> None:
    source = capscope_battery(world.folder / "bank", world.samples[:100], stop="items:15", seed=5)
    log = run(world, source)
    lacking = [f"quiz:{number}" for number in range(100, N_ITEMS)]
    assert all(sample.metadata["capscope"]["missing"] == lacking for sample in log.samples or [])
    own = source.state.estimate()
    table = score_log(world.folder / "bank", log)
    assert table.loc[0, ["score", "lower", "upper"]].tolist() == pytest.approx(
        [own.score[0], own.lower[0], own.upper[0]], abs=1e-5
    )
    assert table.loc[0, "items"] == 100
