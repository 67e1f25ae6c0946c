"""The best model overall and by part, with probabilities and the number of further answers for a decision."""

import numpy as np
import pandas as pd

from capscope.axes import FloatArray
from capscope.data import Study, with_models_of
from capscope.report.plain_values import Record, benchmark_examples, bounded
from capscope.report.section import PageSource, Section

SURE = 0.95
"""Probability from which on an order counts as settled."""
LEVEL_BELOW = 0.6
"""Probability up to which the two best are called level."""
SURE_Z = 1.645
"""Standard deviations above 0 at which a difference has this probability."""
MOST_BENCHMARKS = 8
"""Benchmarks that get a column, those with most items."""
SCORED_CELLS, MOST_SCORED = 20_000_000, 400
"""Cells (model, item, draw) that scores by benchmark are computed from, and items of each benchmark."""
MOST_WANTED = 1_000_000
"""More answers than this settle nothing in practice."""


def build(source: PageSource) -> Record:
    """Find the best model overall, on each benchmark and, for curves, on each scale.

    Returns:
        `by`, `no_order` (why models cannot be ranked; empty where they can), `level_below`, `overall` (see `contest`),
        `parts` (a contest for each benchmark or scale, with its `name` and an `example` of its items), `of` (what the parts are), `more` (answers of
        each of the two best that would settle it, or None), `counted` (whether answers are known) and `models` (name,
        place, overall, parts), the best first.
    """
    draws, by = source.ranking
    posterior = source.fit.posterior
    names, parts, of = _parts(source)
    order = np.argsort(-draws.mean(axis=-1), kind="stable")
    overall = contest(posterior.models, draws, source.level)
    first = np.bincount(draws.argmax(axis=0), minlength=len(draws)) / draws.shape[1]
    examples = benchmark_examples(source.study.items) if of == "benchmark" and source.study is not None else {}
    return {
        "by": by,
        "is_share": source.score_draws is not None,
        "no_order": source.no_order,
        "level_below": LEVEL_BELOW,
        "overall": overall,
        "of": of,
        "parts": [
            {"name": name, "example": examples.get(name, ""), **contest(posterior.models, part, source.level)}
            for name, part in zip(names, parts, strict=True)
        ],
        "more": _more_answers(source, draws, order),
        "counted": bool(_answers(source)),
        "models": [
            {
                "model": posterior.models[row],
                "overall": bounded(draws[row], source.level),
                "first": first[row],
                "parts": [bounded(part[row], source.level) for part in parts] if of == "benchmark" else [],
            }
            for row in order
        ],
    }


def contest(models: tuple[str, ...], draws: FloatArray, level: float) -> Record:
    """The two best models by draws (model, draw): `best`, `next` (None for one model) and `chance` that best is ahead.

    Args:
        models: Names of the models.
        draws: Draws of their scores, shape (model, draw).
        level: Nominal coverage of the bounds.
    """
    order = np.argsort(-draws.mean(axis=-1), kind="stable")[:2]
    rows = [{"model": models[row], **bounded(draws[row], level)} for row in order]
    if len(rows) < 2:
        return {"best": rows[0], "next": None, "chance": None, "is_sure": True}
    one, two = draws[order[0]], draws[order[1]]
    # a difference in all draws is no certainty: half a draw is left open
    chance = min(float((one > two).mean() + 0.5 * (one == two).mean()), 1 - 0.5 / len(one))
    return {"best": rows[0], "next": rows[1], "chance": chance, "is_sure": chance >= SURE}


def answers_to_settle(difference: FloatArray, answers: float) -> int | None:
    """Answers in all after which a difference would be sure, if it stays as it is; None where no number is in reach.

    The standard deviation of a difference falls with the square root of the answers that it rests on.

    Args:
        difference: Draws of the difference.
        answers: Answers that it rests on now.
    """
    mean, sd = abs(float(difference.mean())), float(difference.std())
    if not answers or mean <= 0:
        return None
    needed = answers * (SURE_Z * sd / mean) ** 2
    return int(np.ceil(needed)) if needed < MOST_WANTED else None


def _more_answers(source: PageSource, draws: FloatArray, order: np.ndarray) -> int | None:
    """Further answers by each of the two best models that would settle their order; None where it is settled."""
    if len(order) < 2:
        return None
    answers = _answers(source)
    pair = [answers.get(source.fit.posterior.models[row], 0.0) for row in order[:2]]
    needed = answers_to_settle(draws[order[0]] - draws[order[1]], min(pair))
    return None if needed is None or needed <= min(pair) else int(needed - min(pair))


