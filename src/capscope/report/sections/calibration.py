"""Predicted chances against observed shares of success, in bins with bounds (reliability diagram).

The answers are held-out ones where there are some, else those that were fitted.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from capscope.axes import LEVELS, RowFloats
from capscope.data import Demands, Responses, Study, with_models_of
from capscope.fit import CurvePosterior, HeldOut
from capscope.intervals import cluster_bootstrap_means, jeffreys_interval, quantile_bounds
from capscope.report.figures import reliability_plot
from capscope.report.plain_values import Record
from capscope.report.section import Drawing, PageSource, Section

BINS = 10
"""Number of bins of equal width."""
LEAST_LEVEL = 0.5
"""Items whose demands all lie below this level are on no curve."""
FEWEST_CLUSTERS = 2
"""A bin of fewer clusters than this gets no bounds."""


def reliability(  # noqa: PLR0913 - one row each of what is compared, and how
    chance: RowFloats,
    score: RowFloats,
    weight: RowFloats,
    cluster: np.ndarray,
    rng: np.random.Generator,
    level: float = 0.9,
) -> list[Record]:
    """Compare predicted chances with outcomes in bins of equal width.

    Args:
        chance: Predicted chance of each row.
        score: Share of successes of each row.
        weight: Number of answers behind each row.
        cluster: What rows have in common, such as their item; whole clusters are resampled for the bounds.
        rng: Source of randomness.
        level: Nominal coverage of the bounds.

    Returns:
        For each bin with answers: `predicted`, `observed`, `lower`, `upper` (None with one cluster) and `answers`.
    """
    place = np.minimum((chance * BINS).astype(int), BINS - 1)
    entries: list[Record] = []
    for bin_number in np.unique(place[weight > 0]):
        rows = (place == bin_number) & (weight > 0)
        total = weight[rows].sum()
        lower, upper = _bounds(score[rows], weight[rows], cluster[rows], rng, level)
        predicted, observed = (float(values[rows] @ weight[rows] / total) for values in (chance, score))
        entries.append(
            {"predicted": predicted, "observed": observed, "lower": lower, "upper": upper, "answers": float(total)}
        )
    return entries


def expected_error(bins: list[Record]) -> float:
    """Expected calibration error: the mean distance of predicted and observed over answers (Naeini et al., 2015)."""
    total = sum(entry["answers"] for entry in bins)
    return sum(entry["answers"] * abs(entry["predicted"] - entry["observed"]) for entry in bins) / total


def in_sample(posterior: CurvePosterior, rng: np.random.Generator, level: float) -> Record:
    """Compare the curves with the rates they were fitted to, cell by cell (model, dimension, level).

    An answer to an item that several dimensions dominate counts in the cell of each of them; `answers_in_sample`
    counts each answer once. Cells on the same questions are resampled together.

    Args:
        posterior: A curve fit.
        rng: Source of randomness.
        level: Nominal coverage of the bounds.

    Returns:
        `kind` ("in sample, by scale"), `bins`, `error` and `answers`.
    """
    steps = np.array(LEVELS[1:], dtype=float)
    chance = np.array(
        [[posterior.curve(model, dim, steps).mean(axis=-1) for dim in posterior.dims] for model in posterior.models]
    )
    n, correct = posterior.n[:, :, 1:], posterior.correct[:, :, 1:]
    slices = np.broadcast_to(np.arange(n[0].size).reshape(n[0].shape), n.shape)
    rate = np.divide(correct, n, out=np.zeros_like(correct), where=n > 0)
    return _diagram(
        "in sample, by scale", reliability(chance.ravel(), rate.ravel(), n.ravel(), slices.ravel(), rng, level)
    )


def answers_in_sample(posterior: CurvePosterior, study: Study, rng: np.random.Generator, level: float) -> Record:
    """Compare what the curves predict for each answered item with the answers they were fitted to, each answer once.

    Args:
        posterior: A curve fit.
        study: The study that it was made from; answers to items without all demand levels are left out.
        rng: Source of randomness.
        level: Nominal coverage of the bounds.

    Returns:
        `kind` ("in sample"), `bins`, `error` and `answers`; no bin where no answer of the study is of the fit.
    """
    study = with_models_of(study, posterior.models)
    demands, answers = Demands.of(study, rubrics=posterior.dims).on(posterior.dims), Responses.of(study)
    rated = ~np.isnan(demands.level).any(axis=1) & (np.nan_to_num(demands.level).max(axis=1) > LEAST_LEVEL)
    chance = expit(posterior.item_log_odds(demands.level[rated], rng)).mean(axis=-1)  # (model, item)
    models = pd.Index(posterior.models).get_indexer(pd.Index(answers.models))[answers.model_index]
    rows = np.flatnonzero(rated)
    names = pd.Index([demands.items[row] for row in rows])
    items = names.get_indexer(pd.Index(answers.items))[answers.item_index]
    known = (models >= 0) & (items >= 0)
    trials = answers.n_trials[known].astype(float)
    chosen = chance[models[known], items[known]]
    return _diagram("in sample", reliability(chosen, answers.score[known], trials, items[known], rng, level))


def held_out(answers: HeldOut[Any], rng: np.random.Generator, level: float) -> Record:
    """Compare predictions with answers that were held out; the answers to one item are resampled together.

    Args:
        answers: Held-out answers with predictions.
        rng: Source of randomness.
        level: Nominal coverage of the bounds.

    Returns:
        `kind` ("held out"), `bins`, `error` and `answers`.
    """
    test = answers.test
    trials = test.n_trials.astype(float)
    return _diagram("held out", reliability(answers.chance, test.score, trials, test.item_index, rng, level))


def _diagram(kind: str, bins: list[Record]) -> Record:
    total = sum(entry["answers"] for entry in bins)
    return {"kind": kind, "bins": bins, "error": expected_error(bins) if bins else None, "answers": total}


def _bounds(
    score: RowFloats, weight: RowFloats, cluster: np.ndarray, rng: np.random.Generator, level: float
) -> tuple[float | None, float | None]:
    """Bounds of the observed share: by resampling clusters, and never narrower than Jeffreys' for as many answers.

    Resampling alone has width 0 where all answers are alike, however few they are.
    """
    if len(np.unique(cluster)) < FEWEST_CLUSTERS:
        return None, None
    lower, upper = quantile_bounds(cluster_bootstrap_means(score, cluster, rng, weight=weight), level)
    independent = jeffreys_interval(float(score @ weight), float(weight.sum()), level)
    return min(float(lower), independent.lower), max(float(upper), independent.upper)


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
    """Whether the page has a study with the models and the dimensions of the curves."""
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
