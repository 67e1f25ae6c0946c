"""Radar drawings of ability profiles: one model against the others, or all models side by side."""

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes

from capscope.axes import FloatArray
from capscope.report.plain_values import Record
from capscope.report.style import ACCENT, INK, MUTED, OTHERS, STYLE, label

SIZE = 3.9
"""Width of a single radar in inches."""
PANEL = 1.9
"""Width of one of many radars in inches."""

MOST_LINES = 24
"""More other models than this are drawn as a band."""


@rc_context(STYLE)
def radar(profiles: Sequence[Record], chosen: str, size: float = SIZE, axes: PolarAxes | None = None) -> PolarAxes:
    """Draw one model's profile with its interval band; the other models stand behind it in grey.

    Args:
        profiles: The `profiles` of a summary, all models.
        chosen: The model to draw.
        size: Width and height in inches; below 3 the rings carry no numbers.
        axes: Polar axes to draw on; by default axes of its own.

    Returns:
        The axes.
    """
    axes = axes or _polar_axes(size)
    _radar(axes, profiles, chosen, size >= 3)
    return axes


@rc_context(STYLE)
def radar_grid(profiles: Sequence[Record], chosen: Sequence[str] | None = None, columns: int = 5) -> Figure:
    """Draw several models' profiles as small radars, all on the same rings.

    Args:
        profiles: The `profiles` of a summary, all models.
        chosen: The models to draw; by default all.
        columns: Number of radars in a row.

    Returns:
        The figure.
    """
    models = [entry["model"] for entry in profiles] if chosen is None else list(chosen)
    n_rows = -(-len(models) // columns)
    figure = Figure(figsize=(PANEL * columns, (PANEL + 0.3) * n_rows), layout="constrained")
    for position, model in enumerate(models):
        axes = cast(PolarAxes, figure.add_subplot(n_rows, columns, position + 1, projection="polar"))
        _radar(axes, profiles, model, with_numbers=False)
        axes.set_title(label(model), fontsize=9, pad=14)
    return figure


def outer_edge(profiles: Sequence[Record]) -> float:
    """Demand level at the edge of a radar: a little above every upper bound, and at least 2."""
    return max(1.02 * max(scale["upper"] for entry in profiles for scale in entry["scales"]), 2.0)


def _polar_axes(size: float) -> PolarAxes:
    margin = 0.11 if size < 3 else 0.08
    figure = Figure(figsize=(size, size))
    return cast(PolarAxes, figure.add_axes((margin, margin, 1 - 2 * margin, 1 - 2 * margin), projection="polar"))


def _radar(axes: PolarAxes, profiles: Sequence[Record], chosen: str, with_numbers: bool) -> None:
    own = next(entry for entry in profiles if entry["model"] == chosen)["scales"]
    angle = np.linspace(0, 2 * np.pi, len(own), endpoint=False)
    around = np.append(angle, angle[:1])
    _others(axes, around, [_closed(entry["scales"], "ability") for entry in profiles if entry["model"] != chosen])
    axes.fill_between(around, _closed(own, "lower"), _closed(own, "upper"), color=ACCENT, alpha=0.3, linewidth=0)
    axes.plot(around, _closed(own, "ability"), color=ACCENT, linewidth=1.5, solid_joinstyle="round")
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    names = [_axis_name(scale, with_numbers) for scale in own]
    axes.set_thetagrids(np.degrees(angle), names, color=INK, fontsize=6.5 if with_numbers else 7)
    axes.tick_params(axis="x", pad=0 if with_numbers else -3)
    _rings(axes, outer_edge(profiles), with_numbers)


def _axis_name(scale: Record, is_large: bool) -> str:
    """Name of a scale; its code where there is no room or no name."""
    return label(scale.get("name", scale["dim"]), 4, 15) if is_large else label(scale["dim"], 1, 6)


def _others(axes: PolarAxes, around: FloatArray, profiles: list[list[float]]) -> None:
    """Draw the other models as lines, or as the band of their middle nine tenths where lines would be too many."""
    if len(profiles) > MOST_LINES:
        lower, upper = np.quantile(np.array(profiles), [0.05, 0.95], axis=0)
        axes.fill_between(around, lower, upper, color=OTHERS, alpha=0.25, linewidth=0)
        return
    for profile in profiles:
        axes.plot(around, profile, color=OTHERS, linewidth=0.5, alpha=0.45)


def _rings(axes: PolarAxes, top: float, with_numbers: bool) -> None:
    rings = list(range(2, math.floor(top) + 1, 2))
    axes.set_rlim(0, top)
    axes.set_rgrids(rings, [str(ring) if with_numbers else "" for ring in rings], angle=10, color=MUTED, fontsize=7)
    axes.spines["polar"].set_visible(False)


def _closed(scales: Sequence[Record], key: str) -> list[float]:
    values = [scale[key] for scale in scales]
    return [*values, values[0]]
