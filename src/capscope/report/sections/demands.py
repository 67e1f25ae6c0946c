"""Demand profile of a set of items that is predicted: the number of items at each level of each scale."""

from collections.abc import Iterable

from capscope.axes import LEVELS
from capscope.profiles import SENSITIVE_MEAN, SENSITIVE_SD
from capscope.report.figures import demand_heatmap
from capscope.report.plain_values import Record, level_examples, records, scale_names
from capscope.report.section import Drawing, PageSource, Section

SENSITIVE = {
    "Sensitive": "A question set is sensitive to a scale when its levels have a mean of at least"
    f" {SENSITIVE_MEAN:g} and a standard deviation of at least {SENSITIVE_SD:g}.",
}
"""Definition that every section on demand profiles shares."""


def build(source: PageSource) -> Record:
    """Gather the demand profile of the items.

    Returns:
        `n_items`, `levels` and `scales` (mean, standard deviation, histogram over the levels, and an item of the highest level).
    """
    demands = None if source.part is None else source.part.demands
    if demands is None:
        return {"n_items": 0, "levels": list(LEVELS), "scales": []}
    rows = {
        row["dim"]: row | {"histogram": counts}
        for row, counts in zip(records(demands.table), demands.histogram, strict=True)
    }
    examples = {} if source.part is None else level_examples(source.part.levels, source.part.items)
    scales = [
        {**rows[scale["dim"]], "name": scale["name"], "example": examples.get(scale["dim"], "")}
        for scale in scale_names(demands.dims, source.rubrics)
    ]
    return {"n_items": demands.n_items, "levels": list(LEVELS), "scales": scales}


def draw(record: Record) -> Iterable[Drawing]:
    """Draw the histogram of the levels as a heat map."""
    if record["scales"]:
        yield "demands", demand_heatmap(record), "Questions at each demand level of each scale"


TEMPLATE = """
{% if not section.scales %}
<p class="lead">The items carry no demand levels.</p>
{% else %}
{% set sensitive = section.scales | selectattr("sensitive") | list %}
<p class="lead">The {{ section.n_items }} questions {% if sensitive %}vary enough to be sensitive to {% for scale in sensitive %}{{ scale.name }}{{ ", " if not loop.last }}{% endfor %}{% else %}are sensitive to no scale{% endif %}; darker cells hold more questions.</p>
<div class="pair">
<figure>
{{ drawing["demands"] }}
<figcaption>Number of questions at each demand level; bold: the set is sensitive to this scale.</figcaption>
</figure>
<div>
<div class="scroll" role="region" aria-label="Demand profile" tabindex="0">
<table class="tight">
<caption>Demand profile of the question set; highest in: questions that no other scale demands more of</caption>
<thead><tr><th scope="col" class="text">Scale</th><th scope="col">Mean</th><th scope="col">s.d.</th><th scope="col">Highest in</th><th scope="col">Sensitive</th></tr></thead>
<tbody>
{% for scale in section.scales %}
<tr><th scope="row" class="words">{{ blocks.text_under(scale.name, scale.example) }}</th><td>{{ scale.mean | fixed }}</td><td>{{ scale.sd | fixed }}</td><td>{{ scale.dominant }}</td><td>{{ "yes" if scale.sensitive else "no" }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
</div>
</div>
{% endif %}
"""

SECTION = Section(
    name="demands",
    title="What the questions demand",
    help="how many of the items to predict stand at each level of each scale",
    applies=lambda source: source.part is not None and source.part.demands is not None,
    build=build,
    template=TEMPLATE,
    draw=draw,
    terms=SENSITIVE,
)
