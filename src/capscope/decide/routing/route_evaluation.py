"""Evaluation of routers on held-out requests: score against cost, with single models and an oracle for comparison."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.axes import FloatArray, ItemFloats, ModelItem, RowIndex
from capscope.data import Responses, Study, read_study, task_labels
from capscope.decide.routing.evidence import RouteSettings, route_evidence
from capscope.decide.routing.prices import ModelPrices, PriceTable, model_prices
from capscope.decide.routing.routes import Requests
from capscope.decide.routing.rules import WEIGHTS, RouteCurve, best_single, best_value, learn_rule, of_choice
from capscope.display import ArrowTables
from capscope.embedding import text_vectors
from capscope.errors import InputError, counted
from capscope.intervals import error_of_mean, normal_quantile

TARGETS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Target chances of success that are evaluated."""
NEIGHBOURS = 40
"""Number of neighbours of the nearest-neighbour router (RouterBench, Hu et al., 2024)."""
ROUTE = "route"
"""Name of this package's router in results."""
TASK_PRIOR = 2.0
"""Number of answers that the prior of a task's mean, the model's overall mean, weighs as much as."""


@dataclass(frozen=True, kw_only=True)
class RouterScore:
    """Score-cost curve of a router, and summaries of it."""

    curve: RouteCurve
    """Score against cost."""
    area: float
    """Mean score over budgets between the cheapest and the best single model."""
    score_at_best_cost: float
    """Score at the cost of the best single model."""
    usd_at_best_score: float
    """Cost at which the best single model's score is reached; infinity where it is not."""
    saving: float
    """Share of the best single model's cost that this saves; NaN where its score is not reached."""
    gap_closed: float
    """Share of the distance from the best single model's score to the oracle's that is closed at the same cost."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        names = ("area", "score_at_best_cost", "usd_at_best_score", "saving", "gap_closed")
        return {name: getattr(self, name) for name in names} | {"curve": self.curve.records()}


@dataclass(frozen=True, kw_only=True, repr=False)
class RouteEvaluation(ArrowTables):
    """Scores and costs of several routers on the same held-out requests."""

    n_models: int
    """Number of models."""
    n_items: int
    """Requests, each held out once."""
    singles: pd.DataFrame
    """Columns role (`best single`, `cheapest`, `oracle`), model, score, usd (mean of a request)."""
    routers: dict[str, RouterScore]
    """By name: `route`, `knn` (nearest neighbours), `by-task` (best mean of the task)."""
    targets: pd.DataFrame
    """Columns target, met (share of requests predicted to meet it), success (their mean score), lower, upper, expected,
    score (of all requests), usd, saving (against the best single model), holds (success at most 2 points below)."""
    match: dict[str, float]
    """Result of the rule that aims to keep the best single model's score: score, usd, saving, difference to that
    model, lower, upper."""
    notes: tuple[str, ...] = field(default=())
    """Remarks, one line each."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "n_models": self.n_models,
            "n_items": self.n_items,
            "singles": self.singles.to_dict("records"),
            "routers": {name: router.as_dict() for name, router in self.routers.items()},
            "targets": self.targets.to_dict("records"),
            "match": self.match,
            "notes": list(self.notes),
        }

    def table(self) -> pd.DataFrame:
        """Routers side by side."""
        columns = ("area", "score_at_best_cost", "saving", "gap_closed")
        rows = [{"router": name} | {c: getattr(r, c) for c in columns} for name, r in self.routers.items()]
        return pd.DataFrame(rows)

    @property
    def verdict(self) -> str:
        """The main result in one sentence."""
        saving = self.routers[ROUTE].saving
        if not np.isfinite(saving):
            return "Routing does not reach the best single model's score on these requests"
        return f"At the best single model's score, routing saves {saving:.0%} of its cost"

    def __repr__(self) -> str:
        return f"RouteEvaluation({counted(self.n_models, 'model')}, {self.n_items} requests)\n{self.verdict}"


def evaluate_route(
    study: Study | Path | str,
    prices: PriceTable | None = None,
    *,
    outer: int = 3,
    settings: RouteSettings | None = None,
    progress: Callable[[float], None] | None = None,
) -> RouteEvaluation:
    """Measure `capscope.route` on held-out requests that every priced model answered.

    Everything that a router learns (chances, effects, margins, the best single model) comes from the other folds.

    Args:
        study: A study with answers, or its folder.
        prices: See `capscope.route`.
        outer: Folds of requests that are held out in turn.
        settings: Assessor, level, floor, inner folds, seed and the like; by default those of
            `capscope.decide.RouteSettings`. Its `target` is not used: several targets are tried.
        progress: Called with the share of the work done, 0 to 1.

    Returns:
        Curves and figures of each router, and whether targets hold.

    Raises:
        InputError: There are no prices, or too few requests that every model answered.
    """
    settings = replace(settings or RouteSettings(), target=None)
    if outer < 2:
        raise InputError(f"--outer {outer}: two or more folds are needed to hold requests out")
    known = (study if isinstance(study, Study) else read_study(study)).with_items()
    priced = model_prices(known, prices)
    held = CommonRequests.of(known, priced)
    number = np.random.default_rng(settings.seed).permutation(np.arange(len(held.items)) % outer)
    parts: list[_HeldOutFold] = []
    for place in range(outer):
        parts.append(_HeldOutFold.of(known, held, priced, settings, number == place))
        if progress is not None:
            progress((place + 1) / outer)
    return _evaluation(parts, held, settings.level)


