"""Style of all figures: a colour-blind-safe palette, blank figures, and deterministic SVG.

Figures are built without pyplot and without touching matplotlib's settings; their colours turn into CSS variables with
the colour itself as fallback, so that a page can restyle them for dark mode.
"""

import io
import re
import textwrap
import warnings
from html import escape
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, GRID, SURFACE = "#1b1f24", "#5c6570", "#d9dee4", "#ffffff"
ACCENT, CONTRAST, OTHERS = "#0072b2", "#d55e00", "#9aa3ad"
"""Blue and vermilion of the Okabe-Ito palette, and a grey for what stands behind."""

COLOUR_NAMES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    SURFACE: "surface",
    ACCENT: "accent",
    CONTRAST: "contrast",
    OTHERS: "others",
}
"""The CSS variable that stands for each colour."""

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.parse_math": False,
    "text.usetex": False,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0.0,
    "ytick.major.size": 0.0,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "capscope",
    "svg.id": None,
    "path.simplify": True,
}
"""Settings under which figures are built and written; matplotlib's own stay as they are."""

LABEL_WIDTH = 24
"""Characters in one line of a label."""
_NUMERIC = re.compile(r'(?<= )(d|x|y|x1|x2|y1|y2|width|height|points|transform|style|viewBox)="([^"]*)"')
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")


def blank_figure(width: float, height: float) -> Figure:
    """Make an empty figure of a size in inches, laid out so that labels fit.

    Args:
        width: Inches.
        height: Inches.

    Returns:
        The figure.
    """
    return Figure(figsize=(width, height), layout="constrained")


def blank_axes(width: float, height: float) -> Axes:
    """Make axes on an empty figure of a size in inches.

    Args:
        width: Inches.
        height: Inches.

    Returns:
        The axes.
    """
    return blank_figure(width, height).add_subplot()


def label(text: str, lines: int = 2, width: int = LABEL_WIDTH) -> str:
    """Break a name into a few short lines; a longer one keeps its end, by which names of agents differ.

    Args:
        text: The name.
        lines: Most lines.
        width: Most characters of a line.

    Returns:
        The lines, joined by line breaks.
    """
    wrapped = textwrap.wrap(" ".join(text.split()), width) or [""]
    if len(wrapped) > lines:
        wrapped = [*wrapped[: lines - 1], "\u2026" + text.rstrip()[1 - width :].lstrip()]
    return "\n".join(wrapped)


def tidy(axes: Axes, grid: str = "x") -> None:
    """Draw the grid along one axis and nothing else.

    Args:
        axes: The axes.
        grid: Axis of the grid lines: ``x`` or ``y``.
    """
    axes.spines[:].set_visible(False)
    axes.grid(visible=True, axis="x" if grid == "x" else "y")


def to_svg(drawn: Figure | Axes, name: str = "figure", title: str = "", description: str = "") -> str:
    """Write a figure as one SVG element: same figure, same bytes; no date, no document type, nothing external.

    Args:
        drawn: The figure, or the axes whose figure it is.
        name: Prefix of all ids, so that several drawings can stand in one page.
        title: Name of the drawing for screen readers.
        description: What it shows, for screen readers.

    Returns:
        The SVG element.
    """
    figure = drawn if isinstance(drawn, Figure) else drawn.get_figure(root=True)
    assert figure is not None
    buffer = io.StringIO()
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from (current )?font")
        empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=empty)
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", drawing, flags=re.DOTALL)
    drawing = _short_fonts(_short_numbers(drawing))
    for colour, variable in COLOUR_NAMES.items():
        drawing = drawing.replace(f": {colour}", f": var(--{variable}, {colour})")
    return re.sub(r"\n\s*", "\n", _own_ids(_open_tag(drawing, name, title, description), name)).strip() + "\n"


def _open_tag(drawing: str, name: str, title: str, description: str) -> str:
    """Replace matplotlib's opening tag: no fixed size, a role, a title and a description."""
    box = re.search(r'viewBox="([^"]*)"', drawing)
    view = box[1] if box else ""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" role="img"'
    if title:
        head += f' aria-labelledby="{name}-title {name}-description"'
    head += ">"
    if title:
        head += f'<title id="{name}-title">{escape(title)}</title>'
        head += f'<desc id="{name}-description">{escape(description)}</desc>'
    return head + drawing[drawing.index(">") + 1 :]


def _short_numbers(drawing: str) -> str:
    def shorten(match: re.Match[str]) -> str:
        value = _LONG_NUMBER.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), match[2])
        return f'{match[1]}="{value}"'

    return _NUMERIC.sub(shorten, drawing.replace("\nL", " L").replace("\nz", " z"))


def _short_fonts(drawing: str) -> str:
    return re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px system-ui, sans-serif", drawing)


def _own_ids(drawing: str, name: str) -> str:
    """Drop ids that nothing refers to and prefix the others; point to them with plain `href`."""
    drawing = drawing.replace("xlink:href", "href")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', drawing))

    def rename(match: re.Match[str]) -> str:
        if match[1].startswith(f"{name}-"):
            return match[0]
        return f' id="{name}-{match[1]}"' if match[1] in used else ""

    drawing = re.sub(r' id="([^"]*)"', rename, drawing)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", drawing)
