"""Chances on items from a study: an assessor learns from all answers and predicts every model."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from capscope.axes import FloatArray, ModelItem, RowIndex
from capscope.data import Study
from capscope.errors import InputError, counted, nearest
from capscope.fit import nonzero_contributions, single_threaded_blas
from capscope.intervals import bounds_with
from capscope.predict.adjust import PredictionSettings, adjusted, read_evidence
from capscope.predict.answer_statistics import regime_of_items
from capscope.predict.assessor import (
    AssessorEntry,
    Chances,
    ExplainingAssessor,
    FittedAssessor,
    JointAssessor,
    Training,
)
from capscope.predict.assessors import ASSESSORS, DEFAULT
from capscope.predict.features import NEAR, nearness, support_table
from capscope.predict.layout import LEVEL_NOTES, Layout
from capscope.predict.predictions import CellPredictions, Predictions

REGIMES = {
    "warm": "{} have answers",
    "item": "{} are new in known tasks",
    "task": "{} are of new tasks",
    "benchmark": "{} are of new benchmarks",
}
"""The regimes of `regime_of_items` in words."""


def predict_from_study(
    study: Study, items: Study, settings: PredictionSettings, on_start: Callable[[str], None] | None = None
) -> Predictions:
    """Fit an assessor to all answers of a study, and predict every model's chance on a set of items.

    Items with answers are predicted from these answers, new ones from their demands, texts, tasks and benchmarks. The
    interval of a score covers what its items share: abilities, and the effects of demands, new tasks and new
    benchmarks; each item is passed or failed as a whole.

    Args:
        study: A study with items and responses.
        items: The items to predict; items of the study have the same ids.
        settings: Settings of the prediction.
        on_start: Called with a line of text before the assessor is fitted.

    Raises:
        InputError: No such assessor, model or annotator, an id that names two items, a file that cannot be read, or an
            assessor that needs what the items lack, or that has no parts to explain.
        JoinError: The demands are about other items, or the items table lacks over a tenth of the answered ones.
    """
    entry = _entry(settings.assessor or DEFAULT)
    layout = Layout.of(study, items, settings.annotator, settings.embedder)
    if settings.confidences is not None:
        layout = layout.with_confidences(settings.confidences)
    layout = layout.with_facts(settings.models, Path(study.name), new_models=True)
    benchmarks = tuple(map(str, np.unique(layout.asked_benchmark)))
    evidence = read_evidence(settings, layout.responses.models, layout.ids, benchmarks, entry.name)
    if on_start is not None:
        models, answers = len(layout.responses.models), len(layout.responses.score)
        work = f"{answers:,} answers of {counted(models, 'model')}, to predict {len(layout.ids):,} items"
        on_start(f"fitting '{entry.name}' to {work}")
    training = layout.training(settings.seed)
    with single_threaded_blas():
        cells = _Prediction(layout, training, entry, entry.assessor.fit(training)).cells(settings)
    return adjusted(cells, evidence, settings)


def _entry(name: str) -> AssessorEntry:
    if name not in ASSESSORS:
        raise InputError(f"unknown assessor '{name}'{nearest(name, ASSESSORS)}; there are {', '.join(ASSESSORS)}")
    return ASSESSORS[name]


@dataclass(frozen=True)
class _Prediction:
    """A fitted assessor and the items that it predicts."""

    layout: Layout
    training: Training
    entry: AssessorEntry
    fitted: FittedAssessor

    @property
    def models(self) -> tuple[str, ...]:
        return self.layout.responses.models

    def rows(self) -> tuple[RowIndex, RowIndex]:
        """Every model on every item to predict, models first."""
        model, place = np.indices((len(self.models), len(self.layout.ids))).reshape(2, -1)
        return model, self.layout.asked[place]

    def cells(self, settings: PredictionSettings) -> CellPredictions:
        chances, support = self.fitted.predict(*self.rows()), self.support()
        parts = self.parts() if settings.explain else None
        overall, by_benchmark = self.scores(chances, settings)
        return CellPredictions(
            models=self.models,
            items=self.layout.ids,
            benchmark=tuple(map(str, self.layout.asked_benchmark)),
            chances=chances,
            bounds=chances.bounds(settings.level),
            level=settings.level,
            scores=overall,
            support=support,
            benchmark_scores=by_benchmark,
            parts=parts,
            notes=self.notes(),
        )

    def notes(self) -> tuple[str, ...]:
        """The layout's notes after a line on how new the items are; a lack of levels comes first."""
        count = Counter(regime_of_items(self.training)[self.layout.asked].tolist())
        words = [text.format(count[regime]) for regime, text in REGIMES.items() if count[regime]]
        regimes = f"of {len(self.layout.ids)} items, {', '.join(words)}"
        first = [note for note in self.layout.notes if note in LEVEL_NOTES]
        return (*first, regimes, *(note for note in self.layout.notes if note not in first))

    def support(self) -> pd.DataFrame:
        place, features = self.layout.asked, self.training.features
        regime = regime_of_items(self.training)[place]
        answers = np.bincount(self.training.responses.item_index, minlength=features.n_items)[place]
        by_text = features.demands is None and features.texts is not None
        no_text = ~features.texts.known[place] if by_text and features.texts else np.zeros(len(place), dtype=bool)
        near = nearness(features, self.training.answered)[place] >= NEAR**2
        reasons = {
            "": regime == "warm",
            "neither demand levels nor text": np.full(len(place), features.demands is None and features.texts is None),
            "no demand levels": self.layout.unrated[place],
            "no text": no_text,
            f"no answered item has {'a text' if by_text else 'demands'} near its own": ~near,
            "a benchmark without answers": regime == "benchmark",
        }
        reason = np.select(list(reasons.values()), list(reasons), default="")
        return support_table(self.layout.ids, reason, np.isin(regime, ("warm", "item")), answers.astype(float))

    def parts(self) -> pd.DataFrame:
        if not isinstance(self.fitted, ExplainingAssessor):
            raise InputError(
                f"assessor '{self.entry.name}' cannot say what made a chance; use stacked, explanatory or rasch"
            )
        parts = self.fitted.parts(*self.rows())
        return nonzero_contributions(self.models, self.layout.ids, parts.names, parts.value, parts.sd)

    def scores(self, chances: Chances, settings: PredictionSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Score of each model on all items, and on each benchmark."""
        rng = np.random.default_rng(settings.seed)
        names, group = np.unique(self.layout.asked_benchmark, return_inverse=True)
        share = (chances.shared_sd / np.maximum(chances.log_odds_sd, 1e-9)).reshape(len(self.models), -1)
        deviations = joint_deviations(self.fitted, self.layout.asked, share, group, rng)
        sets = np.vstack([np.ones(len(group)), group == np.arange(len(names))[:, None]])
        table = joint_scores(self.models, chances, sets, deviations, rng, settings.level)
        overall = table[table["set"] == 0].drop(columns="set").reset_index(drop=True)
        by_benchmark = table[table["set"] > 0].sort_values("set", kind="stable", ignore_index=True)
        by_benchmark = by_benchmark.assign(benchmark=names[by_benchmark["set"] - 1], labels=0)
        columns = ["model", "score", "lower", "upper"]
        return overall[columns], by_benchmark[["model", "benchmark", "score", "lower", "upper", "labels"]]


DRAWS = 400


def joint_deviations(
    fitted: FittedAssessor, items: RowIndex, share: ModelItem, group: RowIndex, rng: np.random.Generator
) -> Iterator[FloatArray]:
    """Yield for each model in turn joint draws of its standardised log-odds.

    A `JointAssessor` draws them itself; for any other assessor, items of a group share a part.

    Args:
        fitted: A fitted assessor.
        items: Positions of the items.
        share: Share of each standard deviation that the items of a group have in common, 0 to 1.
        group: Group of each item, numbered from 0: its benchmark.
        rng: Source of the draws.

    Yields:
        Deviations from the mean in standard deviations, as (item, draw).
    """
    if isinstance(fitted, JointAssessor):
        yield from fitted.deviations(items, rng, DRAWS)
        return
    for common_share in share[..., None]:
        common = rng.standard_normal((group.max() + 1, DRAWS))[group]
        yield common_share * common + np.sqrt(1 - common_share**2) * rng.standard_normal(common.shape)


def joint_scores(
    models: tuple[str, ...],
    chances: Chances,
    sets: np.ndarray,
    deviations: Iterator[FloatArray],
    rng: np.random.Generator,
    level: float,
) -> pd.DataFrame:
    """Predict the share of each set of items that each model gets right; each item is passed or failed as a whole.

    Args:
        models: Names on the model axis.
        chances: Chances of all models on all items, models first.
        sets: Which items belong to which set, as (set, item).
        deviations: Draws from `joint_deviations`.
        rng: Source of the draws.
        level: Nominal coverage of the intervals.

    Returns:
        Columns model, set (its number), score, lower, upper; one row for each model and set.
    """
    shape = (len(models), sets.shape[1])
    mean, sd, chance = (
        each.reshape(shape) for each in (chances.log_odds_mean, chances.log_odds_sd, chances.probability)
    )
    weight = sets / sets.sum(axis=1, keepdims=True)
    tables: list[pd.DataFrame] = []
    for number, deviation in enumerate(deviations):
        drawn = expit(mean[number][:, None] + sd[number][:, None] * deviation)
        passed = rng.random(drawn.shape) < drawn
        score = weight @ chance[number]
        lower, upper = bounds_with(score, weight @ passed, level)
        columns = {"set": np.arange(len(sets)), "score": score, "lower": lower, "upper": upper}
        tables.append(pd.DataFrame(columns).assign(model=models[number]))
    return pd.concat(tables, ignore_index=True)
