"""What to fit to a study: everything that is needed to fit it again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from capscope.errors import FitError, nearest
from capscope.fit.engines import ENGINES
from capscope.fit.irt.score_models import SCORE_MODELS
from capscope.fit.kinds import KINDS, MODELS

DEVICES = {"auto": "a GPU where there is one", "cpu": "the processor", "cuda": "a GPU"}
CHANCES = {
    "auto": "held-out answers decide (model auto), or they centre the prior of estimated floors (3pl, 4pl)",
    "use": "they are the items' floors",
    "ignore": "nobody guesses",
}
FORMS = {"auto": "held-out answers choose", "signed": "slopes of either sign", "positive": "positive slopes"}

ENGINE_AUTO = "auto"


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
        if not self.memory_mb > 0:
            raise FitError(f"memory of {self.memory_mb:g} MB is too little; use a positive number")
        able = MODELS[self.model].engines
        if self.engine not in (ENGINE_AUTO, *able):
            raise FitError(
                f"engine '{self.engine}' cannot fit {self.model}; use {ENGINE_AUTO} or one of {', '.join(able)}"
            )
        self._refuse_response(able)

    def _refuse_response(self, able: tuple[str, ...]) -> None:
        fitting = [
            name
            for name in able
            if self.response in ENGINES[name].responses or name in SCORE_MODELS[self.response].engines
        ]
        if self.engine_name not in fitting:
            raise FitError(
                f"engine '{self.engine_name}' cannot fit {self.response} scores;"
                f" use {ENGINE_AUTO} or one of {', '.join(fitting)}"
            )

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
        return cls(**{field.name: stored[field.name] for field in fields(cls) if field.name in stored})
