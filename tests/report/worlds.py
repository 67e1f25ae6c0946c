"""A small simulated world for the tests of the report."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from capscope.data import Demands, LevelCounts, Study
from capscope.fit import CurvePosterior, CurveWorld, Fit, fit_curves, simulate_counts
from capscope.predict import Predictions, predict_from_curves
from capscope.profiles import AbilityProfiles, DemandProfile, ability_profiles, demand_profile
from capscope.report import ItemPart, PageSource, Provenance, Summary, summarize

DIMS = ("QLl", "AS", "XX", "KNf")
"""Three codes of the general set, not in its order, and one that it lacks."""
DEMANDS = [[1, 0, 2, 0], [3, 1, 0, 0], [0, 0, 0, 0], [0, 5, 1, 0], [2, 2, 0, 4], [0, 3, 0, 3]]
PROVENANCE = Provenance(
    title="A small world",
    source="simulated",
    capscope_version="9.9",
    versions={"python": "3.11"},
    seed=3,
    engine="laplace",
    inputs={"counts.csv": "ab" * 32},
    notes=("Nothing here is real.",),
)


@dataclass(frozen=True)
class World:
    """All that a report is made of."""

    fit: Fit[CurvePosterior]
    profiles: AbilityProfiles
    predictions: Predictions
    demands: DemandProfile
    items: pd.DataFrame

    def source(self, focus_model: str | None = None, study: Study | None = None) -> PageSource:
        part = ItemPart(predictions=self.predictions, demands=self.demands, items=self.items)
        return PageSource(fit=self.fit, part=part, focus_model=focus_model, study=study, provenance=PROVENANCE)

    def summary(self, focus_model: str | None = None, study: Study | None = None) -> Summary:
        return summarize(self.source(focus_model, study))


def counts_of(n_models: int = 5) -> LevelCounts:
    n = np.full((n_models, len(DIMS), 6), 60.0)
    n[:, 1, 5] = 0
    n[0, 0] = 0
    drawn, _ = simulate_counts(n, CurveWorld(residual_sd=0.8), np.random.default_rng(7))
    return LevelCounts(drawn.models, DIMS, drawn.n, drawn.correct)


def small_world(counts: LevelCounts, text: str = "How many?") -> World:
    fit = fit_curves(counts, draws=100)
    ids = tuple(f"q{number}" for number in range(len(DEMANDS)))
    matrix = Demands(ids, counts.dims, np.array(DEMANDS, dtype=float))
    predictions = predict_from_curves(fit.posterior, matrix, np.random.default_rng(1))
    items = pd.DataFrame({"item_id": ids, "text": [f"{text} {name}" for name in ids]})
    return World(fit, ability_profiles(fit.posterior), predictions, demand_profile(matrix), items)
