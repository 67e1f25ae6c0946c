"""Abilities of an item response fit: the general ability, the item map, and the single dimensions, folded away."""

from collections.abc import Iterable

import numpy as np

from capscope.fit import IRTPosterior
from capscope.report.figures import item_map, overall_intervals
from capscope.report.plain import Record
from capscope.report.section import Drawing, PageSource, Section
from capscope.report.sections.answer import MOST_DRAWN, ranked_models

MAP_EDGES = np.linspace(-4, 4, 33)
"""Edges of the item map's bins, on the ability scale; what lies outside counts in the outermost bins."""


def build(source: PageSource) -> Record:
    """Gather abilities, the largest first.

    Returns:
        `models` (general ability), `map` (items by difficulty; None with several dimensions) and `dimensions` (one
        entry each with `name` and `models`; empty where there is one ability).
    """
    posterior = source.irt
    several = posterior.dims > 1
    return {
        "models": [
            {"model": entry["model"], "sd": entry["sd"], "overall": entry["ability"]} for entry in _sorted(source)
        ],
        "map": None if several else difficulty_map(posterior),
        "dimensions": [_dimension(posterior, dim, source.level) for dim in range(posterior.dims)] if several else [],
    }


def _sorted(source: PageSource) -> list[Record]:
    return sorted(ranked_models(source), key=lambda entry: -entry["ability"]["value"])


def difficulty_map(posterior: IRTPosterior) -> Record:
    """Count the items in bins of difficulty."""
    difficulty = np.clip(posterior.difficulty()["mean"].to_numpy(), MAP_EDGES[0], MAP_EDGES[-1])
    return {"edges": MAP_EDGES, "items": np.histogram(difficulty, MAP_EDGES)[0]}


def _dimension(posterior: IRTPosterior, dim: int, level: float) -> Record:
    """All models on one dimension, the largest ability first."""
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
    return {"dim": dim + 1, "name": "", "models": models}


def draw(record: Record) -> Iterable[Drawing]:
    """Draw the general ability with intervals, and the item map where there is one ability."""
    models = record["models"]
    yield "abilities", overall_intervals(models[:MOST_DRAWN], axis_label="General ability"), "Ability of every model"
    if record["map"] is not None:
        yield "map", item_map(record["map"], models), "Difficulties and abilities"


TEMPLATE = """
{% macro ability_table(models, caption) %}
<div class="scroll" role="region" aria-label="{{ caption }}" tabindex="0">
<table class="tight">
<caption>{{ caption }}</caption>
<thead><tr><th scope="col" class="text">Model</th><th scope="col">Ability</th><th scope="col">{{ level | percent }} interval</th><th scope="col">s.d.</th></tr></thead>
<tbody>
{% for row in models %}
<tr><th scope="row"><bdi>{{ row.model }}</bdi></th><td>{{ row.overall.value | fixed }}</td><td>{{ blocks.interval(row.overall) }}</td><td>{{ row.sd | fixed }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
{% endmacro %}
<p class="lead">Models stand from most to least able; where intervals overlap widely, the order is open.</p>
<div class="pair">
<figure>
{{ drawing["abilities"] }}
<figcaption>General ability with its {{ level | percent }} interval; 0 is the mean of the models, 1 their standard deviation{% if section.models | length > 40 %}; the 40 most able{% endif %}.</figcaption>
</figure>
{% if section.map and section.map["items"] | sum %}
<figure>
{{ drawing["map"] }}
<figcaption>Where bars and triangles meet, the items measure the models well.</figcaption>
</figure>
{% endif %}
</div>
<details>
<summary>The abilities as numbers</summary>
{{ ability_table(section.models, "General ability by model") }}
{% if section.map and section.map["items"] | sum %}
<div class="scroll" role="region" aria-label="Items by difficulty" tabindex="0">
<table class="tight">
<caption>Items by difficulty; the outermost rows hold all that lies further out</caption>
<thead><tr><th scope="col" class="text">Difficulty</th><th scope="col">Items</th></tr></thead>
<tbody>
{% for number in section.map["items"] %}{% if number %}
<tr><th scope="row">{{ section.map.edges[loop.index0] | fixed }} to {{ section.map.edges[loop.index] | fixed }}</th><td>{{ number | count }}</td></tr>
{% endif %}{% endfor %}
</tbody>
</table>
</div>
{% endif %}
</details>
{% if section.dimensions %}
<details>
<summary>The {{ section.dimensions | length }} dimensions of the fit</summary>
<p class="note">A dimension without a name is a direction in which the models differ beyond the general ability; its axis is one of many equivalent rotations, so that it has no meaning of its own.</p>
{% for entry in section.dimensions %}
{{ ability_table(entry.models, "Dimension " ~ entry.dim ~ (": " ~ entry.name if entry.name else " (no name)")) }}
{% endfor %}
</details>
{% endif %}
"""

SECTION = Section(
    name="abilities",
    title="Abilities of the models",
    help="general ability of every model with its interval, and the difficulties of the items on the same scale",
    applies=lambda source: source.is_irt,
    build=build,
    template=TEMPLATE,
    draw=draw,
    terms={
        "Ability": "A model's place on the scale that explains its answers; mean 0 and variance 1 over the models.",
    },
)
