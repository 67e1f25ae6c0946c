"""The families of kinds of fit (what a posterior is) and of models (what `--model` names).

To add a kind, write a folder with a posterior that follows `Posterior` and a function ``(study, responses, settings,
progress) -> Outcome``, and add its entry to `KINDS`; to add a model of a kind, add its entry to `MODELS`.
"""

from dataclasses import dataclass
from typing import Any

from capscope.fit.engines import ENGINES
from capscope.members import Member, loaded


@dataclass(frozen=True, kw_only=True)
class Kind(Member):
    """One kind of fit; `where` is its posterior's class."""

    fit: str
    """Function that fits it to a study, as ``module:object``."""
    engine: str
    """Engine that fits it by default."""

    def load_fit(self) -> Any:  # noqa: ANN401 - see Member.load
        """Import the function that fits this kind."""
        return loaded(self.fit)


@dataclass(frozen=True, kw_only=True)
class Model:
    """One model that can be asked for."""

    name: str
    """Name that `--model` takes."""
    help: str
    """What it is, in a few words."""
    kind: str = "irt"
    """Kind of fit that it leaves."""
    several: bool = False
    """Whether it takes more than one dimension."""

    @property
    def engines(self) -> tuple[str, ...]:
        """Engines that can fit it."""
        return tuple(name for name, engine in ENGINES.items() if self.name in engine.models)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="irt",
            help="item response models",
            where="capscope.fit.irt.posterior:IRTPosterior",
            fit="capscope.fit.irt_study:fit_irt_study",
            engine="variational",
        ),
        Kind(
            name="curves",
            help="success against demand levels",
            where="capscope.fit.curves.posterior:CurvePosterior",
            fit="capscope.fit.curves.study:fit_curve_study",
            engine="laplace",
        ),
        Kind(
            name="demand",
            help="difficulty explained by demands, task and benchmark",
            where="capscope.fit.demand.posterior:DemandPosterior",
            fit="capscope.fit.demand.study:fit_demand_answers",
            engine="variational",
        ),
    )
}
"""Every kind of fit by its name."""

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model(name="auto", help="held-out answers choose among the item response models"),
        Model(name="rasch", help="one slope for all items"),
        Model(name="2pl", help="a slope for each item"),
        Model(name="3pl", help="and a floor of guessing", several=True),
        Model(name="4pl", help="and a ceiling", several=True),
        Model(name="mirt", help="several abilities (--dims)", several=True),
        Model(name="demand", help="difficulty explained by demands, task and benchmark", kind="demand"),
        Model(name="curves", help="success against demand levels", kind="curves"),
    )
}
"""Every model by its name."""
