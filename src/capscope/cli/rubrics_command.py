"""``capscope rubrics list | show | check``."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capscope.cli.output import emit
from capscope.errors import counted

if TYPE_CHECKING:
    from capscope.annotate import RubricSet

Folder = Annotated[
    Path | None, typer.Option("--rubrics", help="Folder of CODE.txt files, or agentic; by default general.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def list_rubrics(rubrics: Folder = None, as_json: AsJson = False) -> None:
    """List the rubrics of a set. Example: capscope rubrics list."""
    held = _load(rubrics)
    rows = [
        {
            "code": r.code,
            "name": r.name,
            "family": held.family(r.code),
            "control": r.code in held.control,
            "sha256": r.sha256,
        }
        for r in held.rubrics
    ]
    lines = [f"{row['code']:<6} {row['family'] or '-':<12} {row['name']}" for row in rows]
    title = f"{held.name} {held.version}".strip()
    emit({"name": held.name, "version": held.version, "rubrics": rows}, as_json, "\n".join([title, *lines]))


def show_rubric(
    code: Annotated[str, typer.Argument(help="Code of the rubric, such as QLl.")],
    rubrics: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Print one rubric. Example: capscope rubrics show QLl."""
    rubric = _load(rubrics).get(code)
    emit(asdict(rubric), as_json, rubric.text.rstrip())


def check_rubric_folder(
    folder: Annotated[Path, typer.Argument(help="Folder of CODE.txt files, or agentic or general.")],
    as_json: AsJson = False,
) -> None:
    """Look for missing levels, missing examples, colliding codes and overlong texts; exit 1 if there are any."""
    from capscope.annotate import check_rubrics

    held = _load(folder)
    findings = check_rubrics(held)
    lines = [f"{finding.code}: {finding.problem}" for finding in findings]
    summary = f"{counted(len(held.rubrics), 'rubric')}, {counted(len(findings), 'finding')}"
    emit(
        {"rubrics": list(held.codes), "findings": [asdict(f) for f in findings]}, as_json, "\n".join([*lines, summary])
    )
    if findings:
        raise typer.Exit(1)


def _load(folder: Path | None) -> "RubricSet":
    from capscope.annotate import general_rubrics, load_rubrics

    return load_rubrics(folder) if folder else general_rubrics()
