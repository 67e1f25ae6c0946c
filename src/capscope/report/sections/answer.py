"""The first section of a page on an item response or demand fit: expected scores, general ability, reliability."""

from collections.abc import Iterable

import numpy as np

from capscope.fit import LEAST_RELIABILITY, marginal_reliability, reliability_interval
from capscope.profiles import general_ability
from capscope.report.figures import score_intervals
from capscope.report.plain_values import Record, bounded
from capscope.report.section import Drawing, PageSource, Section
from capscope.report.sections.items import extreme_items

MOST_DRAWN = 40
"""A drawing holds at most this many models, the strongest; all stand in the table."""


def build(source: PageSource) -> Record:
    """Gather the facts that lead the page, the strongest model first.

    Returns:
        `models` (name, `score` with bounds or None, `ability` with bounds), `n_models`, `subjects`, `n_items`, `n_dims`,
        `model_name`, `reliability` (value and bounds), `no_order` (why models cannot be ranked, or empty), `is_reliable` and `surely_negative` (None for a demand fit).
    """
    posterior, irt = source.fit.posterior, source.is_irt
    reliability = general_reliability(source)
    models = ranked_models(source)
    return {
        "models": models,
        "n_models": len(posterior.models),
        "subjects": source.subjects,
        "n_items": len(posterior.items),
        "n_dims": source.irt.dims if irt else 1,
        "model_name": source.irt.model_name if irt else "demand",
        "reliability": reliability,
        "no_order": source.no_order,
        "is_reliable": reliability["value"] >= LEAST_RELIABILITY,
        "surely_negative": extreme_items(source.irt, {}, source.level)["surely_negative"] if irt else None,
    }


def ranked_models(source: PageSource) -> list[Record]:
    """One entry for each model, the strongest first: `model`, `score` (expected share right) and `ability`."""
    general = general_ability(source.fit.posterior, source.level)
    mean, sd, lower, upper = (general[name].to_numpy() for name in ("ability", "sd", "lower", "upper"))
    order = np.argsort(-source.ranking[0].mean(axis=-1), kind="stable")
    scores = source.score_draws
    return [
        {
            "model": source.fit.posterior.models[row],
            "score": None if scores is None else bounded(scores[row], source.level),
            "ability": {"value": mean[row], "lower": lower[row], "upper": upper[row]},
            "sd": sd[row],
        }
        for row in order
    ]


def general_reliability(source: PageSource) -> Record:
    """Share of the general ability's variance that is not posterior uncertainty (Green et al., 1984), with bounds."""
    if source.is_irt and source.irt.dims == 1:
        lower, upper = reliability_interval(source.irt, source.rng(), source.level)
        return {"value": marginal_reliability(source.irt)[0], "lower": lower[0], "upper": upper[0]}
    general = general_ability(source.fit.posterior, source.level)
    signal, error = float(general["ability"].var(ddof=0)), float((general["sd"] ** 2).mean())
    return {"value": signal / max(signal + error, 1e-12), "lower": None, "upper": None}


def draw(record: Record) -> Iterable[Drawing]:
    """Draw the expected scores with their intervals."""
    rows = [{"model": entry["model"], **entry["score"]} for entry in record["models"] if entry["score"] is not None]
    scores = [{**row, "score": row["value"]} for row in rows[:MOST_DRAWN]]
    if scores:
        yield "scores", score_intervals(scores, axis_label="Expected share right"), "Expected score of every model"


