"""Agents by their parts: abilities are sums of model, scaffold and effort, also of pairs not seen together."""

from dataclasses import dataclass, replace

import numpy as np

from capscope.errors import InputError
from capscope.fit import DemandSettings, split_general
from capscope.predict.assessor import AssessorEntry, Training
from capscope.predict.demand_model import FittedDemandModel, fit_demand_model, fit_rasch

FEWEST_AGENTS = 3
"""With fewer agents in training, abilities are not split."""


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
        fitted = fit_rasch(training) if warm else fit_demand_model(training, settings)
        seen = np.bincount(training.responses.model_index, minlength=len(training.responses.models)) > 0
        known = training.agents.at(seen)
        if len(known.subjects) < FEWEST_AGENTS or not known.factors:
            return fitted
        parts, rng = split_general(fitted.posterior, known, training.seed), np.random.default_rng(training.seed)
        mean, cov = fitted.posterior.ability_mean.copy(), fitted.posterior.ability_cov.copy()
        for row in range(len(seen)):
            own = {name: values[row] for name, values in training.agents.parts.items()}
            draws = parts.ability({name: part for name, part in own.items() if part in known.names(name)}, rng)
            ratio = draws.std() / np.sqrt(cov[row, 0, 0])
            mean[row, 0] = draws.mean()
            cov[row, 0, 1:] *= ratio
            cov[row, :, 0] = np.r_[draws.var(), cov[row, 0, 1:]]
            cov[row, 0, 0] = draws.var()
        return replace(fitted, posterior=replace(fitted.posterior, ability_mean=mean, ability_cov=cov))


AGENTS = AssessorEntry(
    name="agents",
    help="abilities as sums of model, scaffold and effort; for new pairs of known parts",
    needs="agents",
    assessor=AgentsAssessor(),
)
