"""What answers cost, from the costs that past answers had."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from capscope.data import Study

DRAWS = 1000
"""Runs that are drawn for an interval."""

LEVEL = 0.8
"""Coverage of the intervals of costs."""


@dataclass(frozen=True)
class ExpectedCost:
    """Dollars for a number of answers of a model like those before."""

    answers: int
    """Answers."""
    usd: float
    """Expected cost in dollars."""
    lower: float
    """Lower bound of an 80 % interval over models and items."""
    upper: float
    """Upper bound."""

    def as_dict(self) -> dict[str, float | int]:
        """Return plain values."""
        return {"answers": self.answers, "usd": self.usd, "usd_lower": self.lower, "usd_upper": self.upper}


def usd_by_model(study: Study) -> tuple[Float[np.ndarray, " row"], ...]:
    """Known costs of each model's answers; empty where none are known."""
    responses = study.require("responses")
    if "usd" not in responses:
        return ()
    known = responses[["model", "usd"]].dropna()
    trials = responses["n_trials"].reindex(known.index) if "n_trials" in responses else pd.Series(1.0, known.index)
    usd = known["usd"].astype(float) / trials.astype(float)
    return tuple(of.to_numpy() for _, of in usd.groupby(known["model"].astype(str), sort=True))


def expected_costs(
    study: Study, answers: tuple[int, ...], rng: np.random.Generator, price: float | None = None
) -> tuple[ExpectedCost, ...]:
    """Expected costs of several numbers of answers, with intervals.

    Bounds hold for another model, which may be terser or wordier, on items like these: a model is drawn among those
    with known costs, and the total of that many of its answers.

    Args:
        study: Responses with a column `usd` where costs are known.
        answers: Numbers of answers.
        rng: Source of the draws.
        price: Dollars for one answer; takes the place of the known costs.
    """
    if price is not None:
        return tuple(ExpectedCost(many, many * price, many * price, many * price) for many in answers)
    known = usd_by_model(study)
    if not known:
        return ()
    mean = float(np.mean([of.mean() for of in known]))
    result: list[ExpectedCost] = []
    for many in answers:
        chosen = rng.integers(len(known), size=DRAWS)
        centre = np.array([of.mean() for of in known])[chosen] * many
        spread = np.array([of.std() for of in known])[chosen] * np.sqrt(many)
        total = np.maximum(centre + spread * rng.standard_normal(DRAWS), 0.0)
        lower, upper = np.quantile(total, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        result.append(ExpectedCost(many, many * mean, float(lower), float(upper)))
    return tuple(result)
