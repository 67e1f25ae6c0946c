"""The hierarchical curves on a study: level counts from its answers and demands."""

from collections.abc import Callable
from dataclasses import replace

from capscope.data import Demands, Responses, Study, refuse_foreign_demands
from capscope.fit.curves.hierarchical import fit_hierarchical
from capscope.fit.curves.posterior import CurvePosterior
from capscope.fit.curves.slices import Slices, dominant_slices
from capscope.fit.irt_study import item_chance
from capscope.fit.outcome import Outcome
from capscope.fit.settings import StudyFitSettings


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
        JoinError: Responses and demands do not talk about the same items.
        FitError: A dimension has no level on any item that is answered and hard to guess.
    """
    refuse_foreign_demands(study)
    demands = Demands.of(study, settings.annotator)
    slices = dominant_slices(responses, demands, item_chance(study, responses.items))
    outcome = fit_hierarchical(slices.counts, engine=settings.engine_name, seed=settings.seed, progress=progress)
    return replace(outcome, status=replace(outcome.status, advice=(*outcome.status.advice, *_remarks(slices))))


def _remarks(slices: Slices) -> list[str]:
    """Say how many items lack levels, and what becomes of them."""
    partly, unrated = slices.n_partly_rated, slices.n_unrated
    return [
        *([f"{partly} items lack some demand levels; typical levels stand in with their spread"] if partly else []),
        *([f"{unrated} answered items have no demand level and are left out"] if unrated else []),
    ]
