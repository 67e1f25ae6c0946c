"""Items that treat groups of models differently at equal ability (differential item functioning)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, ndtr

from capscope.axes import FloatArray
from capscope.data import Responses
from capscope.errors import FitError
from capscope.fit.irt.posterior import IRTPosterior

LEAST_IN_GROUP = 5
"""Models under which a group is refused."""

NEWTON_STEPS = 15
PRIOR_VARIANCE = 4.0
"""Variance of the shift's weak prior, which keeps items finite that one group gets all right."""


@dataclass(frozen=True)
class GroupDifference:
    """Shift of each item's log-odds for one group against the others, abilities held at their posteriors."""

    table: pd.DataFrame
    """Columns ``item, shift, se, z, p, q``: shift in log-odds, its standard error, Wald test, false discovery rate."""
    group: str
    """The group that the shift belongs to."""


def group_difference(
    posterior: IRTPosterior, responses: Responses, groups: dict[str, str], group: str
) -> GroupDifference:
    """Test every item for a shift in favour of one group of models at equal ability (Lord, 1980; uniform shift).

    Args:
        posterior: A fit to these responses.
        responses: The responses.
        groups: Group of each model, such as its family.
        group: The group to compare with all others.

    Raises:
        FitError: A model has no group, or one side has too few models.
    """
    missing = [model for model in posterior.models if model not in groups]
    if missing:
        raise FitError(f"group_difference: model {missing[0]} has no group; name one for each model")
    inside = np.array([groups[model] == group for model in posterior.models])
    if min(inside.sum(), (~inside).sum()) < LEAST_IN_GROUP:
        raise FitError(f"group_difference: '{group}' or the rest has under {LEAST_IN_GROUP} models; merge groups")
    shift, error = _shifts(posterior, responses, inside)
    # abilities absorb a shift common to all items, so the typical item is the one without
    shift = shift - np.median(shift)
    z = shift / error
    from scipy.stats import false_discovery_control

    p = 2 * ndtr(-np.abs(z))
    columns = {
        "item": posterior.items,
        "shift": shift,
        "se": error,
        "z": z,
        "p": p,
        "q": false_discovery_control(p),
    }
    return GroupDifference(pd.DataFrame(columns), group)


def _shifts(posterior: IRTPosterior, responses: Responses, inside: np.ndarray) -> tuple[FloatArray, FloatArray]:
    """Intercepts of both groups by Newton steps on fixed slopes and abilities, and the difference's standard error."""
    n_items = len(posterior.items)
    offset, _ = posterior.logit_moments(responses.model_index, responses.item_index)
    member = inside[responses.model_index]
    values: list[FloatArray] = []
    variances: list[FloatArray] = []
    for rows in (np.flatnonzero(member), np.flatnonzero(~member)):
        item, trials, score = responses.item_index[rows], responses.n_trials[rows], responses.score[rows]
        shift, information = np.zeros(n_items), np.ones(n_items)
        for _ in range(NEWTON_STEPS):
            p = expit(offset[rows] + shift[item])
            information = np.bincount(item, trials * p * (1 - p), n_items) + 1 / PRIOR_VARIANCE
            shift = shift + (np.bincount(item, trials * (score - p), n_items) - shift / PRIOR_VARIANCE) / information
        values.append(shift)
        variances.append(1 / information)
    return values[0] - values[1], np.sqrt(variances[0] + variances[1])