def _answers(source: PageSource) -> dict[str, float]:
    """Number of answers behind each model, where it is known."""
    if source.is_curves:
        return dict(zip(source.curves.models, source.curves.n[:, :, 1:].sum(axis=(1, 2)).tolist(), strict=True))
    if source.study is None or source.study.responses is None:
        return {}
    study = with_models_of(source.study, source.fit.posterior.models)
    counts = study.require("responses")["model"].value_counts()
    return {str(model): float(count) for model, count in counts.items()}


def _parts(source: PageSource) -> tuple[list[str], list[FloatArray], str]:
    """Names and draws (model, draw) of the benchmarks of the study; of curves without several, of the scales."""
    study = source.study
    groups = [] if study is None or study.items is None or not _is_rated(source, study) else _benchmarks(study.items)
    if len(groups) > 1 and study is not None:
        names, drawn = [name for name, _ in groups], _benchmark_draws(source, study, groups)
        return names, drawn, "benchmark"
    if source.is_curves:
        names = [str(scale["name"]) for scale in source.scales]
        places = [source.curves.dims.index(scale["dim"]) for scale in source.scales]
        return names, [source.curves.ability[:, place] for place in places], "scale"
    return [], [], ""


def _is_rated(source: PageSource, study: Study) -> bool:
    """Whether the study has the demands that the fit needs to score its items."""
    if source.is_irt:
        return True
    known = set() if study.demands is None else set(map(str, study.demands["rubric"].unique()))
    needed = source.curves.dims if source.is_curves else source.demand.dims
    return bool(known) and set(needed) <= known


