"""The local annotator's model: an ordinal probit on a Gaussian process over item features.

The process is the sum of effects of benchmark and task, and of smooth functions of the embedding and of simple text
traits (length, symbols, ...), each partly shared by all tasks and partly specific to a task. Hyperparameters are chosen
for each rubric by leave-one-out error in closed form (Rasmussen & Williams, 2006, section 5.4.2). Cut points convert
the process to probabilities of the levels 0 to 5; they are fitted to leave-one-out predictions, for calibration.
"""

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from capscope.axes import ItemDim, RowFloats, RowIndex
from capscope.data import task_labels
from capscope.errors import FitError, counted

FEWEST = 20
"""Fewest labelled items."""
MOST = 2000
"""Largest number of labelled items, of which a random sample is used; time grows with their cube."""
TAIL = 0.025
"""Share of the labelled items that are outside the support when left out."""
OPTION = re.compile(r"\([A-Z]\)|^[A-Z][.)]\s", re.MULTILINE)
TINY = 1e-6


@dataclass(frozen=True)
class TextFeatures:
    """Features of items with a text."""

    items: tuple[str, ...]
    """Ids on the item axis."""
    vector: Float[np.ndarray, "item feature"]
    """Embedding of unit length."""
    traits: Float[np.ndarray, "item trait"]
    """Text traits (see `text_traits`), unscaled."""
    benchmark: Int[np.ndarray, " item"]
    """Number of the benchmark."""
    task: Int[np.ndarray, " item"]
    """Number of the task."""

    def take(self, index: np.ndarray) -> "TextFeatures":
        """Return the chosen items (index or mask)."""
        kept = np.arange(len(self.items))[index]
        return TextFeatures(
            tuple(self.items[position] for position in kept),
            self.vector[kept],
            self.traits[kept],
            self.benchmark[kept],
            self.task[kept],
        )


def item_features(items: pd.DataFrame, vectors: np.ndarray) -> TextFeatures:
    """Gather the features of items.

    Args:
        items: Rows with `item_id`, `benchmark`, `task` and a text each.
        vectors: Their embeddings, in the same order.
    """
    return TextFeatures(
        tuple(items["item_id"].astype(str)),
        vectors.astype(float),
        np.array([text_traits(text) for text in items["text"].astype(str)]),
        pd.factorize(items["benchmark"].astype(str))[0].astype(np.int64),
        pd.factorize(task_labels(items))[0].astype(np.int64),
    )


def text_traits(text: str) -> list[float]:
    """Return traits of a text: length, lines, words, digits, capitals, symbols, questions, quotes, options."""
    words = text.split() or [""]
    length = max(len(text), 1)
    return [
        float(np.log1p(len(text))),
        float(np.log1p(len(words))),
        float(np.log1p(text.count("\n"))),
        sum(map(len, words)) / len(words),
        len(set(words)) / len(words),
        sum(letter.isdigit() for letter in text) / length,
        sum(letter.isupper() for letter in text) / length,
        sum(not letter.isalnum() and not letter.isspace() for letter in text) / length,
        float(np.log1p(text.count("?"))),
        float(np.log1p(text.count('"') + text.count("'"))),
        float(np.log1p(len(OPTION.findall(text)))),
    ]


@dataclass(frozen=True)
class OrdinalLink:
    """Cut points on the latent scale (McCullagh, 1980)."""

    cuts: Float[np.ndarray, " cut"]
    """Five rising cut points; level l lies between cut l-1 and cut l."""
    sd_factor: float
    """Factor on the latent standard deviation that makes the chances calibrated."""

    def probability(
        self, latent: Float[np.ndarray, " row"], sd: Float[np.ndarray, " row"]
    ) -> Float[np.ndarray, "row 6"]:
        """Return the chances of the six levels.

        Args:
            latent: Latent levels.
            sd: Their standard deviations.
        """
        from scipy.special import ndtr

        below = ndtr((self.cuts[None, :] - latent[:, None]) / (self.sd_factor * sd[:, None]))
        edges = np.hstack([np.zeros((len(latent), 1)), below, np.ones((len(latent), 1))])
        chances = np.maximum(np.diff(edges, axis=1), TINY)
        return chances / chances.sum(axis=1, keepdims=True)


