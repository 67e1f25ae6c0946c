"""Model against model: the chance that one is ahead of another, and by how much on each scale."""

import numpy as np

from capscope.axes import FloatArray
from capscope.fit import CurvePosterior, IRTPosterior
from capscope.fit.irt.posterior import draw_chances
from capscope.intervals import quantile_bounds
from capscope.report.plain import Record

MOST_MODELS = 24
"""A matrix of more models than this is cut to the strongest."""
SCORED_ITEMS = 400
"""Expected scores are taken over at most this many items, spread evenly over the fit's."""


def ahead(models: tuple[str, ...], overall: FloatArray, keep: tuple[str, ...] = ()) -> Record:
    """Chance that each model is ahead of each other one.

    Args:
        models: Names of the models.
        overall: What they are compared by, as (model, draw); draws are joint over models.
        keep: Models that stay in the matrix whatever their place.

    Returns:
        `models` from the strongest to the weakest, `chance` as rows of the matrix (None on the diagonal), and
        `left_out`, the number of models for which there was no room.
    """
    order = np.argsort(-overall.mean(axis=-1), kind="stable")
    shown = [row for place, row in enumerate(order) if place < MOST_MODELS or models[row] in keep]
    chance = [[None if one == two else _chance(overall[one], overall[two]) for two in shown] for one in shown]
    names = [models[row] for row in shown]
    return {"models": names, "chance": chance, "left_out": len(models) - len(names)}


def curves_versus(
    posterior: CurvePosterior, focus: str, rival: str | None, names: dict[str, str], level: float
) -> Record:
    """Compare the models of a curve fit: all by overall ability, and one with its rival scale by scale.

    Args:
        posterior: A curve fit.
        focus: The model shown up close.
        rival: The model it is compared with; by default the one next to it.
        names: Name of each scale by its code.
        level: Nominal coverage of the bounds.
    """
    matrix = ahead(posterior.models, posterior.ability.mean(axis=1), keep=(focus,))
    other = rival or rival_of(matrix["models"], focus)
    gaps = [] if other is None else differences(posterior, focus, other, level)
    return matrix | {
        "by": "overall ability",
        "rival": other,
        "differences": [gap | {"name": names[gap["dim"]]} for gap in gaps],
    }


def irt_versus(posterior: IRTPosterior, rng: np.random.Generator) -> Record:
    """Compare the models of an item response fit by the score expected on its items."""
    return ahead(posterior.models, expected_scores(posterior, rng)) | {"by": "expected score on the fit's items"}


def rival_of(models: list[str], focus: str) -> str | None:
    """Find the model next to the focus, models being in order; None where it stands alone."""
    place = models.index(focus)
    beside = models[place + 1 : place + 2] or models[max(place - 1, 0) : place]
    return beside[0] if beside else None


def differences(posterior: CurvePosterior, focus: str, rival: str, level: float) -> list[Record]:
    """Ability of one model less that of another on each scale, largest first.

    Returns:
        Entries dim, value, lower, upper (demand levels) and chance (that the first model is ahead).
    """
    gap = posterior.ability[posterior.model_position(focus)] - posterior.ability[posterior.model_position(rival)]
    lower, upper = quantile_bounds(gap, level)
    entries = [
        {
            "dim": dim,
            "value": gap[row].mean(),
            "lower": lower[row],
            "upper": upper[row],
            "chance": (gap[row] > 0).mean(),
        }
        for row, dim in enumerate(posterior.dims)
    ]
    return sorted(entries, key=lambda entry: -entry["value"])


def expected_scores(posterior: IRTPosterior, rng: np.random.Generator, draws: int = 400) -> FloatArray:
    """Expected share right of every model over the items of the fit, as (model, draw).

    An item's parameters are the same for all models of a draw, so that comparisons are paired.
    """
    difficulty = np.argsort(posterior.item_mean[:, -1], kind="stable")
    places = np.linspace(0, len(difficulty) - 1, min(SCORED_ITEMS, len(difficulty))).round().astype(int)
    chances = draw_chances(posterior, difficulty[places], rng, draws)
    return np.stack([chance.mean(axis=0) for chance in chances])


def _chance(one: FloatArray, two: FloatArray) -> float:
    return float((one > two).mean() + 0.5 * (one == two).mean())
