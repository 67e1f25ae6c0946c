"""Gate a release: may the candidate replace the baseline? One look at the data, or several as data grow.

With several looks, the error rate is spent a little at each one. Bounds follow the spending function of O'Brien and
Fleming's shape (Lan & DeMets, 1983), found by recursive integration over the looks before (Armitage, McPherson & Rowe,
1969).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.integrate import trapezoid
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr, ndtri

from capscope.data import Study, checked_columns, read_table
from capscope.decide.difference import FEWEST_CLUSTERS, Difference, PairedDifferences
from capscope.decide.verdicts import ScopeClaim, Verdict, claims, detectable_difference, further_answers, verdict_of
from capscope.decide.version_answers import VersionAnswers, planned_draw
from capscope.errors import InputError

GRID = 801
"""Points on which the distribution of the score is carried from look to look."""

WIDEST = 8.0
"""Bound in standard deviations at a look that may spend next to nothing."""


def spent_alpha(fraction: float, alpha: float) -> float:
    """Two-sided error rate that may be spent once this share of the information is in.

    Args:
        fraction: Share of the planned information, from 0 to 1.
        alpha: Error rate over all looks.
    """
    if fraction <= 0:
        return 0.0
    return float(2 * ndtr(-ndtri(1 - alpha / 2) / np.sqrt(min(fraction, 1.0))))


def look_quantiles(fractions: Sequence[float], alpha: float = 0.05) -> list[float]:
    """Half-widths, in standard errors, of the interval at each look, such that all cover together.

    Args:
        fractions: Share of the planned information at each look, increasing, the last at most 1.
        alpha: Chance that any of the intervals misses.

    Raises:
        InputError: The shares do not increase from above 0 to at most 1.
    """
    share = np.asarray(fractions, float)
    if not len(share) or share[0] <= 0 or (np.diff(share) <= 0).any() or share[-1] > 1 + 1e-9:
        raise InputError("looks need shares of the planned answers that increase to at most 1, such as 0.5 1")
    bounds: list[float] = []
    grid = density = np.zeros(0)
    spent = 0.0
    for number, now in enumerate(share):
        target = spent_alpha(float(now), alpha)
        step = now - (share[number - 1] if number else 0.0)
        crossing = _crossing(grid, density, float(step), float(np.sqrt(now)))
        bound = _bound(crossing, target - spent)
        spent += crossing(bound)
        bounds.append(bound)
        grid, density = _carried(grid, density, float(step), bound * float(np.sqrt(now)))
    return bounds


def _bound(crossing: Callable[[float], float], increment: float) -> float:
    if crossing(WIDEST) >= increment:
        return WIDEST
    return float(brentq(lambda bound: crossing(bound) - increment, 0.0, WIDEST, xtol=1e-8))


def _crossing(grid: np.ndarray, density: np.ndarray, step: float, scale: float) -> Callable[[float], float]:
    """Chance of having stayed inside before and of crossing a bound at this look, as a function of the bound."""

    def chance(bound: float) -> float:
        edge = bound * scale
        if not len(grid):
            return float(2 * ndtr(-edge / np.sqrt(step)))
        above = np.exp(log_ndtr((grid - edge) / np.sqrt(step)))
        below = np.exp(log_ndtr((-edge - grid) / np.sqrt(step)))
        return float(trapezoid(density * (above + below), grid))

    return chance


def _carried(grid: np.ndarray, density: np.ndarray, step: float, edge: float) -> tuple[np.ndarray, np.ndarray]:
    """Density of the score at this look on the paths that stayed inside all bounds."""
    new = np.linspace(-edge, edge, GRID)
    if not len(grid):
        return new, np.exp(-0.5 * new**2 / step) / np.sqrt(2 * np.pi * step)
    kernel = np.exp(-0.5 * (new[:, None] - grid[None]) ** 2 / step) / np.sqrt(2 * np.pi * step)
    return new, trapezoid(kernel * density, grid, axis=1)


Scope = Literal["benchmark", "task", "demand"]

HIGH_DEMAND = 3.0
"""Demand level from which on an item counts as demanding."""

FEWEST_IN_SCOPE = 10
"""Answers under which a scope is left out of the list."""


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """How a release is decided."""

    margin: float = 0.01
    """Largest loss of the mean score that is acceptable, as a share (0.01 is one point)."""
    level: float = 0.95
    """Coverage of the intervals; a false hold and a false ship each have half the rest."""
    per: tuple[Scope, ...] = ("benchmark",)
    """By what losses and gains are listed."""
    correction: Literal["holm", "bh"] = "holm"
    """How the list is corrected for its length: any false claim, or the share of false ones."""
    fixed: bool = False
    """Whether another run would give the same answers, as at temperature 0; verdicts then rest on this suite alone."""
    look: int = 1
    """Which look at the data this is."""
    looks: int = 1
    """Number of looks planned, at even steps."""

    def __post_init__(self) -> None:
        """Refuse settings out of range.

        Raises:
            InputError: A number out of range.
        """
        if not 0 <= self.margin < 1:
            raise InputError(f"margin {self.margin:g} is no share of the score; give 0 to 1, such as 0.01 or 1pp")
        if not 0 < self.level < 1:
            raise InputError(f"level {self.level:g} is no coverage; give a number between 0 and 1, such as 0.95")
        if not 1 <= self.look <= self.looks:
            raise InputError(f"look {self.look} of {self.looks}: a look lies between 1 and the number of looks")

    @property
    def quantile(self) -> float:
        """Half-width of this look's interval in standard errors."""
        if self.looks == 1:
            return float(ndtri(0.5 + self.level / 2))
        return look_quantiles([number / self.looks for number in range(1, self.look + 1)], 1 - self.level)[-1]


