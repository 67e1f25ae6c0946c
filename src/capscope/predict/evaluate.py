"""Score assessors side by side on held-out answers: all share the folds, every prediction is out of fold."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.data import MODEL_SPLITS, ResponseFold, Study
from capscope.display import html_table
from capscope.errors import InputError, nearest
from capscope.predict.assessors import ASSESSORS, usable
from capscope.predict.bench import Bench, OutOfFold, plan_of
from capscope.predict.differences import Differences, LossBook, paired_differences
from capscope.predict.features import AUTO
from capscope.predict.fold_store import FoldResult, FoldStore, digest
from capscope.predict.metrics import Metrics, mean_metrics, score_models
from capscope.predict.prediction_files import prediction_table, write_predictions
from capscope.predict.score_intervals import benchmark_intervals, coverage, exchangeable_groups

REFERENCE = "forest"
"""The assessor that others are compared with, where it takes part: ADeLe's."""


@dataclass(frozen=True)
class EvaluationSettings:
    """How to evaluate."""

    split: str = "task"
    """What is held out together; one of `capscope.data.SPLITS`."""
    folds: int = 5
    """Number of folds."""
    seeds: int = 1
    """Number of seeds, counted up from `seed`."""
    seed: int = 0
    """First seed."""
    annotator: str | None = None
    """Whose demand levels to use; by default the mean over annotators."""
    known: int = 20
    """Answers known of a new model, where models are held out."""
    families: str | None = None
    """For the split by family: a table's path, `names`, or None for the study's own models table."""
    embedder: str = AUTO
    """How to turn texts into vectors."""
    reference: str | None = None
    """Assessor that the others are compared with; by default `forest`, else the first."""


@dataclass(frozen=True)
class Evaluation:
    """Assessors side by side on one split."""

    settings: EvaluationSettings
    """What was asked for."""
    folds: int
    """Number of folds; fewer than asked for when there are fewer groups."""
    n_models: int
    """Number of models."""
    n_items: int
    """Number of items with demands and answers."""
    n_items_left_out: int
    """Answered items left out because a demand level is missing."""
    metrics: dict[str, Metrics]
    """Metrics of each assessor, plain means over models, averaged over seeds."""
    accuracy_weighted: dict[str, Metrics]
    """The same as means over models weighted by accuracy, as ADeLe reports them."""
    seconds: dict[str, float]
    """Time each assessor took to fit and predict, over all folds and seeds."""
    differences: Differences | None
    """Paired differences from the reference; None for one assessor."""
    notes: tuple[str, ...] = ()
    """What a reader should know about the folds."""

    def _repr_html_(self) -> str:
        table = pd.DataFrame.from_dict(self.rows(), orient="index").rename_axis("assessor").reset_index()
        return html_table(f"Assessors on held-out answers, split by {self.split}", table)

    @property
    def split(self) -> str:
        """What was held out together."""
        return self.settings.split

    def rows(self) -> dict[str, dict[str, float | None]]:
        """Return each assessor's metrics and seconds; an undefined number is None."""
        return {
            name: _plain(metrics) | {"seconds": round(self.seconds[name], 3)} for name, metrics in self.metrics.items()
        }

    def as_dict(self) -> dict[str, object]:
        """Return plain numbers in the published JSON layout."""
        return {
            "split": self.settings.split,
            "folds": self.folds,
            "seeds": self.settings.seeds,
            "known": self.settings.known if self.settings.split in (*MODEL_SPLITS, "both") else None,
            "n_models": self.n_models,
            "n_items": self.n_items,
            "n_items_left_out": self.n_items_left_out,
            "notes": list(self.notes),
            "assessors": self.rows(),
            "accuracy_weighted": {name: _plain(metrics) for name, metrics in self.accuracy_weighted.items()},
            "differences": self.differences.as_dict() if self.differences else None,
        }


@dataclass(frozen=True)
class EvaluationFiles:
    """What an evaluation keeps on disk."""

    resume: Path | None = None
    """Folder of finished folds; what it holds is not computed again."""
    write: Path | None = None
    """File for all out-of-fold predictions: `.parquet` or `.csv`."""


