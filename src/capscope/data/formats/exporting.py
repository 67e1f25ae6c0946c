"""Helpers of all exports: one response for each key, scores as numbers to write, and the report on what is left out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.data.formats.format import ExportReport
from capscope.data.study import Study
from capscope.errors import InputError


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
        what: Name of the format's data in an error.
        key: Columns of which the format can hold one response each.

    Raises:
        InputError: A model answers an item more than once, under several conditions.
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
