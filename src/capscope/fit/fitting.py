"""Functions that fit a model: `fit` for any data, and one for each kind of data."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.axes import RowFloats
from capscope.data import (
    ArrowTable,
    LevelCounts,
    ResponseFile,
    Responses,
    Study,
    as_frame,
    has_judges,
    long_responses,
    read_table,
    rows_in,
    subjects_of,
)
from capscope.errors import FitError, InputError, first_few
from capscope.fit.cells.answers import Answers
from capscope.fit.cells.ranks import current_ranks
from capscope.fit.curves.posterior import CurvePosterior
from capscope.fit.demand.basis import DemandItems
from capscope.fit.demand.model import DemandSettings, fit_demand_items
from capscope.fit.demand.posterior import DemandPosterior
from capscope.fit.engines.variational.fitting import fit_variational
from capscope.fit.engines.variational.problem import pick_device
from capscope.fit.facets.parts import parts_of_name, with_agent
from capscope.fit.fitted import Fit, hold_out
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.irt.settings import IRTSettings
from capscope.fit.irt_study import fit_answers, irt_settings, known_floor
from capscope.fit.outcome import HeldOut, HoldoutScore
from capscope.fit.psychometrics.linking import calibrate_items
from capscope.fit.settings import KINDS, MODELS, StudyFitSettings

BYTES_A_ROW = 150
"""Memory that a loaded response takes at its peak, with its table and its checks."""

STREAMED_MODELS, STREAMED_ENGINE = ("auto", "rasch", "2pl", "mirt"), "variational"
"""Models that are fitted block by block from a file, and the engine that does so."""
RANK_MODELS = STREAMED_MODELS
"""Models that several processes fit together, by the same engine."""

Progress = Callable[[float], None]


def fit(  # noqa: PLR0913 - one name for each setting
    data: Study | pd.DataFrame | ArrowTable | LevelCounts | Path | str,
    model: str = "auto",
    *,
    dims: int = 1,
    engine: str = "auto",
    response: str = "auto",
    chance: str = "auto",
    annotator: str | None = None,
    facets: str = "auto",
    device: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
) -> Fit[Any]:
    """Fit a model to responses.

    Args:
        data: A study, its folder, a table of scores with one row for each model and one column for each item (NaN
            for not administered), or a table with columns ``model, item_id, score``; or published level counts, to
            which curves are fitted.
        model: A name in `MODELS`: ``auto, rasch, 2pl, 3pl, 4pl, mirt, demand`` or ``curves``.
        dims: Number of abilities of ``mirt``, ``3pl`` and ``4pl``.
        engine: A name in `ENGINES`, or ``auto``.
        response: A name in `SCORE_MODELS`: the distribution of scores.
        chance: Known chances of a guess: ``auto``, ``use`` or ``ignore``.
        annotator: Whose demand levels ``demand`` and ``curves`` use.
        facets: What makes subjects of one model: ``auto`` for scaffold and effort, ``ignore``, or names of facets
            joined by commas.
        device: ``auto``, ``cpu`` or ``cuda``.
        seed: Seed of everything random.
        progress: Called with the share of the work done, where the engine knows it.

    Returns:
        The fit.

    Raises:
        InputError: The data cannot be read, or lack a table that the model needs.
        FitError: The data cannot support the model.

    Example:
        >>> fit(pd.DataFrame({"q1": [1, 0, 1], "q2": [1, 0, 0]}, index=["a", "b", "c"]), "rasch").models
        ('a', 'b', 'c')
    """
    settings = StudyFitSettings(
        model=model,
        dims=dims,
        engine=engine,
        response=response,
        chance=chance,
        annotator=annotator,
        facets=facets,
        device=device,
        seed=seed,
    )
    data = as_frame(data)
    if isinstance(data, LevelCounts):
        if model not in ("auto", "curves"):
            raise FitError(f"level counts are fitted by curves, not by {model}; leave the model out")
        return fit_curves(data, engine="laplace" if engine == "auto" else engine, seed=seed, progress=progress)
    if isinstance(data, Path | str):
        return fit_folder(data, settings, progress)
    if isinstance(data, pd.DataFrame):
        data = Study.of(responses=long_responses(data, "the table"), name="the table")
    if not isinstance(data, Study):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"data is {type(data).__name__}; give a study, its folder, a table of scores, or level counts")
    return fit_study(data, settings, progress)


def fit_study(study: Study, settings: StudyFitSettings | None = None, progress: Progress | None = None) -> Fit[Any]:
    """Fit a model to a study's responses (and, for `demand` and `curves`, demands).

    Args:
        study: The study.
        settings: What to fit; by default held-out answers choose an item response model.
        progress: Called with the share of the work done, where the engine knows it.

    Returns:
        The fit.

    Raises:
        InputError: A table that the model needs is missing.
        JoinError: Responses and demands are about different items.
        FitError: The data cannot support the model.
    """
    settings = settings or StudyFitSettings()
    _refuse_ranks(settings)
    kind = KINDS[MODELS[settings.model].kind]
    subjects, design = subjects_of(study, settings.subject_facets)
    outcome = kind.load_fit()(subjects, Responses.of(subjects), settings, progress)
    return Fit.of(outcome, settings, design)


def _refuse_ranks(settings: StudyFitSettings) -> None:
    """Refuse models and engines that are not distributed over several processes."""
    if current_ranks() is None or (settings.engine_name == STREAMED_ENGINE and settings.model in RANK_MODELS):
        return
    raise FitError(
        f"{settings.model} by engine {settings.engine_name} is fitted by one process; start it without torchrun, or "
        f"fit one of {', '.join(RANK_MODELS)} by engine {STREAMED_ENGINE}"
    )


def with_named_agent(fit: Fit[Any], name: str) -> Fit[Any]:
    """Add an agent to a fit by a name that joins known parts, such as ``model + scaffold``.

    Args:
        fit: A fit.
        name: The name; one that the fit has already, or that is not made of parts, changes nothing.

    Returns:
        The fit, with one more model where the name was new.

    Raises:
        InputError: The name is one part alone, of which the fit has agents.
    """
    parts = None if fit.design is None or name in fit.models else parts_of_name(fit.design, name)
    if parts is None or fit.design is None:
        return fit
    if len(parts) == 1:
        # with one known part alone, the interval of the ability would be that of the whole population
        (factor, value), *_ = parts.items()
        agents = [one for one, part in zip(fit.design.subjects, fit.design.parts[factor], strict=True) if part == value]
        raise InputError(
            f"'{name}' is one part of an agent; the fit has {first_few(agents, 8)}; name one of them, or join its parts"
        )
    return replace(fit, posterior=with_agent(fit.posterior, fit.design, parts))


def fit_folder(
    folder: Path | str, settings: StudyFitSettings | None = None, progress: Progress | None = None
) -> Fit[Any]:
    """Fit a model to the study in a folder.

    Responses in Parquet that would take more memory than allowed stay on disk and are read block by block; the fit
    is the same.

    Args:
        folder: Study folder.
        settings: What to fit; by default held-out answers choose an item response model.
        progress: Called with the share of the work done, where the engine knows it.

    Returns:
        The fit.

    Raises:
        InputError: A table that the model needs is missing or wrong.
        FitError: The data cannot support the model.
    """
    folder, settings = Path(folder), settings or StudyFitSettings()
    table = folder / "responses.parquet"
    if not stays_on_disk(table, settings):
        return fit_study(Study.load(folder), settings, progress)
    file, items = ResponseFile.open(table), folder / "items.parquet"
    floor = None
    if items.is_file():
        floor = known_floor(Study.of(items=read_table(items), name=str(folder)), settings, file.items)
    return Fit.of(fit_answers(file, settings, floor), settings)


def stays_on_disk(table: Path, settings: StudyFitSettings) -> bool:
    """Whether responses are too many to load, and of a kind that can be fitted block by block.

    Args:
        table: Parquet file of the responses.
        settings: What to fit.
    """
    streams = settings.engine_name == STREAMED_ENGINE and settings.model in STREAMED_MODELS
    # verdicts of several judges are pooled by answer, which needs all rows
    if not streams or not table.is_file() or rows_in(table) * BYTES_A_ROW <= settings.memory_mb * 2**20:
        return False
    return not has_judges(table)


def fit_irt(
    responses: Answers,
    settings: IRTSettings | None = None,
    features: np.ndarray | None = None,
    floor: RowFloats | None = None,
    loads_on: np.ndarray | None = None,
    anchors: IRTPosterior | None = None,
) -> Fit[IRTPosterior]:
    """Fit an item response model by block natural-gradient variational Bayes.

    Args:
        responses: Observed responses, as rows, as a grid or in a file; scores in [0, 1] count as quasi-binomial with
            their trials.
        settings: What to fit; by default held-out cells choose.
        features: Array (item, feature) in the order of ``responses.items``: the items' prior is N(G [1, x], S).
        floor: Known chance of a right guess on each item; None for none.
        loads_on: Confirmatory mask (item, dim), such as demand levels above 0: where it is false a slope stays exactly
            0, so the dimensions are those of the mask, in its order, and are not rotated.
        anchors: A fit whose models and items keep their posteriors wherever they occur here, which sets the scale; the
            model, its form and its prior are then those of that fit (see `calibrate_items`).

    Returns:
        The fit.

    Raises:
        FitError: Responses, features or settings cannot be used; one line with what to do.
    """
    settings = settings or IRTSettings()
    if anchors is not None:
        return _anchored(anchors, responses, features, floor, loads_on)
    outcome = fit_variational(responses, settings, features, floor, loads_on)
    return Fit.of(outcome, _of_irt(settings, floor))


def _of_irt(settings: IRTSettings, floor: RowFloats | None) -> StudyFitSettings:
    """The settings of a fit to answers alone, as those of a fit to a study."""
    known = asdict(settings) | {"chance": "use" if floor is not None and np.any(floor) else "ignore"}
    if settings.model in ("auto", "3pl", "4pl"):
        known["chance"] = "auto"
    return StudyFitSettings.from_dict(known)


def _anchored(
    anchors: IRTPosterior,
    answers: Answers,
    features: np.ndarray | None,
    floor: RowFloats | None,
    loads_on: np.ndarray | None,
) -> Fit[IRTPosterior]:
    """The linked fit over the axes of the answers."""
    if loads_on is not None:
        raise FitError("fit_irt: anchors bring their own dimensions; leave loads_on out")
    outcome = calibrate_items(anchors, answers, features, floor)
    whole = outcome.posterior
    models = whole.model_index(answers.models)
    kept = replace(
        whole, models=answers.models, ability_mean=whole.ability_mean[models], ability_cov=whole.ability_cov[models]
    )
    return Fit(kept.take_items(whole.item_index(answers.items)), None, outcome.status, outcome.history)


def fit_curves(
    counts: LevelCounts,
    *,
    engine: str = "laplace",
    seed: int = 0,
    draws: int = 500,
    progress: Progress | None = None,
) -> Fit[CurvePosterior]:
    """Fit the hierarchical curves to level counts, and the classical ones for comparison.

    Args:
        counts: Answers and successes by model, dimension and level.
        engine: `laplace` (seconds) or `nuts` (minutes; starts from the Laplace approximation and checks it).
        seed: Seed of the draws; the same seed gives the same numbers.
        draws: Number of posterior draws to keep.
        progress: Called with the share of the work done.

    Returns:
        The fit.

    Raises:
        FitError: The counts hold nothing to fit, or the engine cannot fit curves.
    """
    from capscope.fit.curves.hierarchical import fit_hierarchical  # needs Pyro, which most work does without

    settings = StudyFitSettings(model="curves", engine=engine, seed=seed)
    return Fit.of(fit_hierarchical(counts, engine=engine, seed=seed, draws=draws, progress=progress), settings)


def fit_demand(
    responses: Responses, items: DemandItems, dims: tuple[str, ...] = (), settings: DemandSettings | None = None
) -> Fit[DemandPosterior]:
    """Fit the demand-ability model to answers and items laid out for it; see `fit_demand_items`.

    Args:
        responses: Observed responses.
        items: Demands, texts, tasks and benchmarks of the items.
        dims: Names of the demands.
        settings: What to fit.

    Returns:
        The fit.
    """
    settings = settings or DemandSettings()
    stated = StudyFitSettings(model="demand", seed=settings.seed)
    return Fit.of(fit_demand_items(responses, items, dims, settings), stated)


def fit_demand_study(study: Study, annotator: str | None = None, seed: int = 0) -> Fit[DemandPosterior]:
    """Fit the demand-ability model to a study's responses and demands.

    Args:
        study: A study with responses and demands.
        annotator: Whose demand levels to use; by default the fused ones, else the mean over annotators.
        seed: Seed of everything random.

    Returns:
        The fit.

    Raises:
        InputError: A table is missing, or no such annotator.
        JoinError: Responses and demands are about different items.
        FitError: The data cannot support the model.
    """
    return fit_study(study, StudyFitSettings(model="demand", annotator=annotator, seed=seed))


def fit_holdout(study: Study, settings: StudyFitSettings, share: float) -> HoldoutScore:
    """Fit on part of a study's answers and score the predictions of the rest; `Fit.held_out` does so for every kind.

    Args:
        study: The study.
        settings: An item response model.
        share: Share of the answers to hold out, drawn with the settings' seed.

    Returns:
        Log-loss and AUROC on the held-out answers, and the fit to the others.

    Raises:
        FitError: The model is of another kind, the share lies outside (0, 1), or the rest cannot support the model.
    """
    irt_settings(settings)  # refuses models of other kinds
    _refuse_ranks(settings)
    held_out: HeldOut[Any] = hold_out(study, settings, share)
    test = held_out.test
    return HoldoutScore(
        model=held_out.fit.posterior.model_name,
        engine=settings.engine_name,
        device=str(pick_device(settings.device)),
        status=held_out.fit.status.code,
        reliability=held_out.fit.posterior.reliability(),
        **asdict(held_out.cost),
        n_models=len(test.models),
        n_items=len(test.items),
        n_responses=held_out.n_training,
        log_loss=held_out.log_loss,
        auroc=held_out.auroc,
    )
