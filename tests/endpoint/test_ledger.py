import json
import multiprocessing
import os
import sqlite3
import subprocess
import sys

import pytest

from capscope.endpoint import ChatReply, Ledger, TokenChoice, Usage, answered_keys, call_key
from capscope.errors import InputError, OutputError

REPLY = ChatReply("text é", "stop", Usage(1, 2, 3), (TokenChoice("3", (("3", -0.1), ("4", -2.5))),), 2, 0.5)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "ledger.sqlite"


def test_a_reply_comes_back_as_it_went_in(path):
    with Ledger(path) as ledger:
        assert ledger.get("k") is None
        assert ledger.claim("k")
        ledger.put("k", REPLY, "m", 0.25)
    with Ledger(path) as ledger:
        entry = ledger.get("k")
        assert (entry.state, entry.reply, entry.usd) == ("done", REPLY, 0.25)
        assert [found.key for found in ledger.done(["a", "k"] + [str(n) for n in range(1200)])] == ["k"]
        assert not ledger.claim("k"), "what was paid for is never asked again"
        assert ledger.spent() == 0.25


def test_a_failure_may_be_asked_again_but_never_replaces_a_reply(path):
    with Ledger(path) as ledger:
        ledger.put("k", ChatReply(problem="HTTP 500"), "m", None)
        assert ledger.get("k").state == "failed"
        assert ledger.claim("k")
        ledger.put("k", REPLY, "m", 0.1)
        ledger.put("k", ChatReply(problem="late"), "m", None)
        assert ledger.get("k").state == "done"


def test_a_retired_reply_is_kept_and_its_question_free(path):
    with Ledger(path) as ledger:
        ledger.put("k", REPLY, "m", 0.1)
        ledger.retire("k")
        assert ledger.get("k") is None
        assert ledger.claim("k")
        assert ledger.spent() == pytest.approx(0.1)


def test_two_processes_share_and_the_dead_hold_nothing(path):
    with Ledger(path) as ours, Ledger(path) as theirs:
        assert ours.claim("k")
        assert not theirs.claim("k")
        ours.release("k")
        assert theirs.claim("k")
    program = "import os, sys; from pathlib import Path; from capscope.endpoint import Ledger\n"
    program += "Ledger(Path(sys.argv[1])).claim('k2'); os.kill(os.getpid(), 9)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    subprocess.run([sys.executable, "-c", program, str(path)], env=environment, check=False)
    with Ledger(path) as ours:
        assert ours.get("k2").state == "claimed"
        assert ours.claim("k2"), "the claim of a killed process is free"


def test_keys_follow_content_and_not_order():
    assert call_key({"a": 1, "b": "x"}) == call_key({"b": "x", "a": 1})
    assert call_key({"a": 1}) != call_key({"a": 2})
    assert len(call_key({"lone surrogate": "\ud800"})) == 64


def test_facts_are_recorded_and_the_file_is_in_write_ahead_mode(path):
    with Ledger(path) as ledger:
        assert ledger.fact("f") is None
        ledger.record_fact("f", {"a": 1})
        assert ledger.fact("f") == {"a": 1}
        mode = sqlite3.connect(path)
        assert mode.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        mode.close()


def test_a_file_that_is_no_ledger_is_said_so(tmp_path):
    (tmp_path / "x.sqlite").write_bytes(b"not a database, but long enough to be looked at" * 50)
    with pytest.raises(InputError, match="not a ledger"):
        Ledger(tmp_path / "x.sqlite")


def edit(path, **fields):
    """Change the stored reply of the key 'k' as another version of the package would have written it."""
    with Ledger(path) as ledger:
        ledger.put("k", REPLY, "m", 0.1)
    db = sqlite3.connect(path)
    stored = json.loads(db.execute("SELECT reply FROM calls").fetchone()[0])
    stored = {name: value for name, value in (stored | fields).items() if value != "gone"}
    db.execute("UPDATE calls SET reply = ?", (json.dumps(stored),))
    db.commit()
    db.close()


@pytest.mark.parametrize(
    "fields",
    [
        {"mood": "calm"},
        {"tail": "gone"},
        {"tail": None},
        {"tail": [{"token": "3"}, 7]},
        {"usage": {"prompt_tokens": 1, "extra": 2}},
        {"usage": "gone"},
        {"seconds": "gone", "attempts": "many"},
    ],
)
def test_replies_outlive_versions(path, fields):
    edit(path, **fields)
    with Ledger(path) as ledger:
        assert ledger.get("k").reply.text == "text é"
        assert ledger.get("k").reply.finish_reason == "stop"


