"""Finished folds on disk, so that an interrupted evaluation goes on where it stopped."""

import hashlib
import os
import tempfile
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from capscope.errors import OutputError
from capscope.predict.assessor import Chances

FIELDS = ("probability", "log_odds_mean", "log_odds_sd", "shared_sd")


@dataclass(frozen=True)
class FoldResult:
    """What one assessor predicted for the held-out answers of one fold."""

    chances: Chances
    """One row for each held-out answer."""
    seconds: float
    """Time to fit and predict."""


@dataclass(frozen=True)
class FoldStore:
    """A folder with one file for each finished fold; without a folder it holds nothing."""

    folder: Path | None = None

    def get(self, key: str) -> FoldResult | None:
        """Return a finished fold; None where it is not there or its file was cut short."""
        if self.folder is None or not (path := self.folder / f"{key}.npz").is_file():
            return None
        try:
            with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as held:
                return FoldResult(Chances(*(held[name] for name in FIELDS)), float(held["seconds"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def put(self, key: str, result: FoldResult) -> None:
        """Write a finished fold; a file appears whole or not at all.

        Raises:
            OutputError: The folder cannot be written.
        """
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, scratch = tempfile.mkstemp(dir=self.folder, suffix=".part")
            with os.fdopen(handle, "wb") as file:
                chances = {name: getattr(result.chances, name) for name in FIELDS}
                np.savez(file, seconds=np.array(result.seconds), **chances)
            Path(scratch).replace(self.folder / f"{key}.npz")
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be written ({error.strerror}); choose another folder") from error


def digest(*parts: object) -> str:
    """Name a combination of arrays and plain values by its content."""
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            state.update(f"{part.dtype}{part.shape}".encode())
            state.update(np.ascontiguousarray(part).tobytes())
        else:
            state.update(repr(part).encode("utf-8", "surrogatepass"))
        state.update(b"\0")
    return state.hexdigest()


def code_digest() -> str:
    """Name the code that makes predictions by its content, so that a fold outlives no change of it."""
    package = Path(__file__).parent.parent
    files = sorted(path for room in ("fit", "predict") for path in (package / room).rglob("*.py"))
    return digest(*(path.read_text(encoding="utf-8") for path in files))
