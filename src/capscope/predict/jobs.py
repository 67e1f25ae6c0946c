"""From a stored fit and a file of items to predictions."""

from pathlib import Path

import numpy as np

from capscope.data import Study, demand_matrix, read_items
from capscope.errors import InputError, first_few, nearest
from capscope.fit import AnyFit, CurvePosterior, load_fit
from capscope.predict.predictions import Predictions, predict_from_curves, predict_from_irt


def predict_items(
    fit: Path, items: Path, *, model: str | None = None, annotator: str | None = None, level: float = 0.9, seed: int = 0
) -> Predictions:
    """Predict the chances of a fit's models on the items of a study folder or file.

    Args:
        fit: Folder of a fit.
        items: A study folder, or a file of items with their demands.
        model: One model only.
        annotator: Whose demand levels to use; by default the mean over annotators.
        level: Nominal coverage of the intervals.
        seed: Seed of the draws.

    Raises:
        InputError: The fit, the items or the model cannot be found, or demands are missing.
    """
    fitted: AnyFit = load_fit(fit)
    posterior = fitted.posterior
    rubrics = posterior.dims if isinstance(posterior, CurvePosterior) else ()
    study = read_items(items, rubrics)
    rng = np.random.default_rng(seed)
    if isinstance(posterior, CurvePosterior):
        found = predict_from_curves(posterior, demand_matrix(study, annotator), rng, level)
    else:
        found = predict_from_irt(posterior, item_ids(study), rng, level)
    return found if model is None else only_model(found, model, posterior.models)


def item_ids(study: Study) -> tuple[str, ...]:
    """Return the sorted ids of a study's items, from whichever table names them."""
    table = next(iter(study.tables().values()))
    return tuple(sorted(table["item_id"].astype(str).unique()))


def only_model(found: Predictions, model: str, known: tuple[str, ...]) -> Predictions:
    """Keep one model's predictions.

    Raises:
        InputError: The fit has no such model.
    """
    if model not in known:
        raise InputError(f"the fit has no model '{model}'{nearest(model, known)}; it has {first_few(known)}")
    table, scores = found.table, found.scores
    return Predictions(
        table[table["model"] == model].reset_index(drop=True),
        scores[scores["model"] == model].reset_index(drop=True),
        found.support,
        found.level,
    )
