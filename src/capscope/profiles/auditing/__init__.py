"""Item audit: wrong keys, copies, odd levels, and models whose rows stand against other items, by probability."""

from capscope.profiles.auditing.findings import Audit
from capscope.profiles.auditing.study_audit import AuditSettings, audit, audit_study

__all__ = ["Audit", "AuditSettings", "audit", "audit_study"]
