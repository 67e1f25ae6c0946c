"""One fit on several processes is the fit of one process."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from capscope.data import Responses, Study
from capscope.errors import FitError
from capscope.fit import IRTSettings, load
from capscope.fit.cells.ranks import Ranks, summarise_ranks
from capscope.fit.cells.response_summary import summarise
from capscope.fit.engines.variational.problem import ItemCovariates, ModelChoice, fit_choice, make_problem

CPU = torch.device("cpu")
TOLERANCE = 1e-6
"""Sums in single precision come in another order: this far apart are means and covariances."""


@dataclass(frozen=True)
class Meeting:
    """Where threads exchange tensors, as processes do over gloo."""

    size: int
    barrier: threading.Barrier
    slots: list = field(default_factory=list)

    @classmethod
    def of(cls, size: int) -> "Meeting":
        return cls(size, threading.Barrier(size, timeout=60), [None] * size)

    def exchanged(self, rank: int, value):
        self.slots[rank] = value
        self.barrier.wait()
        every = list(self.slots)
        self.barrier.wait()
        return every


@dataclass(frozen=True)
class ThreadRanks(Ranks):
    meeting: Meeting = None

    def summed(self, tensor):
        return torch.stack(self.meeting.exchanged(self.rank, tensor.clone())).sum(0)

    def gathered(self, own):
        return torch.stack(self.meeting.exchanged(self.rank, own.clone()))

    def united(self, pairs):
        return set().union(*self.meeting.exchanged(self.rank, pairs))


def on_threads(size: int, work):
    meeting = Meeting.of(size)
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(lambda rank: work(ThreadRanks(rank, size, CPU, meeting)), range(size)))


def answers(n_models: int = 41, n_items: int = 103, seed: int = 0, share: float = 0.8, trials: int = 1) -> Responses:
    rng = np.random.default_rng(seed)
    logit = rng.normal(size=(n_models, 2)) @ rng.normal(0.4, 0.8, size=(2, n_items)) + rng.normal(size=n_items)
    model, item = np.nonzero(rng.random(logit.shape) < share)
    score = rng.binomial(trials, 1 / (1 + np.exp(-logit[model, item]))) / trials
    names = tuple(f"m{row:02d}" for row in range(n_models)), tuple(f"i{row:03d}" for row in range(n_items))
    return Responses(*names, model, item, score, np.full(len(score), float(trials)))


def fitted(data: Responses, choice: ModelChoice, side: ItemCovariates, ranks: Ranks | None):
    summary = summarise_ranks(data, ranks)
    settings = IRTSettings(device="cpu")
    return fit_choice(make_problem(data, summary, side, settings, CPU, ranks), choice, settings)


@pytest.mark.parametrize(
    ("choice", "trials", "floor", "tolerance"),
    [
        (ModelChoice("2pl"), 1, 0.0, TOLERANCE),
        (ModelChoice("mirt", 2), 1, 0.0, TOLERANCE),
        (ModelChoice("2pl", 1, "positive"), 3, 0.0, 10 * TOLERANCE),  # few answers leave steep items wide
        (ModelChoice("rasch"), 1, 0.25, TOLERANCE),
    ],
)
def test_any_number_of_ranks_leaves_the_fit_of_one(choice, trials, floor, tolerance):
    data = answers(trials=trials)
    side = ItemCovariates(floor=np.full(len(data.items), floor) if floor else None)
    one = fitted(data, choice, side, None)
    for size in (3,):
        states = on_threads(size, lambda ranks: fitted(data, choice, side, ranks))
        for state in states:
            assert len(state.history) == len(one.history)
            assert torch.equal(state.models.mean, states[0].models.mean)
            for now, before in ((state.models, one.models), (state.items, one.items)):
                torch.testing.assert_close(now.mean, before.mean, atol=tolerance, rtol=0)
                torch.testing.assert_close(now.cov, before.cov, atol=tolerance, rtol=0)


def test_the_summary_over_ranks_is_the_summary_of_all():
    data = answers(12, 12, trials=4)
    whole = summarise(data)
    expected = whole.models.counts + whole.items.counts
    for summary in on_threads(5, lambda ranks: summarise_ranks(data, ranks)):
        assert (summary.n_rows, summary.binary, summary.one_trial) == (whole.n_rows, False, False)
        assert summary.pairs == whole.pairs
        for now, before in zip(summary.models.counts + summary.items.counts, expected, strict=True):
            np.testing.assert_allclose(now, before)


def test_ranks_that_read_other_answers_or_are_too_many_are_refused():
    with pytest.raises(FitError, match="process 1 reads other answers, or has another version"):
        on_threads(2, lambda ranks: summarise_ranks(answers(seed=ranks.rank), ranks))
    with pytest.raises(FitError, match="2 processes for 1 item; start at most one process for each item"):
        on_threads(2, lambda ranks: summarise_ranks(answers(5, 1), ranks))


def launched(size: int, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess:
    """A command of capscope on so many real processes."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size))
    command = [*torchrun, "-m", "capscope", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
    assert not check or done.returncode == 0, done.stderr
    return done


def written(folder: Path, data: Responses) -> Path:
    table = pd.DataFrame(
        {
            "model": np.array(data.models)[data.model_index],
            "item_id": np.array(data.items)[data.item_index],
            "score": data.score,
            "n_trials": data.n_trials.astype(int),
        }
    )
    Study.of(responses=table, name="s").save(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "trials", "options"),
    [
        (2, 1, ("--model", "2pl")),
        (3, 1, ("--model", "auto", "--memory", ".1")),
        (4, 5, ("--model", "mirt", "--dims", "2")),
    ],
)
def test_torchrun_writes_the_fit_of_one_process(tmp_path, size, trials, options):
    study = written(tmp_path / "s", answers(60, 150, trials=trials))
    one = launched(1, "fit", study, *options, "--out", tmp_path / "one", "--holdout", ".2", "--json")
    all_ = launched(size, "fit", study, *options, "--out", tmp_path / "all", "--holdout", ".2", "--json")
    alone, together = json.loads(one.stdout), json.loads(all_.stdout)
    assert together["taken"] == alone["taken"]
    assert together["log_loss"] == pytest.approx(alone["log_loss"], abs=TOLERANCE)
    before, now = load(tmp_path / "one").posterior, load(tmp_path / "all").posterior
    for name in ("ability_mean", "ability_cov", "item_mean", "item_cov"):
        np.testing.assert_allclose(getattr(now, name), getattr(before, name), atol=TOLERANCE, rtol=0)
    assert load(tmp_path / "all").settings == load(tmp_path / "one").settings


