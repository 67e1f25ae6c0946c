"""Read what a user asks for: the annotator and the rubrics."""

from dataclasses import replace
from pathlib import Path

from capscope.annotate.rubrics import RubricSet, general_rubrics, load_rubrics
from capscope.errors import InputError

KINDS = ("openai", "batch", "local")


def parse_annotator(text: str) -> tuple[str, str]:
    """Split ``openai:MODEL``, ``batch:MODEL`` or ``local`` into its kind and the model, empty for ``local``.

    Raises:
        InputError: It is none of the three.
    """
    kind, _, model = text.partition(":")
    if kind not in KINDS or bool(model) != (kind != "local"):
        raise InputError(f"--annotator {text}: use openai:MODEL, batch:MODEL or local")
    return kind, model


def rubrics_for(folder: Path | None, only: str = "") -> RubricSet:
    """Load a rubric set, the shipped one by default, reduced to some codes.

    Args:
        folder: A folder of rubric files; None for the shipped set.
        only: Codes, comma separated; empty for all.

    Raises:
        InputError: The set has no such code.
    """
    rubrics = load_rubrics(folder) if folder is not None else general_rubrics()
    codes = [code.strip() for code in only.split(",") if code.strip()]
    if not codes:
        return rubrics
    kept = tuple(rubrics.get(code) for code in codes)
    return replace(rubrics, rubrics=kept, control=tuple(code for code in rubrics.control if code in codes))
