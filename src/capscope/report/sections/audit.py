"""Odd items and models of the study beside a fit, with the probability of each finding and its evidence."""

import pandas as pd

from capscope.profiles import Audit, AuditSettings, audit_study
from capscope.report.plain_values import Record, item_texts, records
from capscope.report.section import PageSource, Section

MOST_OF_A_KIND = 20
"""Findings of a kind that a page lists; all are in the file of `capscope explain --audit --out`."""
KINDS = {
    "out of step": ("Models out of step", "Their answers fit other items than those they are assigned to"),
    "wrong key": (
        "Likely wrong keys",
        "The better a model, the more often it fails these, as if another answer were right",
    ),
    "failed by better models": (
        "Other items that better models fail",
        "Better models do worse on these, for whatever reason",
    ),
    "duplicate": ("Repeated items", "The same text as an earlier item's, but for case and spaces"),
    "near duplicate": (
        "Nearly repeated items",
        "Much closer to one other text than texts of the task are to each other",
    ),
    "same answers": ("Items answered alike", "Models answer these as they answer the other item, too often for chance"),
    "odd level": ("Odd demand levels", "The items with the nearest texts have other levels"),
    "saturated": ("Saturated items", "Even weak models pass these"),
    "impossible": ("Impossible items", "Even strong models fail these"),
}
"""Heading and meaning of each kind of finding, in the order of the page."""
PART_OF = {"failed by better models": "wrong key"}
"""Kinds that hold all of another kind's items; a page lists what is left of them."""


def applies(source: PageSource) -> bool:
    """Whether the study has responses or texts to audit."""
    study = source.study
    if study is None:
        return False
    return study.responses is not None or (study.items is not None and bool(study.items["text"].notna().any()))


def build(source: PageSource) -> Record:
    """Audit the study; see `audit_section`."""
    assert source.study is not None
    settings = AuditSettings(seed=source.provenance.seed)
    return audit_section(audit_study(source.study, settings), source.study.items)


def audit_section(audit: Audit, items: pd.DataFrame | None) -> Record:
    """Gather the findings that a page shows, kind by kind, with the texts of the items.

    Args:
        audit: The findings; a table without columns stands for none.
        items: Columns `item_id` and `text`, or None.
    """
    texts = item_texts(items)
    listed = audit.listed() if len(audit.table) else pd.DataFrame(columns=["kind", "id"])
    by_kind = {kind: listed[listed["kind"] == kind] for kind in KINDS if kind in audit.kinds}
    for kind, inner in PART_OF.items():
        if kind in by_kind:
            by_kind[kind] = by_kind[kind][~by_kind[kind]["id"].isin(by_kind[inner]["id"])]
    groups = [_group(kind, rows, texts) for kind, rows in by_kind.items()]
    return {"rate": audit.rate, "n": sum(group["n"] for group in groups), "groups": groups, "notes": audit.notes}


def _group(kind: str, listed: pd.DataFrame, texts: dict[str, str]) -> Record:
    title, meaning = KINDS[kind]
    rows = [
        row | {"text": texts.get(row["id"], ""), "other_text": texts.get(row["other"], "")}
        for row in records(listed.head(MOST_OF_A_KIND))
    ]
    return {"kind": kind, "title": title, "meaning": meaning, "n": len(listed), "rows": rows}


TEMPLATE = """
{% set listed = section.groups | selectattr("n") | list %}
{% set quiet = section.groups | rejectattr("n") | map(attribute="title") | map("lower") | list %}
<p class="lead">{% if listed %}{{ section.n | count }} {{ "finding" if section.n == 1 else "findings" }}, each with its chance and its evidence; about {{ section.rate | percent }} of a kind are expected to be ordinary.{% else %}Nothing odd was found.{% endif %}</p>
{% for group in listed %}
{% set paired = group.rows | selectattr("other") | list %}
<h3>{{ group.title }} ({{ group.n | count }})</h3>
<div class="scroll" role="region" aria-label="{{ group.title }}" tabindex="0">
<table class="findings">
<caption>{{ group.meaning }}{% if group.n > group.rows | length %}; the {{ group.rows | length }} most probable of {{ group.n | count }}{% endif %}</caption>
<thead><tr><th scope="col" class="text">{{ "Model" if group.kind == "out of step" else "Item" }}</th>{% if paired %}<th scope="col" class="text">Like</th>{% endif %}<th scope="col">Chance</th><th scope="col" class="text">Evidence</th><th scope="col" class="text">Where</th></tr></thead>
<tbody>
{% for row in group.rows %}
<tr><th scope="row">{{ blocks.text_under(row.id, row.text) }}</th>{% if paired %}<td class="text">{{ blocks.text_under(row.other, row.other_text) }}</td>{% endif %}<td>{{ row.probability | percent }}</td><td class="text evidence">{{ row.evidence }}</td><td class="text"><bdi>{{ row.task or row.benchmark or "all items" }}</bdi></td></tr>
{% endfor %}
</tbody>
</table>
</div>
{% endfor %}
{% if quiet %}<p class="note">Looked for and not found: {{ quiet | join("; ") }}.</p>{% endif %}
{% for note in section.notes %}<p class="note">{{ note }}</p>{% endfor %}
"""

SECTION = Section(
    name="audit",
    title="Odd items and models",
    help="likely wrong keys, duplicates, saturated items and models out of step, with probabilities",
    applies=applies,
    build=build,
    template=TEMPLATE,
    terms={
        "Chance of a finding": "The posterior probability that an item or a model is what it is listed for, given the"
        " answers and texts; how frequent such faults are is learnt from the same study.",
        "Listed": "The most probable findings of a kind, as many as keep the expected share of ordinary ones among them"
        " below the stated rate. Read the item before you change it.",
        "Wrong key": "The better a model, the more often it fails: what one sees where a right answer is marked wrong.",
        "Out of step": "A model's marks do not depend on the difficulty of the items they are assigned to, though those of"
        " models as good do: its rows may be shifted or mixed.",
    },
)
