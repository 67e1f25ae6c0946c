"""``capscope profile`` and ``compare``."""

from pathlib import Path
from typing import Annotated

import typer

from capscope.cli.options import AsJson, FitFolder, IdleSeed, Level, Seed
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


def compare(
    source: Annotated[Path, typer.Argument(metavar="STUDY", help="Study folder, or a table of judgements.")],
    models: Annotated[list[str] | None, typer.Argument(metavar="[A B]", help="Two models; without, all.")] = None,
    level: Level = 0.9,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Compare two models item by item, or rank all models over a suite.

    A file with columns model_a, model_b and winner (a, b, tie) is ranked by Bradley and Terry.

    Example: capscope compare STUDY GPT-4o Llama-3-70B
    """
    from capscope.profiles import compare as compare_models_of

    result = compare_models_of(source, *(models or []), seed=seed, level=level)
    emit(result.as_dict(), as_json, result.as_text())
