"""What to fit: the families of kinds of fit and of models, and the settings that are enough to fit a study again.

A kind of fit says what a posterior is, a model is what `--model` names. To add a kind, write a folder with a posterior
that follows `Posterior` and a function ``(study, responses, settings, progress) -> Outcome``, and add its entry to
`KINDS`; to add a model of a kind, add its entry to `MODELS`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pkgutil import resolve_name
from typing import Any

from capscope.axes import AGENT_FACETS, FACETS
from capscope.errors import FitError, nearest
from capscope.fit.engines import ENGINES
from capscope.fit.irt.score_models import SCORE_MODELS

DEVICES = {"auto": "a GPU where there is one", "cpu": "the processor", "cuda": "a GPU"}
CHANCES = {
    "auto": "held-out answers decide (model auto), or they centre the prior of estimated floors (3pl, 4pl)",
    "use": "they are the items' floors",
    "ignore": "nobody guesses",
}
FORMS = {"auto": "held-out answers choose", "signed": "slopes of either sign", "positive": "positive slopes"}
FACETS_AUTO, FACETS_IGNORE = "auto", "ignore"

ENGINE_AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of fit."""

    name: str
    """Name that stored fits carry."""
    help: str
    """What it is, in a few words."""
    where: str
    """Class of its posterior, as ``module:object``."""
    fit: str
    """Function that fits it to a study, as ``module:object``."""
    engine: str
    """Engine that fits it by default."""

    def load(self) -> Any:  # noqa: ANN401 - a class of a module that is imported when it is used
        """Import the class of its posterior."""
        return resolve_name(self.where)

    def load_fit(self) -> Any:  # noqa: ANN401 - see load
        """Import the function that fits this kind."""
        return resolve_name(self.fit)


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
            fit="capscope.fit.curves.hierarchical:fit_curve_study",
            engine="laplace",
        ),
        Kind(
            name="demand",
            help="difficulty explained by demands, task and benchmark",
            where="capscope.fit.demand.posterior:DemandPosterior",
            fit="capscope.fit.demand.model:fit_demand_answers",
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


@dataclass(frozen=True, kw_only=True)
class StudyFitSettings:
    """What to fit to a study; a `Fit` keeps it, so that it can be fitted again."""

    model: str = "auto"
    """A name in `MODELS`: an item response model, `auto` to let held-out answers choose one, `demand` or `curves`."""
    dims: int = 1
    """Number of abilities of `mirt`, `3pl` and `4pl`."""
    engine: str = ENGINE_AUTO
    """A name in `ENGINES`; `auto` takes the default of the kind of fit."""
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
    """A name in `SCORE_MODELS`: `graded` takes scores as ordered grades, `continuous` as draws from a Beta density
    around the chance of success; `auto` as right and wrong or shares of right trials."""
    form: str = "auto"
    """Slopes of items with one ability: `signed`, `positive`, or `auto` for the one that held-out answers choose."""
    facets: str = FACETS_AUTO
    """Facets that make subjects of one model: names joined by commas, such as ``scaffold,judge``; `auto` for scaffold
    and effort, where a model comes in several; `ignore` pools the answers of each model."""

    def __post_init__(self) -> None:
        """Validate the settings.

        Raises:
            FitError: No such model, engine, device or score model, or an engine that cannot fit the model.
        """
        known = {"model": MODELS, "engine": (ENGINE_AUTO, *ENGINES), "device": DEVICES, "chance": CHANCES}
        for name, choices in (known | {"response": SCORE_MODELS, "form": FORMS}).items():
            value = getattr(self, name)
            if value not in choices:
                raise FitError(f"unknown {name} '{value}'{nearest(value, choices)}; use one of {', '.join(choices)}")
        for facet in self.subject_facets:
            if facet not in FACETS:
                raise FitError(f"unknown facet '{facet}'{nearest(facet, FACETS)}; use {', '.join(FACETS)}, or auto")
        if not self.memory_mb > 0:
            raise FitError(f"memory of {self.memory_mb:g} MB is too little; use a positive number")
        engines = MODELS[self.model].engines
        if self.engine not in (ENGINE_AUTO, *engines):
            raise FitError(
                f"engine '{self.engine}' cannot fit {self.model}; use {ENGINE_AUTO} or one of {', '.join(engines)}"
            )
        self._refuse_response(engines)

    def _refuse_response(self, engines: tuple[str, ...]) -> None:
        fitting = [
            name
            for name in engines
            if self.response in ENGINES[name].responses or name in SCORE_MODELS[self.response].engines
        ]
        if self.engine_name not in fitting:
            raise FitError(
                f"engine '{self.engine_name}' cannot fit {self.response} scores;"
                f" use {ENGINE_AUTO} or one of {', '.join(fitting)}"
            )

    @property
    def subject_facets(self) -> tuple[str, ...]:
        """Facets that make subjects of one model."""
        if self.facets in (FACETS_AUTO, FACETS_IGNORE):
            return AGENT_FACETS if self.facets == FACETS_AUTO else ()
        return tuple(name.strip() for name in self.facets.split(",") if name.strip())

    @property
    def engine_name(self) -> str:
        """Name of the engine that fits, with `auto` resolved."""
        return KINDS[MODELS[self.model].kind].engine if self.engine == ENGINE_AUTO else self.engine

    def as_dict(self) -> dict[str, object]:
        """Return plain values, as the manifest of a fit keeps them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "StudyFitSettings":
        """Read settings back; keys of other versions are left out.

        Raises:
            FitError: A value is not one that this version knows.
        """
        # fits from before facets pooled the answers of each model
        known: dict[str, Any] = {"facets": FACETS_IGNORE, **stored}
        for name in ("dims", "seed"):
            if name in known and type(known[name]) is not int:
                raise FitError(f"{name} '{known[name]}' is no whole number")
        return cls(**{field.name: known[field.name] for field in fields(cls) if field.name in known})