@dataclass(frozen=True, kw_only=True)
class CommonRequests:
    """Requests that every candidate answered, with scores and costs as (model, item)."""

    items: tuple[str, ...]
    score: ModelItem
    cost: ModelItem
    task: np.ndarray
    vectors: FloatArray
    """Features of the nearest-neighbour router (item, feature): standardised demand levels and text vectors."""

    @classmethod
    def of(cls, study: Study, prices: ModelPrices) -> "CommonRequests":
        """Collect the requests that have answers of every priced model.

        Args:
            study: A study with answers and items.
            prices: Prices of the models.

        Raises:
            InputError: There is no such request.
        """
        answers = Responses.of(study)
        place = pd.Index(answers.models).get_indexer(pd.Index(prices.models))
        score = answers.dense().score[place]
        complete = np.isfinite(score).all(axis=0)
        if not complete.any():
            raise InputError(f"{study.name}: no request has answers of every priced model; price fewer models")
        ids = np.array(answers.items)[complete]
        items = study.require("items")
        items = items.set_index(items["item_id"].astype(str)).reindex(ids).reset_index(drop=True)
        items = items.assign(item_id=ids)
        texts = items["text"].fillna("").astype(str)
        return cls(
            items=tuple(map(str, ids)),
            score=score[:, complete],
            cost=prices.of_items(list(texts)),
            task=task_labels(items),
            vectors=_vectors(study, ids, list(texts)),
        )


def _vectors(study: Study, ids: np.ndarray, texts: list[str]) -> FloatArray:
    parts: list[FloatArray] = []
    if any(texts):
        parts.append(text_vectors(texts, "tfidf").vectors)
    if study.demands is not None:
        levels = study.demands.pivot_table(
            index="item_id", columns="rubric", values="level", aggfunc="mean", observed=True
        )
        values = levels.reindex(ids).fillna(levels.mean()).to_numpy(dtype=float)
        parts.append((values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9))
    if not parts:
        return np.zeros((len(ids), 1))
    return np.hstack([part / max(float(np.sqrt((part**2).sum(axis=1).mean())), 1e-9) for part in parts])


@dataclass(frozen=True, kw_only=True)
class _HeldOutFold:
    """One fold of held-out requests with the choices of each router."""

    rows: np.ndarray
    """Positions of the requests."""
    choices: dict[str, list[np.ndarray]]
    """Choices of each router over `WEIGHTS`."""
    single: RowIndex
    """The best single model in the other folds, for each request."""
    targets: dict[float, tuple[RowIndex, np.ndarray]]
    """For each target: the choice, and whether it is predicted to meet the target."""
    match: RowIndex
    """Choice of the rule that keeps the best single model's score."""
    chance: ModelItem
    """Calibrated chances."""

    @classmethod
    def of(
        cls, study: Study, held: CommonRequests, prices: ModelPrices, settings: RouteSettings, test: np.ndarray
    ) -> "_HeldOutFold":
        """Learn routers from the other requests, and apply them to these."""
        ids = pd.Index(np.array(held.items)[test])
        every = study.require("items")["item_id"].astype(str)
        training = study.keep_items(pd.Index(every[~every.isin(ids)]))
        asked = study.keep_items(ids)
        requests = Study(asked.items, None, asked.demands, study.name)
        evidence = route_evidence(training, prices, settings)
        candidates = Requests.of(training, requests, prices, evidence, settings).candidates
        order = np.argsort(np.array(held.items)[test])
        rows = np.flatnonzero(test)[order]
        best = best_single(evidence.score, evidence.candidates.cost)
        scale = float(evidence.candidates.cost[best].mean())
        known = np.flatnonzero(~test)
        tables = {
            ROUTE: candidates,
            "knn": replace(candidates, chance=_nearest(held, known, rows)),
            "by-task": replace(candidates, chance=_by_task(held, known, rows)),
        }
        choices = {
            name: [best_value(table, float(weight / max(scale, 1e-300))) for weight in WEIGHTS]
            for name, table in tables.items()
        }
        targets: dict[float, tuple[RowIndex, np.ndarray]] = {}
        for target in TARGETS:
            rule = learn_rule(evidence, replace(settings, target=target))
            choice = rule.choose(candidates)
            targets[target] = choice, of_choice(rule.meets(candidates), choice).astype(bool)
        match = learn_rule(evidence, settings).choose(candidates)
        single = np.full(len(rows), best)
        return cls(rows=rows, choices=choices, single=single, targets=targets, match=match, chance=candidates.chance)


