"""How well a fit does on answers held out: predictions cell by cell, and one score."""

from dataclasses import asdict, dataclass

import numpy as np

from capscope.axes import RowFloats
from capscope.data import Responses, Study
from capscope.errors import FitError
from capscope.fit.cost import Cost, Meter
from capscope.fit.engine.problem import pick_device
from capscope.fit.links import log_likelihood
from capscope.fit.posterior.irt import IRTPosterior
from capscope.fit.result import Fit
from capscope.fit.study_fit import StudyFitSettings, fit_responses, irt_settings, known_floor


@dataclass(frozen=True)
class HoldoutScore:
    """How well a fit predicts answers it has not seen; the layout that `capscope fit --holdout --json` prints."""

    model: str
    """What was fitted."""
    engine: str
    """How."""
    device: str
    """Where."""
    status: str
    """The fit's status code."""
    seconds: float
    """Wall time of the fit."""
    cpu_seconds: float
    """Processor time of the fit."""
    peak_memory_mb: float
    """Most memory that the process has held."""
    n_models: int
    """Number of models."""
    n_items: int
    """Number of items."""
    n_responses: int
    """Number of answers that were fitted."""
    log_loss: float
    """Mean cross-entropy on the held-out answers, in nats."""
    auroc: float
    """Area under the ROC curve on the held-out answers; a score of at least one half is a success."""

    def as_dict(self) -> dict[str, object]:
        """Return plain numbers."""
        return asdict(self)


@dataclass(frozen=True)
class HeldOut:
    """Answers that a fit has not seen, and what it says of them."""

    fit: Fit[IRTPosterior]
    """The fit on the other answers."""
    test: Responses
    """The answers held out."""
    chance: RowFloats
    """Predicted chance of success of each of them."""
    n_training: int
    """Number of answers fitted."""
    cost: Cost
    """Time and memory of the fit."""


def predict_held_out(
    responses: Responses, settings: StudyFitSettings, share: float, floor: RowFloats | None = None
) -> HeldOut:
    """Fit on part of the answers and predict the rest.

    Args:
        responses: The answers.
        settings: An item response model.
        share: Share of the answers to hold out, drawn with the settings' seed.
        floor: Chance of a right guess on each item; None for none.

    Raises:
        FitError: The model is `curves`, or the share lies outside (0, 1).
    """
    if not 0 < share < 1:
        raise FitError(f"--holdout {share:g} is not a share of the answers; use a number between 0 and 1")
    irt_settings(settings)
    held_out = np.random.default_rng(settings.seed).random(len(responses.score)) < share
    training, test = responses.rows(~held_out), responses.rows(held_out)
    meter = Meter()
    fit = fit_responses(training, settings, floor)
    cost = meter.read()
    chance = fit.posterior.probability(test.model_index, test.item_index)
    return HeldOut(fit, test, chance, len(training.score), cost)


def fit_holdout(study: Study, settings: StudyFitSettings, share: float) -> HoldoutScore:
    """Fit on part of a study's answers and score the predictions of the rest; see `predict_held_out`.

    Raises:
        FitError: The model is `curves`, or the share lies outside (0, 1).
    """
    responses = Responses.of(study)
    floor = known_floor(study, settings, responses.items)
    held_out = predict_held_out(responses, settings, share, floor)
    test, fit = held_out.test, held_out.fit
    return HoldoutScore(
        model=fit.posterior.model_name,
        engine="variational" if settings.engine == "auto" else settings.engine,
        device=str(pick_device(settings.device)),
        status=fit.status.code,
        **asdict(held_out.cost),
        n_models=len(responses.models),
        n_items=len(responses.items),
        n_responses=held_out.n_training,
        log_loss=-float(np.average(_log_likelihood(test, held_out.chance), weights=test.n_trials)),
        auroc=_auroc(test, held_out.chance),
    )


def _log_likelihood(test: Responses, chance: RowFloats) -> RowFloats:
    bounded = np.clip(chance, 1e-12, 1 - 1e-12)
    return log_likelihood(np.log(bounded) - np.log1p(-bounded), test.score)


def _auroc(test: Responses, chance: RowFloats) -> float:
    from sklearn.metrics import roc_auc_score

    success = test.score >= 0.5
    return float(roc_auc_score(success, chance)) if 0 < success.sum() < len(success) else float("nan")
