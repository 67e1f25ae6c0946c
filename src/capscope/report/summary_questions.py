"""What the page says about a set of questions: every model's chance on each, as many as a page can hold."""

import numpy as np
import pandas as pd

from capscope.predict import Predictions
from capscope.report.plain import Record, item_texts, records

MOST_QUESTIONS = 100
"""A page lists at most this many questions: those on which the models differ most."""
MOST_MODELS = 24
"""The table of chances has at most this many models: those with the best predicted scores."""
MOST_IDS = 20
"""At most this many ids stand behind each reason for missing support."""


def questions_section(predictions: Predictions, items: pd.DataFrame | None, focus: str) -> Record:
    """Gather the predictions that the page shows.

    Args:
        predictions: Every model's chance on every question.
        items: Columns `item_id` and `text` (optional), or None.
        focus: The model that stays in the table whatever its score.
    """
    scores = records(predictions.scores.sort_values("score", ascending=False, kind="stable"))
    models = [row["model"] for place, row in enumerate(scores) if place < MOST_MODELS or row["model"] == focus]
    shown = _most_divided(predictions)
    entries = records(predictions.support)
    return {
        "n": len(entries),
        "level": predictions.level,
        "scores": scores,
        "models": models,
        "items": _listed([entry for entry in entries if entry["item_id"] in shown], predictions, items, models),
        "left_out": {"questions": len(entries) - len(shown), "models": len(scores) - len(models)},
        "unsupported": _unsupported(entries),
    }


def _most_divided(predictions: Predictions) -> set[str]:
    """Find the questions whose chances differ most between models."""
    spread = predictions.table.groupby("item_id", sort=False)["p"].std(ddof=0)
    order = np.argsort(-spread.to_numpy(), kind="stable")[:MOST_QUESTIONS]
    return set(spread.index[order])


def _listed(
    entries: list[Record], predictions: Predictions, items: pd.DataFrame | None, models: list[str]
) -> list[Record]:
    texts = item_texts(items)
    wanted = {entry["item_id"] for entry in entries}
    table = predictions.table
    chances: dict[str, list[Record]] = {}
    for row in records(table[table["item_id"].isin(wanted) & table["model"].isin(models)]):
        chances.setdefault(str(row.pop("item_id")), []).append(row)
    return [
        {"text": texts.get(entry["item_id"], ""), **entry, "chances": chances[entry["item_id"]]} for entry in entries
    ]


def _unsupported(entries: list[Record]) -> list[Record]:
    """Count the questions without support by reason, most frequent first."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        if not entry["in_support"]:
            found.setdefault(entry["reason"], []).append(entry["item_id"])
    return [
        {"reason": reason, "n": len(ids), "item_ids": ids[:MOST_IDS]}
        for reason, ids in sorted(found.items(), key=lambda pair: -len(pair[1]))
    ]
