"""Items of the demand-ability model, and the columns that explain their difficulty."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from capscope.axes import FloatArray, ItemDim, RowFloats
from capscope.data import Study, known_chance, known_levels, task_labels
from capscope.errors import FitError

Columns = Float[np.ndarray, "item column"]

MOST_FLOOR = 0.95
"""Largest chance of a guess; items above it have no information."""

LANDMARKS = 100
"""Items around which interactions of demands are drawn (Nystroem; Williams & Seeger, 2001)."""

LEAST_RELIABLE = 0.1
"""Smallest share of the variance of a combination of levels that must be left after subtracting rating error."""
LEAST_SCALE = 0.3
"""Smallest standard deviation that a dimension is divided by, as a share of the typical one, so that a dimension with
little variation does not give single items extreme values."""
SAME_TEXTS = 1e-9
"""Text vectors that vary by less over the fitted items are of items without texts, or with all the same."""


@dataclass(frozen=True)
class DemandItems:
    """Features of items in the demand-ability model."""

    demands: ItemDim | None
    """Demand levels; None for none."""
    demand_sd: ItemDim | None
    """Standard deviation of each level; None where they are taken as exact."""
    text: Columns | None
    """Reduced text vectors; None for none."""
    task: tuple[str, ...]
    """Name of each item's task."""
    benchmark: tuple[str, ...]
    """Name of each item's benchmark."""
    floor: RowFloats
    """Chance of a right guess."""

    def at(self, index: np.ndarray) -> "DemandItems":
        """Return some of the items, by position."""
        picked = [None if part is None else part[index] for part in (self.demands, self.demand_sd, self.text)]
        task, benchmark = (tuple(np.array(names, dtype=object)[index]) for names in (self.task, self.benchmark))
        return DemandItems(picked[0], picked[1], picked[2], task, benchmark, self.floor[index])


@dataclass(frozen=True)
class DemandBasis:
    """The map from levels, texts and labels to columns, learnt on the fitted items."""

    center: np.ndarray
    """Mean of each demand over the fitted items."""
    scale: np.ndarray
    """Standard deviation of each demand over the fitted items, in levels."""
    landmarks: np.ndarray
    """Standardised demands of the landmarks, as (landmark, dim); empty without interactions."""
    root: np.ndarray
    """Whitening of the landmarks' kernel, as (landmark, landmark)."""
    kernel_mean: np.ndarray
    """Mean of each interaction column over the fitted items."""
    text_scale: float
    """What text vectors are divided by."""
    text_dims: int
    """Number of text columns; 0 for none."""
    tasks: tuple[str, ...]
    """Tasks with an effect of their own."""
    benchmarks: tuple[str, ...]
    """Benchmarks of the fitted items."""
    noise: np.ndarray
    """Mean variance of the fitted items' levels, by dimension."""

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """Name and number of columns of each group of columns, in their order."""
        sizes = (len(self.center), len(self.landmarks), self.text_dims, len(self.tasks), len(self.benchmarks))
        return tuple(zip(("demands", "interactions", "text", "task", "benchmark"), sizes, strict=True))

    def standard(self, items: DemandItems) -> ItemDim:
        """Return standardised demands.

        Raises:
            FitError: The items have other demands than the fit, or a level is missing.
        """
        if not len(self.center):
            return np.zeros((len(items.task), 0))
        if items.demands is None or items.demands.shape[1] != len(self.center):
            given = 0 if items.demands is None else items.demands.shape[1]
            raise FitError(f"the items have {given} demands and the fit {len(self.center)}; give the same ones")
        if not np.isfinite(items.demands).all():
            raise FitError("a demand level of an item is missing; annotate it or drop the item")
        return (items.demands - self.center) / self.scale

    def columns(self, items: DemandItems) -> Columns:
        """Return the columns of all groups, side by side; unknown tasks and benchmarks have zeros.

        Raises:
            FitError: The fit was made with texts, and the items have none or vectors of another length.
        """
        standard = self.standard(items)
        blocks = [standard]
        if len(self.landmarks):
            blocks.append(_kernel(standard, self.landmarks) @ self.root - self.kernel_mean)
        if self.text_dims:
            if items.text is None or items.text.shape[1] != self.text_dims:
                raise FitError(
                    f"the fit reads texts as {self.text_dims} numbers; give the same vectors for these items"
                )
            blocks.append(items.text / self.text_scale)
        blocks += [_one_hot(items.task, self.tasks), _one_hot(items.benchmark, self.benchmarks)]
        return np.hstack(blocks)

    def extra_noise(self, items: DemandItems) -> ItemDim | None:
        """Return the variance by which levels are noisier than those of the fit, in squared standardised units.

        The noise of the fitted levels is part of the fit's residual already.
        """
        if items.demand_sd is None or not len(self.center):
            return None
        return np.maximum(items.demand_sd**2 - self.noise, 0) / self.scale**2


