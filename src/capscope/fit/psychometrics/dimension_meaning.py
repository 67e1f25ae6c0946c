"""Sources of a fit's dimensions other than skills: tasks and answer keys of items, families of models."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import fdtrc

from capscope.axes import FloatArray
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.outcome import Status

KEY_SHARE, FAMILY_SHARE = 0.1, 0.6
"""Shares of variance from which an answer key, or a family, leads to advice on a dimension."""

KEY_P_VALUE = 1e-3
"""Largest p-value of the F-test at which a share leads to advice."""

KEY = re.compile(r"^\(?([A-Za-z]|[0-9])\)?[.)]?$")
"""An answer that is a letter or a digit, such as ``(B)``."""

MOST_LETTERED = 0.8
"""Share of the items that must have such an answer for keys to be looked at."""


@dataclass(frozen=True)
class DimensionSources:
    """Share of variance by dimension, adjusted for the number of groups; NaN where there is nothing to look at."""

    task: Float[np.ndarray, " dim"]
    """Of the slopes, explained by the items' tasks."""
    key: Float[np.ndarray, " dim"]
    """Of the slopes, explained by the answer key within tasks, beyond the tasks."""
    key_p: Float[np.ndarray, " dim"]
    """P-value of the key's share (F-test)."""
    family: Float[np.ndarray, " dim"]
    """Of the abilities, explained by the models' families."""
    family_p: Float[np.ndarray, " dim"]
    """P-value of the families' share."""

    def advice(self, status: Status) -> Status:
        """Add a line for each dimension that an answer key or a family explains."""
        lines = [
            f"dimension {dim + 1} goes with the answer key: it explains {self.key[dim]:.0%} of the variance of the "
            f"slopes beyond the task's {self.task[dim]:.0%}; read it as a bias towards options, not as a skill"
            for dim in np.flatnonzero((self.key >= KEY_SHARE) & (self.key_p < KEY_P_VALUE))
        ]
        lines += [
            f"dimension {dim + 1} goes with the models' families: they explain {self.family[dim]:.0%} of its variance; "
            "read it as a difference between families, not as a skill"
            for dim in np.flatnonzero((self.family >= FAMILY_SHARE) & (self.family_p < KEY_P_VALUE))
            if dim > 0 or len(self.family) == 1
        ]
        return replace(status, advice=status.advice + tuple(lines))


def dimension_sources(
    posterior: IRTPosterior,
    tasks: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    families: Mapping[str, str] | None = None,
) -> DimensionSources:
    """Shares of variance of slopes and abilities that tasks, answer keys and families explain, by dimension.

    A loading that the position of the right option explains measures a preference for options; abilities that the
    family explains measure what the models of a family have in common.

    Args:
        posterior: A fit.
        tasks: Task of each item of the fit; None for one task.
        targets: Right answer of each item; used where most are letters or digits.
        families: Family of each model; models without one are left out.

    Returns:
        Shares of variance, 0 to 1, by dimension.
    """
    slopes, nothing = posterior.item_mean[:, :-1], np.full(posterior.dims, np.nan)
    task = np.zeros(len(slopes), int) if tasks is None else pd.factorize(np.asarray(tasks, object))[0]
    letters = None if targets is None else answer_letters(targets)
    task_share, key_share, key_p = _share(slopes, task)[0], nothing, nothing
    if letters is not None:
        rows = np.flatnonzero(letters >= 0)
        both = task[rows] * (letters.max() + 1) + letters[rows]
        key_share, key_p = _share(slopes[rows], both, task[rows])
    family, family_p = nothing, nothing
    if families:
        rows = np.flatnonzero([model in families for model in posterior.models])
        labels = pd.factorize(np.array([families[posterior.models[i]] for i in rows], object))[0]
        family, family_p = _share(posterior.ability_mean[rows], labels)
    return DimensionSources(task_share, key_share, key_p, family, family_p)


def answer_letters(targets: Sequence[str]) -> np.ndarray | None:
    """Number of each item's answer letter, -1 for other answers; None where most answers are no letters."""
    matches = [KEY.match(str(target).strip()) for target in targets]
    letters = pd.factorize(np.array([match.group(1).upper() if match else None for match in matches], object))[0]
    return letters if len(letters) and (letters >= 0).mean() >= MOST_LETTERED and letters.max() > 0 else None


def _share(values: FloatArray, groups: np.ndarray, within: np.ndarray | None = None) -> tuple[FloatArray, FloatArray]:
    """Adjusted share of variance that groups explain beyond coarser ones, and its p-value, by column."""
    n = len(values)
    fine, coarse = _residual(values, groups), _residual(values, np.zeros(n, int) if within is None else within)
    total = ((values - values.mean(0)) ** 2).sum(0) if n else np.full(values.shape[1], np.nan)
    more, left = fine[1] - coarse[1], n - fine[1]
    if more < 1 or left < 1:
        return np.zeros(values.shape[1]), np.ones(values.shape[1])
    error = fine[0] / left
    share = (coarse[0] - fine[0] - more * error) / np.maximum(total, 1e-12)
    f = (coarse[0] - fine[0]) / more / np.maximum(error, 1e-12)
    return np.maximum(share, 0), fdtrc(more, left, f)


def _residual(values: FloatArray, groups: np.ndarray) -> tuple[FloatArray, int]:
    """Sum of squares around the groups' means, by column, and the number of groups."""
    _, group = np.unique(groups, return_inverse=True)
    size = int(group.max()) + 1 if len(group) else 0
    count = np.bincount(group, minlength=size)
    means = np.stack([np.bincount(group, column, size) / count for column in values.T], 1)
    return ((values - means[group]) ** 2).sum(0), size
