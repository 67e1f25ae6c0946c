"""Item text and rubric to demand levels with their uncertainty: annotators, fusion, agreement."""

from capscope.annotate.agreement import Agreement, AnnotatorAgreement, RubricAgreement, agreement
from capscope.annotate.parsing import Parsed, parse_joint_reply, parse_reply
from capscope.annotate.rubric_check import Finding, check_rubrics
from capscope.annotate.rubrics import Rubric, RubricLevel, RubricSet, general_rubrics, load_rubrics, parse_rubric

__all__ = [
    "Agreement",
    "AnnotatorAgreement",
    "Finding",
    "Parsed",
    "Rubric",
    "RubricAgreement",
    "RubricLevel",
    "RubricSet",
    "agreement",
    "check_rubrics",
    "general_rubrics",
    "load_rubrics",
    "parse_joint_reply",
    "parse_reply",
    "parse_rubric",
]
