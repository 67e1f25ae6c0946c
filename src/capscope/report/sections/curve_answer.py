"""The first section of a page on a curve fit: the general factor, the extremes, and what differs from expectation."""

import pandas as pd

from capscope.report.plain_values import Record, records
from capscope.report.section import PageSource, Section
from capscope.report.sections.profiles import beyond_general, profile_entries


def build(source: PageSource) -> Record:
    """Gather the facts that lead the page.

    Returns:
        `n_models`, `n_dims`, `n_answers`, `general_share`, `classical_general_share`, `strongest`, `weakest`,
        `beyond_compared`, `beyond_clear`, `stand_out`, `n_questions` and `best` (the best predicted score).
    """
    posterior, share = source.curves, source.profiles.general_share
    entries, beyond = profile_entries(source), beyond_general(posterior, source.level)
    scores = None if source.part is None else source.part.predictions.scores
    ranked = [] if scores is None else records(scores.sort_values("score", ascending=False, kind="stable"))
    return {
        "n_models": len(posterior.models),
        "n_dims": len(posterior.dims),
        "n_answers": posterior.n[:, :, 1:].sum(),
        "general_share": {"value": share.point, "lower": share.lower, "upper": share.upper},
        "classical_general_share": source.profiles.classical_general_share,
        "strongest": _extreme(entries[0], "chance_first"),
        "weakest": _extreme(entries[-1], "chance_last"),
        "beyond_compared": len(beyond),
        "beyond_clear": int(((beyond["lower"] > 0) | (beyond["upper"] < 0)).sum()),
        "stand_out": _stand_out(beyond, source.scales),
        "n_questions": 0 if source.part is None else len(source.part.predictions.support),
        "best": ranked[0] if ranked else None,
        "cautions": source.profiles.cautions,
    }


def _extreme(entry: Record, chance: str) -> Record:
    return {"model": entry["model"], **entry["overall"], "chance": entry[chance]}


def _stand_out(beyond: pd.DataFrame, scales: list[Record]) -> list[Record]:
    """In each family of scales, the ability furthest above and below expectation whose interval excludes 0."""
    family = {scale["dim"]: scale["family"] for scale in scales}
    name = {scale["dim"]: scale["name"] for scale in scales}
    entries: list[Record] = []
    for group in dict.fromkeys(family.values()):
        rows = records(beyond[beyond["dim"].map(family) == group].sort_values("beyond", ascending=False))
        above, below = [row for row in rows if row["lower"] > 0], [row for row in rows if row["upper"] < 0]
        entries += [{"direction": "above", "family": group, "name": name[row["dim"]], **row} for row in above[:1]]
        entries += [{"direction": "below", "family": group, "name": name[row["dim"]], **row} for row in below[-1:]]
    return entries


TEMPLATE = """
<p class="lead">How able is each of {{ section.n_models }} models on {{ section.n_dims }} scales of demand, how sure can we be{% if section.n_questions %}, and how will they do on {{ section.n_questions }} questions that nobody has run{% endif %}?</p>
<dl class="facts">
<div><dt>One general factor carries</dt><dd><strong>{{ section.general_share.value | percent(1) }}</strong>of the variance of all profiles ({{ section.general_share.lower | percent(1) }} to {{ section.general_share.upper | percent(1) }}; classical {{ section.classical_general_share | percent(1) }})</dd></div>
<div><dt>Strongest overall</dt><dd><strong><bdi>{{ section.strongest.model }}</bdi></strong>ability {{ section.strongest.value | fixed }} ({{ blocks.interval(section.strongest) }}); best of all with a probability of {{ section.strongest.chance | percent }}</dd></div>
<div><dt>Weakest overall</dt><dd><strong><bdi>{{ section.weakest.model }}</bdi></strong>ability {{ section.weakest.value | fixed }} ({{ blocks.interval(section.weakest) }}); weakest of all with a probability of {{ section.weakest.chance | percent }}</dd></div>
{% if section.n_questions %}
{% set best = section.best %}
<div><dt>Best predicted score</dt><dd><strong>{{ best.score | percent }}</strong><bdi>{{ best.model }}</bdi> ({{ best.lower | percent }} to {{ best.upper | percent }} of {{ section.n_questions }} questions)</dd></div>
{% endif %}
</dl>
{% if section.stand_out %}
<p>Beyond the general factor, {{ section.beyond_clear }} of {{ section.beyond_compared }} abilities differ from what it predicts by more than their {{ (100 * level) | round | int }}% interval; chance alone could bring up to {{ ((1 - level) * section.beyond_compared) | round | int }}. The largest differences in each family of scales:</p>
<ul>
{% for entry in section.stand_out %}
<li><bdi>{{ entry.model }}</bdi> does {{ "better" if entry.direction == "above" else "worse" }} on <bdi>{{ entry.name }}</bdi>{% if entry.family %} ({{ entry.family }}){% endif %}: {{ entry.chance | percent }} at demand level 3, where its general ability predicts {{ entry.expected | percent }}.</li>
{% endfor %}
</ul>
{% elif section.beyond_compared %}
<p>Beyond the general factor, no ability differs clearly from what it predicts.</p>
{% endif %}
{% for line in section.cautions %}
<p class="note">Read with care: {{ line }}.</p>
{% endfor %}
<p class="note">All intervals are {{ level | percent }} intervals.</p>
"""

SECTION = Section(
    name="curve_answer",
    anchor="answer",
    title="One factor, and what departs from it",
    help="the general factor, the strongest and weakest model, and abilities that differ from expectation",
    applies=lambda source: source.is_curves,
    build=build,
    template=TEMPLATE,
    terms={
        "Interval": "The range that holds the true value with a probability of {level}, given the statistical model and"
        " the counts.",
        "General factor": "The one number per model that best explains its whole profile; its share is the part of the"
        " variance of all profiles that it carries (first principal component of the standardised abilities).",
        "Beyond general ability": "How far a chance of success at level 3 lies from what the model's general ability"
        " predicts; it is clear where the {level} interval of the difference (in log-odds) excludes zero. One clear"
        " difference among many may be chance.",
    },
)
