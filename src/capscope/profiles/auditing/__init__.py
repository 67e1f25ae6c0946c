"""Item audit: probabilities of wrong keys, copies, odd demand levels and swapped rows; and tests for leaked items."""

from capscope.profiles.auditing.contamination import Contamination, ContaminationSettings, find_contamination
from capscope.profiles.auditing.findings import Audit
from capscope.profiles.auditing.study_audit import AuditSettings, audit, audit_study

__all__ = [
    "Audit",
    "AuditSettings",
    "Contamination",
    "ContaminationSettings",
    "audit",
    "audit_study",
    "find_contamination",
]
