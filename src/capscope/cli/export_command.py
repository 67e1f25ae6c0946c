"""``capscope export``: a study in the format of another tool."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from capscope.cli.options import AsJson, Force
from capscope.cli.output import emit
from capscope.errors import counted


class ExportCommand(TyperCommand):
    """The command, whose help names the formats that can be written; they are loaded when help is asked for."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - of click, or of the copy of it in Typer
        """Write the help."""
        for parameter in self.params:
            if parameter.name == "format":
                parameter.help = f"{', '.join(_able())}."  # pyright: ignore[reportAttributeAccessIssue]
        super().format_help(ctx, formatter)


def _able() -> list[str]:
    """Return the names of the formats that can be written."""
    from capscope.data.formats import FORMATS

    return [name for name, entry in FORMATS.items() if entry.write]


def export(
    format: Annotated[str, typer.Argument(metavar="FORMAT", help="Format to write.")],
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="Study folder.")],
    out: Annotated[Path, typer.Option("--out", help="File to write; for torch-measure and every-eval-ever a folder.")],
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a study's responses for another tool. Example: capscope export pyirt STUDY --out data.jsonlines."""
    from capscope.data import Study
    from capscope.data.formats import FORMATS, export_study
    from capscope.errors import nearest

    if format not in _able():
        raise typer.BadParameter(f"no format '{format}'{nearest(format, _able())}; one of {', '.join(_able())}")
    report = export_study(FORMATS, format, Study.load(study), out, force=force)
    lines = [
        (
            f"{', '.join(report.files)}: {counted(report.responses, 'response')} of"
            f" {counted(report.models, 'model')} on {counted(report.items, 'item')}"
        ),
        f"left behind, for the format has no place for it: {', '.join(report.left_behind) or 'nothing'}",
    ]
    emit(report.as_dict(), as_json, "\n".join(lines))
