"""The demand-ability model on a study: its items' demands, tasks, benchmarks and chances of a guess."""

from collections.abc import Callable
from dataclasses import replace

from capscope.data import Demands, Responses, Study, refuse_foreign_demands
from capscope.fit.demand.basis import demand_items
from capscope.fit.demand.model import DemandSettings, fit_demand_items
from capscope.fit.demand.posterior import DemandPosterior
from capscope.fit.outcome import Outcome
from capscope.fit.settings import StudyFitSettings


def fit_demand_answers(
    study: Study,
    responses: Responses,
    settings: StudyFitSettings,
    progress: Callable[[float], None] | None = None,  # noqa: ARG001 - one interface for all kinds
) -> Outcome[DemandPosterior]:
    """Fit the demand-ability model to answers and the demands of their items.

    Args:
        study: A study with demands.
        responses: The answers.
        settings: Annotator and seed.
        progress: Not called: the fit takes moments.

    Raises:
        InputError: A table is missing, or no such annotator.
        JoinError: Responses and demands do not talk about the same items.
        FitError: The data cannot support the model.
    """
    rated = refuse_foreign_demands(study)
    dims = Demands.of(study, settings.annotator).dims
    items = demand_items(study, responses.items, dims, settings.annotator)
    outcome = fit_demand_items(responses, items, dims, DemandSettings(seed=settings.seed))
    if not rated.missing:
        return outcome
    remark = f"{len(rated.missing)} answered items have no demand level; typical levels stand in with their spread"
    return replace(outcome, status=replace(outcome.status, advice=(*outcome.status.advice, remark)))
