"""Decisions from evaluations: may a new version of a model replace the one in use?"""

from capscope.decide.gate_evaluation import GateEvaluation, GateEvaluationSettings, evaluate_gate
from capscope.decide.release_gate import GateResult, GateSettings, gate, plan_gate
from capscope.decide.verdict_files import gate_junit, gate_markdown, gate_text

__all__ = [
    "GateEvaluation",
    "GateEvaluationSettings",
    "GateResult",
    "GateSettings",
    "evaluate_gate",
    "gate",
    "gate_junit",
    "gate_markdown",
    "gate_text",
    "plan_gate",
]
