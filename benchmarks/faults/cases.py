"""Run rows of the case book and judge what they print."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BOOK = Path(__file__).resolve().parents[3] / "shared" / "cases"
COMMON = (r"Traceback \(most recent call last\)(?:(?!Traceback)[\s\S])*/capscope/", r"[^\n]{2500}")
"""What no row may print; the shorthands, which read what was refused, may end in a traceback of their own."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row; see `case_book.toml`."""

    run: str
    """Shell commands."""
    python: str = ""
    """Python that runs after the commands, in the same folder; what it prints is output too."""
    shows: Sequence[str] = ()
    """Patterns that the output has to match, in any order."""
    hides: Sequence[str] = ()
    """Patterns that the output must not match."""


CASES = {
    row: Case(**held) for row, held in tomllib.loads(Path(__file__).with_name("case_book.toml").read_text()).items()
}
"""Rows by their id."""


@dataclass(frozen=True)
class Judged:
    """What came of one row."""

    row: str
    """Its id."""
    wrong: tuple[str, ...]
    """What it should have shown, or should not have."""
    output: str
    """What it printed."""
    seconds: float
    """How long it took."""


def judged(row: str, seconds: float = 300.0) -> Judged:
    """Run one row against servers of its own.

    Args:
        row: Its id.
        seconds: How long it may take.
    """
    case = CASES[row]
    folder = Path(tempfile.mkdtemp(prefix=f"case-{row}-"))
    ports = [_free_port(), _free_port()]
    begun = time.monotonic()
    needed = [name for name, marks in (("chat", ("ask", "answer", "$U")), ("batch", ("batch ",))) if _uses(case, marks)]
    servers = [
        subprocess.Popen(
            [sys.executable, str(BOOK / "servers" / f"{name}.py"), str(ports[name == "batch"])],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for name in needed
    ]
    try:
        for server in servers:
            if server.stdout is not None:
                server.stdout.readline()
        output = _run(case, folder, ports, seconds)
    finally:
        for server in servers:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)
    wrong = [f"without {pattern}" for pattern in case.shows if not re.search(pattern, output, re.MULTILINE)]
    wrong += [f"shows {pattern}" for pattern in (*case.hides, *COMMON) if re.search(pattern, output)]
    return Judged(row, tuple(wrong), output, time.monotonic() - begun)


def _uses(case: Case, marks: tuple[str, ...]) -> bool:
    return any(mark in case.run for mark in marks)


def _run(case: Case, folder: Path, ports: list[int], seconds: float) -> str:
    binaries = Path(sys.executable).parent
    environment = os.environ | {
        "CHAT_PORT": str(ports[0]),
        "BATCH_PORT": str(ports[1]),
        "TMPDIR": str(folder),
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "NO_PROXY": "127.0.0.1",
        "CODE": case.python,
    }
    script = f'. "{BOOK}/short.sh"; export W F; {case.run}\n[ -z "$CODE" ] || python -c "$CODE"'
    begun = subprocess.run(
        ["timeout", str(seconds), "bash", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return begun.stdout.decode("utf-8", "replace") + (f"\ntimeout of {seconds} s" if begun.returncode == 124 else "")


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]
