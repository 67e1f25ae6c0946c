"""Agents by their parts: abilities are sums of model, scaffold and effort, also of pairs not seen together."""

from dataclasses import dataclass

import numpy as np

from capscope.errors import InputError
from capscope.fit import DemandSettings
from capscope.predict.assessor import AssessorEntry, Training
from capscope.predict.demand_model import FittedDemandModel, fit_demand_model, fit_rasch, with_sums


@dataclass(frozen=True)
class AgentsAssessor:
    """The demand-ability model (Rasch without demands), its general abilities shrunken to the sums of the parts."""

    def fit(self, training: Training) -> FittedDemandModel:
        """Fit the answers, split the abilities of the agents in training, and give every agent the sum of its parts.

        Raises:
            InputError: The study has no facets.
        """
        if training.agents is None:
            raise InputError("assessor 'agents' needs responses with several values of scaffold or effort")
        settings = DemandSettings(seed=training.seed)
        warm = training.features.demands is None or bool((training.answered | ~training.asked).all())
        fitted = fit_rasch(training) if warm else fit_demand_model(training, settings, parts=False)
        return with_sums(fitted, training, np.ones(len(training.responses.models), dtype=bool))


AGENTS = AssessorEntry(
    name="agents",
    help="abilities as sums of model, scaffold and effort; for new pairs of known parts",
    needs="agents",
    assessor=AgentsAssessor(),
)
