"""Marginal maximum likelihood as an engine for item response models."""

import numpy as np

from capscope.axes import RowFloats
from capscope.data import Responses
from capscope.fit.cells.answers import as_answers
from capscope.fit.cells.response_summary import survey
from capscope.fit.engines.mml.binary import fit_marginal
from capscope.fit.engines.mml.with_extras import fit_marginal_extras
from capscope.fit.irt.advice import advise
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.irt.score_models import SCORE_MODELS
from capscope.fit.irt.settings import IRTSettings
from capscope.fit.outcome import Outcome


def fit_answers(responses: Responses, settings: IRTSettings, floor: RowFloats | None = None) -> Outcome[IRTPosterior]:
    """Fit items by marginal maximum likelihood, and abilities by their posteriors given the items.

    Args:
        responses: Observed responses.
        settings: What to fit.
        floor: Known chance of a right guess on each item; None for none.

    Raises:
        FitError: The responses cannot support the model.
    """
    rasch, floored = settings.model == "rasch", floor is not None and bool(np.any(floor))
    if settings.response != "auto" or settings.model in ("3pl", "4pl") or floored:
        score_model = SCORE_MODELS[settings.response].load().from_scores(responses.score, settings.model, floor)
        marginal = fit_marginal_extras(responses, score_model, flat=settings.response != "auto", rasch=rasch)
    else:
        marginal = fit_marginal(responses, rasch=rasch)
    posterior = marginal.posterior.as_irt(settings.model)
    answers = as_answers(responses)
    return Outcome(posterior, advise(marginal.status, posterior, answers, survey(answers)), marginal.history)
