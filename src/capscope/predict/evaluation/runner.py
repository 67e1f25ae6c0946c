"""Evaluate assessors side by side on held-out answers: same folds for all, every prediction out of fold."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.data import AGENT_SPLITS, MODEL_SPLITS, ArrowTable, ResponseFold, SplitPlan, Study, as_frame
from capscope.errors import InputError, OutputError, nearest
from capscope.files import refuse_unwritable, write_table
from capscope.predict.assessors import ASSESSORS, DEFAULT, usable
from capscope.predict.evaluation.folds import EvaluationData, FoldTask, OutOfFold, prediction_table
from capscope.predict.evaluation.metrics import Values, mean_values, score_models
from capscope.predict.evaluation.result import (
    Evaluation,
    EvaluationSettings,
    FoldResult,
    FoldStore,
    LossSums,
    digest,
    paired_differences,
)
from capscope.predict.features import AUTO
from capscope.predict.predictions import refuse_prediction_file
from capscope.predict.scores.benchmark import HeldOut, benchmark_intervals, exchangeable_groups
from capscope.tasks import run_tasks

REFERENCE = "forest"
"""The assessor that others are compared with by default: ADeLe's."""


def evaluate(  # noqa: PLR0913 - every setting has a default and is given by keyword
    study: Study | Path | str,
    split: str = "task",
    assessors: Sequence[str] | None = None,
    *,
    folds: int = 5,
    seeds: int = 1,
    seed: int = 0,
    annotator: str | None = None,
    known: int = 20,
    families: str | None = None,
    models: Path | str | pd.DataFrame | ArrowTable | None = None,
    embedder: str = AUTO,
    reference: str | None = None,
    workers: int = 1,
    resume: Path | str | None = None,
    write: Path | str | None = None,
    progress: Callable[[float], None] | None = None,
) -> Evaluation:
    """Score assessors on held-out answers of a study.

    Example:
        ``evaluate(study, "task", ["mean", "forest", "stacked"])``

    Args:
        study: A study with items and responses (demands and texts where the assessors need them), or its folder.
        split: What is held out together; one of `capscope.data.SPLITS`.
        assessors: Names out of `ASSESSORS`; by default all that the study's tables suffice for.
        folds: Number of folds.
        seeds: Number of seeds, counted up from `seed`; each has folds of its own.
        seed: First seed.
        annotator: Whose demand levels to use; by default the mean over annotators.
        known: Number of known answers of a new model, if models are held out.
        families: For the split by family: a table's path, `names`, or None for the study's own models table.
        models: Facts about the models (columns model and size, family, date, ...), which predict the abilities
            of those with few answers: a table, its path, ``names`` for facts in the models' names, or None for the
            study's own models table.
        embedder: Embedder that turns texts into vectors: ``auto``, ``tfidf``, or the name of a model.
        reference: Assessor that the others are compared with; by default `forest`, else the first.
        workers: Number of processes, 0 for one per processor; the numbers do not depend on it.
        resume: Folder of finished folds; folds that it holds are not computed again.
        write: File for all out-of-fold predictions: `.parquet` or `.csv`.
        progress: Called with the share of the work done, 0 to 1.

    Returns:
        The metrics of each assessor and their differences.

    Raises:
        InputError: Unknown assessor, a split that leaves nothing to hold out, or demands made from the answers.
        JoinError: The demands are about other items, or the items table lacks over a tenth of the answered ones.
        OutputError: A file cannot be written.
    """
    settings = EvaluationSettings(
        split=split,
        folds=folds,
        seeds=seeds,
        seed=seed,
        annotator=annotator,
        known=known,
        families=families,
        embedder=embedder,
        reference=reference,
        workers=workers,
        resume=None if resume is None else Path(resume),
        write=None if write is None else Path(write),
    )
    _refuse_unknown(assessors or ())
    _refuse_outputs(settings)
    study = study if isinstance(study, Study) else Study.load(study)
    data = EvaluationData.of(study, annotator, embedder, as_frame(models))
    layout = data.layout
    names = list(dict.fromkeys(assessors or usable(layout.features, layout.agents, layout.confidence)))
    return _Run(data, settings, names, _reference(reference, names)).evaluation(data.plan(study, settings), progress)


def out_of_fold(  # noqa: PLR0913 - every setting has a default and is given by keyword
    study: Study,
    assessor: str = DEFAULT,
    *,
    split: str = "id",
    folds: int = 3,
    seed: int = 0,
    annotator: str | None = None,
    embedder: str = AUTO,
    workers: int = 1,
) -> pd.DataFrame:
    """Predict each answer by an assessor that has not seen answers to its item (or task, benchmark).

    Args:
        study: A study with items and responses.
        assessor: Name out of `ASSESSORS`.
        split: What is held out together.
        folds: Number of folds.
        seed: Seed of folds and assessor.
        annotator: Whose demand levels to use.
        embedder: Embedder that turns texts into vectors.
        workers: Number of processes.

    Returns:
        The columns of `prediction_table`.
    """
    _refuse_unknown([assessor])
    settings = EvaluationSettings(split=split, folds=folds, seed=seed, annotator=annotator, workers=workers)
    data = EvaluationData.of(study, annotator, embedder)
    cut = data.folds(data.plan(study, settings), seed)
    results = _Run(data, settings, [assessor], assessor).results(cut, seed, None)
    return prediction_table(data.layout, assessor, seed, OutOfFold.gather(cut, results))


