"""Provenance names files without their places, and versions without importing anything."""

import hashlib
from pathlib import Path

import pytest

from capscope import __version__
from capscope.errors import InputError
from capscope.report import provenance_of


def test_inputs_are_hashed_and_named_without_their_folder(tmp_path: Path):
    path = tmp_path / "counts.csv"
    path.write_bytes(b"model,level\n")
    made = provenance_of("Title", "source", seed=1, engine="laplace", inputs=(path,), notes=("odd",))
    assert made.inputs == {"counts.csv": hashlib.sha256(b"model,level\n").hexdigest()}
    assert made.capscope_version == __version__
    assert {"python", "numpy", "torch", "matplotlib"} <= set(made.versions)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(InputError, match="cannot be read"):
        provenance_of("Title", "source", seed=1, engine="laplace", inputs=(tmp_path / "none.csv",))
