"""Fixtures that all tests of the command line share."""

import json
import sys
from typing import Any

import pytest

from capscope import cli
from cli.running import Run, RunJson


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line and return its exit code, stdout and stderr."""

    def runner(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["capscope", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return runner


@pytest.fixture
def run_json(run: Run) -> RunJson:
    """Run the command line with --json, which has to succeed, and return what it prints."""

    def runner(*arguments: object) -> dict[str, Any]:
        code, out, err = run(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return runner
