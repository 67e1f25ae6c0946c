"""Finished folds on disk, so that an interrupted evaluation continues where it stopped."""

import hashlib
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from capscope.files import write_bytes
from capscope.predict.assessor import Chances

FIELDS = ("probability", "log_odds_mean", "log_odds_sd", "shared_sd")


@dataclass(frozen=True)
class FoldResult:
    """One assessor's predictions of the held-out answers of one fold."""

    chances: Chances
    """One row for each held-out answer."""
    seconds: float
    """Time to fit and predict."""


@dataclass(frozen=True)
class FoldStore:
    """A folder with one file for each finished fold; without a folder it stores nothing."""

    folder: Path | None = None

    def get(self, key: str) -> FoldResult | None:
        """Return a finished fold; None if it is missing or its file is damaged."""
        if self.folder is None or not (path := self.folder / f"{key}.npz").is_file():
            return None
        try:
            with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
                return FoldResult(Chances(*(arrays[name] for name in FIELDS)), float(arrays["seconds"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def put(self, key: str, result: FoldResult) -> None:
        """Write a finished fold, whole or not at all.

        Raises:
            OutputError: The folder cannot be written.
        """
        if self.folder is None:
            return
        content = BytesIO()
        chances = {name: getattr(result.chances, name) for name in FIELDS}
        np.savez(content, seconds=np.array(result.seconds), **chances)
        write_bytes(self.folder / f"{key}.npz", content.getvalue(), option="--resume")


def digest(*parts: object) -> str:
    """Return a hash of arrays and plain values."""
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
    """Return a hash of the code that makes predictions, so that stored folds are not used after it changed."""
    package = Path(__file__).parent.parent.parent
    files = sorted(path for room in ("fit", "predict") for path in (package / room).rglob("*.py"))
    return digest(*(path.read_text(encoding="utf-8") for path in files))
