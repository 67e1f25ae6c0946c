"""Flips: items that one version solves and the other does not, corrected for run variance.

With repeated runs of both versions, the share of pairs of runs that differ, minus the share that differs within a
version, is an unbiased estimate of the mean squared change of the items' chances of success.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import betainc, stdtrit

from capscope.axes import Float, FloatArray, RowFloats
from capscope.profiles.comparison.item_chances import ItemChances

FALL = 0.3
"""Smallest reported decrease of an item's chance of success."""

SURE = 0.95
"""Smallest posterior probability of a reported decrease."""

NODES = 64
"""Number of quadrature points for an item's chances."""

MOST_NAMED = 20
"""Largest number of reported items."""


DRAWS = 60
"""Number of simulated runs for the bounds."""

EM_STEPS = 40
"""EM steps for the share of items with equal chances."""

FEWEST_ITEMS = 5
"""Fewest items with repeated runs from which flips are corrected."""

Pair = tuple[RowFloats, RowFloats]


@dataclass(frozen=True)
class FlipShare:
    """A share of items with bounds."""

    value: float
    """The estimate."""
    lower: float
    """Lower bound, over other runs on these items."""
    upper: float
    """Upper bound."""
    new_lower: float
    """Lower bound for new items of the same kind, over items and their tasks."""
    new_upper: float
    """Upper bound."""

    def at_least(self, least: float) -> "FlipShare":
        """Return the share raised to an estimate that it cannot lie below, with its bounds within 0 and 1.

        Args:
            least: The estimate. It has an error too: the upper bound is raised with the share, the lower one is not.
        """
        value = max(self.value, least)
        raised = value - self.value
        lower, new_lower = max(self.lower, 0.0), max(self.new_lower, 0.0)
        upper, new_upper = (min(max(end + raised, value), 1.0) for end in (self.upper, self.new_upper))
        return FlipShare(value, min(lower, value), upper, min(new_lower, value), new_upper)


@dataclass(frozen=True)
class Flips:
    """Changes from A to B on the items that both answered."""

    scope: str
    """`all`, `benchmark` or `dim`."""
    name: str
    """Which benchmark or dimension."""
    items: int
    """Items."""
    lost_raw: float
    """Share of items that a run of A solves and a run of B does not, with run variance."""
    gained_raw: float
    """Share of items that a run of B solves and a run of A does not."""
    by_chance: float | None
    """Share of items on which two runs of one version differ, the mean of both; None without repeated runs."""
    changed: FlipShare | None
    """Flips corrected for run variance: 0 on average where no chance of success changed, and negative in some samples;
    None without repeated runs of both."""
    lost: FlipShare | None
    """Losses among them: a lower bound of the true mean loss, equal to it if all chances are 0 or 1; never below 0, nor
    below the fall of the mean score."""
    gained: FlipShare | None
    """Gains among them."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def line(self, first: str, second: str) -> str:
        """Return it as one sentence.

        Args:
            first: Name of the old version.
            second: Name of the new one.
        """
        where = "" if self.scope == "all" else f" on {self.name}"
        raw = (
            f"from {first} to {second}{where}, {100 * self.lost_raw:.1f} % of {self.items} items are lost and"
            f" {100 * self.gained_raw:.1f} % gained"
        )
        if self.lost is None or self.gained is None or self.by_chance is None:
            return f"{raw} in single runs; repeated runs of both would show how many of these are noise"
        return (
            f"{raw} in single runs, of which {100 * self.by_chance / 2:.1f} % each way are what runs of one version"
            f" differ by; beyond it lost {_percent(self.lost)}, gained {_percent(self.gained)}"
        )


def _percent(share: FlipShare) -> str:
    return f"{100 * share.value:.1f} % ({100 * share.lower:.1f} to {100 * share.upper:.1f})"


@dataclass(frozen=True)
class PairedRuns:
    """Successes and runs of two versions on the items that both answered."""

    right: tuple[RowFloats, RowFloats]
    """Sum of the scores of A and of B on each item."""
    runs: tuple[RowFloats, RowFloats]
    """Runs of A and of B."""
    cluster: np.ndarray
    """Cluster of each item, such as its task."""

    def rows(self, mask: np.ndarray) -> "PairedRuns":
        """Those of some items."""
        a, b = self.right
        n, m = self.runs
        return PairedRuns((a[mask], b[mask]), (n[mask], m[mask]), self.cluster[mask])

    @property
    def whole(self) -> bool:
        """Whether all scores are right or wrong."""
        return all(bool((np.abs(right - right.round()) < 1e-6).all()) for right in self.right)


@dataclass(frozen=True)
class JointChances:
    """Joint posterior of the two versions' chances on each item: the same chance, or two independent ones."""

    both: tuple[ItemChances, ItemChances]
    """Each version's own items."""
    pooled: ItemChances
    """Runs of both versions together, as if nothing had changed."""
    same: Float[np.ndarray, " item"]
    """Posterior probability that the item's chance is the same for both versions."""

    @classmethod
    def of(cls, paired: PairedRuns) -> "JointChances":
        """Fit both cases, and the share of items whose chance is the same (EM).

        Args:
            paired: Runs of both versions, right or wrong.
        """
        first, second = (
            ItemChances(right.round(), runs) for right, runs in zip(paired.right, paired.runs, strict=True)
        )
        pooled = ItemChances(first.right + second.right, first.runs + second.runs)
        ratio = np.exp(np.clip(first.log_evidence() + second.log_evidence() - pooled.log_evidence(), -50, 50))
        share = 0.9
        for _ in range(EM_STEPS):
            same = share / (share + (1 - share) * ratio)
            share = float(np.clip(same.mean(), 0.01, 0.99))
        return cls((first, second), pooled, share / (share + (1 - share) * ratio))

    def drawn(self, rng: np.random.Generator) -> Pair:
        """Draw both versions' chances."""
        p, q = (rng.beta(*of.posterior()) for of in self.both)
        one = rng.beta(*self.pooled.posterior())
        same = rng.random(len(one)) < self.same
        return np.where(same, one, p), np.where(same, one, q)


