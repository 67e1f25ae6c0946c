"""Settings of a release decision: interim analyses (looks) of growing data, and margins of single benchmarks.

With several looks, the error rate is divided over them by the O'Brien-Fleming-type spending function (Lan & DeMets,
1983); bounds are computed by recursive integration over the earlier looks (Armitage, McPherson & Rowe, 1969).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri

from capscope.decide.difference import Difference, PairedDifferences
from capscope.decide.verdicts import Verdict, verdict_of
from capscope.decide.version_answers import VersionAnswers
from capscope.errors import InputError, nearest

Scope = Literal["benchmark", "task", "demand"]

GRID = 801
"""Number of grid points for the distribution of the test statistic at a look."""

WIDEST = 8.0
"""Largest bound, in standard deviations, for a look with nearly no error rate to spend."""

FEWEST_IN_SCOPE = 10
"""Answers under which a scope is left out of the list."""


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """How a release is decided."""

    margin: float = 0.01
    """Largest loss of the mean score that is acceptable, as a share (0.01 is one point)."""
    margins: tuple[tuple[str, float], ...] = ()
    """Largest acceptable loss on single benchmarks, as shares; each must hold for a release to ship."""
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
        """Validate the settings.

        Raises:
            InputError: A number out of range.
        """
        for margin in (self.margin, *(margin for _, margin in self.margins)):
            if not 0 <= margin < 1:
                raise InputError(f"margin {margin:g} is no share of the score; give 0 to 1, such as 0.01 or 1pp")
        if not 0 < self.level < 1:
            raise InputError(f"level {self.level:g} is no coverage; give a number between 0 and 1, such as 0.95")
        if not 1 <= self.look <= self.looks:
            raise InputError(f"look {self.look} of {self.looks}: a look lies between 1 and the number of looks")

    @property
    def quantile(self) -> float:
        """Half-width of this look's interval in standard errors."""
        return self.quantile_of(1)

    def quantile_of(self, tests: int) -> float:
        """Half-width of this look's interval in standard errors, corrected for a number of tests."""
        alpha = (1 - self.level) / tests
        if self.looks == 1:
            return float(ndtri(1 - alpha / 2))
        return look_quantiles([number / self.looks for number in range(1, self.look + 1)], alpha)[-1]


@dataclass(frozen=True)
class BenchmarkMargin:
    """Decision on one benchmark with its own margin."""

    benchmark: str
    """The benchmark."""
    margin: float
    """Largest acceptable loss, as a share."""
    verdict: Verdict
    """`ship`, `hold` or `undecided`; undecided too with fewer than ten answers."""
    difference: float | None
    """Candidate minus baseline, from -1 to 1; None with fewer than ten answers."""
    lower: float | None
    """Lower bound."""
    upper: float | None
    """Upper bound."""
    n_answers: int
    """Items that both answered."""


def joint_verdict(difference: Difference, settings: GateSettings, margins: tuple[BenchmarkMargin, ...]) -> Verdict:
    """Combine the verdicts of all margins: `ship` if all ship, `hold` if one holds after correction for their number.

    Shipping is an intersection-union test, so its error rate is that of one test (Berger, 1982).

    Args:
        difference: Difference on the whole suite.
        settings: Margin of the suite, error rates and looks.
        margins: Verdicts on single benchmarks.

    Returns:
        The verdict.
    """
    whole = verdict_of(difference, settings.quantile, settings.margin, settings.fixed)
    strict = verdict_of(difference, settings.quantile_of(1 + len(margins)), settings.margin, settings.fixed)
    if strict == "hold" or any(margin.verdict == "hold" for margin in margins):
        return "hold"
    shipped = whole == "ship" and all(margin.verdict == "ship" for margin in margins)
    return "ship" if shipped else "undecided"


