"""Tables of other libraries are welcome wherever a DataFrame is."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import capscope
from capscope.data import Study, as_frame

MAKERS = ("pyarrow", "polars", "duckdb")


@pytest.fixture(params=MAKERS)
def table(request: pytest.FixtureRequest) -> Callable[[pd.DataFrame], object]:
    if request.param == "pyarrow":
        return pa.Table.from_pandas
    library = pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    return library.from_pandas if request.param == "polars" else library.from_df


@pytest.fixture(scope="module")
def frames() -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(0)
    items = pd.DataFrame({"item_id": [f"i{number:02d}" for number in range(30)], "benchmark": "b", "text": "what?"})
    cells = [(f"m{model}", item) for model in range(6) for item in items["item_id"]]
    responses = pd.DataFrame(cells, columns=["model", "item_id"]).assign(score=rng.integers(0, 2, len(cells)) * 1.0)
    return {"items": items, "responses": responses}


def test_a_study_is_the_same_from_any_library(table, frames) -> None:
    expected, made = Study.of(**frames), Study.of(**{name: table(frame) for name, frame in frames.items()})
    pd.testing.assert_frame_equal(made.require("responses"), expected.require("responses"))
    pd.testing.assert_frame_equal(made.require("items"), expected.require("items"))


def test_a_fit_takes_them(table, frames) -> None:
    pd.testing.assert_frame_equal(
        capscope.fit(table(frames["responses"]), "rasch").abilities(),
        capscope.fit(frames["responses"], "rasch").abilities(),
    )


def test_anything_else_stays_as_it_is(frames) -> None:
    assert as_frame(frames["items"]) is frames["items"]
    assert as_frame("folder") == "folder"
    assert as_frame(None) is None
