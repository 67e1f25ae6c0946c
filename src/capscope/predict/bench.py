"""A study laid out for evaluation: answers, features of the items, and folds over the answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.axes import RowFloats, RowIndex
from capscope.data import (
    ITEM_SPLITS,
    Demands,
    ResponseFold,
    Responses,
    SplitPlan,
    Study,
    families_of,
    join_items,
    response_folds,
    task_labels,
)
from capscope.errors import InputError
from capscope.fit import single_threaded_blas
from capscope.predict.assessor import Assessor, Chances, Training
from capscope.predict.features import AUTO, ItemFeatures, item_features
from capscope.predict.fold_store import FIELDS, FoldResult, code_digest, digest
from capscope.predict.leaks import Copies, refuse_answer_keys
from capscope.predict.metrics import Outcomes


@dataclass(frozen=True)
class Bench:
    """Only items with answers and, where the study has demands, complete ones."""

    responses: Responses
    """The answers."""
    features: ItemFeatures
    """What is known of the items, in the order of `responses.items`."""
    items: pd.DataFrame
    """The items' table in that order."""
    left_out: int
    """Answered items left out because a demand level is missing."""
    copies: Copies
    """Which items have the same text."""

    @classmethod
    def of(cls, study: Study, annotator: str | None = None, embedder: str = AUTO) -> "Bench":
        """Lay a study out.

        Raises:
            InputError: No such annotator, or demands that give the answers away.
            JoinError: Fewer than nine in ten of the answered items have demands or are in the items table.
        """
        items = study.require("items")
        join_items(study, "responses", "items").refuse_if_poor(study.name)
        usable = pd.Index(items["item_id"].astype(str))
        demands = None if study.demands is None else Demands.of(study, annotator)
        if demands is not None:
            join_items(study, "responses", "demands").refuse_if_poor(study.name)
            usable = usable[usable.isin(_complete(demands))]
        answered = pd.Index(study.require("responses")["item_id"].astype(str).unique())
        responses = Responses.of(study.keep_items(usable))
        if demands is not None:
            refuse_answer_keys(responses, demands.at(responses.items), demands.dims)
        table = items.set_index(items["item_id"].astype(str)).loc[list(responses.items)].reset_index(drop=True)
        features = item_features(study, responses.items, annotator, embedder)
        texts = features.texts.texts if features.texts else ("",) * len(responses.items)
        return cls(responses, features, table, int((~answered.isin(usable)).sum()), Copies.of(texts))

    @property
    def task(self) -> RowIndex:
        """Task of each answer."""
        return np.unique(task_labels(self.items), return_inverse=True)[1][self.responses.item_index]

    @property
    def benchmark(self) -> RowIndex:
        """Benchmark of each answer."""
        names = self.items["benchmark"].astype(str)
        return np.unique(names.to_numpy(dtype=str), return_inverse=True)[1][self.responses.item_index]

    def folds(self, plan: SplitPlan, seed: int) -> list[ResponseFold]:
        """Cut folds; where items are held out, answers to their copies are not learnt from.

        Raises:
            InputError: The study cannot be cut that way.
        """
        found = response_folds(self.responses, self.items, plan, np.random.default_rng(seed))
        if plan.split in (*ITEM_SPLITS, "both"):
            found = [self.copies.leave_out(fold, self.responses.item_index) for fold in found]
        for number, fold in enumerate(found):
            if not (fold.train.any() and fold.test.any()):
                raise InputError(f"fold {number + 1} by {plan.split} has nothing to learn from or to test; use fewer")
        return found

    def run(self, assessor: Assessor, fold: ResponseFold, seed: int) -> Chances:
        """Fit an assessor on a fold's training answers and predict the held-out ones."""
        asked = np.bincount(self.responses.item_index[fold.test], minlength=len(self.responses.items)) > 0
        training = Training(self.responses.rows(fold.train), self.features, seed, asked)
        rows = self.responses.rows(fold.test)
        with single_threaded_blas():
            return assessor.fit(training).predict(rows.model_index, rows.item_index)

    def fingerprint(self) -> str:
        """Name all that an assessor can see, and the code that looks at it, by content."""
        answers, features = self.responses, self.features
        texts = (features.texts.texts, features.texts.embedder) if features.texts else None
        axes = (answers.models, answers.items, answers.model_index, answers.item_index, answers.score, answers.n_trials)
        levels = tuple(np.zeros(0) if each is None else each for each in (features.demands, features.demand_sd))
        return digest(code_digest(), *axes, *levels, texts, features.task, features.benchmark, features.floor)

    def outcomes(self, found: "OutOfFold") -> Outcomes:
        """Join predictions with what came, on the answers that were tested."""
        rows = found.tested
        parts = (self.responses.model_index, self.task, self.benchmark, self.responses.score)
        return Outcomes(*(part[rows] for part in parts), chance=found.chances.probability[rows])


@dataclass(frozen=True)
class OutOfFold:
    """One assessor's predictions of all held-out answers of one seed."""

    chances: Chances
    """One row for each answer of the bench; NaN where it was not tested."""
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
        """Put the folds' predictions together."""
        number = np.full(len(folds[0].test), -1)
        columns: dict[str, RowFloats] = {name: np.full(len(number), np.nan) for name in FIELDS}
        for place, (fold, result) in enumerate(zip(folds, results, strict=True)):
            number[fold.test] = place
            for name, column in columns.items():
                column[fold.test] = getattr(result.chances, name)
        return cls(Chances(**columns), number, sum(result.seconds for result in results))


def plan_of(bench: Bench, study: Study, split: str, folds: int, known: int, families: str | None = None) -> SplitPlan:
    """Make the plan of a split, with the families of the models where it needs them.

    Raises:
        InputError: Unknown split, or families that cannot be read.
    """
    found = families_of(bench.responses.models, families, Path(study.name)) if split == "family" else None
    return SplitPlan(split, folds, known, found)


def _complete(demands: Demands) -> list[str]:
    whole = np.flatnonzero(~np.isnan(demands.level).any(axis=1))
    return [demands.items[row] for row in whole]
