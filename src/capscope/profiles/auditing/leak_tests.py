"""Test for leaked items of all models and families, with the smallest detectable leak."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from capscope.axes import ModelFloats, ModelItem
from capscope.profiles.auditing.exposure import Exposure
from capscope.profiles.auditing.exposure_shifts import (
    AnsweredItems,
    NullDistribution,
    Shifts,
    expected_shares,
    known_shifts,
    leaked_shares,
    null_distribution,
)

LEAKS = np.array([0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
"""Leaked shares of all items at which power is computed, where exposure is unknown."""
FEWEST_MODELS = 8
"""Fewest models from which the distribution of clean models is estimated."""
FEWEST_ANSWERS = 10
"""Fewest answers of a model to exposed, and to other, items."""
LINEAR = 0.5
"""Negative leaks (a model worse than its peers) are returned unchanged down to minus this, and beyond shrink to -1."""


@dataclass(frozen=True)
class TestRates:
    """Error rate, power and interval level of a test."""

    __test__ = False
    alpha: float
    """Error rate of a single test, after correction for the number of tests."""
    power: float
    level: float


@dataclass(frozen=True)
class LeakTest:
    """Estimates of all models under one kind of evidence, with the distribution of clean models."""

    benchmark: str
    models: tuple[str, ...]
    cells: AnsweredItems
    exposure: Exposure
    shifts: Shifts
    law: NullDistribution
    families: dict[str, tuple[int, ...]]
    """Positions of the tested models of each family with two or more."""
    expected: tuple[Shifts, ...] | None = None
    """Expected estimates at each of `LEAKS`, where it is not known which items leaked."""

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
        unknown = exposure.exposed is None
        expected = tuple(expected_shares(cells, shifts.ability, float(leak)) for leak in LEAKS) if unknown else None
        return cls(benchmark, models, cells, exposure, shifts, null_distribution(shifts), grouped, expected)

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
        rows = self._rows(excess, self.shifts.se, self.law, rates).iloc[known]
        rows = rows.assign(subject=[self.models[place] for place in known], scope="model")
        parts = [rows, *(self._family(name, members, rates) for name, members in self.families.items())]
        return pd.concat(parts, ignore_index=True).assign(benchmark=self.benchmark, evidence=self.exposure.evidence)

    def _family(self, name: str, members: tuple[int, ...], rates: TestRates) -> pd.DataFrame:
        """Mean excess of a family, whose members' errors are correlated."""
        index = np.array(members)
        law = null_distribution(self.shifts, members)
        excess = float((self.shifts.estimate - law.center)[index].mean())
        noise = float(np.sqrt((self.shifts.influence[index].sum(0) ** 2).sum()) / len(index))
        shape = np.ones(len(self.models))
        rows = self._rows(excess * shape, noise * shape, law, rates).iloc[index]
        mean = rows.mean().to_frame().T.assign(items=rows["items"].max(), controls=rows["controls"].max())
        return mean.assign(subject=name, scope="family")

    def _rows(self, excess: ModelFloats, noise: ModelFloats, law: NullDistribution, rates: TestRates) -> pd.DataFrame:
        """Express shifts on the scale of scores and of leaked answers, model by model."""
        exposed = np.ones_like(self.cells.trials) if self.exposure.exposed is None else self.exposure.exposed
        trials = np.where(np.isnan(exposed), 0.0, self.cells.trials)
        exposed = np.nan_to_num(exposed)
        weight = trials * exposed
        count = np.maximum(weight.sum(1), 1e-12)
        clean = self.cells.chance(np.nan_to_num(self.shifts.ability), np.nan_to_num(law.center)[:, None] * exposed)
        clean = clean if self.expected is None else self.cells.chance(np.nan_to_num(self.shifts.ability))
        missed = (weight * (1 - clean)).sum(1) / count

        def gain(shift: ModelFloats) -> ModelFloats:
            # no mean score changes by more than 1; a gain without bound on items that do not count is 0
            gains = np.where(weight > 0, self._gain(shift, exposed, law), 0.0)
            return np.clip((weight * gains).sum(1) / count, -1, 1)

        score = (np.where(trials > 0, self.cells.right, 0.0) * exposed).sum(1) / count
        reach = norm.ppf((1 + rates.level) / 2) * np.hypot(noise, law.between)
        gained = gain(excess)
        columns = {
            "items": ((weight > 0) & (exposed > 0)).sum(1),
            "controls": ((trials > 0) & (exposed == 0)).sum(1),
            "score": score,
            "excess": gained,
            "lower": gain(excess - reach),
            "upper": gain(excess + reach),
            "corrected": np.clip(score - gained, 0, 1),
            "leak": np.clip(gained / np.maximum(missed, 1e-12), 0, 1),
            "p": law.p_value(excess, noise),
            "smallest_leak": np.minimum(gain(self._least(noise, law, rates)) / np.maximum(missed, 1e-12), 1.0),
        }
        return pd.DataFrame(columns)

    def _least(self, noise: ModelFloats, law: NullDistribution, rates: TestRates) -> ModelFloats:
        """Smallest shift that is detected with the given power."""
        reach = t.isf(rates.alpha, law.freedom) + norm.ppf(rates.power)
        if self.expected is None:
            return reach * np.hypot(noise, law.between)
        # a leak raises the estimated ability, at which the estimate has a larger variance
        stretched = np.stack([each.se for each in self.expected]) * noise / self.shifts.se
        enough = np.stack([each.estimate for each in self.expected]) >= reach * np.hypot(stretched, law.between)
        shares = np.where(enough.any(axis=0), LEAKS[enough.argmax(axis=0)], np.inf)
        return np.array([self._estimate(model, share) for model, share in enumerate(shares)])

    def _estimate(self, model: int, leak: float) -> float:
        """Expected estimate of one model where this share of the items leaked."""
        assert self.expected is not None, "asked of leaks of unknown items alone"
        return float(np.interp(leak, LEAKS, [each.estimate[model] for each in self.expected], right=np.inf))

    def _gain(self, shift: ModelFloats, exposed: ModelItem, law: NullDistribution) -> ModelItem:
        """Gain in the chance of success on each item for a given shift from a clean model's estimate."""
        ability = np.nan_to_num(self.shifts.ability)
        if self.expected is None:
            clean = self.cells.chance(ability, law.center[:, None] * exposed)
            return self.cells.chance(ability, (law.center + shift)[:, None] * exposed) - clean
        estimates = np.stack([each.estimate for each in self.expected])
        leak = np.array([_inverse(value, estimates[:, model]) for model, value in enumerate(shift)])
        return leak[:, None] * (1 - self.cells.chance(ability))


def _inverse(estimate: float, expected: np.ndarray) -> float:
    """Leak with this expected estimate; negative for negative estimates, and never below -1."""
    if not np.isfinite(estimate) or -LINEAR <= estimate < 0:
        return estimate
    if estimate < 0:
        return -1 + (1 - LINEAR) * float(np.exp((estimate + LINEAR) / (1 - LINEAR)))
    return float(np.interp(estimate, np.maximum.accumulate(expected), LEAKS))


def _enough(trials: ModelItem, exposed: ModelItem | None) -> np.ndarray:
    """Whether each model has enough answers: to exposed and to other items, where exposure is known."""
    if exposed is None:
        return trials.sum(1) >= FEWEST_ANSWERS
    known = np.where(np.isnan(exposed), 0.0, trials)
    suspected, others = (known * np.nan_to_num(exposed)).sum(1), (known * (1 - np.nan_to_num(exposed))).sum(1)
    return np.minimum(suspected, others) >= FEWEST_ANSWERS
