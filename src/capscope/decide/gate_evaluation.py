"""Evaluation of the gate on pairs of past models: error, coverage and verdicts, compared with the plain paired mean."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.special import ndtri

from capscope.axes import ModelItem
from capscope.data import Responses, Study
from capscope.decide.difference import PairedDifferences, features_of
from capscope.decide.run_noise import RepeatedAnswers
from capscope.decide.verdicts import verdict_of
from capscope.decide.version_answers import (
    VersionAnswers,
    draw,
    flip_chances,
    labels_of,
    ordered_by_similarity,
    past_answers,
)
from capscope.errors import InputError, refuse_absent_model
from capscope.profiles import of_one_judge
from capscope.tasks import run_tasks

Setting = Literal["complete", "sampled"]
Design = Literal["even", "flips"]


@dataclass(frozen=True, kw_only=True)
class GateEvaluationSettings:
    """Settings of an evaluation of the gate."""

    size: int = 200
    """Number of answers of the candidate."""
    pairs: int = 40
    """Number of pairs of models."""
    seeds: int = 5
    """Number of draws of items for each pair."""
    within: float = 0.05
    """Largest difference in mean score between the models of a pair; does not apply to `named` pairs."""
    named: tuple[tuple[str, str], ...] = ()
    """Pairs of baseline and candidate to use instead of chosen ones."""
    setting: Setting = "complete"
    """Whether the baseline has answered the whole suite, or only the candidate's items."""
    design: Design = "flips"
    """How items are drawn. `flips`: stratified by kind of item, by the probability that the versions' answers differ
    (equal probabilities with fewer than 40 past models); `even`: a simple random sample."""
    margin: float = 0.01
    """Largest acceptable loss."""
    level: float = 0.95
    """Coverage of the intervals."""
    fixed: bool = False
    """Whether verdicts assume that another run gives the same answers."""
    seed: int = 0
    """Seed of the choice of pairs and of all draws."""


