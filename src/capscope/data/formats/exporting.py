"""Writing a study for other tools: what all formats share, and the report on what a format cannot hold."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.data.study import Study
from capscope.errors import InputError, OutputError


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote, and what it left behind."""

    files: tuple[str, ...]
    """The files written."""
    responses: int
    """Responses of the study."""
    models: int
    """Models with at least one response."""
    items: int
    """Items with at least one response."""
    left_behind: tuple[str, ...]
    """Columns and tables of the study that the format cannot hold."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        return asdict(self)


def report_on_export(study: Study, files: Sequence[Path], kept: Sequence[str]) -> ExportReport:
    """Count what was written.

    Args:
        study: The study.
        files: The files written.
        kept: Columns of responses and items that the format holds; everything else is left behind.
    """
    responses = study.require("responses")
    behind = [f"responses.{name}" for name in responses.columns if name not in kept]
    if study.items is not None:
        filled = study.items.columns[study.items.notna().any()]
        behind += [f"items.{name}" for name in filled if name not in kept]
    behind += ["demands"] if study.demands is not None else []
    models, items = responses["model"].nunique(), responses["item_id"].nunique()
    return ExportReport(tuple(map(str, files)), len(responses), models, items, tuple(behind))


def single_responses(study: Study, what: str, key: Sequence[str] = ("model", "item_id")) -> pd.DataFrame:
    """Return the responses of a study, for a format that has one for each model and item.

    Args:
        study: The study.
        what: What to call the format's data in an error.
        key: Columns of which the format can hold one response each.

    Raises:
        InputError: A model answers an item more than once, under several prompts or scaffolds.
    """
    responses = study.require("responses")
    repeated = responses.duplicated([name for name in key if name in responses])
    if repeated.any():
        model, item = responses.loc[repeated, ["model", "item_id"]].iloc[0]
        raise InputError(
            f"{study.name}: model '{model}' answers item '{item}' under several prompts or scaffolds, and {what} hold"
            " one response each; keep one of them, or name the model differently for each"
        )
    return responses


def plain_numbers(responses: pd.DataFrame) -> list[float | int]:
    """Return scores as numbers to write: 0 and 1 without decimals."""
    score = responses["score"].to_numpy(dtype=float)
    whole = bool(np.isin(score, (0.0, 1.0)).all())
    return score.astype(int).tolist() if whole else score.tolist()


def write_file(out: Path, content: bytes, *, force: bool) -> None:
    """Write a file; the old one stays whole until the new one is complete.

    Raises:
        OutputError: The file is there and `force` is not set, or it cannot be written.
    """
    refuse_existing(out, force=force)
    scratch = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(content)
        scratch.replace(out)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise OutputError(f"{out}: cannot be written ({error.strerror}); choose another --out") from error


def refuse_existing(out: Path, *, force: bool) -> None:
    """Refuse to write over a file, unless forced, or over a folder, always.

    Raises:
        OutputError: Something is there.
    """
    if out.is_dir():
        raise OutputError(f"{out}: this is a folder; name a file with --out")
    if out.exists() and not force:
        raise OutputError(f"{out}: already exists; choose another --out or add --force")