def test_a_ledger_says_its_version_and_an_older_one_is_taken_on(path):
    with Ledger(path) as ledger:
        ledger.put("k", REPLY, "m", 0.1)
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    db.execute("PRAGMA user_version = 0")
    db.close()
    with Ledger(path) as ledger:
        assert ledger.count() == 1
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 7")
    db.close()
    with pytest.raises(InputError, match="version 7"):
        Ledger(path)


def test_places_where_no_ledger_can_be_are_named(tmp_path):
    with pytest.raises(InputError, match="this is a folder"):
        Ledger(tmp_path)
    with pytest.raises(InputError, match="this is a folder"):
        answered_keys(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        Ledger(tmp_path / "file" / "l.sqlite")
    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("CREATE TABLE songs (title TEXT)")
    other.close()
    with pytest.raises(InputError, match="another database"):
        Ledger(tmp_path / "other.sqlite")


FULL = """
import resource, sys
from pathlib import Path
from capscope.endpoint import ChatReply, Ledger
from capscope.errors import OutputError
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
try:
    with Ledger(Path(sys.argv[1])) as ledger:
        for number in range(10_000):
            ledger.put(str(number), ChatReply("x" * 2000), "m", None)
except OutputError as error:
    print(error)
"""


def test_a_full_disk_ends_in_one_line_and_loses_nothing(tmp_path):
    place = tmp_path / "l.sqlite"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(place)], env=environment, capture_output=True, text=True, check=True
    )
    assert "no room to write" in ended.stdout
    kept = int(ended.stdout.split(" replies are kept")[0].split()[-1])
    assert kept > 0
    assert len(answered_keys(place)) == kept


def test_a_ledger_is_read_from_a_medium_that_takes_no_writing(path, monkeypatch):
    with Ledger(path) as ledger:
        ledger.put("k", REPLY, "m", 0.1)
    real = sqlite3.connect

    def refuse(target, *rest, **options):
        if str(path.name) in str(target) and str(path.parent) in str(target):
            raise sqlite3.OperationalError("unable to open database file")
        return real(target, *rest, **options)

    monkeypatch.setattr("capscope.endpoint.ledger.sqlite3.connect", refuse)
    assert answered_keys(path) == {"k"}


def make(path):
    with Ledger(path) as ledger:
        ledger.put(str(os.getpid()), REPLY, "m", None)


def test_processes_may_make_one_ledger_at_the_same_moment(tmp_path):
    context = multiprocessing.get_context("fork")
    for round_ in range(3):
        place = tmp_path / f"{round_}.sqlite"
        workers = [context.Process(target=make, args=(place,)) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert [worker.exitcode for worker in workers] == [0] * 4
        assert len(answered_keys(place)) == 4


def test_a_file_that_is_still_empty_answers_nothing(tmp_path):
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    assert answered_keys(empty) == frozenset()
    sqlite3.connect(tmp_path / "new.sqlite").execute("PRAGMA journal_mode=WAL").connection.close()
    assert answered_keys(tmp_path / "new.sqlite") == frozenset()


def test_what_failed_attempts_cost_stays_counted(path):
    with Ledger(path) as ledger:
        ledger.put("k", ChatReply(problem="empty"), "m", 0.2)
        assert ledger.claim("k")
        ledger.release("k")
        assert ledger.get("k").state == "failed", "a claim given back leaves the failure"
        ledger.put("k", REPLY, "m", 0.1)
        ledger.record_cost("probe", "m", 0.05)
        assert ledger.spent() == pytest.approx(0.35)


@pytest.mark.parametrize(
    "stored", [b"\xff\xfe{", b'{"text": "a\xed\xa0\x80b"}', b'{"tail": [{"alternatives": [["3", "x"]]}]}']
)
def test_a_damaged_reply_does_not_hide_the_others(tmp_path, stored):
    path = tmp_path / "l.sqlite"
    with Ledger(path) as ledger:
        for key in ("a", "b"):
            ledger.claim(key)
            ledger.put(key, ChatReply("text"), "m", 0.5)
        ledger.connection.execute("UPDATE calls SET reply = CAST(? AS TEXT) WHERE key = 'a'", (stored,))
    with Ledger(path) as ledger:
        assert {entry.key: entry.reply.text for entry in ledger.done(["a", "b"])}["b"] == "text"
        assert ledger.get("a") is not None


def test_a_device_is_no_ledger():
    with pytest.raises(InputError, match="device or a pipe"):
        Ledger("/dev/null")