def fit_link(latent: RowFloats, sd: RowFloats, level: RowIndex) -> OrdinalLink:
    """Find the cut points and the sd_factor under which the observed levels are likeliest.

    Levels that were never seen keep a narrow band, by half a pseudo-observation each.

    Args:
        latent: Predictions made without the row's own level.
        sd: Their standard deviations.
        level: Whole levels, 0 to 5.
    """
    from scipy.optimize import minimize
    from scipy.special import ndtri

    counts = np.bincount(level, minlength=6) + 0.5
    share = np.cumsum(counts / counts.sum())[:-1]
    total = np.sqrt(latent.var() + np.mean(sd**2))
    start_cuts = np.asarray(latent.mean() + total * ndtri(share))
    start = np.concatenate([[start_cuts[0]], np.log(np.maximum(np.diff(start_cuts), 1e-3)), [0.0]])
    index = np.arange(len(level))

    def cost(theta: np.ndarray) -> float:
        chances = _link(theta).probability(latent, sd)[index, level]
        return float(-np.log(chances).mean() + ((theta - start) ** 2).sum() / (2 * len(level)))

    optimum = minimize(cost, start, method="L-BFGS-B", options={"maxiter": 60})
    return _link(optimum.x if optimum.fun < cost(start) else start)


def _link(theta: np.ndarray) -> OrdinalLink:
    steps = np.exp(np.clip(theta[1:5], -8, 4))
    return OrdinalLink(
        np.concatenate([theta[:1], theta[0] + np.cumsum(steps)]), float(np.exp(np.clip(theta[5], -1, 1)))
    )


@dataclass(frozen=True)
class Kernel:
    """Covariance function of items."""

    vector_scale: float
    """Length scale of embeddings; unit vectors have a distance of at most 2."""
    trait_scale: float
    """Length scale of standardised text traits, per trait."""

    def between(self, left: TextFeatures, right: TextFeatures) -> Float[np.ndarray, "left right"]:
        """Return the covariance of every pair; traits must be standardised in the same way.

        Args:
            left: Features of some items, one row each.
            right: Features of others.
        """
        same_task = (left.task[:, None] == right.task[None, :]).astype(float)
        same_benchmark = (left.benchmark[:, None] == right.benchmark[None, :]).astype(float)
        apart = np.maximum(2 - 2 * left.vector @ right.vector.T, 0)
        by_vector = np.exp(-apart / (2 * self.vector_scale**2))
        count = left.traits.shape[1]
        square = (left.traits**2).sum(1)[:, None] + (right.traits**2).sum(1)[None, :] - 2 * left.traits @ right.traits.T
        by_traits = np.exp(-np.maximum(square, 0) / (2 * count * self.trait_scale**2))
        shared = 0.5 + 0.5 * same_task
        return 0.3 * same_benchmark + same_task + shared * by_vector + 0.5 * shared * by_traits

    @property
    def at_zero(self) -> float:
        """Return the prior variance of an item."""
        return 0.3 + 1 + 1 + 0.5


KERNELS = tuple(Kernel(vector, shape) for vector in (0.5, 1.2) for shape in (1.0, 2.0))
NOISES = (0.3, 1.0, 3.0)
SUPPORT_KERNEL = Kernel(0.8, 1.5)


@dataclass(frozen=True)
class LevelForecast:
    """Predicted level probabilities of items."""

    items: tuple[str, ...]
    """Ids on the item axis."""
    dims: tuple[str, ...]
    """Rubric codes on the dimension axis."""
    probability: Float[np.ndarray, "item dim level"]
    """Chance of each level."""
    supported: Bool[np.ndarray, " item"]
    """False where the item is too far from the labelled items, and gets no label."""
    spread: Float[np.ndarray, "dim two"]
    """Offset and slope that give expectations the mean and spread of the labels learnt from."""

    @cached_property
    def expectation(self) -> ItemDim:
        """Return the expected level; its spread is smaller than that of labels, by what is not known."""
        return self.probability @ np.arange(6.0)

    @cached_property
    def level(self) -> ItemDim:
        """Return levels whose mean and spread are those of the labels learnt from, within 0 to 5."""
        return np.clip(self.spread[:, 0] + self.spread[:, 1] * self.expectation, 0, 5)

    @cached_property
    def sd(self) -> ItemDim:
        """Return the root mean squared error to expect of `level`."""
        levels = np.arange(6.0)
        return np.sqrt((self.probability * (levels - self.level[..., None]) ** 2).sum(-1))


