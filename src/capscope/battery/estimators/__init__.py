"""The family of score estimators: from a battery's answers to the score on the whole pool.

To add one, write a module and add its line to `ESTIMATORS`.
"""

from capscope.battery.estimators.blend import BLEND
from capscope.battery.estimators.curves import AIPW, GPIRT, PIRT
from capscope.battery.estimators.estimator import Estimate, Estimator, Sample
from capscope.battery.estimators.mean import MEAN
from capscope.battery.estimators.regression import RSL

ESTIMATORS: dict[str, Estimator] = {
    "mean": MEAN,
    "pirt": PIRT,
    "gpirt": GPIRT,
    "rsl": RSL,
    "aipw": AIPW,
    "blend": BLEND,
}
"""Estimators by name."""
DEFAULT = "blend"
"""The estimator used where none is named."""
WITHOUT_BANK = "mean"
"""The estimator used where there are no past models."""

__all__ = ["DEFAULT", "ESTIMATORS", "WITHOUT_BANK", "Estimate", "Estimator", "Sample"]
