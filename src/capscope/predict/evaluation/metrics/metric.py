"""The interface of evaluation metrics: a function of out-of-fold predictions, with its name and direction."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from capscope.predict.outcomes import Outcomes

UNDEFINED = float("nan")
"""Value of a metric that the data do not determine, such as the AUROC of a model without failures."""
Better = Literal["lower", "higher", "closer to 0", "closer to 1", "closer to its level", "for reference"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A member of the family of metrics."""

    name: str
    """Key in JSON and column of tables."""
    help: str
    """One line for help texts and tables."""
    better: Better
    """Which values are good."""
    of: Callable[[Outcomes], float]
    """Computes the metric from answers; every answer counts as often as it has trials."""
    over: Literal["one model", "all models"] = "one model"
    """`one model`: computed from each model's answers, then averaged; `all models`: computed from all answers."""
