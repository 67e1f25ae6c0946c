"""Rules that choose a model for each request, and their tests on held-out requests.

There are two rules. *Target* takes the cheapest model whose conservative chance reaches a target, else the best one.
*Value* takes the model with the largest chance minus a weight times its cost. Settings of a rule are tested in a fixed
sequence from the strictest one; the last one before the first failure holds at the stated level (Bauer, 1991). The
*floor* is a non-inferiority test against the best single model at the same cost: where the target rule fails it, the
value rule at the same cost is tested; where that fails too, all requests go to one model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betaincinv, expit, logit

from capscope.axes import FloatArray, ModelItem, RowIndex
from capscope.decide.routing.evidence import RouteChances, RouteEvidence, RouteSettings
from capscope.intervals import error_of_mean, normal_quantile

WEIGHTS = np.r_[0.0, np.geomspace(0.002, 30.0, 80)]
"""Weights of the cost: chance of success that is worth the mean cost of the best single model."""
FLOOR_LEVEL, SECOND_LEVEL = 0.95, 0.975
"""One-sided levels of the non-inferiority tests: of the first rule, and of the second one."""
MARGINS = np.linspace(0.0, 2.0, 21)
"""Margins in log-odds that are tried until the target holds on held-out requests."""
FEWEST_MET = 20
"""Fewest held-out requests that reach the target from which it is tested."""


@dataclass(frozen=True, kw_only=True)
class RouteRule:
    """A rule that chooses the model of a request."""

    target: float | None
    """Target chance; None for a value rule."""
    margin: float = 0.0
    """Log-odds by which the conservative chance is lowered further, so that the target holds on held-out requests."""
    weight: float = 0.0
    """Weight of a dollar, in chances of success."""
    certified: bool = True
    """Whether the test on held-out requests was passed."""
    single: int | None = None
    """Position of the model that gets all requests where no rule passed; None where one did."""
    by_value: bool = False
    """Whether the value rule with `weight` replaces a target rule that failed the floor; the target then only marks the
    requests that meet it."""

    def choose(self, candidates: RouteChances) -> RowIndex:
        """Return the position of each request's model."""
        if self.single is not None:
            return np.full(candidates.chance.shape[1], self.single)
        if self.target is None or self.by_value:
            return best_value(candidates, self.weight)
        met = self.meets(candidates)
        price = np.where(met, candidates.cost - 1e-9 * candidates.chance, np.inf)
        return np.where(met.any(axis=0), price.argmin(axis=0), best_value(candidates, 0.0))

    def floor_name(self, models: Sequence[str]) -> str | None:
        """Return the replacement of the target rule: a model's name, or `value`; None where the rule passed."""
        return "value" if self.by_value else None if self.single is None else models[self.single]

    def lower(self, candidates: RouteChances) -> ModelItem:
        """Return conservative chances after subtraction of the margin in log-odds."""
        return expit(logit(candidates.lower) - self.margin)

    def meets(self, candidates: RouteChances) -> np.ndarray:
        """Whether each model's conservative chance on each request reaches the target."""
        if self.target is None or not self.certified:
            return np.zeros(candidates.chance.shape, dtype=bool)
        return self.lower(candidates) >= self.target


def best_value(candidates: RouteChances, weight: float) -> RowIndex:
    """Return the model with the largest chance minus `weight` times its cost; ties go to the cheaper one.

    Args:
        candidates: Chances and costs (model, request).
        weight: Chance of success that one unit of cost is worth.

    Returns:
        Number of the model for each request (request,).
    """
    return (candidates.chance - (weight + 1e-9) * candidates.cost).argmax(axis=0)


def of_choice(values: np.ndarray, choice: RowIndex) -> np.ndarray:
    """Return the values of the chosen models.

    Args:
        values: Values (model, request).
        choice: Number of the chosen model for each request (request,).
    """
    return values[choice, np.arange(len(choice))]


