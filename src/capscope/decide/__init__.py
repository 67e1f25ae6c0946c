"""Decisions from evaluations: release gates, evaluation plans, judge-corrected scores, routing."""

from capscope.decide.gate_evaluation import GateEvaluation, GateEvaluationSettings, evaluate_gate
from capscope.decide.gate_settings import BenchmarkMargin, GateSettings
from capscope.decide.judge_correction import CorrectedScore, JudgeScores, judge_scores, label_plan
from capscope.decide.judge_estimators import DEFAULT as DEFAULT_JUDGE_ESTIMATOR
from capscope.decide.judge_estimators import JUDGE_ESTIMATORS
from capscope.decide.judge_evaluation import JudgeEvaluation, evaluate_judge
from capscope.decide.judge_labels import LabelSheet, label_sheet
from capscope.decide.judge_moves import JudgeDrift, JudgeMove, ModelMove, judge_drift
from capscope.decide.live_gate import LiveGate, LivePlan, plan_live_gate, run_gate
from capscope.decide.planning.designs import EvaluationPrices
from capscope.decide.planning.evaluation_plan import EvaluationPlan, PlanSettings, plan_evaluation
from capscope.decide.planning.plan_summary import plan_text
from capscope.decide.release_gate import GateResult, draw_chances, gate, plan_gate
from capscope.decide.routing.cost_per_success import SuccessCosts, success_costs
from capscope.decide.routing.evidence import RouteSettings
from capscope.decide.routing.prices import ModelPrices
from capscope.decide.routing.route_evaluation import RouteEvaluation, RouterScore, evaluate_route
from capscope.decide.routing.routes import Routes, route
from capscope.decide.verdict_files import gate_junit, gate_markdown, gate_text

__all__ = [
    "DEFAULT_JUDGE_ESTIMATOR",
    "JUDGE_ESTIMATORS",
    "BenchmarkMargin",
    "CorrectedScore",
    "EvaluationPlan",
    "GateEvaluation",
    "GateEvaluationSettings",
    "GateResult",
    "GateSettings",
    "JudgeDrift",
    "JudgeEvaluation",
    "JudgeMove",
    "JudgeScores",
    "LabelSheet",
    "LiveGate",
    "LivePlan",
    "ModelMove",
    "PlanSettings",
    "ModelPrices",
    "RouteEvaluation",
    "RouteSettings",
    "RouterScore",
    "Routes",
    "SuccessCosts",
    "EvaluationPrices",
    "draw_chances",
    "evaluate_gate",
    "evaluate_route",
    "evaluate_judge",
    "gate",
    "gate_junit",
    "gate_markdown",
    "gate_text",
    "judge_drift",
    "judge_scores",
    "label_plan",
    "label_sheet",
    "plan_evaluation",
    "plan_gate",
    "plan_live_gate",
    "run_gate",
    "plan_text",
    "route",
    "success_costs",
]
