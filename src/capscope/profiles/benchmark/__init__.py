"""What a benchmark demands, what of its claims it measures, and what makes its items difficult."""

from capscope.profiles.benchmark.difficulty_decomposition import (
    Difficulties,
    DifficultyShares,
    HeldOutShares,
    difficulties,
    difficulty_shares,
    held_out_shares,
    text_features,
)
from capscope.profiles.benchmark.explanation import (
    ClaimCheck,
    DemandProfile,
    ExplainSettings,
    Explanation,
    ResponseExplanation,
    check_claims,
    demand_profile,
    explain,
)
from capscope.profiles.benchmark.model_spread import Separation, separation
from capscope.profiles.benchmark.report import (
    BenchmarkReport,
    explain_benchmark,
    explanation_dict,
    explanation_text,
)
from capscope.profiles.benchmark.structure import DemandContrast, DemandStructure, demand_contrast, demand_structure

__all__ = [
    "BenchmarkReport",
    "ClaimCheck",
    "DemandContrast",
    "DemandProfile",
    "DemandStructure",
    "Difficulties",
    "DifficultyShares",
    "ExplainSettings",
    "Explanation",
    "HeldOutShares",
    "ResponseExplanation",
    "Separation",
    "check_claims",
    "demand_contrast",
    "demand_profile",
    "demand_structure",
    "difficulties",
    "difficulty_shares",
    "explain",
    "explain_benchmark",
    "explanation_dict",
    "explanation_text",
    "held_out_shares",
    "separation",
    "text_features",
]
