"""``capscope export``: a study in the format of another tool."""

from pathlib import Path
from typing import Annotated

import typer

from capscope.cli.options import AsJson, Force
from capscope.cli.output import emit


def export(
    format: Annotated[str, typer.Argument(metavar="FORMAT", help="tidy, pyirt, irw or torch-measure.")],
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="Study folder.")],
    out: Annotated[Path, typer.Option("--out", help="File to write; for torch-measure a folder.")],
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a study's responses for another tool. Example: capscope export pyirt STUDY --out data.jsonlines."""
    from capscope.data import Study
    from capscope.data.formats import EXPORTS
    from capscope.errors import nearest

    if format not in EXPORTS:
        raise typer.BadParameter(f"no format '{format}'{nearest(format, EXPORTS)}; one of {', '.join(EXPORTS)}")
    report = EXPORTS[format](Study.load(study), out, force=force)
    lines = [
        f"{', '.join(report.files)}: {report.responses} responses of {report.models} models on {report.items} items",
        f"left behind, for the format has no place for it: {', '.join(report.left_behind) or 'nothing'}",
    ]
    emit(report.as_dict(), as_json, "\n".join(lines))
