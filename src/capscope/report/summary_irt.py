"""Everything that the page on an item response fit shows, as one plain dict; nothing is rounded here."""

import numpy as np
import pandas as pd

from capscope.fit import Fit, HeldOut, IRTPosterior
from capscope.intervals import normal_quantile
from capscope.report import calibration
from capscope.report.definitions import IRT, definitions
from capscope.report.plain import Record, Summary, item_texts, plain, records
from capscope.report.provenance import Provenance, made
from capscope.report.versus import irt_versus

LISTED = 10
"""Number of items in each list of extremes."""
MAP_EDGES = np.linspace(-4, 4, 33)
"""Edges of the item map's bins, on the ability scale; what lies outside counts in the outermost bins."""


def summarize_irt(
    fit: Fit[IRTPosterior],
    items: pd.DataFrame | None = None,
    *,
    provenance: Provenance,
    held_out: HeldOut | None = None,
    level: float = 0.9,
) -> Summary:
    """Gather what the page on an item response fit shows, as values that `json.dumps` takes.

    Sections `benchmarks` and `audit` are for `with_study` to fill.

    Args:
        fit: An item response fit.
        items: Columns `item_id` and `text` (optional), or None.
        provenance: Where the numbers come from.
        held_out: Answers that a fit of the same kind has not seen, with its predictions, or None.
        level: Nominal coverage of all intervals.
    """
    posterior = fit.posterior
    rng = np.random.default_rng(provenance.seed)
    abilities = [_abilities(posterior, dim, level) for dim in range(posterior.dims)]
    summary: Summary = {
        "kind": "irt",
        "title": provenance.title,
        "level": level,
        "headline": {
            "model_name": posterior.model_name,
            "n_models": len(posterior.models),
            "n_items": len(posterior.items),
            "n_dims": posterior.dims,
            "strongest": abilities[0]["models"][0],
            "weakest": abilities[0]["models"][-1],
        },
        "abilities": abilities,
        "items": _items(posterior, item_texts(items), level),
        "map": _map(posterior) if posterior.dims == 1 else None,
        "versus": irt_versus(posterior, rng),
        "calibration": None if held_out is None else calibration.held_out(held_out, rng, level),
        "benchmarks": None,
        "audit": None,
        "definitions": definitions(IRT, level),
        "made": made(fit, provenance),
    }
    return plain(summary)


def _abilities(posterior: IRTPosterior, dim: int, level: float) -> Record:
    """All models on one ability, the most able first."""
    mean, sd = posterior.ability_mean[:, dim], posterior.ability_sd[:, dim]
    lower, upper = posterior.ability_interval(level)
    models = [
        {
            "model": posterior.models[row],
            "sd": sd[row],
            "overall": {"value": mean[row], "lower": lower[row, dim], "upper": upper[row, dim]},
        }
        for row in np.argsort(-mean, kind="stable")
    ]
    return {"dim": dim + 1, "models": models}


def _items(posterior: IRTPosterior, texts: dict[str, str], level: float) -> Record:
    """List the items that are surely extreme: ranked by the end of their interval that is nearer to the rest."""
    difficulty = _with_bounds(posterior.difficulty(), level)
    discrimination = _with_bounds(posterior.discrimination(), level)
    alike = posterior.model_name == "rasch"
    return {
        "hardest": _extremes(difficulty, "lower", False, texts),
        "easiest": _extremes(difficulty, "upper", True, texts),
        "most_discriminating": [] if alike else _extremes(discrimination, "lower", False, texts),
        "least_discriminating": [] if alike else _extremes(discrimination, "upper", True, texts),
        "surely_negative": int((discrimination["upper"] < 0).sum()),
    }


def _with_bounds(table: pd.DataFrame, level: float) -> pd.DataFrame:
    width = normal_quantile(level) * table["sd"]
    return table.assign(lower=table["mean"] - width, upper=table["mean"] + width)


def _extremes(table: pd.DataFrame, by: str, ascending: bool, texts: dict[str, str]) -> list[Record]:
    rows = records(table.sort_values(by, ascending=ascending, kind="stable").head(LISTED))
    return [
        {
            "item_id": row["item"],
            "text": texts.get(row["item"], ""),
            "value": row["mean"],
            "sd": row["sd"],
            "lower": row["lower"],
            "upper": row["upper"],
        }
        for row in rows
    ]


def _map(posterior: IRTPosterior) -> Record:
    difficulty = np.clip(posterior.difficulty()["mean"].to_numpy(), MAP_EDGES[0], MAP_EDGES[-1])
    return {"edges": MAP_EDGES, "items": np.histogram(difficulty, MAP_EDGES)[0]}
