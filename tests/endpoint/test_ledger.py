import os
import sqlite3
import subprocess
import sys

import pytest

from capscope.endpoint import ChatReply, Ledger, TokenChoice, Usage, call_key
from capscope.errors import InputError

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
