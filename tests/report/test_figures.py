"""Each figure draws what the summary holds: the artists' data, not their pixels."""

import re

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from capscope.report import (
    Summary,
    ability_intervals,
    curve_grid,
    curve_panel,
    demand_heatmap,
    overall_intervals,
    radar,
    radar_grid,
    score_intervals,
    to_svg,
)
from capscope.report.figures import DARKEST, marker_area
from capscope.report.style import ACCENT, COLOUR_NAMES, OTHERS, label
from report.worlds import World


@pytest.fixture(scope="module")
def summary(world: World) -> Summary:
    return world.summary()["sections"]


def bars(axes):
    return [tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]


def dots(axes):
    return [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1]


def test_ability_intervals(summary):
    scales = summary["focus"]["scales"]
    axes = ability_intervals(scales)
    assert bars(axes) == [(scale["lower"], scale["upper"]) for scale in scales]
    assert dots(axes) == [scale["ability"] for scale in scales]
    hollow = axes.lines[-1]
    assert list(hollow.get_xdata()) == [scale["classical"] for scale in scales if scale["classical"] is not None]
    assert hollow.get_markerfacecolor() == "none"
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [label(scale["name"]) for scale in scales]
    top, bottom = axes.get_ylim()[1], axes.get_ylim()[0]
    assert top < 0 < bottom  # the first row stands on top


def test_a_missing_classical_estimate_draws_no_marker(summary):
    scales = [scale | {"classical": None} for scale in summary["focus"]["scales"]]
    assert len(ability_intervals(scales).lines[-1].get_xdata()) == 0


def test_overall_intervals_let_the_focus_stand_out(summary):
    profiles = summary["profiles"]["profiles"]
    axes = overall_intervals(profiles, focus=profiles[1]["model"])
    assert bars(axes) == [(entry["overall"]["lower"], entry["overall"]["upper"]) for entry in profiles]
    assert dots(axes) == [entry["overall"]["value"] for entry in profiles]
    colours = [line.get_color() for line in axes.lines[::2]]
    assert colours == [OTHERS, ACCENT, OTHERS, OTHERS, OTHERS]


def test_score_intervals(summary):
    scores = summary["chances"]["scores"]
    axes = score_intervals(scores)
    assert bars(axes) == [(entry["lower"], entry["upper"]) for entry in scores]
    assert axes.get_xlim() == (0, 1)


def test_curve_panels_hold_band_curve_and_observed_rates(summary):
    for curve in summary["curves"]["curves"]:
        axes = curve_panel(curve)
        band, observed = axes.collections
        corners = band.get_paths()[0].vertices
        assert {curve["lower"][0], curve["upper"][0], curve["lower"][-1], curve["upper"][-1]} <= set(corners[:, 1])
        assert list(axes.lines[0].get_ydata()) == curve["p"]
        inside = [p for p, level in zip(curve["p"], curve["grid"], strict=True) if 1 <= level <= 5]
        assert list(axes.lines[1].get_ydata()) == inside
        points = [[at["level"], at["rate"]] for at in curve["levels"]]
        assert np.asarray(observed.get_offsets()).tolist() == points
        np.testing.assert_array_equal(observed.get_sizes(), [marker_area(at["n"]) for at in curve["levels"]])
        spans = [tuple(line.get_ydata()) for line in axes.lines[2:-1]]
        assert spans == [(at["lower"], at["upper"]) for at in curve["levels"]]
        assert list(axes.lines[-1].get_xdata()) == [curve["ability"]]


def test_the_curve_grid_has_a_named_panel_for_each_curve(summary):
    curves = summary["curves"]["curves"]
    figure = curve_grid(curves, columns=3)
    assert [axes.get_title() for axes in figure.axes] == [label(curve["name"]) for curve in curves]


def test_markers_grow_with_the_count_within_bounds():
    assert marker_area(1.0) < marker_area(100.0) < marker_area(900.0) <= marker_area(1e6) == 40


