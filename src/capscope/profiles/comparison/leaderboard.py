"""Leaderboard of a suite: mean scores over tasks, Bradley-Terry strengths from item-wise wins, and rank aggregation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import expit

from capscope.axes import FloatArray, ModelItem
from capscope.data import Responses, Study
from capscope.display import ArrowTables, html_table
from capscope.errors import FitError, InputError, counted, first_few
from capscope.fit import IRTPosterior, IRTSettings, fit_irt, item_chance
from capscope.intervals import StratifiedMean, stratified_mean
from capscope.profiles.comparison.all_pairs import PairTests, pair_tests
from capscope.profiles.comparison.rankings import (
    ClusterScores,
    ModelVector,
    Strengths,
    Wins,
    borda,
    fit_strengths,
    kemeny_order,
    strengths,
    task_votes,
)
from capscope.profiles.comparison.run_scores import DEFAULT_RUNS, RepeatedRuns, repeated_runs
from capscope.profiles.item_groups import places_of
from capscope.profiles.meanings import leading, reliability_notes, table_lines

FEWEST_COMMON = 5
"""Fewest items answered by all models on which a comparison is based alone."""
DRAWS = 100
COLUMNS = (
    "mean: of task means; iqm: of the middle half of the tasks; strength: log-odds to win an item against the others;"
    "\nborda: mean rank over tasks (1 is best). Models whose intervals overlap may be in the other order."
)
"""Legend of the table."""
GROUPS = 8
"""Groups of items that the jackknife leaves out in turn."""


@dataclass(frozen=True)
class SuiteAggregates(ArrowTables):
    """All models over a suite of tasks."""

    table: pd.DataFrame
    """Columns model, mean, mean_lower, mean_upper, iqm, iqm_lower, iqm_upper, strength, strength_lower,
    strength_upper, borda, kemeny; best mean first."""
    kemeny_exact: bool
    """Whether no order disagrees with fewer tasks; else the best that moving single models found."""
    items: int
    """Items the means are over."""
    tasks: int
    """Their tasks."""
    level: float
    """Coverage of the intervals, over items within tasks."""
    rests_on: str
    """`common items` that every model answered, or `model` where a Rasch model predicts the scores not observed."""
    reliability: float
    """Share of the variance of the models' means that is not error; NaN for constant means."""
    notes: tuple[str, ...] = ()
    """Limitations of the comparison, most important first."""
    pairs: PairTests | None = None
    """Which models differ, corrected for the number of pairs; None where scores had to be predicted."""
    repeats: RepeatedRuns | None = None
    """Success over several runs, and flaky items; None without repeated runs."""

    @property
    def head(self) -> str:
        """Heading of the table, in one line."""
        kind = "the best order" if self.kemeny_exact else "the best order found by moving single models"
        basis = "that all models answered"
        if self.rests_on == "model":
            basis = "(scores not observed are predicted by a Rasch model)"
        tasks = counted(self.tasks, "task")
        return (
            f"{counted(len(self.table), 'model')} on {counted(self.items, 'item')} of {tasks}"
            f" {basis}, {self.level:.0%} intervals over items"
            f" within tasks; kemeny is the place in {kind}"
        )

    def as_dict(self) -> dict[str, object]:
        """Return plain values."""
        return {
            "n_items": self.items,
            "n_tasks": self.tasks,
            "level": self.level,
            "kemeny_exact": self.kemeny_exact,
            "rests_on": self.rests_on,
            "reliability": self.reliability,
            "models": self.table.to_dict("records"),
            "pairs": None if self.pairs is None else self.pairs.as_dict(),
            "repeats": None if self.repeats is None else self.repeats.as_dict(),
            "notes": list(self.notes),
            "answer": self.answer,
        }

    def as_text(self) -> str:
        """Return notes and the table."""
        notes = [f"note: {note}" for note in self.notes]
        lines = [*notes, self.answer, "", self.head, table_lines(self.table), COLUMNS]
        for part in (self.pairs, self.repeats):
            lines += [] if part is None else list(part.lines())
        return "\n".join(lines)

    @property
    def answer(self) -> str:
        """The leading model, and the number of models that are not significantly worse."""
        table = self.table.rename(columns={"mean_lower": "lower", "mean_upper": "upper"})
        return leading(table, self.level, "mean")

    def __repr__(self) -> str:
        best = f", best {self.table['model'].iloc[0]}"
        return (
            f"SuiteAggregates({counted(len(self.table), 'model')}, {counted(self.items, 'item')},"
            f" {counted(self.tasks, 'task')}{best})"
        )

    def _repr_html_(self) -> str:
        return html_table("Models over a suite", self.table, " ".join([*self.notes, self.head]))


@dataclass(frozen=True)
class _SuiteScores:
    """Scores of all models on all items that are compared."""

    observed: ModelItem
    """Mean score over trials; NaN where not observed."""
    complete: ModelItem
    """The same with predictions where not observed."""
    items: np.ndarray
    """Positions of these items on the responses' item axis."""
    rests_on: str
    draws: FloatArray | None
    """Posterior draws (model, item, draw) of the chances of success; None where every score was observed."""
    inflation: float = 1.0
    """Factor by which the draws' variance is multiplied."""


