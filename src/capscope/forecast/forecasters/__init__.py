"""The family of forecasters: `FORECASTERS` holds each by name, the default first.

To add one, write a module with a `ForecasterEntry` and add one line to `FAMILY`.
"""

from capscope.forecast.forecasters.forecaster import CellForecasts, FittedForecaster, Forecaster, ForecasterEntry
from capscope.forecast.forecasters.hierarchical import FittedHierarchical, HierarchicalForecaster
from capscope.members import family

FAMILY = (
    "hierarchical:HIERARCHICAL",
    "blend:BLEND",
    "scaling:OBSERVATIONAL",
    "scaling:SLOTH",
    "scaling:LADDER",
)
"""The members, as ``module:entry``, the default first."""

FORECASTERS: dict[str, ForecasterEntry] = family(__name__, FAMILY, ForecasterEntry)
"""The forecasters by name; the first is the default."""

__all__ = [
    "FORECASTERS",
    "CellForecasts",
    "FittedForecaster",
    "FittedHierarchical",
    "Forecaster",
    "ForecasterEntry",
    "HierarchicalForecaster",
]
