"""Two models item by item, all models of a suite, and models judged in pairs."""

from capscope.profiles.comparison.leaderboard import SuiteAggregates, suite_aggregates
from capscope.profiles.comparison.paired_judgements import JudgedModels, bradley_terry
from capscope.profiles.comparison.sources import Compared, compare
from capscope.profiles.comparison.two_models import Comparison, compare_models
from capscope.profiles.paired import PairedDifference, paired_difference

__all__ = [
    "Compared",
    "Comparison",
    "JudgedModels",
    "PairedDifference",
    "SuiteAggregates",
    "bradley_terry",
    "compare_models",
    "compare",
    "paired_difference",
    "suite_aggregates",
]