def benchmark_margins(
    answers: VersionAnswers, settings: GateSettings, pairs: PairedDifferences
) -> Iterator[BenchmarkMargin]:
    """Decide on each benchmark with its own margin.

    Args:
        answers: Answers of both versions, with the benchmark of each item.
        settings: Margins of benchmarks, error rates and looks.
        pairs: Paired differences of the items.

    Yields:
        Verdict and interval of each benchmark with a margin; undecided, without an interval, where it has too few
        answers.

    Raises:
        InputError: There is no such benchmark.
    """
    benchmark = answers.labels["benchmark"].to_numpy()
    strict = settings.quantile_of(1 + len(settings.margins))
    for name, margin in settings.margins:
        part = benchmark == name
        if not part.any():
            known = sorted(set(map(str, benchmark)))
            raise InputError(f"a margin for benchmark '{name}', which the suite lacks{nearest(name, known)}")
        n = int(part[pairs.answered].sum())
        if n < FEWEST_IN_SCOPE:
            yield BenchmarkMargin(name, margin, "undecided", None, None, None, n)
            continue
        difference = pairs.over(part)
        verdict = verdict_of(difference, settings.quantile, margin, settings.fixed)
        if verdict == "hold" and verdict_of(difference, strict, margin, settings.fixed) != "hold":
            verdict = "undecided"
        fixed, bound = settings.fixed, settings.quantile
        bounds = difference.interval(bound) if fixed else difference.another_run_interval(bound)
        yield BenchmarkMargin(name, margin, verdict, difference.estimate, *bounds, n)


def spent_alpha(fraction: float, alpha: float) -> float:
    """Two-sided error rate that may be spent up to this share of the information (Lan & DeMets, 1983).

    Args:
        fraction: Share of the planned information, from 0 to 1.
        alpha: Error rate over all looks.
    """
    if fraction <= 0:
        return 0.0
    return float(2 * ndtr(-ndtri(1 - alpha / 2) / np.sqrt(min(fraction, 1.0))))


def look_quantiles(fractions: Sequence[float], alpha: float = 0.05) -> list[float]:
    """Half-widths, in standard errors, of the intervals at all looks, with simultaneous coverage.

    Args:
        fractions: Share of the planned information at each look, increasing, the last at most 1.
        alpha: Probability that at least one interval misses.

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
    from scipy.optimize import brentq

    return float(brentq(lambda bound: crossing(bound) - increment, 0.0, WIDEST, xtol=1e-8))


def _crossing(grid: np.ndarray, density: np.ndarray, step: float, scale: float) -> Callable[[float], float]:
    """Probability of first crossing a bound at this look, as a function of the bound."""

    def chance(bound: float) -> float:
        edge = bound * scale
        if not len(grid):
            return float(2 * ndtr(-edge / np.sqrt(step)))
        above = np.exp(log_ndtr((grid - edge) / np.sqrt(step)))
        below = np.exp(log_ndtr((-edge - grid) / np.sqrt(step)))
        return float(np.trapezoid(density * (above + below), grid))

    return chance


def _carried(grid: np.ndarray, density: np.ndarray, step: float, edge: float) -> tuple[np.ndarray, np.ndarray]:
    """Density of the test statistic at this look on the paths that have crossed no bound."""
    new = np.linspace(-edge, edge, GRID)
    if not len(grid):
        return new, np.exp(-0.5 * new**2 / step) / np.sqrt(2 * np.pi * step)
    kernel = np.exp(-0.5 * (new[:, None] - grid[None]) ** 2 / step) / np.sqrt(2 * np.pi * step)
    return new, np.trapezoid(kernel * density, grid, axis=1)


def share_of(text: str) -> float:
    """Read a share: ``1pp`` and ``1%`` are 0.01, as is ``0.01``.

    Args:
        text: A number, which may end with ``pp`` or ``%``.

    Returns:
        The share, where 1 is the whole score.

    Raises:
        InputError: It is no number.
    """
    trimmed = text.strip().lower()
    points = trimmed.endswith(("pp", "%"))
    try:
        return float(trimmed.removesuffix("pp").removesuffix("%")) / (100 if points else 1)
    except ValueError:
        raise InputError(f"'{text}' is no share of the score; write 1pp, 1% or 0.01") from None
