"""Posterior and demands to a model's ability profile and a benchmark's demand profile, with intervals."""

from capscope.profiles.ability import (
    AbilityProfiles,
    ability_profiles,
    ability_table,
    demand_effects,
    general_factor_share,
)
from capscope.profiles.audit import Audit, AuditSettings, audit_study
from capscope.profiles.benchmark_report import BenchmarkReport, explain_benchmark, refuse_table_file, write_table
from capscope.profiles.claims import ClaimCheck, check_claims
from capscope.profiles.compare import Comparison, compare_models
from capscope.profiles.compare_source import Compared, compare_source
from capscope.profiles.demand import DemandProfile, demand_profile, of_benchmark
from capscope.profiles.demand_structure import DemandContrast, DemandStructure, demand_contrast, demand_structure
from capscope.profiles.difficulty import Difficulties, DifficultyShares, difficulties, difficulty_shares
from capscope.profiles.explanation import ExplainSettings, Explanation, ResponseExplanation, explain
from capscope.profiles.explanation_text import explanation_dict, explanation_text
from capscope.profiles.judgements import JudgedModels, bradley_terry
from capscope.profiles.paired import PairedDifference, paired_difference
from capscope.profiles.separation import Separation, separation
from capscope.profiles.suite import SuiteAggregates, suite_aggregates
from capscope.profiles.text_share import HeldOutShares, held_out_shares, text_features

__all__ = [
    "AbilityProfiles",
    "Audit",
    "AuditSettings",
    "BenchmarkReport",
    "ClaimCheck",
    "Compared",
    "Comparison",
    "DemandContrast",
    "demand_effects",
    "DemandProfile",
    "DemandStructure",
    "Difficulties",
    "DifficultyShares",
    "ExplainSettings",
    "Explanation",
    "HeldOutShares",
    "JudgedModels",
    "PairedDifference",
    "ResponseExplanation",
    "Separation",
    "SuiteAggregates",
    "ability_profiles",
    "ability_table",
    "audit_study",
    "bradley_terry",
    "check_claims",
    "compare_models",
    "compare_source",
    "demand_contrast",
    "demand_profile",
    "demand_structure",
    "difficulties",
    "difficulty_shares",
    "explain",
    "explain_benchmark",
    "explanation_dict",
    "explanation_text",
    "general_factor_share",
    "held_out_shares",
    "of_benchmark",
    "paired_difference",
    "refuse_table_file",
    "separation",
    "suite_aggregates",
    "text_features",
    "write_table",
]
