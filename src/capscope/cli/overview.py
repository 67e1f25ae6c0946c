"""The root command: its help lists the verbs in panels by job, on one screen."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from typer.core import TyperGroup

from capscope.errors import Interrupted

HELP = {"help_option_names": ["-h", "--help"]}
PANELS = ("Data", "Annotate", "Profile", "Predict", "Batteries", "Decide", "Explain")
"""Panels of the help, in the order of a typical workflow."""
WIDTH = 80
"""Columns of the help of the root command."""
INDENT = 13
"""Columns before the text of a verb."""
STOPPED = "stopped by Ctrl-C; every output is whole, the old one or the new one; run the command again to start over"
"""What is said where a command has no words of its own for it."""
_EXAMPLE = re.compile(r"\s*Example:.*", re.DOTALL)


class Application(TyperGroup):
    """The root command: shows the verbs by job, and turns Ctrl-C into an error with a message."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - the context class differs between versions of typer
        """Run the sub-command.

        Raises:
            Interrupted: Ctrl-C; with the command's own message, or a general one.
        """
        with _as_interrupted():
            return super().invoke(ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        """Read the arguments of the root command.

        Raises:
            Interrupted: Ctrl-C.
        """
        with _as_interrupted():
            return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - click's types, or Typer's copy of them
        """Write the help: the verbs by job, one line each, then the options."""
        lines = [f"Usage: {ctx.command_path} [OPTIONS] VERB ...", self.help or ""]
        for panel in self._panels():
            lines += ["", panel] if panel == PANELS[0] else [panel]
            lines += self._verbs(panel)
        lines += ["Options", *_rows((" ".join(p.opts), getattr(p, "help", "") or "") for p in self.get_params(ctx))]
        lines += [f"'{ctx.command_path} VERB -h' has the options of a verb and an example."]
        formatter.write("\n".join(lines) + "\n")

    def _panels(self) -> list[str]:
        """Panels with verbs, the known ones first."""
        used = [_panel(command) for command in self.commands.values() if not command.hidden]
        return [*PANELS, *dict.fromkeys(panel for panel in used if panel not in PANELS)]

    def _verbs(self, panel: str) -> list[str]:
        commands = [(name, command) for name, command in self.commands.items() if _panel(command) == panel]
        return _rows((name, _one_line(command)) for name, command in commands if not command.hidden)


@contextmanager
def _as_interrupted() -> Generator[None]:
    """Turn Ctrl-C into an error with the interruption's own message, or a general one."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise Interrupted(str(stop) or STOPPED) from None


def _panel(command: Any) -> str:  # noqa: ANN401 - click's command, or Typer's copy of it
    return getattr(command, "rich_help_panel", None) or "Other"


def _one_line(command: Any) -> str:  # noqa: ANN401
    """First sentence of a verb's help without its full stop, shortened at a comma or colon where it is too long."""
    text = " ".join(_EXAMPLE.sub("", command.help or "").split("\n\n")[0].split()).removesuffix(".")
    room = WIDTH - INDENT
    shorter = (text[: place.start()] for place in reversed(list(re.finditer("[:;,]", text))))
    return next((part for part in (text, *shorter) if len(part) <= room), f"{text[: room - 3]}...")


def _rows(pairs: Any) -> list[str]:  # noqa: ANN401
    """Lay names and texts out in two columns."""
    return [f"  {name:<{INDENT - 3}} {text}" for name, text in pairs]
