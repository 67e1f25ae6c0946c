"""The local annotator: a model of one annotator's labels, cross-validated, that rates the remaining items."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from capscope.annotate.annotator import Annotation, AnnotatorEntry, AnnotatorSettings, Progress, Selection
from capscope.annotate.labels import COLUMNS, rubric_versions
from capscope.annotate.local_model import (
    FEWEST,
    Kernel,
    LevelForecast,
    TextFeatures,
    fit_local_model,
    item_features,
)
from capscope.annotate.planning import AnnotationPlan
from capscope.annotate.rubrics import RubricSet
from capscope.data import Demands, Study
from capscope.errors import InputError, counted, first_few

if TYPE_CHECKING:
    from capscope.annotate.local_validation import CrossValidation
    from capscope.embedding import TextVectors

LARGEST_POOL = 4000
"""Largest number of candidate items; memory grows with their square."""
CHOICE_KERNEL = Kernel(1.2, 2.0)


@dataclass(frozen=True)
class LocalReport:
    """Report of a local run."""

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
    expected: "CrossValidation"
    """The agreement with the reference to expect."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def as_text(self) -> str:
        """Return lines to read."""
        counts = f"{counted(self.labels, 'label')} on {counted(self.rated, 'item')}; abstained on {self.abstained}"
        lines = [
            f"{self.annotator}: {counts}",
            f"expect a mean kappa of {self.expected.qwk:.2f} with {self.reference}"
            f" (cross-validated on {counted(self.expected.items, 'item')}, abstaining on"
            f" {self.expected.abstained:.0%})",
        ]
        if np.isnan(self.expected.qwk):
            lines[1] = f"nothing to learn: the levels of {self.reference} do not vary"
        if self.expected.new_benchmark_qwk is not None:
            lines.append(
                f"on a benchmark it has seen nothing of: kappa {self.expected.new_benchmark_qwk:.2f},"
                f" abstaining on {self.expected.new_benchmark_abstained:.0%}"
            )
        lines += [f"withheld for low kappa: {', '.join(self.withheld)}"] if self.withheld else []
        return "\n".join(lines)


class LocalAnnotator:
    """Rates the items of a study that another annotator has not rated, as that annotator would."""

    def __init__(self, settings: AnnotatorSettings) -> None:
        """Take the settings.

        Raises:
            InputError: No annotator to learn from is named.
        """
        if not settings.reference:
            raise InputError(
                "--annotator local learns from an annotator of the study; name it with --reference"
                " (levels to learn from: rate 200 items or more by --annotator openai:MODEL --limit 200, or add a table"
                " with 'capscope import levels FILE --into STUDY')"
            )
        self.settings = settings
        self.embedder = settings.embedder

    @property
    def name(self) -> str:
        """Return the name under which labels are stored, if the embedding model can be used."""
        from capscope.embedding import default_model

        return _name(self.embedder or default_model())

    def plan(self, study: Study, selection: Selection) -> AnnotationPlan:
        """Return how many items would be rated; nothing is computed, asked or written.

        Args:
            study: A study with items.
            selection: Which items and rubrics to rate.

        Raises:
            InputError: There is no such annotator or rubric.
        """
        demands = self._demands(study, selection)
        items = study.require("items")
        held = selection.of(items)
        texts = held[held["text"].notna()]
        rated = np.isfinite(demands.at(tuple(texts["item_id"].astype(str)))).any(axis=1)
        count = int((~rated).sum())
        without = len(items) - int(items["text"].notna().sum())
        return AnnotationPlan(
            self.name, count, without, count * len(demands.dims), 0, 0, price_source="nothing is asked"
        )

    def run(self, study: Study, selection: Selection, progress: Progress | None = None) -> Annotation:
        """Rate every selected item with a text that the reference has not rated.

        Args:
            study: A study with items and the reference's labels.
            selection: Which items and rubrics.
            progress: Called before each step.

        Raises:
            FitError: Too few items are labelled.
            InputError: No such annotator or rubric, or no item has a text.
            MissingExtraError: sentence-transformers is not installed.
        """
        from capscope.annotate.local_validation import cross_validate

        step = progress or (lambda _done, _total, _text: None)
        demands = self._demands(study, selection)
        step(0, 3, "embedding the texts")
        features, embedded = study_features(study, self.embedder, self.settings.cache)
        levels = demands.at(features.items)
        rng = np.random.default_rng(self.settings.seed)
        step(1, 3, "cross-validating")
        measured = cross_validate(features, levels, demands.dims, rng, workers=self.settings.workers)
        step(2, 3, "rating")
        model = fit_local_model(features, levels, demands.dims, rng)
        wanted = frozenset(selection.of(study.require("items"))["item_id"].astype(str))
        unrated = np.isnan(levels).all(axis=1) & np.array([item in wanted for item in features.items])
        forecast = model.predict(features.take(np.flatnonzero(unrated)))
        usable = measured.usable()
        name = _name(embedded.embedder)
        rows = _rows(forecast, usable, name, _versions(study, self.settings.reference))
        report = LocalReport(
            name,
            self.settings.reference,
            len(rows),
            int(forecast.supported.sum()) if usable else 0,
            int((~forecast.supported).sum()),
            tuple(dim for dim in demands.dims if dim not in usable),
            measured,
        )
        outcome = Annotation(name, rows, report, failed=bool(unrated.any()) and rows.empty)
        return outcome.with_warnings((embedded.note,) if embedded.note else ())

    def _demands(self, study: Study, selection: Selection) -> Demands:
        """Return the levels to learn from, on the rubrics that are wanted."""
        reference = self.settings.reference
        if study.demands is None:
            raise InputError(
                f"{study.name}: '{reference}' has rated none of its items; rate 200 or more by --annotator openai:MODEL"
                " --limit 200, or add levels with 'capscope import levels FILE --into STUDY'"
            )
        demands = Demands.of(study, reference)
        codes = demands.dims
        if selection.rubrics is not None:
            wanted = selection.rubrics.reduced(selection.only)
            codes = tuple(code for code in codes if code in wanted.codes)
            _refuse_other_texts(study, reference, selection.rubrics)
        elif selection.only:
            codes = selection.only
        absent = [code for code in (codes or selection.only) if code not in demands.dims]
        if absent or not codes:
            raise InputError(
                f"{study.name}: '{reference}' has not rated {first_few(absent) or 'any of these rubrics'};"
                f" it rated {first_few(demands.dims, 20)}"
            )
        return demands if codes == demands.dims else demands.on(codes)


