"""The local annotator: learns from one annotator's labels in a study, is measured, and rates the remaining items."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.annotate.cells import Job
from capscope.annotate.distil import choose_items
from capscope.annotate.labels import COLUMNS, merge_labels, write_demands
from capscope.annotate.local_features import ItemFeatures, item_features
from capscope.annotate.local_model import FEWEST, LevelForecast, fit_local_model
from capscope.annotate.rater_statistics import quadratic_weighted_kappa
from capscope.axes import ItemDim
from capscope.data import Demands, Study
from capscope.embedding import default_model, embed
from capscope.errors import FitError

LOWEST_QWK = 0.3
"""Cross-validated kappa below which a rubric's levels are not written."""
FOLDS = 5


@dataclass(frozen=True)
class CrossValidation:
    """How the local annotator agrees with the one it learns from, on items it was not shown."""

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


@dataclass(frozen=True)
class LocalReport:
    """What a local run did."""

    annotator: str
    """Name under which the labels are stored."""
    reference: str
    """The annotator it learnt from."""
    labels: int
    """Labels written."""
    rated: int
    """Items rated."""
    abstained: int
    """Items outside the support, which got no label."""
    withheld: tuple[str, ...]
    """Rubrics that were not written, since their cross-validated kappa is below `LOWEST_QWK`."""
    expected: CrossValidation
    """The agreement with the reference to expect."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)

    def as_text(self) -> str:
        """Return lines to read."""
        lines = [
            f"{self.annotator}: {self.labels} labels on {self.rated} items; abstained on {self.abstained}",
            f"expect a mean kappa of {self.expected.qwk:.2f} with {self.reference}"
            f" (cross-validated on {self.expected.items} items, abstaining on {self.expected.abstained:.0%})",
        ]
        if self.expected.new_benchmark_qwk is not None:
            lines.append(
                f"on a benchmark it has seen nothing of: kappa {self.expected.new_benchmark_qwk:.2f},"
                f" abstaining on {self.expected.new_benchmark_abstained:.0%}"
            )
        lines += [f"withheld for low kappa: {', '.join(self.withheld)}"] if self.withheld else []
        return "\n".join(lines)


def study_features(study: Study, embedder: str, cache: Path | None = None) -> ItemFeatures:
    """Return the features of the study's items that have a text.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        InputError: No item has a text, or the model cannot be loaded.
    """
    items = study.require("items")
    held = items[items["text"].notna()]
    return item_features(held, embed([str(text) for text in held["text"]], embedder, cache))


def distilled_job(job: Job, study: Study, count: int, embedder: str, rng: np.random.Generator) -> Job:
    """Reduce a job to the items that are worth asking about; the local annotator then rates the rest.

    Args:
        job: The job for a language model.
        study: The study that it is about.
        count: How many items to ask about.
        embedder: Name of the embedding model; empty for the default.
        rng: Chooses the items to look at where there are very many.

    Raises:
        InputError: The count does not fit the study, or the embedding model cannot be loaded.
        MissingExtraError: sentence-transformers is not installed.
    """
    features = study_features(study, embedder or default_model())
    known = frozenset(item for item, _ in job.items)
    features = features.take(np.array([item in known for item in features.items]))
    return job.only(frozenset(features.items[place] for place in choose_items(features, count, rng)))


def cross_validate(
    features: ItemFeatures, levels: ItemDim, dims: tuple[str, ...], rng: np.random.Generator
) -> CrossValidation:
    """Measure the local annotator on labelled items: by random folds, and by whole benchmarks.

    Args:
        features: Items.
        levels: Their levels by the annotator to learn from; rows with a gap are left out.
        dims: Rubric codes.
        rng: Source of the folds.

    Raises:
        FitError: Too few items are labelled.
    """
    whole = np.flatnonzero(np.isfinite(levels).all(axis=1))
    if len(whole) < FEWEST * FOLDS / (FOLDS - 1):
        raise FitError(f"{len(whole)} items are labelled; the local annotator is measured on 25 or more, so label more")
    features, levels = features.take(whole), levels[whole]
    fold = rng.permutation(np.arange(len(whole)) % FOLDS)
    found, supported = _held_out(features, levels, dims, fold, rng)
    by_rubric = {dim: quadratic_weighted_kappa(found[:, d], levels[:, d]) for d, dim in enumerate(dims)}
    new_qwk, new_abstained = _new_benchmark(features, levels, dims, rng)
    return CrossValidation(
        len(whole), _mean(list(by_rubric.values())), by_rubric, float(1 - supported.mean()), new_qwk, new_abstained
    )


def annotate_locally(
    study: Study,
    reference: str,
    embedder: str,
    rng: np.random.Generator,
    cache: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[pd.DataFrame, LocalReport]:
    """Rate every item with a text that the reference has not rated.

    Args:
        study: A study with items and the reference's labels.
        reference: The annotator to learn from.
        embedder: Hub name, folder or offline wheel of the embedding model.
        rng: Source of folds.
        cache: Where vectors are kept.
        progress: Told what is being done.

    Returns:
        Rows of a demands table, and what was done.

    Raises:
        FitError: Too few items are labelled.
        InputError: No such annotator, or no item has a text.
        MissingExtraError: sentence-transformers is not installed.
    """
    tell = progress or (lambda _: None)
    demands = Demands.of(study, reference)
    tell("embedding the texts")
    features = study_features(study, embedder, cache)
    levels = demands.at(features.items)
    tell("cross-validating")
    measured = cross_validate(features, levels, demands.dims, rng)
    tell("rating")
    model = fit_local_model(features, levels, demands.dims, rng)
    forecast = model.predict(features.take(np.flatnonzero(np.isnan(levels).all(axis=1))))
    annotator = f"local:{Path(embedder).name}"
    usable = measured.usable()
    rows = _rows(forecast, usable, annotator, _versions(study, reference))
    withheld = tuple(dim for dim in demands.dims if dim not in usable)
    rated = int(forecast.supported.sum()) if usable else 0
    abstained = int((~forecast.supported).sum())
    return rows, LocalReport(annotator, reference, len(rows), rated, abstained, withheld, measured)


def write_labels(folder: Path, study: Study, rows: pd.DataFrame, *, replace: bool = False) -> None:
    """Add computed labels (local or fused) to a study folder.

    Raises:
        InputError: The same annotator already rated on another version of a rubric, and `replace` is not set.
    """
    if len(rows):
        write_demands(folder, merge_labels(study.demands, rows, str(folder), replace=replace))


def _held_out(
    features: ItemFeatures, levels: ItemDim, dims: tuple[str, ...], fold: np.ndarray, rng: np.random.Generator
) -> tuple[ItemDim, np.ndarray]:
    """Return the levels that models give to items of folds they were not fitted on, and whether they were sure to."""
    found, supported = np.full(levels.shape, np.nan), np.zeros(len(levels), dtype=bool)
    for number in np.unique(fold):
        out = np.asarray(fold == number)
        if (~out).sum() < FEWEST:
            continue
        forecast = fit_local_model(features.take(~out), levels[~out], dims, rng).predict(features.take(out))
        found[out], supported[out] = forecast.level, forecast.supported
    return found, supported


def _new_benchmark(
    features: ItemFeatures, levels: ItemDim, dims: tuple[str, ...], rng: np.random.Generator
) -> tuple[float | None, float | None]:
    """Hold out whole benchmarks; kappas are taken within each, so that differences between them do not help."""
    if len(np.unique(features.benchmark)) < 2:
        return None, None
    found, supported = _held_out(features, levels, dims, features.benchmark, rng)
    kappas = [
        quadratic_weighted_kappa(found[inside, d], levels[inside, d])
        for name in np.unique(features.benchmark)
        if (inside := (features.benchmark == name) & np.isfinite(found[:, 0])).sum() >= FEWEST
        for d in range(len(dims))
    ]
    return _mean(kappas), float(1 - supported.mean())


def _rows(
    forecast: LevelForecast, usable: tuple[str, ...], annotator: str, versions: dict[str, str | None]
) -> pd.DataFrame:
    rows: list[tuple[object, ...]] = []
    top = forecast.probability.max(axis=-1)
    for d, dim in enumerate(forecast.dims):
        if dim not in usable:
            continue
        for item in np.flatnonzero(forecast.supported):
            numbers = (forecast.level[item, d], forecast.sd[item, d], top[item, d])
            rows.append((forecast.items[item], dim, annotator, *map(float, numbers), versions.get(dim)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _versions(study: Study, reference: str) -> dict[str, str | None]:
    """Return the version of each rubric that the reference's labels were made with; local labels inherit it."""
    demands = study.require("demands")
    if "rubric_sha" not in demands:
        return {}
    mine = demands[(demands["annotator"] == reference) & demands["rubric_sha"].notna()]
    return {str(code): str(shas.iloc[0]) for code, shas in mine.groupby("rubric", observed=True)["rubric_sha"]}


def _mean(values: list[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")
