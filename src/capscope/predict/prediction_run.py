"""Predict from anything that holds answers (a study, a fit, a folder of either) on anything that holds items."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from capscope.data import ArrowTable, Demands, Study, as_frame, items_of_frame, read_items
from capscope.errors import InputError
from capscope.files import kind_of
from capscope.fit import AnyFit, Fit, Posterior, is_fit, load_fit, with_named_agent
from capscope.predict.adjust import PredictionSettings
from capscope.predict.assessors import DEFAULT
from capscope.predict.features import AUTO
from capscope.predict.from_fit import predict_from_fit
from capscope.predict.from_study import predict_from_study
from capscope.predict.predictions import Predictions
from capscope.predict.scores.deferral import deferral_rules

Source = Study | AnyFit | Posterior | Path | str
"""What predictions are made from."""
WEIGHING = "confidence"
"""The assessor that uses models' own confidence."""
Items = Study | pd.DataFrame | ArrowTable | Sequence[str] | Path | str
"""What predictions are made for."""


def predict(  # noqa: PLR0913 - every setting has a default and is given by keyword
    source: Source,
    items: Items,
    *,
    model: str | None = None,
    assessor: str | None = None,
    labels: Path | str | pd.DataFrame | ArrowTable | None = None,
    residuals: Path | str | pd.DataFrame | ArrowTable | None = None,
    expected: Path | str | pd.DataFrame | ArrowTable | None = None,
    confidences: Path | str | pd.DataFrame | ArrowTable | None = None,
    models: Path | str | pd.DataFrame | ArrowTable | None = None,
    defer_below: float | None = None,
    defer_risk: float | None = None,
    defer_from: Path | str | pd.DataFrame | ArrowTable | None = None,
    explain: bool = False,
    embedder: str = AUTO,
    annotator: str | None = None,
    level: float = 0.9,
    seed: int = 0,
    on_start: Callable[[str], None] | None = None,
) -> Predictions:
    """Predict the chances of models on items, and their scores on the items' benchmarks.

    Example:
        ``predict(study, ["What is 2 + 2?", "Prove the prime number theorem."])`` predicts two new questions.

    Args:
        source: A study, whose answers an assessor learns from; or a fit; or the folder of either.
        items: A study, a table of items (with columns for their rubrics, or a column `demands`), a list of texts, or
            the path of a study folder or a file of items.
        model: Predict this model only.
        assessor: Assessor that learns from a study; by default `assessors.DEFAULT`.
        labels: Answers to some of the items (model, item_id, score; optionally n_trials): they move scores and chances.
        residuals: Out-of-fold predictions of past benchmarks (`evaluate(..., "benchmark", write=...)`): intervals then
            include how much benchmarks differed from their predictions.
        expected: Scores on whole benchmarks expected from elsewhere (model, benchmark, score, lower, upper; optionally
            unit and level), such as the table of `capscope.forecast`: they move scores and chances as labels do.
        confidences: Models' own confidence (0 to 1) in answers to the items to predict (model, item_id, confidence);
            the assessor is then `confidence`, which learns from answers of the study that state one.
        models: Facts about models (columns model and size, family, date, ...): they predict the ability of
            models with few answers, and models without any are added. A table, its path, ``names`` for facts in the
            models' names, or None for the study's own models table.
        defer_below: Mark chances below this one in a column `defer`.
        defer_risk: Mark chances in a column `defer` so that at most this share of the others fails; see
            `deferral_rules` for what the bound holds for.
        defer_from: Out-of-fold predictions of the assessor (`evaluate(..., write=...)`) that `defer_risk` rests on.
        explain: Split each chance's log-odds into parts.
        embedder: Embedder that turns texts into vectors: ``auto``, ``tfidf``, or the name of a model.
        annotator: Whose demand levels to use; by default the mean over annotators.
        level: Nominal coverage of the intervals, 0 to 1.
        seed: Seed of everything random.
        on_start: Called with a line of text before an assessor is fitted.

    Returns:
        Chances of each model on each item, and scores by benchmark, with intervals.

    Raises:
        InputError: The source, the items, the model or a file cannot be found or read, or demands are missing.
        JoinError: The study's demands are about other items, or its items table lacks over a tenth of the answered.
    """
    if confidences is not None:
        assessor = _weighing(source, assessor)
    settings = PredictionSettings(
        model=model,
        annotator=annotator,
        level=level,
        seed=seed,
        residuals=_path_or_table(residuals),
        labels=_path_or_table(labels),
        expected=_path_or_table(expected),
        confidences=_path_or_table(confidences),
        models=_path_or_table(models),
        defer_below=defer_below,
        deferral=_deferral(source, defer_risk, _path_or_table(defer_from), assessor or DEFAULT),
        explain=explain,
        assessor=assessor,
        embedder=embedder,
    )
    known = _opened(source, model)
    if models is not None and not isinstance(known, Study):
        raise InputError("--models needs a study, whose models say what a fact is worth; give one, or leave it out")
    if isinstance(known, Study):
        dims = () if known.demands is None else Demands.of(known, annotator).dims
        return predict_from_study(known, open_requests(items, dims), settings, on_start)
    if assessor is not None:
        where = source if isinstance(source, Path | str) else "the source"
        raise InputError(f"{where}: is a fit, which predicts by itself; give a study for --assessor, or leave it out")
    return predict_from_fit(known, open_requests(items, known.rubrics), settings)


