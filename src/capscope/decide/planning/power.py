"""Power of a release decision by simulation: the gate decides on past pairs of models with a known difference.

The pairs are models of the study and are removed from its past models. The candidate's answers are changed to those of
another ability: on each item a wrong answer becomes right (or a right one wrong) with the probability that follows from
the change of ability. Items are drawn and the difference is tested as by `capscope gate`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtr, ndtri

from capscope.axes import Float, ModelItem, RowFloats
from capscope.data import Responses, Study
from capscope.decide.difference import PairedDifferences, features_of
from capscope.decide.gate_evaluation import Design, chosen_pairs, pair_answers
from capscope.decide.version_answers import VersionAnswers, draw, flip_chances, ordered_by_similarity
from capscope.errors import InputError, refuse_absent_model
from capscope.tasks import run_tasks

FEWEST_ANSWERS = 30
"""Smallest number of answers that is simulated."""

SIZES = 6
"""Number of sizes that are simulated."""

REFINED = (0.85, 1.0, 1.15)
"""Sizes of the second simulation, as multiples of the one with the wanted power."""

NEARBY = 0.35
"""Bandwidth of that regression: standard deviation of the Gaussian kernel on the log ratio of two sizes."""

WHOLE = 0.9
"""Smallest number of common items of a pair, as a share of that of the pair with most."""

FARTHEST = 12.0
"""Largest change of ability, in log-odds."""

ItemChances = Float[np.ndarray, " item"]


@dataclass(frozen=True, kw_only=True)
class PowerSettings:
    """Settings of a power simulation."""

    difference: float = 0.02
    """Difference of candidate and baseline to be detected, as a share; its sign does not matter."""
    power: float = 0.8
    """Probability to detect it."""
    level: float = 0.95
    """Coverage of the interval."""
    fixed: bool = False
    """Whether another run would give the same answers."""
    design: Design = "even"
    """How the candidate's items are drawn."""
    baseline: str | None = None
    """Version in use, whose pairs are simulated; by default all models."""
    within: float = 0.05
    """Largest difference in mean score of a pair."""
    pairs: int = 20
    """Number of pairs of models."""
    runs: int = 200
    """Number of decisions for each size; twice as many near the size with the wanted power."""
    sizes: tuple[int, ...] = ()
    """Sizes (numbers of answers); by default chosen from the size of the suite."""
    seed: int = 0
    """Seed of all draws."""


@dataclass(frozen=True)
class SimulatedSize:
    """Simulated decisions from one number of answers."""

    answers: int
    """Answers of the candidate."""
    error: RowFloats
    """Estimated minus true difference of each run."""
    standard_error: RowFloats
    """Stated standard error of each run."""
    paired_error: RowFloats
    """Error of the plain paired mean in each run."""

    def power(self, difference: float, quantile: float) -> float:
        """Share of runs that detect a difference of this size: the interval excludes 0 on the right side.

        Args:
            difference: True difference, as a share.
            quantile: Quantile of the standard normal distribution.
        """
        up = difference + self.error - quantile * self.standard_error > 0
        down = -difference + self.error + quantile * self.standard_error < 0
        return float((up.mean() + down.mean()) / 2)

    def detectable(self, quantile: float, power: float) -> float:
        """Smallest difference that the runs detect with a power.

        Args:
            quantile: Quantile of the standard normal distribution.
            power: Share of the runs that have to detect it.
        """
        needed = np.concatenate(
            [quantile * self.standard_error - self.error, quantile * self.standard_error + self.error]
        )
        return float(np.quantile(needed, power))

    def half_width(self, quantile: float) -> float:
        """Mean half-width of the intervals."""
        return quantile * float(self.standard_error.mean())


