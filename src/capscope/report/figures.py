"""Figures of a summary, drawn on new or given matplotlib axes, for pages and notebooks."""

from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from capscope.axes import LEVELS
from capscope.report.plain_values import Record
from capscope.report.style import (
    ACCENT,
    CONTRAST,
    INK,
    LABEL_WIDTH,
    MUTED,
    OTHERS,
    STYLE,
    SURFACE,
    blank_axes,
    blank_figure,
    label,
    tidy,
)

WIDTH = 3.9
"""Width of a figure in inches; narrow, so that its text stays legible on a phone."""
FEW_SCALES = 5
"""Most columns of a heat map whose names are horizontal; those of more columns are vertical."""
PANEL = (1.9, 1.5)
"""Size of one small panel in inches."""
OBSERVED = (1, 5)
"""Demand levels between which curves rest on answers."""
DARKEST = 0.6
"""Opacity of the fullest cell of a heat map; numbers on it stay legible."""


@rc_context(STYLE)
def ability_intervals(scales: Sequence[Record], axes: Axes | None = None) -> Axes:
    """Draw one model's abilities with their intervals, strongest on top, and the classical ones as hollow markers.

    Args:
        scales: Entries with name, ability, lower, upper and classical, as in a summary's `focus`.
        axes: Where to draw; by default on axes of its own.

    Returns:
        The axes.
    """
    rows: list[Record] = [{"label": scale["name"], "value": scale["ability"], **_bounds(scale)} for scale in scales]
    axes = _intervals(axes, rows, "Ability, in demand levels")
    hollow = [(row, scale["classical"]) for row, scale in enumerate(scales) if scale["classical"] is not None]
    axes.plot(
        [value for _, value in hollow],
        [row for row, _ in hollow],
        linestyle="none",
        marker="o",
        markersize=6,
        markerfacecolor="none",
        markeredgecolor=CONTRAST,
        markeredgewidth=1.1,
        label="classical",
    )
    return axes


@rc_context(STYLE)
def overall_intervals(
    profiles: Sequence[Record],
    focus: str | None = None,
    axis_label: str = "Overall ability, in demand levels",
    axes: Axes | None = None,
) -> Axes:
    """Draw the models' overall abilities with their intervals, in the order given; `focus` stands out.

    Args:
        profiles: The `profiles` of a summary.
        focus: Model that stands out; none by default.
        axis_label: Name of the horizontal axis.
        axes: Where to draw; by default on axes of its own.

    Returns:
        The axes.
    """
    rows: list[Record] = [{"label": entry["model"], **entry["overall"]} for entry in profiles]
    return _intervals(axes, rows, axis_label, focus)


@rc_context(STYLE)
def score_intervals(
    scores: Sequence[Record],
    focus: str | None = None,
    axis_label: str = "Predicted share of questions right",
    axes: Axes | None = None,
) -> Axes:
    """Draw the models' predicted scores with their intervals, in the order given; `focus` stands out.

    Args:
        scores: Entries with model, score, lower and upper, in shares.
        focus: Model that stands out; none by default.
        axis_label: Name of the horizontal axis.
        axes: Where to draw; by default on axes of its own.

    Returns:
        The axes.
    """
    rows: list[Record] = [{"label": entry["model"], "value": entry["score"], **_bounds(entry)} for entry in scores]
    axes = _intervals(axes, rows, axis_label, focus)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
    return axes


@rc_context(STYLE)
def curve_panel(curve: Record, axes: Axes | None = None) -> Axes:
    """Draw one curve with its band and the observed rates; the scale's name is left to the caption.

    Args:
        curve: An entry as in a summary's `focus`.
        axes: Where to draw; by default on axes of its own.

    Returns:
        The axes.
    """
    axes = axes or blank_axes(*PANEL)
    _curve(axes, curve)
    return axes


