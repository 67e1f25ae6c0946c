"""Item response models on a study: floors from its items, the engine asked for, and what its dimensions go with."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd

from capscope.axes import RowFloats
from capscope.data import Responses, Study, family_by_name, known_chance, task_labels
from capscope.errors import FitError
from capscope.fit.cells.answers import Answers
from capscope.fit.engines import ENGINES
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.irt.settings import DeviceName, FormName, IRTSettings, ModelName
from capscope.fit.outcome import Outcome
from capscope.fit.posterior import low_reliability
from capscope.fit.psychometrics.dimension_meaning import dimension_sources
from capscope.fit.settings import MODELS, StudyFitSettings

MOST_CHANCE = 0.95
"""Largest floor of guessing; an item that every model guesses has no information."""

CHEAP, QUICK, SHUFFLES = 5_000, ("variational", "mml"), 3
"""Answers up to which, engines by which, and times that a control is fitted to shuffled answers."""
SHUFFLE_STREAM = 0x53687566
MORE_SHUFFLES = 8
"""The same where slopes have no prior; a fit of noise is more reliable than all of these in one case of nine."""
IRTEngine = Callable[[Answers, IRTSettings, RowFloats | None], Outcome[IRTPosterior]]


def fit_irt_study(
    study: Study,
    responses: Responses,
    settings: StudyFitSettings,
    progress: Callable[[float], None] | None = None,  # noqa: ARG001 - one interface for all kinds
) -> Outcome[IRTPosterior]:
    """Fit an item response model to answers, with what the study knows of their items.

    Args:
        study: The items' known chances of a guess, answer keys and tasks; its responses are not looked at.
        responses: The answers.
        settings: What to fit.
        progress: Not called: engines do not report progress.

    Raises:
        FitError: The responses cannot support the model.
    """
    floor = known_floor(study, settings, responses.items)
    outcome = with_sources(study, fit_answers(responses, settings, floor))
    return _with_control(outcome, responses, settings, floor)


def _with_control(
    outcome: Outcome[IRTPosterior], responses: Responses, settings: StudyFitSettings, floor: RowFloats | None
) -> Outcome[IRTPosterior]:
    """Add the reliability of shuffled answers to the advice, where reliability is low or hardly higher."""
    low = bool(low_reliability(outcome.posterior))
    if not low and not _without_slope_prior(settings):
        return outcome
    control = _shuffled_reliabilities(outcome, responses, settings, floor, SHUFFLES if low else MORE_SHUFFLES)
    own = _reliability(outcome.posterior)
    if not control or not (low or own <= max(control)):
        return outcome
    words = f"the same answers assigned to the models at random give reliability {np.mean(control):.2f}"
    if not low:
        words = f"these items may not distinguish the models at all: reliability is {own:.2f}, and {words}"
    return replace(outcome, status=outcome.status.with_advice(words, first=not low))


def _without_slope_prior(settings: StudyFitSettings) -> bool:
    """Return whether slopes are estimated without a prior: an ability is then found in pure noise too."""
    return settings.engine_name == "mml" and settings.model != "rasch"


def _reliability(posterior: IRTPosterior) -> float:
    """Return the largest reliability of a dimension; 0 where none is known."""
    return max((share for share in posterior.reliability().values() if np.isfinite(share)), default=0.0)


def _shuffled_reliabilities(
    outcome: Outcome[IRTPosterior],
    responses: Responses,
    settings: StudyFitSettings,
    floor: RowFloats | None,
    times: int,
) -> list[float]:
    """Reliability of the same answers after a random permutation of each item's answers over its models.

    Without any abilities it is about 0.3 with 30 items and 50 models (0.1 to 0.5 from data set to data set), not 0,
    since abilities are also fitted to each model's chance successes; where slopes have no prior it is 0.7 to 0.9. A
    reliability near the control's value is that of noise.

    Returns:
        That of each of some permutations; none where a second fit is not cheap, or fails.
    """
    posterior = outcome.posterior
    if len(responses.score) > CHEAP or settings.engine_name not in QUICK:
        return []
    # a stream of its own: the seed alone may be the one that drew the answers, and would sort them by what drew them
    rng = np.random.default_rng([settings.seed, SHUFFLE_STREAM])
    again = replace(settings, model=posterior.model_name, dims=posterior.dims) if settings.model == "auto" else settings
    places = np.argsort(responses.item_index, kind="stable")
    reliabilities: list[float] = []
    for _ in range(times):
        permuted = np.lexsort((rng.random(len(places)), responses.item_index))
        score, trials = responses.score.copy(), responses.n_trials.copy()
        score[places], trials[places] = responses.score[permuted], responses.n_trials[permuted]
        try:
            by_chance = fit_answers(replace(responses, score=score, n_trials=trials), again, floor)
        except FitError:
            return []
        reliabilities.append(_reliability(by_chance.posterior))
    return reliabilities


def fit_answers(
    responses: Answers, settings: StudyFitSettings, floor: RowFloats | None = None
) -> Outcome[IRTPosterior]:
    """Fit an item response model by the engine asked for; every engine leaves the same kind of posterior.

    Args:
        responses: Observed responses.
        settings: What to fit.
        floor: Chance of a right guess on each item; None for none.

    Raises:
        FitError: The model is of another kind, or the responses cannot support it.
    """
    settings_of_engine = irt_settings(settings)
    engine: IRTEngine = ENGINES[settings.engine_name].load_irt()
    return engine(responses, settings_of_engine, floor)


def irt_settings(settings: StudyFitSettings) -> IRTSettings:
    """Settings of an item response engine from those of a study's fit.

    Raises:
        FitError: The model is no item response model.
    """
    if MODELS[settings.model].kind != IRTPosterior.kind:
        names = [name for name, model in MODELS.items() if model.kind == IRTPosterior.kind]
        raise FitError(
            f"{settings.model} is not fitted to answers alone; use {', '.join(names[1:])} or {names[0]}, "
            "or score it on held-out items with 'capscope evaluate'"
        )
    return IRTSettings(
        model=cast(ModelName, settings.model),
        dims=settings.dims,
        form=cast(FormName, settings.form),
        seed=settings.seed,
        device=cast(DeviceName, settings.device),
        memory_mb=settings.memory_mb,
        response=settings.response,
    )


def with_sources(study: Study, fit: Outcome[IRTPosterior]) -> Outcome[IRTPosterior]:
    """Add advice on dimensions that coincide with the answer keys, or with model families as names show them.

    Args:
        study: The fitted study.
        fit: Its fit.

    Returns:
        The fit with more advice in its status.
    """
    posterior = fit.posterior
    tasks = targets = None
    if study.items is not None:
        items = study.items.assign(label=task_labels(study.items)).set_index(study.items["item_id"].astype(str))
        items = items.reindex(list(posterior.items))
        tasks = items["label"].astype(str).tolist()
        targets = items["target"].astype(str).tolist() if "target" in items else None
    families = {model: family_by_name(model) for model in posterior.models}
    status = dimension_sources(posterior, tasks, targets, families).advice(fit.status)
    return Outcome(posterior, status, fit.history)


def known_floor(study: Study, settings: StudyFitSettings, items: tuple[str, ...]) -> RowFloats | None:
    """The chance of a guess on each item as the settings want it used; None for not at all.

    Args:
        study: A study whose items may have a column `chance`.
        settings: Model and use of chances.
        items: Ids on the item axis.

    Raises:
        FitError: The chances are asked for and the study has none.
    """
    chance = item_chance(study, items)
    if settings.chance == "use" and (chance is None or np.isnan(chance).all()):
        raise FitError(f"{study.name}: items have no chance of a guess; add a column chance or n_options to the items")
    wanted = settings.chance == "use" or (settings.chance == "auto" and settings.model in ("auto", "3pl", "4pl"))
    if chance is None or not wanted:
        return None
    return np.nan_to_num(chance)


def item_chance(study: Study, items: tuple[str, ...]) -> RowFloats | None:
    """Chance of a guess on each item, at most `MOST_CHANCE`; None where the study has no chances.

    It is NaN where it is unknown, and where it is stated to be 1: an item that every guess gets right says nothing.

    Args:
        study: A study.
        items: Ids on the item axis.

    Returns:
        Chances, 0 to 1, or None.
    """
    if study.items is None or "chance" not in study.items:
        return None
    known = pd.Series(known_chance(study.items["chance"]).to_numpy(), index=study.items["item_id"].astype(str))
    return known.reindex(list(items)).to_numpy().clip(0, MOST_CHANCE)
