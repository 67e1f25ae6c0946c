"""Sensitivity of items to prompts: the variance of an item's log-odds over prompts beyond the effect on all items.

Two answers to one item under one prompt, by different models or in repeats, have correlated residuals as far as that
prompt helps or hurts that item. Products of their residuals estimate its variance without bias; a single answer holds
no information about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import expit, logit

from capscope.axes import FloatArray, RowFloats
from capscope.battery.prompts.prompt_fit import PromptCells, PromptFit
from capscope.fit import PROBIT_SCALE

OWN_SDS = np.linspace(0, 4, 41)
LEAST_INFORMATION = 1e-6
"""Less information than this is a rounding error."""


@dataclass(frozen=True)
class ModelAnswers:
    """One model's answers and their fit."""

    prompts: tuple[str, ...]
    """Names of its prompts."""
    cells: PromptCells
    """Its answers."""
    fit: PromptFit
    """Their fit."""


@dataclass(frozen=True)
class _Residuals:
    """Residuals of all models, over the prompts of any."""

    total: Float[np.ndarray, "model prompt item"]
    """Sum of the residuals of a cell's trials."""
    square: Float[np.ndarray, "model prompt item"]
    """Sum of their squares."""
    spread: Float[np.ndarray, "model prompt item"]
    """Their expected sum of squares: trials times p (1 - p)."""
    chance: Float[np.ndarray, "model prompt item"]
    """Chances of success; NaN under prompts that a model never had."""
    doubt: Float[np.ndarray, "model item"]
    """Variance of each item's location for each model."""

    @property
    def absorbed_share(self) -> Float[np.ndarray, "model prompt item"]:
        """Share of each cell in its item's fitted location, which absorbs that part of the residuals."""
        return self.spread * self.doubt[:, None, :]


def item_sensitivity(items: tuple[str, ...], answers: Sequence[ModelAnswers]) -> pd.DataFrame:
    """Return the standard deviation over prompts of each item's log-odds and chance of success, averaged over models.

    The variance of an item's own reaction to prompts is shrunk to the mean over items as its answers are few
    (empirical Bayes by moments); where no cell has two answers it is 0.

    Args:
        items: Ids on the item axis.
        answers: The models' answers to them.
    """
    residuals = _residuals(answers)
    moment, evidence = _own_variance(residuals)
    own = _unsaturated(moment, np.nanmean(residuals.chance, axis=(0, 1)))
    common = float(np.mean([each.fit.prompt_variance for each in answers]))
    steep = np.nanmean(residuals.chance * (1 - residuals.chance), axis=(0, 1))
    spread = np.nanvar(residuals.chance, axis=1).mean(0) + steep**2 * moment
    asked = sum(each.cells.trials.sum(0) for each in answers)
    return pd.DataFrame(
        {
            "item_id": items,
            "answers": np.asarray(asked, dtype=int),
            "sd_chance": np.sqrt(spread),
            "sd_log_odds": np.sqrt(common + own),
            "evidence": evidence,
        }
    )


def _residuals(answers: Sequence[ModelAnswers]) -> _Residuals:
    names = sorted({name for each in answers for name in each.prompts})
    shape = (len(answers), len(names), answers[0].cells.trials.shape[1])
    total, square, spread = np.zeros((3, *shape))
    chance, doubt = np.full(shape, np.nan), np.zeros((shape[0], shape[2]))
    for number, each in enumerate(answers):
        rows = [names.index(name) for name in each.prompts]
        location, doubt[number] = each.fit.best.locations()
        expected = expit(each.fit.best.mean[:, None] + location)
        right, trials = each.cells.right, each.cells.trials
        chance[number, rows] = expected
        total[number, rows] = right - trials * expected
        square[number, rows] = right * (1 - expected) ** 2 + (trials - right) * expected**2
        spread[number, rows] = trials * expected * (1 - expected)
    return _Residuals(total, square, spread, chance, doubt)


def _own_variance(residuals: _Residuals) -> tuple[RowFloats, RowFloats]:
    """Return the shrunken variance over prompts of each item's own reaction, and the weight of its own answers."""
    product = 0.5 * (residuals.total.sum(0) ** 2 - residuals.square.sum(0))
    pairs, lost = _pairs(residuals)
    information = pairs.sum(0) - lost
    if information.max() <= LEAST_INFORMATION:
        return np.zeros(pairs.shape[1]), np.zeros(pairs.shape[1])
    common = max(float(product.sum() / information.sum()), 0.0)
    together = residuals.spread.sum(0)
    crossed = (residuals.spread * (together - residuals.spread) ** 2).sum(0)
    noise = (pairs + common * crossed + 2 * common**2 * pairs**2).sum(0)
    seen = information > LEAST_INFORMATION
    raw, error = np.full(len(information), common), np.full(len(information), np.inf)
    raw[seen], error[seen] = product.sum(0)[seen] / information[seen], noise[seen] / information[seen] ** 2
    between = _between(raw[seen] - common, error[seen])
    weight = between / (between + error)
    return np.maximum(common + weight * (raw - common), 0), weight


def _pairs(residuals: _Residuals) -> tuple[Float[np.ndarray, "prompt item"], RowFloats]:
    """Return the expected products of residuals at unit variance, and the part that fitting the items removes."""
    single, together, share = _same_trial(residuals), residuals.spread.sum(0), residuals.absorbed_share
    pairs = 0.5 * (together**2 - single.sum(0))
    # each residual loses its share of the other's prompt; the part lost in both is added back
    lost = (share * (residuals.spread * together - single)).sum((0, 1))
    products = np.einsum("mpi,npi->mni", residuals.spread, residuals.spread)
    products -= np.eye(len(products))[:, :, None] * single.sum(1)
    alike = np.einsum("mpi,npi->mni", share, share)
    return pairs, lost - 0.5 * (products * alike).sum((0, 1))


def _same_trial(residuals: _Residuals) -> FloatArray:
    """Return the squared expected variance of single trials, summed over the trials of a cell."""
    chance = np.nan_to_num(residuals.chance, nan=0.5)
    return residuals.spread * chance * (1 - chance)


def _unsaturated(moment: RowFloats, chance: RowFloats) -> RowFloats:
    """Return the variance of log-odds for a variance of chances, which is bounded.

    Args:
        moment: Variance of each item's chances over the square of ``p (1 - p)``.
        chance: Mean chance of each item.
    """
    node, weight = np.polynomial.hermite_e.hermegauss(21)
    weight = weight / weight.sum()
    # the median log-odds lie further from 0 than the log-odds of the mean chance
    middle = logit(np.clip(chance, 0.01, 0.99))[:, None] * np.sqrt(1 + PROBIT_SCALE * OWN_SDS**2)
    moved = expit(middle[:, :, None] + OWN_SDS[:, None] * node)
    mean = moved @ weight
    reached = (moved**2 @ weight - mean**2) / (mean * (1 - mean)) ** 2
    rising = np.maximum.accumulate(reached, axis=1)
    return np.array([np.interp(one, row, OWN_SDS**2) for one, row in zip(moment, rising, strict=True)])


def _between(gap: RowFloats, error: RowFloats) -> float:
    """Return the variance between items beyond the error of each (DerSimonian & Laird, 1986)."""
    if len(gap) < 2:
        return 0.0
    weight = 1 / error
    freedom = weight.sum() - (weight**2).sum() / weight.sum()
    return max(float(((weight * gap**2).sum() - (len(gap) - 1)) / max(freedom, 1e-12)), 0.0)
