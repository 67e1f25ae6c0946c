"""Choose few items, run them, estimate scores without bias."""

from capscope.battery.ability import Abilities, Curves, ability_posterior
from capscope.battery.banks.bank import Bank
from capscope.battery.banks.building import BankSettings, build_bank
from capscope.battery.banks.growth import add_to_bank
from capscope.battery.banks.pool import Pool
from capscope.battery.banks.sources import is_bank, load_answers, load_costs, load_source
from capscope.battery.banks.storage import load_bank, read_names, save_bank
from capscope.battery.design.harness import HarnessRun, harness_run
from capscope.battery.design.selection import METHODS, Battery, Design, select_battery, select_forms
from capscope.battery.estimators import DEFAULT, ESTIMATORS, Estimate, Estimator, Sample
from capscope.battery.evaluation import BatteryEvaluation, BatteryTrial, Figures, evaluate_battery
from capscope.battery.live.adaptive import AdaptiveBattery, AdaptiveSettings
from capscope.battery.live.answering import Answerer, EndpointAnswerer, Graded
from capscope.battery.live.jobs import EndpointRun, run_at_endpoint
from capscope.battery.live.questions import KINDS, BatteryQuestion, battery_questions
from capscope.battery.live.running import BatteryRun, RunSettings, run_battery
from capscope.battery.prompts.accuracy import PromptScores, PromptSettings, prompt_scores
from capscope.battery.scoring import BankScores, BatteryScores, score_battery, score_with_bank
from capscope.battery.storage import load_battery, save_battery, save_forms, save_prompt_items, save_run, save_samples

__all__ = [
    "Abilities",
    "AdaptiveBattery",
    "AdaptiveSettings",
    "Answerer",
    "Bank",
    "BankScores",
    "BankSettings",
    "Battery",
    "BatteryEvaluation",
    "BatteryQuestion",
    "BatteryRun",
    "BatteryScores",
    "BatteryTrial",
    "Curves",
    "DEFAULT",
    "Design",
    "ESTIMATORS",
    "EndpointAnswerer",
    "EndpointRun",
    "Estimate",
    "Estimator",
    "Figures",
    "Graded",
    "HarnessRun",
    "KINDS",
    "METHODS",
    "Pool",
    "PromptScores",
    "PromptSettings",
    "RunSettings",
    "Sample",
    "ability_posterior",
    "add_to_bank",
    "battery_questions",
    "build_bank",
    "evaluate_battery",
    "harness_run",
    "is_bank",
    "load_answers",
    "load_bank",
    "load_battery",
    "load_costs",
    "load_source",
    "prompt_scores",
    "read_names",
    "run_at_endpoint",
    "run_battery",
    "save_bank",
    "save_battery",
    "save_forms",
    "save_prompt_items",
    "save_run",
    "save_samples",
    "score_battery",
    "score_with_bank",
    "select_battery",
    "select_forms",
]
