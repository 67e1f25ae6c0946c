"""The default forecaster: a Bayesian factor model whose rank and interval widths are measured on hidden cells."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from capscope.axes import FloatArray
from capscope.forecast.calibration import (
    THIN_BENCHMARK,
    HiddenQuestion,
    Residuals,
    draw_question,
    interval_scales,
    kinds_of_cells,
)
from capscope.forecast.factor_model import (
    TAIL,
    CellData,
    FactorDraws,
    FactorSettings,
    draw_factors,
    pooled,
)
from capscope.forecast.features import benchmark_blocks, model_blocks
from capscope.forecast.forecasters.forecaster import CellForecasts, ForecasterEntry
from capscope.forecast.links import TableLink
from capscope.forecast.table_of_scores import PublishedScores

RANKS = {2: 3, 5: 6, 8: 20}
"""Candidate numbers of factors, each with the smallest number of benchmarks for it."""
CELLS_AT_FULL_LENGTH = 30_000
"""Tables with more cells than this get shorter chains."""
TRIAL_LENGTH = 0.7
"""Length of the chains of trials, as a share of the final ones."""
NEARLY_AS_GOOD = 1.05
"""Ranks whose loss on hidden cells is at most this much of the best one's are averaged."""
MOST_MODELS_INSIDE = 400
"""Models of a table that hidden-cell trials use."""
SMALL_TABLE = 5_000
"""Cells up to which known cells are hidden twice as often."""
NOISE_DRAWS = 400
"""Least number of draws of a cell."""


@dataclass(frozen=True, kw_only=True)
class HierarchicalForecaster:
    """Factor model with explained abilities; see `capscope.forecast.factor_model`."""

    factors: int | None = None
    """Number of factors; by default chosen on hidden cells."""
    questions: int = 2
    """Times that known cells are hidden to choose the rank and to scale intervals, twice as often in small tables."""
    burn: int = 100
    """Burn-in iterations."""
    keep: int = 150
    """Iterations kept."""
    leave_out: tuple[str, ...] = ()
    """Blocks of facts about the models that are not used: scale, size x tokens, family, size within family, names."""

    def fit(self, table: PublishedScores, seed: int = 0) -> "FittedHierarchical":
        """Choose the number of factors by held-out loss, draw from the posterior, scale the intervals on hidden cells.

        Args:
            table: Published scores, shape (model, benchmark), NaN where there is none.
            seed: Seed of the hidden cells and of the draws.

        Returns:
            The fitted forecaster.
        """
        rng = np.random.default_rng([seed, 17])
        inner = _subset(table, rng)
        times = self.questions * (2 if inner.values.size <= SMALL_TABLE else 1)
        questions = [draw_question(inner, rng) for _ in range(times)]
        questions = [question for question in questions if question.hidden.any()]
        visible = [inner.hidden(question.hidden) for question in questions]
        trials: dict[int, list[FactorDraws]] = {}
        losses: dict[int, float] = {}
        for rank in self._candidates(inner):
            settings = self._length(inner, rank, TRIAL_LENGTH)
            trials[rank] = [draw_factors(cell_data(part, self.leave_out), settings, rng) for part in visible]
            losses[rank] = _rank_loss(inner, questions, trials[rank], rng)
        factors = min(losses, key=lambda rank: losses[rank])
        near = [rank for rank, loss in losses.items() if loss <= NEARLY_AS_GOOD * losses[factors]]
        ranks = near if table.values.size <= CELLS_AT_FULL_LENGTH else [factors]
        averaged = [pooled([trials[rank][place] for rank in ranks]) for place in range(len(questions))]
        residuals = _residuals(inner, questions, averaged, rng)
        data = cell_data(table, self.leave_out)
        draws = pooled([draw_factors(data, self._length(table, rank), rng) for rank in ranks])
        return FittedHierarchical(table, table.link(), draws, factors, residuals, data, seed)

    def _candidates(self, table: PublishedScores) -> tuple[int, ...]:
        if self.factors is not None:
            return (self.factors,)
        return tuple(rank for rank, least in RANKS.items() if len(table.benchmarks) >= least) or (1,)

    def _length(self, table: PublishedScores, factors: int, share: float = 1.0) -> FactorSettings:
        share = share * min(1.0, max(0.3, CELLS_AT_FULL_LENGTH / table.values.size))
        return FactorSettings(factors=factors, burn=int(self.burn * share), keep=int(self.keep * share))


