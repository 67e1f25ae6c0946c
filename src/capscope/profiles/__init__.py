"""Posterior and demands to a model's ability profile and a benchmark's demand profile, with intervals."""

from capscope.profiles.ability import AbilityProfiles, ability_profiles, ability_table, general_factor_share
from capscope.profiles.claims import ClaimCheck, check_claims
from capscope.profiles.demand import DemandProfile, demand_profile, of_benchmark
from capscope.profiles.demand_structure import DemandContrast, DemandStructure, demand_contrast, demand_structure
from capscope.profiles.difficulty import Difficulties, DifficultyShares, difficulties, difficulty_shares
from capscope.profiles.explanation import ExplainSettings, Explanation, ResponseExplanation, explain
from capscope.profiles.explanation_text import explanation_dict, explanation_text
from capscope.profiles.separation import Separation, separation
from capscope.profiles.text_share import HeldOutShares, held_out_shares, text_features

__all__ = [
    "AbilityProfiles",
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
    "ability_profiles",
    "ability_table",
    "check_claims",
    "demand_contrast",
    "demand_profile",
    "demand_structure",
    "difficulties",
    "difficulty_shares",
    "explain",
    "explanation_dict",
    "explanation_text",
    "general_factor_share",
    "held_out_shares",
    "of_benchmark",
    "separation",
    "text_features",
]
