"""Item text and rubric to demand levels with their uncertainty: annotators, fusion, agreement."""

from capscope.annotate.agreement import Agreement, AnnotatorAgreement, RubricAgreement, agreement
from capscope.annotate.annotator import LEDGER_NAME, Annotation, AnnotationOutcome, AnnotationReport
from capscope.annotate.batches import Submitted, batch_status, collect_batches, submit_batches
from capscope.annotate.cells import Job, make_job
from capscope.annotate.choices import parse_annotator, rubrics_for
from capscope.annotate.distil import choose_items
from capscope.annotate.fusion import AnnotatorTraits, Fusion, fuse
from capscope.annotate.injection import Flag, find_injections
from capscope.annotate.local import (
    CrossValidation,
    LocalReport,
    annotate_locally,
    cross_validate,
    distilled_job,
    study_features,
    write_labels,
)
from capscope.annotate.parsing import Parsed, parse_joint_reply, parse_reply
from capscope.annotate.planning import Plan
from capscope.annotate.rubric_check import Finding, check_rubrics
from capscope.annotate.rubrics import Rubric, RubricLevel, RubricSet, general_rubrics, load_rubrics, parse_rubric

__all__ = [
    "LEDGER_NAME",
    "Agreement",
    "Annotation",
    "AnnotationOutcome",
    "AnnotationReport",
    "AnnotatorAgreement",
    "AnnotatorTraits",
    "CrossValidation",
    "Finding",
    "Flag",
    "Fusion",
    "Job",
    "LocalReport",
    "Parsed",
    "Plan",
    "Rubric",
    "RubricAgreement",
    "RubricLevel",
    "RubricSet",
    "Submitted",
    "agreement",
    "annotate_locally",
    "batch_status",
    "check_rubrics",
    "choose_items",
    "collect_batches",
    "cross_validate",
    "distilled_job",
    "find_injections",
    "fuse",
    "general_rubrics",
    "load_rubrics",
    "make_job",
    "parse_annotator",
    "parse_joint_reply",
    "parse_reply",
    "parse_rubric",
    "rubrics_for",
    "study_features",
    "submit_batches",
    "write_labels",
]
