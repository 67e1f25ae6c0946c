"""Evidence for routing: out-of-fold chances of success, corrected for model-by-task effects, with observed scores.

The chance of a model on a request comes from an assessor. Its residual effects (model by benchmark, model by task) are
estimated here from held-out answers and shrunken towards 0 (empirical Bayes). Their standard errors give the
conservative chance: a lower confidence bound of the chance.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from capscope.axes import Float, FloatArray, ModelItem
from capscope.data import Study, task_labels
from capscope.decide.routing.prices import ModelPrices
from capscope.errors import InputError, first_few
from capscope.intervals import normal_quantile
from capscope.predict import out_of_fold

FEWEST_ITEMS = 20
"""Fewest requests that every candidate answered from which routing is tested."""
FEWEST_GROUPS = 3
"""Fewest tasks, or benchmarks, from which some are held out whole."""
STEPS = 6
"""Newton steps to the posterior modes of effects."""
EDGE = 1e-6
"""Chances are clipped to EDGE and 1 - EDGE before their log-odds are taken."""


@dataclass(frozen=True, kw_only=True)
class RouteSettings:
    """Settings of `capscope.route` and of its evaluation."""

    target: float | None = None
    """Chance that a request's model has to reach; None keeps the quality of the best single model at the least cost."""
    assessor: str = "stacked"
    """Assessor that predicts chances of success."""
    level: float = 0.9
    """Coverage of the conservative chance and of the test of the target (one-sided), and of intervals (two-sided)."""
    floor: bool = True
    """Send every request to one model where routing is not shown to be at least as good at its cost."""
    split: str = "id"
    """Units that are held out to test routing: single requests (`id`), or whole tasks or benchmarks."""
    folds: int = 5
    """Folds of the study's requests, in which routing is tested; more folds test chances that are learnt from nearly
    as many answers as those that are used."""
    seed: int = 0
    """Seed of everything random."""
    annotator: str | None = None
    """Whose demand levels to use; by default the mean over annotators."""
    embedder: str = "auto"
    """Embedder that turns texts into vectors."""
    workers: int = 1
    """Number of processes; 0 for one per processor."""

    def __post_init__(self) -> None:
        """Validate the settings.

        Raises:
            InputError: Target, level or number of folds lie outside their range.
        """
        if self.target is not None and not 0 < self.target < 1:
            raise InputError(f"--target {self.target:g} is not a chance; use a number between 0 and 1, such as 0.8")
        if not 0.5 < self.level < 1:
            raise InputError(f"--level {self.level:g} is not a coverage; use a number between 0.5 and 1, such as 0.9")
        if self.folds < 2:
            raise InputError(f"--folds {self.folds}: two or more are needed to test routing on held-out requests")


@dataclass(frozen=True)
class GroupEffect:
    """Residual effect of each model on each group of items, in log-odds."""

    names: tuple[str, ...]
    """Groups: benchmarks, or tasks."""
    shift: Float[np.ndarray, "model group"]
    """Posterior mean."""
    variance: Float[np.ndarray, "model group"]
    """Posterior variance."""
    prior: float
    """Prior variance of the effects, used for a group without answers."""

    @classmethod
    def learn(cls, log_odds: ModelItem, score: ModelItem, group: np.ndarray) -> "GroupEffect":
        """Estimate effects from answers held out: posterior modes, with a prior variance by the method of moments.

        The mean over models is the group's difficulty, which does not affect the choice of a model; it is subtracted
        first.

        Args:
            log_odds: Predicted log-odds of success.
            score: Observed scores; NaN where there is no answer.
            group: Name of each item's group.
        """
        names, place = np.unique(group, return_inverse=True)
        known, member = np.isfinite(score), np.eye(len(names))[place]
        right = np.where(known, score, 0.0)

        def slopes(shift: FloatArray) -> tuple[FloatArray, FloatArray]:
            chance = np.where(known, expit(log_odds + shift[:, place]), 0.0)
            return (right - chance) @ member, (chance * (1 - chance)) @ member

        shared = np.zeros((len(log_odds), len(names)))
        for _ in range(STEPS):
            gradient, information = slopes(shared)
            shared = shared + gradient.sum(axis=0) / np.maximum(information.sum(axis=0), EDGE)
        gradient, information = slopes(shared)
        prior = float((gradient**2 - information).sum() / max(float((information**2).sum()), EDGE))
        prior = max(prior, EDGE)
        shift = np.zeros_like(shared)
        for _ in range(STEPS):
            shift = shift + (gradient - shift / prior) / (information + 1 / prior)
            gradient, information = slopes(shared + shift)
        return cls(tuple(map(str, names)), shift, 1 / (information + 1 / prior), prior)

    def at(self, group: np.ndarray) -> tuple[FloatArray, FloatArray]:
        """Return shift and variance for items of these groups, as (model, item)."""
        place = pd.Index(self.names).get_indexer(pd.Index(group))
        known = place >= 0
        return np.where(known, self.shift[:, place], 0.0), np.where(known, self.variance[:, place], self.prior)


