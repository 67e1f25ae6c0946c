"""Score assessors side by side on held-out items: all share the folds, every prediction is out of fold."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from capscope.data import (
    DemandMatrix,
    ResponseMatrix,
    Study,
    demand_matrix,
    item_folds,
    join_items,
    response_matrix,
    task_labels,
)
from capscope.errors import InputError, nearest
from capscope.notebook import html_table
from capscope.predict.assessor import Training
from capscope.predict.assessors import ASSESSORS, usable
from capscope.predict.features import ItemFeatures, item_features
from capscope.predict.metrics import Metrics, Outcomes, mean_metrics, score_outcomes


@dataclass(frozen=True)
class Evaluation:
    """Assessors side by side on one split."""

    split: str
    """What was held out together: `id` (items), `task` or `benchmark`."""
    folds: int
    """Number of folds; fewer than asked for when there are fewer groups."""
    seeds: int
    """Number of seeds, each with folds of its own."""
    n_models: int
    """Number of models."""
    n_items: int
    """Number of items with demands and answers."""
    n_items_left_out: int
    """Answered items left out because a demand level is missing."""
    metrics: dict[str, Metrics]
    """Metrics of each assessor, averaged over seeds."""
    seconds: dict[str, float]
    """Time each assessor took to fit and predict, over all folds and seeds."""

    def _repr_html_(self) -> str:
        table = pd.DataFrame.from_dict(self.rows(), orient="index").rename_axis("assessor").reset_index()
        return html_table(f"Assessors on held-out answers, split by {self.split}", table)

    def rows(self) -> dict[str, dict[str, float | None]]:
        """Return each assessor's metrics and seconds; an undefined number is None."""
        return {
            name: {key: None if np.isnan(value) else value for key, value in asdict(metrics).items()}
            | {"seconds": round(self.seconds[name], 3)}
            for name, metrics in self.metrics.items()
        }

    def as_dict(self) -> dict[str, object]:
        """Return plain numbers in the published JSON layout."""
        sizes = ("split", "folds", "seeds", "n_models", "n_items", "n_items_left_out")
        return {**{name: getattr(self, name) for name in sizes}, "assessors": self.rows()}


@dataclass(frozen=True)
class EvaluationSettings:
    """How to evaluate."""

    split: str = "task"
    """What is held out together: `id` (items), `task` or `benchmark`."""
    folds: int = 5
    """Number of folds."""
    seeds: int = 1
    """Number of seeds, counted up from `seed`."""
    seed: int = 0
    """First seed."""
    annotator: str | None = None
    """Whose demand levels to use; by default the mean over annotators."""


def evaluate(
    study: Study,
    settings: EvaluationSettings,
    assessors: Sequence[str] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Evaluation:
    """Score assessors on held-out items of a study.

    Args:
        study: A study with items, responses and demands.
        settings: Split, folds, seeds, annotator.
        assessors: Names out of `ASSESSORS`; by default all that the study's tables suffice for.
        progress: Called with the share of the work done.

    Raises:
        InputError: Unknown assessor, or a split that leaves nothing to hold out.
        JoinError: Fewer than nine in ten of the answered items have demands or are in the items table.
    """
    for name in assessors or ():
        if name not in ASSESSORS:
            raise InputError(f"unknown assessor '{name}'{nearest(name, ASSESSORS)}; there are {', '.join(ASSESSORS)}")
    bench = _Bench.of(study, settings.annotator)
    names = list(assessors or usable(bench.features))
    results: dict[str, list[Metrics]] = {name: [] for name in names}
    seconds = dict.fromkeys(names, 0.0)
    n_folds = 0
    for number in range(settings.seeds):
        seed = settings.seed + number
        folds = bench.test_masks(settings, np.random.default_rng(seed))
        n_folds = len(folds)
        for place, name in enumerate(names):
            start = time.perf_counter()
            results[name].append(score_outcomes(bench.outcomes(bench.out_of_fold(name, folds, seed))))
            seconds[name] += time.perf_counter() - start
            if progress:
                progress((number + (place + 1) / len(names)) / settings.seeds)
    metrics = {name: mean_metrics(several) for name, several in results.items()}
    n_models, n_items = len(bench.responses.models), len(bench.responses.items)
    return Evaluation(settings.split, n_folds, settings.seeds, n_models, n_items, bench.left_out, metrics, seconds)


@dataclass(frozen=True)
class _Bench:
    """A study laid out for evaluation: only items with answers and complete demands."""

    responses: ResponseMatrix
    features: ItemFeatures
    items: pd.DataFrame
    left_out: int

    @classmethod
    def of(cls, study: Study, annotator: str | None) -> "_Bench":
        items = study.require("items")
        demands = demand_matrix(study, annotator)
        join_items(study, "responses", "items").refuse_if_poor(study.name)
        join_items(study, "responses", "demands").refuse_if_poor(study.name)
        complete = _complete(demands).intersection(pd.Index(items["item_id"].astype(str)))
        answered = pd.Index(study.require("responses")["item_id"].astype(str).unique())
        responses = response_matrix(study.keep_items(complete))
        table = items.set_index(items["item_id"].astype(str)).loc[list(responses.items)].reset_index(drop=True)
        left_out = len(answered.difference(complete))
        return cls(responses, item_features(study, responses.items, annotator), table, left_out)

    def test_masks(self, settings: EvaluationSettings, rng: np.random.Generator) -> list[np.ndarray]:
        """Return for each fold which items are held out."""
        index = pd.Index(self.responses.items)
        return [index.isin(fold.test) for fold in item_folds(self.items, settings.split, settings.folds, rng)]

    def out_of_fold(self, name: str, folds: list[np.ndarray], seed: int) -> np.ndarray:
        """Predict every answer from the folds that do not hold its item."""
        chance = np.full(len(self.responses.score), np.nan)
        for test in folds:
            held_out = test[self.responses.item_index]
            training = Training(self.responses, self.features, seed).without(held_out)
            fitted = ASSESSORS[name].fit(training)
            rows = self.responses.rows(held_out)
            chance[held_out] = fitted.predict(rows.model_index, rows.item_index).probability
        return chance

    def outcomes(self, chance: np.ndarray) -> Outcomes:
        """Join predictions with what came."""
        _, task = np.unique(task_labels(self.items), return_inverse=True)
        _, benchmark = np.unique(self.items["benchmark"].astype(str), return_inverse=True)
        item = self.responses.item_index
        return Outcomes(self.responses.model_index, task[item], benchmark[item], self.responses.score, chance)


def _complete(demands: DemandMatrix) -> pd.Index:
    whole = np.flatnonzero(~np.isnan(demands.level).any(axis=1))
    return pd.Index([demands.items[row] for row in whole])
