"""Posterior and demands to a model's ability profile and a benchmark's demand profile, with intervals."""

from capscope.profiles.ability import AbilityProfiles, ability_profiles, ability_table, general_factor_share
from capscope.profiles.demand import DemandProfile, demand_profile, of_benchmark

__all__ = [
    "AbilityProfiles",
    "DemandProfile",
    "ability_profiles",
    "ability_table",
    "demand_profile",
    "general_factor_share",
    "of_benchmark",
]
