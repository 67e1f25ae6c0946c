"""An explanation as plain values for programs, and as tables for people."""

from typing import Any

import pandas as pd

from capscope.intervals import Interval
from capscope.profiles.claims import ClaimCheck
from capscope.profiles.explanation import Explanation, ResponseExplanation

MOST_PAIRS = 10
"""Pairs of dimensions that are printed."""


def interval_dict(interval: Interval) -> dict[str, float]:
    """Return an interval as plain values."""
    return {"point": interval.point, "lower": interval.lower, "upper": interval.upper}


def explanation_dict(found: Explanation) -> dict[str, Any]:
    """Return all of an explanation as plain values."""
    demand = found.demand
    result: dict[str, Any] = {
        "n_items": demand.n_items,
        "dims": demand.table.to_dict("records"),
        "histogram": {dim: demand.histogram[row].astype(int).tolist() for row, dim in enumerate(demand.dims)},
        "effective_dims": interval_dict(found.structure.effective_dims),
        "pairs": found.structure.pairs().to_dict("records"),
        "claims": _claims_dict(found.claims),
        "against": None if found.contrast is None else found.contrast.table.to_dict("records"),
        "responses": None if found.responses is None else _responses_dict(found.responses),
        "notes": list(found.notes),
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


def _responses_dict(found: ResponseExplanation) -> dict[str, Any]:
    return {
        "n_items": found.shares.items,
        "difficulty_sd": found.shares.spread,
        "noise_share": found.shares.noise,
        "explained": interval_dict(found.shares.explained),
        "shares": found.shares.table.to_dict("records"),
        "held_out": found.held_out.table.to_dict("records"),
        "text_adds": found.held_out.text_adds.to_dict("records"),
        "unexplained": found.held_out.unexplained,
        "general_spread": found.separation.general,
        "general_reliability": found.separation.reliability,
        "separation": found.separation.table.to_dict("records"),
    }


def explanation_text(found: Explanation) -> str:
    """Lay an explanation out as tables with a line of reading above each."""
    demand, effective = found.demand, found.structure.effective_dims
    levels = pd.DataFrame(demand.histogram.astype(int), columns=[f"n{step}" for step in range(6)])
    parts = [
        f"Demands of {demand.n_items} items (n0 to n5: items at each level)",
        _lines(pd.concat([demand.table, levels], axis=1)),
        f"\nEffective number of dimensions {_words(effective)} of {len(demand.dims)}; dimensions that come together:",
        _lines(found.structure.pairs().head(MOST_PAIRS)),
        *_claims_lines(found.claims),
    ]
    if found.contrast is not None:
        parts += ["\nAgainst the other set (difference of mean levels, interval over tasks):"]
        parts += [_lines(found.contrast.table)]
    if found.responses is not None:
        parts += _response_lines(found.responses)
    return "\n".join([*parts, *(f"\nnote: {note}" for note in found.notes)])


def _claims_lines(claims: ClaimCheck) -> list[str]:
    by_word = {word: claims.table.loc[claims.table["verdict"] == word, "dim"].tolist() for word in _VERDICTS}
    if not claims.claimed:
        return [f"\nSensitive to (mean >= 2, s.d. >= 1): {', '.join(by_word['unclaimed']) or 'no dimension'}"]
    words = {"measured": "claimed and measured", "missed": "claimed, missed", "unclaimed": "measured, not claimed"}
    return ["", *(f"{text}: {', '.join(by_word[word]) or '-'}" for word, text in words.items())]


def _response_lines(found: ResponseExplanation) -> list[str]:
    shares = found.shares
    return [
        f"\nDifficulty of {shares.items} items: s.d. {shares.spread:.2f} log-odds ({shares.noise:.0%} of the observed"
        f" variance is noise, taken off); all demands explain {_words(shares.explained)} of it:",
        _lines(shares.table),
        "\nShare of difficulty explained on items and tasks held out:",
        _lines(found.held_out.table),
        f"Nothing here explains {found.held_out.unexplained:.0%} on new items of these tasks.",
        f"\nModels differ by {found.separation.general:.2f} log-odds (s.d.) in general ability, reliability"
        f" {found.separation.reliability:.3f}; beyond it, by dimension:",
        _lines(found.separation.table),
    ]


def _lines(table: pd.DataFrame) -> str:
    return table.to_string(index=False, float_format=lambda number: f"{number:.3f}")


def _words(interval: Interval) -> str:
    return f"{interval.point:.2f} ({interval.level:.0%} interval {interval.lower:.2f} to {interval.upper:.2f})"
