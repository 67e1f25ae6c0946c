"""``capscope fuse``."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from capscope.cli.output import emit


def fuse_annotators(
    study: Annotated[Path, typer.Argument(help="Study folder with demands by two annotators or more.")],
    annotators: Annotated[str, typer.Option(help="Whose labels enter, comma separated; by default all.")] = "",
    replace: Annotated[bool, typer.Option(help="Drop fused labels of other versions of the rubrics.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fuse annotators into one level with its uncertainty, by annotator 'fused'. Example: capscope fuse STUDY."""
    from capscope.annotate import fuse

    fusion = fuse(study, tuple(name.strip() for name in annotators.split(",") if name.strip()))
    fusion.write(study, replace=replace)
    traits = [asdict(trait) for trait in fusion.traits]
    lines = [
        f"{t.rubric:<8} {t.annotator:<24} severity {t.severity:+.2f} width {t.width:.2f} ({t.items} items)"
        for t in fusion.traits
    ]
    emit({"labels": len(fusion.labels), "annotators": traits}, as_json, "\n".join(lines))
