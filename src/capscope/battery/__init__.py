"""Choose few items, run them, estimate scores without bias."""

from capscope.battery.ability import Abilities, Curves, ability_posterior
from capscope.battery.adaptive import AdaptiveBattery, AdaptiveSettings
from capscope.battery.bank import Bank
from capscope.battery.bank_building import BankSettings, build_bank
from capscope.battery.bank_growth import add_to_bank
from capscope.battery.bank_storage import load_bank, read_names, save_bank
from capscope.battery.estimators import DEFAULT, ESTIMATORS, Estimate, Estimator, Sample
from capscope.battery.evaluation import BatteryEvaluation, BatteryTrial, Figures, evaluate_battery
from capscope.battery.harness import HarnessRun, harness_run
from capscope.battery.pool import Pool
from capscope.battery.scoring import BankScores, BatteryScores, score_battery, score_with_bank
from capscope.battery.selection import METHODS, Battery, Design, select_battery, select_forms
from capscope.battery.sources import is_bank, load_answers, load_costs, load_source
from capscope.battery.storage import load_battery, save_battery, save_forms, save_samples

__all__ = [
    "Abilities",
    "AdaptiveBattery",
    "AdaptiveSettings",
    "Bank",
    "BankScores",
    "BankSettings",
    "Battery",
    "BatteryEvaluation",
    "BatteryScores",
    "BatteryTrial",
    "Curves",
    "DEFAULT",
    "Design",
    "ESTIMATORS",
    "Estimate",
    "Estimator",
    "Figures",
    "HarnessRun",
    "METHODS",
    "Pool",
    "Sample",
    "ability_posterior",
    "add_to_bank",
    "build_bank",
    "evaluate_battery",
    "harness_run",
    "is_bank",
    "load_answers",
    "load_bank",
    "load_battery",
    "load_costs",
    "load_source",
    "read_names",
    "save_bank",
    "save_battery",
    "save_forms",
    "save_samples",
    "score_battery",
    "score_with_bank",
    "select_battery",
    "select_forms",
]
