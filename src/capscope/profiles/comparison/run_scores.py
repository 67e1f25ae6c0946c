"""Success in all of k runs (pass^k) or in at least one (pass@k), from few runs of each item, and flaky items.

Chances of success come from `ItemChances`. The success rate to the power k is biased upwards: an item with three
successes in three runs need not have a chance of 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from capscope.axes import CONDITIONS, Float
from capscope.data import Responses
from capscope.errors import counted
from capscope.profiles.comparison.item_chances import ItemChances

EXTRAPOLATION = 2
"""Multiple of the observed runs beyond which an estimate depends mainly on the shape of the distribution."""

SURE = 0.8
"""Smallest posterior probability of a flaky item."""

MOST_LINES = 12
"""Largest number of models in the text, the best first."""

FEWEST_ITEMS = 5
"""Fewest items with repeated runs from which a model is reported."""

DEFAULT_RUNS = (2, 4, 8)
"""Numbers of runs that are reported."""


@dataclass(frozen=True)
class RunScore:
    """Success over k runs of each of a model's items, with bounds over other runs of the same items."""

    k: int
    """Number of runs."""
    all_of: float
    """Mean chance that all k runs succeed (pass^k)."""
    all_lower: float
    """Lower bound."""
    all_upper: float
    """Upper bound."""
    any_of: float
    """Mean chance that at least one of k runs succeeds (pass@k)."""
    any_lower: float
    """Lower bound."""
    any_upper: float
    """Upper bound."""
    rate_power: float
    """Mean of the items' success rates to the power k, which is biased upwards; shown for comparison."""
    far: bool
    """Whether k is above twice the observed runs, so that the estimate depends on the shape of the distribution."""


@dataclass(frozen=True)
class ModelRuns:
    """Results of repeated runs of one model."""

    model: str
    """The model."""
    items: int
    """Items with two runs or more."""
    runs: float
    """Mean number of runs of these."""
    rate: float
    """Mean success rate."""
    disagreement: float
    """Chance that two runs of one item differ."""
    flaky: int
    """Items that are flaky: their chance of success lies between 0.1 and 0.9, by a posterior chance of 80 % or more."""
    scores: tuple[RunScore, ...]
    """Success over several runs."""


@dataclass(frozen=True)
class FlakyItem:
    """An item whose outcome changes from run to run."""

    item: str
    """Its id."""
    disagreement: float
    """Chance that two runs of one model differ, over the models."""
    models: int
    """Models with repeated runs of it."""


