"""Annotation in shards: every cell in one shard, none lost or doubled after the merge, limits kept over all."""

import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from annotate.helpers import write_rubrics
from annotate.scripted import KEY, small_study
from annotate.test_endurance import ENVIRONMENT, assert_right_labels, counts, flaky_server
from capscope.annotate import annotate
from capscope.annotate.planning import Shard
from capscope.data import Study
from capscope.endpoint import ChatReply, Ledger, merge_ledgers
from capscope.errors import InputError, OutputError
from read_only import read_only


def put(path: Path, key: str, text: str, usd: float, problem: str = "") -> None:
    with Ledger(path) as ledger:
        ledger.put(key, ChatReply(text=text, problem=problem), "m", usd)


def test_every_item_is_in_one_shard_of_about_the_same_size():
    ids = [f"item-{number}" for number in range(4000)]
    parts = [Shard.parse(f"{number}/4").of(ids) for number in range(1, 5)]
    assert sorted(item for part in parts for item in part) == sorted(ids)
    assert all(900 < len(part) < 1100 for part in parts)
    assert Shard(2, 4).holds("item-0") is Shard.parse(" 2 / 4 ").holds("item-0")
    assert Shard(2, 3).ledger(Path("a/annotations.sqlite")) == Path("a/annotations-2-of-3.sqlite")


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(InputError, match=r"--shard .*not a shard"):
        Shard.parse(text)


def test_a_merge_keeps_each_reply_once_and_each_dollar_once(tmp_path):
    one, two = tmp_path / "one.sqlite", tmp_path / "two.sqlite"
    put(one, "both", "first", 1.0)
    put(one, "failed", "", 0.25, "no reply")
    put(one, "only one", "x", 2.0)
    put(two, "both", "second", 4.0)
    put(two, "failed", "mended", 8.0)
    put(two, "never", "", 16.0, "no reply")
    with Ledger(two) as ledger:
        ledger.record_cost("probe", "m", 0.5)
        ledger.record_fact("form", {"is": "json"})
        ledger.claim("in flight")
    for order in ([one, two], [two, one], [one, two, one]):
        merged = merge_ledgers(order, tmp_path / "out.sqlite", force=True)
        assert (merged.replies, merged.failed, merged.doubled) == (3, 1, 1)
        assert merged.usd == pytest.approx(31.75)
        with Ledger(tmp_path / "out.sqlite") as ledger:
            assert ledger.get("both").reply.text == "first"
            assert (ledger.get("failed").reply.text, ledger.get("failed").usd) == ("mended", 8.0)
            assert ledger.get("in flight") is None
            assert ledger.fact("form") == {"is": "json"}
    again = merge_ledgers([tmp_path / "out.sqlite", one, two], tmp_path / "again.sqlite")
    assert (again.replies, again.failed) == (3, 1)
    assert again.usd == pytest.approx(31.75)
    assert sorted(path.name for path in tmp_path.iterdir() if "out" in path.name) == ["out.sqlite"]


def test_a_merge_over_the_ledger_of_a_killed_run_holds_what_was_merged(tmp_path):
    killed, out = tmp_path / "killed.sqlite", tmp_path / "out.sqlite"
    with Ledger(killed) as ledger:
        ledger.put("old", ChatReply(text="old"), "m", 1.0)
        for ending in ("", "-wal", "-shm"):
            shutil.copy(f"{killed}{ending}", f"{out}{ending}")
    put(tmp_path / "one.sqlite", "new", "x", 1.0)
    merge_ledgers([tmp_path / "one.sqlite"], out, force=True)
    with Ledger(out) as ledger:
        assert ledger.get("new") is not None
        assert ledger.get("old") is None, "SQLite played the old write-ahead log back"
        ledger.beat()
        with pytest.raises(InputError, match=r"out.sqlite: a run on this ledger is under way"):
            merge_ledgers([tmp_path / "one.sqlite"], out, force=True)


@pytest.mark.parametrize("room", [60_000, 150_000])
def test_a_merge_without_room_names_its_output_and_leaves_nothing(tmp_path, room):
    one, out = tmp_path / "one.sqlite", tmp_path / "out.sqlite"
    put(one, "a", "x" * 200_000, 1.0)
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(OutputError, match=r"^\S*/out.sqlite: cannot be written \(.*; the ledgers stay as they are"):
            merge_ledgers([one], out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert [name for name in os.listdir(tmp_path) if not name.startswith("one.sqlite")] == []


def test_ledgers_in_a_read_only_folder_are_merged_and_stay_as_they_are(tmp_path):
    folder = tmp_path / "kept"
    folder.mkdir()
    put(folder / "one.sqlite", "a", "x", 1.0)
    (folder / "text").write_text("no database")
    before = (folder / "one.sqlite").read_bytes()
    with read_only(folder):
        merged = merge_ledgers([folder / "one.sqlite"], tmp_path / "out.sqlite")
        with pytest.raises(InputError, match=r"kept/text: not a ledger"):
            merge_ledgers([folder / "text"], tmp_path / "other.sqlite")
    assert (merged.replies, merged.usd) == (1, 1.0)
    assert (folder / "one.sqlite").read_bytes() == before


def test_ledgers_in_use_missing_or_foreign_are_refused(tmp_path):
    one = tmp_path / "one.sqlite"
    put(one, "a", "x", 1.0)
    with Ledger(one) as ledger:
        ledger.beat()
        with pytest.raises(InputError, match=r"one.sqlite: a run on this ledger is under way"):
            merge_ledgers([one], tmp_path / "out.sqlite")
        ledger.execute("INSERT INTO calls (key, state, at) VALUES ('b', 'batched', 0)")
    with pytest.raises(InputError, match=r"a batch is open"):
        merge_ledgers([one], tmp_path / "out.sqlite")
    with pytest.raises(InputError, match=r"gone.sqlite: there is no such ledger"):
        merge_ledgers([tmp_path / "gone.sqlite"], tmp_path / "out.sqlite")
    (tmp_path / "text").write_text("no database")
    with pytest.raises(InputError, match=r"text: not a ledger"):
        merge_ledgers([tmp_path / "text"], tmp_path / "out.sqlite")
    with pytest.raises(OutputError, match=r"one of the ledgers"):
        merge_ledgers([one], one)
    assert not (tmp_path / "out.sqlite").exists()


def command(folder: Path, url: str, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "capscope", "annotate", str(folder), "--annotator", "openai:m", "--base-url", url),
        *("--rubrics", str(folder.parent / "rubrics"), "--usd-in", "1", "--usd-out", "1", "--max-tokens", "100"),
        *("--concurrency", "16", "--yes", "--json", "--max-failures", "1000", *more),
    ]


