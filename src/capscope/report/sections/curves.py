"""Characteristic curves of one model: chance of success against demand level, with the observed rates."""

import math
from collections.abc import Iterable

import numpy as np

from capscope.axes import LEVELS
from capscope.fit import CurvePosterior
from capscope.intervals import jeffreys_interval
from capscope.report.figures import curve_panel
from capscope.report.plain_values import Record, bounded
from capscope.report.section import Drawing, PageSource, Section
from capscope.report.sections.focus import ranked_scales
from capscope.report.sections.profiles import profile_entries

GRID_STEP = 0.25
"""Distance of the points at which curves are drawn, in demand levels."""
GRID_TOP = (6, 10)
"""Smallest and largest value of the highest level to which curves are drawn."""


def build(source: PageSource) -> Record:
    """Evaluate the curves of the model in focus on a grid of demand levels.

    Returns:
        `model` and `curves`, the largest ability first.
    """
    posterior, model, level = source.curves, source.focus, source.level
    scales = ranked_scales(source, profile_entries(source))
    highest = max(scale["upper"] for scale in scales)
    top = min(max(math.ceil(highest), GRID_TOP[0]), GRID_TOP[1])
    grid = np.arange(0, top + GRID_STEP / 2, GRID_STEP)
    return {"model": model, "curves": [_curve(posterior, model, scale, grid, level) for scale in scales]}


def _curve(posterior: CurvePosterior, model: str, scale: Record, grid: np.ndarray, level: float) -> Record:
    dim = scale["dim"]
    band = bounded(posterior.curve(model, dim, grid), level)
    row, column = posterior.model_position(model), posterior.dims.index(dim)
    points = [
        _observed(step, posterior.n[row, column, step], posterior.correct[row, column, step], level)
        for step in LEVELS[1:]
        if posterior.n[row, column, step] > 0
    ]
    return {
        "dim": dim,
        "name": scale["name"],
        "grid": grid,
        "p": band["value"],
        "lower": band["lower"],
        "upper": band["upper"],
        "ability": scale["ability"],
        "levels": points,
    }


def _observed(step: int, n: float, correct: float, level: float) -> Record:
    rate = jeffreys_interval(float(correct), float(n), level)
    return {
        "level": step,
        "n": n,
        "correct": correct,
        "rate": rate.point,
        "lower": rate.lower,
        "upper": rate.upper,
    }


def draw(record: Record) -> Iterable[Drawing]:
    """Draw one small panel for each curve."""
    for position, curve in enumerate(record["curves"]):
        yield f"curve-{position}", curve_panel(curve), f"Curve of {record['model']} on {curve['name']}"


TEMPLATE = """
<p class="lead">Each panel shows how the chance of success of <bdi>{{ section.model }}</bdi> falls as one scale demands more.</p>
<div class="panels">
{% for curve in section.curves %}
<figure><figcaption>{{ curve.name }}</figcaption>
{{ drawing["curve-" ~ loop.index0] }}</figure>
{% endfor %}
</div>
<p class="note">Line: chance of success by demand level, dashed where no question reaches, with its {{ level | percent }} band. Dots: observed rates with {{ level | percent }} Jeffreys intervals, larger with more answers; a level may lie off the line in a way that all models share. Triangle: the ability.</p>
<details>
<summary>The observed rates as numbers</summary>
<div class="scroll" role="region" aria-label="Observed rates" tabindex="0">
<table>
<caption>Observed rates of {{ section.model }} by scale and demand level</caption>
<thead><tr><th scope="col" class="text">Scale</th><th scope="col">Level</th><th scope="col">Answers</th><th scope="col">Right</th><th scope="col">Rate</th><th scope="col">{{ level | percent }} interval</th></tr></thead>
<tbody>
{% for curve in section.curves %}{% for point in curve.levels %}
<tr><th scope="row">{{ curve.name }}</th><td>{{ point.level }}</td><td>{{ point.n | count }}</td><td>{{ point.correct | count }}</td><td>{{ point.rate | percent }}</td><td>{{ point.lower | percent }} to {{ point.upper | percent }}</td></tr>
{% endfor %}{% endfor %}
</tbody>
</table>
</div>
</details>
"""

SECTION = Section(
    name="curves",
    title="Its curves",
    help="chance of success of one model against the demand level of each scale",
    applies=lambda source: source.is_curves,
    build=build,
    template=TEMPLATE,
    draw=draw,
    terms={
        "Curve": "A model's chance of success against the demand level of one scale, on questions where no other scale"
        " demands more.",
    },
)
