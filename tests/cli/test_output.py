"""What reaches a terminal: no control character, one line for an error, stdout that is closed or full, Ctrl-C."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from typer import Exit

from capscope.cli import _run
from capscope.cli.annotate_command import kept_on_interrupt
from capscope.cli.output import error_line, on_interrupt, printable, write_error, write_out
from capscope.cli.overview import STOPPED
from capscope.data import Study
from capscope.errors import OutputError
from pins.running import run as run_here

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "src")}
COMMAND = [sys.executable, "-m", "capscope"]
ESCAPE = "\x1b[31mred\x1b[0m\x9b1m\u202e"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frame = pd.DataFrame({"model": [f"{ESCAPE}{k}" for k in "ab"] * 2, "item_id": ["i", "i", "j", "j"]})
    return Study.of(responses=frame.assign(score=1.0)).save(tmp_path_factory.mktemp("output") / "study")


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output="stdout" not in options, text=True, env=ENVIRONMENT, **options
    )


def test_control_characters_are_shown_as_text():
    assert printable("a\x1b[0m\tb\nc\x7f\x85\u202e") == "a\\x1b[0m\tb\nc\\x7f\\x85\\u202e"


def test_an_error_is_one_line_of_at_most_500_characters():
    line = error_line(ValueError(f"one\ntwo {ESCAPE} " + "x" * 2000))
    assert line.startswith("one two \\x1b[31mred")
    assert len(line) == 500


def test_names_with_escapes_reach_no_stream_raw(study: Path):
    shown = run("check", study, "--json")
    json.loads(shown.stdout)
    streams = [shown.stdout, shown.stderr]
    for arguments in (("check", study), ("compare", study, "\x1b[5mnone", "b")):
        streams += run_here([str(word) for word in arguments])[1:]
    assert len(streams[0]) > 100
    assert "x1b[5mnone" in streams[-1]
    assert not set("".join(streams)) & set("\x1b\x9b\u202e")


def test_a_full_stdout_is_one_line(study: Path):
    with open("/dev/full", "w") as full:
        for arguments in (("check", study), ("--help",), ("--version",)):
            shown = run(*arguments, stdout=full, stderr=subprocess.PIPE)
            assert shown.returncode == 1
            assert shown.stderr.startswith("error: stdout: cannot be ")
            assert shown.stderr.count("\n") == 1


def test_a_reader_that_has_enough_is_no_error(study: Path):
    reader, writer = os.pipe()
    os.close(reader)
    shown = run("check", study, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (shown.returncode, shown.stderr) == (1, "")


def test_a_closed_stdout_is_one_line(study: Path):
    shown = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m capscope check {study} >&-"],
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert (shown.returncode, shown.stderr) == (1, "error: stdout: is closed; give the command an output\n")


def heed_interrupts() -> None:
    """A shell starts background jobs with interrupts ignored, which a child would inherit."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_characters_that_a_stream_does_not_have_are_escapes(encoding, monkeypatch):
    for name, write in (("stdout", write_out), ("stderr", write_error)):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, name, stream)
        write("m\u014d \U0001f600")
        stream.flush()
        assert stream.buffer.getvalue().strip() == rb"m\u014d \U0001f600"


def test_a_lack_of_memory_is_one_line(study):
    # larger than any address space: a limit on memory would end in a native library's abort as often as in an error
    program = (
        "import sys\n"
        "import numpy as np\n"
        "from capscope.data import Study\n"
        "from capscope.__main__ import main\n"
        "Study.load = lambda folder: np.zeros(1 << 55)\n"
        f"sys.argv = ['capscope', 'check', {str(study)!r}]\n"
        "main()"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=ENVIRONMENT)
    assert ended.returncode == 1
    assert re.fullmatch(r"error: memory is used up \(.*\); give more of it, .*\n", ended.stderr)


@pytest.mark.parametrize(("name", "code", "by"), [("SIGINT", 130, "Ctrl-C"), ("SIGTERM", 143, "SIGTERM")])
def test_a_stop_while_the_command_starts_is_one_line(name, code, by):
    program = (
        "import os, signal, sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == 'capscope.cli': os.kill(os.getpid(), signal.{name})\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from capscope.__main__ import main\n"
        "main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 - nothing else runs in this process
    )
    assert (ended.returncode, ended.stderr) == (code, f"error: stopped by {by}\n")


def test_sigterm_in_a_verb_says_what_is_kept_also_where_ctrl_c_is_ignored(study):
    program = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "import capscope.data\n"
        "from capscope.__main__ import main\n"
        "capscope.data.Study.load = lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)\n"
        f"sys.argv = ['capscope', 'check', {str(study)!r}]\n"
        "main()"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=ENVIRONMENT)
    assert ended.returncode == 143
    assert re.fullmatch(r"error: stopped by SIGTERM; every output is whole, .*\n", ended.stderr)


def test_what_an_interruption_keeps_is_said(tmp_path, capsys):
    with pytest.raises(Exit), kept_on_interrupt(tmp_path / "l.sqlite"):
        raise KeyboardInterrupt
    assert "0 replies are kept in" in capsys.readouterr().err
    for ledger, kept in ((None, ""), (None, "folds are kept")):
        with pytest.raises(KeyboardInterrupt) as stop, kept_on_interrupt(ledger), on_interrupt(kept):
            raise KeyboardInterrupt
        assert str(stop.value) == (f"stopped by Ctrl-C; {kept}" if kept else "")


def test_a_working_folder_that_is_gone_is_named(study, tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    monkeypatch.setattr(sys, "argv", ["capscope", "export", "tidy", str(study), "--out", "x.csv"])
    with pytest.raises(OutputError, match=r"^the working folder is gone \(No such file or directory\)"):
        _run()


def test_ctrl_c_is_one_line_and_exit_130(study: Path):
    program = (
        "import sys, capscope.data as data, capscope.cli as cli, time\n"
        "def wait(*_, **__):\n    print('started', file=sys.stderr, flush=True)\n    time.sleep(60)\n"
        "data.check_study = wait\n"
        f"sys.argv = ['capscope', 'check', {str(study)!r}]\n"
        "cli.main()"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", program],
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 - nothing else runs in this process
    )
    assert started.stderr.readline() == "started\n"
    time.sleep(0.2)
    started.send_signal(signal.SIGINT)
    _, told = started.communicate(timeout=30)
    assert started.returncode == 130
    assert told == f"error: {STOPPED}\n"
