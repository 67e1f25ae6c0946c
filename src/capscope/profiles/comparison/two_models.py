"""Comparison of two models on the same items: overall, by benchmark and dimension, and given their general abilities.

The paired difference has a posterior over tasks that also holds for small samples. The difference of scores on each
item falls into a few bins (A ahead, equal, B ahead; finer for graded scores). Tasks may disagree on the leader: the
share of the difference's variance that lies between tasks, the intraclass correlation, has a posterior from the task
means (a random-effects likelihood with the mean integrated out). Given a correlation r, a task of n items is worth n /
(1 + (n - 1) r) independent ones, and the bin frequencies of the population of tasks have a Dirichlet posterior under
Jeffreys' prior.
"""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

from capscope.axes import Float, FloatArray, RowFloats
from capscope.data import Demands, Responses, Study
from capscope.display import ArrowTables, html_table
from capscope.errors import FitError, InputError, counted, refuse_absent_model
from capscope.fit import IRTPosterior, IRTSettings, fit_irt
from capscope.intervals import bounds_with, normal_quantile
from capscope.profiles.comparison.all_pairs import POWER
from capscope.profiles.comparison.change_parts import ScoreChange, score_change
from capscope.profiles.comparison.run_scores import of_one_judge
from capscope.profiles.comparison.version_flips import Flips, PairedRuns, fallen_items, flips
from capscope.profiles.item_groups import places_of
from capscope.profiles.meanings import dimension_names, reliability_notes, spelled, table_lines

PRIOR = 1.5
"""Pseudo-items of the prior, shared by the bins: Jeffreys' prior for three bins."""
CORRELATIONS = np.array([0, 2e-4, 6e-4, 0.002, 0.006, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9])
"""Intraclass correlations of the difference within tasks that the posterior is over, equally likely before the data."""
DRAWS = 4000
FINE_BINS = np.array([-0.999, -0.6, -0.2, -1e-9, 1e-9, 0.2, 0.6, 0.999])
HIGH_LEVEL = 3.0
FEWEST_ITEMS = 5
COLUMNS = (
    "ahead: chance that a is the better one; improvement: chance that a does better on one more item (0.5 is neither);"
    "\nleader: named where the interval leaves out 0. Rows `dim` are items at level 3 or more of that demand."
)
"""Legend of the table."""
FEWEST_MODELS = 5
"""Fewest models from which a general ability is estimated."""


@dataclass(frozen=True)
class PairedDifference:
    """Posterior of the mean difference A - B over tasks like these."""

    observed: float
    """Observed mean difference."""
    mean: float
    """Posterior mean."""
    lower: float
    """Lower bound."""
    upper: float
    """Upper bound."""
    ahead: float
    """Chance that A's mean is above B's."""
    improvement: float
    """Chance that A does better than B on one more item, ties counting half."""
    items: int
    """Items that both answered."""
    tasks: int
    """Tasks they belong to."""


def paired_difference(
    difference: RowFloats, task: np.ndarray, rng: np.random.Generator, level: float = 0.9
) -> PairedDifference:
    """Estimate the mean difference of two models.

    Args:
        difference: Score of A less score of B on each item that both answered.
        task: Task of each of these items.
        rng: Source of the draws.
        level: Nominal coverage.

    Returns:
        The mean difference, its bounds, and the chance that A is better.
    """
    draws, ahead = difference_draws(difference, task, rng)
    observed = float(difference.mean())
    # on a few items the prior draws the posterior towards no difference: what was seen stays inside
    lower, upper = bounds_with(np.asarray(observed), draws, level)
    return PairedDifference(
        observed=observed,
        mean=float(draws.mean()),
        lower=float(lower),
        upper=float(upper),
        ahead=float((draws > 0).mean() + (draws == 0).mean() / 2),
        improvement=float(ahead.mean()),
        items=len(difference),
        tasks=len(np.unique(task)),
    )


def difference_draws(
    difference: RowFloats, task: np.ndarray, rng: np.random.Generator
) -> tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " draw"]]:
    """Draws of the mean difference, and of the chance that A is ahead on an item (ties half).

    Args:
        difference: Difference of the scores on each item (item,).
        task: Task of each item (item,).
        rng: Source of randomness.
    """
    bins, values = _bins(difference)
    _, place = np.unique(task, return_inverse=True)
    counts = np.zeros((place.max() + 1, len(values)))
    np.add.at(counts, (place, bins), 1)
    frequency = _frequency_draws(counts, difference, place, rng)
    sign = np.where(np.abs(values) < 1e-9, 0.5, (values > 0).astype(float))
    return frequency @ values, frequency @ sign


