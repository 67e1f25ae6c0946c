"""What a page says of the study beside a fit: what each benchmark demands, and which items and models look odd."""

import numpy as np
import pandas as pd

from capscope.annotate import general_rubrics
from capscope.data import Demands, Study
from capscope.profiles import Audit, AuditSettings, audit_study, demand_profile
from capscope.report.definitions import AUDIT, definitions
from capscope.report.plain import Record, Summary, item_texts, plain, records
from capscope.report.scales import scale_names

MOST_OF_A_KIND = 20
"""Findings of a kind that a page lists; all are in the file of `capscope explain --audit --out`."""
MOST_BENCHMARKS = 40
"""Benchmarks that a page lists, those with most items."""
KINDS = {
    "out of step": ("Models out of step", "Their marks go with other items than those they stand against"),
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


def with_study(summary: Summary, study: Study, seed: int = 0) -> Summary:
    """Add to a summary what its study demands and what looks odd in it; a part is None where the study lacks its base.

    Args:
        summary: What `summarize` or `summarize_irt` returned.
        study: The study.
        seed: Seed of the audit.
    """
    able = study.responses is not None or (study.items is not None and study.items["text"].notna().any())
    audit = audit_section(audit_study(study, AuditSettings(seed=seed)), study.items) if able else None
    benchmarks = None if study.demands is None else benchmarks_section(study)
    more = [] if audit is None else definitions(AUDIT, summary["level"])
    added = {"audit": audit, "benchmarks": benchmarks, "definitions": summary["definitions"] + more}
    return summary | plain(added)


def audit_section(audit: Audit, items: pd.DataFrame | None) -> Record:
    """Gather the findings that a page shows, kind by kind, with the texts of the items.

    Args:
        audit: The findings.
        items: Columns `item_id` and `text`, or None.
    """
    listed, texts = audit.listed(), item_texts(items)
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


def benchmarks_section(study: Study) -> Record:
    """Profile the demands of each benchmark of a study, those with most items first; items of none belong to '?'."""
    matrix = Demands.of(study)
    belongs = _benchmark_of(study, matrix)
    scales = scale_names(matrix.dims, general_rubrics())
    names, sizes = np.unique(belongs, return_counts=True)
    order = [str(names[place]) for place in np.lexsort((names, -sizes))]
    shown = [_benchmark(name, matrix, belongs == name, scales) for name in order[:MOST_BENCHMARKS]]
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