@dataclass(frozen=True)
class ModelEffects:
    """Effects of benchmarks, and of tasks within benchmarks."""

    benchmark: GroupEffect
    task: GroupEffect

    @classmethod
    def learn(cls, log_odds: ModelItem, score: ModelItem, places: pd.DataFrame) -> "ModelEffects":
        """Estimate both; see `GroupEffect.learn`.

        Args:
            log_odds: Predicted log-odds of success.
            score: Observed scores; NaN where there is no answer.
            places: Columns benchmark, task, one row for each item.
        """
        first = GroupEffect.learn(log_odds, score, places["benchmark"].to_numpy())
        shift, _ = first.at(places["benchmark"].to_numpy())
        return cls(first, GroupEffect.learn(log_odds + shift, score, places["task"].to_numpy()))

    def at(self, places: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
        """Return shift and standard deviation for items, as (model, item)."""
        parts = (self.benchmark.at(places["benchmark"].to_numpy()), self.task.at(places["task"].to_numpy()))
        return parts[0][0] + parts[1][0], np.sqrt(parts[0][1] + parts[1][1])


@dataclass(frozen=True, kw_only=True)
class RouteChances:
    """Chances and costs of every candidate on some requests."""

    chance: ModelItem
    """Calibrated chance of success."""
    lower: ModelItem
    """Conservative chance: lower confidence bound of the chance."""
    cost: ModelItem
    """Cost of an answer in US dollars."""

    def rows(self, items: np.ndarray) -> "RouteChances":
        """Return some of the requests."""
        return RouteChances(chance=self.chance[:, items], lower=self.lower[:, items], cost=self.cost[:, items])


@dataclass(frozen=True, kw_only=True)
class RouteEvidence:
    """Past requests that every candidate answered, with out-of-fold predictions."""

    models: tuple[str, ...]
    """Names of the candidates."""
    items: tuple[str, ...]
    """Ids of the requests."""
    places: pd.DataFrame
    """Columns benchmark, task of the requests."""
    fold: np.ndarray
    """Fold that each request was held out in."""
    score: ModelItem
    """Observed scores, in [0, 1]."""
    candidates: RouteChances
    """Out-of-fold chances and costs."""
    effects: ModelEffects
    """Effects learnt from all folds, for new requests."""
    reach: float
    """Distance of the conservative chance from the chance, in standard deviations of the log-odds."""
    n_answers: int
    """Number of answers that the effects were estimated from."""
    n_left: int = 0
    """Number of requests that some candidate did not answer; they are used for training, not to test routing."""

    def adjusted(self, log_odds: ModelItem, places: pd.DataFrame, cost: ModelItem) -> RouteChances:
        """Return calibrated and conservative chances of new requests.

        Args:
            log_odds: Log-odds of the assessor's expected chances.
            places: Columns benchmark, task of the requests.
            cost: Dollars.
        """
        shift, sd = self.effects.at(places)
        return _candidates(log_odds + shift, sd, self.reach, cost)

    def by_task(self) -> pd.DataFrame:
        """Return the mean chance of every model on each task: benchmark, task, model, chance, lower, answers, usd."""
        rows: list[pd.DataFrame] = []
        for (benchmark, task), places in self.places.reset_index(drop=True).groupby(
            ["benchmark", "task"], observed=True
        ):
            at = places.index.to_numpy()
            columns = {
                "benchmark": benchmark,
                "task": task,
                "model": self.models,
                "chance": self.candidates.chance[:, at].mean(axis=1),
                "lower": self.candidates.lower[:, at].mean(axis=1),
                "answers": len(at),
                "usd": self.candidates.cost[:, at].mean(axis=1),
            }
            rows.append(pd.DataFrame(columns))
        return pd.concat(rows, ignore_index=True)


def _candidates(log_odds: ModelItem, sd: ModelItem, reach: float, cost: ModelItem) -> RouteChances:
    return RouteChances(chance=expit(log_odds), lower=expit(log_odds - reach * sd), cost=cost)


def places_of(items: pd.DataFrame) -> pd.DataFrame:
    """Return benchmark and task (with its benchmark's name) of items, by id."""
    columns = {"benchmark": items["benchmark"].astype(str).to_numpy(), "task": task_labels(items)}
    return pd.DataFrame(columns, index=pd.Index(items["item_id"].astype(str)))


def route_evidence(study: Study, prices: ModelPrices, settings: RouteSettings) -> RouteEvidence:
    """Predict a study's answers out of fold.

    Args:
        study: A study with responses.
        prices: Prices of the candidates.
        settings: Assessor, folds and level.

    Raises:
        InputError: Too few requests were answered by every candidate.
    """
    study = study.with_items()
    table = out_of_fold(
        study,
        settings.assessor,
        split=settings.split,
        folds=settings.folds,
        seed=settings.seed,
        annotator=settings.annotator,
        embedder=settings.embedder,
        workers=settings.workers,
    )
    table = table[table["model"].isin(prices.models)]
    grids = {name: _grid(table, name, prices.models) for name in ("score", "chance")}
    fold = table.groupby("item_id", observed=True)["fold"].first()
    items = study.require("items")
    texts = items.set_index(items["item_id"].astype(str))["text"].fillna("").astype(str)
    places = places_of(items).reindex(grids["score"].columns)
    score = grids["score"].to_numpy(dtype=float)
    log_odds = logit(np.clip(grids["chance"].to_numpy(dtype=float), EDGE, 1 - EDGE))
    log_odds = np.where(np.isfinite(log_odds), log_odds, 0.0)
    folds = fold.loc[grids["score"].columns].to_numpy(dtype=int)
    complete = np.asarray(np.isfinite(score).all(axis=0))
    _refuse_few(grids["score"], int(complete.sum()), study.name)
    reach = normal_quantile(2 * settings.level - 1)
    cost = prices.of_items(list(texts.loc[grids["score"].columns]))
    return RouteEvidence(
        models=prices.models,
        items=tuple(map(str, grids["score"].columns[complete])),
        places=_at(places, complete),
        fold=folds[complete],
        score=score[:, complete],
        candidates=_cross_fitted(log_odds, score, (places, folds), reach, cost).rows(np.flatnonzero(complete)),
        effects=ModelEffects.learn(log_odds, score, places),
        reach=reach,
        n_answers=int(np.isfinite(score).sum()),
        n_left=int((~complete).sum()),
    )


def _grid(table: pd.DataFrame, name: str, models: tuple[str, ...]) -> pd.DataFrame:
    """A column of out-of-fold predictions as models by items, in the order of the models."""
    grid = table.pivot_table(index="model", columns="item_id", values=name, aggfunc="mean", observed=True)
    return grid.reindex(models)


def _refuse_few(score: pd.DataFrame, complete: int, study: str) -> None:
    """Refuse a study in which hardly any request has answers of every model.

    Raises:
        InputError: There are fewer than `FEWEST_ITEMS`.
    """
    if complete < FEWEST_ITEMS:
        few = score.notna().sum(axis=1).sort_values(kind="stable")
        raise InputError(
            f"{study}: only {complete} requests have answers of every priced model; {FEWEST_ITEMS} are needed, so"
            f" leave models with few answers out of the prices ({first_few(map(str, few.index), 3)})"
        )


def _at(places: pd.DataFrame, mask: np.ndarray) -> pd.DataFrame:
    return places.iloc[np.flatnonzero(mask)]


def _cross_fitted(
    log_odds: ModelItem, score: ModelItem, where: tuple[pd.DataFrame, np.ndarray], reach: float, cost: ModelItem
) -> RouteChances:
    """Add effects that were estimated from the other folds."""
    places, folds = where
    shift, sd = np.zeros_like(log_odds), np.zeros_like(log_odds)
    for number in np.unique(folds):
        here = folds == number
        effects = ModelEffects.learn(log_odds[:, ~here], score[:, ~here], _at(places, ~here))
        shift[:, here], sd[:, here] = effects.at(_at(places, here))
    return _candidates(log_odds + shift, sd, reach, cost)


def task_variance(evidence: RouteEvidence) -> float:
    """Variance over tasks of the mean score around its prediction, without sampling error (method of moments)."""
    chance: ModelItem = evidence.candidates.chance
    task = np.unique(evidence.places["task"], return_inverse=True)[1]
    size = np.bincount(task)
    off = np.array([np.bincount(task, row) for row in evidence.score - chance]) / size
    noise = np.array([np.bincount(task, row) for row in chance * (1 - chance)]) / size**2
    return max(0.0, float((off**2 - noise).mean()))


def split_for(study: Study, requests: Study) -> str:
    """Unit to hold out so that the test resembles the requests to route: requests, tasks or benchmarks.

    Args:
        study: The study with past answers.
        requests: The requests to route.

    Returns:
        ``id``, ``task`` or ``benchmark``.
    """
    items, wanted = study.with_items().require("items"), requests.with_items().require("items")
    task, benchmark = task_labels(items), items["benchmark"].astype(str).unique()
    if np.isin(task_labels(wanted), task).any() or len(np.unique(task)) < FEWEST_GROUPS:
        return "id"
    new = not wanted["benchmark"].astype(str).isin(benchmark).any()
    return "benchmark" if new and len(benchmark) >= FEWEST_GROUPS else "task"


def last_change(folder: Path) -> str | None:
    """Day on which the responses of a study folder were last written."""
    files = sorted(folder.glob("responses.*"))
    return datetime.fromtimestamp(max(f.stat().st_mtime for f in files), UTC).date().isoformat() if files else None
