"""How much an item turns on the prompt: the spread of its log-odds over prompts, beyond what moves all items alike.

Two answers to one item under one prompt, by different models or by a repeat, err together as far as that prompt suits
or spoils that item. Products of their residuals measure its variance without bias; a single answer tells nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import expit, logit

from capscope.axes import FloatArray, RowFloats
from capscope.battery.prompts.fit import PromptCells, PromptFit
from capscope.fit import PROBIT_SCALE

OWN_SDS = np.linspace(0, 4, 41)
LEAST_TOLD = 1e-6
"""Less than so much of a pair of answers is a rounding error."""


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
    def fitted_away(self) -> Float[np.ndarray, "model prompt item"]:
        """Share of each cell in its item's location, which took part of the residuals up."""
        return self.spread * self.doubt[:, None, :]


def item_sensitivity(items: tuple[str, ...], answers: Sequence[ModelAnswers]) -> pd.DataFrame:
    """Spread over prompts of each item's log-odds and chance of success, in the mean over models.

    The variance of an item's own reaction to prompts is drawn towards the mean over items as far as its answers are few
    (empirical Bayes by moments); where no cell has two answers it counts as 0.

    Args:
        items: Ids on the item axis.
        answers: The models' answers to them.
    """
    found = _residuals(answers)
    moment, evidence = _own_variance(found)
    own = _unsaturated(moment, np.nanmean(found.chance, axis=(0, 1)))
    common = float(np.mean([each.fit.prompt_variance for each in answers]))
    steep = np.nanmean(found.chance * (1 - found.chance), axis=(0, 1))
    spread = np.nanvar(found.chance, axis=1).mean(0) + steep**2 * moment
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


def _own_variance(found: _Residuals) -> tuple[RowFloats, RowFloats]:
    """Variance over prompts of each item's own reaction, shrunken, and the weight of its own evidence."""
    product = 0.5 * (found.total.sum(0) ** 2 - found.square.sum(0))
    pairs, lost = _pairs(found)
    told = pairs.sum(0) - lost
    if told.max() <= LEAST_TOLD:
        return np.zeros(pairs.shape[1]), np.zeros(pairs.shape[1])
    common = max(float(product.sum() / told.sum()), 0.0)
    together = found.spread.sum(0)
    crossed = (found.spread * (together - found.spread) ** 2).sum(0)
    noise = (pairs + common * crossed + 2 * common**2 * pairs**2).sum(0)
    seen = told > LEAST_TOLD
    raw, error = np.full(len(told), common), np.full(len(told), np.inf)
    raw[seen], error[seen] = product.sum(0)[seen] / told[seen], noise[seen] / told[seen] ** 2
    between = _between(raw[seen] - common, error[seen])
    weight = between / (between + error)
    return np.maximum(common + weight * (raw - common), 0), weight


def _pairs(found: _Residuals) -> tuple[Float[np.ndarray, "prompt item"], RowFloats]:
    """What the products of residuals should be at unit variance, and how much of it fitting the items takes away."""
    single, together, share = _same_trial(found), found.spread.sum(0), found.fitted_away
    pairs = 0.5 * (together**2 - single.sum(0))
    # each of the two lost its share of the other's prompt; what both lost alike comes back
    lost = (share * (found.spread * together - single)).sum((0, 1))
    products = np.einsum("mpi,npi->mni", found.spread, found.spread)
    products -= np.eye(len(products))[:, :, None] * single.sum(1)
    alike = np.einsum("mpi,npi->mni", share, share)
    return pairs, lost - 0.5 * (products * alike).sum((0, 1))


def _same_trial(found: _Residuals) -> FloatArray:
    """Squares of the expected spread of single trials, summed over the trials of a cell."""
    chance = np.nan_to_num(found.chance, nan=0.5)
    return found.spread * chance * (1 - chance)


def _unsaturated(moment: RowFloats, chance: RowFloats) -> RowFloats:
    """Variance of log-odds behind the variance of chances, which cannot grow beyond certainty.

    Args:
        moment: Variance of each item's chances over the square of ``p (1 - p)``.
        chance: Mean chance of each item.
    """
    node, weight = np.polynomial.hermite_e.hermegauss(21)
    weight = weight / weight.sum()
    # the middle of the log-odds lies further out than the log-odds of the mean chance
    middle = logit(np.clip(chance, 0.01, 0.99))[:, None] * np.sqrt(1 + PROBIT_SCALE * OWN_SDS**2)
    moved = expit(middle[:, :, None] + OWN_SDS[:, None] * node)
    mean = moved @ weight
    reached = (moved**2 @ weight - mean**2) / (mean * (1 - mean)) ** 2
    rising = np.maximum.accumulate(reached, axis=1)
    return np.array([np.interp(one, row, OWN_SDS**2) for one, row in zip(moment, rising, strict=True)])


def _between(gap: RowFloats, error: RowFloats) -> float:
    """Variance between items beyond the error of each (DerSimonian & Laird, 1986)."""
    if len(gap) < 2:
        return 0.0
    weight = 1 / error
    freedom = weight.sum() - (weight**2).sum() / weight.sum()
    return max(float(((weight * gap**2).sum() - (len(gap) - 1)) / max(freedom, 1e-12)), 0.0)
