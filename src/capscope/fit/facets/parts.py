"""Decomposition of agents' abilities into effects of model, scaffold and effort, and interactions."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from capscope.axes import FloatArray
from capscope.data import SEPARATOR, AgentDesign, effort_ranks
from capscope.errors import FitError, first_few, nearest
from capscope.fit.facets.evidence import AbilityEvidence, evidence_of, with_subject
from capscope.fit.facets.mixed import MixedDraws, Term, fit_mixed
from capscope.fit.posterior import Posterior
from capscope.intervals import quantile_bounds

EFFORT = "effort"
JOINT = ":"
"""Separator of the factors in the name of an interaction."""
INTERACTION_SCALE = 0.5
"""Prior scale of interactions and of steps of effort, as a share of the spread over the agents."""
AGAINST_ORDER = 0.975
"""Probability that a step of effort lowers ability above which effects are not held in order."""
FEWEST = 3
"""Fewest agents that can be split."""


@dataclass(frozen=True)
class AgentParts:
    """Posterior of the effects of agents' parts; each factor's effects have mean 0: only differences are identified."""

    design: AgentDesign
    """The agents and their parts."""
    draws: MixedDraws
    """Draws of all effects."""
    combinations: Mapping[str, tuple[tuple[str, ...], ...]]
    """Parts of each level of a term, by term."""
    log_odds: float
    """Log-odds per unit on a typical item."""
    unit: str
    """Unit of the effects."""
    notes: tuple[str, ...] = ()
    """Effects that are not identified, and efforts that contradict the order."""

    def effects(self, factor: str, level: float = 0.9) -> pd.DataFrame:
        """Effects of a factor's parts, relative to their mean, with the others held fixed.

        Args:
            factor: Name of the factor, such as ``scaffold``.
            level: Nominal coverage of the bounds.

        Returns:
            Columns ``factor, name, effect, sd, lower, upper, log_odds, agents, set, separable``: parts of one set can
            be compared; the effect of a part that is alone in its set is not identified.

        Raises:
            FitError: The factor does not vary.
        """
        self._refuse_factor(factor)
        names, number = self.design.names(factor), self.design.comparable(factor)
        draws = self._centered(factor)
        lower, upper = quantile_bounds(draws, level)
        columns = {
            "factor": factor,
            "name": names,
            "effect": draws.mean(axis=-1),
            "sd": draws.std(axis=-1, ddof=1),
            "lower": lower,
            "upper": upper,
            "log_odds": draws.mean(axis=-1) * self.log_odds,
            "agents": np.bincount(self.design.codes(factor), minlength=len(names)),
            "set": number + 1,
            "separable": np.bincount(number)[number] > 1,
        }
        return pd.DataFrame(columns)

    def scales(self, level: float = 0.9) -> pd.DataFrame:
        """Standard deviation of each term's effects, and its share of the variance over agents.

        Args:
            level: Nominal coverage of the bounds.

        Returns:
            Columns ``term, sd, lower, upper, share, share_lower, share_upper``.
        """
        values = np.stack([self._spread(name) for name in self.draws.scales])
        share = values**2 / (values**2).sum(axis=0)
        bounds, of_share = quantile_bounds(values, level), quantile_bounds(share, level)
        columns = {"term": list(self.draws.scales), "sd": np.median(values, axis=-1)}
        columns |= {"lower": bounds[0], "upper": bounds[1], "share": share.mean(axis=-1)}
        return pd.DataFrame(columns | {"share_lower": of_share[0], "share_upper": of_share[1]})

    def difference(self, factor: str, first: str, second: str, level: float = 0.9) -> pd.DataFrame:
        """Difference in ability between agents with the first and with the second part, other parts held fixed.

        Args:
            factor: Name of the factor.
            first: One of its parts.
            second: Another.
            level: Nominal coverage of the bounds.

        Returns:
            One row: ``factor, first, second, difference, sd, lower, upper, log_odds, ahead, separable``.

        Raises:
            FitError: No such factor or part.
        """
        self._refuse_factor(factor)
        names, number = self.design.names(factor), self.design.comparable(factor)
        for name in (first, second):
            if name not in names:
                raise FitError(f"no {factor} '{name}'{nearest(name, names)}; there are {first_few(names)}")
        one, other = names.index(first), names.index(second)
        effects = self._centered(factor)
        draws = effects[one] - effects[other]
        lower, upper = quantile_bounds(draws[None], level)
        row = {"factor": factor, "first": first, "second": second, "difference": draws.mean()}
        row |= {"sd": draws.std(ddof=1), "lower": lower[0], "upper": upper[0], "log_odds": draws.mean() * self.log_odds}
        row |= {"ahead": float((draws > 0).mean()), "separable": bool(number[one] == number[other])}
        return pd.DataFrame([row])

    def ability(self, parts: Mapping[str, str], rng: np.random.Generator) -> FloatArray:
        """Draws of the ability of an agent with these parts, seen together or not.

        Args:
            parts: Part by factor; the effect of a factor that is left out is drawn from its population.
            rng: Source of randomness for unknown parts.

        Raises:
            FitError: A part is not known.
        """
        total = self.draws.mean.copy()
        for name, effects in self.draws.effects.items():
            factors = tuple(name.split(JOINT))
            wanted = tuple(parts.get(factor, "") for factor in factors)
            for factor, part in zip(factors, wanted, strict=True):
                if part and part not in self.design.names(factor):
                    known = self.design.names(factor)
                    raise FitError(f"no {factor} '{part}'{nearest(part, known)}; there are {first_few(known)}")
            if name == EFFORT and not self._is_plain(name):
                steps = self._level_effects(name)
                total += steps[self.design.names(EFFORT).index(wanted[0])] if wanted[0] else steps.mean(axis=0)
            elif wanted in self.combinations[name]:
                total += effects[self.combinations[name].index(wanted)]
            else:
                total += self.draws.scales[name] * rng.standard_normal(len(total))
        return total

    def _centered(self, factor: str) -> FloatArray:
        effects = self._level_effects(factor)
        return effects - effects.mean(axis=0)

    def _level_effects(self, factor: str) -> FloatArray:
        effects = self.draws.effects[factor]
        if self._is_plain(factor):
            return effects
        return np.vstack([np.zeros(effects.shape[1]), np.cumsum(effects, axis=0)])

    def _is_plain(self, factor: str) -> bool:
        """Whether effects are of levels, not of steps between them."""
        return len(self.draws.effects[factor]) == len(self.design.names(factor))

    def _spread(self, term: str) -> FloatArray:
        """Standard deviation of a term's effects; of steps, that of the levels that they lead to."""
        if JOINT in term or self._is_plain(term):
            return self.draws.scales[term]
        return self._level_effects(term).std(axis=0)

    def _refuse_factor(self, factor: str) -> None:
        known = self.design.factors
        if factor not in known:
            raise FitError(
                f"agents of this fit do not differ in '{factor}'{nearest(factor, known)}; they differ in"
                f" {' and '.join(known) or 'nothing'}"
            )