def _nearest(held: CommonRequests, known: np.ndarray, asked: np.ndarray) -> ModelItem:
    """Mean score of each model on the past requests most similar to each request."""
    near = held.vectors[asked] @ held.vectors[known].T
    size = (held.vectors[known] ** 2).sum(axis=1)
    count = min(NEIGHBOURS, len(known))
    place = np.argpartition(size - 2 * near, count - 1, axis=1)[:, :count]
    return held.score[:, known][:, place].mean(axis=2)


def _by_task(held: CommonRequests, known: np.ndarray, asked: np.ndarray) -> ModelItem:
    """Mean score of each model on past requests of the same task, shrunken towards its overall mean."""
    names, place = np.unique(held.task, return_inverse=True)
    member = np.eye(len(names))[place[known]]
    overall = held.score[:, known].mean(axis=1, keepdims=True)
    mean = (held.score[:, known] @ member + TASK_PRIOR * overall) / (member.sum(axis=0) + TASK_PRIOR)
    return mean[:, place[asked]]


def _evaluation(parts: list[_HeldOutFold], held: CommonRequests, level: float) -> RouteEvaluation:
    rows = np.concatenate([part.rows for part in parts])
    score, cost = held.score[:, rows], held.cost[:, rows]
    single = np.concatenate([part.single for part in parts])
    base = of_choice(score, single)
    best, best_usd = float(base.mean()), float(of_choice(cost, single).mean())
    cheapest = int(cost.mean(axis=1).argmin())
    right = np.where(score == score.max(axis=0), cost, np.inf).argmin(axis=0)
    oracle, oracle_usd = float(of_choice(score, right).mean()), float(of_choice(cost, right).mean())
    least = float(cost[cheapest].mean())
    singles = pd.DataFrame(
        [
            {"role": "best single", "model": "", "score": best, "usd": best_usd},
            {"role": "cheapest", "model": "", "score": float(score[cheapest].mean()), "usd": least},
            {"role": "oracle", "model": "", "score": oracle, "usd": oracle_usd},
        ]
    )
    return RouteEvaluation(
        n_models=len(score),
        n_items=len(rows),
        singles=singles,
        routers={
            name: _router_score(
                RouteCurve.of(_joined([part.choices[name] for part in parts]), score, cost, level),
                (best, best_usd, least, oracle),
            )
            for name in parts[0].choices
        },
        targets=pd.DataFrame([_target_row(parts, target, score, cost, best_usd, level) for target in TARGETS]),
        match=_match(np.concatenate([part.match for part in parts]), base, score, cost, best_usd),
    )


def _joined(several: list[list[np.ndarray]]) -> list[np.ndarray]:
    """Choices over all folds at each weight."""
    return [np.concatenate(at_weight) for at_weight in zip(*several, strict=True)]


def _router_score(curve: RouteCurve, known: tuple[float, float, float, float]) -> RouterScore:
    best, best_usd, least, oracle = known
    reached, usd = float(curve.score_at(best_usd)), curve.usd_at(best)
    return RouterScore(
        curve=curve,
        area=curve.area(least, best_usd),
        score_at_best_cost=reached,
        usd_at_best_score=usd,
        saving=1 - usd / best_usd if np.isfinite(usd) and best_usd > 0 else float("nan"),
        gap_closed=(reached - best) / (oracle - best) if oracle > best else float("nan"),
    )


def _target_row(
    parts: list[_HeldOutFold], target: float, score: ModelItem, cost: ModelItem, best_usd: float, level: float
) -> dict[str, object]:
    """Observed and expected success among the requests that are predicted to meet a target."""
    choice = np.concatenate([part.targets[target][0] for part in parts])
    met = np.concatenate([part.targets[target][1] for part in parts])
    expected = of_choice(np.hstack([part.chance for part in parts]), choice)
    observed: ItemFloats = of_choice(score, choice)
    usd = float(of_choice(cost, choice).mean())
    row: dict[str, object] = {"target": target, "met": float(met.mean())}
    nan = float("nan")
    success = float(observed[met].mean()) if met.any() else nan
    error = (float(observed[met].std()) / np.sqrt(met.sum()) or error_of_mean(observed[met])) if met.any() else nan
    width = normal_quantile(level) * error
    return row | {
        "success": success,
        "lower": max(success - width, 0.0) if met.any() else nan,
        "upper": min(success + width, 1.0) if met.any() else nan,
        "expected": float(expected[met].mean()) if met.any() else nan,
        "score": float(observed.mean()),
        "usd": usd,
        "saving": 1 - usd / best_usd,
        "holds": bool(success >= target - 0.02) if met.any() else True,
    }


def _match(choice: RowIndex, base: ItemFloats, score: ModelItem, cost: ModelItem, best_usd: float) -> dict[str, float]:
    """Score and cost of the rule that aims to keep the best single model's score, learnt without these requests."""
    gain = of_choice(score, choice) - base
    width = normal_quantile(0.95) * float(gain.std(ddof=1)) / np.sqrt(len(gain))
    usd = float(of_choice(cost, choice).mean())
    return {
        "score": float(of_choice(score, choice).mean()),
        "usd": usd,
        "saving": 1 - usd / best_usd,
        "difference": float(gain.mean()),
        "lower": float(gain.mean()) - width,
        "upper": float(gain.mean()) + width,
    }