def _benchmarks(items: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Benchmarks with their items, those with most items first, each cut to items spread evenly over its ids."""
    groups = [
        (str(name), sorted(map(str, rows))) for name, rows in items.groupby("benchmark", observed=True)["item_id"]
    ]
    return sorted(groups, key=lambda group: -len(group[1]))[:MOST_BENCHMARKS]


def _benchmark_draws(source: PageSource, study: Study, groups: list[tuple[str, list[str]]]) -> list[FloatArray]:
    """Draws (model, draw) of the mean chance on each benchmark."""
    posterior, draws = source.fit.posterior, 200
    cells = len(posterior.models) * (source.curves.ability.shape[-1] if source.is_curves else draws)
    most = min(MOST_SCORED, max(20, SCORED_CELLS // cells // len(groups)))
    chosen = {name: [ids[i] for i in _spread(len(ids), most)] for name, ids in groups}
    part = study.keep_items(pd.Index([item for ids in chosen.values() for item in ids]))
    place = {item: row for row, item in enumerate(sorted({item for ids in chosen.values() for item in ids}))}
    rows = [[place[item] for item in ids] for ids in chosen.values()]
    means = [
        [chance[each].mean(axis=0) for each in rows] for chance in posterior.chances(part, source.rng(), draws=draws)
    ]
    return [np.stack([model[number] for model in means]) for number in range(len(rows))]


def _spread(size: int, most: int) -> np.ndarray:
    return np.linspace(0, size - 1, min(size, most)).round().astype(int)


TEMPLATE = """
{% set o = section.overall %}
{% macro number(entry, is_share) %}{{ entry.value | percent(1) if is_share else entry.value | fixed }}{% endmacro %}
{% macro range(entry, is_share) %}{% if is_share %}{{ entry.lower | percent(1) }} to {{ entry.upper | percent(1) }}{% else %}{{ blocks.interval(entry) }}{% endif %}{% endmacro %}
{% macro value(entry) %}{{ number(entry, section.is_share) }} ({{ range(entry, section.is_share) }}){% endmacro %}
{% macro cell(entry, is_share) %}{{ number(entry, is_share) }}<small>{{ range(entry, is_share) }}</small>{% endmacro %}
{% set of_share = section.of == "benchmark" %}
<p class="lead">{% if o.next is none %}<bdi>{{ o.best.model }}</bdi> is the only model: {% if section.is_share %}its expected score on these items is {{ value(o.best) }}{% else %}{{ section.by }} {{ value(o.best) }}{% endif %}.{% elif section.no_order %}No order of all models can be given: {{ section.no_order }}.{% elif o.is_sure %}<strong><bdi>{{ o.best.model }}</bdi></strong> is best, with a probability of {{ o.chance | percent }} to be ahead of <bdi>{{ o.next.model }}</bdi>.{% elif o.chance < section.level_below %}<strong><bdi>{{ o.best.model }}</bdi></strong> and <strong><bdi>{{ o.next.model }}</bdi></strong> are level at the top: the probability that the first is ahead of the second is {{ o.chance | percent }}.{% else %}<strong><bdi>{{ o.best.model }}</bdi></strong> is ahead, but <bdi>{{ o.next.model }}</bdi> may be as good: the probability is {{ o.chance | percent }}.{% endif %}</p>
{% if not section.no_order %}
<dl class="facts">
<div><dt>Best overall</dt><dd><strong><bdi>{{ o.best.model }}</bdi></strong>{{ section.by }} {{ value(o.best) }}</dd></div>
{% if o.next is not none %}
<div><dt>Next</dt><dd><strong><bdi>{{ o.next.model }}</bdi></strong>{{ section.by }} {{ value(o.next) }}</dd></div>
<div><dt>How sure is the order</dt><dd><strong>{{ o.chance | percent }}</strong>probability that the first is ahead of the next</dd></div>
<div><dt>To settle it</dt><dd>{% if o.is_sure %}<strong>nothing</strong>the order of the two is sure enough (95%){% elif section.more is not none %}<strong>{{ section.more | count }}</strong>more answers by each of the two, if their difference stays as it is{% else %}<strong>open</strong>{% if section.counted %}the two are too close: more than a million answers{% else %}the answers are not counted here; give --study{% endif %}{% endif %}</dd></div>
{% endif %}
</dl>
{% elif o.next is none %}
<p class="note">What one model's answers say: {{ section.no_order | replace("one model only: ", "") }}.</p>
{% endif %}
{% if section.parts and not (section.no_order and o.next is not none) %}
<div class="scroll" role="region" aria-label="Best by {{ section.of }}" tabindex="0">
<table class="tight best">
<caption>{% if o.next is none %}The model on each {{ section.of }}{% else %}The best model on each {{ section.of }}{% endif %}{% if section.of == "benchmark" %}, by expected score{% else %}, in demand levels{% endif %}{% if o.next is not none %}, and the probability that it is ahead of the next{% endif %}</caption>
<thead><tr><th scope="col" class="text">{{ section.of | capitalize }}</th><th scope="col" class="text">{{ "Model" if o.next is none else "Best" }}</th><th scope="col">{{ "Score" if section.of == "benchmark" else "Ability" }}</th>{% if o.next is not none %}<th scope="col" class="text">Next</th><th scope="col">Ahead</th>{% endif %}</tr></thead>
<tbody>
{% for entry in section.parts %}
<tr><th scope="row">{{ blocks.text_under(entry.name, entry.example) }}</th><td class="text"><bdi>{{ entry.best.model }}</bdi></td><td>{{ cell(entry.best, of_share) }}</td>{% if entry.next is not none %}<td class="text"><bdi>{{ entry.next.model }}</bdi></td><td>{{ entry.chance | percent }}</td>{% endif %}</tr>
{% endfor %}
</tbody>
</table>
</div>
{% endif %}
<details>
<summary>Every model in a row ({{ section.models | length | count }})</summary>
<div class="scroll" role="region" aria-label="Every model" tabindex="0">
<table class="tight best">
<caption>{% if section.no_order and o.next is not none %}Models of one group can be compared, those of different groups cannot{% else %}Models from the best to the weakest; first: probability to be the best of all{% endif %}</caption>
<thead><tr><th scope="col" class="text">Model</th><th scope="col">{{ section.by | capitalize }}</th><th scope="col">First</th>{% if section.models[0].parts %}{% for entry in section.parts %}<th scope="col"><bdi>{{ entry.name }}</bdi></th>{% endfor %}{% endif %}</tr></thead>
<tbody>
{% for entry in section.models %}
<tr id="model-{{ loop.index }}"><th scope="row"><bdi>{{ entry.model }}</bdi></th><td>{{ cell(entry.overall, section.is_share) }}</td><td>{{ entry.first | percent }}</td>{% for one in entry.parts %}<td>{{ cell(one, of_share) }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
</div>
</details>
"""

SECTION = Section(
    name="best",
    title="Who is best at what",
    help="the best model overall and on each benchmark or scale, how sure that is, and what would settle it",
    applies=lambda _: True,
    build=build,
    template=TEMPLATE,
    terms={
        "Answers that settle it": "How many more answers each of two models would have to give until one is ahead with a"
        " probability of 95%, if their difference stays as it is and its standard deviation falls with the square root"
        " of the answers.",
        "First": "The probability that a model is the best of all models on the page.",
    },
)