def split_general(posterior: Posterior, design: AgentDesign, seed: int = 0) -> AgentParts:
    """Split the general ability of a fit's agents into parts.

    Args:
        posterior: Posterior of a fit of any kind.
        design: The agents' parts, subjects named like the fit's models.
        seed: Seed of the draws.

    Returns:
        Draws of the parts' effects, and notes on effects that are not identified.

    Raises:
        FitError: Fewer than three agents, or agents that the fit does not have.
    """
    evidence = evidence_of(posterior)
    value, variance = evidence.general
    return _split(posterior.models, value, variance, evidence, design, seed)


def with_agent(posterior: Posterior, design: AgentDesign, parts: Mapping[str, str], seed: int = 0) -> Posterior:
    """Add an agent made of known parts to a fit, so that it is predicted like the others.

    Args:
        posterior: Posterior of a fit of any kind.
        design: The agents' parts.
        parts: Part by factor; a factor that is left out counts as a part never seen.
        seed: Seed of the draws.

    Returns:
        The posterior with one more model, whose name joins the parts.

    Raises:
        FitError: A part is not known.
    """
    evidence = evidence_of(posterior)
    draws: list[FloatArray] = []
    for dim in range(evidence.value.shape[1]):
        split = _split(posterior.models, evidence.value[:, dim], evidence.cov[:, dim, dim], evidence, design, seed)
        draws.append(split.ability(parts, np.random.default_rng((seed, dim))))
    name = SEPARATOR.join(parts[factor] for factor in design.parts if parts.get(factor))
    return with_subject(posterior, name, np.stack(draws))


