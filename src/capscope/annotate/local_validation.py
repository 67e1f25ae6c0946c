"""Cross-validation of the local annotator: agreement with its reference on held-out items."""

from dataclasses import dataclass

import numpy as np

from capscope.annotate.local_model import FEWEST, LevelForecast, TextFeatures, fit_rows, learnable_rows
from capscope.annotate.rater_agreement import quadratic_weighted_kappa
from capscope.axes import ItemDim
from capscope.errors import FitError, counted
from capscope.tasks import run_tasks

LOWEST_QWK = 0.3
"""Cross-validated kappa below which a rubric's levels are not written."""
FOLDS = 5


@dataclass(frozen=True)
class CrossValidation:
    """Agreement of the local annotator with its reference on held-out items."""

    items: int
    """Labelled items."""
    qwk: float
    """Quadratic-weighted kappa, mean over rubrics."""
    by_rubric: dict[str, float]
    """The same for each rubric."""
    abstained: float
    """Share of the held-out items on which it abstains."""
    new_benchmark_qwk: float | None
    """The same kappa when whole benchmarks are held out, abstentions overruled; None with one benchmark."""
    new_benchmark_abstained: float | None
    """Share of items on which it then abstains."""

    def usable(self) -> tuple[str, ...]:
        """Return the rubrics that may be written."""
        return tuple(code for code, qwk in self.by_rubric.items() if qwk >= LOWEST_QWK)


def cross_validate(
    features: TextFeatures, levels: ItemDim, dims: tuple[str, ...], rng: np.random.Generator, *, workers: int = 1
) -> CrossValidation:
    """Measure the local annotator on labelled items: by random folds, and by whole benchmarks.

    Args:
        features: Items.
        levels: Their levels by the annotator to learn from; rows with a gap are left out.
        dims: Rubric codes.
        rng: Source of the folds.
        workers: Processes that share the folds; the numbers are the same for any.

    Returns:
        Agreement with the labels by rubric, over random folds and over benchmarks.

    Raises:
        FitError: Too few items are labelled.
    """
    whole = np.flatnonzero(np.isfinite(levels).all(axis=1))
    if len(whole) < FEWEST * FOLDS / (FOLDS - 1):
        raise FitError(
            f"{counted(len(whole), 'item', 'are')} labelled; the local annotator is measured on 25 or"
            f" more, so label more"
        )
    features, levels = features.take(whole), levels[whole]
    fold = rng.permutation(np.arange(len(whole)) % FOLDS)
    predicted, supported = _held_out(features, levels, dims, fold, rng, workers)
    by_rubric = {dim: quadratic_weighted_kappa(predicted[:, d], levels[:, d]) for d, dim in enumerate(dims)}
    new_qwk, new_abstained = _new_benchmark(features, levels, dims, rng, workers)
    return CrossValidation(
        len(whole), _mean(list(by_rubric.values())), by_rubric, float(1 - supported.mean()), new_qwk, new_abstained
    )


@dataclass(frozen=True)
class HeldOutFold:
    """One fold: what is learnt from, and what is then rated."""

    known: TextFeatures
    """Labelled items to learn from."""
    levels: ItemDim
    """Their levels."""
    dims: tuple[str, ...]
    """Rubric codes."""
    asked: TextFeatures
    """Items to rate."""


def rate_fold(fold: HeldOutFold) -> LevelForecast:
    """Learn from a fold's known items and rate the others."""
    return fit_rows(fold.known, fold.levels, fold.dims).predict(fold.asked)


def _held_out(
    features: TextFeatures,
    levels: ItemDim,
    dims: tuple[str, ...],
    fold: np.ndarray,
    rng: np.random.Generator,
    workers: int,
) -> tuple[ItemDim, np.ndarray]:
    """Return the levels that models give to items of folds they were not fitted on, and whether they were sure to."""
    parts, tasks = list[np.ndarray](), list[HeldOutFold]()
    for number in np.unique(fold):
        out = np.asarray(fold == number)
        if (~out).sum() < FEWEST:
            continue
        # all random draws are made here, in the order of the folds, so that results do not depend on the processes
        rows = np.flatnonzero(~out)[learnable_rows(levels[~out], rng)]
        parts.append(out)
        tasks.append(HeldOutFold(features.take(rows), levels[rows], dims, features.take(out)))
    predicted, supported = np.full(levels.shape, np.nan), np.zeros(len(levels), dtype=bool)
    for out, forecast in zip(parts, run_tasks(rate_fold, tasks, workers=workers), strict=True):
        predicted[out], supported[out] = forecast.level, forecast.supported
    return predicted, supported


def _new_benchmark(
    features: TextFeatures, levels: ItemDim, dims: tuple[str, ...], rng: np.random.Generator, workers: int
) -> tuple[float | None, float | None]:
    """Hold out whole benchmarks; kappas are taken within each, so that differences between them do not help."""
    if len(np.unique(features.benchmark)) < 2:
        return None, None
    predicted, supported = _held_out(features, levels, dims, features.benchmark, rng, workers)
    kappas = [
        quadratic_weighted_kappa(predicted[inside, d], levels[inside, d])
        for name in np.unique(features.benchmark)
        if (inside := (features.benchmark == name) & np.isfinite(predicted[:, 0])).sum() >= FEWEST
        for d in range(len(dims))
    ]
    return _mean(kappas), float(1 - supported.mean())


def _mean(values: list[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")
