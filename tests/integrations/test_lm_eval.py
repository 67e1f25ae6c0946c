"""lm-evaluation-harness, as a user runs it: a battery as a group of tasks, and its log of samples scored and gated."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from capscope.battery import Bank, Battery, score_battery
from capscope.data import Study

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("lm_eval", reason="lm-eval is not installed; install capscope[lm-eval]")
    from lm_eval import simple_evaluate
    from lm_eval.api.model import LM
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
TASKS = {"sums": 160, "signs": 90}
N_PAST = 25


class KnownAnswers(LM):
    """A model whose likelihoods are highest for the option that it is known to choose."""

    def __init__(self, chosen: dict[str, str]) -> None:
        super().__init__()
        self.chosen = chosen
        self.asked: set[str] = set()

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        self.asked |= {request.args[0] for request in requests}
        return [
            (0.0, True) if self.chosen[request.args[0]] == request.args[1].strip() else (-9.0, False)
            for request in requests
        ]

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        raise NotImplementedError

    def generate_until(self, requests: list[Any]) -> list[str]:
        raise NotImplementedError


@dataclass(frozen=True)
class World:
    """Local tasks with past models in a bank, and the answers of a new model to all of them."""

    folder: Path
    right: dict[str, np.ndarray]
    """Answers of the new model by task."""

    def asked(self, task: str, number: int) -> str:
        return f"{task} {number}?"

    def model(self) -> KnownAnswers:
        return KnownAnswers(
            {
                self.asked(task, number): "yes" if right else "no"
                for task, answers in self.right.items()
                for number, right in enumerate(answers)
            }
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder, rng = tmp_path_factory.mktemp("harness"), np.random.default_rng(0)
    before = os.environ.get("HF_DATASETS_CACHE")
    os.environ["HF_DATASETS_CACHE"] = str(folder / "cache")
    right, items, rows = {}, [], []
    skill = rng.normal(0, 1, N_PAST + 1)
    (folder / "tasks").mkdir()
    for task, size in TASKS.items():
        chance = 1 / (1 + np.exp(-1.3 * (skill[:, None] - rng.normal(0, 1.2, size))))
        answers = (rng.random(chance.shape) < chance).astype(float)
        right[task] = answers[-1]
        # the bank has ids of its own: the harness knows an item by task and number
        items += [(f"{task}/item-{number}", task, task, number) for number in range(size)]
        rows += [(f"m{past}", f"{task}/item-{n}", answers[past, n]) for past in range(N_PAST) for n in range(size)]
        lines = [json.dumps({"question": f"{task} {number}?", "label": 0}) for number in range(size)]
        (folder / "tasks" / f"{task}.jsonl").write_text("\n".join(lines))
        (folder / "tasks" / f"{task}.yaml").write_text(
            f"task: {task}\ndataset_path: json\ndataset_kwargs:\n  data_files:\n"
            f"    test: {folder}/tasks/{task}.jsonl\ntest_split: test\noutput_type: multiple_choice\n"
            'doc_to_text: "{{question}}"\ndoc_to_choice: ["yes", "no"]\ndoc_to_target: label\n'
            "metric_list:\n  - metric: acc\n    aggregation: mean\n    higher_is_better: true\n"
        )
    study = Study.of(
        pd.DataFrame(items, columns=["item_id", "benchmark", "task", "doc_index"]),
        pd.DataFrame(rows, columns=["model", "item_id", "score"]),
    )
    study.save(folder / "study")
    Bank.build(study).save(folder / "bank")
    yield World(folder, right)
    if before is None:
        del os.environ["HF_DATASETS_CACHE"]
    else:
        os.environ["HF_DATASETS_CACHE"] = before


def capscope(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "capscope", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def run(world: World, group: str, folder: Path, out: Path, model: KnownAnswers) -> Path:
    """Run a group as lm_eval does with --include_path, --log_samples and --output_path."""
    results = simple_evaluate(
        model=model,
        tasks=[group],
        task_manager=TaskManager(include_path=[str(world.folder / "tasks"), str(folder)], include_defaults=False),
        log_samples=True,
        bootstrap_iters=0,
    )
    assert results is not None
    tracker = EvaluationTracker(output_path=str(out))
    tracker.general_config_tracker.model_name = "acme/new"
    tracker.general_config_tracker.model_name_sanitized = "acme__new"
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task, logged in samples.items():
        tracker.save_results_samples(task_name=task, samples=logged)
    return out


@pytest.fixture(scope="module")
def logged(world: World) -> tuple[Path, KnownAnswers]:
    table = world.folder / "battery.csv"
    options = ("-n", 60, "--method", "variance", "--out", table, "--for", "lm-eval")
    done = capscope("battery", "select", world.folder / "bank", *options)
    assert done.returncode == 0, done.stderr
    assert "lm_eval --tasks capscope_battery_lm_eval --include_path" in done.stdout
    model = world.model()
    folder = world.folder / "battery-lm-eval"
    return run(world, "capscope_battery_lm_eval", folder, world.folder / "out", model), model


def test_the_group_asks_the_documents_drawn_and_no_others(world: World, logged: tuple[Path, KnownAnswers]) -> None:
    _, model = logged
    drawn = Battery.load(world.folder / "battery.csv").items
    assert model.asked == {item.replace("/item-", " ") + "?" for item in drawn}


def test_a_data_set_of_another_version_is_refused_in_one_line(world: World, logged: tuple[Path, KnownAnswers]) -> None:
    _, model = logged
    folder = world.folder / "longer"
    shutil.copytree(world.folder / "battery-lm-eval", folder)
    drawn = json.loads((folder / "documents.json").read_text())
    (folder / "documents.json").write_text(json.dumps({task: [10**6] for task in drawn}))
    with pytest.raises(ValueError, match="asks for number 1000000; its data set is another version"):
        run(world, "capscope_battery_lm_eval", folder, world.folder / "none", model)


def test_the_log_names_documents_as_the_whole_task_does(world: World, logged: tuple[Path, KnownAnswers]) -> None:
    out, _ = logged
    lines = [json.loads(line) for path in out.rglob("samples_sums_*.jsonl") for line in path.read_text().splitlines()]
    assert lines
    for line in lines:
        assert line["doc"]["question"] == f"sums {line['doc_id']}?"
        assert line["acc"] == world.right["sums"][line["doc_id"]]


def test_the_log_is_scored_as_it_is(world: World, logged: tuple[Path, KnownAnswers]) -> None:
    out, _ = logged
    battery = Battery.load(world.folder / "battery.csv")
    scores = score_battery(world.folder / "bank", out, battery=battery)
    answers = pd.DataFrame(
        [("acme/new", item, world.right[item.split("/")[0]][int(item.rsplit("-", 1)[1])]) for item in battery.items],
        columns=["model", "item_id", "score"],
    )
    expected = score_battery(world.folder / "bank", answers, battery=battery)
    pd.testing.assert_frame_equal(scores.scores, expected.scores)
    truth = np.concatenate(list(world.right.values())).mean()
    assert scores.scores.loc[0, "lower"] < truth < scores.scores.loc[0, "upper"]


def test_the_whole_task_and_the_group_agree_on_documents(world: World, logged: tuple[Path, KnownAnswers]) -> None:
    out, _ = logged
    whole = run(world, "sums", world.folder / "tasks", world.folder / "whole", world.model())
    hashes = [
        {line["doc_id"]: line["doc_hash"] for path in folder.rglob("samples_sums_*.jsonl")
         for line in map(json.loads, path.read_text().splitlines())}
        for folder in (out, whole)
    ]  # fmt: skip
    assert hashes[0].items() < hashes[1].items()


def test_the_log_goes_straight_into_the_gate(world: World, logged: tuple[Path, KnownAnswers]) -> None:
    out, _ = logged
    options = ("--baseline", "m3", "--candidate", "acme/new", "--draw", world.folder / "battery.csv", "--json")
    done = capscope("gate", world.folder / "study", *options, "--answers", out)
    result = json.loads(done.stdout)
    study = Study.load(world.folder / "study").require("responses")
    baseline = study.loc[study["model"].astype(str) == "m3", "score"].mean()
    truth = np.concatenate(list(world.right.values())).mean() - baseline
    assert result["n_answers"] == 60
    assert result["lower"] < truth < result["upper"]
    assert done.returncode in (0, 5, 6)


@pytest.mark.usefixtures("logged")
def test_the_command_that_is_printed_runs(world: World) -> None:
    out = world.folder / "printed"
    command = "--model dummy --tasks capscope_battery_lm_eval --log_samples --include_path"
    arguments = [*command.split(), str(world.folder), "--output_path", str(out)]
    done = subprocess.run([sys.executable, "-m", "lm_eval", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "drawn)" in done.stdout
    assert len([line for path in out.rglob("samples_*.jsonl") for line in path.read_text().splitlines()]) == 60