@rc_context(STYLE)
def curve_grid(curves: Sequence[Record], columns: int = 6) -> Figure:
    """Draw one model's curves as small panels.

    Args:
        curves: Entries as in a summary's `focus`.
        columns: Number of panels in a row.

    Returns:
        The figure.
    """
    n_rows = -(-len(curves) // columns)
    figure = blank_figure(PANEL[0] * columns, (PANEL[1] + 0.3) * n_rows)
    for position, curve in enumerate(curves):
        axes = figure.add_subplot(n_rows, columns, position + 1)
        _curve(axes, curve)
        axes.set_title(label(curve["name"]), fontsize=8)
    return figure


@rc_context(STYLE)
def demand_heatmap(demands: Record, axes: Axes | None = None) -> Axes:
    """Draw how many questions stand at each level of each scale; bold names are the scales the set is sensitive to.

    Args:
        demands: The `demands` section of a summary.
        axes: Where to draw; by default on axes of its own.

    Returns:
        The axes.
    """
    scales, levels = demands["scales"], demands["levels"]
    axes = axes or blank_axes(WIDTH, 0.6 + 0.29 * len(scales))
    largest = max(max(scale["histogram"]) for scale in scales) or 1
    for row, scale in enumerate(scales):
        for level, count in zip(levels, scale["histogram"], strict=True):
            _cell(axes, level, row, count / largest, f"{count:.0f}" if count else "\u00b7")
    axes.set_xlim(-0.5, len(levels) - 0.5)
    axes.set_ylim(len(scales) - 0.5, -0.5)
    axes.set_xticks(levels, [str(level) for level in levels])
    axes.set_xlabel("Demand level", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_yticks(range(len(scales)), [label(scale["name"]) for scale in scales])
    for tick, scale in zip(axes.get_yticklabels(), scales, strict=True):
        tick.set(color=INK, fontsize=8, fontweight="bold" if scale["sensitive"] else "normal")
    axes.spines[:].set_visible(False)
    return axes


@rc_context(STYLE)
def benchmark_heatmap(benchmarks: Record, axes: Axes | None = None) -> Axes:
    """Draw what each benchmark demands of each scale on average; bold: it is sensitive to this scale.

    Args:
        benchmarks: The `benchmarks` section of a summary.
        axes: Where to draw; by default on axes of its own.

    Returns:
        The axes.
    """
    scales, rows = benchmarks["scales"], benchmarks["benchmarks"]
    upright = len(scales) > FEW_SCALES
    axes = axes or blank_axes(max(1.5 * WIDTH, 2.2 + 0.33 * len(scales)), 0.8 + upright + 0.29 * len(rows))
    for row, entry in enumerate(rows):
        for column, scale in enumerate(entry["scales"]):
            words = "\u2013" if scale is None else f"{scale['mean']:.1f}"
            _cell(axes, column, row, 0.0 if scale is None else scale["mean"] / LEVELS[-1], words)
            axes.texts[-1].set_fontweight("bold" if scale and scale["sensitive"] else "normal")
    axes.set_xlim(-0.5, len(scales) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    names = [label(scale["name"], 2 if upright else 4, LABEL_WIDTH if upright else 12) for scale in scales]
    axes.set_xticks(range(len(scales)), names, rotation=90 if upright else 0)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(rows)), [label(entry["benchmark"]) for entry in rows])
    axes.tick_params(labelsize=8)
    axes.spines[:].set_visible(False)
    return axes


@rc_context(STYLE)
def item_map(bins: Record, models: Sequence[Record], axes: Axes | None = None) -> Axes:
    """Draw how many items stand at each difficulty, and above them the models' abilities on the same scale.

    Args:
        bins: The `map` section of an item response summary.
        models: The models of one entry of its `abilities`.
        axes: Where to draw; by default on axes of its own.

    Returns:
        The axes.
    """
    axes = axes or blank_axes(WIDTH, 2.4)
    edges, items = bins["edges"], bins["items"]
    axes.bar(edges[:-1], items, width=edges[1] - edges[0], align="edge", color=OTHERS, alpha=0.6, linewidth=0)
    top = max(*items, 1)
    for entry in models:
        axes.plot([entry["overall"]["value"]], [1.08 * top], marker="v", markersize=5, color=ACCENT, alpha=0.7)
    axes.set_ylim(0, 1.2 * top)
    axes.set_xlabel("Difficulty of the items (bars), ability of the models (triangles)", fontsize=8)
    axes.set_ylabel("Items", fontsize=8)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.tick_params(labelsize=8)
    tidy(axes, "y")
    return axes


@rc_context(STYLE)
def difference_intervals(
    differences: Sequence[Record],
    axis_label: str = "Difference of abilities, in demand levels",
    axes: Axes | None = None,
) -> Axes:
    """Draw differences (or effects) by scale, with intervals and a line at zero.

    Args:
        differences: Entries with name, difference, lower and upper.
        axis_label: Name of the horizontal axis.
        axes: Where to draw; by default on axes of its own.

    Returns:
        The axes.
    """
    rows: list[Record] = [{"label": entry["name"], "value": entry["value"], **_bounds(entry)} for entry in differences]
    axes = _intervals(axes, rows, axis_label)
    axes.axvline(0, color=CONTRAST, linewidth=1.0, zorder=0)
    return axes


@rc_context(STYLE)
def reliability_plot(bins: Sequence[Record], axes: Axes | None = None) -> Axes:
    """Draw observed shares against predicted chances; on the diagonal both agree. Larger dots hold more answers.

    Args:
        bins: Entries with chance, share and n, by increasing chance.
        axes: Where to draw; by default on axes of its own.

    Returns:
        The axes.
    """
    axes = axes or blank_axes(WIDTH, 0.9 * WIDTH)
    axes.plot([0, 1], [0, 1], color=OTHERS, linewidth=1.0, linestyle=(0, (3, 2)))
    for entry in bins:
        if entry["lower"] is not None:
            axes.plot([entry["predicted"]] * 2, [entry["lower"], entry["upper"]], color=ACCENT, linewidth=1.4)
    axes.scatter(
        [entry["predicted"] for entry in bins],
        [entry["observed"] for entry in bins],
        s=[marker_area(entry["answers"]) for entry in bins],
        color=ACCENT,
        linewidth=0,
        zorder=3,
    )
    for set_limits, set_ticks in ((axes.set_xlim, axes.set_xticks), (axes.set_ylim, axes.set_yticks)):
        set_limits(-0.02, 1.02)
        set_ticks([0, 0.5, 1], ["0%", "50%", "100%"])
    axes.set_xlabel("Predicted chance", fontsize=8)
    axes.set_ylabel("Observed share", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.set_aspect("equal")
    tidy(axes, "y")
    return axes


def _bounds(entry: Record) -> Record:
    return {"lower": entry["lower"], "upper": entry["upper"]}


def _intervals(axes: Axes | None, rows: Sequence[Record], axis_label: str, focus: str | None = None) -> Axes:
    """Draw rows of label, value, lower and upper from top to bottom."""
    axes = axes or blank_axes(WIDTH, 0.6 + 0.26 * len(rows))
    for position, row in enumerate(rows):
        colour = ACCENT if focus is None or row["label"] == focus else OTHERS
        axes.plot([row["lower"], row["upper"]], [position] * 2, color=colour, linewidth=2.6, solid_capstyle="round")
        axes.plot(
            [row["value"]],
            [position],
            linestyle="none",
            marker="o",
            markersize=5.0,
            markerfacecolor=colour,
            markeredgecolor=SURFACE,
            markeredgewidth=0.6,
        )
    axes.set_yticks(range(len(rows)), [label(name) for name in _without_provider([row["label"] for row in rows])])
    for tick, row in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set(color=INK, fontsize=8, fontweight="bold" if row["label"] == focus else "normal")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(axis_label, fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    tidy(axes, "x")
    return axes


def _without_provider(names: Sequence[str]) -> list[str]:
    """Leave out what all names have before a first '/', such as ``openai/``: labels have little room."""
    providers = {name.partition("/")[0] if "/" in name else "" for name in names}
    common = len(names) > 1 and len(providers) == 1 and "" not in providers
    return [name.partition("/")[2] if common else name for name in names]


def _curve(axes: Axes, curve: Record) -> None:
    """Draw band, curve (dashed where no answer reaches), observed rates and the ability on the axis."""
    grid, chance = curve["grid"], curve["p"]
    axes.fill_between(grid, curve["lower"], curve["upper"], color=ACCENT, alpha=0.18, linewidth=0)
    axes.plot(grid, chance, color=ACCENT, linewidth=0.9, linestyle=(0, (3, 2)))
    inside = [point for point, level in enumerate(grid) if OBSERVED[0] <= level <= OBSERVED[1]]
    axes.plot([grid[point] for point in inside], [chance[point] for point in inside], color=ACCENT, linewidth=1.6)
    for point in curve["levels"]:
        axes.plot([point["level"]] * 2, [point["lower"], point["upper"]], color=INK, linewidth=0.8)
    axes.scatter(
        [point["level"] for point in curve["levels"]],
        [point["rate"] for point in curve["levels"]],
        s=[marker_area(point["n"]) for point in curve["levels"]],
        color=INK,
        linewidth=0,
        zorder=3,
    )
    axes.plot([curve["ability"]], [0], marker="^", markersize=5, color=CONTRAST, clip_on=False, zorder=4)
    axes.set_xlim(0, grid[-1])
    axes.set_ylim(-0.02, 1.04)
    axes.set_xticks(range(0, int(grid[-1]) + 1, 2))
    axes.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])
    axes.tick_params(labelsize=8)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="y")


def marker_area(n: float) -> float:
    """Area of an observed rate's marker, in square points: larger with more answers, never lost or in the way."""
    return min(3 + n**0.5, 40.0)


def _cell(axes: Axes, level: int, row: int, share: float, text: str) -> None:
    axes.add_patch(
        Rectangle((level - 0.47, row - 0.44), 0.94, 0.88, facecolor=ACCENT, alpha=DARKEST * share, linewidth=0)
    )
    axes.text(level, row, text, ha="center", va="center", fontsize=8, color=INK if share else MUTED)