def parts_of_name(design: AgentDesign, name: str) -> dict[str, str] | None:
    """Return the parts of a name such as ``model + scaffold + effort``; None where it is not made of known parts.

    Args:
        design: The agents' parts.
        name: The name.
    """
    pieces = [piece.strip() for piece in name.split(SEPARATOR.strip())]
    factors = tuple(design.parts)
    for chosen in combinations(factors, len(pieces)):
        if all(piece in design.names(factor) for factor, piece in zip(chosen, pieces, strict=True)):
            return dict(zip(chosen, pieces, strict=True))
    return None


def _split(
    models: tuple[str, ...],
    value: FloatArray,
    variance: FloatArray,
    evidence: AbilityEvidence,
    design: AgentDesign,
    seed: int,
) -> AgentParts:
    place = pd.Index(models).get_indexer(pd.Index(design.subjects))
    absent = [name for name, at in zip(design.subjects, place, strict=True) if at < 0]
    if absent:
        raise FitError(f"the fit has no agent {first_few(absent)}; fit the study again")
    if len(place) < FEWEST or not design.factors:
        raise FitError(f"{len(place)} agents cannot be split into parts; use at least {FEWEST} that differ in a facet")
    value, variance = value[place], variance[place]
    rng, spread = np.random.default_rng(seed), float(np.sqrt(max(value.var() - variance.mean(), value.var() / 4)))
    terms, levels = _terms(design, max(spread, 1e-6))
    notes = tuple(_inseparable(design))
    noise = design.error_covariance(variance) if design.verdict_correlation else variance
    draws = fit_mixed(value, noise, terms, rng)
    if EFFORT in draws.effects and len(draws.effects[EFFORT]) < len(design.names(EFFORT)):
        names, falls = design.names(EFFORT), (draws.effects[EFFORT] < 0).mean(axis=-1)
        against = [f"{a} to {b}" for a, b, share in zip(names, names[1:], falls, strict=False) if share > AGAINST_ORDER]
        if against:
            notes += (f"ability falls with effort from {first_few(against)}, so efforts are not held in order",)
        elif len(set(design.comparable(EFFORT).tolist())) < len(names):
            # without comparable efforts, an assumed order would look like an estimate
            draws = fit_mixed(value, noise, terms, np.random.default_rng(seed), ordered=EFFORT)
    elif EFFORT in draws.effects:
        notes += (f"efforts have no known order: {first_few(design.names(EFFORT))}",)
    return AgentParts(design, draws, levels, evidence.log_odds, evidence.unit, notes)


def _terms(design: AgentDesign, spread: float) -> tuple[list[Term], dict[str, tuple[tuple[str, ...], ...]]]:
    """Main effects, then interactions that are not confounded with other terms."""
    terms: list[Term] = []
    levels: dict[str, tuple[tuple[str, ...], ...]] = {}
    partitions: set[tuple[int, ...]] = set()
    sizes = (1, 2) if len(design.factors) < 3 else (1, 2, len(design.factors))
    for size in sizes:
        for factors in combinations(design.factors, size):
            keys = list(zip(*(design.parts[factor] for factor in factors), strict=True))
            ordered = tuple((name,) for name in design.names(factors[0])) if size == 1 else tuple(sorted(set(keys)))
            codes = np.array([ordered.index(key) for key in keys])
            partition = tuple(pd.factorize(codes)[0].tolist())
            if size > 1 and partition in partitions:
                continue
            partitions.add(partition)
            name, scale = JOINT.join(factors), spread if size == 1 else INTERACTION_SCALE * spread
            one_hot = np.eye(len(ordered))[codes]
            if name == EFFORT and effort_ranks(design.names(EFFORT)) is not None:
                one_hot, scale = (codes[:, None] > np.arange(len(ordered) - 1)) * 1.0, INTERACTION_SCALE * spread
            terms.append(Term(name, one_hot, scale))
            levels[name] = ordered
    return terms, levels


def _inseparable(design: AgentDesign) -> list[str]:
    """Remarks of the design on effects that are not identified."""
    return [
        line for line in design.statements() if "confounded with" in line or "only within" in line or "rest on" in line
    ]
