"""Predicted against observed: on answers held out where there are some, else on the answers that were fitted."""

from collections.abc import Iterable

from capscope.report.figures import reliability_plot
from capscope.report.plain import Record
from capscope.report.reliability_diagram import answers_in_sample, held_out, in_sample
from capscope.report.section import Drawing, PageSource, Section


def build(source: PageSource) -> Record:
    """Compare predictions with outcomes.

    Returns:
        `kind` ("held out", "in sample" or, without the study, "in sample, by scale"), `bins`, `error` and `answers`.
    """
    if source.held_out is not None:
        return held_out(source.held_out, source.rng(), source.level)
    if _has_its_answers(source):
        assert source.study is not None
        return answers_in_sample(source.curves, source.study, source.rng(), source.level)
    return in_sample(source.curves, source.rng(), source.level)


def _has_its_answers(source: PageSource) -> bool:
    """Whether a study with the models and the dimensions of the curves is at hand."""
    study, curves = source.study, source.curves
    if study is None or study.responses is None or study.demands is None:
        return False
    rubrics, models = study.demands["rubric"].astype(str), study.responses["model"].astype(str)
    return set(curves.dims) <= set(rubrics) and bool(models.isin(curves.models).any())


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
{% if section.kind == "in sample, by scale" %}
<p class="note">Without the study, answers are known by scale and level only: an answer to a question that several \
scales dominate counts once for each of them.</p>
{% endif %}
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
