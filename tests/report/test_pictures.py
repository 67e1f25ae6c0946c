"""Pictures of fits show themselves in notebooks and are saved whole."""

import pytest

from capscope.errors import InputError
from capscope.fit import fit, simulate
from report.worlds import World


def test_a_fit_of_curves_draws_a_radar_for_each_model(world: World, tmp_path):
    picture = world.fit.plot(["model-01", "model-03"])
    assert [axes.get_title() for axes in picture.figure.axes] == ["model-01", "model-03"]
    assert picture._repr_svg_().startswith("<svg")
    assert picture.save(tmp_path / "profiles.svg").read_text("utf-8").startswith("<svg")
    assert picture.save(str(tmp_path / "profiles.png")).read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="no picture format '.xyz'"):
        picture.save(tmp_path / "profiles.xyz")
    with pytest.raises(InputError, match=r"no model 'model-1'"):
        world.fit.plot(["model-1"])


def test_an_item_response_fit_draws_abilities_with_intervals():
    fitted = fit(simulate(8, 60, seed=2), "rasch")
    (axes,) = fitted.plot().figure.axes
    table = fitted.abilities().sort_values("ability", ascending=False)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list(table["model"])
    drawn = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
    assert drawn == pytest.approx(list(table["ability"]))