TEMPLATE = """
{% set first = section.models[0] %}{% set last = section.models[-1] %}
{% if section.no_order and section.n_models > 1 %}
<div class="warning" role="note">
<p><strong>These models cannot be ranked.</strong> {{ section.no_order }}.</p>
</div>
{% elif not section.is_reliable and section.n_models > 1 %}
<div class="warning" role="note">
<p><strong>These items do not distinguish the models.</strong> The reliability of the ability is {{ section.reliability.value | fixed }}: more than half of the differences below is noise. Do not read a ranking from this page; ask more items, or items nearer to the models' level.</p>
</div>
{% endif %}
<p class="lead">{% if section.n_models == 1 %}What score is the model expected to have on{% else %}How able is each of {{ section.n_models | count }} {{ section.subjects }} on{% endif %} {{ section.n_items | count }} items, and how sure can we be?</p>
<dl class="facts">
{% if section.n_models == 1 %}
<div><dt>Model</dt><dd><strong><bdi>{{ first.model }}</bdi></strong>{% if first.score %}expected score {{ first.score.value | percent(1) }} ({{ first.score.lower | percent(1) }} to {{ first.score.upper | percent(1) }}){% endif %}</dd></div>
{% elif not section.no_order %}
<div><dt>Strongest</dt><dd><strong><bdi>{{ first.model }}</bdi></strong>{% if first.score %}expected score {{ first.score.value | percent(1) }} ({{ first.score.lower | percent(1) }} to {{ first.score.upper | percent(1) }}); {% endif %}general ability {{ first.ability.value | fixed }} ({{ blocks.interval(first.ability) }})</dd></div>
<div><dt>Weakest</dt><dd><strong><bdi>{{ last.model }}</bdi></strong>{% if last.score %}expected score {{ last.score.value | percent(1) }} ({{ last.score.lower | percent(1) }} to {{ last.score.upper | percent(1) }}); {% endif %}general ability {{ last.ability.value | fixed }} ({{ blocks.interval(last.ability) }})</dd></div>
{% endif %}
{% if section.n_models > 1 %}
<div><dt>Reliability</dt><dd><strong>{{ section.reliability.value | fixed }}</strong>of the general ability{% if section.reliability.lower is not none %} ({{ blocks.interval(section.reliability) }}){% endif %}: the share of the differences between models that is not noise</dd></div>
{% endif %}
<div><dt>Response model</dt><dd><strong>{{ section.model_name }}</strong>{{ section.n_dims }} {{ "ability" if section.n_dims == 1 else "abilities" }} for each model</dd></div>
{% if section.surely_negative is not none and section.n_models > 1 %}
<div><dt>Items that better models fail</dt><dd><strong>{{ section.surely_negative | count }}</strong>of {{ section.n_items | count }}: the whole interval of their discrimination lies below zero</dd></div>
{% endif %}
</dl>
{% if "scores" in drawing %}
<div class="pair">
<figure>
{{ drawing["scores"] }}
<figcaption>Expected score on the items of the fit with its {{ level | percent }} interval, the strongest model first{% if section.n_models > 40 %}; the 40 strongest{% endif %}.</figcaption>
</figure>
<div class="scroll" role="region" aria-label="Expected scores" tabindex="0">
<table class="tight">
<caption>Expected score and general ability of every model</caption>
<thead><tr><th scope="col" class="text">Model</th><th scope="col">Score</th><th scope="col">{{ level | percent }} interval</th><th scope="col">General ability</th></tr></thead>
<tbody>
{% for entry in section.models %}
<tr><th scope="row"><bdi>{{ entry.model }}</bdi></th><td>{{ entry.score.value | percent(1) }}</td><td>{{ entry.score.lower | percent(1) }} to {{ entry.score.upper | percent(1) }}</td><td>{{ entry.ability.value | fixed }}<small>{{ blocks.interval(entry.ability) }}</small></td></tr>
{% endfor %}
</tbody>
</table>
</div>
</div>
{% endif %}
<p class="note">All intervals are {{ level | percent }} intervals.</p>
"""

SECTION = Section(
    name="answer",
    title="How able the models are",
    help="expected score on the fit's items, general ability and reliability",
    applies=lambda source: not source.is_curves,
    build=build,
    template=TEMPLATE,
    draw=draw,
    terms={
        "Expected score": "The share of the fit's items that a model is expected to get right, all uncertainty about the"
        " model and the items included. Where a fit has more than 400 items, 400 of them, evenly spread by difficulty,"
        " stand for all.",
        "General ability": "A model's place on the scale that raises the chance on the average item: in standard"
        " deviations of the models for an item response fit, in log-odds at mean demands for a demand fit.",
        "Reliability": "The share of the variance of the abilities that is not posterior uncertainty, 0 to 1. Under 0.5"
        " the items do not distinguish the models.",
        "Interval": "The range that holds the true value with a probability of {level}, given the statistical model and"
        " the answers.",
    },
)
