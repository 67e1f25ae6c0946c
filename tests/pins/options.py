"""Names of every command's options and arguments, and which of them are required or may be repeated."""

from typing import Any

from typer.main import get_command

from capscope.cli import app


def command_options() -> dict[str, Any]:
    """Return the parameters of every command, by the words that call it."""
    return dict(_walk(get_command(app), ""))


def _walk(command: Any, words: str) -> list[tuple[str, Any]]:
    rows = [(words or "capscope", [_parameter(entry) for entry in command.params])]
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        rows += _walk(inner, f"{words} {name}".strip())
    return rows


def _parameter(entry: Any) -> dict[str, Any]:
    """Return names and arity; what a value may be is the rooms' business, and how Typer keeps it differs by version."""
    names = [*entry.opts, *entry.secondary_opts]
    return {
        "names": names,
        "required": entry.required,
        "many": bool(getattr(entry, "multiple", False)) or entry.nargs == -1,
    }