@dataclass(frozen=True)
class GateResult:
    """The decision on a release and what it rests on; shares of the score throughout."""

    baseline: str
    """The version in use."""
    candidate: str
    """The version that may replace it."""
    verdict: Verdict
    """`ship`, `hold` or `undecided`."""
    difference: Difference
    """Candidate less baseline."""
    settings: GateSettings
    """How it was decided."""
    more_answers: int | None
    """Further answers that would settle it; 0 where it is settled, None where the whole suite would not."""
    claims: tuple[ScopeClaim, ...]
    """Losses and gains by benchmark, task or demand."""
    n_past: int
    """Past models that helped."""
    warnings: tuple[str, ...] = field(default=())
    """What limits the decision."""

    @property
    def lower(self) -> float:
        """Lower bound of the difference on this suite."""
        return self.difference.interval(self.settings.quantile)[0]

    @property
    def upper(self) -> float:
        """Upper bound of the difference on this suite."""
        return self.difference.interval(self.settings.quantile)[1]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        found, settings = self.difference, self.settings
        again = found.interval(settings.quantile, found.redrawn_se)
        new_items = found.new_items_interval(settings.quantile, (1 - settings.level) / 2)
        return {
            "verdict": self.verdict,
            "baseline": self.baseline,
            "candidate": self.candidate,
            "difference": found.estimate,
            "lower": self.lower,
            "upper": self.upper,
            "another_run": {"lower": again[0], "upper": again[1]},
            "new_items": {"lower": new_items[0], "upper": new_items[1]},
            "margin": settings.margin,
            "level": settings.level,
            "look": settings.look,
            "looks": settings.looks,
            "n_answers": found.n_answers,
            "n_items": found.n_items,
            "effective_answers": found.effective_answers,
            "detectable_difference": detectable_difference(found, settings.quantile),
            "more_answers": self.more_answers,
            "past_models": self.n_past,
            "by": {claim.scope: {k: v for k, v in asdict(claim).items() if k != "scope"} for claim in self.claims},
            "warnings": list(self.warnings),
        }

    def __repr__(self) -> str:
        """The decision in one line."""
        points = f"{100 * self.difference.estimate:+.1f} points ({100 * self.lower:+.1f} to {100 * self.upper:+.1f})"
        return f"GateResult({self.verdict}: {self.candidate} against {self.baseline}, {points})"


