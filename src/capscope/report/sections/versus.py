"""Model against model: the probability that one is ahead of another, and differences scale by scale."""

from collections.abc import Iterable

import numpy as np

from capscope.axes import FloatArray
from capscope.fit import CurvePosterior
from capscope.intervals import quantile_bounds
from capscope.report.figures import difference_intervals
from capscope.report.plain_values import Record
from capscope.report.section import Drawing, PageSource, Section

MOST_MODELS = 24
"""A matrix of more models than this is cut to the strongest."""


def build(source: PageSource) -> Record:
    """Compare all models by their overall ability or expected score; for curves, two of them scale by scale.

    Returns:
        `models`, `chance` and `left_out` (see `ahead`), `by`, `focus`, `rival` and `differences`.
    """
    if not source.is_curves:
        draws, by = source.ranking
        return ahead(source.fit.posterior.models, draws) | {"by": by, "focus": None, "rival": None, "differences": []}
    posterior, focus = source.curves, source.focus
    names = {scale["dim"]: scale["name"] for scale in source.scales}
    matrix = ahead(posterior.models, posterior.ability.mean(axis=1), keep=(focus,))
    rival = source.rival or rival_of(matrix["models"], focus)
    gaps = [] if rival is None else differences(posterior, focus, rival, source.level)
    named = [gap | {"name": names[gap["dim"]]} for gap in gaps]
    return matrix | {"by": "overall ability", "focus": focus, "rival": rival, "differences": named}


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


def rival_of(models: list[str], focus: str) -> str | None:
    """Return the model next to the focus in an ordered list; None where there is no other.

    Args:
        models: Names, in order.
        focus: One of them.
    """
    place = models.index(focus)
    beside = models[place + 1 : place + 2] or models[max(place - 1, 0) : place]
    return beside[0] if beside else None


def differences(posterior: CurvePosterior, focus: str, rival: str, level: float) -> list[Record]:
    """Ability of one model less that of another on each scale, largest first.

    Args:
        posterior: A curve fit.
        focus: The first model.
        rival: The second model.
        level: Nominal coverage of the bounds.

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
            "chance": _chance(gap[row], np.zeros_like(gap[row])),
        }
        for row, dim in enumerate(posterior.dims)
    ]
    return sorted(entries, key=lambda entry: -entry["value"])


def _chance(one: FloatArray, two: FloatArray) -> float:
    # an order in all draws is no certainty: half a draw is left open
    open_part = 0.5 / len(one)
    return float(np.clip((one > two).mean() + 0.5 * (one == two).mean(), open_part, 1 - open_part))


def draw(record: Record) -> Iterable[Drawing]:
    """Draw the differences between the two models."""
    if record["differences"]:
        title = f"{record['focus']} against {record['rival']} by scale"
        yield "differences", difference_intervals(record["differences"]), title


TEMPLATE = """
<p class="lead">Who is ahead of whom, and how sure that is: near 50 the order is open.</p>
{{ blocks.matrix(section) }}
{% if section.differences %}
<h3><bdi>{{ section.focus }}</bdi> against <bdi>{{ section.rival }}</bdi></h3>
<div class="pair">
<figure>
{{ drawing["differences"] }}
<figcaption>To the right of the line <bdi>{{ section.focus }}</bdi> is ahead; bars are {{ level | percent }} intervals.</figcaption>
</figure>
<div class="scroll" role="region" aria-label="Differences by scale" tabindex="0">
<table class="tight">
<caption>Ability of {{ section.focus }} less that of {{ section.rival }}, in demand levels</caption>
<thead><tr><th scope="col" class="text">Scale</th><th scope="col">Difference</th><th scope="col">{{ level | percent }} interval</th><th scope="col">Chance to be ahead</th></tr></thead>
<tbody>
{% for entry in section.differences %}
<tr><th scope="row">{{ entry.name }}</th><td>{{ entry.value | fixed }}</td><td>{{ blocks.interval(entry) }}</td><td>{{ entry.chance | percent }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
</div>
{% endif %}
"""

SECTION = Section(
    name="versus",
    title="Model against model",
    help="the probability that one model is ahead of another",
    applies=lambda source: source.has_several and not source.no_order,
    build=build,
    template=TEMPLATE,
    draw=draw,
    terms={
        "Ahead": "The share of the posterior draws in which one model's value is larger than the other's; the caption"
        " of the table names the value.",
    },
)
