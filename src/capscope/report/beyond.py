"""What a model can do beyond, or short of, what its general ability leads one to expect."""

import numpy as np
import pandas as pd
from scipy.special import expit

from capscope.axes import FloatArray
from capscope.fit import CurvePosterior
from capscope.fit.curves.program import CENTRE_LEVEL
from capscope.intervals import quantile_bounds

FEWEST_MODELS = 3
"""With fewer models, one factor explains every profile whole."""


def beyond_general(posterior: CurvePosterior, level: float) -> pd.DataFrame:
    """Compare each curve, at the middle demand level, with the one its model's general ability predicts.

    In every draw the log-odds at that level are regressed on the models' general ability, dimension by dimension; what
    is left is the part that the general factor does not carry.

    Args:
        posterior: A curve fit.
        level: Nominal coverage of the bounds.

    Returns:
        Columns model, dim, beyond, lower, upper (log-odds), chance (of success at the middle level), expected (the
        chance that general ability predicts). No row where there are fewer than three models.
    """
    log_odds = posterior.slope * (posterior.midpoint - CENTRE_LEVEL)  # (model, dim, draw)
    residual = log_odds - _expected(log_odds, posterior.general)
    lower, upper = quantile_bounds(residual, level)
    model, dim = np.meshgrid(posterior.models, posterior.dims, indexing="ij")
    columns = {
        "model": model,
        "dim": dim,
        "beyond": residual.mean(axis=-1),
        "lower": lower,
        "upper": upper,
        "chance": expit(log_odds).mean(axis=-1),
        "expected": expit(log_odds - residual).mean(axis=-1),
    }
    table = pd.DataFrame({name: values.ravel() for name, values in columns.items()})
    return table if len(posterior.models) >= FEWEST_MODELS else table.iloc[:0]


def _expected(log_odds: FloatArray, general: FloatArray) -> FloatArray:
    """Least-squares line of the log-odds (model, dim, draw) on general ability (model, draw), for each dimension."""
    centred = (general - general.mean(axis=0))[:, None, :]
    loading = (centred * log_odds).sum(axis=0) / np.maximum((centred**2).sum(axis=0), 1e-12)
    return log_odds.mean(axis=0) + loading * centred