@pytest.mark.slow
def test_torchrun_refuses_what_one_process_fits(tmp_path):
    study = written(tmp_path / "s", answers(8, 12))
    refused = launched(2, "fit", study, "--model", "3pl", "--out", tmp_path / "fit", check=False)
    assert refused.returncode != 0
    assert "error: 3pl by engine variational is fitted by one process; start it without torchrun" in refused.stderr
    assert not (tmp_path / "fit").exists()


KILLED = """
import os, signal, sys
from capscope.fit import all_ranks, fit
from capscope.fit.cells.ranks import RankCells
passes, products = [], RankCells.products
def counted(self, *words):
    passes.append(1)
    if len(passes) == 4 and self.ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return products(self, *words)
RankCells.products = counted
from capscope.errors import LostProcess
with all_ranks("cpu"):
    try:
        fit(sys.argv[1], "mirt", dims=2)
    except LostProcess as error:
        print("lost:", error, flush=True)
        raise SystemExit(1)
"""


@pytest.mark.slow
def test_a_killed_process_ends_the_fit_of_all(tmp_path):
    study = written(tmp_path / "s", answers(40, 80))
    (tmp_path / "kill.py").write_text(KILLED)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, str(tmp_path / "kill.py"), str(study)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode != 0
    assert "Signal 9 (SIGKILL)" in done.stderr
