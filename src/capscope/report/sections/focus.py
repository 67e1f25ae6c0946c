"""One model of a curve fit in detail: its abilities with intervals, and its profile against the other models."""

from collections.abc import Iterable

from capscope.report.figures import ability_intervals
from capscope.report.plain_values import Record
from capscope.report.radars import radar
from capscope.report.section import Drawing, PageSource, Section
from capscope.report.sections.profiles import profile_entries


def build(source: PageSource) -> Record:
    """Gather the abilities of the model in focus, the largest first.

    Returns:
        `title`, `model`, `scales` (with their names) and `profiles` (of all models, for the radar).
    """
    entries = profile_entries(source)
    return {
        "title": f"One model in detail: {source.focus}",
        "model": source.focus,
        "scales": ranked_scales(source, entries),
        "profiles": entries,
    }


def ranked_scales(source: PageSource, entries: list[Record]) -> list[Record]:
    """Scales of the model in focus with their names, the largest ability first.

    Args:
        source: What the page is about.
        entries: Abilities by scale of each model.

    Returns:
        One record for each scale.
    """
    name = {scale["dim"]: scale["name"] for scale in source.scales}
    entry = next(entry for entry in entries if entry["model"] == source.focus)
    named = [{**scale, "name": name[scale["dim"]]} for scale in entry["scales"]]
    return sorted(named, key=lambda scale: -scale["ability"])


def draw(record: Record) -> Iterable[Drawing]:
    """Draw the abilities with intervals, and the profile as a radar."""
    model = record["model"]
    yield "radar", radar(record["profiles"], model), f"Profile of {model} as a radar"
    yield "abilities", ability_intervals(record["scales"]), f"Abilities of {model}"


TEMPLATE = """
{% set top = section.scales[0] %}{% set low = section.scales[-1] %}
<p class="lead"><bdi>{{ section.model }}</bdi> is strongest on {{ top.name }} ({{ top.ability | fixed(1) }}) and weakest on {{ low.name }} ({{ low.ability | fixed(1) }}); the longer a bar, the less certain the ability.</p>
<div class="pair">
<figure>
{{ drawing["abilities"] }}
<figcaption>Filled: ability with its {{ level | percent }} interval. Hollow: the classical estimate.</figcaption>
</figure>
<figure>
{{ drawing["radar"] }}
<figcaption>The same profile against the other models (grey).</figcaption>
</figure>
</div>
<details>
<summary>The profile as numbers</summary>
<div class="scroll" role="region" aria-label="Profile of the chosen model" tabindex="0">
<table>
<caption>Abilities of {{ section.model }}; beyond: chance at level 3 less what general ability predicts</caption>
<thead><tr><th scope="col" class="text">Scale</th><th scope="col">Ability</th><th scope="col">{{ level | percent }} interval</th><th scope="col">s.d.</th><th scope="col">Classical</th><th scope="col">Answers</th><th scope="col">Beyond</th></tr></thead>
<tbody>
{% for scale in section.scales %}
<tr><th scope="row">{{ scale.name }} ({{ scale.dim }})</th><td>{{ scale.ability | fixed }}</td><td>{{ blocks.interval(scale) }}</td><td>{{ scale.sd | fixed }}</td><td>{{ scale.classical | fixed }}</td><td>{{ scale.answers | count }}</td><td>{% if scale.beyond %}{{ (100 * (scale.beyond.chance - scale.beyond.expected)) | fixed(0) }} points{{ "" if scale.beyond.clear else " (unclear)" }}{% else %}–{% endif %}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
</details>
"""

SECTION = Section(
    name="focus",
    title="One model in detail",
    help="abilities of one model by scale, against the other models",
    applies=lambda source: source.is_curves,
    build=build,
    template=TEMPLATE,
    draw=draw,
)
