"""Options shared by several commands, groups with a default command, and help texts that list a family's members."""

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from capscope.members import members_in_source

FAMILY = re.compile(r"\{([\w.]+):(\w+)\}")
"""Placeholder in a help text for the names of a family, as in `{capscope.battery.selectors:SELECTORS}`."""

StudyFolder = Annotated[Path, typer.Argument(metavar="STUDY", help="Study folder.")]
FitFolder = Annotated[Path, typer.Argument(metavar="FIT", help="Folder written by 'capscope fit'.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, everything else on stderr.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]
IdleSeed = Annotated[int, typer.Option("--seed", help="Taken by every command; nothing in this one is random.")]
Cluster = Annotated[
    str | None,
    typer.Option("--cluster", metavar="ray[://HOST]", help="Ray cluster that runs the tasks; ray is this machine."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
Annotator = Annotated[
    str | None, typer.Option("--annotator", help="Whose demand levels to use; by default the mean over annotators.")
]
Embedder = Annotated[
    str, typer.Option("--embedder", help="How an assessor turns texts into vectors: auto, tfidf, or a model's name.")
]
Level = Annotated[float, typer.Option("--level", min=0.01, max=0.999, help="Coverage of the intervals.")]
StudyOut = Annotated[Path, typer.Option("--out", help="Study folder to write.")]
NotAdministered = Annotated[
    list[str] | None,
    typer.Option("--not-administered", help='A score that means "not administered", such as -1; may be repeated.'),
]
Encoding = Annotated[str, typer.Option("--encoding", help="Text encoding of CSV and JSON files.")]
Metrics = Annotated[
    list[str] | None, typer.Option("--metric", help="Which metric is the score; may be repeated, first choice first.")
]
LoggedModel = Annotated[
    str | None, typer.Option("--model", help="Who answered, where the logs do not say or say it wrong.")
]
PageItems = Annotated[Path | None, typer.Option("--items", help="Study folder or file of items to predict.")]
PageStudy = Annotated[
    Path | None,
    typer.Option("--study", help="Study of the fit: texts, odd items, its demands, held-out answers."),
]
PageModel = Annotated[
    str | None, typer.Option("--model", help="Model whose curves are drawn; by default the strongest.")
]
PageAgainst = Annotated[str | None, typer.Option("--against", help="Model it is compared with; by default the next.")]


class FamilyCommand(TyperCommand):
    """A command whose help lists the members of families; they are read from its source, or the family is imported."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - click's types, or Typer's copy of them
        """Replace placeholders by the names of families, then write the help."""
        for parameter in self.params:
            if isinstance(parameter, TyperOption) and parameter.help:
                parameter.help = FAMILY.sub(_member_names, parameter.help)
        super().format_help(ctx, formatter)


class DefaultCommandGroup(TyperGroup):
    """A group whose first command is the default: `gate STUDY` is `gate decide STUDY`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - click's type, or Typer's copy of it
        """Insert the default command where the first argument is no command."""
        commands = self.commands
        if args and args[0] not in commands and args[0] not in ctx.help_option_names:
            args = [next(iter(commands)), *args]
        return super().parse_args(ctx, args)


def _member_names(place: re.Match[str]) -> str:
    """Return the names of a family that is loaded, or of its source, or import it."""
    in_source = None if place[1] in sys.modules else members_in_source(place[1])
    return ", ".join(in_source or getattr(import_module(place[1]), place[2]))
