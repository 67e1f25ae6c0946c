"""From answers to a battery to the score on the whole pool; one protocol, side by side."""

from capscope.battery.estimators.blend import Blend
from capscope.battery.estimators.curves import AIPW, GPIRT, PIRT
from capscope.battery.estimators.estimator import Estimate, Estimator, Sample
from capscope.battery.estimators.mean import Mean
from capscope.battery.estimators.regression import RSL

ESTIMATORS: dict[str, Estimator] = {
    "mean": Mean(),
    "pirt": PIRT(),
    "gpirt": GPIRT(),
    "rsl": RSL(),
    "aipw": AIPW(),
    "blend": Blend(),
}
"""Estimators by name."""
DEFAULT = "blend"
"""The one to use."""

__all__ = ["DEFAULT", "ESTIMATORS", "Estimate", "Estimator", "Sample"]
