"""Results of `capscope explain` as plain values and as text: the explanation of a benchmark and its audit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.data import Study
from capscope.display import short_repr
from capscope.errors import counted
from capscope.intervals import Interval
from capscope.profiles.auditing import (
    Audit,
    AuditSettings,
    Contamination,
    ContaminationSettings,
    find_contamination,
)
from capscope.profiles.auditing import audit as audit_of
from capscope.profiles.benchmark.explanation import (
    NO_DIFFICULTY,
    ClaimCheck,
    ExplainSettings,
    Explanation,
    ResponseExplanation,
    explain,
)
from capscope.profiles.item_groups import of_benchmark
from capscope.profiles.meanings import listed_with_names, named_dims, spelled, table_lines

MOST_OF_A_KIND = 8
"""Findings of a kind that are printed; all are in the file."""


@dataclass(frozen=True)
class BenchmarkReport:
    """An explanation, an audit, tests for leaked items, or several of these."""

    explanation: Explanation | None
    """None where the study has no demands and only an audit or contamination was asked for."""
    audit: Audit | None
    """None where none was asked for."""
    contamination: Contamination | None = None
    """None where none was asked for."""

    def __repr__(self) -> str:
        return short_repr(self)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; of the audit, what is listed."""
        result: dict[str, Any] = {} if self.explanation is None else explanation_dict(self.explanation)
        result["sentences"] = list(self.sentences())
        if self.audit is not None:
            findings = self.audit.listed().to_dict("records")
            counts, notes = self.audit.counts(), list(self.audit.notes)
            result["audit"] = {"rate": self.audit.rate, "counts": counts, "findings": findings, "notes": notes}
        if self.contamination is not None:
            result["contamination"] = self.contamination.as_dict()
        return result

    def as_text(self) -> str:
        """Return the answer in sentences, then tables to read."""
        parts = ["\n".join(self.sentences()), ""]
        parts += [] if self.explanation is None else [explanation_text(self.explanation)]
        parts += [] if self.audit is None else _audit_lines(self.audit)
        return "\n".join(parts + ([] if self.contamination is None else [self.contamination.as_text()]))

    def sentences(self) -> tuple[str, ...]:
        """Say what the items demand, what their difficulty depends on, what is not tested, and which to look at."""
        sentences = () if self.explanation is None else explanation_sentences(self.explanation)
        leaks = () if self.contamination is None else (self.contamination.sentence(),)
        return (*sentences, _odd_items(self.audit), *leaks)


def explain_benchmark(
    study: Study,
    settings: ExplainSettings,
    audit: AuditSettings | None = None,
    contamination: ContaminationSettings | None = None,
    folder: Path | None = None,
) -> BenchmarkReport:
    """Explain a benchmark and, with settings for them, audit its items and test models for leaked ones.

    Args:
        study: The study.
        settings: Benchmark, claims, comparison, seed.
        audit: Settings of the audit; None for no audit.
        contamination: Settings of the tests for leaked items; None for none.
        folder: Study folder, where a table of models may lie with their cut-offs and families.

    Returns:
        The explanation, and what else was asked for.

    Raises:
        InputError: The study lacks what is asked for.
    """
    without_demands = study.demands is None and (audit is not None or contamination is not None)
    explanation = None if without_demands else explain(study, settings)
    chosen = of_benchmark(study, settings.benchmark) if settings.benchmark else study
    audited = None if audit is None else audit_of(chosen, audit)
    leaks = None if contamination is None else find_contamination(study, contamination, folder)
    return BenchmarkReport(explanation, audited, leaks)


def _odd_items(audit: Audit | None) -> str:
    """How many items to look at, and the likeliest of each kind."""
    if audit is None:
        return "Items to look at: not searched for; --audit does."
    listed = audit.listed()
    if not len(listed):
        return "Items to look at: none; nothing odd was found."
    kinds = [
        f"{len(rows)} {kind} (first {rows['id'].iloc[0]}, probability {rows['probability'].iloc[0]:.2f})"
        for kind, rows in listed.groupby("kind", sort=False)
    ]
    return f"Look at: {'; '.join(kinds)}."


def _audit_lines(audit: Audit) -> list[str]:
    head = f"\nAudit: about {audit.rate:.0%} of what is listed of a kind is expected to be ordinary"
    parts = [head]
    listed = audit.listed()
    for kind, rows in listed.groupby("kind", sort=False):
        parts += [f"\n{kind}: {len(rows)}", table_lines(rows.drop(columns=["kind", "benchmark"]).head(MOST_OF_A_KIND))]
    if not len(listed):
        parts.append("nothing odd was found")
    return [*parts, *(f"note: {note}" for note in audit.notes)]


MOST_PAIRS = 10
"""Pairs of dimensions that are printed."""


