"""What a fit should tell its reader: what is odd about the data, and what the model could not find."""

from dataclasses import replace

import numpy as np

from capscope.data import ResponseMatrix
from capscope.errors import first_few
from capscope.fit.irt_posterior import IRTPosterior
from capscope.fit.result import Status

NULL_SLOPE = 0.15
"""Where the typical slope is below this, abilities explain next to nothing of the log-odds."""


def advise(status: Status, posterior: IRTPosterior, responses: ResponseMatrix) -> Status:
    """Add advice to a status; pure noise changes its code to ``nothing-to-measure``."""
    advice = [*status.advice, *_flat_rows(responses), *_small(posterior)]
    if not status.converged:
        advice.append("still moving at the last sweep; raise max_sweeps, or use fewer dimensions")
    code = status.code
    if len(posterior.models) > 1 and typical_slope(posterior) < NULL_SLOPE:
        code = "nothing-to-measure"
        advice.append(
            "answers do not depend on an ability (slopes are near 0): the models do not differ by what they know"
        )
    return replace(status, code=code, advice=tuple(advice))


def typical_slope(posterior: IRTPosterior) -> float:
    """Root-mean-square length of the items' slopes, in log-odds per standard deviation of ability."""
    return float(np.sqrt((posterior.item_mean[:, :-1] ** 2).sum(1).mean()))


def _flat_rows(responses: ResponseMatrix) -> list[str]:
    lines: list[str] = []
    axes = (("model", responses.models, responses.model_index), ("item", responses.items, responses.item_index))
    for what, names, index in axes:
        trials = np.bincount(index, responses.n_trials, len(names))
        right = np.bincount(index, responses.n_trials * responses.score, len(names))
        for label, flat in (
            ("have no answer", trials == 0),
            ("are all right", (trials > 0) & (right >= trials)),
            ("are all wrong", (trials > 0) & (right <= 0)),
        ):
            found = np.flatnonzero(flat)
            if len(found):
                listed = first_few((names[i] for i in found), 3)
                lines.append(f"{len(found)} {what}s {label} ({listed}): their estimates lean on the prior")
    return lines


def _small(posterior: IRTPosterior) -> list[str]:
    n_models = len(posterior.models)
    if n_models == 1:
        return ["one model only: its ability is not separated from the items' difficulties"]
    if posterior.dims >= n_models:
        return [f"{posterior.dims} dimensions for {n_models} models: use fewer dimensions than models"]
    return []