@dataclass(frozen=True)
class GateEvaluation:
    """Error of the gate, as shares of the score; points are hundredths."""

    settings: GateEvaluationSettings
    """Settings of the evaluation."""
    n_pairs: int
    """Number of pairs."""
    worth: float
    """Mean squared error of the plain paired mean, divided by that of the gate."""
    rmse: float
    """Root mean squared error of the gate, as a share."""
    paired_rmse: float
    """Root mean squared error of the plain paired mean, as a share."""
    coverage: float
    """Share of the gate's intervals that contain the difference on the whole suite."""
    width: float
    """Mean width of the gate's intervals, as a share."""
    verdicts: dict[str, dict[str, float]]
    """Shares of verdicts where the candidate truly lost over 2 points, gained over 2 points, or neither."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "n": self.settings.size,
            "pairs": self.n_pairs,
            "seeds": self.settings.seeds,
            "setting": self.settings.setting,
            "design": self.settings.design,
            "worth": self.worth,
            "rmse_pp": 100 * self.rmse,
            "paired_rmse_pp": 100 * self.paired_rmse,
            f"coverage{100 * self.settings.level:.0f}": self.coverage,
            f"width{100 * self.settings.level:.0f}_pp": 100 * self.width,
            "verdicts": self.verdicts,
        }


@dataclass(frozen=True)
class _Pair:
    """One pair of models over the items that both answered."""

    answers: VersionAnswers
    settings: GateEvaluationSettings
    seed: int


def evaluate_gate(study: Study, settings: GateEvaluationSettings | None = None, workers: int = 1) -> GateEvaluation:
    """Measure the gate on pairs of models that answered the same items.

    A pair is not among its past models. The true difference is the one over all items that both answered.

    Args:
        study: Responses of many models.
        settings: Number of answers, pairs, draws.
        workers: Number of processes.

    Returns:
        Error and coverage of the difference, efficiency relative to the paired mean, and verdicts by true difference.

    Raises:
        InputError: No two models share more items than are to be drawn.
    """
    settings = settings or GateEvaluationSettings()
    responses = Responses.of(study)
    score = responses.dense().score
    if settings.named:
        chosen = _named_pairs(study, responses, settings)
    else:
        chosen = chosen_pairs(score, settings.within, settings.size, settings.pairs, settings.seed)
    if not chosen:
        raise InputError(
            f"{study.name}: no two models within {100 * settings.within:g} points share more than {settings.size}"
            " items; ask for a smaller --size or a wider --within"
        )
    tasks = [
        _Pair(pair_answers(study, responses, score, pair), settings, settings.seed + 1000 * number)
        for number, pair in enumerate(chosen)
    ]
    return _summary(settings, len(tasks), [row for rows in run_tasks(_measure, tasks, workers=workers) for row in rows])


def _named_pairs(study: Study, responses: Responses, settings: GateEvaluationSettings) -> list[tuple[int, int]]:
    for name in (name for pair in settings.named for name in pair):
        refuse_absent_model(study.name, name, responses.models)
    return [(responses.models.index(old), responses.models.index(new)) for old, new in settings.named]


def chosen_pairs(
    score: ModelItem, within: float, shared: int, pairs: int | None = None, seed: int = 0
) -> list[tuple[int, int]]:
    """Ordered pairs of models with similar mean scores, drawn at random.

    Args:
        score: Mean scores, NaN where not administered; shape (model, item).
        within: Largest difference in mean score.
        shared: A pair must share more than this number of answered items.
        pairs: Largest number of pairs; None for all.
        seed: Seed of the choice.
    """
    known = ~np.isnan(score)
    mean = np.nanmean(score, axis=1)
    common = known.astype(np.int32) @ known.T.astype(np.int32)
    near = (np.abs(mean[:, None] - mean) <= within) & (common > shared)
    np.fill_diagonal(near, False)
    old, new = np.nonzero(near)
    order = np.random.default_rng(seed).permutation(len(old))
    return [(int(old[row]), int(new[row])) for row in order[:pairs]]


def pair_answers(study: Study, responses: Responses, score: ModelItem, pair: tuple[int, int]) -> VersionAnswers:
    """Lay out a pair over the items that both answered, the other models as past models.

    Args:
        study: The study, for the labels of items.
        responses: Its responses.
        score: Their mean scores, NaN where not administered; shape (model, item).
        pair: Positions of baseline and candidate.
    """
    old, new = pair
    both = ~np.isnan(score[old]) & ~np.isnan(score[new])
    items = tuple(item for item, kept in zip(responses.items, both, strict=True) if kept)
    past = past_answers(np.delete(score, [old, new], axis=0)[:, both])
    names = responses.models[old], responses.models[new]
    repeats = RepeatedAnswers.of(of_one_judge(responses), old, new, both)
    labels = labels_of(study, items)
    return VersionAnswers(*names, items, score[old, both], score[new, both], past, labels, repeats=repeats)


def _measure(pair: _Pair) -> list[tuple[float, float, float, float, str]]:
    """For each draw: true difference, error of the gate, error of the paired mean, half-width, verdict."""
    answers, settings = pair.answers, pair.settings
    rng = np.random.default_rng(pair.seed)
    change = answers.candidate_score - answers.baseline_score
    n_items, truth = len(change), float(change.mean())
    chance = np.full(n_items, settings.size / n_items)
    if settings.design == "flips":
        chance = flip_chances(answers.past_score, answers.baseline_score, settings.size)
    ordered = ordered_by_similarity(answers.past_score, answers.baseline_score)
    quantile = float(ndtri(0.5 + settings.level / 2))
    features = features_of(answers) if settings.setting == "complete" else None
    rows: list[tuple[float, float, float, float, str]] = []
    for _ in range(settings.seeds):
        even = rng.permutation(n_items)[: settings.size]
        drawn = even if settings.design == "even" else draw(chance, rng, ordered)
        known = np.full(n_items, np.nan)
        known[drawn] = answers.candidate_score[drawn]
        seen = replace(answers, candidate_score=known)
        if settings.setting == "sampled":
            old = np.full(n_items, np.nan)
            old[drawn] = answers.baseline_score[drawn]
            seen = replace(seen, baseline_score=old)
        difference = PairedDifferences.of(seen, None if settings.design == "even" else chance, features=features).over()
        error, plain = difference.estimate - truth, float(change[even].mean()) - truth
        verdict = verdict_of(difference, quantile, settings.margin, settings.fixed)
        rows.append((truth, error, plain, quantile * difference.suite_se, verdict))
    return rows


def _summary(
    settings: GateEvaluationSettings, n_pairs: int, rows: list[tuple[float, float, float, float, str]]
) -> GateEvaluation:
    truth, error, plain, half = (np.array([row[column] for row in rows]) for column in range(4))
    verdict = np.array([row[4] for row in rows])
    groups = {"lost": truth < -0.02, "gained": truth > 0.02, "level": np.abs(truth) <= 0.02}
    return GateEvaluation(
        settings,
        n_pairs,
        _ratio(float((plain**2).mean()), float((error**2).mean())),
        float(np.sqrt((error**2).mean())),
        float(np.sqrt((plain**2).mean())),
        float((np.abs(error) <= half).mean()),
        float(2 * half.mean()),
        {name: _shares(verdict[inside]) for name, inside in groups.items() if inside.any()},
    )


def _ratio(plain: float, error: float) -> float:
    """Ratio of two squared errors; NaN where that of the gate is 0."""
    return plain / error if error > 0 else float("nan")


def _shares(verdict: Iterable[str]) -> dict[str, float]:
    count = Counter(verdict)
    return {name: count[name] / count.total() for name in ("ship", "hold", "undecided")}
