"""pytest plugin of capscope: the fixture ``capscope_gate`` gates a model in a test.

pytest loads every plugin at its start, so nothing of capscope is imported before a test asks for the fixture.
"""

from typing import TYPE_CHECKING, Literal, cast

import pytest

if TYPE_CHECKING:
    from capscope.integrations.pytest_gate import GateCheck

UNDECIDED = ("fail", "skip", "xfail")
PROPERTY = "capscope gate"
"""Name of the test's property that carries a gate's result, also from one process of pytest-xdist to another."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("capscope", "release gates of capscope")
    group.addoption(
        "--capscope-undecided",
        choices=UNDECIDED,
        default="fail",
        help="what an undecided gate does to its test (default: fail)",
    )
    group.addoption("--capscope-report", metavar="FILE", help="write all gates as Markdown, for a pull request")


@pytest.fixture
def capscope_gate(request: pytest.FixtureRequest) -> "GateCheck":
    """Gate a candidate: ``capscope_gate(study, baseline="model-1.0", candidate="model-1.1", margin=0.01)``."""
    from capscope.integrations.pytest_gate import GateCheck

    undecided = cast(Literal["fail", "skip", "xfail"], request.config.getoption("--capscope-undecided"))
    return GateCheck(request.node.user_properties, undecided)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show each gate's verdict, and write the report."""
    reports = [report for several in terminalreporter.stats.values() for report in several]
    properties = [
        entry
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for entry in report.user_properties
        if entry[0] == PROPERTY
    ]
    if not properties:
        return
    from capscope.integrations.pytest_gate import gate_lines, write_gate_report

    terminalreporter.section("capscope gates")
    for line in gate_lines(properties):
        terminalreporter.line(line)
    path = config.getoption("--capscope-report")
    if path:
        write_gate_report(path, properties)
        terminalreporter.line(f"written: {path}")
