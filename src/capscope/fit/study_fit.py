"""From a study to a fit: which tables a model needs, and how well it does on answers held out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch

from capscope.axes import RowFloats
from capscope.data import (
    Demands,
    Responses,
    Study,
    family_by_name,
    join_items,
    task_labels,
)
from capscope.errors import FitError, nearest
from capscope.fit.cells.answers import as_answers
from capscope.fit.cells.survey import survey
from capscope.fit.curves.slices import dominant_slices
from capscope.fit.demand.study import fit_demand_study
from capscope.fit.engine.beta_scores import BetaScores, edge_of
from capscope.fit.engine.graded import Graded, count_grades
from capscope.fit.engine.heads import Asymptotes, Head
from capscope.fit.engine.problem import LEAST_CHANCE
from capscope.fit.irt import fit_irt
from capscope.fit.irt_model import DeviceName, IRTSettings, ModelName, ResponseName
from capscope.fit.marginal.heads import fit_marginal_head
from capscope.fit.marginal.likelihood import fit_marginal
from capscope.fit.posterior.advice import advise
from capscope.fit.posterior.irt import IRTPosterior
from capscope.fit.psychometrics.dimension_sources import dimension_sources
from capscope.fit.result import Fit, Status
from capscope.fit.storage import AnyFit

CHOICES = {
    "model": ("auto", "rasch", "2pl", "3pl", "4pl", "mirt", "demand", "curves"),
    "engine": ("auto", "variational", "mml", "svi", "nuts", "laplace"),
    "device": ("auto", "cpu", "cuda"),
    "chance": ("auto", "use", "ignore"),
    "response": ("auto", "graded", "continuous"),
}
"""What the settings of a study's fit can be."""
MOST_CHANCE = 0.95
"""Largest floor of guessing: an item that everyone guesses tells nothing."""


@dataclass(frozen=True)
class StudyFitSettings:
    """What to fit to a study."""

    model: str = "auto"
    """An item response model, `auto` to let held-out answers choose it, `demand` to explain difficulty by demands, task
    and benchmark, or `curves`."""
    dims: int = 1
    """Number of abilities of `mirt`, `3pl` and `4pl`."""
    engine: str = "auto"
    """`auto` takes `laplace` for curves and `variational` for the others; `nuts` serves both, `svi` and `mml` (marginal
    maximum likelihood, for many models and few items) item response models only."""
    device: str = "auto"
    """Where to compute item response models."""
    annotator: str | None = None
    """Whose demand levels `demand` and `curves` use; by default the mean over annotators."""
    seed: int = 0
    """Seed of everything random."""
    chance: str = "auto"
    """The items' known chances of a guess: `use` them as floors; `auto` lets held-out answers decide under model `auto`
    and centres the floors' prior on them under `3pl` and `4pl`; `ignore` them."""
    memory_mb: float = 4096.0
    """Megabytes that the responses may take: more of them stay on disk; see `fit_folder`."""
    response: str = "auto"
    """`graded` takes scores as ordered grades, `continuous` as draws from a Beta density around the chance of success;
    `auto` as right and wrong or shares of right trials."""

    def __post_init__(self) -> None:
        """Refuse a choice that there is not.

        Raises:
            FitError: No such model, engine or device, or an engine that cannot fit the model.
        """
        for name, known in CHOICES.items():
            value = getattr(self, name)
            if value not in known:
                what = name.replace("_", " ")
                raise FitError(f"unknown {what} '{value}'{nearest(value, known)}; use one of {', '.join(known)}")
        if not self.memory_mb > 0:
            raise FitError(f"memory of {self.memory_mb:g} MB is too little; use a positive number")
        able = _engines(self.model)
        if self.engine not in ("auto", *able):
            raise FitError(f"engine '{self.engine}' cannot fit {self.model}; use auto or one of {', '.join(able)}")


def fit_study(study: Study, settings: StudyFitSettings, progress: Callable[[float], None] | None = None) -> AnyFit:
    """Fit a model to a study's responses (and, for `demand` and `curves`, demands).

    Raises:
        InputError: A table that the model needs is missing.
        JoinError: Responses and demands do not talk about the same items.
        FitError: The data cannot support the model.
    """
    if settings.model == "demand":
        return fit_demand_study(study, settings.annotator, settings.seed)
    responses = Responses.of(study)
    if settings.model == "curves":
        join_items(study, "responses", "demands").refuse_if_poor(study.name)
        demands = Demands.of(study, settings.annotator)
        slices = dominant_slices(responses, demands, item_chance(study, responses.items))
        from capscope.fit.curves.hierarchical import CurveEngine, fit_curves

        engine: CurveEngine = "nuts" if settings.engine == "nuts" else "laplace"
        return fit_curves(slices.counts, engine=engine, seed=settings.seed, progress=progress)
    return _with_sources(study, fit_responses(responses, settings, known_floor(study, settings, responses.items)))


