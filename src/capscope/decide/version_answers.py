"""Answers of baseline, candidate and past models to one suite, and the draw of items for a candidate."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from capscope.axes import Bool, Float, Int, ModelItem
from capscope.data import Demands, Responses, Study, task_labels
from capscope.decide.run_noise import RepeatedAnswers
from capscope.errors import InputError, refuse_absent_model
from capscope.profiles import of_one_judge

LEAST_COVERAGE = 0.5
"""Smallest share of the suite that a past model must have answered."""

MOST_PAST_MODELS = 400
"""Largest number of past models; more of them did not improve predictions."""

ItemFloats = Float[np.ndarray, " item"]
ItemMask = Bool[np.ndarray, " item"]


@dataclass(frozen=True)
class VersionAnswers:
    """Answers of two versions of a model to one suite of items, and of past models to the same items."""

    baseline: str
    """Name of the version in use."""
    candidate: str
    """Name of the version that may replace it."""
    items: tuple[str, ...]
    """Ids of the suite's items."""
    baseline_score: ItemFloats
    """Mean score of the baseline on each item; NaN where it did not answer."""
    candidate_score: ItemFloats
    """Mean score of the candidate on each item; NaN where it did not answer."""
    past_score: ModelItem
    """Mean scores of past models, gaps filled by the model's and the item's mean; shape (model, item)."""
    labels: pd.DataFrame
    """Columns `benchmark` and `task` of each item, in the order of `items`."""
    demand: Demands | None = None
    """Demand levels of the items, where the study has any."""
    repeats: RepeatedAnswers | None = None
    """Repeated runs of both versions and of past models, where the study has any."""

    @property
    def complete(self) -> bool:
        """Whether the baseline answered every item of the suite."""
        return not bool(np.isnan(self.baseline_score).any())

    @property
    def paired(self) -> Int[np.ndarray, " pair"]:
        """Items that both versions answered."""
        return np.flatnonzero(~np.isnan(self.baseline_score) & ~np.isnan(self.candidate_score))

    @classmethod
    def of(cls, study: Study, baseline: str, candidate: str) -> "VersionAnswers":
        """Collect the answers of two versions over one suite.

        The suite is the set of items that the baseline answered, if it answered more than the candidate; else every
        item of the study. Answers of the candidate outside the suite are not used.

        Args:
            study: Responses of both versions and, if there are any, of past models.
            baseline: Name of the version in use.
            candidate: Name of the version that may replace it.

        Raises:
            InputError: A model is not in the study, both names are equal, or the versions have no common item.
        """
        responses = Responses.of(study)
        for name in (baseline, candidate):
            refuse_absent_model(study.name, name, responses.models)
        if baseline == candidate:
            raise InputError(f"{study.name}: baseline and candidate are both '{baseline}'; name two models")
        score = responses.dense().score
        old, new = (score[responses.models.index(name)] for name in (baseline, candidate))
        answered = ~np.isnan(old)
        suite = answered if answered.sum() > (answered & ~np.isnan(new)).sum() else np.ones(len(old), bool)
        if not (answered & ~np.isnan(new)).any():
            raise InputError(f"{study.name}: '{baseline}' and '{candidate}' answered no item in common; add answers")
        others = [row for row, name in enumerate(responses.models) if name not in (baseline, candidate)]
        items = tuple(item for item, kept in zip(responses.items, suite, strict=True) if kept)
        past = past_answers(score[others][:, suite])
        places = responses.models.index(baseline), responses.models.index(candidate)
        repeats = RepeatedAnswers.of(of_one_judge(responses), *places, suite)
        labels, demand = labels_of(study, items), _demand(study)
        return cls(baseline, candidate, items, old[suite], new[suite], past, labels, demand, repeats)

    @classmethod
    def of_baseline(cls, study: Study, baseline: str) -> "VersionAnswers":
        """Collect the answers of a baseline, without a candidate.

        Args:
            study: Responses of the baseline and, if there are any, of past models.
            baseline: Name of the version in use.

        Raises:
            InputError: The model is not in the study.
        """
        responses = Responses.of(study)
        refuse_absent_model(study.name, baseline, responses.models)
        score = responses.dense().score
        row = responses.models.index(baseline)
        suite = ~np.isnan(score[row])
        items = tuple(item for item, kept in zip(responses.items, suite, strict=True) if kept)
        past = past_answers(np.delete(score, row, axis=0)[:, suite])
        nothing = np.full(len(items), np.nan)
        return cls(baseline, "", items, score[row, suite], nothing, past, labels_of(study, items), _demand(study))


