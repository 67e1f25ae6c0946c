"""One test for leaked items over all models and families, and the smallest leak that it would have found."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from capscope.axes import ModelFloats, ModelItem
from capscope.profiles.auditing.exposure import Exposure
from capscope.profiles.auditing.exposure_shifts import (
    AnsweredItems,
    CleanLaw,
    Shifts,
    clean_law,
    known_shifts,
    leaked_shares,
)

FEWEST_MODELS = 8
"""Models needed to see how far clean ones differ."""
FEWEST_ANSWERS = 10
"""Answers that a model needs on either side."""


@dataclass(frozen=True)
class TestRates:
    """Levels at which a test decides, and states its power and intervals."""

    __test__ = False
    alpha: float
    """Chance that a clean model is taken for contaminated, after the correction for the number of tests."""
    power: float
    level: float


@dataclass(frozen=True)
class LeakTest:
    """Estimates of all models under one kind of evidence, beside what clean models show."""

    benchmark: str
    models: tuple[str, ...]
    cells: AnsweredItems
    exposure: Exposure
    shifts: Shifts
    law: CleanLaw
    families: dict[str, tuple[int, ...]]
    """Positions of the tested models of each family with two or more."""

    @classmethod
    def of(
        cls,
        benchmark: str,
        models: tuple[str, ...],
        cells: AnsweredItems,
        exposure: Exposure,
        families: dict[str, str],
    ) -> "LeakTest | None":
        """Estimate shifts of all models; None where too few have enough answers on either side.

        Args:
            benchmark: The suspected benchmark.
            models: Names on the model axis.
            cells: Answers and item curves.
            exposure: Which items may have leaked.
            families: Family by model.
        """
        shifts = leaked_shares(cells) if exposure.exposed is None else known_shifts(cells, exposure.exposed)
        shifts = shifts.only(_enough(cells.trials, exposure.exposed))
        known = np.isfinite(shifts.estimate)
        if known.sum() < FEWEST_MODELS:
            return None
        members: dict[str, list[int]] = {}
        for place in np.flatnonzero(known):
            if models[place] in families:
                members.setdefault(families[models[place]], []).append(int(place))
        grouped = {name: tuple(places) for name, places in members.items() if len(places) > 1}
        return cls(benchmark, models, cells, exposure, shifts, clean_law(shifts), grouped)

    @property
    def size(self) -> int:
        """Number of tests: tested models and families."""
        return int(np.isfinite(self.shifts.estimate).sum()) + len(self.families)

    def table(self, rates: TestRates) -> pd.DataFrame:
        """Return a row for each model and family.

        Args:
            rates: Level of the tests after correction, power, and coverage of the bounds.
        """
        known = np.flatnonzero(np.isfinite(self.shifts.estimate))
        excess = self.shifts.estimate - self.law.center
        rows = self._rows(excess, self.law.sd, rates).iloc[known]
        rows = rows.assign(subject=[self.models[place] for place in known], scope="model")
        parts = [rows, *(self._family(name, members, excess, rates) for name, members in self.families.items())]
        return pd.concat(parts, ignore_index=True).assign(benchmark=self.benchmark, evidence=self.exposure.evidence)

    def _family(self, name: str, members: tuple[int, ...], excess: ModelFloats, rates: TestRates) -> pd.DataFrame:
        """A family's mean excess; its members share answers to items, and stray from the others together."""
        index = np.array(members)
        noise = np.sqrt((self.shifts.influence[index].sum(0) ** 2).sum()) / len(index)
        sd = float(np.hypot(noise, self.law.spread))
        shared = np.where(np.isin(np.arange(len(excess)), index), float(excess[index].mean()), np.nan)
        rows = self._rows(shared, np.full(len(excess), sd), rates).iloc[index]
        mean = rows.mean().to_frame().T.assign(items=rows["items"].max(), controls=rows["controls"].max())
        return mean.assign(
            subject=name,
            scope="family",
            p=float(self.law.p_value(excess[index].mean(keepdims=True), np.array([sd]))[0]),
        )

    def _rows(self, excess: ModelFloats, sd: ModelFloats, rates: TestRates) -> pd.DataFrame:
        """Express shifts on the scale of scores and of leaked answers, model by model."""
        reach = norm.ppf((1 + rates.level) / 2) * sd
        least = self.law.least_shift(sd, rates.alpha, rates.power)
        exposed = np.ones_like(self.cells.trials) if self.exposure.exposed is None else self.exposure.exposed
        trials = np.where(np.isnan(exposed), 0.0, self.cells.trials)
        exposed = np.nan_to_num(exposed)
        weight = trials * exposed
        count = np.maximum(weight.sum(1), 1e-12)
        clean = self._chance(np.zeros_like(excess), exposed)
        missed = (weight * (1 - clean)).sum(1) / count

        def gain(shift: ModelFloats) -> ModelFloats:
            return (weight * (self._chance(shift, exposed) - clean)).sum(1) / count

        score = (np.where(trials > 0, self.cells.right, 0.0) * exposed).sum(1) / count
        gained = gain(excess)
        columns = {
            "items": ((weight > 0) & (exposed > 0)).sum(1),
            "controls": ((trials > 0) & (exposed == 0)).sum(1),
            "score": score,
            "excess": gained,
            "lower": gain(excess - reach),
            "upper": gain(excess + reach),
            "corrected": np.clip(score - gained, 0, 1),
            "leak": np.clip(gained / missed, 0, 1),
            "p": self.law.p_value(excess, sd),
            "smallest_leak": gain(least) / missed,
        }
        return pd.DataFrame(columns)

    def _chance(self, shift: ModelFloats, exposed: ModelItem) -> ModelItem:
        """Chances of models whose estimate lies this far from that of a clean one."""
        ability = np.nan_to_num(self.shifts.ability)
        if self.exposure.exposed is None:
            chance = self.cells.chance(ability)
            return chance + shift[:, None] * (1 - chance)
        return self.cells.chance(ability, (self.law.center + shift)[:, None] * exposed)


def _enough(trials: ModelItem, exposed: ModelItem | None) -> np.ndarray:
    """Whether each model has enough answers, on either side where items are singled out."""
    if exposed is None:
        return trials.sum(1) >= FEWEST_ANSWERS
    known = np.where(np.isnan(exposed), 0.0, trials)
    suspected, others = (known * np.nan_to_num(exposed)).sum(1), (known * (1 - np.nan_to_num(exposed))).sum(1)
    return np.minimum(suspected, others) >= FEWEST_ANSWERS