@dataclass(frozen=True)
class Spectrum:
    """Eigendecomposition of a kernel over the labelled items, shared by all noise variances."""

    values: Float[np.ndarray, " labelled"]
    """Eigenvalues."""
    basis: Float[np.ndarray, "labelled labelled"]
    """Eigenvectors, by column."""

    def solve(self, right: np.ndarray, noise: float) -> np.ndarray:
        """Return the inverse of kernel plus noise (its variance relative to the kernel's) times a vector or matrix."""
        inner = self.basis.T @ right
        divisor = self.values + noise
        return self.basis @ (inner / (divisor if right.ndim == 1 else divisor[:, None]))

    def precision(self, noise: float) -> Float[np.ndarray, " labelled"]:
        """Return the diagonal of the inverse of kernel plus noise."""
        return (self.basis**2 / (self.values + noise)).sum(axis=1)

    def explained(self, near: np.ndarray, noise: float) -> Float[np.ndarray, " item"]:
        """Return the variance of other items that the labelled ones explain; kernel `near` is (item, labelled)."""
        return ((near @ self.basis) ** 2 / (self.values + noise)).sum(axis=1)


@dataclass(frozen=True)
class Process:
    """The process of one rubric."""

    kernel: Kernel
    """Covariance function."""
    noise: float
    """Noise variance of a label, relative to the kernel's variance."""
    mean: float
    """Mean level of the labelled items."""
    weight: Float[np.ndarray, " labelled"]
    """Weight of each labelled item in a prediction."""
    scale: float
    """Standard deviation of the process, in levels."""
    link: OrdinalLink
    """Cut points."""
    spread: tuple[float, float]
    """Offset and slope that give expectations the mean and spread of the labels."""


@dataclass(frozen=True)
class LocalModel:
    """A fitted local annotator."""

    dims: tuple[str, ...]
    """Rubric codes on the dimension axis."""
    trained_on: TextFeatures
    """The labelled items, with standardised traits."""
    trait_mean: Float[np.ndarray, " trait"]
    """Mean of each trait over the labelled items."""
    trait_sd: Float[np.ndarray, " trait"]
    """Their standard deviation."""
    processes: tuple[Process, ...]
    """One process for each rubric."""
    spectra: dict[Kernel, Spectrum]
    """Spectrum of every kernel in use."""
    support_bound: float
    """Share of variance explained below which an item is outside the support."""

    def predict(self, features: TextFeatures) -> LevelForecast:
        """Return the chances of the levels of items, and which of them are inside the support."""
        features = _scaled(features, self.trait_mean, self.trait_sd)
        blocks = {kernel: kernel.between(features, self.trained_on) for kernel in self.spectra}
        unexplained = {
            (p.kernel, p.noise): p.kernel.at_zero - self.spectra[p.kernel].explained(blocks[p.kernel], p.noise)
            for p in self.processes
        }
        chances = [_forecast(p, blocks[p.kernel], unexplained[p.kernel, p.noise]) for p in self.processes]
        near = self.spectra[SUPPORT_KERNEL].explained(blocks[SUPPORT_KERNEL], 1.0) / SUPPORT_KERNEL.at_zero
        spread = np.array([process.spread for process in self.processes])
        return LevelForecast(features.items, self.dims, np.stack(chances, axis=1), near >= self.support_bound, spread)


def fit_local_model(
    features: TextFeatures, levels: ItemDim, dims: tuple[str, ...], rng: np.random.Generator
) -> LocalModel:
    """Learn to rate like one annotator.

    Args:
        features: Labelled items.
        levels: The annotator's levels, 0 to 5; rows with a gap are left out.
        dims: Rubric codes.
        rng: Chooses a part of the items where there are more than `MOST`.

    Raises:
        FitError: Fewer than `FEWEST` items are labelled on every rubric.
    """
    rows = learnable_rows(levels, rng)
    return fit_rows(features.take(rows), levels[rows], dims)


