"""Plan of an evaluation: numbers of answers, runs, prompts, judges and labels that show a difference, and their cost.

Costs are estimated from those of past answers.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.axes import Float
from capscope.data import Study
from capscope.decide.gate_evaluation import Design
from capscope.decide.judge_correction import judge_scores
from capscope.decide.planning.designs import (
    EvaluationPrices,
    RankAgreement,
    StudyDesign,
    best_runs,
    cheapest_designs,
    design_rows,
    detectable_by,
    rank_agreements,
    spread_or_repeat,
)
from capscope.decide.planning.power import PowerSettings, SimulatedPower, simulate_power
from capscope.decide.planning.score_variance import VarianceComponents, variance_components
from capscope.display import html_table
from capscope.errors import InputError

EFFECTS = (0.01, 0.02, 0.03, 0.05)
"""Differences whose power is listed, as shares."""

SPREAD, TIMES = 200, 4
"""The plan compares `SPREAD` items once with `SPREAD / TIMES` items `TIMES` times."""


DRAWS = 1000
"""Number of draws for an interval of the cost."""

LEVEL = 0.8
"""Coverage of the intervals of costs."""


@dataclass(frozen=True)
class ExpectedCost:
    """Expected cost of a number of answers of a new model."""

    answers: int
    """Number of answers."""
    usd: float
    """Expected cost in dollars."""
    lower: float
    """Lower bound of an 80 % interval over models and items."""
    upper: float
    """Upper bound."""

    def as_dict(self) -> dict[str, float | int]:
        """Return plain values."""
        return {"answers": self.answers, "usd": self.usd, "usd_lower": self.lower, "usd_upper": self.upper}


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """Settings of a plan."""

    difference: float = 0.02
    """Difference between two models to be detected, as a share of the score."""
    power: float = 0.8
    """Probability to detect it."""
    level: float = 0.95
    """Coverage of the intervals."""
    precision: float | None = None
    """Wanted half-width of the interval of the difference, as a share; None for none."""
    baseline: str | None = None
    """Version in use, whose pairs are simulated; by default all pairs of models with similar scores."""
    fixed: bool = False
    """Whether another run would give the same answers, as at temperature 0."""
    design: Design = "flips"
    """How items are drawn: `flips`, by the probability that the versions' answers differ, or `even`."""
    prices: EvaluationPrices | None = None
    """Unit costs; None for those of past answers, or 1 per answer where there are none."""
    truth: str = "human"
    """Judge whose scores are the truth, where the study has several judges."""
    label_width: float = 0.06
    """Wanted width of judge-corrected scores, as a share."""
    runs: int = 200
    """Number of simulated decisions for each number of answers."""
    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self) -> None:
        """Validate the settings.

        Raises:
            InputError: A number out of range.
        """
        if not 0 < self.difference < 1:
            raise InputError(f"difference {self.difference:g} is no share of the score; give 0 to 1, such as 0.02")
        if self.precision is not None and not 0 < self.precision < 1:
            raise InputError(f"precision {self.precision:g} is no share of the score; give 0 to 1, such as 0.03")
        for name, value in (("power", self.power), ("level", self.level)):
            if not 0.5 <= value < 1:
                raise InputError(f"{name} {value:g}: give a number from 0.5 to 1, such as 0.8")


