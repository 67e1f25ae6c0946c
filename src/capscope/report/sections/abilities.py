"""Abilities of an item response fit: the general ability, the item map, and the single dimensions, folded away."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from capscope.fit import IRTPosterior
from capscope.profiles import dimension_abilities, named_dimensions
from capscope.report.figures import item_map, overall_intervals
from capscope.report.plain_values import Record, records
from capscope.report.section import Drawing, PageSource, Section
from capscope.report.sections.answer import MOST_DRAWN, ranked_models

MAP_EDGES = np.linspace(-4, 4, 33)
"""Edges of the item map's bins, on the ability scale; what lies outside counts in the outermost bins."""


def build(source: PageSource) -> Record:
    """Gather abilities, the largest first.

    Returns:
        `models` (general ability), `map` (items by difficulty; None with several dimensions) and `dimensions` (one
        entry each with `name`, `evidence` and `models`; empty where there is one ability).
    """
    posterior = source.irt
    several = posterior.dims > 1
    return {
        "models": [
            {"model": entry["model"], "sd": entry["sd"], "overall": entry["ability"]} for entry in _sorted(source)
        ],
        "map": None if several else difficulty_map(posterior),
        "dimensions": _dimensions(source) if several else [],
    }


def _sorted(source: PageSource) -> list[Record]:
    return sorted(ranked_models(source), key=lambda entry: -entry["ability"]["value"])


def difficulty_map(posterior: IRTPosterior) -> Record:
    """Count the items in bins of difficulty."""
    difficulty = np.clip(posterior.difficulty()["mean"].to_numpy(), MAP_EDGES[0], MAP_EDGES[-1])
    return {"edges": MAP_EDGES, "items": np.histogram(difficulty, MAP_EDGES)[0]}


def _dimensions(source: PageSource) -> list[Record]:
    """Every dimension but the general one, with the task or demand that names it where the study shows one.

    Without the study they are the axes of the fit, which have no names.
    """
    if source.study is not None:
        named = named_dimensions(source.irt, source.study)[1:]
        tables = [dimension_abilities(source.irt, (one,), source.level) for one in named]
        return [_dimension(table, one.name, one.evidence) for one, table in zip(named, tables, strict=True)]
    table = source.irt.abilities(source.level)
    return [_dimension(rows, f"{name} (unnamed)", "") for name, rows in table.groupby("dim", sort=False)]


def _dimension(table: pd.DataFrame, name: str, evidence: str) -> Record:
    """All models on one dimension, the largest ability first."""
    rows = records(table.sort_values("ability", ascending=False, kind="stable"))
    models = [
        {
            "model": row["model"],
            "sd": row["sd"],
            "overall": {"value": row["ability"], "lower": row["lower"], "upper": row["upper"]},
        }
        for row in rows
    ]
    return {"name": name, "evidence": evidence, "models": models}


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
</div>
<details>
<summary>The abilities as numbers</summary>
{{ ability_table(section.models, "General ability by model") }}
<div class="scroll" role="region" aria-label="Items by difficulty" tabindex="0">
<table class="tight">
<caption>Items by difficulty; the outermost rows hold all that lies further out</caption>
<thead><tr><th scope="col" class="text">Difficulty</th><th scope="col">Items</th></tr></thead>
<tbody>
{% for number in section.map["items"] %}{% if number %}
<tr><th scope="row">{{ section.map.edges[loop.index0] | fixed }} to {{ section.map.edges[loop.index] | fixed }}</th>\
<td>{{ number | count }}</td></tr>
{% endif %}{% endfor %}
</tbody>
</table>
</div>
</details>
{% else %}
{{ ability_table(section.models, "General ability by model") }}
</div>
{% endif %}
{% for entry in section.dimensions if entry.evidence %}
<details>
<summary>Beyond the general ability: {{ entry.name }}</summary>
<p class="note">{{ entry.evidence }}.</p>
{{ ability_table(entry.models, "Ability beyond the general one: " ~ entry.name) }}
</details>
{% endfor %}
{% set unnamed = section.dimensions | rejectattr("evidence") | list %}
{% if unnamed %}
<details>
<summary>{{ unnamed | length }} {{ "dimension" if unnamed | length == 1 else "dimensions" }} without a name</summary>
<p class="note">Directions in which the models differ beyond the general ability, and which no task or demand explains: \
their axes are some of many equivalent rotations, and have no meaning of their own.</p>
{% for entry in unnamed %}
{{ ability_table(entry.models, entry.name) }}
{% endfor %}
</details>
{% endif %}
"""

SECTION = Section(
    name="abilities",
    title="Abilities of the models",
    help="general ability of every model with its interval, and the difficulties of the items on the same scale",
    applies=lambda source: source.is_irt and source.has_several,
    build=build,
    template=TEMPLATE,
    draw=draw,
    terms={
        "Ability": "A model's place on the scale that explains its answers; mean 0 and variance 1 over the models.",
    },
)