def run_shards(folder: Path, url: str, shards: int, *more: str, kills: int = 0, wait: float = 0.0) -> None:
    """Run all shards at the same time; kill one process after another and start its shard again."""
    environment = ENVIRONMENT | {"OPENAI_API_KEY": KEY, "OMP_NUM_THREADS": "1"}
    with open(os.devnull, "w") as nowhere:

        def start(number: int) -> subprocess.Popen:
            words = command(folder, url, "--shard", f"{number}/{shards}", *more)
            return subprocess.Popen(words, env=environment, stdout=nowhere, stderr=nowhere)

        running = {number: start(number) for number in range(1, shards + 1)}
        chance = random.Random(0)
        for number in range(1, kills + 1):
            time.sleep(wait * chance.uniform(0.5, 1.5))
            running[number].kill()
            running[number].wait()
            running[number] = start(number)
        for process in running.values():
            process.wait()


def shard_ledgers(folder: Path) -> list[Path]:
    return sorted(folder.glob("annotations-*-of-*.sqlite"))


def test_shards_of_a_study_are_merged_into_its_labels(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    folder, rubrics = small_study(tmp_path / "s", 12), write_rubrics(tmp_path / "rubrics")
    with flaky_server(0.0) as url:
        for number in (1, 2):
            annotate(folder, "openai:m", base_url=url, rubrics=rubrics, shard=f"{number}/2", usd_in=1.0, usd_out=1.0)
        assert len(shard_ledgers(folder)) == 2
        assert_right_labels(folder, 12)
        merge_ledgers(shard_ledgers(folder), folder / "annotations.sqlite")
        outcome = annotate(folder, "openai:m", base_url=url, rubrics=rubrics, usd_in=1.0, usd_out=1.0)
        assert (outcome.report.asked, outcome.report.cached) == (0, 24)
        assert counts(url)["good"] == 24
    with pytest.raises(InputError, match=r"--distil chooses among all items"):
        annotate(folder, "openai:m", base_url=url, shard="1/2", distil=3)


@pytest.mark.slow
@pytest.mark.parametrize("items", [int(os.environ.get("CAPSCOPE_SHARD_ITEMS", "300"))])
def test_four_shards_with_faults_and_kills_lose_none_double_none_and_keep_the_limit(tmp_path, items, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    folder, _ = small_study(tmp_path / "s", items), write_rubrics(tmp_path / "rubrics")
    limit, kills = items * 2 * 150e-6, 2  # about half of what all calls may cost
    begun = time.monotonic()
    with flaky_server(0.05) as url:
        run_shards(folder, url, 4, "--max-usd-total", str(limit), kills=kills, wait=6.0)
        spent = 0.0
        for path in shard_ledgers(folder):
            with sqlite3.connect(path) as db:
                queries = ("SELECT SUM(usd) FROM calls", "SELECT SUM(usd) FROM retired")
                spent += sum(db.execute(query).fetchone()[0] or 0.0 for query in queries)
            db.close()
        assert 0 < spent <= limit
        for _ in range(3):
            run_shards(folder, url, 4)
        merged = merge_ledgers(shard_ledgers(folder), folder / "annotations.sqlite")
        again: dict[str, Any] = {"rubrics": folder.parent / "rubrics", "usd_in": 1.0, "usd_out": 1.0, "max_tokens": 100}
        for _ in range(6):
            report = annotate(folder, "openai:m", base_url=url, only_failed=True, max_failures=1000, **again).report
            if not report.unparsed + report.failed + report.open:
                break
        served = counts(url)
    assert not report.unparsed + report.failed + report.open, report.as_text()
    assert merged.doubled == 0
    assert_right_labels(folder, items)
    assert served["questions"] == 2 * items
    assert served["good"] - served["questions"] <= kills * 4, "a kill costs at most its shard's calls in flight"
    sys.stdout.write(
        json.dumps({"calls": 2 * items, "usd": merged.usd, "seconds": time.monotonic() - begun, **served}) + "\n"
    )
    assert Study.load(folder).demands is not None
