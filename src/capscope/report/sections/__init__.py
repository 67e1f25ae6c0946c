"""The family of page sections.

To add one, write a module with a `Section` and add one line to `FAMILY`.
"""

from capscope.members import family
from capscope.report.section import Section

FAMILY = (
    "best:SECTION",
    "curve_answer:SECTION",
    "answer:SECTION",
    "agents:SECTION",
    "profiles:SECTION",
    "focus:SECTION",
    "curves:SECTION",
    "abilities:SECTION",
    "demand_effects:SECTION",
    "versus:SECTION",
    "items:SECTION",
    "demands:SECTION",
    "chances:SECTION",
    "calibration:SECTION",
    "benchmarks:SECTION",
    "audit:SECTION",
)
"""The members, as ``module:entry``, in the order of the page."""

SECTIONS: dict[str, Section] = family(__name__, FAMILY, Section)
"""Sections by name."""
