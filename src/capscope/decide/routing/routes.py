"""Routing of requests to models: chances, the choice by a tested rule, expected score and cost."""

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

from capscope.axes import ItemFloats, RowIndex
from capscope.data import Demands, Study, read_study
from capscope.decide.routing.evidence import (
    EDGE,
    RouteChances,
    RouteEvidence,
    RouteSettings,
    last_change,
    places_of,
    route_evidence,
    split_for,
    task_variance,
)
from capscope.decide.routing.prices import ModelPrices, PriceTable, model_prices
from capscope.decide.routing.rules import RouteCurve, RouteRule, best_single, learn_rule, of_choice, value_curve
from capscope.display import ArrowTables, html_table
from capscope.intervals import normal_quantile
from capscope.predict import Items, open_requests, predict

CALIBRATED, NEW_TASK, UNSUPPORTED = "calibrated", "new-task", "unsupported"
"""States of a request: routing was tested on requests of its task, on whole held-out tasks, or not at all."""


@dataclass(frozen=True, kw_only=True)
class Spend:
    """Expected mean score and total cost of answering the requests, with intervals."""

    model: str
    """The model; empty for the router."""
    score: float
    """Expected mean score, in [0, 1]."""
    lower: float
    """Lower bound of the mean score that will be observed."""
    upper: float
    """Upper bound."""
    usd: float
    """Dollars for all requests."""
    usd_lower: float
    """Lower bound; the same as `usd` where prices are fixed."""
    usd_upper: float
    """Upper bound."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        names = ("model", "score", "lower", "upper", "usd", "usd_lower", "usd_upper")
        return {name: getattr(self, name) for name in names if name != "model" or self.model}


@dataclass(frozen=True, kw_only=True, repr=False)
class Routes(ArrowTables):
    """The model chosen for each request, with expected scores and costs of the router and of single models."""

    table: pd.DataFrame
    """Columns item_id, model, chance, lower (conservative chance), usd, meets (the target), state (`calibrated`,
    `new-task` or `unsupported`), reason, answers (past answers to the same request)."""
    routed: Spend
    """Expected score and cost of the routed requests."""
    single: Spend
    """The best single model on these requests."""
    cheapest: Spend
    """The cheapest single model."""
    curve: RouteCurve
    """Score against cost on the study's requests, each held out."""
    domains: pd.DataFrame
    """Means by task, for routing by task alone: columns benchmark, task, model, chance, lower, answers, usd."""
    rule: RouteRule
    """Rule that chose the models."""
    settings: RouteSettings
    """Settings of the router."""
    evidence: RouteEvidence
    """Past answers on which the rule was tested."""
    study_changed: str | None = None
    """Day on which the study's answers were last changed; None for a study in memory."""
    notes: tuple[str, ...] = field(default=())
    """Remarks for the user, one line each."""

    @property
    def saving(self) -> float:
        """Share of the best single model's cost that is saved; negative where routing costs more."""
        return 1 - self.routed.usd / self.single.usd if self.single.usd > 0 else 0.0

    @property
    def verdict(self) -> str:
        """The main result in one sentence."""
        if self.rule.single is not None and not self.settings.floor:
            return (
                f"Every request goes to {self.evidence.models[self.rule.single]}: on {len(self.evidence.items)}"
                " held-out requests no cheaper choice is shown to keep the best single model's score"
            )
        if self.rule.single is not None:
            return (
                f"Every request goes to {self.evidence.models[self.rule.single]}: on {len(self.evidence.items)}"
                " held-out requests routing is not shown to be as good as that model at its cost"
            )
        cost = f"{abs(self.saving):.0%} {'less' if self.saving >= 0 else 'more'} than {self.single.model} for all"
        return (
            f"Expected score {self.routed.score:.3f} ({self.routed.lower:.3f} to {self.routed.upper:.3f}) for"
            f" ${self.routed.usd:,.4g}, {cost}, which would score {self.single.score:.3f}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, which a router can load from JSON."""
        shares = Counter(self.table["model"].tolist())
        return {
            "target": self.settings.target,
            "level": self.settings.level,
            "certified": self.rule.certified,
            "floor": self.rule.floor_name(self.evidence.models) if self.settings.floor else None,
            "expected": self.routed.as_dict() | {"saving": self.saving},
            "best_single": self.single.as_dict(),
            "cheapest": self.cheapest.as_dict(),
            "meeting_target": None if self.settings.target is None else float(self.table["meets"].mean()),
            "coverage": float((self.table["state"] != UNSUPPORTED).mean()),
            "support": {
                "models": list(self.evidence.models),
                "requests": len(self.evidence.items),
                "requests_left": self.evidence.n_left,
                "answers": self.evidence.n_answers,
                "assessor": self.settings.assessor,
            },
            "freshness": {"study_changed": self.study_changed},
            "models": dict(shares.most_common()),
            "curve": self.curve.records(),
            "domains": self.domains.to_dict("records"),
            "notes": list(self.notes),
            "requests": self.table.to_dict("records"),
        }

    def as_text(self) -> str:
        """Return the verdict, then the number of requests of each model."""
        lines = [f"{self.verdict}."]
        n = len(self.table)
        if self.settings.target is not None and self.rule.single is not None:
            met = int(self.table["meets"].sum())
            lines.append(
                f"With this model {met} of {n} requests meet the target of {self.settings.target:g}."
                if self.rule.certified
                else f"The target of {self.settings.target:g} is not certified: held-out requests do not show that this"
                " model meets it, and it is predicted for no request."
            )
        elif self.settings.target is not None:
            met = int(self.table["meets"].sum())
            lines.append(
                f"{met} of {n} requests have a model whose conservative chance is {self.settings.target:g} or more; the"
                " others go to the best."
                if self.rule.certified and not self.rule.by_value
                else f"{met} of {n} requests meet the target of {self.settings.target:g}; all go by value, since the"
                " cheapest that meet it are not shown to be as good as a single model at their cost."
                if self.rule.certified
                else f"No target of {self.settings.target:g} could be certified: all requests go to the best model."
            )
        lines += ["", f"{'requests':>8}  {'usd':>10}  {'chance':>6}  model"]
        for model, rows in sorted(
            self.table.groupby("model", observed=True), key=lambda pair: (-len(pair[1]), pair[0])
        ):
            lines.append(f"{len(rows):>8}  {rows['usd'].sum():>10.4g}  {rows['chance'].mean():>6.3f}  {model}")
        singles = [("best single", self.single), ("cheapest", self.cheapest)]
        lines += [""] + [
            f"{name}: {one.model}, expected score {one.score:.3f} ({one.lower:.3f} to {one.upper:.3f}), ${one.usd:,.4g}"
            for name, one in singles
        ]
        unsupported = int((self.table["state"] == UNSUPPORTED).sum())
        if unsupported:
            lines.append(
                f"{unsupported} of {n} requests are of tasks without answers; they go to the best single model."
            )
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def __repr__(self) -> str:
        return f"Routes({len(self.table)} requests over {self.table['model'].nunique()} models)\n{self.verdict}"

    def _repr_html_(self) -> str:
        return html_table("Routes", self.table.head(50), self.verdict)


def route(
    study: Study | Path | str,
    items: Items,
    prices: PriceTable | None = None,
    *,
    target: float | None = None,
    settings: RouteSettings | None = None,
) -> Routes:
    """Choose a model for each request: the cheapest with a sufficient chance of success, else the best.

    Example:
        ``route(study, ["What is 17 * 23?"], prices, target=0.8).table``

    Args:
        study: A study with answers of the models, or its folder.
        items: The requests: a study, a table of items, a list of texts, or the path of one.
        prices: Table or file with the columns model and usd (of an answer), or model, usd_in, usd_out (of a million
            tokens); None takes the costs of the study's answers.
        target: Chance of success that a request's model has to reach; replaces that of the settings. None in both keeps
            the mean score of the best single model at the least cost.
        settings: Assessor, level, floor, folds, seed and the like; by default those of `capscope.decide.RouteSettings`.

    Returns:
        The model of each request with its chance and price, and the expected total score and cost.

    Raises:
        InputError: There are no prices, too few common answers, or a setting lies outside its range.
    """
    settings = settings or RouteSettings()
    if target is not None:
        settings = replace(settings, target=target)
    known = study if isinstance(study, Study) else read_study(study)
    priced = model_prices(known, prices)
    rubrics = () if known.demands is None else Demands.of(known, settings.annotator).dims
    wanted = open_requests(items, rubrics)
    settings = replace(settings, split=split_for(known, wanted))
    evidence = route_evidence(known, priced, settings)
    requests = Requests.of(known, wanted, priced, evidence, settings)
    changed = None if isinstance(study, Study) else last_change(Path(study))
    return routes_of(requests, evidence, learn_rule(evidence, settings), settings, changed)


@dataclass(frozen=True, kw_only=True)
class Requests:
    """The requests to route, with the candidates' chances."""

    items: tuple[str, ...]
    """Ids."""
    places: pd.DataFrame
    """Columns benchmark, task."""
    candidates: RouteChances
    """Chances and costs."""
    support: pd.DataFrame
    """See `capscope.Predictions.support`."""
    cost_sd: ItemFloats
    """Standard deviation of the cost of one answer, by model."""
    notes: tuple[str, ...]
    """Remarks on predictions and prices."""

    @classmethod
    def of(
        cls, study: Study, items: Study, prices: ModelPrices, evidence: RouteEvidence, settings: RouteSettings
    ) -> "Requests":
        """Predict the chance of every candidate on every request.

        Args:
            study: The study with past answers.
            items: The requests.
            prices: Prices of the candidate models.
            evidence: Corrections from out-of-fold predictions.
            settings: Assessor, annotator, embedder, level and seed.

        Returns:
            Chances and costs, shape (model, item), with support and notes.
        """
        predicted = predict(
            study,
            items,
            assessor=settings.assessor,
            annotator=settings.annotator,
            embedder=settings.embedder,
            level=settings.level,
            seed=settings.seed,
        )
        chance = predicted.table.pivot(index="model", columns="item_id", values="p").loc[list(prices.models)]
        described = items.require("items")
        described = described.set_index(described["item_id"].astype(str)).loc[list(chance.columns)]
        texts = described["text"].fillna("").astype(str)
        places = places_of(described)
        log_odds = logit(np.clip(chance.to_numpy(dtype=float), EDGE, 1 - EDGE))
        return cls(
            items=tuple(map(str, chance.columns)),
            places=places,
            candidates=evidence.adjusted(log_odds, places, prices.of_items(list(texts))),
            support=predicted.support.set_index("item_id").loc[chance.columns].reset_index(),
            cost_sd=prices.sd,
            notes=(*prices.notes, *predicted.notes),
        )


def routes_of(
    requests: Requests, evidence: RouteEvidence, rule: RouteRule, settings: RouteSettings, changed: str | None = None
) -> Routes:
    """Apply a rule to requests; those of tasks without past answers go to the best single model.

    Args:
        requests: The requests.
        evidence: Past requests, on which the rule was tested.
        rule: The rule.
        settings: Settings of the router.
        changed: Day of the last change of the study.
    """
    candidates = requests.candidates
    usual = best_single(evidence.score, evidence.candidates.cost) if rule.single is None else rule.single
    known = np.isin(requests.places["task"], np.unique(evidence.places["task"]))
    tested = known | (settings.split != "id")
    choice = np.where(tested, rule.choose(candidates), usual)
    known_cost = evidence.candidates.cost
    single = best_single(candidates.chance, candidates.cost)
    spends = [
        _spend(requests, evidence, np.full(len(choice), place), settings.level, evidence.models[place])
        for place in (single, int(candidates.cost.mean(axis=1).argmin()))
    ]
    scale = float(known_cost[best_single(evidence.score, known_cost)].mean())
    return Routes(
        table=_table(requests, evidence, rule, settings, choice, (known, tested)),
        routed=_spend(requests, evidence, choice, settings.level),
        single=spends[0],
        cheapest=spends[1],
        curve=value_curve(evidence.candidates, evidence.score, settings.level, scale),
        domains=evidence.by_task(),
        rule=rule,
        settings=settings,
        evidence=evidence,
        study_changed=changed,
        notes=requests.notes,
    )


def _table(
    requests: Requests,
    evidence: RouteEvidence,
    rule: RouteRule,
    settings: RouteSettings,
    choice: RowIndex,
    support: tuple[np.ndarray, np.ndarray],
) -> pd.DataFrame:
    """Return one row per request with the chosen model; `support`: is its task known, and does the test cover it."""
    candidates, (known, tested) = requests.candidates, support
    meets = of_choice(rule.meets(candidates), choice) & tested
    reason = np.full(len(choice), "best value" if rule.target is None else "best chance", dtype=object)
    reason[meets] = "cheapest that meets the target"
    if rule.by_value or rule.single is not None:
        one = "floor: one model for all" if settings.floor else "one model for all"
        reason[:] = "floor: best value" if rule.by_value else one
    reason[~tested] = "task without answers: best single model"
    return pd.DataFrame(
        {
            "item_id": requests.items,
            "model": np.array(evidence.models)[choice],
            "chance": of_choice(candidates.chance, choice),
            "lower": of_choice(rule.lower(candidates), choice),
            "usd": of_choice(candidates.cost, choice),
            "meets": meets,
            "state": np.select([known, tested], [CALIBRATED, NEW_TASK], UNSUPPORTED),
            "reason": reason,
            "answers": requests.support["answers"].to_numpy(),
        }
    )


def _spend(requests: Requests, evidence: RouteEvidence, choice: RowIndex, level: float, model: str = "") -> Spend:
    """Expected mean score and cost of a choice, with variances over single answers and over tasks."""
    chance = of_choice(requests.candidates.chance, choice)
    usd, sd = of_choice(requests.candidates.cost, choice), requests.cost_sd[choice]
    share = np.unique(requests.places["task"], return_counts=True)[1] / len(choice)
    variance = (chance * (1 - chance)).sum() / len(choice) ** 2 + task_variance(evidence) * (share**2).sum()
    reach = normal_quantile(level)
    width, cost_width = reach * float(np.sqrt(variance)), reach * float(np.sqrt((sd**2).sum()))
    score, total = float(chance.mean()), float(usd.sum())
    return Spend(
        model=model,
        score=score,
        lower=max(0.0, score - width),
        upper=min(1.0, score + width),
        usd=total,
        usd_lower=max(0.0, total - cost_width),
        usd_upper=total + cost_width,
    )
