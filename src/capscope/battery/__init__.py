"""Batteries: choose few items, run them adaptively, and estimate scores and abilities without bias.

Three families can be extended: item selectors (`SELECTORS`), score estimators (`ESTIMATORS`) and graders (`GRADERS`).
"""

from capscope.battery.adaptive.adaptive_battery import AdaptiveBattery, AdaptiveSettings, HeldItem
from capscope.battery.adaptive.answering import Answerer, EndpointAnswerer
from capscope.battery.adaptive.planning import LEDGER_NAME, RunPlan, RunSettings, plan_battery, plan_questions
from capscope.battery.adaptive.questions import KINDS, BatteryQuestion, battery_questions
from capscope.battery.adaptive.running import (
    BatteryRun,
    ability_table,
    begin_run,
    replayed,
    run_adaptively,
    run_battery,
    run_status,
    score_table,
)
from capscope.battery.banks.ability import Abilities, Curves, ItemPool, ability_posterior
from capscope.battery.banks.bank import Bank
from capscope.battery.banks.sources import (
    is_bank,
    load_answers,
    load_bank,
    load_costs,
    load_source,
    read_harness_names,
    with_item_ids,
)
from capscope.battery.estimators import DEFAULT, ESTIMATORS, Estimate, Estimator, Sample
from capscope.battery.evaluation import (
    ADAPTIVE,
    BatteryEvaluation,
    BatteryTrial,
    EstimatorFigures,
    evaluate_battery,
    past_bank,
)
from capscope.battery.graders import GRADERS, AnswerKey, Graded, Grader, grade_reply
from capscope.battery.harness import (
    HARNESSES,
    HarnessRun,
    harness_run,
    refuse_harness_outputs,
    save_samples,
    save_task_group,
)
from capscope.battery.model_splits import SPLITS
from capscope.battery.prompts.accuracy import PromptScores, PromptSettings, prompt_scores
from capscope.battery.scoring import BatteryScores, score_battery
from capscope.battery.selection import (
    Battery,
    BatteryDesign,
    form_paths,
    save_forms,
    select_battery,
    select_forms,
    size_for_width,
)
from capscope.battery.selectors import SELECTORS, Candidates, ItemWeights, Selector

__all__ = [
    "HeldItem",
    "ability_table",
    "begin_run",
    "run_status",
    "score_table",
    "LEDGER_NAME",
    "plan_battery",
    "plan_questions",
    "RunPlan",
    "grade_reply",
    "Grader",
    "AnswerKey",
    "GRADERS",
    "ADAPTIVE",
    "Abilities",
    "AdaptiveBattery",
    "AdaptiveSettings",
    "Answerer",
    "Bank",
    "Battery",
    "BatteryEvaluation",
    "BatteryQuestion",
    "BatteryRun",
    "BatteryScores",
    "BatteryTrial",
    "Candidates",
    "Curves",
    "DEFAULT",
    "BatteryDesign",
    "ESTIMATORS",
    "EndpointAnswerer",
    "Estimate",
    "Estimator",
    "EstimatorFigures",
    "Graded",
    "HARNESSES",
    "HarnessRun",
    "ItemWeights",
    "KINDS",
    "ItemPool",
    "PromptScores",
    "PromptSettings",
    "RunSettings",
    "SELECTORS",
    "SPLITS",
    "Sample",
    "Selector",
    "ability_posterior",
    "battery_questions",
    "evaluate_battery",
    "form_paths",
    "harness_run",
    "is_bank",
    "load_answers",
    "load_bank",
    "load_costs",
    "load_source",
    "past_bank",
    "prompt_scores",
    "read_harness_names",
    "refuse_harness_outputs",
    "replayed",
    "run_adaptively",
    "run_battery",
    "save_forms",
    "save_samples",
    "save_task_group",
    "score_battery",
    "select_battery",
    "select_forms",
    "size_for_width",
    "with_item_ids",
]
