"""The family of forecasters: `FORECASTERS` holds each by name, the default first.

To add one, write a module with a `ForecasterEntry` and add one line to `FORECASTERS`.
"""

from capscope.forecast.forecasters.blend import BLEND
from capscope.forecast.forecasters.forecaster import CellForecasts, FittedForecaster, Forecaster, ForecasterEntry
from capscope.forecast.forecasters.hierarchical import HIERARCHICAL, FittedHierarchical, HierarchicalForecaster

FORECASTERS: dict[str, ForecasterEntry] = {
    entry.name: entry
    for entry in (
        HIERARCHICAL,
        BLEND,
    )
}
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
