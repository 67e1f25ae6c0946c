"""A release gate as a pytest fixture: one call, one verdict, one line in the terminal summary.

`capscope_pytest` registers the fixture and the options; this module does the work, once a test asks for it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import pytest

from capscope.data import Study
from capscope.decide import GateResult, GateSettings, draw_chances, gate, gate_markdown, gate_text, share_of
from capscope.errors import CapscopeError
from capscope.files import write_text
from capscope_pytest import PROPERTY

Undecided = Literal["fail", "skip", "xfail"]


@dataclass(frozen=True)
class GateCheck:
    """The callable that the fixture `capscope_gate` gives to a test."""

    properties: list[tuple[str, object]]
    """Properties of the test, which reports and JUnit XML show."""
    undecided: Undecided
    """What an undecided gate does to the test, unless the call says otherwise."""

    def __call__(  # noqa: PLR0913 - every setting has a default and is given by keyword
        self,
        study: Study | Path | str,
        *,
        baseline: str,
        candidate: str,
        margin: float | str = 0.01,
        draw: Path | str | None = None,
        undecided: Undecided | None = None,
        settings: GateSettings | None = None,
    ) -> GateResult:
        """Gate a candidate: the test fails where the gate says hold.

        Args:
            study: Responses of both versions, and of past models as far as there are any; a study or its folder.
            baseline: The version in use.
            candidate: The version that may replace it.
            margin: Largest acceptable loss of the mean score, a share: 0.01, 1pp or 1% is one point.
            draw: File of `capscope gate plan` that named the candidate's items.
            undecided: What an undecided gate does: `fail`, `skip` or `xfail`; by default `--capscope-undecided`.
            settings: Everything else; its margin counts where it is given.

        Returns:
            The result, where the gate says ship.

        The test fails in one line where the study cannot be read, a model is not in it, or a setting is out of range.
        """
        try:
            chosen = settings or GateSettings(margin=share_of(str(margin)))
            result = gate(study, baseline, candidate, chosen, None if draw is None else draw_chances(draw))
        except CapscopeError as error:
            pytest.fail(str(error), pytrace=False)
        self.properties.append((PROPERTY, _line(result)))
        if result.verdict != "ship":
            _refuse(result, undecided or self.undecided)
        return result


def _refuse(result: GateResult, undecided: Undecided) -> NoReturn:
    reason = gate_text(result)
    if result.verdict == "undecided" and undecided == "skip":
        pytest.skip(reason.splitlines()[0])
    if result.verdict == "undecided" and undecided == "xfail":
        pytest.xfail(reason.splitlines()[0])
    pytest.fail(reason, pytrace=False)


def _line(result: GateResult) -> str:
    return json.dumps({"text": gate_text(result).splitlines()[:2], "markdown": gate_markdown(result)})


def gate_lines(properties: Iterable[tuple[str, object]]) -> list[str]:
    """Return the verdicts among a test's properties, each with the difference and its interval, for the terminal."""
    return [line for entry in _entries(properties) for line in entry["text"]]


def write_gate_report(path: Path | str, properties: Iterable[tuple[str, object]]) -> None:
    """Write the gates among tests' properties as Markdown, for a pull request; an older report is replaced.

    Args:
        path: File to write.
        properties: Names and values of the tests' properties.

    Raises:
        OutputError: The file cannot be written.
    """
    text = "\n".join(str(entry["markdown"]) for entry in _entries(properties))
    write_text(Path(path), text, option="--capscope-report")


def _entries(properties: Iterable[tuple[str, object]]) -> list[Mapping[str, Any]]:
    return [json.loads(str(value)) for name, value in properties if name == PROPERTY]
