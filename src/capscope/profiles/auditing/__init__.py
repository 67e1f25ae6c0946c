"""Item audit: probabilities of wrong keys, copies, odd demand levels, and models whose rows belong to other items."""

from capscope.profiles.auditing.findings import Audit
from capscope.profiles.auditing.study_audit import AuditSettings, audit, audit_study

__all__ = ["Audit", "AuditSettings", "audit", "audit_study"]