def _with_sources(study: Study, fit: Fit[IRTPosterior]) -> Fit[IRTPosterior]:
    """Say where a dimension goes with the study's answer keys, or with families as the models' names tell them."""
    posterior = fit.posterior
    tasks = targets = None
    if study.items is not None:
        items = study.items.assign(label=task_labels(study.items)).set_index(study.items["item_id"].astype(str))
        items = items.reindex(list(posterior.items))
        tasks = items["label"].astype(str).tolist()
        targets = items["target"].astype(str).tolist() if "target" in items else None
    families = {model: family_by_name(model) for model in posterior.models}
    return replace(fit, status=dimension_sources(posterior, tasks, targets, families).advice(fit.status))


def known_floor(study: Study, settings: StudyFitSettings, items: tuple[str, ...]) -> RowFloats | None:
    """The chance of a guess on each item as the settings want it used; None for not at all.

    Raises:
        FitError: The chances are asked for and the study has none.
    """
    chance = item_chance(study, items)
    if settings.chance == "use" and (chance is None or np.isnan(chance).all()):
        raise FitError(f"{study.name}: items have no chance of a guess; add a column chance or n_options to the items")
    wanted = settings.chance == "use" or (settings.chance == "auto" and settings.model in ("auto", "3pl", "4pl"))
    if chance is None or not wanted:
        return None
    return np.nan_to_num(chance).clip(0, MOST_CHANCE)


def fit_responses(
    responses: Responses, settings: StudyFitSettings, floor: RowFloats | None = None
) -> Fit[IRTPosterior]:
    """Fit an item response model by the engine asked for; every engine leaves the same kind of posterior.

    Args:
        responses: Observed responses.
        settings: What to fit.
        floor: Chance of a right guess on each item; None for none.

    Raises:
        FitError: The model is `curves`, or the responses cannot support the model.
    """
    engine = irt_settings(settings)
    if settings.engine == "mml" and (settings.response != "auto" or settings.model in ("3pl", "4pl")):
        return _marginal_with_head(responses, settings, floor)
    if settings.engine == "mml":
        marginal = fit_marginal(responses, rasch=settings.model == "rasch")
        posterior, answers = marginal.posterior.as_irt(), as_answers(responses)
        return Fit(posterior, advise(marginal.status, posterior, answers, survey(answers)), marginal.history)
    fit = fit_irt(responses, engine, floor=floor)
    if settings.engine not in ("svi", "nuts"):
        return fit
    from capscope.fit.sampling.irt import SamplerSettings, sample_irt

    sampler = SamplerSettings(engine="nuts" if settings.engine == "nuts" else "svi", seed=settings.seed)
    sampled = sample_irt(responses, fit.posterior, sampler)
    return Fit(sampled.posterior.as_irt(fit.posterior), _both(fit.status, sampled.status), sampled.history)


def _both(data: Status, sampler: Status) -> Status:
    """What the start says of the data, and how the sampler ended."""
    code = data.code if data.code == "nothing-to-measure" else sampler.code
    return Status(sampler.converged, code, data.advice + sampler.advice)


def _marginal_with_head(responses: Responses, settings: StudyFitSettings, floor: RowFloats | None) -> Fit[IRTPosterior]:
    marginal = fit_marginal_head(responses, _head(responses, settings, floor), flat=settings.response != "auto")
    posterior, answers = marginal.posterior.as_irt(settings.model), as_answers(responses)
    return Fit(posterior, advise(marginal.status, posterior, answers, survey(answers)), marginal.history)


def _head(responses: Responses, settings: StudyFitSettings, floor: RowFloats | None) -> Head:
    """The distribution of the scores that is asked for."""
    if settings.response == "graded":
        return Graded(count_grades(responses.score))
    if settings.response == "continuous":
        return BetaScores(edge_of(responses.score))
    chance = None if floor is None else torch.from_numpy(floor.clip(LEAST_CHANCE, None))
    return Asymptotes(True, settings.model == "4pl", chance)


def _engines(model: str) -> tuple[str, ...]:
    if model == "curves":
        return ("laplace", "nuts")
    if model == "demand":
        return ("variational",)
    return (
        ("variational", "mml", "svi", "nuts")
        if model in ("rasch", "2pl", "3pl", "4pl")
        else ("variational", "svi", "nuts")
    )


def irt_settings(settings: StudyFitSettings) -> IRTSettings:
    """Translate the settings of a study's fit into those of the item response engine."""
    if settings.model in ("curves", "demand"):
        raise FitError(
            f"{settings.model} is not fitted to answers alone; use rasch, 2pl, 3pl, 4pl, mirt or auto, "
            "or score it on held-out items with 'capscope evaluate'"
        )
    model, device = cast(ModelName, settings.model), cast(DeviceName, settings.device)
    return IRTSettings(
        model=model,
        dims=settings.dims,
        seed=settings.seed,
        device=device,
        memory_mb=settings.memory_mb,
        response=cast(ResponseName, settings.response),
    )


def item_chance(study: Study, items: tuple[str, ...]) -> RowFloats | None:
    """Return the chance of a guess on each item, NaN where unknown; None where the study says nothing of it."""
    if study.items is None or "chance" not in study.items:
        return None
    known = study.items.set_index(study.items["item_id"].astype(str))["chance"].astype(float)
    return known.reindex(list(items)).to_numpy()
