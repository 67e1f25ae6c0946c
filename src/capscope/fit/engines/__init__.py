"""The family of engines, which fit models. To add one, write its module and add its entry to `ENGINES`.

An engine for item response models is a function ``(responses, settings, floor) -> Outcome[IRTPosterior]`` (see
`irt_study.fit_answers`); one for curves a function ``(program, start, draws, seed) -> draws of every site``.
"""

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

IRT_MODELS = ("auto", "rasch", "2pl", "3pl", "4pl", "mirt")


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One engine: its name, the models it can fit, and its code."""

    name: str
    """Name on the command line."""
    help: str
    """A few words for help texts and tables."""
    models: tuple[str, ...]
    """Models that it can fit."""
    responses: tuple[str, ...] = ("auto",)
    """Score models that it can fit."""
    irt: str = ""
    """Function that fits an item response model, as ``module:object``."""
    curves: str = ""
    """Function that draws from the posterior of the curves, as ``module:object``."""

    def load_irt(self) -> Any:  # noqa: ANN401 - a function of a module that is imported when it is used
        """Import the function that fits an item response model."""
        return resolve_name(self.irt)

    def load_curves(self) -> Any:  # noqa: ANN401 - see load_irt
        """Import the function that draws from the posterior of the curves."""
        return resolve_name(self.curves)


_PYRO = "capscope.fit.engines.pyro_sampling"
ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine(
            name="variational",
            help="block natural-gradient variational Bayes, the default",
            models=(*IRT_MODELS, "demand"),
            responses=("auto", "graded", "continuous"),
            irt="capscope.fit.engines.variational.fitting:fit_answers",
        ),
        Engine(
            name="mml",
            help="marginal maximum likelihood, for many models and few items",
            models=("rasch", "2pl", "3pl", "4pl"),
            responses=("auto", "graded", "continuous"),
            irt="capscope.fit.engines.mml_extras:fit_answers",
        ),
        Engine(
            name="svi",
            help="stochastic variational inference in Pyro, a full posterior",
            models=IRT_MODELS,
            irt=f"{_PYRO}:fit_by_svi",
        ),
        Engine(
            name="laplace",
            help="Laplace approximation, the default for curves",
            models=("curves",),
            curves="capscope.fit.engines.laplace:laplace_draws",
        ),
        Engine(
            name="nuts",
            help="no-U-turn sampling in Pyro, a full posterior",
            models=(*IRT_MODELS, "curves"),
            irt=f"{_PYRO}:fit_by_nuts",
            curves=f"{_PYRO}:nuts_draws",
        ),
    )
}
"""Every engine by its name."""
