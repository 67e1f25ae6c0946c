"""Folds of an evaluation: a study laid out and cut, one assessor on one fold, and predictions out of fold."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.axes import RowFloats, RowIndex
from capscope.data import ITEM_SPLITS, ResponseFold, SplitPlan, Study, families_of, response_folds
from capscope.errors import InputError
from capscope.fit import single_threaded_blas
from capscope.predict.assessor import Assessor, Chances
from capscope.predict.evaluation.result import (
    FIELDS,
    EvaluationSettings,
    FoldResult,
    FoldStore,
    code_digest,
    digest,
)
from capscope.predict.features import AUTO
from capscope.predict.layout import Layout
from capscope.predict.leaks import Copies
from capscope.predict.outcomes import Outcomes


@dataclass(frozen=True)
class EvaluationData:
    """A study laid out for evaluation, and which of its items are copies of each other."""

    layout: Layout
    """Answers and item features."""
    copies: Copies
    """Items with equal texts."""

    @classmethod
    def of(
        cls,
        study: Study,
        annotator: str | None = None,
        embedder: str = AUTO,
        models: Path | str | pd.DataFrame | None = None,
    ) -> "EvaluationData":
        """Lay out the answered items of a study; see `Layout.of_study` and `Layout.with_facts`."""
        layout = Layout.of_study(study, annotator, embedder)
        layout = layout.with_facts(models, Path(study.name), new_models=False)
        texts = layout.features.texts.texts if layout.features.texts else ("",) * layout.features.n_items
        return cls(layout, Copies.of(texts))

    def plan(self, study: Study, settings: EvaluationSettings) -> SplitPlan:
        """Make the plan of a split, with the families of the models where it needs them.

        Args:
            study: The study.
            settings: What to hold out, and how.

        Raises:
            InputError: Unknown split, or families that cannot be read.
        """
        by_family = settings.split == "family"
        models = self.layout.responses.models
        families = families_of(models, settings.families, Path(study.name)) if by_family else None
        return SplitPlan(settings.split, settings.folds, settings.known, families, self.layout.agents)

    def folds(self, plan: SplitPlan, seed: int) -> list[ResponseFold]:
        """Cut folds; where items are held out, answers to their copies are removed from training.

        Args:
            plan: What is held out together.
            seed: Seed of the cut.

        Raises:
            InputError: The study cannot be cut that way.
        """
        answers = self.layout.responses
        folds = response_folds(answers, self.layout.items, plan, np.random.default_rng(seed))
        if plan.split in (*ITEM_SPLITS, "both"):
            folds = [self.copies.leave_out(fold, answers.item_index) for fold in folds]
        for number, fold in enumerate(folds):
            if not (fold.train.any() and fold.test.any()):
                raise InputError(f"fold {number + 1} by {plan.split} has nothing to learn from or to test; use fewer")
        return folds

    def fingerprint(self) -> str:
        """Return a hash of everything an assessor can use, and of the code."""
        answers, features = self.layout.responses, self.layout.features
        texts = (features.texts.texts, features.texts.embedder) if features.texts else None
        axes = (answers.models, answers.items, answers.model_index, answers.item_index, answers.score, answers.n_trials)
        levels = tuple(np.zeros(0) if each is None else each for each in (features.demands, features.demand_sd))
        agents = () if self.layout.agents is None else tuple(self.layout.agents.parts.values())
        own = () if self.layout.confidence is None else (self.layout.confidence,)
        own += () if self.layout.facts is None else (self.layout.facts.columns, self.layout.facts.block)
        of_items = (features.task, features.benchmark, features.floor)
        return digest(code_digest(), *axes, *levels, texts, *of_items, *agents, *own)

    def outcomes(self, predictions: "OutOfFold") -> Outcomes:
        """Join predictions with the observed scores, on the answers that were tested."""
        return self.answers(predictions.chances.probability).rows(predictions.tested)

    def answers(self, chance: RowFloats) -> Outcomes:
        """Return all answers beside a chance of each."""
        answers = self.layout.responses
        return Outcomes(
            answers.model_index, self.layout.task, self.layout.benchmark, answers.score, chance, answers.n_trials
        )


@dataclass(frozen=True)
class FoldTask:
    """One assessor on one fold of one seed: plain data that any process can work on."""

    layout: Layout
    assessor: Assessor
    fold: ResponseFold
    seed: int
    store: FoldStore
    key: str

    def result(self) -> FoldResult:
        """Return the stored result, or fit, predict and store it."""
        stored = self.store.get(self.key)
        if stored is not None:
            return stored
        start = time.perf_counter()
        chances = held_out_chances(self.layout, self.assessor, self.fold, self.seed)
        result = FoldResult(chances, time.perf_counter() - start)
        self.store.put(self.key, result)
        return result


def held_out_chances(layout: Layout, assessor: Assessor, fold: ResponseFold, seed: int) -> Chances:
    """Fit an assessor on a fold's training answers and predict the held-out answers.

    Args:
        layout: Answers and items of the evaluation.
        assessor: The assessor to fit.
        fold: Rows to learn from, and rows to predict.
        seed: Seed of the fit.

    Returns:
        Chances of the held-out rows.
    """
    responses = layout.responses
    asked = np.bincount(responses.item_index[fold.test], minlength=len(responses.items)) > 0
    training = replace(layout.training(seed), responses=responses.rows(fold.train), target=asked)
    rows = responses.rows(fold.test)
    with single_threaded_blas():
        return assessor.fit(training).predict(rows.model_index, rows.item_index)


@dataclass(frozen=True)
class OutOfFold:
    """One assessor's predictions of all held-out answers of one seed."""

    chances: Chances
    """One row for each answer of the study; NaN where it was not tested."""
    fold: RowIndex
    """Number of the fold each answer was tested in; -1 for none."""
    seconds: float
    """Time to fit and predict."""

    @property
    def tested(self) -> RowIndex:
        """Positions of the answers that were tested."""
        return np.flatnonzero(self.fold >= 0)

    @classmethod
    def gather(cls, folds: Sequence[ResponseFold], results: Sequence[FoldResult]) -> "OutOfFold":
        """Put the folds' predictions together.

        Args:
            folds: The folds.
            results: Result of each fold, in the same order.
        """
        number = np.full(len(folds[0].test), -1)
        columns: dict[str, RowFloats] = {name: np.full(len(number), np.nan) for name in FIELDS}
        for place, (fold, result) in enumerate(zip(folds, results, strict=True)):
            number[fold.test] = place
            for name, column in columns.items():
                column[fold.test] = getattr(result.chances, name)
        return cls(Chances(**columns), number, sum(result.seconds for result in results))


def prediction_table(layout: Layout, name: str, seed: int, predictions: OutOfFold) -> pd.DataFrame:
    """Return one assessor's out-of-fold predictions as a table, one row for each answer that was tested.

    Args:
        layout: Answers and items of the evaluation.
        name: Name of the assessor.
        seed: Seed of the folds.
        predictions: Its predictions out of fold.
    """
    rows, responses = predictions.tested, layout.responses
    item, model = responses.item_index[rows], responses.model_index[rows]
    chances = predictions.chances.rows(rows)
    return pd.DataFrame(
        {
            "assessor": name,
            "seed": seed,
            "fold": predictions.fold[rows],
            "model": np.array(responses.models)[model],
            "item_id": np.array(responses.items)[item],
            "benchmark": layout.items["benchmark"].astype(str).to_numpy()[item],
            "task": layout.items["task"].astype(str).to_numpy()[item],
            "score": responses.score[rows],
            "chance": chances.probability,
            "log_odds_mean": chances.log_odds_mean,
            "log_odds_sd": chances.log_odds_sd,
            "shared_sd": chances.shared_sd,
        }
    )
