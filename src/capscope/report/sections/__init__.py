"""The sections that a page can show.

A new section is one module here with a `SECTION`, and one line in `ORDER`; see `capscope.report.section.Section`.
"""

from importlib import import_module

from capscope.report.section import Section

ORDER = (
    "best",
    "curve_answer",
    "answer",
    "agents",
    "profiles",
    "focus",
    "curves",
    "abilities",
    "demand_effects",
    "versus",
    "items",
    "demands",
    "chances",
    "calibration",
    "benchmarks",
    "audit",
)
"""Modules of the sections, in the order of the page."""

SECTIONS: dict[str, Section] = {name: import_module(f"{__name__}.{name}").SECTION for name in ORDER}
"""Every section by its name."""