def test_the_heat_map_has_a_cell_for_each_scale_and_level(summary):
    demands = summary["demands"]
    axes = demand_heatmap(demands)
    cells = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    counts = [count for scale in demands["scales"] for count in scale["histogram"]]
    assert [cell.get_alpha() for cell in cells] == [DARKEST * count / max(counts) for count in counts]
    assert [text.get_text() for text in axes.texts] == [f"{count:.0f}" if count else "\u00b7" for count in counts]
    weights = [tick.get_fontweight() for tick in axes.get_yticklabels()]
    assert weights == ["bold" if scale["sensitive"] else "normal" for scale in demands["scales"]]


def test_the_radar_contrasts_one_model_with_the_others(summary):
    profiles = summary["profiles"]["profiles"]
    axes = radar(profiles, profiles[2]["model"])
    *others, own = axes.lines
    ability = [scale["ability"] for scale in profiles[2]["scales"]]
    assert list(own.get_ydata()) == [*ability, ability[0]]
    assert own.get_color() == ACCENT
    assert len(others) == 4
    assert {to_hex(line.get_color()) for line in others} == {OTHERS}
    shown = [tick.get_text().replace("\n", " ") for tick in axes.get_xticklabels()]
    names = [scale["name"] for scale in profiles[2]["scales"]]
    assert all(name.startswith(text.rstrip("…")) for text, name in zip(shown, names, strict=True))
    highest = max(scale["upper"] for entry in profiles for scale in entry["scales"])
    assert axes.get_ylim()[1] > highest


def test_the_radar_grid_draws_all_or_the_chosen_models(summary):
    profiles = summary["profiles"]["profiles"]
    assert [axes.get_title() for axes in radar_grid(profiles).axes] == [entry["model"] for entry in profiles]
    assert len(radar_grid(profiles, [profiles[0]["model"]]).axes) == 1


def test_figures_draw_on_the_axes_they_are_given(summary):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert score_intervals(summary["chances"]["scores"], axes=left) is left
    assert demand_heatmap(summary["demands"], axes=right) is right
    assert left.lines
    assert right.patches


def test_drawing_changes_no_setting_of_matplotlib(summary):
    before = dict(matplotlib.rcParams)
    to_svg(radar(summary["profiles"]["profiles"], summary["focus"]["model"]))
    assert dict(matplotlib.rcParams) == before


def test_svg_is_the_same_twice_and_names_its_parts(summary):
    profiles = summary["profiles"]["profiles"]
    drawings = [to_svg(overall_intervals(profiles), "one", "A <title>", "About & more") for _ in range(2)]
    assert drawings[0] == drawings[1]
    assert '<title id="one-title">A &lt;title&gt;</title>' in drawings[0]
    assert 'aria-labelledby="one-title one-description"' in drawings[0]
    assert "<metadata" not in drawings[0]
    assert "<!DOCTYPE" not in drawings[0]
    assert all(name.startswith("one-") for name in re.findall(r' id="([^"]*)"', drawings[0]))


def test_colours_are_variables_with_the_colour_as_fallback(summary):
    drawing = to_svg(curve_panel(summary["curves"]["curves"][0]))
    assert f"var(--accent, {ACCENT})" in drawing
    bare = re.sub(r"var\(--\w+, #[0-9a-f]{6}\)", "", drawing)
    assert not [colour for colour in COLOUR_NAMES if colour in bare]


def test_labels_are_short_and_never_formulas(summary):
    assert label("Knowledge of social sciences and humanities") == "Knowledge of social\nsciences and humanities"
    assert all(len(line) <= 24 for line in label("x" * 500).split("\n"))
    entry = summary["profiles"]["profiles"][0] | {"model": r"$\frac{1}{$ <b>"}
    assert r"$\frac{1}{$ &lt;b&gt;" in to_svg(overall_intervals([entry]))