def interval_dict(interval: Interval) -> dict[str, float]:
    """Return an interval as plain values."""
    return {"point": interval.point, "lower": interval.lower, "upper": interval.upper}


def explanation_dict(explanation: Explanation) -> dict[str, Any]:
    """Return all of an explanation as plain values.

    Args:
        explanation: The explanation.
    """
    demand = explanation.demand
    result: dict[str, Any] = {
        "n_items": demand.n_items,
        "dims": demand.table.to_dict("records"),
        "histogram": {dim: demand.histogram[row].astype(int).tolist() for row, dim in enumerate(demand.dims)},
        "effective_dims": interval_dict(explanation.structure.effective_dims),
        "pairs": explanation.structure.pairs().to_dict("records"),
        "claims": _claims_dict(explanation.claims),
        "against": None if explanation.contrast is None else explanation.contrast.table.to_dict("records"),
        "responses": None if explanation.responses is None else _responses_dict(explanation.responses),
        "notes": list(explanation.notes),
    }
    return result


def _claims_dict(claims: ClaimCheck) -> dict[str, Any]:
    names = {word: claims.table.loc[claims.table["verdict"] == word, "dim"].tolist() for word in _VERDICTS}
    return {
        "claimed": list(claims.claimed),
        "sensitivity": claims.sensitivity,
        "specificity": claims.specificity,
        "specific": claims.specific,
        **names,
    }


_VERDICTS = ("measured", "missed", "unclaimed")


def _responses_dict(responses: ResponseExplanation) -> dict[str, Any]:
    return {
        "n_items": responses.shares.items,
        "difficulty_sd": responses.shares.spread,
        "noise_share": responses.shares.noise,
        "explained": interval_dict(responses.shares.explained),
        "shares": responses.shares.table.to_dict("records"),
        "held_out": responses.held_out.table.to_dict("records"),
        "text_adds": responses.held_out.text_adds.to_dict("records"),
        "unexplained": responses.held_out.unexplained,
        "general_spread": responses.separation.general,
        "general_reliability": responses.separation.reliability,
        "separation": responses.separation.table.to_dict("records"),
    }


MOST_NAMED = 3
"""Demands that a sentence names."""


def explanation_sentences(explanation: Explanation) -> tuple[str, ...]:
    """Sentences on what a set demands most, what its difficulty depends on, and what it claims but does not test."""
    table = explanation.demand.table.sort_values("mean", ascending=False, kind="stable")
    most = table[table["mean"] > 0].head(MOST_NAMED)
    levels = [f"at mean level {mean:.1f}" for mean in most["mean"]]
    named = listed_with_names(most["dim"].tolist(), levels) or "nothing: all levels are 0"
    return (
        f"Demands most: {named} (of 5; {counted(explanation.demand.n_items, 'item')}).",
        _difficulty_sentence(explanation.responses, explanation.notes),
        _claims_sentence(explanation),
    )


def _difficulty_sentence(responses: ResponseExplanation | None, notes: tuple[str, ...]) -> str:
    if responses is None:
        why = [note.removeprefix(NO_DIFFICULTY) for note in notes if note.startswith(NO_DIFFICULTY)]
        return f"Difficulty depends on: unknown; {why[0] if why else 'answers of three models or more would show it'}."
    explained, table = responses.shares.explained, responses.shares.table
    if np.isnan(explained.point):
        return "Difficulty depends on: nothing that shows; the items differ in difficulty by no more than chance."
    clear = table[table["lower"] > 0].head(MOST_NAMED)
    shares = [f"{row.share:.0%} ({row.lower:.0%} to {row.upper:.0%})" for row in clear.itertuples()]
    named = listed_with_names(clear["dim"].tolist(), shares) or "no single demand clearly"
    bounds = "" if np.isnan(explained.lower) else f" ({explained.lower:.0%} to {explained.upper:.0%})"
    return (
        f"Difficulty depends on: {named}; all demands together explain {explained.point:.0%}{bounds} of the differences"
        f" in difficulty, and {_share(responses.held_out.unexplained)} stays unexplained on new items."
    )


def _claims_sentence(explanation: Explanation) -> str:
    claims, table = explanation.claims, explanation.demand.table.set_index("dim")
    if not claims.claimed:
        return "Claims: none given; --claims CODE,CODE says what the set should test."
    missed = claims.table.loc[claims.table["verdict"] == "missed", "dim"].tolist()
    if not missed:
        return f"Claims: all of {spelled(list(claims.claimed))} are tested."
    why = [f"mean level {table['mean'][dim]:.1f}, s.d. {table['sd'][dim]:.1f}" for dim in missed]
    return f"Claims but does not test: {listed_with_names(missed, why)} (a test has a mean of 2 and an s.d. of 1)."