def make_basis(items: DemandItems, *, interactions: bool, seed: int) -> DemandBasis:
    """Choose and scale the columns by the fitted items.

    Args:
        items: The fitted items, with demand levels (item, dim) and, where known, texts, tasks and benchmarks.
        interactions: Whether a kernel over the demands is added, so that effects of demands may depend on each other.
        seed: Seed of the choice of the kernel's landmarks.

    Returns:
        The basis, which gives the columns of any items.
    """
    raw = np.zeros((len(items.task), 0)) if items.demands is None else items.demands
    spread = raw.std(axis=0)
    typical = spread.mean() if spread.size else 1.0
    scale = np.maximum(spread, LEAST_SCALE * typical) if typical > 0 else np.ones_like(spread)
    center = raw.mean(axis=0) if raw.size else np.zeros(0)
    landmarks, root, kernel_mean = _landmarks((raw - center) / scale, seed if interactions else None)
    text_scale = 0.0 if items.text is None else float(items.text.std())
    tasks, benchmarks = tuple(sorted(set(items.task))), tuple(sorted(set(items.benchmark)))
    return DemandBasis(
        center=center,
        scale=scale,
        landmarks=landmarks,
        root=root,
        kernel_mean=kernel_mean,
        text_scale=text_scale if text_scale > SAME_TEXTS else 1.0,
        # nothing can be learnt from texts where the fitted items have none, or all the same
        text_dims=0 if items.text is None or text_scale <= SAME_TEXTS else items.text.shape[1],
        # a task for each item, or one for all, is confounded with the item residual or the intercept
        tasks=tasks if 1 < len(tasks) <= len(items.task) / 2 else (),
        benchmarks=benchmarks,
        noise=np.zeros(len(center)) if items.demand_sd is None else (items.demand_sd**2).mean(axis=0),
    )


def error_correction(levels: ItemDim, noise: FloatArray) -> FloatArray:
    """Return the matrix that turns slopes on rated levels into slopes on the levels without rating error.

    With rated levels w = x + error, slopes on w are ``(cov w)^-1 cov x`` times the slopes on x (regression calibration;
    Carroll, Ruppert, Stefanski & Crainiceanu, 2006). Errors of different demands are taken as independent.

    Args:
        levels: Rated levels, as (item, dim).
        noise: Mean variance of the error of a level, by dimension.

    Returns:
        ``(cov w - diag noise)^-1 cov w``, as (dim, dim).

    Raises:
        FitError: Most of the differences between the items' levels are rating error.
    """
    rated = np.atleast_2d(np.cov(levels, rowvar=False))
    spread = np.sqrt(np.maximum(np.diag(rated), 1e-12))
    kept = (rated - np.diag(noise)) / np.outer(spread, spread)
    values = np.linalg.eigvalsh(kept)
    if values.min() < LEAST_RELIABLE:
        worst = int(np.argmin(np.diag(kept)))
        raise FitError(
            f"levels differ by little more than their rating error (demand {worst + 1}: {noise[worst]:.2f} of a"
            f" variance of {rated[worst, worst]:.2f}), so slopes cannot be corrected for it; rate the items by more"
            " annotators"
        )
    return np.linalg.solve(rated - np.diag(noise), rated)


def _landmarks(standard: ItemDim, seed: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    dims = standard.shape[1]
    if seed is None or not dims:
        return np.zeros((0, dims)), np.zeros((0, 0)), np.zeros(0)
    different = np.unique(standard, axis=0)
    count = min(LANDMARKS, len(different))
    picked = different[np.sort(np.random.default_rng(seed).permutation(len(different))[:count])]
    values, vectors = np.linalg.eigh(_kernel(picked, picked))
    root = vectors / np.sqrt(np.maximum(values, 1e-8)) * (values > 1e-8)
    return picked, root, (_kernel(standard, picked) @ root).mean(axis=0)


def _kernel(left: ItemDim, right: Float[np.ndarray, "landmark dim"]) -> Float[np.ndarray, "item landmark"]:
    square = (left**2).sum(1)[:, None] + (right**2).sum(1)[None] - 2 * left @ right.T
    return np.exp(-np.maximum(square, 0) / (2 * left.shape[1]))


def _one_hot(names: tuple[str, ...], known: tuple[str, ...]) -> Columns:
    return (np.array(names, dtype=object)[:, None] == np.array(known, dtype=object)[None]).astype(float)


def demand_items(
    study: Study,
    ids: tuple[str, ...],
    dims: tuple[str, ...],
    annotator: str | None = None,
    typical: tuple[np.ndarray, np.ndarray] | None = None,
) -> DemandItems:
    """Return the features of some items of a study; see `known_levels` for gaps.

    Args:
        study: A study with demand levels.
        ids: Items, by id.
        dims: Dimensions, in the order of the columns.
        annotator: Annotator of the levels; by default the fused ones, else the mean over annotators.
        typical: Mean and standard deviation of the levels of each dim, for items without a level.
    """
    level, sd = known_levels(study, ids, annotator, dims, typical)
    if study.items is None:
        return DemandItems(level, sd, None, ("",) * len(ids), ("",) * len(ids), np.zeros(len(ids)))
    table = study.items.assign(label=task_labels(study.items)).set_index(study.items["item_id"].astype(str))
    table = table.reindex(list(ids))
    floor = known_chance(table["chance"]).fillna(0).to_numpy() if "chance" in table else np.zeros(len(ids))
    return DemandItems(level, sd, None, _names(table["label"]), _names(table["benchmark"]), floor.clip(0, MOST_FLOOR))


def _names(labels: pd.Series) -> tuple[str, ...]:
    return tuple(labels.astype(object).where(labels.notna(), "").astype(str))
