"""The drawings of a page: every figure of a summary as SVG, by name."""

from collections.abc import Iterable

from matplotlib.axes import Axes

from capscope.report import figures
from capscope.report.plain import Record, Summary
from capscope.report.radar import radar
from capscope.report.style import to_svg

SMALL_RADAR = 1.9
"""Width in inches of a radar that stands among others."""

MOST_RADARS = 24
"""A page draws the profiles of at most this many models, the strongest; all stand in its table."""


def curve_drawings(summary: Summary) -> dict[str, str]:
    """Draw a summary of curves; a small drawing's name ends in its position."""
    focus, profiles = summary["focus"], summary["profiles"]
    model = focus["model"]
    return dict(
        [
            _drawing("overall", figures.overall_intervals(profiles, model), "Overall ability of every model"),
            _drawing("radar", radar(profiles, model), f"Profile of {model} as a radar"),
            _drawing("abilities", figures.ability_intervals(focus["scales"]), f"Abilities of {model}"),
            *(_small_radar(position, entry, profiles) for position, entry in enumerate(profiles[:MOST_RADARS])),
            *(_curve(position, curve, model) for position, curve in enumerate(focus["curves"])),
            *_question_drawings(summary),
            *_difference_drawings(summary["versus"], model),
            *_calibration_drawings(summary["calibration"]),
            *_benchmark_drawings(summary["benchmarks"]),
        ]
    )


def irt_drawings(summary: Summary) -> dict[str, str]:
    """Draw a summary of an item response fit."""
    drawn = [
        _drawing(
            f"ability-{entry['dim']}",
            figures.overall_intervals(entry["models"], axis_label="Ability"),
            f"Ability {entry['dim']} of every model",
        )
        for entry in summary["abilities"]
    ]
    if summary["map"] is not None:
        models = summary["abilities"][0]["models"]
        drawn.append(_drawing("map", figures.item_map(summary["map"], models), "Difficulties and abilities"))
    drawn += [*_calibration_drawings(summary["calibration"]), *_benchmark_drawings(summary["benchmarks"])]
    return dict(drawn)


def _difference_drawings(versus: Record, model: str) -> Iterable[tuple[str, str]]:
    if versus["differences"]:
        title = f"{model} against {versus['rival']} by scale"
        yield _drawing("differences", figures.difference_intervals(versus["differences"]), title)


def _calibration_drawings(calibration: Record | None) -> Iterable[tuple[str, str]]:
    if calibration is not None:
        yield _drawing("calibration", figures.reliability_plot(calibration["bins"]), "Predicted against observed")


def _benchmark_drawings(benchmarks: Record | None) -> Iterable[tuple[str, str]]:
    if benchmarks is not None:
        title = "Mean demand of each benchmark on each scale"
        yield _drawing("benchmarks", figures.benchmark_heatmap(benchmarks), title)


def _question_drawings(summary: Summary) -> Iterable[tuple[str, str]]:
    if summary["demands"] is not None:
        yield _drawing(
            "demands", figures.demand_heatmap(summary["demands"]), "Questions at each demand level of each scale"
        )
    if summary["questions"] is not None:
        scores = figures.score_intervals(summary["questions"]["scores"], summary["focus"]["model"])
        yield _drawing("scores", scores, "Predicted score of every model")


def _small_radar(position: int, entry: Record, profiles: list[Record]) -> tuple[str, str]:
    return _drawing(f"radar-{position}", radar(profiles, entry["model"], SMALL_RADAR), f"Profile of {entry['model']}")


def _curve(position: int, curve: Record, model: str) -> tuple[str, str]:
    return _drawing(f"curve-{position}", figures.curve_panel(curve), f"Curve of {model} on {curve['name']}")


def _drawing(name: str, axes: Axes, title: str) -> tuple[str, str]:
    return name, to_svg(axes, name, title, "The numbers stand in the table below the drawing.")
