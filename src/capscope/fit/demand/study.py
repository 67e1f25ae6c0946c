"""The demand-ability model on a study: its items' demands, tasks, benchmarks and chances of a guess."""

from collections.abc import Callable

from capscope.data import Demands, Responses, Study, join_items
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
    join_items(study, "responses", "demands").refuse_if_poor(study.name)
    dims = Demands.of(study, settings.annotator).dims
    items = demand_items(study, responses.items, dims, settings.annotator)
    return fit_demand_items(responses, items, dims, DemandSettings(seed=settings.seed))
