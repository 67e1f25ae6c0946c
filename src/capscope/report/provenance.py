"""What a report rests on: where the data come from, and what is needed to make it again."""

import hashlib
import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from capscope import __version__
from capscope.errors import InputError
from capscope.fit import Fit
from capscope.report.plain import Record

LIBRARIES = ("torch", "pyro-ppl", "numpy", "scipy", "pandas", "scikit-learn", "matplotlib")
"""Libraries whose versions a report states."""


@dataclass(frozen=True)
class Provenance:
    """Where the numbers of a report come from."""

    title: str
    """Heading of the page."""
    source: str
    """Citation of the data, in plain text."""
    capscope_version: str
    """Version of this package."""
    versions: dict[str, str]
    """Version of Python and of each library that made the numbers."""
    seed: int
    """Seed of all random draws."""
    engine: str
    """Inference engine."""
    inputs: dict[str, str] = field(default_factory=dict[str, str])
    """SHA-256 of each input file, by file name."""
    notes: tuple[str, ...] = ()
    """What a reader must know about the data, one sentence each."""


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that make the numbers; none is imported."""
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def provenance_of(  # noqa: PLR0913 - each is one line of the page
    title: str, source: str, *, seed: int, engine: str, inputs: tuple[Path, ...] = (), notes: tuple[str, ...] = ()
) -> Provenance:
    """Gather the provenance of numbers made by this installation.

    Args:
        title: Heading of the page.
        source: Citation of the data, in plain text.
        seed: Seed of all random draws.
        engine: Inference engine.
        inputs: Files that went in; their names and hashes are kept, not their places.
        notes: What a reader must know about the data.

    Raises:
        InputError: An input cannot be read.
    """
    hashes = {path.name: file_sha256(path) for path in inputs}
    return Provenance(title, source, __version__, installed_versions(), seed, engine, hashes, notes)


def file_sha256(path: Path) -> str:
    """Hash a file.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); name a file that is there") from None


def made(fit: Fit[Any], provenance: Provenance) -> Record:
    """Say how a fit was made."""
    return {
        "source": provenance.source,
        "capscope_version": provenance.capscope_version,
        "versions": provenance.versions,
        "seed": provenance.seed,
        "engine": provenance.engine,
        "inputs": provenance.inputs,
        "notes": provenance.notes,
        "converged": fit.status.converged,
        "status": fit.status.code,
        "advice": fit.status.advice,
    }
