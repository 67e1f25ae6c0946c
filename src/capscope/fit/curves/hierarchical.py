"""Fit all subject characteristic curves jointly, to level counts or to a study, by a Laplace approximation or NUTS."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from torch import Tensor

from capscope.data import Demands, LevelCounts, Responses, Study, refuse_foreign_demands
from capscope.errors import counted, first_few
from capscope.fit.curves.classical import Slices, dominant_slices, fit_classical
from capscope.fit.curves.posterior import CurvePosterior
from capscope.fit.curves.program import CENTRE_LEVEL, CurveProgram, curve_data
from capscope.fit.engines import ENGINES
from capscope.fit.engines.laplace import LaplacePosterior, Latent, fit_laplace
from capscope.fit.irt_study import item_chance
from capscope.fit.outcome import Outcome, Status
from capscope.fit.settings import StudyFitSettings
from capscope.fit.tensor_links import curve_area

Sampler = Callable[[CurveProgram, LaplacePosterior, int, int], Latent]


def fit_hierarchical(
    counts: LevelCounts,
    *,
    engine: str = "laplace",
    seed: int = 0,
    draws: int = 500,
    progress: Callable[[float], None] | None = None,
) -> Outcome[CurvePosterior]:
    """Fit the hierarchical curves, and the classical ones for comparison.

    Args:
        counts: Answers and successes by model, dimension and level.
        engine: `laplace` (seconds) or `nuts` (minutes; starts from the Laplace approximation and checks it).
        seed: Seed of the draws; the same seed gives the same numbers.
        draws: Number of posterior draws to keep.
        progress: Called with the share of the work done.

    Raises:
        FitError: The counts hold nothing to fit.
    """
    counts, advice = _with_answers(counts)
    program = CurveProgram(curve_data(counts))
    laplace = fit_laplace(program, progress=progress)
    sampler: Sampler = ENGINES[engine].load_curves()
    latent = sampler(program, laplace, draws, seed)
    return Outcome(_posterior(counts, latent), _status(laplace, advice), laplace.change)


def _posterior(counts: LevelCounts, latent: Latent) -> CurvePosterior:
    slope = (latent["dim_log_slope"][:, None, :] + latent["model_log_slope"][:, :, None]).exp()
    midpoint = CENTRE_LEVEL + latent["log_odds"] / slope  # (draw, model, dim)
    return CurvePosterior(
        models=counts.models,
        dims=counts.dims,
        ability=_draws_last(curve_area(midpoint, slope)),
        midpoint=_draws_last(midpoint),
        slope=_draws_last(slope),
        general=_draws_last(latent["general"]),
        level_effect_sd=_draws_last(latent["level_variance"].sqrt()[:, 0]),
        concentration=_draws_last(latent["log_concentration"].exp()[:, 0]),
        residual_sd=latent["residual_variance"].mean(0).sqrt().numpy(),
        n=counts.n,
        correct=counts.correct,
        classical=fit_classical(counts),
    )


def _draws_last(value: Tensor) -> np.ndarray:
    return value.movedim(0, -1).contiguous().numpy()


def _with_answers(counts: LevelCounts) -> tuple[LevelCounts, tuple[str, ...]]:
    """Leave out dimensions without answers, and give advice on those whose slope comes from the other dimensions."""
    levels = (counts.n[:, :, 1:].sum(axis=0) > 0).sum(axis=1)
    silent = [dim for dim, count in zip(counts.dims, levels, strict=True) if count == 0]
    single = [dim for dim, count in zip(counts.dims, levels, strict=True) if count == 1]
    advice: list[str] = []
    if silent and len(silent) < len(counts.dims):
        advice.append(
            f"left out {first_few(silent)}: no answer at level 1 or above where they dominate; add such items"
        )
        counts = counts.take_dims([dim for dim in counts.dims if dim not in silent])
    if single:
        advice.append(f"{first_few(single)}: answers at one level only, the slope is that of the other dimensions")
    return counts, tuple(advice)


def _status(laplace: LaplacePosterior, advice: tuple[str, ...]) -> Status:
    if laplace.converged:
        return Status(True, "converged", advice)
    last = f"{laplace.change[-1]:.1%}"
    moving = f"the standard deviations still changed by {last} in the last sweep: the intervals are rough"
    return Status(False, "still-moving", (moving, *advice))


def fit_curve_study(
    study: Study,
    responses: Responses,
    settings: StudyFitSettings,
    progress: Callable[[float], None] | None = None,
) -> Outcome[CurvePosterior]:
    """Fit curves to answers and the demands of their items.

    Args:
        study: A study with demands.
        responses: The answers.
        settings: What to fit.
        progress: Called with the share of the work done.

    Raises:
        InputError: The study has no demands, or none by the annotator asked for.
        JoinError: Responses and demands are about different items.
        FitError: A dimension has no level on any item that is answered and hard to guess.
    """
    refuse_foreign_demands(study)
    demands = Demands.of(study, settings.annotator)
    slices = dominant_slices(responses, demands, item_chance(study, responses.items))
    outcome = fit_hierarchical(slices.counts, engine=settings.engine_name, seed=settings.seed, progress=progress)
    return replace(outcome, status=outcome.status.with_advice(*_remarks(slices)))


def _remarks(slices: Slices) -> list[str]:
    """Advice on items that lack levels."""
    partly, unrated = slices.n_partly_rated, slices.n_unrated
    return [
        *(
            [f"{counted(partly, 'item', 'lack')} some demand levels; typical levels are used with their spread"]
            if partly
            else []
        ),
        *([f"{unrated} answered items have no demand level and are left out"] if unrated else []),
    ]
