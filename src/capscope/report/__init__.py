"""Reports: results as plain values, as figures, and as one self-contained HTML page."""

from capscope.members import make_callable
from capscope.report.card import card_schema, measurement_card, write_card
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
from capscope.report.fit_page import (
    DemoResult,
    PageSettings,
    fit_summary,
    open_page,
    report,
    report_fit,
    run_demo,
    view_fit,
)
from capscope.report.page import Picture, plot_fit, render, summarize, write_page
from capscope.report.plain_values import Provenance, Summary, provenance_of
from capscope.report.radars import radar, radar_grid
from capscope.report.section import ItemPart, PageSource, Section
from capscope.report.sections import SECTIONS
from capscope.report.style import to_svg

__all__ = [
    "SECTIONS",
    "DemoResult",
    "ItemPart",
    "PageSettings",
    "PageSource",
    "Picture",
    "Provenance",
    "Section",
    "Summary",
    "ability_intervals",
    "benchmark_heatmap",
    "card_schema",
    "curve_grid",
    "curve_panel",
    "demand_heatmap",
    "difference_intervals",
    "fit_summary",
    "item_map",
    "measurement_card",
    "open_page",
    "overall_intervals",
    "plot_fit",
    "provenance_of",
    "radar",
    "radar_grid",
    "render",
    "reliability_plot",
    "report",
    "report_fit",
    "run_demo",
    "score_intervals",
    "summarize",
    "to_svg",
    "view_fit",
    "write_card",
    "write_page",
]

make_callable(__name__, "capscope.report.fit_page:report")