INNER_LEVEL = 0.8
"""Level at which intervals are measured."""


def _rank_loss(
    table: PublishedScores, questions: list[HiddenQuestion], trials: list[FactorDraws], rng: np.random.Generator
) -> float:
    """Return the loss of one rank over all questions."""
    losses = [0.0]
    for question, draws in zip(questions, trials, strict=True):
        link = table.hidden(question.hidden).link()
        bounds = _link_quantiles(draws, link, INNER_LEVEL, rng, least=1)
        losses.append(_interval_loss(table, link, question, bounds))
    return float(np.sum(losses))


def _residuals(
    table: PublishedScores, questions: list[HiddenQuestion], trials: list[FactorDraws], rng: np.random.Generator
) -> Residuals:
    """Return the distances of hidden scores from their forecasts, for all validation patterns."""
    parts: list[tuple[np.ndarray, np.ndarray, FloatArray]] = []
    for question, draws in zip(questions, trials, strict=True):
        link = table.hidden(question.hidden).link()
        row, column = np.nonzero(question.hidden)
        bounds = _link_quantiles(draws, link, INNER_LEVEL, rng)
        middle, lower, upper = (values[row, column] for values in bounds)
        truth = link.to_link(table.values)[row, column]
        kind = question.kind[row, column]
        half = np.where(truth > middle, upper - middle, middle - lower)
        stretch = np.abs(truth - middle) / np.maximum(half, 1e-9)
        parts.append((kind, np.where(kind == THIN_BENCHMARK, -1 - column, row), stretch))
    merged = [np.concatenate(values) for values in zip(*parts, strict=True)] if parts else [np.zeros(0)] * 3
    return Residuals(merged[0], merged[1], merged[2])


@dataclass(frozen=True)
class FittedHierarchical:
    """Draws from the posterior of a table, with the links and the scales of its intervals."""

    table: PublishedScores
    link: TableLink
    draws: FactorDraws
    factors: int
    """Rank chosen."""
    residuals: Residuals = field(repr=False)
    data: CellData = field(repr=False)
    seed: int = 0

    def scales(self, level: float) -> FloatArray:
        """Factors by which the intervals of each kind of missing cell are scaled, see `calibration.KINDS`."""
        return interval_scales(self.residuals, level if level == INNER_LEVEL else INNER_LEVEL)

    def cells(self, level: float) -> CellForecasts:
        """Forecast every cell; intervals include the uncertainty of parameters and abilities, and noise."""
        rng = np.random.default_rng([self.seed, 29])
        middle, lower, upper = _link_quantiles(self.draws, self.link, level, rng)
        scale = self.scales(level)[kinds_of_cells(np.isfinite(self.table.values))]
        return CellForecasts(
            self.link.from_link(middle),
            self.link.from_link(middle - scale * (middle - lower)),
            self.link.from_link(middle + scale * (upper - middle)),
        )


def cell_data(table: PublishedScores, leave_out: tuple[str, ...] = ()) -> CellData:
    """Convert a table to the data of the sampler.

    Args:
        table: Scores, and facts about the models.
        leave_out: Blocks of facts to leave out.
    """
    link = table.link()
    share = np.nan_to_num(table.values / np.where(np.isfinite(table.tops), table.tops, np.inf))
    counts = np.array([table.counts.get(name, np.inf) for name in table.benchmarks])
    return CellData(
        link_scores=link.to_link(table.values),
        squared_slope=link.squared_slope,
        known_noise=share * (1 - share) / counts,
        model_blocks=tuple(model_blocks(table, leave_out)),
        benchmark_blocks=tuple(benchmark_blocks(table)),
    )


