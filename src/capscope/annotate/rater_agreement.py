"""Agreement of annotators, by rubric and inside benchmarks, and a test that equal ids mean the same items."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from capscope.axes import LEVELS, ItemDim
from capscope.data import Demands, Study
from capscope.errors import InputError, counted, first_few

Levels = Float[np.ndarray, " item"]

RECTANGULAR_VARIANCE = (len(LEVELS) ** 2 - 1) / 12
"""Variance of levels drawn evenly from 0 to 5: the null that r_WG compares with."""
NAN = float("nan")
MEASURES = ("qwk", "alpha", "spearman", "spearman_within_benchmark", "r_wg", "exact")
FEW = 20
"""Items of a benchmark below which its ids are not tested."""
NEAR_ZERO = 0.1
"""Mean rank correlation inside a benchmark below which its ids are tested for a mismatch."""
CHANCE_RATIO = 0.25
"""Variance between items, as a share of an annotator's own, below which its levels are mostly chance."""
LOW_SPREAD = 0.25
"""Standard deviation of an annotator's levels below which a rubric gets a warning."""


@dataclass(frozen=True)
class RubricAgreement:
    """Agreement of one annotator with the reference on one rubric."""

    items: int
    """Items that both rated."""
    qwk: float
    """Quadratic-weighted kappa."""
    alpha: float
    """Krippendorff's alpha, ordinal."""
    spearman: float
    """Rank correlation over all items."""
    spearman_within_benchmark: float
    """Mean rank correlation inside benchmarks, weighted by items."""
    r_wg: float
    """Within-group agreement with the rectangular null; not corrected for chance."""
    exact: float
    """Share of equal levels."""
    reference_levels: tuple[int, ...]
    """Items at each level by the reference."""
    annotator_levels: tuple[int, ...]
    """Items at each level by the annotator."""


@dataclass(frozen=True)
class AnnotatorAgreement:
    """Agreement of one annotator with the reference."""

    items: int
    """Items that both rated on at least one rubric; each rubric uses all of its pairs."""
    qwk: float
    """Mean over rubrics, as are the next five; rubrics without a value are left out."""
    alpha: float
    """Krippendorff's alpha."""
    spearman: float
    """Rank correlation."""
    spearman_within_benchmark: float
    """Rank correlation inside benchmarks."""
    r_wg: float
    """Within-group agreement."""
    exact: float
    """Share of equal levels."""
    by_rubric: dict[str, RubricAgreement]
    """The same for each rubric."""
    warnings: tuple[str, ...]
    """Reasons to doubt the numbers."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of every other annotator of a study with one reference."""

    reference: str
    """The annotator that the others are compared with."""
    annotators: dict[str, AnnotatorAgreement]
    """One entry for each of the others."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON; a number that does not exist is None."""
        return _plain(asdict(self))  # pyright: ignore[reportReturnType]

    def table(self) -> pd.DataFrame:
        """Return one row for each annotator and rubric, and one for the mean over rubrics."""
        rows = [
            {"annotator": name, "rubric": code, "items": entry.items}
            | {measure: getattr(entry, measure) for measure in MEASURES}
            for name, whole in self.annotators.items()
            for code, entry in (*whole.by_rubric.items(), ("mean", whole))
        ]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        """Return the mean agreement of each annotator, in a line each."""
        lines = [
            (
                f"{name}: qwk {one.qwk:.3f}, Spearman {one.spearman:.3f} on {counted(one.items, 'item')},"
                f" {counted(len(one.by_rubric), 'rubric')}"
            )
            for name, one in list(self.annotators.items())[:10]
        ]
        return "\n".join([f"Agreement with {self.reference}", *lines])

    def _repr_html_(self) -> str:
        """Show the agreement as a table."""
        return self.table().round(3).to_html(index=False)


def agreement(study: Study | Path | str, reference: str, *, seed: int = 0) -> Agreement:
    """Compare every annotator of a study with a reference, on every pair of levels that is there.

    Args:
        study: A study with demands, or its folder; with items too, agreement inside benchmarks is measured.
        reference: Name of the annotator to compare with.
        seed: Seed of the shuffles that show what unrelated ids would give.

    Returns:
        Kappa, alpha, correlations and exact agreement of each annotator with the reference.

    Raises:
        InputError: No such annotator, or nobody to compare it with.
    """
    study = study if isinstance(study, Study) else Study.load(study)
    rng = np.random.default_rng(seed)
    names = sorted(map(str, study.require("demands")["annotator"].unique()))
    base = Demands.of(study, reference)
    others = [name for name in names if name != reference]
    if not others:
        raise InputError(f"{study.name}: '{reference}' is the only annotator; agreement takes two")
    benchmark = _benchmarks(study)
    return Agreement(reference, {name: _compare(base, Demands.of(study, name), benchmark, rng) for name in others})


