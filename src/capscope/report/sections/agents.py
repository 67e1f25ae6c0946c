"""Differences between agents, split into effects of the model, the scaffold and the effort."""

from capscope.errors import FitError
from capscope.fit import split_general
from capscope.report.plain_values import Record
from capscope.report.section import PageSource, Section


def build(source: PageSource) -> Record:
    """Split the general abilities of the agents into parts.

    Returns:
        `shares` (term, share and bounds: of the agents' variance), `factors` (name and `parts`: name, value and bounds,
        agents, whether it is separable; best first), `notes` and `unit`; without shares where there are too few
        agents, which `notes` then says.
    """
    design = source.fit.design
    if design is None:
        return {"shares": [], "factors": [], "notes": ["the fit knows no scaffolds or efforts"], "unit": ""}
    try:
        parts = split_general(source.fit.posterior, design, 0)
        tables = {factor: parts.effects(factor, source.level) for factor in design.factors if factor != "model"}
    except FitError as error:
        return {"shares": [], "factors": [], "notes": [str(error)], "unit": ""}
    shares = [
        {"term": row["term"], "value": row["share"], "lower": row["share_lower"], "upper": row["share_upper"]}
        for row in parts.scales(source.level).to_dict("records")
    ]
    factors = [
        {
            "name": factor,
            "parts": [
                {
                    "name": row["name"],
                    "value": row["effect"],
                    "lower": row["lower"],
                    "upper": row["upper"],
                    "agents": row["agents"],
                    "separable": row["separable"],
                }
                for row in table.sort_values("effect", ascending=False, kind="stable").to_dict("records")
            ],
        }
        for factor, table in tables.items()
    ]
    return {"shares": shares, "factors": factors, "notes": list(parts.notes), "unit": parts.unit}


TEMPLATE = """
{% if not section.shares %}
<p class="lead">The effects of the agents' parts cannot be separated: {{ section.notes | join("; ") }}.</p>
{% else %}
<p class="lead">A result is one of a model in a scaffold or at an effort. What each {{ section.factors | map(attribute="name") | join(" and each ") }} adds, the other parts held fixed:</p>
<div class="pair">
{% for factor in section.factors %}
<div class="scroll" role="region" aria-label="Effects of {{ factor.name }}" tabindex="0">
<table class="tight">
<caption>Effect of each {{ factor.name }}, as the distance from the mean of all; {{ section.unit }}</caption>
<thead><tr><th scope="col" class="text">{{ factor.name | capitalize }}</th><th scope="col">Effect</th><th scope="col">{{ level | percent }} interval</th><th scope="col">Agents</th></tr></thead>
<tbody>
{% for part in factor.parts %}
<tr><th scope="row"><bdi>{{ part.name }}</bdi>{% if not part.separable %} (confounded with other parts){% endif %}</th><td>{{ part.value | fixed }}</td><td>{{ blocks.interval(part) }}</td><td>{{ part.agents | count }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
{% endfor %}
<div class="scroll" role="region" aria-label="Shares of the parts" tabindex="0">
<table class="tight">
<caption>Share of each part in the differences between agents</caption>
<thead><tr><th scope="col" class="text">Part</th><th scope="col">Share</th><th scope="col">{{ level | percent }} interval</th></tr></thead>
<tbody>
{% for row in section.shares %}
<tr><th scope="row">{{ row.term | replace(":", " with ") }}</th><td>{{ row.value | percent }}</td><td>{{ row.lower | percent }} to {{ row.upper | percent }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
</div>
{% for note in section.notes %}
<p class="note">{{ note }}.</p>
{% endfor %}
{% endif %}
"""

SECTION = Section(
    name="agents",
    title="Model, scaffold and effort",
    help="what each scaffold and effort adds with the other parts held fixed, and whose the differences are",
    applies=lambda source: source.fit.design is not None and len(source.fit.design.factors) > 1,
    build=build,
    template=TEMPLATE,
    terms={
        "Agent": "A model in a scaffold, or at an effort. Its general ability is split into the sum of its parts and what"
        " is left to their combination.",
    },
)