def past_answers(score: ModelItem) -> Float[np.ndarray, "past item"]:
    """Return past models that answered enough of the suite, with gaps filled by model and item means.

    Where there are more than `MOST_PAST_MODELS`, models evenly spread over the range of mean scores are kept.

    Args:
        score: Mean scores, NaN where not administered; shape (model, item).
    """
    enough = np.flatnonzero((~np.isnan(score)).mean(axis=1) >= LEAST_COVERAGE) if score.shape[1] else np.array([], int)
    if len(enough) > MOST_PAST_MODELS:
        ranked = enough[np.argsort(np.nanmean(score[enough], axis=1), kind="stable")]
        enough = ranked[np.linspace(0, len(ranked) - 1, MOST_PAST_MODELS).round().astype(int)]
    kept = score[np.sort(enough)]
    gap = np.isnan(kept)
    if not gap.any():
        return kept
    filled = np.where(gap, 0.0, kept)
    count = (~gap).sum(axis=0)
    item_mean = np.divide(filled.sum(axis=0), count, out=np.full(kept.shape[1], np.nan), where=count > 0)
    item_mean = np.where(np.isnan(item_mean), np.nanmean(item_mean), item_mean)
    model_shift = ((kept - item_mean) * ~gap).sum(axis=1, where=~gap) / (~gap).sum(axis=1)
    return np.where(gap, np.clip(item_mean + model_shift[:, None], 0, 1), kept)


def labels_of(study: Study, items: tuple[str, ...]) -> pd.DataFrame:
    """Return benchmark and task of each item; `all` where the study has none.

    Args:
        study: The study.
        items: Ids, in the order wanted.
    """
    if study.items is None:
        return pd.DataFrame({"benchmark": "all", "task": "all"}, index=range(len(items)))
    table = study.items.assign(label=task_labels(study.items)).set_index(study.items["item_id"].astype(str))
    table = table.reindex(list(items))
    return pd.DataFrame(
        {
            "benchmark": table["benchmark"].astype(object).fillna("all").astype(str).to_numpy(),
            "task": table["label"].astype(object).fillna("all").astype(str).to_numpy(),
        }
    )


def _demand(study: Study) -> Demands | None:
    return None if study.demands is None else Demands.of(study)


NEIGHBOURS = 25
"""Number of past models, nearest to the baseline in mean score, from which flips are estimated."""

PRIOR_MODELS = 4.0
"""Number of models that the prior of an item's flip rate, the mean over items, weighs as much as."""

FLOOR = 0.02
"""Added to the variance of a flip, so that weights are bounded."""

TENTHS = 10
"""Number of difficulty groups over which a draw is stratified."""

FEWEST_TO_DRAW = 40
"""Fewest past models from which items are drawn by flip probability."""


def flip_chances(past: ModelItem, baseline: Float[np.ndarray, " item"], size: int) -> Float[np.ndarray, " item"]:
    """Inclusion probabilities in proportion to the expected standard deviation of the difference on each item.

    A flip is an item on which two versions differ: one is right and the other is wrong.

    Args:
        past: Scores of past models; shape (model, item).
        baseline: The baseline's score on each item.
        size: Number of items to draw.

    Returns:
        Probabilities that sum to `size`; equal with fewer than 40 past models.
    """
    if len(past) < FEWEST_TO_DRAW:
        return np.full(past.shape[1], size / past.shape[1])
    near = np.argsort(np.abs(past.mean(axis=1) - baseline.mean()), kind="stable")[:NEIGHBOURS]
    flips = np.abs(past[near] - baseline).sum(axis=0)
    rate = (flips + PRIOR_MODELS * flips.mean() / len(near)) / (len(near) + PRIOR_MODELS)
    return capped_chances(np.sqrt(rate * (1 - rate) + FLOOR), size)