def _subset(table: PublishedScores, rng: np.random.Generator) -> PublishedScores:
    """Return the table, or a part of it with fewer models where it has many."""
    if len(table.names) <= MOST_MODELS_INSIDE:
        return table
    rows = np.sort(rng.permutation(len(table.names))[:MOST_MODELS_INSIDE])
    scores = table.scores.iloc[rows]
    return PublishedScores(scores=scores, units=table.units, counts=table.counts, models=table.models)


def _link_quantiles(
    draws: FactorDraws, link: TableLink, level: float, rng: np.random.Generator, least: int = NOISE_DRAWS
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return median and bounds of every cell on the link scale, noise included in the bounds."""
    n, d = draws.ability.shape[1], draws.intercept.shape[1]
    middle, lower, upper = np.empty((n, d)), np.empty((n, d)), np.empty((n, d))
    tail = (1 - level) / 2
    for column, values in _noisy_columns(draws, link, rng, least):
        centre, noisy = values
        middle[:, column] = np.median(centre, axis=0)
        lower[:, column], upper[:, column] = np.quantile(noisy, [tail, 1 - tail], axis=0)
    return middle, np.minimum(lower, middle - 1e-9), np.maximum(upper, middle + 1e-9)


def _noisy_columns(
    draws: FactorDraws, link: TableLink, rng: np.random.Generator, least: int
) -> Iterator[tuple[int, tuple[FloatArray, FloatArray]]]:
    repeats = 1 if draws.ability.shape[1] > 2 * MOST_MODELS_INSIDE else max(1, -(-least // draws.n_draws))
    for column in range(draws.intercept.shape[1]):
        centre = draws.centre(slice(None), column)
        several = np.concatenate([centre] * repeats)
        on_link = np.sqrt(np.tile(draws.link_noise[:, column], repeats))[:, None]
        on_score = np.sqrt(np.tile(draws.score_noise[:, column], repeats))[:, None]
        noisy = several + on_link * rng.standard_t(TAIL, size=several.shape)
        slope = np.sqrt(link.of_column(column).squared_slope(noisy[..., None])[..., 0])
        yield column, (centre, noisy + on_score * slope * rng.standard_normal(several.shape))


def _interval_loss(
    table: PublishedScores,
    link: TableLink,
    question: HiddenQuestion,
    bounds: tuple[FloatArray, FloatArray, FloatArray],
) -> float:
    """Return the mean pinball loss at the median and the bounds, each benchmark's scores in units of their spread."""
    known = table.scores.notna()
    spread = table.scores.loc[:, known.any()].std(ddof=0).reindex(table.scores.columns).to_numpy(dtype=float)
    unit = np.where(np.isfinite(table.tops), table.tops, np.where(spread > 0, 4 * spread, 1))
    missing = kinds_of_cells(np.isfinite(table.values))[~np.isfinite(table.values)]
    middle, lower, upper = (link.from_link(values) for values in bounds)
    tail = (1 - INNER_LEVEL) / 2
    total = 0.0
    for kind in np.unique(question.kind[question.hidden]):
        cells = question.hidden & (question.kind == kind)
        loss = sum(
            _pinball((table.values - values) / unit, quantile)[cells].mean()
            for values, quantile in ((lower, tail), (middle, 0.5), (upper, 1 - tail))
        )
        total += float(loss) * float((missing == kind).mean() if len(missing) else 1)
    return total


def _pinball(error: FloatArray, quantile: float) -> FloatArray:
    return np.maximum(quantile * error, (quantile - 1) * error)


HIERARCHICAL = ForecasterEntry(
    name="hierarchical",
    help="Bayesian factor model: abilities explained by scale, family and name; rank chosen on hidden cells",
    needs="nothing but the scores; uses size, tokens, compute, family and date where given",
    make=HierarchicalForecaster,
)