def gate(
    study: Study | Path | str,
    baseline: str,
    candidate: str,
    settings: GateSettings | None = None,
    chance: pd.Series | None = None,
) -> GateResult:
    """Decide whether a candidate may replace a baseline.

    Args:
        study: Responses of both and of past models; a study or its folder.
        baseline: The version in use; best with answers to the whole suite.
        candidate: The version that may replace it, with answers to some or all of its items.
        settings: Margin, level, looks and scopes.
        chance: Chance of each item to be drawn for the candidate, by item id; None for even draws.

    Raises:
        InputError: A model is not in the study, too few items were answered by both, or an answered item has no chance.
    """
    settings = settings or GateSettings()
    study = study if isinstance(study, Study) else Study.load(study)
    answers = VersionAnswers.of(study, baseline, candidate)
    share = None if chance is None else _chances(answers, chance)
    pairs = PairedDifferences.of(answers, share)
    difference = pairs.over()
    scopes = list(_scopes(answers, settings, pairs))
    found = tuple(claims(scopes, settings.quantile, 1 - settings.level, settings.correction))
    return GateResult(
        baseline,
        candidate,
        verdict_of(difference, settings.quantile, settings.margin, settings.fixed),
        difference,
        settings,
        further_answers(difference, settings.quantile, settings.margin, settings.fixed),
        found,
        len(answers.past_score),
        tuple(_warnings(answers, difference)),
    )


def plan_gate(study: Study | Path | str, baseline: str, size: int, seed: int = 0) -> pd.DataFrame:
    """Draw the items that a candidate should answer, by how often models like the baseline differ from it on them.

    Args:
        study: Responses of the baseline to the whole suite and of past models; a study or its folder.
        baseline: The version in use.
        size: Number of items.
        seed: Seed of the draw.

    Returns:
        Columns `item_id`, `draw_chance` and `weight` (items that each stands for).

    Raises:
        InputError: The baseline is not in the study, or more items are asked for than it answered.
    """
    study = study if isinstance(study, Study) else Study.load(study)
    answers = VersionAnswers.of_baseline(study, baseline)
    drawn, chance = planned_draw(answers, size, np.random.default_rng(seed))
    ids = [answers.items[row] for row in drawn]
    return pd.DataFrame({"item_id": ids, "draw_chance": chance[drawn], "weight": 1 / chance[drawn]})


def draw_chances(path: Path | str) -> pd.Series:
    """Read the table of `plan_gate` that named the candidate's items.

    Returns:
        The chance of each item to be drawn, by item id.

    Raises:
        InputError: The file cannot be read, or its columns are not those of a draw.
    """
    table = checked_columns(
        read_table(Path(path)),
        str(path),
        names=["item_id"],
        numbers={"draw_chance": (1e-12, 1.0)},
        remedy="make the file with 'capscope gate plan'",
    )
    return table.set_index("item_id")["draw_chance"]


def _chances(answers: VersionAnswers, chance: pd.Series) -> Float[np.ndarray, " item"]:
    aligned = chance.reindex(list(answers.items)).to_numpy(dtype=float)
    missing = [answers.items[row] for row in answers.paired if not aligned[row] > 0]
    if missing:
        raise InputError(
            f"the draw names no chance for item '{missing[0]}' that was answered; give the file it came from"
        )
    return np.where(np.isnan(aligned), 1.0, aligned)


def _scopes(
    answers: VersionAnswers, settings: GateSettings, pairs: PairedDifferences
) -> Iterator[tuple[str, Difference]]:
    for name, part in _parts(answers, settings.per):
        if part[pairs.answered].sum() >= FEWEST_IN_SCOPE:
            yield name, pairs.over(part)


def _parts(answers: VersionAnswers, per: tuple[Scope, ...]) -> Iterator[tuple[str, Bool[np.ndarray, " item"]]]:
    """Items of each benchmark, task or demand band."""
    for scope in per:
        if scope == "demand":
            yield from _demand_parts(answers)
            continue
        label = answers.labels[scope].to_numpy()
        for value in sorted(set(label)):
            yield f"{scope} {value}", label == value


def _demand_parts(answers: VersionAnswers) -> Iterator[tuple[str, Bool[np.ndarray, " item"]]]:
    if answers.demand is None:
        raise InputError("losses by demand need demand levels; make them with 'capscope annotate', or leave demand out")
    level = answers.demand.at(answers.items)
    for column, dim in enumerate(answers.demand.dims):
        high = np.nan_to_num(level[:, column], nan=-1.0) >= HIGH_DEMAND
        yield f"demand {dim} {HIGH_DEMAND:g} or more", high


def _warnings(answers: VersionAnswers, difference: Difference) -> Iterator[str]:
    if not answers.complete:
        yield "the baseline has not answered the whole suite: only items that both answered tell of the difference"
    if not len(answers.past_score):
        yield "no past models: answers of earlier models to this suite would make the interval narrower"
    if difference.clusters < FEWEST_CLUSTERS:
        yield f"the answers stem from {difference.clusters} tasks: how new tasks differ is hardly known"
