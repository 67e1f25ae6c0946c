"""``capscope profile``."""

from typing import Annotated

import typer

from capscope.cli.options import AsJson, FitFolder, IdleSeed, Level
from capscope.cli.output import emit


def profile(
    fit: FitFolder,
    model: Annotated[str | None, typer.Option(help="One model only.")] = None,
    level: Level = 0.9,
    seed: IdleSeed = 0,  # noqa: ARG001 - one interface for all commands
    as_json: AsJson = False,
) -> None:
    """Print ability profiles with intervals. Example: capscope profile FIT --model GPT-4o."""
    from capscope.profiles import profile as profile_of

    result = profile_of(fit, model, level=level)
    emit(result.as_dict(), as_json, result.as_text())
