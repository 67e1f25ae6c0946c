"""The family of score models: distributions of scores given log-odds. To add one, write its module and add its entry.

A score model is a class that follows `ScoreModel` (see `score_model`), with `from_scores` and `from_code`.
"""

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ScoreModelEntry:
    """A member of the family of score models."""

    name: str
    """Name that `--response` takes."""
    help: str
    """A few words for help texts and tables."""
    where: str
    """Its class, as ``module:object``."""
    engines: tuple[str, ...] = ("variational",)
    """Engines that can fit it, besides those that list it in `Engine.responses`."""

    def load(self) -> Any:  # noqa: ANN401 - a class of a module that is imported when it is used
        """Import its class."""
        return resolve_name(self.where)


ASYMPTOTES = "asymptotes"
"""Name of the extras of `binary` (floors and ceilings) in stored fits."""
_HERE = "capscope.fit.irt.score_models"
SCORE_MODELS: dict[str, ScoreModelEntry] = {
    member.name: member
    for member in (
        ScoreModelEntry(name="auto", help="right and wrong, or shares of right trials", where=f"{_HERE}.binary:Binary"),
        ScoreModelEntry(name="graded", help="ordered grades (Samejima, 1969)", where=f"{_HERE}.graded:GradedResponse"),
        ScoreModelEntry(name="continuous", help="draws from a Beta density", where=f"{_HERE}.beta:BetaResponse"),
    )
}
"""Every score model by the name that `--response` takes."""
