"""The family of score estimators: from a battery's answers to the score on the whole pool.

To add one, write a module with an `Estimator` and add one line to `FAMILY`.
"""

from capscope.battery.estimators.estimator import Estimate, Estimator, Sample
from capscope.members import family

FAMILY = (
    "mean:MEAN",
    "curves:PIRT",
    "curves:GPIRT",
    "regression:RSL",
    "curves:AIPW",
    "blend:BLEND",
)
"""The members, as ``module:entry``, in the order in which they are listed."""

ESTIMATORS: dict[str, Estimator] = family(__name__, FAMILY, Estimator)
"""Estimators by name."""
DEFAULT = "blend"
"""The estimator used where none is named."""
WITHOUT_BANK = "mean"
"""The estimator used where there are no past models."""

__all__ = ["DEFAULT", "ESTIMATORS", "WITHOUT_BANK", "Estimate", "Estimator", "Sample"]
