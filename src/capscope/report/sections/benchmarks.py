"""Demand profile of each benchmark of the study beside a fit."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from capscope.annotate import known_rubrics
from capscope.data import Demands, Study
from capscope.profiles import demand_profile
from capscope.report.figures import benchmark_heatmap
from capscope.report.plain_values import Record, benchmark_examples, records, scale_names
from capscope.report.section import Drawing, PageSource, Section
from capscope.report.sections.demands import SENSITIVE

MOST_BENCHMARKS = 40
"""Benchmarks that a page lists, those with most items."""


def build(source: PageSource) -> Record:
    """Profile the demands of each benchmark; see `benchmarks_section`."""
    assert source.study is not None
    return benchmarks_section(source.study)


def benchmarks_section(study: Study) -> Record:
    """Profile the demands of each benchmark of a study, those with most items first; items of none belong to '?'."""
    matrix = Demands.of(study)
    belongs = _benchmark_of(study, matrix)
    scales = scale_names(matrix.dims, known_rubrics())
    names, sizes = np.unique(belongs, return_counts=True)
    order = [str(names[place]) for place in np.lexsort((names, -sizes))]
    examples = benchmark_examples(study.items)
    shown = [
        _benchmark(name, matrix, belongs == name, scales) | {"example": examples.get(name, "")}
        for name in order[:MOST_BENCHMARKS]
    ]
    return {"scales": scales, "benchmarks": shown, "left_out": max(len(order) - MOST_BENCHMARKS, 0)}


def _benchmark_of(study: Study, matrix: Demands) -> np.ndarray:
    if study.items is None:
        return np.full(len(matrix.items), "?")
    known = pd.Series(study.items["benchmark"].astype(str).to_numpy(), index=study.items["item_id"].astype(str))
    return known.reindex(list(matrix.items)).fillna("?").to_numpy(dtype=str)


def _benchmark(name: str, matrix: Demands, inside: np.ndarray, scales: list[Record]) -> Record:
    """One benchmark's mean, spread and verdict for each scale; None for a scale on which none of its items is rated."""
    rated = np.asarray(np.isfinite(matrix.level[inside]).any(axis=0))
    dims = tuple(dim for dim, known in zip(matrix.dims, rated, strict=True) if known)
    ids = tuple(item for item, kept in zip(matrix.items, inside, strict=True) if kept)
    profile = demand_profile(Demands(ids, dims, matrix.level[np.ix_(inside, rated)]))
    rows = {row["dim"]: row for row in records(profile.table)}
    return {"benchmark": name, "n_items": len(ids), "scales": [rows.get(scale["dim"]) for scale in scales]}


def draw(record: Record) -> Iterable[Drawing]:
    """Draw the mean levels as a heat map."""
    if record["benchmarks"]:
        yield "benchmarks", benchmark_heatmap(record), "Mean demand of each benchmark on each scale"


TEMPLATE = """
{% if not section.benchmarks %}
<p class="lead">No item of the study has demand levels.</p>
{% else %}
<p class="lead">How much each benchmark asks of each scale, on average, from 0 (nothing) to 5 (very much){% if section.left_out %}; {{ section.left_out | count }} smaller benchmarks are left out{% endif %}.</p>
<figure class="wide">
<div class="scroll" role="region" aria-label="Demands of each benchmark as a drawing" tabindex="0">
{{ drawing["benchmarks"] }}
</div>
<figcaption>Mean demand level; bold: the benchmark is sensitive to this scale.</figcaption>
</figure>
<details>
<summary>The demands as numbers</summary>
<div class="scroll" role="region" aria-label="Demands of each benchmark" tabindex="0">
<table class="tight">
<caption>Mean demand level by benchmark and scale, with the standard deviation over items</caption>
<thead><tr><th scope="col" class="text">Benchmark</th><th scope="col">Items</th>{% for scale in section.scales %}<th scope="col"><abbr title="{{ scale.name }}">{{ scale.dim }}</abbr></th>{% endfor %}</tr></thead>
<tbody>
{% for entry in section.benchmarks %}
<tr><th scope="row">{{ blocks.text_under(entry.benchmark, entry.example) }}</th><td>{{ entry.n_items | count }}</td>{% for scale in entry.scales %}<td>{% if scale %}{{ scale.mean | fixed }}<small>{{ scale.sd | fixed }}</small>{% else %}–{% endif %}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
</div>
</details>
{% endif %}
"""

SECTION = Section(
    name="benchmarks",
    title="What each benchmark demands",
    help="mean demand level of each benchmark on each scale",
    applies=lambda source: source.study is not None and source.study.demands is not None,
    build=build,
    template=TEMPLATE,
    draw=draw,
    terms=SENSITIVE,
)
