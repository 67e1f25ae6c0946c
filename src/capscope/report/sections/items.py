"""Items of an item response fit that are the hardest, easiest, most or least discriminating with high probability."""

import pandas as pd

from capscope.fit import IRTPosterior
from capscope.intervals import normal_quantile
from capscope.report.plain_values import Record, item_texts, records
from capscope.report.section import PageSource, Section

LISTED = 10
"""Number of items in each list of extremes."""


def build(source: PageSource) -> Record:
    """List the extreme items, ranked by the end of their interval that is nearer to the other items.

    Returns:
        `hardest`, `easiest`, `most_discriminating`, `least_discriminating` and `surely_negative`.
    """
    texts = {} if source.study is None else item_texts(source.study.items)
    return extreme_items(source.irt, texts, source.level)


def extreme_items(posterior: IRTPosterior, texts: dict[str, str], level: float) -> Record:
    """List extreme items; see `build`. In a Rasch model all discriminations are equal and none is listed."""
    difficulty = _with_bounds(posterior.difficulty(), level)
    discrimination = _with_bounds(posterior.discrimination(), level)
    alike = posterior.model_name == "rasch"
    return {
        "hardest": _extremes(difficulty, "lower", False, texts),
        "easiest": _extremes(difficulty, "upper", True, texts),
        "most_discriminating": [] if alike else _extremes(discrimination, "lower", False, texts),
        "least_discriminating": [] if alike else _extremes(discrimination, "upper", True, texts),
        "surely_negative": int((discrimination["upper"] < 0).sum()),
    }


def _with_bounds(table: pd.DataFrame, level: float) -> pd.DataFrame:
    width = normal_quantile(level) * table["sd"]
    return table.assign(lower=table["mean"] - width, upper=table["mean"] + width)


def _extremes(table: pd.DataFrame, by: str, ascending: bool, texts: dict[str, str]) -> list[Record]:
    rows = records(table.sort_values(by, ascending=ascending, kind="stable").head(LISTED))
    return [
        {
            "item_id": row["item"],
            "text": texts.get(row["item"], ""),
            "value": row["mean"],
            "sd": row["sd"],
            "lower": row["lower"],
            "upper": row["upper"],
        }
        for row in rows
    ]


TEMPLATE = """
{% if not section.hardest %}
<p class="lead">The fit has no items.</p>
{% else %}
<p class="lead">Each list starts with the items that lie furthest out even at the near end of their interval.</p>
<div class="pair">
{{ blocks.item_table(section.hardest, "The hardest items", "Difficulty", level) }}
{{ blocks.item_table(section.easiest, "The easiest items", "Difficulty", level) }}
{% if section.most_discriminating %}
{{ blocks.item_table(section.most_discriminating, "The most discriminating items", "Discrimination", level) }}
{{ blocks.item_table(section.least_discriminating, "The least discriminating items", "Discrimination", level) }}
{% endif %}
</div>
{% endif %}
"""

SECTION = Section(
    name="items",
    title="Items that stand out",
    help="the hardest, easiest, most and least discriminating items",
    applies=lambda source: source.is_irt and source.has_several,
    build=build,
    template=TEMPLATE,
    terms={
        "Difficulty": "The ability at which success has even odds (less what a guess gives), on the same scale as"
        " ability.",
        "Discrimination": "How steeply the chance rises with ability: near 0 the item has no information, below 0 better"
        " models fail it and its key may be wrong. In a Rasch model it is the same for all items.",
    },
)
