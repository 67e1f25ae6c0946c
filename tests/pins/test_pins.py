"""Every command prints and writes what it did when it was pinned, at equal seed; see `pins.record`."""

from collections.abc import Callable
from functools import cache

import pytest

from pins.comparing import differences
from pins.options import command_options
from pins.record import golden
from pins.running import outline
from pins.session import GROUPS, Session
from pins.steps import Step

COSTLY = {"evaluate-task", "evaluate-texts", "evaluate-stacked", "predict-stacked", "annotate-local", "fit-auto"}
COSTLY |= {"evaluate-benchmark", "report-2pl-study", "report-curves-study", "report-curves", "report-2pl", "view"}
COSTLY |= {"fit-curves", "fit-holdout-curves", "profile-curves", "predict-curves", "predict-study", "predict-residuals"}
COSTLY |= {"fuse", "explain", "explain-audit", "battery-prompts", "battery-evaluate-adaptive"}
"""What takes seconds runs on the Parquet study in the fast tests, and on both in the slow ones.

That a study of CSV gives what one of Parquet gives is a law of `test_verb_forms.py`, on a smaller study.
"""


def marks_of(group: str, step: Step) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow] if step.slow or (group == "csv" and step.name in COSTLY) else []


CASES = [
    pytest.param(group, step.name, id=f"{group}-{step.name}", marks=marks_of(group, step))
    for group, steps in GROUPS.items()
    for step in steps
]
SessionOf = Callable[[str], Session]


@pytest.fixture(scope="module")
def session_of(tmp_path_factory: pytest.TempPathFactory) -> SessionOf:
    """Make the session of a group when it is first asked for."""
    return cache(lambda group: Session(group, tmp_path_factory.mktemp(group)))


@pytest.mark.parametrize(("group", "step"), CASES)
def test_a_command_does_what_it_did(
    session_of: SessionOf, request: pytest.FixtureRequest, group: str, step: str
) -> None:
    pinned, now = golden(group)[step], session_of(group).record(step)
    if request.config.getoption("rough"):
        pinned, now = outline(pinned), outline(now)
    found = differences(pinned, now, request.config.getoption("exact"))
    assert found == [], f"if the change is meant: python -m pins.record {group}:{step}"


def test_every_option_is_still_there() -> None:
    now = command_options()
    assert [name for name in golden("options") if name not in now] == []
    for name, options in golden("options").items():
        assert [option for option in options if option not in now[name]] == [], name


def test_a_changed_number_key_or_column_is_seen() -> None:
    record = {"code": 0, "out": {"a": 1.0, "b": [1, 2]}, "wrote": {"x.csv": {"columns": {"p": {}}}}}
    changed = [
        {**record, "out": {"a": 1 + 1e-8, "b": [1, 2]}},
        {**record, "out": {"b": [1, 2]}},
        {**record, "out": {"b": [1, 2], "a": 1.0}},
        {**record, "out": {"a": 1.0, "b": [1]}},
        {**record, "wrote": {"x.csv": {"columns": {"p": {}, "q": {}}}}},
    ]
    assert all(differences(record, other) for other in changed)
    assert not differences(record, {**record, "out": {"a": 1 + 1e-10, "b": [1, 2], "c": None}})
    assert differences(record, {**record, "out": {"a": 1 + 1e-10, "b": [1, 2]}}, exact=True)
