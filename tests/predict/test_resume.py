"""Finished folds are kept, whatever happens, and predictions can be written."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from capscope.data import Study
from capscope.errors import OutputError
from capscope.predict import ASSESSORS, AssessorEntry, MeanAssessor, Training, evaluate
from predict.simulated_study import simulated_study

SETTINGS = {"split": "id", "folds": 4}


@pytest.fixture(scope="module")
def study() -> Study:
    return simulated_study(n_items=120)


@dataclass(frozen=True)
class Counting:
    """Counts its fits."""

    fits: list[int]

    def fit(self, training: Training):
        self.fits.append(len(training.responses.score))
        return MeanAssessor().fit(training)

    def __repr__(self) -> str:
        return "Counting()"


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    fits: list[int] = []
    entry = AssessorEntry(name="counting", help="counts its fits", assessor=Counting(fits))
    monkeypatch.setitem(ASSESSORS, entry.name, entry)
    return fits


def test_a_finished_fold_is_not_computed_again(study: Study, counting: list[int], tmp_path: Path) -> None:
    files = {"resume": tmp_path / "folds"}
    first = evaluate(study, assessors=["counting"], **SETTINGS, **files)
    assert len(counting) == 4
    again = evaluate(study, assessors=["counting"], **SETTINGS, **files)
    assert len(counting) == 4
    assert again == first
    kept = sorted((tmp_path / "folds").glob("*.npz"))
    kept[0].write_bytes(kept[0].read_bytes()[:100])
    kept[1].unlink()
    assert evaluate(study, assessors=["counting"], **SETTINGS, **files).metrics == first.metrics
    assert len(counting) == 6


def test_another_study_seed_or_split_is_another_fold(study: Study, counting: list[int], tmp_path: Path) -> None:
    files = {"resume": tmp_path}
    evaluate(study, assessors=["counting"], **SETTINGS, **files)
    for settings in (
        {"split": "id", "folds": 4, "seed": 1},
        {"split": "id", "folds": 3},
        {"split": "task", "folds": 4},
    ):
        before = len(counting)
        evaluate(study, assessors=["counting"], **settings, **files)
        assert len(counting) == before + settings["folds"]
    before = len(counting)
    evaluate(simulated_study(seed=1, n_items=120), assessors=["counting"], **SETTINGS, **files)
    assert len(counting) == before + 4


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stopped(study: Study, tmp_path: Path) -> None:
    study.save(tmp_path / "study")
    folds = tmp_path / "folds"
    command = [sys.executable, "-m", "capscope", "evaluate", str(tmp_path / "study"), "--split", "id", "--folds", "8"]
    job = subprocess.Popen([*command, "--assessor", "forest", "--resume", str(folds)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(folds.glob("*.npz")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(job.pid, signal.SIGKILL)
    job.wait()
    kept = {path: path.stat().st_mtime_ns for path in folds.glob("*.npz")}
    assert 0 < len(kept) < 8
    settings = {"split": "id", "folds": 8}
    loaded = Study.load(tmp_path / "study")
    resumed = evaluate(loaded, assessors=["forest"], **settings, resume=folds)
    assert resumed.metrics == evaluate(loaded, assessors=["forest"], **settings).metrics
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list(folds.glob("*.npz"))) == 8


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_predictions_are_written_out_of_fold(study: Study, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"oof.{suffix}"
    found = evaluate(study, assessors=["mean", "item-mean"], **SETTINGS, write=path)
    table = pd.read_parquet(path) if suffix == "parquet" else pd.read_csv(path)
    assert len(table) == 2 * 6 * 120
    assert table.groupby("assessor")["fold"].nunique().to_dict() == {"mean": 4, "item-mean": 4}
    mean = table[table["assessor"] == "mean"]
    brier = ((mean["score"] - mean["chance"]) ** 2).groupby(mean["model"]).mean().mean()
    assert brier == pytest.approx(found.metrics["mean"]["brier"])
    assert np.isfinite(table["log_odds_mean"]).all()


def test_a_folder_that_cannot_be_written_is_one_line(study: Study, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(OutputError, match="file: this is a file, not a folder; choose another --resume"):
        evaluate(study, assessors=["mean"], **SETTINGS, resume=tmp_path / "file")
