"""Which items a candidate should answer: drawn by the chance of a flip, with known chances."""

import numpy as np
from jaxtyping import Float, Int

from capscope.axes import ModelItem
from capscope.decide.version_answers import VersionAnswers
from capscope.errors import InputError

NEIGHBOURS = 25
"""Past models nearest to the baseline in mean score whose answers tell of flips."""

PRIOR_MODELS = 4.0
"""Models' worth of weight that an item's flip rate gets from the mean over all items."""

FLOOR = 0.02
"""Added to the variance of a flip, so that no item's weight grows beyond bounds."""

FEWEST_TO_DRAW = 40
"""Past models under which drawing by flips tells less than drawing evenly."""


def flip_chances(past: ModelItem, baseline: Float[np.ndarray, " item"], size: int) -> Float[np.ndarray, " item"]:
    """Chances to be drawn, in proportion to the standard deviation of the change expected on each item.

    Args:
        past: Scores of past models; shape (model, item).
        baseline: The baseline's score on each item.
        size: Number of items to draw.

    Returns:
        Chances that add up to `size`; all alike with fewer than 40 past models.
    """
    if len(past) < FEWEST_TO_DRAW:
        return np.full(past.shape[1], size / past.shape[1])
    near = np.argsort(np.abs(past.mean(axis=1) - baseline.mean()), kind="stable")[:NEIGHBOURS]
    flips = np.abs(past[near] - baseline).sum(axis=0)
    rate = (flips + PRIOR_MODELS * flips.mean() / len(near)) / (len(near) + PRIOR_MODELS)
    return _capped(np.sqrt(rate * (1 - rate) + FLOOR), size)


def _capped(gain: Float[np.ndarray, " item"], size: int) -> Float[np.ndarray, " item"]:
    """Chances in proportion to the gain, none above 1, that add up to the size."""
    chance = size * gain / gain.sum()
    while (chance > 1 + 1e-12).any():
        sure = chance >= 1
        chance = np.where(sure, 1.0, (size - sure.sum()) * gain / gain[~sure].sum())
    return chance


def draw(chance: Float[np.ndarray, " item"], rng: np.random.Generator) -> Int[np.ndarray, " row"]:
    """Draw items systematically in random order, so that the number drawn is fixed (Madow, 1949).

    Args:
        chance: Chance of each item, adding up to a whole number.
        rng: Source of randomness.
    """
    order = rng.permutation(len(chance))
    passed = np.floor(np.cumsum(chance[order]) - rng.random() + 1e-9)
    return np.sort(order[np.diff(passed, prepend=-1.0) > 0.5])


def planned_draw(
    answers: VersionAnswers, size: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, " row"], Float[np.ndarray, " item"]]:
    """Draw the items that a candidate should answer.

    Args:
        answers: The baseline's answers to the whole suite, and past models'.
        size: Number of items.
        rng: Source of randomness.

    Returns:
        Positions of the drawn items, and every item's chance.

    Raises:
        InputError: More items are asked for than the suite has, or the baseline has gaps.
    """
    n_items = len(answers.items)
    if not 0 < size <= n_items:
        raise InputError(f"cannot draw {size} of {n_items} items; ask for 1 to {n_items}")
    if not answers.complete:
        raise InputError(f"'{answers.baseline}' has not answered the whole suite; run it on all items first")
    chance = flip_chances(answers.past_score, answers.baseline_score, size)
    return draw(chance, rng), chance
