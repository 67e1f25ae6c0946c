"""Choose few items, run them, estimate scores without bias."""

from capscope.battery.answering import Answerer, EndpointAnswerer, Graded
from capscope.battery.bank import Bank
from capscope.battery.bank_building import BankSettings, build_bank
from capscope.battery.bank_storage import load_bank, read_names, save_bank
from capscope.battery.estimators import DEFAULT, ESTIMATORS, Estimate, Estimator, Sample
from capscope.battery.evaluation import BatteryEvaluation, BatteryTrial, Figures, evaluate_battery
from capscope.battery.jobs import EndpointRun, run_at_endpoint
from capscope.battery.pool import Pool
from capscope.battery.questions import KINDS, BatteryQuestion, battery_questions
from capscope.battery.running import BatteryRun, RunSettings, run_battery
from capscope.battery.scoring import BatteryScores, score_battery
from capscope.battery.selection import METHODS, Battery, select_battery
from capscope.battery.storage import load_battery, save_battery, save_run

__all__ = [
    "Answerer",
    "Bank",
    "BankSettings",
    "Battery",
    "BatteryEvaluation",
    "BatteryQuestion",
    "BatteryRun",
    "BatteryScores",
    "BatteryTrial",
    "DEFAULT",
    "ESTIMATORS",
    "EndpointAnswerer",
    "EndpointRun",
    "Estimate",
    "Estimator",
    "Figures",
    "Graded",
    "KINDS",
    "METHODS",
    "Pool",
    "RunSettings",
    "Sample",
    "battery_questions",
    "build_bank",
    "evaluate_battery",
    "load_bank",
    "load_battery",
    "read_names",
    "run_at_endpoint",
    "run_battery",
    "save_bank",
    "save_battery",
    "save_run",
    "score_battery",
    "select_battery",
]
