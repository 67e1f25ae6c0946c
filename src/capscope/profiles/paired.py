"""Module of version 0.1 with the comparison of two models, kept for scripts that import it."""

from capscope.profiles.comparison.two_models import PairedDifference, paired_difference

__all__ = ["PairedDifference", "paired_difference"]
