"""``capscope demo``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from capscope.cli.options import AsJson, Seed
from capscope.cli.output import emit
from capscope.cli.progress import progress_bar


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("capscope-demo"),
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Profile 15 published models, predict 54 questions, write a page; no key, no network. Example: capscope demo."""
    with progress_bar("profiling 15 models") as progress:
        from capscope.report import run_demo

        result = run_demo(out, seed, progress)
    lines = [
        f"{result.models} models profiled on {result.dims} dimensions in {result.seconds:.0f} s",
        f"abilities and chances: {out / 'abilities.csv'}, {out / 'chances.csv'}",
        result.report,
    ]
    emit(asdict(result), as_json, "\n".join(lines))