def flips(paired: PairedRuns, scope: str, name: str, level: float, rng: np.random.Generator) -> Flips:
    """Count flips and correct them for run variance.

    Args:
        paired: Runs of both versions.
        scope: What the items have in common.
        name: Which one.
        level: Coverage of the bounds.
        rng: Source of the simulated runs behind the bounds.
    """
    (s, u), (n, m) = paired.right, paired.runs
    p, q = s / n, u / m
    lost_raw, gained_raw = float((p * (1 - q)).mean()), float((q * (1 - p)).mean())
    many = (n > 1) & (m > 1)
    if not paired.whole or many.sum() < FEWEST_ITEMS:
        return Flips(scope, name, len(s), lost_raw, gained_raw, None, None, None, None)
    repeated = paired.rows(many)
    parts, by_chance = _parts(repeated.right, repeated.runs)
    errors = _run_errors(repeated, rng)
    changed, lost, gained = (
        _share(part, error, repeated.cluster, level) for part, error in zip(parts, errors, strict=True)
    )
    # the mean absolute change is at least the mean square, and at least the change of the mean
    gain = float((q - p)[many].mean())
    shares = changed, lost.at_least(max(0.0, -gain)), gained.at_least(max(0.0, gain))
    return Flips(scope, name, int(many.sum()), lost_raw, gained_raw, by_chance, *shares)


def fallen_items(paired: PairedRuns, items: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    """Items whose chance of success fell by 0.3 or more from A to B, with the posterior chance that it did.

    Args:
        paired: Runs of both versions, right or wrong.
        items: Ids of the items.
    """
    sure = _chance_of_fall(JointChances.of(paired))
    order = np.argsort(-sure, kind="stable")[:MOST_NAMED]
    yield from ((items[place], float(sure[place])) for place in order if sure[place] >= SURE)


def _chance_of_fall(joint: JointChances) -> Float[np.ndarray, " item"]:
    """Posterior probability that B's chance lies more than `FALL` below A's, item by item."""
    (s, f), (u, v) = (of.posterior() for of in joint.both)
    grid = (np.arange(NODES) + 0.5) / NODES
    result = np.zeros(len(s))
    edges = np.linspace(0, 1, NODES + 1)
    for chance, low, high in zip(grid, edges[:-1], edges[1:], strict=True):
        here = betainc(s, f, high) - betainc(s, f, low)
        result += here * betainc(u, v, max(chance - FALL, 0.0))
    return (1 - joint.same) * result


def _parts(right: Pair, runs: Pair) -> tuple[FloatArray, float]:
    """Each item's part in what changed, was lost and was gained, (3, item); and how often two runs differ anyway."""
    (s, u), (n, m) = right, runs
    p, q = s / n, u / m
    within = s * (n - s) / (n * (n - 1)) + u * (m - u) / (m * (m - 1))
    change = p * (1 - q) + q * (1 - p) - within
    return np.stack([change, (change - (q - p)) / 2, (change + (q - p)) / 2]), float(within.mean())


def _run_errors(paired: PairedRuns, rng: np.random.Generator) -> FloatArray:
    """Standard errors of the three shares over other runs of the same items, by simulation from the joint posterior."""
    joint = JointChances.of(paired)
    n, m = (runs.astype(int) for runs in paired.runs)
    squares = np.zeros(3)
    for _ in range(DRAWS):
        p, q = joint.drawn(rng)
        parts, _ = _parts((rng.binomial(n, p).astype(float), rng.binomial(m, q).astype(float)), paired.runs)
        truth = np.stack([(p - q) ** 2, ((p - q) ** 2 - (q - p)) / 2, ((p - q) ** 2 + (q - p)) / 2])
        squares += ((parts - truth) ** 2).sum(axis=1)
    return np.sqrt(squares / DRAWS) / len(paired.cluster)


def _share(part: RowFloats, error: float, cluster: np.ndarray, level: float) -> FlipShare:
    """Mean with bounds over runs, and Student's bounds over items or, where these are wider, over clusters."""
    n, value = len(part), float(part.mean())
    se = float(part.std(ddof=1) / np.sqrt(n))
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * se
    _, index = np.unique(cluster, return_inverse=True)
    total = np.bincount(index, part - value)
    groups = len(total)
    if 1 < groups < n:
        grouped = float(np.sqrt(groups / (groups - 1) * (total**2).sum()) / n)
        half = max(half, float(stdtrit(groups - 1, 0.5 + level / 2)) * grouped)
    runs = float(stdtrit(n - 1, 0.5 + level / 2)) * error
    return FlipShare(value, value - runs, value + runs, value - max(half, runs), value + max(half, runs))
