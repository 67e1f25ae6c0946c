"""However answers are kept and laid out, the fit is the same."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from simulated import world_2pl

from capscope.data import Responses
from capscope.errors import FitError
from capscope.fit import IRTSettings, fit_irt
from capscope.fit.cells import layout
from capscope.fit.cells.answers import GridAnswers
from capscope.fit.cells.interface import Cells, CodedScores, Factors, SignedScores, WeightedScores
from capscope.fit.cells.layout import DiskStore, lay_out
from capscope.fit.cells.matrices import MemoryStore, SparseCells
from capscope.fit.cells.response_summary import summarise

SIZE = (60, 90)


def world(share: float = 0.5) -> Responses:
    return world_2pl(*SIZE, share=share)[1]


def fractions(data: Responses, steps: int) -> Responses:
    rng = np.random.default_rng(3)
    score = rng.integers(0, steps + 1, len(data.score)) / steps
    return replace(data, score=score, n_trials=rng.integers(1, 4, len(score)).astype(float))


def both(data: Responses, monkeypatch: pytest.MonkeyPatch, memory_mb: float = 1e3) -> tuple[Cells, Cells]:
    """The same cells as a full matrix and as compressed rows."""
    floor = np.random.default_rng(1).uniform(0, 0.4, len(data.items))
    full = lay_out(data, summarise(data), floor)
    monkeypatch.setattr(layout, "SMALL_MATRIX", 0)
    monkeypatch.setattr(layout, "SPARSE_SHARE", 1.1)
    compressed = lay_out(data, summarise(data), floor, memory_mb)
    assert isinstance(compressed[0], SparseCells)
    return full[1], compressed[1]


def factors(rows: int, columns: int) -> Factors:
    generator = torch.Generator().manual_seed(0)
    thin = [torch.randn(size, k, generator=generator) for k in (2, 3) for size in (rows, columns)]
    return Factors(thin[0], thin[1], thin[2].square(), thin[3].square())


@pytest.mark.parametrize("gather_share", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["binary", "coded", "weighted", "repeated"])
def test_compressed_rows_give_the_sums_of_a_full_matrix(
    kind: str, gather_share: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("capscope.fit.cells.matrices.GATHER_SHARE", gather_share)
    monkeypatch.setattr("capscope.fit.cells.matrices.CHUNK_CELLS", 500)
    data = world()
    data = fractions(data, 10) if kind == "coded" else fractions(data, 997) if kind == "weighted" else data
    if kind == "repeated":
        data = data.rows(np.concatenate([np.arange(len(data.score)), np.arange(300)]))
    full, compressed = both(data, monkeypatch)
    thin = factors(*full.shape)
    for threads in (1, 2):
        ours = compressed.products(thin, thin.column_mean, thin.column_variance, threads)
        theirs = full.products(thin, thin.column_mean, thin.column_variance)
        torch.testing.assert_close(ours.residual, theirs.residual, atol=2e-4, rtol=1e-5)
        torch.testing.assert_close(ours.curvature, theirs.curvature, atol=2e-4, rtol=1e-5)
    if kind != "repeated":  # pooled, a residual is squared as one
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
    torch.testing.assert_close(compressed.log_likelihood(thin), full.log_likelihood(thin), atol=1e-3, rtol=1e-5)
    bare = compressed.without_floor().products(thin, thin.column_mean, thin.column_variance)
    assert not torch.allclose(bare.residual, ours.residual)


@pytest.mark.parametrize(
    ("kind", "scores"), [("binary", SignedScores), ("coded", CodedScores), ("weighted", WeightedScores)]
)
def test_scores_take_one_byte_where_that_is_exact(kind: str, scores: type, monkeypatch: pytest.MonkeyPatch):
    data = world()
    data = fractions(data, 10) if kind == "coded" else fractions(data, 997) if kind == "weighted" else data
    _, compressed = both(data, monkeypatch)
    assert isinstance(compressed, SparseCells)
    assert isinstance(compressed.store, MemoryStore)
    assert isinstance(compressed.store.scores, scores)


@pytest.mark.parametrize("make", [lambda d: d, lambda d: fractions(d, 4)], ids=["binary", "coded"])
def test_cells_on_disk_are_those_in_memory(make: Callable[[Responses], Responses], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("capscope.data.responses.ROWS_OF_A_BLOCK", 700)
    monkeypatch.setattr("capscope.fit.cells.matrices.CHUNK_CELLS", 500)
    full, on_disk = both(make(world()), monkeypatch, memory_mb=1e-3)
    assert isinstance(on_disk, SparseCells)
    assert isinstance(on_disk.store, DiskStore)
    folder = on_disk.store.columns.path.parent
    thin = factors(*full.shape)
    ours, theirs = (cells.products(thin, thin.column_mean, thin.column_variance) for cells in (on_disk, full))
    torch.testing.assert_close(ours.residual, theirs.residual, atol=2e-4, rtol=1e-5)
    del on_disk
    assert not folder.exists()


def test_a_grid_of_bytes_is_fitted_like_rows():
    data = world(0.6)
    grid = np.full(SIZE, -1, np.int8)
    grid[data.model_index, data.item_index] = data.score.astype(np.int8)
    settings = IRTSettings(model="2pl")
    rows = fit_irt(data, settings).posterior
    ours = fit_irt(GridAnswers(data.models, data.items, grid), settings).posterior
    np.testing.assert_array_equal(rows.ability_mean, ours.ability_mean)
    np.testing.assert_array_equal(rows.item_cov, ours.item_cov)


def test_a_grid_refuses_what_is_not_an_answer():
    with pytest.raises(FitError, match="1, 0 or -1"):
        GridAnswers(("a",), ("x",), np.array([[2]], np.int8))
    with pytest.raises(FitError, match="shape"):
        GridAnswers(("a",), ("x",), np.array([[1, 0]], np.int8))


@pytest.mark.parametrize("model", ["2pl", "mirt"])
def test_a_sparse_fit_is_the_same_in_every_layout(model: str, monkeypatch: pytest.MonkeyPatch):
    data = world(0.15)
    settings = IRTSettings(model=model, dims=2 if model == "mirt" else 1, form="signed", tolerance=1e-4)  # type: ignore[arg-type]
    full = fit_irt(data, settings).posterior
    monkeypatch.setattr(layout, "SMALL_MATRIX", 0)
    for memory_mb in (100.0, 1e-3):
        compressed = fit_irt(data, replace(settings, memory_mb=memory_mb)).posterior
        cells = (data.model_index, data.item_index)
        np.testing.assert_allclose(compressed.logit_moments(*cells)[0], full.logit_moments(*cells)[0], atol=1e-3)