@dataclass(frozen=True)
class SimulatedPower:
    """Simulated decisions from several numbers of answers."""

    settings: PowerSettings
    """Settings of the simulation."""
    sizes: tuple[SimulatedSize, ...]
    """Decisions by number of answers, fewest first."""
    n_items: int
    """Number of items of the suite."""
    n_pairs: int
    """Number of pairs of models."""

    @property
    def quantile(self) -> float:
        """Half-width of the interval in standard errors."""
        return float(ndtri(0.5 + self.settings.level / 2))

    def power_at(self, answers: int, difference: float) -> float:
        """Power at a number of answers, by kernel-weighted probit regression on the square root of simulated sizes.

        Args:
            answers: Answers of the candidate.
            difference: Difference, as a share.
        """
        root, height, runs = self._points(difference)
        near = runs * np.exp(-0.5 * (np.log((root + 1) ** 2 / (np.sqrt(answers) + 1) ** 2) / NEARBY) ** 2)
        # the normal quantile of a share near 0 or 1 has a large variance
        weight = near * np.exp(-(height**2)) / (ndtr(height) * ndtr(-height)) + 1e-12
        centre = np.average(root, weights=weight)
        spread = np.average((root - centre) ** 2, weights=weight)
        slope = np.average((root - centre) * height, weights=weight) / spread if spread > 0 else 0.0
        return float(ndtr(np.average(height, weights=weight) + max(slope, 0.0) * (np.sqrt(answers) - centre)))

    def answers_for(self, difference: float, power: float) -> int | None:
        """Number of answers that detects a difference with a power; None where the whole suite does not.

        Args:
            difference: Difference, as a share.
            power: Wanted power.
        """
        low, high = self.sizes[0].answers, self.n_items
        if self.power_at(high, difference) < power:
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.power_at(middle, difference) >= power else (middle, high)
        return high

    def _points(self, difference: float) -> tuple[RowFloats, RowFloats, RowFloats]:
        """Square root of each size, normal quantile of its power, and its number of runs."""
        runs = np.array([len(size.error) for size in self.sizes], float)
        share = np.array([size.power(difference, self.quantile) for size in self.sizes])
        return (
            np.sqrt([size.answers for size in self.sizes]),
            np.asarray(ndtri(np.clip(share, 0.25 / runs, 1 - 0.25 / runs))),
            runs,
        )

    def answers_for_precision(self, half_width: float) -> int | None:
        """Number of answers with this mean half-width of the interval; None where the whole suite does not reach it."""
        log_size = np.log([size.answers for size in self.sizes])
        log_half = np.log([max(size.half_width(self.quantile), 1e-9) for size in self.sizes])
        if log_half.min() > np.log(half_width):
            return None
        falling = np.minimum.accumulate(log_half)
        found = float(np.exp(np.interp(-np.log(half_width), -falling, log_size)))
        return min(int(np.ceil(found)), self.n_items)


@dataclass(frozen=True)
class _SimulatedPair:
    answers: VersionAnswers
    settings: PowerSettings
    sizes: tuple[int, ...]
    runs: int
    seed: int


def simulate_power(study: Study, settings: PowerSettings | None = None, workers: int = 1) -> SimulatedPower:
    """Simulate decisions on pairs of a study's models.

    Args:
        study: Responses of at least three models that answered the same items.
        settings: Difference, sizes, runs.
        workers: Number of processes.

    Raises:
        InputError: No two models with similar mean scores have enough common items.
    """
    settings = settings or PowerSettings()
    responses = Responses.of(study)
    score = responses.dense().score
    pairs = chosen_pairs(score, settings.within, FEWEST_ANSWERS - 1, None, settings.seed)
    known = ~np.isnan(score)
    shared = {pair: int((known[pair[0]] & known[pair[1]]).sum()) for pair in pairs}
    pairs = [pair for pair in pairs if shared[pair] >= WHOLE * max(shared.values())]
    if settings.baseline is not None:
        refuse_absent_model(study.name, settings.baseline, responses.models)
        pairs = [pair for pair in pairs if responses.models[pair[0]] == settings.baseline]
    pairs = pairs[: settings.pairs]
    if not pairs:
        raise InputError(
            f"{study.name}: no two models within {100 * settings.within:g} points share {FEWEST_ANSWERS} items or more;"
            " power needs past pairs"
        )
    laid_out = [pair_answers(study, responses, score, pair) for pair in pairs]
    n_items = min(len(answers.items) for answers in laid_out)
    coarse = _simulated(laid_out, settings, _sizes(n_items, settings.sizes), settings.runs, workers)
    simulated = SimulatedPower(settings, coarse, n_items, len(pairs))
    reached = simulated.answers_for(settings.difference, settings.power)
    if settings.sizes or reached is None:
        return simulated
    around = tuple(sorted({min(max(round(reached * part), 2), n_items) for part in REFINED}))
    again = _simulated(laid_out, replace(settings, seed=settings.seed + 1), around, 2 * settings.runs, workers)
    kept = [size for size in coarse if size.answers not in around]
    return replace(simulated, sizes=tuple(sorted([*kept, *again], key=lambda size: size.answers)))


