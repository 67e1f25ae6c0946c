"""Selectors by item information: the expected information of an answer about abilities, or about the mean score."""

import numpy as np

from capscope.axes import FloatArray, ModelDim, RowFloats
from capscope.battery.banks.ability import Curves
from capscope.battery.banks.bank import Bank
from capscope.battery.selectors.demand import coverage_strata
from capscope.battery.selectors.selector import Candidates, ItemWeights, Selector

ROUNDS = 6
"""Rounds of the fixed point of the D-optimal design."""
EXPECTED_MODELS = 64
"""Largest number of past models at whose abilities information is averaged."""


def fisher_information(curves: Curves, ability: ModelDim, size: int) -> RowFloats:
    """Return the share of the draw for each item that maximises the information about all abilities.

    The shares are those of a D-optimal design, by its fixed point: an item is asked in proportion to its information
    about what the other items leave open (Titterington, 1976).

    Args:
        curves: Curves of the items.
        ability: Abilities to expect, (model, dim).
        size: Number of items that will be asked.
    """
    _, curvature = curves.response_variance(ability)
    mean = curvature.mean(0)
    share = np.full(len(mean), 1 / len(mean))
    for _ in range(ROUNDS):
        cov = _expected_cov(curves, mean * share * size)
        gain = mean * np.einsum("nd,de,ne->n", curves.slope, cov, curves.slope)
        share = share * gain / (share * gain).sum()
    return share


def score_variance_reduction(curves: Curves, ability: ModelDim, size: int, target: RowFloats) -> RowFloats:
    """Return the expected reduction of the variance of a weighted mean score, plus each answer's own variance.

    The reduction is ``p q (v' S m)^2 / (1 + p q v' S v)``, with ``m`` the gradient of the target and S the covariance
    that half the battery would leave; mixing it with ``sqrt(p q)`` is active inference (Zrnic & Candes, 2024).

    Args:
        curves: Curves of the items.
        ability: Abilities to expect, (model, dim).
        size: Number of items that will be asked.
        target: Weight of each item in the score, summing to 1.
    """
    spread, curvature = curves.response_variance(ability)
    mean = curvature.mean(0)
    cov = _expected_cov(curves, mean * size / 2 / len(mean))
    gradient = (curvature * target).mean(0) @ curves.slope
    reach = curves.slope @ cov @ gradient
    own = np.einsum("nd,de,ne->n", curves.slope, cov, curves.slope)
    gain = mean * reach**2 / (1 + mean * own)
    alone = np.sqrt(spread.mean(0)) * target
    return gain / max(gain.sum(), 1e-300) + alone / max(alone.sum(), 1e-300)


def ability_variance_reduction(curves: Curves, ability: ModelDim, size: int) -> RowFloats:
    """Return the expected reduction of the sum of the variances of all abilities; see `fisher_information`.

    Args:
        curves: Curves of the items.
        ability: Abilities of past models (model, dim).
        size: Number of items of the battery.

    Returns:
        Reduction by each item (item,).
    """
    _, curvature = curves.response_variance(ability)
    mean = curvature.mean(0)
    cov = _expected_cov(curves, mean * size / 2 / len(mean))
    moved = curves.slope @ cov
    own = (moved * curves.slope).sum(1)
    return mean * (moved**2).sum(1) / (1 + mean * own)


def _expected_cov(curves: Curves, weight: RowFloats) -> FloatArray:
    information = (curves.slope * weight[:, None]).T @ curves.slope
    return np.linalg.inv(np.linalg.inv(curves.prior_cov) + information)


def _expected_abilities(bank: Bank, seed: int) -> ModelDim:
    ability = bank.posterior.ability_mean
    if len(ability) > EXPECTED_MODELS:
        ability = np.random.default_rng(seed).choice(ability, EXPECTED_MODELS, replace=False, axis=0)
    return ability


def _weights(bank: Bank, gain: RowFloats, size: int, seed: int) -> ItemWeights:
    return ItemWeights(items=bank.items, stratum=coverage_strata(bank, size, seed), gain=gain)


def _by_information(candidates: Candidates, size: int, seed: int) -> ItemWeights:
    bank = candidates.fitted()
    return _weights(bank, fisher_information(Curves.of(bank), _expected_abilities(bank, seed), size), size, seed)


def _by_abilities(candidates: Candidates, size: int, seed: int) -> ItemWeights:
    bank = candidates.fitted()
    gain = ability_variance_reduction(Curves.of(bank), _expected_abilities(bank, seed), size)
    return _weights(bank, gain, size, seed)


def _by_score(candidates: Candidates, size: int, seed: int) -> ItemWeights:
    bank = candidates.fitted()
    target = np.full(len(bank.items), 1 / len(bank.items))
    gain = score_variance_reduction(Curves.of(bank), _expected_abilities(bank, seed), size, target)
    return _weights(bank, gain, size, seed)


FISHER = Selector(name="fisher", help="items that inform on abilities", needs="responses", weigh=_by_information)
VARIANCE = Selector(name="variance", help="items that narrow the mean score most", needs="responses", weigh=_by_score)
PROFILE = Selector(name="profile", help="items that narrow abilities most", needs="responses", weigh=_by_abilities)
