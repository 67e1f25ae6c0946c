"""A fit that reads its answers block by block is the fit of the table in memory."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulated import world_2pl

from capscope.data import ResponseFile, Responses, Study
from capscope.errors import InputError
from capscope.fit import StudyFitSettings, fit_folder, fit_irt, fit_study, fitting
from capscope.fit.cells.answers import GridAnswers, PartOfAnswers, as_rows
from capscope.fit.cells.layout import DiskStore

TINY_MB = 0.01


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of 1,600 responses, in blocks of 300, in no order, with fractions."""
    monkeypatch.setattr("capscope.data.responses.ROWS_AT_ONCE", 300)
    monkeypatch.setattr("capscope.fit.cells.layout.SMALL_MATRIX", 0)
    _, data = world_2pl(40, 80, share=0.5)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "model": [data.models[i] for i in data.model_index],
            "item_id": [data.items[i] for i in data.item_index],
            "score": np.where(rng.random(len(data.score)) < 0.2, 0.5, data.score),
        }
    )
    Study.of(responses=frame.sample(frac=1, random_state=1)).save(tmp_path / "study")
    return tmp_path / "study"


def test_blocks_hold_the_table(folder: Path):
    whole = Responses.of(Study.load(folder))
    file = ResponseFile.open(folder / "responses.parquet")
    blocks = list(file.blocks())
    assert len(blocks) > 5
    rows = as_rows(file)
    assert (rows.models, rows.items, file.n_rows) == (whole.models, whole.items, len(whole.score))
    order = np.lexsort((rows.item_index, rows.model_index))
    np.testing.assert_array_equal(rows.rows(order).item_index, whole.item_index)
    np.testing.assert_array_equal(rows.rows(order).score, whole.score)


def test_facets_stay_on_the_rows_of_files_parts_and_grids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("capscope.data.responses.ROWS_AT_ONCE", 7)
    monkeypatch.setattr("capscope.data.responses.ROWS_OF_A_BLOCK", 5)
    frame = pd.DataFrame({"model": list("abc") * 8, "item_id": np.repeat(list("wxyz"), 6), "score": [1.0, 0.0] * 12})
    frame["prompt"], frame["judge"] = np.tile(np.repeat(["short", "long"], 3), 4), "human"
    whole = Responses.of(Study.of(responses=frame))
    frame.to_parquet(tmp_path / "responses.parquet")
    inside = frame["model"].isin(["a", "c"]) & frame["item_id"].isin(["x", "z"])
    file = ResponseFile.open(tmp_path / "responses.parquet")
    part = PartOfAnswers(whole, np.array([2, 0]), np.array([1, 3]))
    for answers, wanted in ((file, frame), (part, frame[inside])):
        rows = as_rows(answers)
        assert {name: facet.names for name, facet in rows.facets.items()} == {
            "prompt": ("long", "short"),
            "judge": ("human",),
        }
        prompt = rows.facets["prompt"]
        columns = {
            "model": np.array(rows.models)[rows.model_index],
            "item_id": np.array(rows.items)[rows.item_index],
            "score": rows.score,
            "prompt": np.array(prompt.names)[prompt.codes],
        }
        tables = [
            table[list(columns)].sort_values(list(columns), ignore_index=True)
            for table in (pd.DataFrame(columns), wanted)
        ]
        pd.testing.assert_frame_equal(*tables, check_dtype=False)
    assert as_rows(GridAnswers(("a",), ("x",), np.array([[1]]))).facets == {}


@pytest.mark.parametrize(("model", "dims"), [("rasch", 1), ("mirt", 2)])
def test_a_streamed_fit_equals_the_fit_in_memory(folder: Path, model: str, dims: int):
    study = Study.load(folder)
    streamed = fit_folder(folder, StudyFitSettings(model=model, dims=dims, memory_mb=TINY_MB)).posterior
    loaded = fit_study(study, StudyFitSettings(model=model, dims=dims)).posterior
    data = Responses.of(study)
    cells = (data.model_index, data.item_index)
    np.testing.assert_allclose(streamed.logit_moments(*cells)[0], loaded.logit_moments(*cells)[0], atol=1e-3)
    assert streamed.models == loaded.models


def test_the_memory_allowed_decides_what_stays_on_disk(folder: Path, monkeypatch: pytest.MonkeyPatch):
    table = folder / "responses.parquet"
    assert fitting.stays_on_disk(table, StudyFitSettings(memory_mb=TINY_MB))
    assert not fitting.stays_on_disk(table, StudyFitSettings())
    assert not fitting.stays_on_disk(table, StudyFitSettings(model="curves", memory_mb=TINY_MB))
    made: list[DiskStore] = []

    class Noted(DiskStore):
        def __init__(self, *parts: object) -> None:
            super().__init__(*parts)
            made.append(self)

    monkeypatch.setattr("capscope.fit.cells.layout.DiskStore", Noted)
    fit_folder(folder, StudyFitSettings(model="rasch", memory_mb=1e-4))
    assert {store.columns.size for store in made} == {len(Responses.of(Study.load(folder)).score)}


def test_a_key_that_comes_twice_in_different_blocks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("capscope.data.responses.ROWS_AT_ONCE", 2)
    frame = pd.DataFrame({"model": list("abca"), "item_id": ["x"] * 4, "score": [1.0, 0.0, 1.0, 0.0]})
    frame.to_parquet(tmp_path / "responses.parquet")
    with pytest.raises(InputError, match="model 'a', item_id 'x' comes twice"):
        ResponseFile.open(tmp_path / "responses.parquet")
    frame["prompt"] = list("1112")
    frame.to_parquet(tmp_path / "responses.parquet")
    assert ResponseFile.open(tmp_path / "responses.parquet").n_rows == 4


def test_a_wrong_row_is_named_in_whatever_block_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("capscope.data.responses.ROWS_AT_ONCE", 2)
    frame = pd.DataFrame({"model": list("abcd"), "item_id": ["x"] * 4, "score": [1.0, 0.0, 1.0, 3.0]})
    frame.to_parquet(tmp_path / "responses.parquet")
    with pytest.raises(InputError, match="after row 2: row 2: score is"):
        ResponseFile.open(tmp_path / "responses.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        ResponseFile.open(tmp_path / "broken.parquet")


def test_a_file_is_fitted_like_rows(folder: Path):
    file = ResponseFile.open(folder / "responses.parquet")
    assert fit_irt(file).posterior.models == file.models
