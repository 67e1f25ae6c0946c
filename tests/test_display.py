"""Results show themselves in notebooks as escaped tables."""

from dataclasses import replace

import pandas as pd

from capscope.display import ROWS, html_table
from capscope.fit import Status
from report.worlds import World, counts_of, small_world


def test_texts_are_escaped_and_long_tables_say_how_long_they_are():
    html = html_table("<i>odd</i>", pd.DataFrame({"<b>": ["<script>"] * 50, "n": 0.12345}), note="a & b")
    assert "<script>" not in html
    assert "<i>" not in html
    assert "<b>" not in html
    assert f"The first {ROWS} of 50 rows. a &amp; b" in html
    assert html.count("0.123") == ROWS


def test_results_show_their_numbers():
    world: World = small_world(counts_of(3))
    ability = world.profiles.table["ability"].iloc[0]
    assert f"{ability:.3f}" in world.profiles._repr_html_()
    assert f"{world.predictions.scores['score'].iloc[0]:.3f}" in world.predictions._repr_html_()
    assert "6 items" in world.demands._repr_html_()
    assert world.fit.status.code in world.fit._repr_html_()
    moving = replace(world.fit, status=Status(False, "still-moving", ("give it <more> sweeps",)))
    assert "give it &lt;more&gt; sweeps" in moving._repr_html_()
