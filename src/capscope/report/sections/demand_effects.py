"""Demand fit: general ability of every model, and effect of one more level of each demand on its log-odds."""

from collections.abc import Iterable

import numpy as np

from capscope.intervals import normal_quantile
from capscope.report.figures import difference_intervals, overall_intervals
from capscope.report.plain_values import Record, records
from capscope.report.section import Drawing, PageSource, Section
from capscope.report.sections.answer import MOST_DRAWN


def build(source: PageSource) -> Record:
    """Gather abilities and effects, the largest general ability first.

    Returns:
        `models` (general ability in `overall`, effects by scale in `effects`), `scales`, and `costs`: the effect of one
        more level on the average model, in log-odds, the dearest demand first.
    """
    posterior = source.demand
    table = posterior.abilities(source.level)
    general = records(table[table["dim"] == "general"].sort_values("ability", ascending=False, kind="stable"))
    by_model = {model: {row["dim"]: row for row in records(rows)} for model, rows in table.groupby("model", sort=False)}
    models = [
        {
            "model": row["model"],
            "overall": _entry(row),
            "effects": [_entry(by_model[row["model"]][scale["dim"]]) for scale in source.scales],
        }
        for row in general
    ]
    return {"models": models, "scales": source.scales, "costs": _costs(source)}


def _entry(row: Record) -> Record:
    return {"value": row["ability"], "lower": row["lower"], "upper": row["upper"]}


def _costs(source: PageSource) -> list[Record]:
    """Effect of one more level of each demand on a model of average slopes, in log-odds."""
    posterior = source.demand
    size = len(posterior.dims)
    mean = posterior.weight[:size] / posterior.basis.scale
    sd = np.sqrt(np.diagonal(posterior.weight_cov)[:size]) / posterior.basis.scale
    width = normal_quantile(source.level) * sd
    name = {scale["dim"]: scale["name"] for scale in source.scales}
    rows = [
        {"dim": dim, "name": name[dim], "value": mean[k], "lower": mean[k] - width[k], "upper": mean[k] + width[k]}
        for k, dim in enumerate(posterior.dims)
    ]
    return sorted(rows, key=lambda row: row["value"])


def draw(record: Record) -> Iterable[Drawing]:
    """Draw the general abilities, and the costs of the demands."""
    label = "General ability, in log-odds at mean demands"
    yield "general", overall_intervals(record["models"][:MOST_DRAWN], axis_label=label), "Ability of every model"
    if record["costs"]:
        label = "Log-odds for one more level"
        yield "costs", difference_intervals(record["costs"], axis_label=label), "Effect of each demand"


TEMPLATE = """
<p class="lead">{% if section.costs %}{% set dearest = section.costs[0] %}One more level of {{ dearest.name }} costs the average model most: {{ dearest.value | fixed }} in log-odds ({{ blocks.interval(dearest) }}).{% else %}The fit has no demand.{% endif %}</p>
<div class="pair">
<figure>
{{ drawing["general"] }}
<figcaption>General ability with its {{ level | percent }} interval, in log-odds on an item of mean demands.</figcaption>
</figure>
{% if section.costs %}
<figure>
{{ drawing["costs"] }}
<figcaption>What one more level of a demand does to the log-odds of the average model, other demands held fixed; left of the line it makes items harder.</figcaption>
</figure>
{% endif %}
</div>
{% if section.scales %}
<details>
<summary>Abilities and effects as numbers</summary>
<div class="scroll" role="region" aria-label="Abilities and effects" tabindex="0">
<table class="tight">
<caption>General ability (log-odds) and effect of one more level of each demand, by model; less negative is better</caption>
<thead><tr><th scope="col" class="text">Model</th><th scope="col">General</th>{% for scale in section.scales %}<th scope="col"><abbr title="{{ scale.name }}">{{ scale.dim }}</abbr></th>{% endfor %}</tr></thead>
<tbody>
{% for entry in section.models %}
<tr><th scope="row"><bdi>{{ entry.model }}</bdi></th><td>{{ entry.overall.value | fixed }}<small>{{ blocks.interval(entry.overall) }}</small></td>{% for effect in entry.effects %}<td>{{ effect.value | fixed }}<small>{{ blocks.interval(effect) }}</small></td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
</div>
</details>
{% endif %}
"""

SECTION = Section(
    name="demand_effects",
    title="Abilities, and what demands cost",
    help="general ability of every model, and the effect of one more level of each demand",
    applies=lambda source: source.is_demand,
    build=build,
    template=TEMPLATE,
    draw=draw,
    terms={
        "Effect of a demand": "Change of a model's log-odds of success when an item asks one more level of this demand,"
        " all other demands held fixed; less negative is better.",
        "Demand level": "How much of a scale a question asks for, from 0 (nothing) to 5 (very much), rated after a"
        " written rubric.",
    },
)