class _Run:
    """Runs all assessors seed by seed and collects their metrics, losses and predictions."""

    def __init__(self, data: EvaluationData, settings: EvaluationSettings, names: list[str], reference: str) -> None:
        self.data, self.settings, self.names, self.reference = data, settings, names, reference
        self.plain: dict[str, list[Values]] = {name: [] for name in names}
        self.weighted: dict[str, list[Values]] = {name: [] for name in names}
        self.seconds = dict.fromkeys(names, 0.0)
        self.losses = LossSums(len(data.layout.responses.score))
        self.tables: list[pd.DataFrame] = []

    def evaluation(self, plan: SplitPlan, progress: Callable[[float], None] | None) -> Evaluation:
        n_folds = 0
        for number in range(self.settings.seeds):
            seed = self.settings.seed + number
            folds = self.data.folds(plan, seed)
            n_folds = len(folds)
            results = self.results(folds, seed, _part(progress, number, self.settings.seeds))
            for place, name in enumerate(self.names):
                self._add(name, seed, OutOfFold.gather(folds, results[place * n_folds : (place + 1) * n_folds]))
        if self.settings.write is not None:
            write_table(self.settings.write, pd.concat(self.tables, ignore_index=True), option="--write")
        return self._result(n_folds)

    def results(
        self, folds: list[ResponseFold], seed: int, progress: Callable[[float], None] | None
    ) -> list[FoldResult]:
        """Results of every assessor on every fold, assessors first."""
        layout, store = self.data.layout, FoldStore(self.settings.resume)
        if self.settings.workers != 1 and layout.features.texts is not None:
            layout.features.texts.vectors  # noqa: B018 - computed once here rather than in every process
        fingerprint = self.data.fingerprint() if self.settings.resume else ""
        tasks: list[FoldTask] = []
        for name in self.names:
            assessor = ASSESSORS[name].assessor
            for fold in folds:
                key = f"{name}-{digest(fingerprint, name, assessor, seed, fold.train, fold.test)[:24]}"
                tasks.append(FoldTask(layout, assessor, fold, seed, store, key))

        def report(done: int, result: FoldResult) -> None:  # noqa: ARG001 - the signature of run_tasks
            if progress is not None:
                progress(done / len(tasks))

        return run_tasks(FoldTask.result, tasks, workers=self.settings.workers, on_done=report)

    def _add(self, name: str, seed: int, predictions: OutOfFold) -> None:
        outcomes = self.data.outcomes(predictions)
        held_out = _held_out(self.settings.split)
        group, rng = exchangeable_groups(outcomes, held_out), np.random.default_rng(seed)
        outcomes = outcomes.with_intervals(benchmark_intervals(outcomes, group, rng, held_out))
        values = score_models(outcomes)
        self.plain[name].append(values.mean())
        self.weighted[name].append(values.accuracy_weighted())
        self.seconds[name] += predictions.seconds
        self.losses.add(name, predictions.tested, outcomes)
        if self.settings.write is not None:
            self.tables.append(prediction_table(self.data.layout, name, seed, predictions))

    def _result(self, n_folds: int) -> Evaluation:
        layout = self.data.layout
        rng = np.random.default_rng(self.settings.seed)
        answers = self.data.answers(np.zeros(len(layout.responses.score)))
        compared = paired_differences(self.losses, self.reference, answers, rng) if len(self.names) > 1 else None
        copies = (self.data.copies.note,) if self.data.copies.note else ()
        return Evaluation(
            settings=self.settings,
            folds=n_folds,
            n_models=len(layout.responses.models),
            n_items=len(layout.responses.items),
            n_items_left_out=layout.left_out,
            metrics={name: mean_values(several) for name, several in self.plain.items()},
            accuracy_weighted={name: mean_values(several) for name, several in self.weighted.items()},
            seconds=self.seconds,
            differences=compared,
            notes=(*layout.notes, *copies),
        )


def _refuse_unknown(names: Sequence[str]) -> None:
    for name in names:
        if name not in ASSESSORS:
            raise InputError(f"unknown assessor '{name}'{nearest(name, ASSESSORS)}; there are {', '.join(ASSESSORS)}")


def _refuse_outputs(settings: EvaluationSettings) -> None:
    """Refuse files that cannot be written, before the work.

    Raises:
        OutputError: The ending is of another kind, or the folder cannot be written.
    """
    if settings.write is not None:
        refuse_prediction_file(settings.write, force=True, option="--write")
    if settings.resume is not None:
        if settings.resume.exists() and not settings.resume.is_dir():
            raise OutputError(f"{settings.resume}: this is a file, not a folder; choose another --resume")
        refuse_unwritable(settings.resume, "--resume")


def _reference(asked: str | None, names: list[str]) -> str:
    if asked is None:
        return REFERENCE if REFERENCE in names else names[0]
    if asked not in names:
        raise InputError(f"--reference {asked} takes no part{nearest(asked, names)}; name one of {', '.join(names)}")
    return asked


def _part(progress: Callable[[float], None] | None, number: int, parts: int) -> Callable[[float], None] | None:
    """Convert the progress of one part of the work to that of the whole."""
    return None if progress is None else lambda share: progress((number + share) / parts)


def _held_out(split: str) -> HeldOut:
    """Return what a split learns nothing from."""
    if split in ("benchmark", "both"):
        return "benchmarks"
    return "models" if split in (*MODEL_SPLITS, *AGENT_SPLITS) else "items"