def _weighing(source: Source, assessor: str | None) -> str:
    """Return the assessor that weighs confidences.

    Raises:
        InputError: Another assessor is named, or the source is a fit, which knows no confidences.
    """
    if assessor not in (None, WEIGHING):
        raise InputError(f"--confidences are weighed by assessor '{WEIGHING}', not by '{assessor}'; leave one out")
    if not isinstance(source, Study) and (not isinstance(source, Path | str) or is_fit(Path(source))):
        raise InputError("--confidences need a study, whose answers say what a confidence is worth; give one")
    return WEIGHING


def _deferral(
    source: Source, risk: float | None, predictions: Path | pd.DataFrame | None, assessor: str
) -> pd.DataFrame | None:
    """Return the rules of deferral where a risk is given.

    Raises:
        InputError: One of the two settings is missing, or the source is a fit, which `evaluate` does not evaluate.
    """
    if risk is None and predictions is None:
        return None
    if risk is None or predictions is None:
        raise InputError("--defer-risk and --defer-from go together; give both, or use --defer-below")
    if not isinstance(source, Study) and (not isinstance(source, Path | str) or is_fit(Path(source))):
        raise InputError("--defer-risk needs a study, whose assessor 'capscope evaluate' has evaluated; give one")
    return deferral_rules(predictions, risk, assessor=assessor)


def predict_items(
    source: Source,
    items: Items,
    *,
    model: str | None = None,
    annotator: str | None = None,
    level: float = 0.9,
    seed: int = 0,
) -> Predictions:
    """Predict with the default assessor or a fit; the earlier name of `predict`, which has all settings.

    Args:
        source: See `predict`.
        items: See `predict`.
        model: Predict this model only.
        annotator: Whose demand levels to use; by default the mean over annotators.
        level: Nominal coverage of the intervals, 0 to 1.
        seed: Seed of everything random.

    Returns:
        Chances and scores with intervals.
    """
    return predict(source, items, model=model, annotator=annotator, level=level, seed=seed)


def _opened(source: Source, model: str | None) -> Study | Posterior:
    """Return the study, or the posterior of the fit; a model whose name joins known parts of agents is added to it."""
    if isinstance(source, Study | Posterior):
        return source
    if isinstance(source, Fit):
        return (with_named_agent(source, model) if model else source).posterior
    folder = Path(source)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give a study, or a fit made with 'capscope fit'")
    if kind_of(folder) == "bank":
        raise InputError(f"{folder}: this is a bank, not a study or a fit; score it with 'capscope battery score'")
    return _opened(load_fit(folder), model) if is_fit(folder) else Study.load(folder)


def open_requests(items: Items, rubrics: tuple[str, ...] = ()) -> Study:
    """Return items to predict as a study.

    Args:
        items: See `predict`.
        rubrics: Codes of the rubrics whose levels stand in columns of a table.

    Raises:
        InputError: There are no items, or they cannot be read.
    """
    items = as_frame(items)
    if isinstance(items, Study):
        return items.with_items()
    if isinstance(items, pd.DataFrame):
        return items_of_frame(items, rubrics, "items")
    if isinstance(items, str) and not Path(items).exists() and len(items.split()) > 1:
        raise InputError(f"{items}: no such file or folder; give texts as a list")
    if isinstance(items, Path | str):
        return read_items(items, rubrics)
    texts = list(items)
    if not texts:
        raise InputError("there are no items to predict; give at least one text")
    ids = [f"question-{number:0{len(str(len(texts)))}d}" for number in range(1, len(texts) + 1)]
    return Study.of(pd.DataFrame({"item_id": ids, "benchmark": "questions", "text": texts}), name="questions")


def _path_or_table(value: Path | str | pd.DataFrame | ArrowTable | None) -> Path | pd.DataFrame | None:
    value = as_frame(value)
    return Path(value) if isinstance(value, str) else value
