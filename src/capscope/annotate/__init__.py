"""Item text and rubric to demand levels with their uncertainty: annotators, fusion, agreement."""

from capscope.annotate.annotator import (
    Annotation,
    Annotator,
    AnnotatorEntry,
    AnnotatorSettings,
    Progress,
    Report,
    Selection,
)
from capscope.annotate.annotators import ANNOTATORS, parse_annotator, usages
from capscope.annotate.annotators.batch import BatchAnnotator, CollectedReport, Submitted
from capscope.annotate.annotators.chat import AnnotationReport, ChatAnnotator, Flag, find_injections
from capscope.annotate.annotators.local import LocalAnnotator, LocalReport, choose_items, distilled, study_features
from capscope.annotate.failure_results import FailureReport, Failures
from capscope.annotate.failures import FailureAnnotator, as_transcripts, failure_annotator, find_failures
from capscope.annotate.fusion import AnnotatorTraits, Fusion, fuse
from capscope.annotate.labels import add_labels
from capscope.annotate.local_validation import CrossValidation, cross_validate
from capscope.annotate.parsing import Parsed, parse_joint_reply, parse_reply
from capscope.annotate.planning import AnnotationPlan
from capscope.annotate.questions import RatingJob, make_job
from capscope.annotate.rater_agreement import Agreement, AnnotatorAgreement, RubricAgreement, agreement
from capscope.annotate.rubrics import (
    Finding,
    Rubric,
    RubricLevel,
    RubricSet,
    check_rubrics,
    general_rubrics,
    known_rubrics,
    load_rubrics,
    parse_rubric,
    shipped_sets,
)
from capscope.annotate.running import (
    LEDGER_NAME,
    AnnotationRun,
    annotate,
    as_rubrics,
    open_items,
    refuse_no_reference,
    settings_of,
    start_study,
)
from capscope.members import make_callable

__all__ = [
    "ANNOTATORS",
    "LEDGER_NAME",
    "Agreement",
    "Annotation",
    "AnnotationPlan",
    "AnnotationReport",
    "AnnotationRun",
    "Annotator",
    "AnnotatorAgreement",
    "AnnotatorEntry",
    "AnnotatorSettings",
    "AnnotatorTraits",
    "BatchAnnotator",
    "ChatAnnotator",
    "CollectedReport",
    "CrossValidation",
    "FailureAnnotator",
    "FailureReport",
    "Failures",
    "Finding",
    "Flag",
    "Fusion",
    "LocalAnnotator",
    "LocalReport",
    "Parsed",
    "Progress",
    "RatingJob",
    "Report",
    "Rubric",
    "RubricAgreement",
    "RubricLevel",
    "RubricSet",
    "Selection",
    "Submitted",
    "add_labels",
    "agreement",
    "annotate",
    "as_rubrics",
    "as_transcripts",
    "check_rubrics",
    "choose_items",
    "cross_validate",
    "distilled",
    "failure_annotator",
    "find_failures",
    "find_injections",
    "fuse",
    "general_rubrics",
    "known_rubrics",
    "load_rubrics",
    "make_job",
    "refuse_no_reference",
    "open_items",
    "parse_annotator",
    "parse_joint_reply",
    "parse_reply",
    "parse_rubric",
    "settings_of",
    "shipped_sets",
    "start_study",
    "study_features",
    "usages",
]

make_callable(__name__, "capscope.annotate.running:annotate")
