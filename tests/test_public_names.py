"""The top level offers exactly what its stub says, each name once, and importing it loads nothing heavy."""

import ast
import inspect
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import capscope

STUB = Path(capscope.__file__).with_suffix(".pyi")


def stub_names() -> list[str]:
    tree = ast.parse(STUB.read_text("utf-8"))
    return [
        alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    ]


def test_every_name_of_the_stub_is_found_and_written_once() -> None:
    assert sorted(stub_names()) == sorted(capscope.__all__)
    assert len(set(stub_names())) == len(stub_names()) <= 40
    for name in capscope.__all__:
        assert callable(getattr(capscope, name)), name
    assert set(capscope.__all__) <= set(dir(capscope))


def test_names_of_earlier_versions_are_still_found() -> None:
    for name in capscope.EARLIER_NAMES:
        assert getattr(capscope, name) is not None
    assert not set(capscope.EARLIER_NAMES) & set(capscope.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        capscope.no_such_name  # noqa: B018 - looking it up is the test


def test_importing_the_package_loads_no_heavy_library() -> None:
    program = "import sys, capscope; print(sorted({'torch', 'pandas', 'numpy', 'sklearn'} & set(sys.modules)))"
    assert python(program) == "[]"


MODULE_OF = {"annotate": "rubrics", "fit": "links", "forecast": "masks", "predict": "predictions", "report": "page"}
"""A module inside each room."""


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 1, 0, 3)], ids=["room first", "module first"])
@pytest.mark.slow
def test_a_verb_that_is_a_room_is_one_thing_whatever_was_imported_before(order: tuple[int, ...]) -> None:
    """Rooms are tried from left to right, so that none was imported by an earlier one."""
    programs: list[str] = []
    for name in capscope.ROOMS:
        inner = f"capscope.{name}.{MODULE_OF[name]}"
        lines = (
            f"from capscope import {name} as first",
            f"import {inner} as inner",
            f"import {inner}",
            f"from capscope import {name} as second",
        )
        checks = (
            f"assert first is second is capscope.{name}, (first, second)",
            f"assert callable(first) and first.{MODULE_OF[name]} is inner",
        )
        unused = f"assert 'capscope.{name}' not in __import__('sys').modules"
        programs += [unused, *(lines[place] for place in order), *checks]
    python("\n".join(programs))


def test_what_is_no_data_is_named_in_one_line() -> None:
    study_of = inspect.unwrap(capscope.Study.of.__func__)
    with pytest.raises(TypeError, match=r"^study: a table is list; give a DataFrame of pandas, polars, .*DuckDB$"):
        study_of(capscope.Study, [1, 2])
    with pytest.raises(TypeError, match=r"^data is int; give a study, its folder, a table of scores, or level counts$"):
        inspect.unwrap(capscope.fit)(3)
    with pytest.raises(TypeError, match=r"^the fit is int; give a fit, its posterior or its folder$"):
        inspect.unwrap(capscope.profile)(3)


@pytest.mark.parametrize("name", capscope.ROOMS)
def test_a_room_answers_calls_with_its_function(name: str) -> None:
    room = getattr(capscope, name)
    assert inspect.signature(room).parameters
    assert room.__wrapped__.__name__ == name


def python(program: str) -> str:
    source = os.environ | {"PYTHONPATH": str(STUB.parents[1])}
    command = [sys.executable, "-c", program]
    shown = subprocess.run(command, capture_output=True, text=True, check=False, env=source)
    assert shown.returncode == 0, shown.stderr
    return shown.stdout.strip()


ROOMS = sorted(path.parent.name for path in STUB.parent.glob("*/__init__.py"))


@pytest.mark.parametrize("room", [*(room for room in ROOMS if room not in ("cli", "integrations")), "data.formats"])
def test_public_functions_say_what_they_take_and_return(room: str) -> None:
    module = import_module(f"capscope.{room}")
    lacking = []
    for name in module.__all__:
        if not inspect.isfunction(getattr(module, name)):
            continue
        function = inspect.unwrap(getattr(module, name))
        text, signature = inspect.getdoc(function) or "", inspect.signature(function)
        lacking += [f"{name}: {each}" for each in signature.parameters if f"\n    {each}:" not in text]
        returns = signature.return_annotation not in (None, "None", inspect.Signature.empty)
        if returns and not text.startswith(("Return ", "Yield ")) and "\nReturns:\n" not in text:
            lacking.append(f"{name}: Returns")
    assert lacking == []
