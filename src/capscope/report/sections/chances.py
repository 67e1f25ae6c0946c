"""Predictions for a set of questions: every model's score and its chance on each, as many as a page can hold."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from capscope.fit import FEW_ANSWERS
from capscope.predict import Predictions
from capscope.report.figures import score_intervals
from capscope.report.plain_values import Record, item_texts, records
from capscope.report.section import Drawing, PageSource, Section

MOST_QUESTIONS = 100
"""A page lists at most this many questions: those on which the models differ most."""
MOST_MODELS = 24
"""The table of chances has at most this many models: those with the best predicted scores."""
MOST_IDS = 20
"""At most this many ids stand behind each reason for missing support."""


def build(source: PageSource) -> Record:
    """Gather the predictions that the page shows; see `questions_section`."""
    assert source.part is not None
    return questions_section(source.part.predictions, source.part.items, source.focus)


def questions_section(predictions: Predictions, items: pd.DataFrame | None, focus: str) -> Record:
    """Gather the predictions that the page shows.

    Args:
        predictions: Every model's chance on every question.
        items: Columns `item_id` and `text` (optional), or None.
        focus: The model that stays in the table whatever its score.
    """
    scores = records(predictions.scores.sort_values("score", ascending=False, kind="stable"))
    models = [row["model"] for place, row in enumerate(scores) if place < MOST_MODELS or row["model"] == focus]
    shown = _most_divided(predictions)
    entries = records(predictions.support)
    return {
        "n": len(entries),
        "focus": focus,
        "level": predictions.level,
        "scores": scores,
        "models": models,
        "items": _listed([entry for entry in entries if entry["item_id"] in shown], predictions, items, models),
        "left_out": {"questions": len(entries) - len(shown), "models": len(scores) - len(models)},
        "unsupported": _unsupported(entries),
    }


def _most_divided(predictions: Predictions) -> set[str]:
    """Find the questions whose chances differ most between models."""
    spread = predictions.table.groupby("item_id", sort=False)["p"].std(ddof=0)
    order = np.argsort(-spread.to_numpy(), kind="stable")[:MOST_QUESTIONS]
    return set(spread.index[order])


def _listed(
    entries: list[Record], predictions: Predictions, items: pd.DataFrame | None, models: list[str]
) -> list[Record]:
    texts = item_texts(items)
    wanted = {entry["item_id"] for entry in entries}
    table = predictions.table
    chances: dict[str, list[Record]] = {}
    for row in records(table[table["item_id"].isin(wanted) & table["model"].isin(models)]):
        chances.setdefault(str(row.pop("item_id")), []).append(row)
    return [
        {"text": texts.get(entry["item_id"], ""), **entry, "chances": chances[entry["item_id"]]} for entry in entries
    ]


def _unsupported(entries: list[Record]) -> list[Record]:
    """Count the questions without support by reason, most frequent first."""
    by_reason: dict[str, list[str]] = {}
    for entry in entries:
        if not entry["in_support"]:
            by_reason.setdefault(entry["reason"], []).append(entry["item_id"])
    return [
        {"reason": reason, "n": len(ids), "item_ids": ids[:MOST_IDS]}
        for reason, ids in sorted(by_reason.items(), key=lambda pair: -len(pair[1]))
    ]


def draw(record: Record) -> Iterable[Drawing]:
    """Draw the predicted scores with their intervals."""
    yield "scores", score_intervals(record["scores"], record["focus"]), "Predicted score of every model"


TEMPLATE = """
{% if not section.n %}
<p class="lead">There is no item to predict.</p>
{% else %}
<p class="lead">Each cell is the predicted chance that a model gets a question right; none of the models has been asked.</p>
<div class="pair">
<figure>
{{ drawing["scores"] }}
<figcaption>Predicted share of the {{ section.n }} questions right, with its {{ section.level | percent }} interval.</figcaption>
</figure>
<div>
{% if section.unsupported %}
<h3>Outside what the data support</h3>
<p>{{ section.unsupported | sum("n") }} of {{ section.n }} questions lie where few or no answers stand behind a prediction:</p>
<ul>
{% for entry in section.unsupported %}
<li>{{ entry.reason }} ({{ entry.n | count }}): {% for item_id in entry.item_ids %}<bdi>{{ item_id }}</bdi>{{ ", " if not loop.last }}{% endfor %}{% if entry.n > entry.item_ids | length %} and {{ (entry.n - entry.item_ids | length) | count }} more{% endif %}</li>
{% endfor %}
</ul>
{% else %}
<p>All questions lie within what the data support.</p>
{% endif %}
</div>
</div>
<h3>Every model on every question</h3>
<div class="scroll" role="region" aria-label="Chances by question and model" tabindex="0">
<table class="chances">
<caption>Chance of success in percent, with {{ section.level | percent }} interval; hatched rows are outside support. Open a question to read it.{% if section.left_out.questions %} Shown are the {{ section["items"] | length }} questions on which the models differ most; {{ section.left_out.questions | count }} are left out.{% endif %}{% if section.left_out.models %} {{ section.left_out.models | count }} models with lower scores are left out.{% endif %}</caption>
<thead><tr><th scope="col" class="text">Question</th>{% for model in section.models %}<th scope="col"><bdi>{{ model }}</bdi></th>{% endfor %}</tr></thead>
<tbody>
{% for item in section["items"] %}
{% set chance = {} %}
{% for entry in item.chances %}{% set _ = chance.update({entry.model: entry}) %}{% endfor %}
<tr{% if not item.in_support %} class="weak"{% endif %}><th scope="row">{{ blocks.item(item) }}{% if not item.in_support %}<span class="tag">outside support</span>{% endif %}</th>{% for model in section.models %}{% set entry = chance[model] %}<td style="--p:{{ "%.2f" % entry.p }}">{{ "%.0f" % (100 * entry.p) }}<small>{{ "%.0f" % (100 * entry.lower) }}–{{ "%.0f" % (100 * entry.upper) }}</small></td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
</div>
<details>
<summary>Predicted scores as numbers</summary>
<div class="scroll" role="region" aria-label="Predicted scores" tabindex="0">
<table>
<caption>Predicted share of questions right</caption>
<thead><tr><th scope="col" class="text">Model</th><th scope="col">Score</th><th scope="col">{{ section.level | percent }} interval</th></tr></thead>
<tbody>
{% for score in section.scores %}
<tr{% if score.model == section.focus %} class="focus"{% endif %}><th scope="row"><bdi>{{ score.model }}</bdi></th><td>{{ score.score | percent(1) }}</td><td>{{ score.lower | percent }} to {{ score.upper | percent }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
</details>
{% endif %}
"""

SECTION = Section(
    name="chances",
    title="Chances on the questions",
    help="predicted score of every model on a set of items, and its chance on each item",
    applies=lambda source: source.part is not None,
    build=build,
    template=TEMPLATE,
    draw=draw,
    terms={
        "Chance": "The predicted probability that a model gets a question right; its interval covers what is unknown"
        " about the models and about questions of such a kind.",
        "Predicted score": "The share of the questions that a model will get right; its interval adds that each"
        " question is passed or failed as a whole.",
        "Outside support": f"The answers behind the fit say little about such a question (fewer than {FEW_ANSWERS}"
        " answers per model at its demands, no demand at all, or an item the fit does not know): read the prediction"
        " as a guess.",
    },
)