def low_spread(levels: ItemDim, dims: tuple[str, ...], who: str) -> tuple[str, ...]:
    """Warn of rubrics on which an annotator's levels are (nearly) constant over 20 items or more.

    Args:
        levels: Levels of one annotator, shape (item, dim), NaN where there is none.
        dims: Rubrics, in the order of the columns.
        who: Name of the annotator, for the message.

    Returns:
        One line, or none.
    """
    flat = [
        dim
        for dim, column in zip(dims, levels.T, strict=True)
        if np.isfinite(column).sum() >= FEW and np.nanstd(column) < LOW_SPREAD
    ]
    if not flat:
        return ()
    return (f"{who} gives nearly constant levels on {len(flat)} of {len(dims)} rubrics: {first_few(flat)}",)


def mostly_chance(levels: ItemDim, sd: ItemDim, dims: tuple[str, ...], who: str) -> tuple[str, ...]:
    """Warn of rubrics on which an annotator's uncertainty exceeds the variation of its levels over items.

    Args:
        levels: The annotator's levels.
        sd: Their standard deviations, NaN where none is known.
        dims: Rubric codes.
        who: What to call the annotator.
    """
    noisy: list[str] = []
    for dim, level, own in zip(dims, levels.T, sd.T, strict=True):
        known = np.isfinite(level) & np.isfinite(own)
        if known.sum() >= FEW and level[known].var() < CHANCE_RATIO * np.mean(own[known] ** 2):
            noisy.append(dim)
    if not noisy:
        return ()
    return (
        f"{who}'s levels differ far less than they are uncertain on {counted(len(noisy), 'rubric')}:"
        f" {first_few(noisy)}",
    )


def _compare(left: Demands, right: Demands, benchmark: dict[str, str], rng: np.random.Generator) -> AnnotatorAgreement:
    dims = tuple(dim for dim in left.dims if dim in right.dims)
    items = tuple(sorted(set(left.items) & set(right.items)))
    if not dims or not items:
        nothing = "no rubric" if not dims else "no item"
        missing = dict.fromkeys(MEASURES, NAN)
        return AnnotatorAgreement(0, **missing, by_rubric={}, warnings=(f"the two annotators share {nothing}",))
    x, y, group = _paired(left, right, items, dims, benchmark)
    by_rubric = {dim: _on_rubric(x[:, d], y[:, d], group) for d, dim in enumerate(dims)}
    means = {measure: _mean([getattr(entry, measure) for entry in by_rubric.values()]) for measure in MEASURES}
    warnings = (
        *same_item_warnings(x, y, group, rng),
        *low_spread(x, dims, "the reference"),
        *low_spread(y, dims, "the annotator"),
    )
    return AnnotatorAgreement(len(x), **means, by_rubric=by_rubric, warnings=warnings)


