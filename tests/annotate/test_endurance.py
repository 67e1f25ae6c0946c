"""Many calls against a server in a process of its own that fails, and a client process that is killed."""

import json
import os
import random
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from annotate.scripted import level_of, small_study
from capscope.data import Study

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
DELAY = 0.05
CONCURRENCY = 8


@contextmanager
def flaky_server(failures: float):
    command = [sys.executable, str(HERE / "flaky_annotator.py"), str(DELAY), str(failures)]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


def counts(url: str) -> dict:
    with urllib.request.urlopen(f"{url}/counts") as answer:
        return json.loads(answer.read())


def start(folder: Path, url: str) -> subprocess.Popen:
    command = [sys.executable, str(HERE / "run_annotation.py"), str(folder), url, str(CONCURRENCY)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)


def finish(folder: Path, url: str) -> dict:
    with start(folder, url) as process:
        return json.loads(process.communicate()[0])


def assert_right_labels(folder: Path, items: int) -> pd.DataFrame:
    """Every label is there once, and is the one that the script gives."""
    demands = Study.load(folder).demands
    assert len(demands) == 2 * items
    for row in demands.itertuples():
        number = row.item_id.removeprefix("i__")
        assert row.level == level_of(row.rubric, f"Task {number}: pick A or B.")
    return demands


@pytest.mark.parametrize(
    ("items", "failures"), [(50, 0.05), pytest.param(5000, 0.05, marks=pytest.mark.slow)], ids=["100", "10000"]
)
def test_none_lost_and_none_doubled(tmp_path, items, failures):
    folder = small_study(tmp_path / "s", items)
    with flaky_server(failures) as url:
        result = finish(folder, url)
        served = counts(url)
    assert_right_labels(folder, items)
    assert result["failed"] == 0, result["problems"]
    assert served["questions"] == served["good"] == 2 * items
    assert served["most"] == 1, "no question was answered twice"
    ideal = 2 * items * DELAY / CONCURRENCY
    sys.stdout.write(
        f"{2 * items} calls: wall {result['wall']:.1f} s, ideal {ideal:.1f} s, {result['sizes'][-1:]} MB\n"
    )
    if items > 1000:
        assert set(served) >= {"limit", "error", "drop", "truncated", "wrong schema", "empty"}
        assert result["sizes"][-1] - result["sizes"][1] < 20, "memory is flat (MB)"


@pytest.mark.parametrize(
    ("items", "kills"), [(60, 1), pytest.param(1500, 5, marks=pytest.mark.slow)], ids=["small", "large"]
)
def test_a_killed_run_resumes_to_the_same_table(tmp_path, items, kills):
    chance = random.Random(1)
    killed, whole = small_study(tmp_path / "killed", items), small_study(tmp_path / "whole", items)
    with flaky_server(0.05) as url:
        for _ in range(kills):
            with start(killed, url) as process:
                time.sleep(2.0 + chance.uniform(0.1, 0.8) * 2 * items * DELAY / CONCURRENCY / kills)
                process.kill()
        finish(killed, url)
        served = counts(url)
    assert served["questions"] == 2 * items
    assert served["good"] - served["questions"] <= kills * CONCURRENCY, "a kill costs at most the calls in flight"
    found = assert_right_labels(killed, items)
    if items < 1000:
        return
    with flaky_server(0.05) as url:
        finish(whole, url)
    columns = ["item_id", "rubric", "level", "rubric_sha"]
    tables = [table[columns].sort_values(columns[:2]) for table in (found, assert_right_labels(whole, items))]
    assert tables[0].to_csv(index=False) == tables[1].to_csv(index=False)
