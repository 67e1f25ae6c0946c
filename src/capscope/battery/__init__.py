"""Choose few items, run them, estimate scores without bias."""

from capscope.battery.bank import Bank
from capscope.battery.bank_building import BankSettings, build_bank
from capscope.battery.bank_storage import load_bank, read_names, save_bank
from capscope.battery.estimators import DEFAULT, ESTIMATORS, Estimate, Estimator, Sample
from capscope.battery.evaluation import BatteryEvaluation, BatteryTrial, Figures, evaluate_battery
from capscope.battery.pool import Pool
from capscope.battery.scoring import BatteryScores, score_battery
from capscope.battery.selection import METHODS, Battery, select_battery
from capscope.battery.storage import load_battery, save_battery

__all__ = [
    "Bank",
    "BankSettings",
    "Battery",
    "BatteryEvaluation",
    "BatteryScores",
    "BatteryTrial",
    "DEFAULT",
    "ESTIMATORS",
    "Estimate",
    "Estimator",
    "Figures",
    "METHODS",
    "Pool",
    "Sample",
    "build_bank",
    "evaluate_battery",
    "load_bank",
    "load_battery",
    "read_names",
    "save_bank",
    "save_battery",
    "score_battery",
    "select_battery",
]