def suite_aggregates(
    study: Study, *, seed: int = 0, level: float = 0.9, runs: Sequence[int] = DEFAULT_RUNS
) -> SuiteAggregates:
    """Aggregate a study's scores over its tasks.

    `mean` is the mean of task means and `iqm` their interquartile mean (Agarwal et al., 2021). `strength` is the
    Bradley-Terry strength from items as contests: on each item, every model that scored higher wins against every one
    that scored lower (for right and wrong marks, the pairwise conditional likelihood of the Rasch model). `borda` is
    the mean rank over tasks, and `kemeny` the place in the order that disagrees with the fewest pairwise votes of
    tasks.

    Items that every model answered are compared. Where they are too few, all items are, and a Rasch model predicts the
    scores that were not observed; the intervals of `mean` and `iqm` include the uncertainty of these predictions.

    Args:
        study: A study with responses of two models or more.
        seed: Seed of the draws of predicted scores.
        level: Nominal coverage.
        runs: Numbers of runs of pass^k and pass@k, where models ran items more than once.

    Returns:
        A row for each model: aggregates with bounds, and ranks.

    Raises:
        InputError: Fewer than two models answered.
    """
    responses = Responses.of(study)
    if len(responses.models) < 2:
        raise InputError(f"{study.name}: one model answered; an aggregate compares two or more")
    scores = _common_scores(responses) or _predicted_scores(study, responses, seed)
    task = places_of(study, tuple(responses.items[i] for i in scores.items)).task
    labels, place = np.unique(task, return_inverse=True)
    by_task = _task_means(scores.complete, place, len(labels))
    order, exact = kemeny_order(task_votes(by_task))
    kemeny = np.empty(len(order))
    kemeny[order] = np.arange(1, len(order) + 1)
    means, error = _intervals(scores, place, by_task, level)
    contests, notes = _strengths(scores.observed, level)
    columns: dict[str, object] = {"model": list(responses.models), **means}
    columns |= {"strength": contests.value, "strength_lower": contests.lower, "strength_upper": contests.upper}
    columns |= {"borda": borda(by_task), "kemeny": kemeny}
    table = pd.DataFrame(columns).sort_values("mean", ascending=False, kind="stable").reset_index(drop=True)
    variance = float(np.var(by_task.mean(axis=1), ddof=1))
    reliability = max(0.0, 1 - error / variance) if variance > 0 else float("nan")
    notes = (*reliability_notes(reliability), *_coverage_notes(scores, responses), *notes)
    tests = None
    if scores.draws is None:
        tests = pair_tests(responses.models, scores.observed, place, np.random.default_rng(seed), level)
    return SuiteAggregates(
        table,
        exact,
        len(place),
        len(labels),
        level,
        scores.rests_on,
        reliability,
        notes,
        tests,
        repeated_runs(responses, runs, level),
    )


def _common_scores(responses: Responses) -> _SuiteScores | None:
    """Scores on the items that every model answered; None where these are few and others were answered too."""
    score = responses.dense().score
    items = np.flatnonzero(np.isfinite(score).all(axis=0))
    if len(items) < min(FEWEST_COMMON, score.shape[1]):
        return None
    return _SuiteScores(score[:, items], score[:, items], items, "common items", None)


def _predicted_scores(study: Study, responses: Responses, seed: int) -> _SuiteScores:
    """Scores on all items, those not observed predicted by a Rasch model."""
    score = responses.dense().score
    chance = item_chance(study, responses.items)
    floor = np.zeros(score.shape[1]) if chance is None else np.nan_to_num(chance)
    posterior = fit_irt(responses, IRTSettings(model="rasch", seed=seed), floor=floor).posterior
    rng = np.random.default_rng(seed)
    items = np.arange(score.shape[1])
    draws = np.stack(list(posterior.draw_chances(items, rng, DRAWS)))
    complete = np.where(np.isnan(score), draws.mean(axis=2), score)
    inflation = _inflation(responses, score, floor, draws, rng)
    return _SuiteScores(score, complete, items, "model", draws, inflation)


def _inflation(
    responses: Responses, score: ModelItem, floor: FloatArray, draws: FloatArray, rng: np.random.Generator
) -> float:
    """Ratio of the jackknife variance of mean scores (over groups of items) to the posterior variance; at least 1.

    The posterior assumes that abilities and items are independent, which underestimates the variance with few models.
    """
    if score.shape[1] < 2 * GROUPS:
        return 1.0
    group = rng.permutation(score.shape[1]) % GROUPS
    means = np.empty((GROUPS, len(score)))
    for number in range(GROUPS):
        kept = group != number
        part = responses.rows(kept[responses.item_index])
        place = np.cumsum(kept) - 1
        ids = tuple(np.array(part.items, dtype=object)[kept])
        part = replace(part, items=ids, item_index=place[part.item_index])
        refit = fit_irt(part, IRTSettings(model="rasch"), floor=floor[kept]).posterior
        means[number] = _completed(score[:, kept], refit).mean(axis=1)
    jackknife = ((means - means.mean(axis=0)) ** 2).sum(axis=0) * (GROUPS - 1) / GROUPS
    stated = draws.mean(axis=1).var(axis=1, ddof=1) + draws.var(axis=1).mean(axis=1) / score.shape[1]
    return max(1.0, float(jackknife.mean() / stated.mean()))