def learnable_rows(levels: ItemDim, rng: np.random.Generator) -> np.ndarray:
    """Return the numbers of the items that a model learns from: those without a gap, at most `MOST`.

    Args:
        levels: Demand levels, shape (item, dim), NaN where there is none.
        rng: Source of randomness.

    Raises:
        FitError: Fewer than `FEWEST` items are labelled on every rubric.
    """
    whole = np.flatnonzero(np.isfinite(levels).all(axis=1))
    if len(whole) < FEWEST:
        labelled = f"{counted(len(whole), 'item', 'are')} labelled on all {levels.shape[1]} rubrics"
        raise FitError(f"{labelled}, and {FEWEST} are needed; label more")
    return np.sort(rng.choice(whole, MOST, replace=False)) if len(whole) > MOST else whole


def fit_rows(features: TextFeatures, levels: ItemDim, dims: tuple[str, ...]) -> LocalModel:
    """Fit the model to items that are labelled on every rubric.

    Args:
        features: Features of the items.
        levels: Their demand levels, shape (item, dim).
        dims: Rubrics, in the order of the columns.
    """
    from scipy.linalg import eigh

    mean, sd = features.traits.mean(0), np.maximum(features.traits.std(0), 1e-6)
    features = _scaled(features, mean, sd)
    spectra = {kernel: Spectrum(*eigh(kernel.between(features, features))) for kernel in (*KERNELS, SUPPORT_KERNEL)}
    processes = _fit_processes(spectra, levels)
    used = {process.kernel for process in processes} | {SUPPORT_KERNEL}
    kept = {kernel: spectrum for kernel, spectrum in spectra.items() if kernel in used}
    return LocalModel(dims, features, mean, sd, processes, kept, _support_bound(spectra[SUPPORT_KERNEL]))


def _scaled(features: TextFeatures, mean: np.ndarray, sd: np.ndarray) -> TextFeatures:
    traits = (features.traits - mean) / sd
    return TextFeatures(features.items, features.vector, traits, features.benchmark, features.task)


def _fit_processes(spectra: dict[Kernel, Spectrum], levels: ItemDim) -> tuple[Process, ...]:
    """Choose kernel and noise variance for each rubric by leave-one-out error."""
    centred = levels - levels.mean(axis=0)
    choices = [(kernel, noise) for kernel in KERNELS for noise in NOISES]
    errors = [
        ((spectra[kernel].solve(centred, noise) / spectra[kernel].precision(noise)[:, None]) ** 2).mean(axis=0)
        for kernel, noise in choices
    ]
    best = np.argmin(errors, axis=0)
    return tuple(
        _process(spectra, choices[choice][0], choices[choice][1], levels[:, dim]) for dim, choice in enumerate(best)
    )


def _process(spectra: dict[Kernel, Spectrum], kernel: Kernel, noise: float, level: np.ndarray) -> Process:
    mean = float(level.mean())
    weight = spectra[kernel].solve(level - mean, noise)
    precision = spectra[kernel].precision(noise)
    left_out = level - weight / precision
    scale = float(np.sqrt(np.mean(weight**2 / precision)))
    sd = np.maximum(scale / np.sqrt(precision), 1e-3)
    link = fit_link(left_out, sd, np.rint(level).astype(np.int64))
    expected = link.probability(left_out, sd) @ np.arange(6.0)
    slope = float(np.clip(level.std() / max(expected.std(), 1e-6), 1.0, 3.0))
    return Process(kernel, noise, mean, weight, scale, link, (float(level.mean() - slope * expected.mean()), slope))


def _forecast(process: Process, near: np.ndarray, unexplained: np.ndarray) -> np.ndarray:
    latent = process.mean + near @ process.weight
    sd = process.scale * np.sqrt(np.maximum(unexplained, 0) + process.noise)
    return process.link.probability(latent, np.maximum(sd, 1e-3))


def _support_bound(spectrum: Spectrum) -> float:
    """Return the share of variance explained that a few labelled items would miss if left out themselves."""
    left_out = 1 - (1 / spectrum.precision(1.0) - 1) / SUPPORT_KERNEL.at_zero
    return float(np.quantile(left_out, TAIL))