def _simulated(
    answers: list[VersionAnswers], settings: PowerSettings, sizes: tuple[int, ...], runs: int, workers: int
) -> tuple[SimulatedSize, ...]:
    each = -(-runs // len(answers))
    tasks = [
        _SimulatedPair(pair, settings, sizes, each, settings.seed + 1000 * number)
        for number, pair in enumerate(answers)
    ]
    rows = np.concatenate([np.array(part) for part in run_tasks(_decisions, tasks, workers=workers)])
    return tuple(SimulatedSize(size, *rows[rows[:, 0] == size].T[1:]) for size in sizes)


def _sizes(n_items: int, wanted: Sequence[int]) -> tuple[int, ...]:
    if wanted:
        return tuple(sorted({min(size, n_items) for size in wanted}))
    return tuple(sorted({round(size) for size in np.geomspace(min(FEWEST_ANSWERS, n_items), n_items, SIZES)}))


def _decisions(pair: _SimulatedPair) -> list[tuple[float, float, float, float]]:
    """Size, error, standard error and error of the paired mean, for each size and run."""
    settings, answers = pair.settings, pair.answers
    rng = np.random.default_rng(pair.seed)
    features, quantile = features_of(answers), float(ndtri(0.5 + settings.level / 2))
    every = np.ones(len(answers.items))
    noise = None if answers.repeats is None else answers.repeats.noise(every > 0, every)
    rows: list[tuple[float, float, float, float]] = []
    for run in range(pair.runs):
        wanted = settings.difference if run % 2 == 0 else -settings.difference
        new = shifted(answers, wanted, rng)
        change = new - answers.baseline_score
        truth = float(change.mean())
        if not settings.fixed:
            # in another run, or with other items of the kind, the suite's difference varies around its expectation
            run_variance = change.var() if noise is None else min(noise.variance, change.var())
            truth += float(np.sqrt(run_variance / len(change)) * rng.standard_normal())
        for size, drawn, chance in _draws(answers, pair.sizes, settings.design, rng):
            known = np.full(len(new), np.nan)
            known[drawn] = new[drawn]
            seen = replace(answers, candidate_score=known)
            difference = PairedDifferences.of(seen, chance, features=features).over()
            again = difference.redrawn_se * difference.run_quantile(quantile) / quantile
            error = difference.suite_se if settings.fixed else again
            plain = rng.permutation(len(new))[:size] if chance is not None else drawn
            rows.append((float(size), difference.estimate - truth, error, float(change[plain].mean()) - truth))
    return rows


def _draws(
    answers: VersionAnswers, sizes: tuple[int, ...], design: Design, rng: np.random.Generator
) -> Iterator[tuple[int, np.ndarray, ItemChances | None]]:
    """Size, drawn items, and their chances where these differ."""
    order = rng.permutation(len(answers.items))
    ordered = ordered_by_similarity(answers.past_score, answers.baseline_score)
    for size in sizes:
        if design == "even":
            yield size, order[:size], None
        else:
            chance = flip_chances(answers.past_score, answers.baseline_score, size)
            yield size, draw(chance, rng, ordered), chance


def shifted(answers: VersionAnswers, wanted: float, rng: np.random.Generator) -> ItemChances:
    """Change the candidate's answers to those of another ability, with a given expected difference to the baseline.

    Args:
        answers: Answers of both versions to the whole suite, and past models'.
        wanted: Candidate minus baseline over the suite, as a share.
        rng: Source of randomness.

    Returns:
        Scores by item: answers of 0 or 1 change at random, fractions by their expected change.
    """
    old, new = answers.baseline_score, answers.candidate_score
    target = float(np.clip(wanted + old.mean(), 0.0, 1.0))
    before = item_chances(answers.past_score, float(new.mean()))

    def moved(delta: float) -> ItemChances:
        after = expit(logit(before) + delta)
        up = new + (1 - new) * np.clip((after - before) / (1 - before), 0, 1)
        return up if delta >= 0 else new * np.clip(after / before, 0, 1)

    lowest, highest = float(moved(-FARTHEST).mean()), float(moved(FARTHEST).mean())
    if not lowest < target < highest:
        delta = -FARTHEST if target <= lowest else FARTHEST
    else:
        delta = float(brentq(lambda delta: float(moved(delta).mean()) - target, -FARTHEST, FARTHEST, xtol=1e-6))
    expected = moved(delta)
    whole = np.isin(new, (0.0, 1.0))
    return np.where(whole, (rng.random(len(new)) < expected).astype(float), expected)


def item_chances(past: ModelItem, mean: float) -> ItemChances:
    """Chances of success on each item for a model with this mean score: past models' rates, shifted in log-odds.

    Args:
        past: Scores of past models without gaps; shape (model, item).
        mean: The model's mean score.
    """
    rate = (past.sum(axis=0) + 0.5) / (len(past) + 1)
    inside = float(np.clip(mean, 0.005, 0.995))
    log_odds = logit(rate)
    shift = brentq(lambda shift: float(expit(log_odds + shift).mean()) - inside, -40.0, 40.0, xtol=1e-6)
    return np.clip(expit(log_odds + float(shift)), 1e-6, 1 - 1e-6)
