"""Predicted against observed: on answers held out where there are some, else on the answers that were fitted."""

from collections.abc import Iterable

from capscope.report.figures import reliability_plot
from capscope.report.plain import Record
from capscope.report.reliability_diagram import held_out, in_sample
from capscope.report.section import Drawing, PageSource, Section


def build(source: PageSource) -> Record:
    """Compare predictions with outcomes.

    Returns:
        `kind` ("held out" or "in sample"), `bins`, `error` and `answers`.
    """
    if source.held_out is not None:
        return held_out(source.held_out, source.rng(), source.level)
    return in_sample(source.curves, source.rng(), source.level)


def draw(record: Record) -> Iterable[Drawing]:
    """Draw observed shares against predicted chances."""
    if record["bins"]:
        yield "calibration", reliability_plot(record["bins"]), "Predicted against observed"


TEMPLATE = """
{% if not section.bins %}
<p class="lead">There is no answer to compare with.</p>
{% else %}
<p class="lead">{% if section.kind == "held out" %}The same model with the same settings, fitted without these answers, and what it predicted for them.{% else %}How the curves agree with the answers they were fitted to: a check of the fit's shape, not of predictions on new questions.{% endif %}</p>
{{ blocks.calibration(section, drawing["calibration"], level) }}
{% endif %}
"""

SECTION = Section(
    name="calibration",
    title="Predicted and observed",
    help="predicted chances against observed shares, in bins",
    applies=lambda source: source.held_out is not None or source.is_curves,
    build=build,
    template=TEMPLATE,
    draw=draw,
    terms={
        "Predicted and observed": "Answers are put in ten bins by predicted chance; a bin's observed share is the share"
        " that was right. The mean distance of the two, over answers, is the expected calibration error.",
    },
)
