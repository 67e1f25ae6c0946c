"""The README is true: its two commands are those that every change must pass; the page of commands lists every one.

That its commands run is a test of `test_docs.py`.
"""

import re
import runpy
from pathlib import Path

import pytest
import typer

from capscope.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = (ROOT / "docs" / "commands.md").read_text("utf-8")


def verbs() -> set[str]:
    """Every command of the command line, groups spelt out."""
    group = typer.main.get_command(app)
    found: set[str] = set()
    for name, command in group.commands.items():
        found |= {f"{name} {inner}" for inner in command.commands} if hasattr(command, "commands") else {name}
    return found


def named_in(page: str) -> set[str]:
    """What follows `capscope` in code, one or two words, and its shorthands in the table (`rubrics show`)."""
    known = verbs()
    prose = re.sub(r"```.*?```", "", page, flags=re.S)
    code = re.findall(r"`([^`]+)`", prose) + re.findall(r"^\$ (capscope .*)$", page, re.M)
    found: set[str] = set()
    for piece in code:
        words = piece.removeprefix("capscope ").split()
        pair = " ".join(words[:2])
        if piece.startswith("capscope ") or pair in known:
            found.add(pair if pair in known else words[0])
    return found


def test_every_command_is_on_the_page_of_commands_and_every_one_there_exists() -> None:
    assert {name for name in named_in(COMMANDS) if not name.startswith("-")} == verbs()


def test_every_command_in_the_readme_exists() -> None:
    groups = {name.split()[0] for name in verbs()}
    assert {name for name in named_in(README) if not name.startswith("-")} <= verbs() | groups


def test_the_two_commands_are_those_of_continuous_integration() -> None:
    ci = (ROOT / ".ci" / "run").read_text("utf-8")
    for command in re.findall(r"^\$ (scripts/\w+)$", README, re.M):
        assert (ROOT / command).is_file()
        assert re.search(rf"^{command}\b", ci, re.M)
    assert len(re.findall(r"^\$ (scripts/\w+)$", README, re.M)) == 2


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_the_tables_of_families_are_those_of_the_code() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "make-tables"))
    stale = [page for page in script["PAGES"] if script["filled"](text := read(page)) != text]
    assert stale == [], "run scripts/make-tables"


def read(page: str) -> str:
    return (ROOT / page).read_text("utf-8")