def capped_chances(gain: Float[np.ndarray, " item"], size: int) -> Float[np.ndarray, " item"]:
    """Inclusion probabilities in proportion to a gain, at most 1 each, that sum to the size.

    Args:
        gain: Relative value of drawing each item, above 0.
        size: Number of items to draw.
    """
    chance = size * gain / gain.sum()
    while (chance > 1 + 1e-12).any():
        sure = chance >= 1
        chance = np.where(sure, 1.0, (size - sure.sum()) * gain / gain[~sure].sum())
    return chance


def ordered_by_similarity(past: ModelItem, baseline: Float[np.ndarray, " item"]) -> Int[np.ndarray, " item"]:
    """Order items so that neighbours are similar: by the baseline's score, difficulty, and past models' answers.

    Items are grouped into tenths by difficulty and ordered within each by the first singular vector of past models'
    answers, ascending and descending in turn.

    Args:
        past: Scores of past models without gaps; shape (model, item).
        baseline: The baseline's score on each item.

    Returns:
        Positions of the items in that order.
    """
    if not len(past):
        return np.argsort(baseline, kind="stable")
    mean = past.mean(axis=0)
    tenth = TENTHS * np.argsort(np.argsort(mean, kind="stable"), kind="stable") // len(mean)
    centred = past - mean - past.mean(axis=1, keepdims=True) + past.mean()
    parting = np.linalg.eigh(centred @ centred.T)[1][:, -1] @ centred
    return np.lexsort((np.where(tenth % 2 == 1, parting, -parting), tenth, baseline))


def draw(
    chance: Float[np.ndarray, " item"], rng: np.random.Generator, ordered: Int[np.ndarray, " item"] | None = None
) -> Int[np.ndarray, " row"]:
    """Systematic sampling with unequal probabilities and a fixed size (Madow, 1949), stratified by an order.

    Items close to each other in the order are shuffled, which increases the number of possible samples.

    Args:
        chance: Inclusion probability of each item; the sum is a whole number.
        rng: Source of randomness.
        ordered: Positions of the items, similar ones next to each other; by default a random order.
    """
    order = rng.permutation(len(chance))
    if ordered is not None:
        block = max(2, round(2 * len(chance) / float(chance.sum())))
        place = (np.arange(len(chance)) + rng.integers(block)) // block
        order = ordered[np.lexsort((order, place))]
    passed = np.floor(np.cumsum(chance[order]) - rng.random() + 1e-9)
    return np.sort(order[np.diff(passed, prepend=-1.0) > 0.5])


def planned_draw(
    answers: VersionAnswers, size: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " row"], Float[np.ndarray, " item"]]:
    """Draw the items that a candidate should answer.

    Args:
        answers: The baseline's answers to the whole suite, and past models'.
        size: Number of items.
        rng: Source of randomness.

    Returns:
        Positions of the drawn items, and every item's inclusion probability.

    Raises:
        InputError: More items are asked for than the suite has, or the baseline has gaps.
    """
    n_items = len(answers.items)
    if not 0 < size <= n_items:
        raise InputError(f"cannot draw {size} of {n_items} items; ask for 1 to {n_items}")
    if not answers.complete:
        raise InputError(f"'{answers.baseline}' has not answered the whole suite; run it on all items first")
    chance = flip_chances(answers.past_score, answers.baseline_score, size)
    return draw(chance, rng, ordered_by_similarity(answers.past_score, answers.baseline_score)), chance
