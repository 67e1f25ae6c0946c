"""From a stored fit, or a study to learn from, and a file of items to predictions."""

from collections.abc import Callable
from pathlib import Path

from capscope.data import Demands, Study, read_items
from capscope.errors import InputError
from capscope.fit import AnyFit, IRTPosterior, is_fit, load_fit
from capscope.predict.finishing import PredictionSettings
from capscope.predict.fit_predictions import predict_from_fit
from capscope.predict.predictions import Predictions
from capscope.predict.study_predictions import predict_from_study


def predict_items(
    source: Path,
    items: Path,
    *,
    model: str | None = None,
    annotator: str | None = None,
    level: float = 0.9,
    seed: int = 0,
) -> Predictions:
    """Predict the chances of models on the items of a study folder or file.

    Args:
        source: Folder of a fit, or of a study, whose answers the default assessor then learns from.
        items: A study folder, or a file of items with their demands.
        model: One model only.
        annotator: Whose demand levels to use; by default the mean over annotators.
        level: Nominal coverage of the intervals.
        seed: Seed of the draws, and of all that is random in an assessor.

    Raises:
        InputError: The source, the items or the model cannot be found, or demands are missing.
    """
    return predict_set(source, items, PredictionSettings(model, annotator, level, seed))


def predict_set(
    source: Path, items: Path, settings: PredictionSettings, tell: Callable[[str], None] | None = None
) -> Predictions:
    """Predict the chances of models on a set of items, and their scores on its benchmarks.

    Args:
        source: Folder of a fit, or of a study, whose answers an assessor then learns from.
        items: A study folder, or a file of items with their demands.
        settings: What to predict and how.
        tell: Called with a line on what is being done, where that takes a while.

    Raises:
        InputError: The source, the items, the model or a file cannot be found or read, or demands are missing.
    """
    if not source.is_dir():
        raise InputError(f"{source}: no such folder; give a study, or a fit made with 'capscope fit'")
    if not is_fit(source):
        study = Study.load(source)
        dims = () if study.demands is None else Demands.of(study, settings.annotator).dims
        return predict_from_study(study, read_items(items, dims), settings, tell)
    if settings.assessor is not None:
        raise InputError(f"{source}: is a fit, which predicts by itself; give a study for --assessor, or leave it out")
    fitted: AnyFit = load_fit(source)
    posterior = fitted.posterior
    study = read_items(items, () if isinstance(posterior, IRTPosterior) else posterior.dims)
    return predict_from_fit(posterior, study, settings)
