"""What a report rests on: where the data come from, and what is needed to make it again."""

import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from capscope import __version__
from capscope.errors import InputError
from capscope.files import sha256_of

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
    facts: tuple[tuple[str, str], ...] = ()
    """Further rows of the table of provenance: what was measured, on which study, when."""


def installed_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that make the numbers; none is imported."""
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions


def provenance_of(  # noqa: PLR0913 - each is one line of the page
    title: str,
    source: str,
    *,
    seed: int,
    engine: str,
    inputs: tuple[Path, ...] = (),
    notes: tuple[str, ...] = (),
    facts: tuple[tuple[str, str], ...] = (),
) -> Provenance:
    """Gather the provenance of numbers made by this installation.

    Args:
        title: Heading of the page.
        source: Citation of the data, in plain text.
        seed: Seed of all random draws.
        engine: Inference engine.
        inputs: Input files; their names and hashes are kept, not their folders.
        notes: What a reader must know about the data.
        facts: Further rows of the table of provenance.

    Raises:
        InputError: An input cannot be read.
    """
    hashes = {path.name: _sha256(path) for path in inputs}
    return Provenance(title, source, __version__, installed_versions(), seed, engine, hashes, notes, facts)


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); name an existing file") from None
