"""Odd items, and models whose rows are out of step: found by probability, with a known rate of false discoveries."""

from capscope.profiles.audit.findings import Audit
from capscope.profiles.audit.study_audit import AuditSettings, audit_study

__all__ = ["Audit", "AuditSettings", "audit_study"]