@dataclass(frozen=True)
class RepeatedRuns:
    """Results of repeated runs of all models of a study."""

    models: tuple[ModelRuns, ...]
    """One for each model with repeated runs, in sorted order."""
    flaky_items: tuple[FlakyItem, ...]
    """Items whose outcomes change most from run to run."""
    level: float
    """Coverage of the bounds."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "level": self.level,
            "models": [asdict(model) for model in self.models],
            "flaky_items": [asdict(item) for item in self.flaky_items],
        }

    def lines(self) -> Iterator[str]:
        """Return it as sentences, one line for each model."""
        ordered = sorted(self.models, key=lambda model: -model.rate)
        for model in ordered[:MOST_LINES]:
            scores = [
                f"pass^{score.k} {100 * score.all_of:.1f} ({100 * score.all_lower:.1f} to {100 * score.all_upper:.1f};"
                f" rate^{score.k} {100 * score.rate_power:.1f}){' [far beyond the runs]' if score.far else ''},"
                f" pass@{score.k} {100 * score.any_of:.1f}"
                for score in model.scores
            ]
            yield (
                f"{model.model}: {counted(model.items, 'item')}, {model.runs:.1f} runs"
                f" each, {model.flaky} flaky, two runs differ"
                f" on {100 * model.disagreement:.1f} %; {'; '.join(scores)}"
            )
        if len(ordered) > MOST_LINES:
            yield f"repeated runs of {len(ordered) - MOST_LINES} more models: see --json"
        if self.flaky_items:
            named = ", ".join(f"{item.item} ({100 * item.disagreement:.0f} %)" for item in self.flaky_items[:5])
            yield f"two runs of one model differ most often on {named}"


def repeated_runs(responses: Responses, runs: Sequence[int] = DEFAULT_RUNS, level: float = 0.9) -> RepeatedRuns | None:
    """Estimate success over several runs; None where no model ran enough items twice.

    Repeats are rows of one model and item that differ in their facets, and trials counted in `n_trials`. Scores must be
    right or wrong; models with fractions are left out.

    Args:
        responses: Answers with repeats.
        runs: Numbers of runs to report.
        level: Coverage of the bounds.

    Returns:
        Chances of success in any and in all of several runs, by model; or None.
    """
    responses = by_condition(of_one_judge(responses))
    dense = responses.dense()
    whole = np.abs(dense.right - dense.right.round()) < 1e-6
    models: list[ModelRuns] = []
    for place, model in enumerate(responses.models):
        asked = dense.n_trials[place] > 0
        repeated = dense.n_trials[place] > 1
        if repeated.sum() >= FEWEST_ITEMS and whole[place, asked].all():
            chances = ItemChances(dense.right[place, asked].round(), dense.n_trials[place, asked])
            models.append(_model_runs(model, chances, runs, level))
    if not models:
        return None
    rows = [responses.models.index(model.model) for model in models]
    flaky = _flaky_items(responses.items, dense.right[rows].round(), dense.n_trials[rows])
    return RepeatedRuns(tuple(models), flaky, level)


def of_one_judge(responses: Responses) -> Responses:
    """Return the answers scored by the judge with the most scores: verdicts of several judges are no runs.

    Args:
        responses: All answers.
    """
    if "judge" not in responses.facets:
        return responses
    codes = responses.facets["judge"].codes
    return responses.rows(codes == int(np.bincount(codes).argmax()))


def by_condition(responses: Responses) -> Responses:
    """Answers over questions: an item under each prompt, scaffold and effort is a question of its own.

    Args:
        responses: All answers.
    """
    conditions = [name for name in CONDITIONS if name in responses.facets]
    if not conditions:
        return responses
    codes = [responses.item_index, *(responses.facets[name].codes for name in conditions)]
    distinct, place = np.unique(np.stack(codes), axis=1, return_inverse=True)
    names = [responses.items, *(responses.facets[name].names for name in conditions)]
    questions = [" | ".join(axis[code] for axis, code in zip(names, of, strict=True)) for of in distinct.T]
    return replace(responses, items=tuple(questions), item_index=place.reshape(-1))


def _model_runs(model: str, chances: ItemChances, runs: Sequence[int], level: float) -> ModelRuns:
    rate = chances.right / chances.runs
    scores: list[RunScore] = []
    for k in runs:
        none, none_lower, none_upper = chances.swapped().all_of(k, level)
        all_of = chances.all_of(k, level)
        far = k > EXTRAPOLATION * float(chances.runs.mean())
        scores.append(RunScore(k, *all_of, 1 - none, 1 - none_upper, 1 - none_lower, float((rate**k).mean()), far))
    many = chances.runs > 1
    return ModelRuns(
        model,
        int(many.sum()),
        float(chances.runs[many].mean()),
        float(rate.mean()),
        chances.disagreement(),
        int((chances.mixed_chance() >= SURE).sum()),
        tuple(scores),
    )


def _flaky_items(
    items: tuple[str, ...],
    right: Float[np.ndarray, "model item"],
    runs: Float[np.ndarray, "model item"],
    most: int = 20,
) -> tuple[FlakyItem, ...]:
    """Items with the largest share of pairs of runs that differ."""
    many = runs > 1
    pairs = np.where(many, runs * (runs - 1) / 2, 0.0)
    differing = np.where(many, right * (runs - right), 0.0).sum(axis=0)
    total = pairs.sum(axis=0)
    share = np.divide(differing, total, out=np.zeros(len(items)), where=total > 0)
    order = np.argsort(-share, kind="stable")[:most]
    return tuple(
        FlakyItem(items[place], float(share[place]), int(many[:, place].sum())) for place in order if share[place] > 0
    )