def _bins(difference: RowFloats) -> tuple[np.ndarray, FloatArray]:
    """Bin of each difference and the value of each bin: the mean of what falls there, else its middle."""
    if np.isin(difference, (-1, 0, 1)).all():
        return difference.astype(int) + 1, np.array([-1.0, 0.0, 1.0])
    bins = np.digitize(difference, FINE_BINS)
    middle = np.array([-1, -0.8, -0.4, -0.1, 0, 0.1, 0.4, 0.8, 1])
    total, size = np.bincount(bins, difference, 9), np.bincount(bins, minlength=9)
    return bins, np.where(size > 0, total / np.maximum(size, 1), middle)


def _frequency_draws(
    counts: FloatArray, difference: RowFloats, place: np.ndarray, rng: np.random.Generator
) -> FloatArray:
    """Draws (draw, bin) of the population's bin frequencies."""
    size = counts.sum(axis=1, keepdims=True)
    chance = correlation_posterior(difference, place)
    drawn = rng.multinomial(DRAWS, chance)
    prior = PRIOR / counts.shape[1]
    parts: list[FloatArray] = []
    for correlation, count in zip(CORRELATIONS, drawn, strict=True):
        worth = counts / (1 + (size - 1) * correlation)
        gamma = rng.standard_gamma(worth.sum(axis=0) + prior, (count, counts.shape[1])) + 1e-12
        parts.append(gamma / gamma.sum(axis=1, keepdims=True))
    return np.concatenate(parts)


def correlation_posterior(difference: RowFloats, place: np.ndarray) -> Float[np.ndarray, " correlation"]:
    """Posterior chances of `CORRELATIONS` from the task means: normal given the correlation, their mean integrated out.

    Args:
        difference: Difference of scores on each item.
        place: Task of each item, numbered from 0.
    """
    size = np.bincount(place).astype(float)
    tasks, variance = len(size), float(difference.var())
    if tasks == 1:
        # the population is that of the one task's items
        return (CORRELATIONS == 0).astype(float)
    if variance == 0:
        # without any variance the correlation is not identified
        return np.full(len(CORRELATIONS), 1 / len(CORRELATIONS))
    means = np.bincount(place, difference) / size
    spread = variance * (CORRELATIONS[:, None] + (1 - CORRELATIONS[:, None]) / size)
    precision = (1 / spread).sum(axis=1)
    centre = (means / spread).sum(axis=1) / precision
    squares = ((means - centre[:, None]) ** 2 / spread).sum(axis=1)
    log_chance = -0.5 * (np.log(spread).sum(axis=1) + np.log(precision) + squares)
    chance = np.exp(log_chance - log_chance.max())
    return chance / chance.sum()


