"""Name of version 0.1 of the comparison of two models, which scripts of its time import."""

from capscope.profiles.comparison.two_models import PairedDifference, paired_difference

__all__ = ["PairedDifference", "paired_difference"]