def _completed(score: ModelItem, posterior: IRTPosterior) -> ModelItem:
    """Scores with the fit's chances where they were not observed."""
    model, item = np.nonzero(np.isnan(score))
    complete = score.copy()
    complete[model, item] = posterior.probability(model, item)
    return complete


def _task_means(score: ModelItem, place: np.ndarray, n_tasks: int) -> FloatArray:
    """Mean score by (model, task)."""
    member = np.zeros((len(place), n_tasks))
    member[np.arange(len(place)), place] = 1.0
    return score @ member / member.sum(axis=0)


def _intervals(
    scores: _SuiteScores, place: np.ndarray, by_task: FloatArray, level: float
) -> tuple[dict[str, list[float]], float]:
    """Columns of means and interquartile means with bounds, and the mean error variance of the means."""
    tasks = by_task.shape[1]
    cut = tasks // 4
    columns: dict[str, list[float]] = {}
    errors: list[float] = []
    for model in range(len(by_task)):
        middle = np.sort(np.argsort(by_task[model], kind="stable")[cut : tasks - cut])
        for name, kept in (("mean", np.arange(tasks)), ("iqm", middle)):
            mean = _task_mean(scores, model, place, kept)
            bounds = mean.interval(level)
            values = {name: mean.point, f"{name}_lower": bounds.lower, f"{name}_upper": bounds.upper}
            for key, value in values.items():
                columns.setdefault(key, []).append(value)
            errors += [mean.variance] if name == "mean" else []
    return columns, float(np.mean(errors))


def _task_mean(scores: _SuiteScores, model: int, place: np.ndarray, kept: np.ndarray) -> StratifiedMean:
    """Mean over tasks of a model's scores; of predicted ones, with the variance of chances over draws and items."""
    if scores.draws is None:
        return stratified_mean(scores.observed[model], place, kept)
    draws = scores.draws[model]
    mean = stratified_mean(scores.complete[model], place, kept)
    weight = np.isin(place, kept) / np.bincount(place)[place] / len(kept)
    drawn = weight @ draws
    size = np.bincount(place)
    within = np.stack([np.bincount(place, one) for one in draws.T], axis=1) / size[:, None]
    items = (weight**2 @ (draws - within[place]) ** 2).mean()
    return replace(mean, variance=scores.inflation * float(drawn.var(ddof=1) + items))


def _strengths(score: ModelItem, level: float) -> tuple[Strengths, tuple[str, ...]]:
    """Strengths from item-wise contests; NaN, with a note, where models share no item with the others."""
    wins = item_wins(score)
    try:
        return strengths(wins, level, contest_scores(score, wins)), ()
    except FitError:
        blank = np.full(len(score), np.nan)
        why = "some models share no item with the others" if wins.any() else "no item was won by one model over another"
        return Strengths(blank, blank, blank, blank), (f"no strengths: {why}",)


def item_wins(score: ModelItem) -> Wins:
    """Count on how many items each model scored higher than each other one; ties and missing scores count for none.

    Args:
        score: Scores of models on items; NaN where not observed.
    """
    if np.isin(score, (0, 1)).all():
        return score @ (1 - score).T
    return np.stack([(one > score).sum(axis=1) for one in score]).astype(float)


def contest_scores(score: ModelItem, wins: Wins) -> ClusterScores:
    """Each item's wins less expected wins by model, as an array (item, model): the items' parts of the score vector.

    Args:
        score: Scores of models on items; NaN where not observed.
        wins: Table of wins from `item_wins`.
    """
    value: ModelVector = fit_strengths(wins)
    chance = expit(value[:, None] - value)
    if np.isin(score, (0, 1)).all():
        return (score * ((1 - chance) @ (1 - score)) - (1 - score) * (chance @ score)).T
    parts = [
        (1 - chance[model]) @ (one > score) - chance[model] @ (one < score)  # wins and losses of one model
        for model, one in enumerate(score)
    ]
    return np.stack(parts, axis=1)


def _coverage_notes(scores: _SuiteScores, responses: Responses) -> tuple[str, ...]:
    left_out = len(responses.items) - len(scores.items)
    if scores.rests_on == "common items":
        if not left_out:
            return ()
        return (f"{counted(left_out, 'item')} that not all models answered are left out",)
    answered = np.isfinite(scores.observed)
    common = int(answered.all(axis=0).sum())
    met = (answered.astype(float) @ answered.T.astype(float)) > 0
    alone = [name for name, row in zip(responses.models, met, strict=True) if row.sum() == 1]
    notes = (
        f"only {counted(common, 'item', 'were')} answered by all models; the means are over all"
        f" {len(scores.items)} items, of which a"
        f" model answered {answered.mean():.0%} on average, the rest is predicted by a Rasch model",
    )
    if alone:
        notes += (f"{first_few(alone)} share no item with any other model: their means rest on items being alike",)
    return notes