@dataclass(frozen=True)
class Comparison(ArrowTables):
    """Two models on the items that both answered."""

    models: tuple[str, str]
    """A and B; differences are A - B."""
    table: pd.DataFrame
    """Columns scope (`all`, `benchmark`, `dim`), name, items, tasks, a, b (mean scores), difference (observed), mean,
    lower, upper (posterior over tasks like these), ahead, improvement, beyond, beyond_lower, beyond_upper, detectable
    (difference that these items show four times in five), leader."""
    level: float
    """Coverage of the bounds."""
    notes: tuple[str, ...]
    """Limitations of the comparison, most important first."""
    flips: tuple[Flips, ...] = ()
    """Flips by scope, corrected for run variance."""
    fallen: tuple[tuple[str, float], ...] = ()
    """Items with a lower chance of success for B, with the posterior probability."""
    change: ScoreChange | None = None
    """Decomposition of the difference; None with too few models for a response model."""

    @property
    def head(self) -> str:
        """Heading of the table, in one line."""
        return (
            f"{self.models[0]} (a) against {self.models[1]} (b): differences a - b of mean scores, {self.level:.0%}"
            " intervals over tasks like these; `beyond` is what the difference in general ability leaves"
        )

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        rows, notes = self.table.to_dict("records"), list(self.notes)
        return {
            "a": self.models[0],
            "b": self.models[1],
            "level": self.level,
            "rows": rows,
            "flips": [flip.as_dict() for flip in self.flips],
            "fallen": [{"item": item, "probability": chance} for item, chance in self.fallen],
            "change": None if self.change is None else self.change.as_dict(),
            "notes": notes,
            "answer": self.answer,
        }

    def as_text(self) -> str:
        """Return notes and the table, with the names of dimensions beside their codes."""
        notes = [f"note: {note}" for note in self.notes]
        names = self.table["name"].astype(str).map(dimension_names()).where(self.table["scope"] == "dim").fillna("")
        table = self.table.assign(dimension=names) if (names != "").any() else self.table
        whole = max((flip.items for flip in self.flips), default=0)
        change = [] if self.change is None else [self.change.line(*self.models)]
        fallen = [f"surely fallen with {self.models[1]}: {', '.join(item for item, _ in self.fallen)}"]
        flipped = [flip.line(*self.models) for flip in self.flips if flip.scope == "all" or flip.items < whole]
        tables = [self.head, table_lines(table), COLUMNS, *change, *flipped, *(fallen if self.fallen else [])]
        return "\n".join([*notes, self.answer, "", *tables])

    @property
    def answer(self) -> str:
        """The leading model, the difference with its interval, and scopes where the order is reversed."""
        whole, first = self.table.iloc[0], self.models[0] if self.table["ahead"].iloc[0] >= 0.5 else self.models[1]
        second = next(name for name in self.models if name != first)
        sign, chance = (1, whole["ahead"]) if first == self.models[0] else (-1, 1 - whole["ahead"])
        low, high = sorted((sign * 100 * whole["lower"], sign * 100 * whole["upper"]))
        size = f"{sign * 100 * whole['mean']:.1f} points ({self.level:.0%} interval {low:.1f} to {high:.1f})"
        sure = "is ahead of" if low > 0 else "may be ahead of"
        if sign * whole["mean"] <= 0 or (whole["difference"] == 0 and low <= 0 <= high):
            bounds = f"({self.level:.0%} interval {low:.1f} to {high:.1f}) on {counted(whole['items'], 'item')}"
            return (
                f"Neither {first} nor {second} is ahead: {first} scores {sign * 100 * whole['mean']:+.1f} points"
                f" against {second} {bounds}."
            )
        line = f"{first} {sure} {second} by {size} on {whole['items']} items; probability {chance:.2f}."
        other = self.table.loc[self.table["leader"] == second, "name"].astype(str).tolist()
        return f"{line} {second} leads on {spelled(other)}." if other else line

    def __repr__(self) -> str:
        whole = self.table.iloc[0]
        bounds = f"{whole['difference']:+.3f} [{whole['lower']:+.3f}, {whole['upper']:+.3f}]"
        return f"Comparison({self.models[0]} - {self.models[1]}: {bounds} on {whole['items']} items)"

    def _repr_html_(self) -> str:
        return html_table(f"{self.models[0]} against {self.models[1]}", self.table, " ".join([*self.notes, self.head]))


def compare_models(study: Study, first: str, second: str, *, seed: int = 0, level: float = 0.9) -> Comparison:
    """Compare two models of a study item by item.

    `beyond` is the difference minus the one that the difference in general ability predicts on these items.

    Args:
        study: A study with responses by both models.
        first: Name of model A.
        second: Name of model B.
        seed: Seed of the posterior draws.
        level: Nominal coverage.

    Returns:
        Differences over all items and by task, benchmark and demand, with bounds.

    Raises:
        InputError: No such model, the same one twice, or no item that both answered.
    """
    responses = Responses.of(study)
    pair, both, remarks = _answered_by_both(responses, first, second, study.name)
    a, b = responses.dense().score[list(pair)][:, both]
    posterior, notes = _general_factor(responses, seed)
    expected = None
    if posterior is not None:
        chance = [posterior.probability(np.full(len(both), model), both) for model in pair]
        expected = chance[0] - chance[1]
    places = places_of(study, tuple(responses.items[i] for i in both))
    rng = np.random.default_rng(seed)
    runs = _paired_runs(responses, pair, both, places.task)
    rows: list[dict[str, object]] = []
    flipped: list[Flips] = []
    for scope, name, mask in _scopes(study, places.items, places.benchmark):
        if mask.sum() >= FEWEST_ITEMS or scope == "all":
            general = float("nan") if expected is None else float(expected[mask].mean())
            row = _row((a[mask], b[mask]), places.task[mask], general, rng, level)
            rows.append({"scope": scope, "name": name, **row})
            flipped.append(flips(runs.rows(mask), scope, name, level, np.random.default_rng(seed)))
    table = pd.DataFrame(rows)
    # a leader is named where the whole interval is on one side
    table["leader"] = np.where(table["lower"] > 0, first, np.where(table["upper"] < 0, second, ""))
    repeated = flipped[0].changed is not None
    return Comparison(
        (first, second),
        table,
        level,
        (*notes, *remarks),
        tuple(flipped),
        tuple(fallen_items(runs, places.items)) if repeated else (),
        None if posterior is None else score_change(responses, pair, posterior, lambda kept: _refitted(kept, seed)),
    )