def explanation_text(explanation: Explanation) -> str:
    """Lay an explanation out as tables, each under a line that says how to read it.

    Args:
        explanation: The explanation.

    Returns:
        Lines to print.
    """
    demand, effective = explanation.demand, explanation.structure.effective_dims
    levels = pd.DataFrame(demand.histogram.astype(int), columns=[f"n{step}" for step in range(6)])
    parts = [
        f"Demands of {counted(demand.n_items, 'item')} (n0 to n5: items at each level)",
        table_lines(named_dims(pd.concat([demand.table, levels], axis=1))),
        "dominant: items that demand no other dimension more. sensitive: a mean of 2 and an s.d. of 1 or more, so that",
        "the set has easy and hard items on this dimension.",
        f"\n{_dimensions(effective, len(demand.dims))}; dimensions that come together:",
        table_lines(_named_pairs(explanation.structure.pairs().head(MOST_PAIRS))),
        "both_high: share of items at level 3 or more on both; lift: how many times more often than if they were",
        "independent. Effects of dimensions that come together cannot be separated on these items.",
        *_claims_lines(explanation.claims),
    ]
    if explanation.contrast is not None:
        parts += ["\nAgainst the other set (difference of mean levels, interval over tasks):"]
        parts += [table_lines(named_dims(explanation.contrast.table))]
    if explanation.responses is not None:
        parts += _response_lines(explanation.responses)
    return "\n".join([*parts, *(f"\nnote: {note}" for note in explanation.notes)])


def _claims_lines(claims: ClaimCheck) -> list[str]:
    by_word = {word: claims.table.loc[claims.table["verdict"] == word, "dim"].tolist() for word in _VERDICTS}
    if not claims.claimed:
        return [f"\nSensitive to (mean >= 2, s.d. >= 1): {spelled(by_word['unclaimed']) or 'no dimension'}"]
    words = {"measured": "claimed and measured", "missed": "claimed, missed", "unclaimed": "measured, not claimed"}
    return ["", *(f"{text}: {spelled(by_word[word]) or '-'}" for word, text in words.items())]


def _response_lines(responses: ResponseExplanation) -> list[str]:
    shares = responses.shares
    noise = f"{min(shares.noise, 1.0):.0%}" if np.isfinite(shares.noise) else "an unknown part"
    return [
        f"\nDifficulty of {counted(shares.items, 'item')}: s.d. {shares.spread:.2f}"
        f" log-odds ({noise} of the observed"
        f" variance is noise, taken off); all demands explain {_words(shares.explained)} of it:",
        table_lines(named_dims(shares.table)),
        "share: of the differences in difficulty, shared out among the demands (adds up to the total); alone: what the",
        "demand explains by itself; slope: log-odds that one more level costs.",
        "\nShare of difficulty explained on items and tasks held out:",
        table_lines(responses.held_out.table),
        "Items: other items of known tasks; tasks: items of tasks that nothing was learnt from. At 0 or below (-1 is",
        "the lowest shown), the predictors explain nothing new.",
        f"Left unexplained by all of these on new items of these tasks: {_share(responses.held_out.unexplained)}.",
        f"\nModels differ by {responses.separation.general:.2f} log-odds (s.d.) in general ability, reliability"
        f" {responses.separation.reliability:.3f}; beyond it, by dimension:",
        *_separation_lines(responses.separation.table),
    ]


def _separation_lines(table: pd.DataFrame) -> list[str]:
    constant = table["spread"].isna()
    lines = [
        table_lines(named_dims(table[~constant])),
        "spread: by how much models differ (s.d. of log-odds) on items of this demand beyond their general ability;",
        "an interval that starts at 0 may be no difference at all.",
    ]
    names = spelled(table.loc[constant, "dim"].tolist())
    unknown = [f"No spread for {names}: the level hardly varies between these items."] if names else []
    return [*(lines if not constant.all() else []), *unknown]


def _dimensions(effective: Interval, count: int) -> str:
    if np.isnan(effective.point):
        return f"Effective number of dimensions unknown, since no level varies between the items, of {count}"
    return f"Effective number of dimensions {_words(effective)} of {count}"


def _share(share: float) -> str:
    return "unknown" if np.isnan(share) else f"{share:.0%}"


def _words(interval: Interval) -> str:
    if np.isnan(interval.point):
        return "an unknown part (nothing varies)"
    if np.isnan(interval.lower):
        return f"{interval.point:.2f} (no interval: too few tasks)"
    return f"{interval.point:.2f} ({interval.level:.0%} interval {interval.lower:.2f} to {interval.upper:.2f})"


def _named_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Put the names of both dimensions of each pair beside their codes."""
    return named_dims(named_dims(pairs), "other", "other_dimension")
