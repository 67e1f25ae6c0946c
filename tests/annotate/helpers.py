"""What several test files of the room need."""

from pathlib import Path

import pytest

from capscope.data import Study

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

LEVEL_TEXTS = "".join(
    f"\nLevel {level}: Step {level}. Needs {level} steps.\nGate: Is one more step needed?\nExamples:\n"
    f"- A first task of {level} steps.\n- A second one.\n"
    for level in range(6)
)


def two_annotators() -> Study:
    """Load the pair of annotators, or skip."""
    if not (DATA / "two_annotators").is_dir():
        pytest.skip("shared data are not here")
    return Study.load(DATA / "two_annotators")


def write_rubrics(folder: Path, codes: tuple[str, ...] = ("AA", "BB")) -> Path:
    """Write a small rubric set."""
    folder.mkdir(parents=True, exist_ok=True)
    for code in codes:
        (folder / f"{code}.txt").write_text(f"# Scale of {code}\n\nCounts steps of {code}.\n{LEVEL_TEXTS}", "utf-8")
    return folder