def _answered_by_both(
    responses: Responses, first: str, second: str, study: str
) -> tuple[tuple[int, int], np.ndarray, tuple[str, ...]]:
    """Positions of two models and of the items that both answered, and a remark where one answered more.

    Raises:
        InputError: No such model, the same one twice, or no item that both answered.
    """
    pair = (_position(responses, first, study), _position(responses, second, study))
    if pair[0] == pair[1]:
        raise InputError(f"'{first}' cannot be compared with itself; name two models")
    answered = np.isfinite(responses.dense().score[list(pair)])
    both = np.flatnonzero(answered.all(axis=0))
    if not len(both):
        raise InputError(
            f"{study}: '{first}' and '{second}' answered no item in common; name no models to compare all of them"
            " by a model of their answers"
        )
    one, other = answered.sum(axis=1)
    if len(both) == max(one, other):
        return pair, both, ()
    remark = f"{counted(len(both), 'item', 'were')} answered by both; '{first}' answered {one}, '{second}' {other}"
    return pair, both, (remark,)


def _position(responses: Responses, name: str, where: str) -> int:
    refuse_absent_model(where, str(name), responses.models)
    return responses.models.index(name)


def _paired_runs(responses: Responses, pair: tuple[int, int], items: np.ndarray, task: np.ndarray) -> PairedRuns:
    """Runs of both models on the items that both answered."""
    dense = of_one_judge(responses).dense()
    right, runs = (table[list(pair)][:, items] for table in (dense.right, dense.n_trials))
    if (runs == 0).any():
        dense = responses.dense()
        right, runs = (table[list(pair)][:, items] for table in (dense.right, dense.n_trials))
    return PairedRuns((right[0], right[1]), (runs[0], runs[1]), task)


def _refitted(responses: Responses, seed: int) -> IRTPosterior | None:
    """The model with one ability, fitted to some of the answers; None where it cannot be fitted."""
    return _general_factor(responses, seed)[0]


def _general_factor(responses: Responses, seed: int) -> tuple[IRTPosterior | None, tuple[str, ...]]:
    """A model with one ability, and what limits it."""
    if len(responses.models) < FEWEST_MODELS:
        return None, (f"{counted(len(responses.models), 'model')} answered; a general factor needs {FEWEST_MODELS}",)
    try:
        posterior = fit_irt(responses, IRTSettings(model="2pl", form="signed", seed=seed)).posterior
    except FitError as error:
        return None, (f"no general factor: {error}",)
    signal, error = float(posterior.ability_mean[:, 0].var()), float(posterior.ability_cov[:, 0, 0].mean())
    return posterior, reliability_notes(signal / (signal + error))


def _scopes(study: Study, items: tuple[str, ...], benchmark: np.ndarray) -> list[tuple[str, str, np.ndarray]]:
    scopes: list[tuple[str, str, np.ndarray]] = [("all", "all items", np.ones(len(items), bool))]
    scopes += [("benchmark", str(name), benchmark == name) for name in np.unique(benchmark)]
    if study.demands is not None:
        demands = Demands.of(study)
        levels = demands.at(items)
        scopes += [("dim", dim, levels[:, d] >= HIGH_LEVEL) for d, dim in enumerate(demands.dims)]
    return scopes


def _row(
    scores: tuple[RowFloats, RowFloats], task: np.ndarray, general: float, rng: np.random.Generator, level: float
) -> dict[str, object]:
    difference = scores[0] - scores[1]
    paired = asdict(paired_difference(difference, task, rng, level))
    row: dict[str, object] = {"items": paired["items"], "tasks": paired["tasks"]}
    row |= {"a": float(scores[0].mean()), "b": float(scores[1].mean()), "difference": paired["observed"]}
    row |= {key: paired[key] for key in ("mean", "lower", "upper", "ahead", "improvement")}
    beyond = {"beyond": "observed", "beyond_lower": "lower", "beyond_upper": "upper"}
    row |= {name: paired[key] - general for name, key in beyond.items()}
    half, quantile = (paired["upper"] - paired["lower"]) / 2, normal_quantile(level)
    return row | {"detectable": half * (quantile + float(ndtri(POWER))) / quantile}