@dataclass(frozen=True)
class EvaluationPlan:
    """Plan for a given difference: power, variance components, designs, costs and labels."""

    settings: PlanSettings
    """Settings of the plan."""
    power: SimulatedPower | None
    """Simulated power; None where the study has no suitable pairs of models."""
    components: VarianceComponents
    """Variance components of single scores."""
    designs: tuple[StudyDesign, ...]
    """Designs that detect the difference on new items, the cheapest first."""
    runs: int | None
    """Optimal number of runs of each question; None where run and item variance are confounded."""
    sentence: str
    """Comparison of more items with more runs, in a sentence."""
    ranks: tuple[RankAgreement, ...]
    """Agreement of rankings over draws of items, tasks, prompts and judges."""
    costs: tuple[ExpectedCost, ...]
    """Expected costs by number of answers; empty where none are known."""
    labels: dict[str, int]
    """Number of further labels of each model for the wanted width of judge-corrected scores; empty without judges."""
    notes: tuple[str, ...]
    """Limitations of the plan, one line each."""

    @property
    def answers(self) -> int | None:
        """Number of answers of a candidate that detects the difference; None where the whole suite does not."""
        return None if self.power is None else self.power.answers_for(self.settings.difference, self.settings.power)

    def size_rows(self) -> list[dict[str, float | int]]:
        """Power at several differences, detectable difference and half-width, for each simulated number of answers."""
        if self.power is None:
            return []
        power, quantile, wanted = self.power, self.power.quantile, self.settings.power
        rows: list[dict[str, float | int]] = []
        for size in power.sizes:
            row: dict[str, float | int] = {"answers": size.answers}
            row |= {f"power_{100 * effect:g}pp": power.power_at(size.answers, effect) for effect in EFFECTS}
            row["detectable_pp"] = 100 * size.detectable(quantile, wanted)
            paired = float(np.mean(size.paired_error**2))
            row["paired_detectable_pp"] = 100 * detectable_by(paired / 2, self.settings.level, wanted)
            row["half_width_pp"] = 100 * size.half_width(quantile)
            rows.append(row)
        return rows

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        settings, power = self.settings, self.power
        precision = None
        if power is not None and settings.precision is not None:
            precision = power.answers_for_precision(settings.precision)
        return {
            "difference": settings.difference,
            "power": settings.power,
            "level": settings.level,
            "precision": settings.precision,
            "answers": self.answers,
            "answers_for_precision": precision,
            "n_items": self.components.n_items if power is None else power.n_items,
            "pairs": 0 if power is None else power.n_pairs,
            "sizes": self.size_rows(),
            "components": [asdict(component) for component in self.components.components],
            "designs": list(design_rows(self.designs)),
            "runs": self.runs,
            "sentence": self.sentence,
            "rank_agreement": [agreement.as_dict() for agreement in self.ranks],
            "costs": [cost.as_dict() for cost in self.costs],
            "labels": self.labels,
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        """The plan in one line."""
        wanted = f"{100 * self.settings.difference:g} points at power {self.settings.power:.0%}"
        return f"EvaluationPlan({wanted}: {self.answers or 'more than all'} answers)"

    def _repr_html_(self) -> str:
        import pandas as pd

        return html_table("Power by number of answers", pd.DataFrame(self.size_rows()), self.sentence)


def plan_evaluation(
    study: Study | Path | str, settings: PlanSettings | None = None, workers: int = 1
) -> EvaluationPlan:
    """Plan an evaluation from the answers of past models.

    Args:
        study: Responses of past models; a study or its folder.
        settings: Wanted difference, power, precision, prices.
        workers: Number of processes.

    Returns:
        Power by number of answers, shares of variance, and designs with their prices.

    Raises:
        InputError: The study has too few models or items.
    """
    settings = settings or PlanSettings()
    study = study if isinstance(study, Study) else Study.load(study)
    rng = np.random.default_rng(settings.seed)
    components = variance_components(study, rng)
    power, notes = _simulated(study, settings, workers)
    prices = settings.prices or _known_prices(study)
    designs = cheapest_designs(components, settings.difference, settings.level, settings.power, prices)
    answers = None if power is None else power.answers_for(settings.difference, settings.power)
    sizes = {size.answers for size in power.sizes} if power else {components.n_items}
    price = settings.prices.answer if settings.prices else None
    labels, label_notes = _labels(study, settings)
    return EvaluationPlan(
        settings,
        power,
        components,
        designs,
        best_runs(components, prices),
        spread_or_repeat(components, SPREAD, TIMES, settings.level, settings.power),
        rank_agreements(study, rng, answers),
        expected_costs(study, tuple(sorted(sizes | ({answers} if answers else set()))), rng, price),
        labels,
        (*notes, *_design_notes(designs, settings), *components.notes, *label_notes),
    )


def _known_prices(study: Study) -> EvaluationPrices:
    known = usd_by_model(study)
    return EvaluationPrices(answer=float(np.mean([of.mean() for of in known]))) if known else EvaluationPrices()


def _simulated(study: Study, settings: PlanSettings, workers: int) -> tuple[SimulatedPower | None, tuple[str, ...]]:
    wanted = PowerSettings(
        difference=settings.difference,
        power=settings.power,
        level=settings.level,
        fixed=settings.fixed,
        design=settings.design,
        baseline=settings.baseline,
        runs=settings.runs,
        seed=settings.seed,
    )
    try:
        power = simulate_power(study, wanted, workers)
    except InputError as error:
        if settings.baseline is not None:
            raise
        return None, (f"power is not simulated: {error}",)
    if power.answers_for(settings.difference, settings.power) is not None:
        return power, ()
    least = 100 * power.sizes[-1].detectable(power.quantile, settings.power)
    repeat = "" if settings.fixed else ", or state --fixed where another run gives the same answers"
    return power, (
        f"all {power.n_items} items show {least:.1f} points and no less: add items{repeat}, or ask for less power",
    )


def _design_notes(designs: tuple[StudyDesign, ...], settings: PlanSettings) -> tuple[str, ...]:
    if designs:
        return ()
    wanted = f"{100 * settings.difference:g} points"
    return (f"no design shows {wanted} on new items: prompts, judges or runs differ by more; ask for less",)


def _labels(study: Study, settings: PlanSettings) -> tuple[dict[str, int], tuple[str, ...]]:
    """Number of further labels of each model, and why some models have none."""
    responses = study.require("responses")
    if "judge" not in responses or responses["judge"].nunique() < 2:
        return {}, ()
    judges = set(responses["judge"].astype(str))
    if settings.truth not in judges:
        return {}, (f"no judge '{settings.truth}' gives the truth: labels are not planned",)
    scores = judge_scores(study, settings.truth, width=settings.label_width, level=settings.level)
    labels = {model.model: model.further_labels for model in scores.scores if model.further_labels is not None}
    refused = [model.model for model in scores.scores if model.refused]
    if refused:
        return labels, (f"labels of {len(refused)} models do not carry a correction yet: see 'capscope judge score'",)
    return labels, ()


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

    The interval is one for another model, whose answers may be shorter or longer, on similar items: a model is drawn
    among those with known costs, then a total over answers of that model.

    Args:
        study: Responses with a column `usd` where costs are known.
        answers: Numbers of answers.
        rng: Source of the draws.
        price: Dollars for one answer; replaces the known costs.
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