def _paired(
    left: Demands, right: Demands, items: tuple[str, ...], dims: tuple[str, ...], benchmark: dict[str, str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return both raters' levels and the benchmarks of the items that both rated on at least one rubric."""
    x = left.at(items)[:, [left.dims.index(dim) for dim in dims]]
    y = right.at(items)[:, [right.dims.index(dim) for dim in dims]]
    both = np.isfinite(x) & np.isfinite(y)
    keep = both.any(axis=1)
    group = np.array([benchmark.get(item, "all") for item in items])
    return np.where(both, x, np.nan)[keep], np.where(both, y, np.nan)[keep], group[keep]


def _on_rubric(x: np.ndarray, y: np.ndarray, group: np.ndarray) -> RubricAgreement:
    both = np.isfinite(x)
    x, y, group = x[both], y[both], group[both]
    has_pairs = bool(len(x))
    values = {
        "qwk": quadratic_weighted_kappa(x, y) if has_pairs else NAN,
        "alpha": krippendorff_alpha(x, y) if has_pairs else NAN,
        "spearman": spearman(x, y),
        "spearman_within_benchmark": spearman_within(x, y, group),
        "r_wg": r_within_group(x, y) if has_pairs else NAN,
        "exact": exact_share(x, y) if has_pairs else NAN,
    }
    levels = (level_histogram(x), level_histogram(y))
    return RubricAgreement(len(x), **values, reference_levels=levels[0], annotator_levels=levels[1])


def same_item_warnings(
    x: Float[np.ndarray, "item dim"], y: Float[np.ndarray, "item dim"], group: np.ndarray, rng: np.random.Generator
) -> tuple[str, ...]:
    """Warn of benchmarks in which the same ids agree no better than shuffled ids would.

    The mean rank correlation over rubrics is compared with its values under 99 shuffles of the items of the
    benchmark; all rubrics of an item move together, so that the shuffles keep what rubrics have in common.
    """
    warnings: list[str] = []
    for name in np.unique(group):
        inside = group == name
        whole = inside & np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
        if whole.sum() < FEW:
            continue
        left, right = _unit_ranks(x[whole]), _unit_ranks(y[whole])
        rho, shuffled = _mean_correlation(left, right), _shuffled(left, right, rng)
        if np.isfinite(rho) and (rho < NEAR_ZERO or rho <= np.quantile(shuffled, 0.95)):
            warnings.append(
                f"{name}: same-id agreement is near zero (mean rank correlation"
                f" {rho:.2f} over {counted(whole.sum(), 'item')};"
                f" shuffled ids give up to {max(shuffled):.2f}): the annotators may not mean the same items;"
                " compare the texts behind the ids"
            )
    return tuple(warnings)


def _unit_ranks(levels: np.ndarray) -> np.ndarray:
    """Rank columns, centre them and give them unit length; constant columns become NaN."""
    ranks = pd.DataFrame(levels).rank().to_numpy() - (len(levels) + 1) / 2
    length = np.sqrt((ranks**2).sum(axis=0))
    return ranks / np.where(length > 0, length, np.nan)


def _mean_correlation(left: np.ndarray, right: np.ndarray) -> float:
    return _mean(list((left * right).sum(axis=0)))


def _shuffled(left: np.ndarray, right: np.ndarray, rng: np.random.Generator) -> list[float]:
    return [_mean_correlation(left, right[rng.permutation(len(right))]) for _ in range(99)]


def _mean(values: list[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def _benchmarks(study: Study) -> dict[str, str]:
    if study.items is None:
        return {}
    ids, names = study.items["item_id"].astype(str), study.items["benchmark"].astype(str)
    return dict(zip(ids, names, strict=True))


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def quadratic_weighted_kappa(left: Levels, right: Levels) -> float:
    """Chance-corrected agreement with quadratic weights (Cohen, 1968).

    Written as one minus observed over expected squared difference, which equals the table form on whole levels.

    Args:
        left: Levels by one rater (item,), 0 to 5, without gaps.
        right: Levels of the same items by the other rater (item,).

    Returns:
        1 for identical raters, 0 for chance; NaN when both are constant and equal.
    """
    observed = float(np.mean((left - right) ** 2))
    expected = float(left.var() + right.var() + (left.mean() - right.mean()) ** 2)
    return 1 - observed / expected if expected > 0 else float("nan")


def krippendorff_alpha(left: Levels, right: Levels) -> float:
    """Krippendorff's alpha with the ordinal difference, for two raters without gaps (Krippendorff, 2011).

    Args:
        left: Levels by one rater (item,), 0 to 5, without gaps.
        right: Levels of the same items by the other rater (item,).

    Returns:
        1 for identical raters, about 0 for chance; NaN when only one level occurs.
    """
    values, index = np.unique(np.concatenate([left, right]), return_inverse=True)
    first, second = np.split(index, 2)
    coincidence = np.zeros((len(values), len(values)))
    np.add.at(coincidence, (first, second), 1.0)
    coincidence += coincidence.T
    totals = coincidence.sum(axis=0)
    difference = _ordinal_difference(totals)
    expected = (np.outer(totals, totals) * difference).sum() / (totals.sum() - 1)
    return 1 - float((coincidence * difference).sum() / expected) if expected > 0 else float("nan")


def r_within_group(left: Levels, right: Levels) -> float:
    """Within-group agreement r_WG (James, Demaree & Wolf, 1984) of two raters against a rectangular null.

    The variance of two ratings, (x - y)^2 / 2, is averaged over items and divided by `RECTANGULAR_VARIANCE`. It is not
    corrected for chance: raters who both say 0 almost always reach a high value without distinguishing items.

    Args:
        left: Levels by one rater (item,), 0 to 5, without gaps.
        right: Levels of the same items by the other rater (item,).
    """
    return 1 - float(np.mean((left - right) ** 2) / 2) / RECTANGULAR_VARIANCE


def exact_share(left: Levels, right: Levels) -> float:
    """Share of items on which both round to the same level.

    Args:
        left: Levels by one rater (item,), 0 to 5, without gaps.
        right: Levels of the same items by the other rater (item,).
    """
    return float(np.mean(np.rint(left) == np.rint(right)))


def spearman(left: Levels, right: Levels) -> float:
    """Rank correlation, ties sharing their mean rank; NaN when a rater is constant or there are under three items.

    Args:
        left: Levels by one rater (item,), 0 to 5, without gaps.
        right: Levels of the same items by the other rater (item,).
    """
    if len(left) < 3 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return float("nan")
    return float(np.corrcoef(pd.Series(left).rank(), pd.Series(right).rank())[0, 1])


def spearman_within(left: Levels, right: Levels, group: np.ndarray) -> float:
    """Mean of the rank correlations inside groups, weighted by their items; groups without one are left out.

    Args:
        left: Levels by one rater (item,), 0 to 5, without gaps.
        right: Levels of the same items by the other rater (item,).
        group: Group of each item (item,), such as its benchmark.
    """
    values, weights = [], []
    for name in np.unique(group):
        inside = group == name
        rho = spearman(left[inside], right[inside])
        if not np.isnan(rho):
            values.append(rho)
            weights.append(inside.sum())
    return float(np.average(values, weights=weights)) if values else float("nan")


def level_histogram(levels: Levels) -> tuple[int, ...]:
    """Count the items at each level from 0 to 5, fractional levels going to the nearest."""
    counts = np.bincount(np.rint(levels).astype(np.int64), minlength=len(LEVELS))
    return tuple(int(count) for count in counts)


def _ordinal_difference(totals: np.ndarray) -> np.ndarray:
    """Squared number of ratings between two values, each end counted half."""
    cumulative = np.cumsum(totals) - totals / 2
    return (cumulative[:, None] - cumulative[None, :]) ** 2