def best_single(score: ModelItem, cost: ModelItem, budget: float = np.inf) -> int:
    """Return the model with the best mean score among those whose mean cost lies within a budget; else the cheapest.

    Args:
        score: Scores (model, request), 0 to 1.
        cost: Costs (model, request).
        budget: Largest mean cost of a request.
    """
    mean_cost, mean = cost.mean(axis=1), score.mean(axis=1)
    within = mean_cost <= budget * (1 + 1e-9)
    if not within.any():
        return int(mean_cost.argmin())
    return int(np.lexsort((mean_cost, -np.where(within, mean, -np.inf)))[0])


def held_out_single(evidence: RouteEvidence, budget: float = np.inf) -> RowIndex:
    """Return for each request the best single model of the other folds.

    Args:
        evidence: Past requests with their scores and folds.
        budget: Largest mean cost of a request.
    """
    choice = np.zeros(len(evidence.items), dtype=np.int64)
    for number in np.unique(evidence.fold):
        here = evidence.fold == number
        choice[here] = best_single(evidence.score[:, ~here], evidence.candidates.cost[:, ~here], budget)
    return choice


def lower_mean(values: FloatArray, level: float = FLOOR_LEVEL) -> float:
    """One-sided lower bound of a mean.

    Args:
        values: One value per request (request,).
        level: One-sided confidence level.
    """
    return float(values.mean() - normal_quantile(2 * level - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def learn_rule(evidence: RouteEvidence, settings: RouteSettings) -> RouteRule:
    """Choose the rule that passes the tests on held-out requests.

    Args:
        evidence: Past requests with their scores.
        settings: The target, the level, and whether the floor holds.
    """
    rule = _value_rule(evidence) if settings.target is None else _target_rule(evidence, settings.target, settings.level)
    if not settings.floor:
        return rule
    cost = _mean_cost(rule, evidence)
    if _no_worse(rule, evidence, cost):
        return rule
    if settings.target is None:
        return replace(rule, single=best_single(evidence.score, evidence.candidates.cost, cost))
    # the target has to be tested again for each replacement: the value rule at the same cost, then one model for all
    by_value = _value_within(evidence, cost)
    if by_value is not None:
        return _target_rule(evidence, settings.target, settings.level, by_value)
    single = RouteRule(target=None, single=best_single(evidence.score, evidence.candidates.cost, cost))
    return _target_rule(evidence, settings.target, settings.level, single)


def _mean_cost(rule: RouteRule, evidence: RouteEvidence) -> float:
    return float(of_choice(evidence.candidates.cost, rule.choose(evidence.candidates)).mean())


def _no_worse(rule: RouteRule, evidence: RouteEvidence, budget: float, level: float = FLOOR_LEVEL) -> bool:
    """Whether a rule is non-inferior to the best single model within a budget."""
    gain = of_choice(evidence.score, rule.choose(evidence.candidates))
    return lower_mean(gain - of_choice(evidence.score, held_out_single(evidence, budget)), level) >= 0


def _value_within(evidence: RouteEvidence, budget: float) -> RouteRule | None:
    """The value rule with the largest cost within a budget, if it is non-inferior to the best single model there."""
    scale = float(evidence.candidates.cost[best_single(evidence.score, evidence.candidates.cost)].mean())
    for weight in WEIGHTS:
        rule = RouteRule(target=None, weight=float(weight / max(scale, 1e-300)))
        if _mean_cost(rule, evidence) <= budget:
            return rule if _no_worse(rule, evidence, budget, SECOND_LEVEL) else None
    return None


def _target_rule(evidence: RouteEvidence, target: float, level: float, floor: RouteRule | None = None) -> RouteRule:
    """Test margins from the strictest one; the last one before the first failure holds the target at this level."""
    start = RouteRule(target=target)
    if floor is not None:
        start = replace(start, single=floor.single, weight=floor.weight, by_value=floor.single is None)
    passed: RouteRule | None = None
    for margin in MARGINS[::-1]:
        rule = replace(start, margin=float(margin))
        choice = rule.choose(evidence.candidates)
        met = of_choice(rule.meets(evidence.candidates), choice)
        if met.sum() < FEWEST_MET:
            continue
        success = of_choice(evidence.score, choice)[met]
        right = float(success.sum())
        if betaincinv(max(right, EDGE_COUNT), len(success) - right + 1, 1 - level) < target:
            break
        passed = rule
    return passed or replace(start, certified=False)


EDGE_COUNT = 1e-6
"""Replaces a count of 0 in the bound of a share, which needs a positive number."""


def _value_rule(evidence: RouteEvidence) -> RouteRule:
    """The cheapest value rule that is non-inferior to the best single model."""
    candidates, reference = evidence.candidates, held_out_single(evidence)
    budget = float(of_choice(candidates.cost, reference).mean())
    baseline = of_choice(evidence.score, reference)
    passed: RouteRule | None = None
    for weight in WEIGHTS:
        rule = RouteRule(target=None, weight=float(weight / max(budget, 1e-300)))
        choice = rule.choose(candidates)
        if of_choice(candidates.cost, choice).mean() > budget:
            continue
        if lower_mean(of_choice(evidence.score, choice) - baseline) < 0:
            break
        passed = rule
    best = best_single(evidence.score, candidates.cost)
    return passed or RouteRule(target=None, certified=False, single=best)


@dataclass(frozen=True)
class RouteCurve:
    """Mean score against mean cost, from the best model for each request to the cheapest."""

    usd: FloatArray
    """Mean dollars of a request."""
    score: FloatArray
    """Mean score of the held-out requests."""
    lower: FloatArray
    """Lower bound of the score."""
    upper: FloatArray
    """Upper bound."""

    @classmethod
    def of(cls, choices: list[np.ndarray], score: ModelItem, cost: ModelItem, level: float) -> "RouteCurve":
        """Score several choices on the same requests; the last point is the cheapest model for all requests.

        Args:
            choices: Position of each request's model, one array for each choice.
            score: Scores, shape (model, item).
            cost: Dollars, shape (model, item).
            level: Coverage of the intervals.
        """
        cheapest = np.full(score.shape[1], cost.mean(axis=1).argmin())
        picked = [of_choice(score, choice) for choice in (*choices, cheapest)]
        usd = np.array([of_choice(cost, choice).mean() for choice in (*choices, cheapest)])
        mean = np.array([values.mean() for values in picked])
        width = normal_quantile(level) * np.array([error_of_mean(values) for values in picked])
        return cls(usd, mean, np.clip(mean - width, 0, 1), np.clip(mean + width, 0, 1))

    def score_at(self, usd: FloatArray | float) -> FloatArray:
        """Best mean score within a budget, mixing neighbouring points at random."""
        order = np.lexsort((self.score, self.usd))
        return np.asarray(np.interp(usd, self.usd[order], np.maximum.accumulate(self.score[order])))

    def usd_at(self, score: float) -> float:
        """Least mean cost at which a mean score is reached; infinity where it is not."""
        order = np.lexsort((self.score, self.usd))
        usd, reached = self.usd[order], np.maximum.accumulate(self.score[order])
        if reached[-1] < score:
            return float("inf")
        place = int(np.argmax(reached >= score))
        if place == 0:
            return float(usd[0])
        low, high = reached[place - 1], reached[place]
        return float(usd[place - 1] + (usd[place] - usd[place - 1]) * (score - low) / max(high - low, 1e-12))

    def area(self, least: float, most: float) -> float:
        """Mean of the score over budgets between two costs.

        Args:
            least: Smallest budget, in dollars a request.
            most: Largest budget.
        """
        return float(self.score_at(np.linspace(least, most, 201)).mean())

    def records(self) -> list[dict[str, float]]:
        """Return the points as plain values, the most expensive first."""
        columns = {"usd": self.usd, "score": self.score, "lower": self.lower, "upper": self.upper}
        return [{name: float(values[place]) for name, values in columns.items()} for place in range(len(self.usd))]


def value_curve(candidates: RouteChances, score: ModelItem, level: float, scale: float) -> RouteCurve:
    """Curve of the value rule over `WEIGHTS`.

    Args:
        candidates: Chances and costs.
        score: Observed scores.
        level: Coverage of the points' intervals.
        scale: Mean cost of the best single model, in whose units the weights are.
    """
    choices = [best_value(candidates, float(weight / max(scale, 1e-300))) for weight in WEIGHTS]
    return RouteCurve.of(choices, score, candidates.cost, level)