def evaluate(
    study: Study,
    settings: EvaluationSettings,
    assessors: Sequence[str] | None = None,
    progress: Callable[[float], None] | None = None,
    files: EvaluationFiles | None = None,
) -> Evaluation:
    """Score assessors on held-out answers of a study.

    Args:
        study: A study with items and responses; demands and texts where the assessors need them.
        settings: Split, folds, seeds, annotator.
        assessors: Names out of `ASSESSORS`; by default all that the study's tables suffice for.
        progress: Called with the share of the work done.
        files: Where to keep finished folds and predictions.

    Raises:
        InputError: Unknown assessor, a split that leaves nothing to hold out, or demands that give answers away.
        JoinError: Fewer than nine in ten of the answered items have demands or are in the items table.
        OutputError: A file cannot be written.
    """
    _refuse_unknown(assessors or ())
    bench = Bench.of(study, settings.annotator, settings.embedder)
    names = list(dict.fromkeys(assessors or usable(bench.features)))
    reference = _reference(settings.reference, names)
    plan = plan_of(bench, study, settings.split, settings.folds, settings.known, settings.families)
    files = files or EvaluationFiles()
    job = _Job(bench, FoldStore(files.resume), bench.fingerprint() if files.resume else "")
    by_benchmark = settings.split in ("benchmark", "both")
    tally = _Tally(bench, names, by_benchmark=by_benchmark, keep=files.write is not None)
    n_folds = 0
    for number in range(settings.seeds):
        seed = settings.seed + number
        folds = bench.folds(plan, seed)
        n_folds = len(folds)
        for place, name in enumerate(names):
            before = (number * len(names) + place) / (settings.seeds * len(names))
            found = job.out_of_fold(name, folds, seed, _part(progress, before, settings.seeds * len(names)))
            tally.add(name, seed, found)
    if files.write is not None:
        write_predictions(tally.predictions(), files.write)
    return tally.evaluation(settings, n_folds, reference)


@dataclass(frozen=True)
class _Job:
    """Runs assessors fold by fold, taking from the store what is finished."""

    bench: Bench
    store: FoldStore
    fingerprint: str

    def out_of_fold(
        self, name: str, folds: list[ResponseFold], seed: int, progress: Callable[[float], None]
    ) -> OutOfFold:
        results: list[FoldResult] = []
        for number, fold in enumerate(folds):
            results.append(self._fold(name, fold, seed))
            progress((number + 1) / len(folds))
        return OutOfFold.gather(folds, results)

    def _fold(self, name: str, fold: ResponseFold, seed: int) -> FoldResult:
        key = f"{name}-{digest(self.fingerprint, name, ASSESSORS[name], seed, fold.train, fold.test)[:24]}"
        if found := self.store.get(key):
            return found
        start = time.perf_counter()
        chances = self.bench.run(ASSESSORS[name], fold, seed)
        result = FoldResult(chances, time.perf_counter() - start)
        self.store.put(key, result)
        return result


class _Tally:
    """Collects what the assessors predicted, seed by seed."""

    def __init__(self, bench: Bench, names: list[str], *, by_benchmark: bool, keep: bool) -> None:
        self.bench = bench
        self.by_benchmark = by_benchmark
        self.plain: dict[str, list[Metrics]] = {name: [] for name in names}
        self.weighted: dict[str, list[Metrics]] = {name: [] for name in names}
        self.seconds = dict.fromkeys(names, 0.0)
        self.book = LossBook(len(bench.responses.score))
        self.keep = keep
        self.tables: list[pd.DataFrame] = []

    def add(self, name: str, seed: int, found: OutOfFold) -> None:
        outcomes = self.bench.outcomes(found)
        scored = score_models(outcomes)
        group = exchangeable_groups(outcomes, benchmarks_held_out=self.by_benchmark)
        covered = coverage(benchmark_intervals(outcomes, group, np.random.default_rng(seed)))
        self.plain[name].append(replace(scored.mean(), **covered))
        self.weighted[name].append(replace(scored.accuracy_weighted(), **covered))
        self.seconds[name] += found.seconds
        self.book.add(name, found.tested, outcomes)
        if self.keep:
            self.tables.append(prediction_table(self.bench, name, seed, found))

    def predictions(self) -> pd.DataFrame:
        return pd.concat(self.tables, ignore_index=True)

    def evaluation(self, settings: EvaluationSettings, n_folds: int, reference: str) -> Evaluation:
        rng = np.random.default_rng(settings.seed)
        responses = self.bench.responses
        compared = (
            paired_differences(self.book, reference, responses.model_index, self.bench.task, rng)
            if len(self.plain) > 1
            else None
        )
        return Evaluation(
            settings=settings,
            folds=n_folds,
            n_models=len(responses.models),
            n_items=len(responses.items),
            n_items_left_out=self.bench.left_out,
            metrics={name: mean_metrics(several) for name, several in self.plain.items()},
            accuracy_weighted={name: mean_metrics(several) for name, several in self.weighted.items()},
            seconds=self.seconds,
            differences=compared,
            notes=(self.bench.copies.note,) if self.bench.copies.note else (),
        )


def _refuse_unknown(names: Sequence[str]) -> None:
    for name in names:
        if name not in ASSESSORS:
            raise InputError(f"unknown assessor '{name}'{nearest(name, ASSESSORS)}; there are {', '.join(ASSESSORS)}")


def _reference(asked: str | None, names: list[str]) -> str:
    if asked is None:
        return REFERENCE if REFERENCE in names else names[0]
    if asked not in names:
        raise InputError(f"--reference {asked} takes no part{nearest(asked, names)}; name one of {', '.join(names)}")
    return asked


def _part(progress: Callable[[float], None] | None, before: float, parts: int) -> Callable[[float], None]:
    """Turn the progress of one part of the work into that of the whole."""
    return lambda share: progress(before + share / parts) if progress else None


def _plain(metrics: Metrics) -> dict[str, float | None]:
    return {key: None if np.isnan(value) else value for key, value in asdict(metrics).items()}
