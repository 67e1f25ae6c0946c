"""Ability profiles of all models of a curve fit: overall abilities, a radar for each model, and the numbers."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.special import expit

from capscope.axes import FloatArray
from capscope.fit import CurvePosterior
from capscope.fit.curves.program import CENTRE_LEVEL
from capscope.intervals import quantile_bounds
from capscope.report.figures import overall_intervals
from capscope.report.plain_values import Record, bounded, records
from capscope.report.radars import radar
from capscope.report.section import Drawing, PageSource, Section

SMALL_RADAR = 1.9
"""Width in inches of one radar among many."""
MOST_RADARS = 24
"""A page draws the profiles of at most this many models, the strongest; all stand in its table."""
FEWEST_MODELS = 3
"""With fewer models, one factor explains every profile whole."""


def build(source: PageSource) -> Record:
    """Gather the profiles, the strongest model first.

    Returns:
        `profiles` (see `profile_entries`), `scales`, `focus` (name of the highlighted model) and `general_share`.
    """
    return {
        "profiles": profile_entries(source),
        "scales": source.scales,
        "focus": source.focus,
        "general_share": source.profiles.general_share.point,
    }


def profile_entries(source: PageSource) -> list[Record]:
    """Describe each model, the strongest first.

    Returns:
        Entries with `model`, `overall`, `general`, `chance_first`, `chance_last` and `scales`, in which each ability
        carries `beyond`: its difference from what general ability predicts.
    """
    posterior, table = source.curves, source.profiles.table
    beyond = beyond_general(posterior, source.level)
    overall = posterior.ability.mean(axis=1)  # (model, draw)
    order = np.argsort(-overall.mean(axis=-1), kind="stable")
    first = np.bincount(overall.argmax(axis=0), minlength=len(posterior.models)) / overall.shape[1]
    last = np.bincount(overall.argmin(axis=0), minlength=len(posterior.models)) / overall.shape[1]
    names = {str(scale["dim"]): str(scale["name"]) for scale in source.scales}
    return [
        {
            "model": posterior.models[row],
            "overall": bounded(overall[row], source.level),
            "general": bounded(posterior.general[row], source.level),
            "chance_first": first[row],
            "chance_last": last[row],
            "scales": _scales(table, beyond, posterior.models[row], names),
        }
        for row in order
    ]


def _scales(table: pd.DataFrame, beyond: pd.DataFrame, model: str, names: dict[str, str]) -> list[Record]:
    """One entry for each dimension, in the order of the scales."""
    extra = {entry["dim"]: entry for entry in records(beyond[beyond["model"] == model].drop(columns="model"))}
    rows = {row["dim"]: row for row in records(table[table["model"] == model].drop(columns="model"))}
    return [rows[dim] | {"name": name, "beyond": _beyond_entry(extra.get(dim))} for dim, name in names.items()]


def _beyond_entry(entry: Record | None) -> Record | None:
    if entry is None:
        return None
    clear = bool(entry["lower"] > 0 or entry["upper"] < 0)
    renamed = {"value": entry["beyond"], "lower": entry["lower"], "upper": entry["upper"]}
    return renamed | {"chance": entry["chance"], "expected": entry["expected"], "clear": clear}


def beyond_general(posterior: CurvePosterior, level: float) -> pd.DataFrame:
    """Compare each curve, at the middle demand level, with the one its model's general ability predicts.

    In every draw the log-odds at that level are regressed on the models' general ability, dimension by dimension; what
    is left is the part that the general factor does not carry.

    Args:
        posterior: A curve fit.
        level: Nominal coverage of the bounds.

    Returns:
        Columns model, dim, beyond, lower, upper (log-odds), chance (of success at the middle level), expected (the
        chance that general ability predicts). No row where there are fewer than three models.
    """
    log_odds = posterior.slope * (posterior.midpoint - CENTRE_LEVEL)  # (model, dim, draw)
    residual = log_odds - _expected(log_odds, posterior.general)
    lower, upper = quantile_bounds(residual, level)
    model, dim = np.meshgrid(posterior.models, posterior.dims, indexing="ij")
    columns = {
        "model": model,
        "dim": dim,
        "beyond": residual.mean(axis=-1),
        "lower": lower,
        "upper": upper,
        "chance": expit(log_odds).mean(axis=-1),
        "expected": expit(log_odds - residual).mean(axis=-1),
    }
    table = pd.DataFrame({name: values.ravel() for name, values in columns.items()})
    return table if len(posterior.models) >= FEWEST_MODELS else table.iloc[:0]


def _expected(log_odds: FloatArray, general: FloatArray) -> FloatArray:
    """Least-squares line of the log-odds (model, dim, draw) on general ability (model, draw), for each dimension."""
    centred = (general - general.mean(axis=0))[:, None, :]
    loading = (centred * log_odds).sum(axis=0) / np.maximum((centred**2).sum(axis=0), 1e-12)
    return log_odds.mean(axis=0) + loading * centred


def draw(record: Record) -> Iterable[Drawing]:
    """Draw the overall abilities, and a small radar for each of the strongest models."""
    profiles = record["profiles"]
    yield "overall", overall_intervals(profiles, record["focus"]), "Overall ability of every model"
    for position, entry in enumerate(profiles[:MOST_RADARS]):
        model = entry["model"]
        yield f"radar-{position}", radar(profiles, model, SMALL_RADAR), f"Profile of {model}"


TEMPLATE = """
<p class="lead">The further to the right a dot, the more demanding the questions that the model can answer{% if section.general_share and section.general_share > 0.8 %}; the models differ more in size than in shape{% endif %}.</p>
<div class="pair">
<figure>
{{ drawing["overall"] }}
<figcaption>Overall ability with its {{ level | percent }} interval, strongest first.</figcaption>
</figure>
<div>
<h3>The scales</h3>
<div class="scroll" role="region" aria-label="The scales" tabindex="0">
<table class="tight">
<caption>Codes of the {{ section.scales | length }} scales</caption>
<thead><tr><th scope="col" class="text">Code</th><th scope="col" class="text">Scale</th><th scope="col" class="text">Family</th></tr></thead>
<tbody>
{% for scale in section.scales %}
<tr><th scope="row">{{ scale.dim }}</th><td class="text">{{ scale.name }}</td><td class="text">{{ scale.family }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
</div>
</div>
<details>
<summary>Every profile on the same rings: shapes to recognise; lengths are read off the intervals</summary>
<div class="panels">
{% for entry in section.profiles %}{% if "radar-" ~ loop.index0 in drawing %}
<figure class="above{{ " focus" if entry.model == section.focus }}"><figcaption><bdi>{{ entry.model }}</bdi></figcaption>
{{ drawing["radar-" ~ loop.index0] }}</figure>
{% endif %}{% endfor %}
</div>
<p class="note">Blue: the model with its interval. Grey: the other models{% if section.profiles | length > 25 %} (the middle nine tenths of them; weaker models stand in the table only){% endif %}. Rings stand at levels 2, 4, 6 and so on; the table above has the names of the codes.</p>
</details>
<details>
<summary>All abilities as numbers</summary>
<div class="scroll" role="region" aria-label="All abilities" tabindex="0">
<table class="tight">
<caption>Ability by model and scale, with {{ level | percent }} interval, in demand levels</caption>
<thead><tr><th scope="col" class="text">Model</th><th scope="col">Overall</th>{% for scale in section.scales %}<th scope="col"><abbr title="{{ scale.name }}">{{ scale.dim }}</abbr></th>{% endfor %}</tr></thead>
<tbody>
{% for entry in section.profiles %}
<tr{% if entry.model == section.focus %} class="focus"{% endif %}><th scope="row"><bdi>{{ entry.model }}</bdi></th><td>{{ entry.overall.value | fixed }}<small>{{ entry.overall.lower | fixed }}–{{ entry.overall.upper | fixed }}</small></td>{% for scale in entry.scales %}<td>{{ scale.ability | fixed }}<small>{{ scale.lower | fixed }}–{{ scale.upper | fixed }}</small></td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
</div>
</details>
"""

SECTION = Section(
    name="profiles",
    title="Profiles of all models",
    help="overall ability and ability profile of every model, with intervals",
    applies=lambda source: source.is_curves,
    build=build,
    template=TEMPLATE,
    draw=draw,
    terms={
        "Demand level": "How much of a scale a question asks for, from 0 (nothing) to 5 (very much), rated after a"
        " written rubric.",
        "Ability": "The area under a model's success curve from level 0 to 10, in demand levels: about the level at"
        " which the model has even odds. Above 5 it is extrapolated, since no question demands more than 5.",
        "Overall ability": "The mean of a model's abilities over all scales, in demand levels.",
        "Classical ability": "The same area by the published recipe: one weighted logistic regression for each model"
        " and scale, without an interval.",
    },
)