def _name(embedder: str) -> str:
    return f"local:{Path(embedder).name}"


def study_features(study: Study, embedder: str, cache: Path | None = None) -> "tuple[TextFeatures, TextVectors]":
    """Return the features of the study's items that have a text, and the vectors that they hold.

    Args:
        study: A study whose items have texts.
        embedder: A Hub name, a folder, the offline wheel's name, or `tfidf`; empty for the default, or TF-IDF where
            that cannot be used.
        cache: Where vectors are kept; the user's cache by default.

    Raises:
        MissingExtraError: An embedder is named, and sentence-transformers is not installed.
        InputError: No item has a text, or the named model cannot be loaded.
    """
    from capscope.embedding import text_vectors

    items = study.require("items")
    held = items[items["text"].notna()]
    texts = [str(text) for text in held["text"]]
    embedded = text_vectors(texts, embedder, cache)
    return item_features(held, embedded.vectors), embedded


def distilled(study: Study, selection: Selection, count: int, embedder: str, rng: np.random.Generator) -> Selection:
    """Reduce a selection to the items with most information for the local annotator, which then rates the rest.

    Args:
        study: The study.
        selection: What is to be rated.
        count: How many items to ask about.
        embedder: Name of the embedding model; empty for the default.
        rng: Chooses the items to look at where there are very many.

    Returns:
        The selection, reduced to these items.

    Raises:
        InputError: The count does not fit the study, or the embedding model cannot be loaded.
        MissingExtraError: sentence-transformers is not installed.
    """
    features, _ = study_features(study, embedder)
    wanted = frozenset(selection.of(study.require("items"))["item_id"].astype(str))
    features = features.take(np.array([item in wanted for item in features.items]))
    chosen = frozenset(features.items[place] for place in choose_items(features, count, rng))
    return Selection(rubrics=selection.rubrics, only=selection.only, limit=selection.limit, ids=chosen)


def choose_items(features: TextFeatures, count: int, rng: np.random.Generator) -> Int[np.ndarray, " chosen"]:
    """Choose items greedily to minimise the summed posterior variance of all items (Seo et al., 2000).

    The choice for a larger count begins with that for a smaller one.

    Args:
        features: All items that could be asked about.
        count: How many to choose.
        rng: Chooses the items to look at where there are more than `LARGEST_POOL`.

    Returns:
        Positions of the items, in the order in which they were chosen.

    Raises:
        InputError: The count is below what the local annotator needs, or above the number of items.
    """
    if not FEWEST <= count <= len(features.items):
        raise InputError(f"--distil {count}: choose from {FEWEST} to {len(features.items)}, the items with a text")
    total = len(features.items)
    pool = (
        np.arange(total)
        if total <= LARGEST_POOL
        else np.sort(rng.choice(total, max(LARGEST_POOL, count), replace=False))
    )
    looked_at = features.take(pool)
    traits = (looked_at.traits - looked_at.traits.mean(0)) / np.maximum(looked_at.traits.std(0), 1e-6)
    scaled = TextFeatures(looked_at.items, looked_at.vector, traits, looked_at.benchmark, looked_at.task)
    covariance = CHOICE_KERNEL.between(scaled, scaled).astype(np.float32)
    chosen: list[int] = []
    for _ in range(count):
        noisy = np.diag(covariance) + 1
        gain = (covariance**2).sum(axis=0) / noisy
        gain[chosen] = -1
        best = int(gain.argmax())
        chosen.append(best)
        covariance -= np.outer(covariance[:, best], covariance[best]) / noisy[best]
    return pool[np.array(chosen)]


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
    rows = demands[demands["annotator"] == reference]
    versions = rubric_versions(rows).dropna()
    return {str(code): str(shas.iloc[0]) for code, shas in versions.groupby(rows["rubric"].astype(str))}


def _refuse_other_texts(study: Study, reference: str, rubrics: RubricSet) -> None:
    """Refuse rubrics whose text is not the one that the reference rated with."""
    versions = _versions(study, reference)
    other = [rubric.code for rubric in rubrics.rubrics if versions.get(rubric.code) not in (None, rubric.sha256)]
    if other:
        raise InputError(
            f"{study.name}: '{reference}' rated with another version of {first_few(other)} than --rubrics holds;"
            " local labels inherit its version, so leave --rubrics out"
        )


ENTRY = AnnotatorEntry(
    name="local",
    help="a model on this machine that learns from another annotator's labels and asks no endpoint",
    make=LocalAnnotator,
    needs=("reference",),
    takes=frozenset({"embedder", "workers", "cluster", "yes"}),
)
