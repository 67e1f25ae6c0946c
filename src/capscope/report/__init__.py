"""Results to a plain dict, to figures, to one self-contained HTML page."""

from capscope.report.demo import DemoResult, run_demo
from capscope.report.figures import (
    ability_intervals,
    benchmark_heatmap,
    curve_grid,
    curve_panel,
    demand_heatmap,
    difference_intervals,
    item_map,
    overall_intervals,
    reliability_plot,
    score_intervals,
)
from capscope.report.jobs import PageSettings, fit_summary, report_fit
from capscope.report.page import render, write_report
from capscope.report.plain import Summary
from capscope.report.provenance import Provenance, provenance_of
from capscope.report.radar import radar, radar_grid
from capscope.report.style import to_svg
from capscope.report.summary import summarize
from capscope.report.summary_irt import summarize_irt
from capscope.report.summary_study import with_study
from capscope.report.viewing import view_fit

__all__ = [
    "DemoResult",
    "PageSettings",
    "Provenance",
    "Summary",
    "ability_intervals",
    "benchmark_heatmap",
    "curve_grid",
    "curve_panel",
    "demand_heatmap",
    "difference_intervals",
    "fit_summary",
    "item_map",
    "overall_intervals",
    "provenance_of",
    "radar",
    "radar_grid",
    "render",
    "reliability_plot",
    "report_fit",
    "run_demo",
    "score_intervals",
    "summarize",
    "summarize_irt",
    "to_svg",
    "view_fit",
    "with_study",
    "write_report",
]
