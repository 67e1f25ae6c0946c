"""Atomic writing: after any interruption, a file or folder on disk has its complete old or complete new content.

New content is written to a sibling of the target, flushed to disk, and put in its place by one rename. A killed
process, a full disk or a second process therefore leaves the old content or the new content, never a mixture.
"""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.atomic import as_output_error, discard, exclusive, flush, lock_file, scratch_beside, swap, write_together
from capscope.errors import InputError, OutputError, first_few

MANIFEST, TENSORS = "manifest.json", "tensors.safetensors"
"""Files of a folder of tensors, such as a fit or a bank."""
STUDY_TABLES = ("items", "responses", "demands")
"""Tables of a study folder."""
LOCK_SECONDS = 600.0
"""Longest wait for another writer, in seconds."""

Tensors = dict[str, np.ndarray]


def refuse_file(path: Path, *, force: bool, option: str = "--out") -> None:
    """Refuse an output file that exists (unless `force`), or one that cannot be written; call it before the work.

    Args:
        path: File to be written.
        force: An existing file may be replaced.
        option: How the user named the file, for the message.

    Raises:
        OutputError: The path is a folder, exists, or lies where nothing can be written.
    """
    if path.is_dir():
        raise OutputError(f"{path}: this is a folder; name a file with {option}")
    if path.exists() and not force:
        raise OutputError(f"{path}: already exists; choose another {option} or add --force")
    refuse_unwritable(path, option)


def refuse_folder(folder: Path, *, force: bool, what: str, holds: Callable[[str], bool], option: str = "--out") -> None:
    """Refuse an output folder that exists (unless `force`), or, with `force`, one that holds something else.

    Args:
        folder: Folder to be written.
        force: An existing folder may be replaced.
        what: What the folder is to hold (`study`, `fit`, `bank`), for the message.
        holds: Whether a file of this name belongs to such a folder.
        option: How the user named the folder, for the message.

    Raises:
        OutputError: Saving there would overwrite something, or is not possible.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: this is a file; choose another {option}")
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if names and not force:
        raise OutputError(f"{folder}: already exists; choose another {option} or add --force")
    if others := [name for name in names if not holds(name)]:
        raise OutputError(f"{folder}: holds more than a {what} ({first_few(others)}); choose another {option}")
    refuse_unwritable(folder, option)


def refuse_unwritable(path: Path, option: str = "--out") -> None:
    """Refuse a path whose nearest existing folder takes no new file.

    Args:
        path: File or folder to be written.
        option: How the user named it, for the message.

    Raises:
        OutputError: The folder is read-only, or a file stands where a folder is needed.
    """
    parent = path.absolute().parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        raise OutputError(f"{path}: {parent} is a file, not a folder; choose another {option}")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: cannot be written (Permission denied); choose another {option}")


@contextmanager
def whole_file(path: Path, *, force: bool = True, option: str = "--out") -> Generator[Path]:
    """Write a file whole or not at all: yields a sibling to write to, which then takes the place of the target.

    A link is followed; a device or pipe is written to directly.

    Args:
        path: File to be written; its folder is made.
        force: An existing file may be replaced.
        option: How the user named the file, for messages.

    Raises:
        OutputError: The file exists and `force` is not set, or it cannot be written.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file() and not target.is_dir():
        with as_output_error(path, option):
            yield target
        return
    with as_output_error(path, option):
        refuse_file(target, force=force, option=option)
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = scratch_beside(target)
        try:
            yield scratch
            if target.exists():
                scratch.chmod(stat.S_IMODE(target.stat().st_mode))
            flush(scratch)
            refuse_file(target, force=force, option=option)  # another process may have made it meanwhile
            scratch.replace(target)
            flush(target.parent)
        finally:
            discard(scratch)


@contextmanager
def whole_folder(
    folder: Path, *, force: bool, what: str, holds: Callable[[str], bool], option: str = "--out"
) -> Generator[Path]:
    """Write a folder whole or not at all: yields an empty sibling to fill, which then takes the place of the target.

    Args:
        folder: Folder to be written; its parents are made.
        force: An existing folder may be replaced.
        what: What the folder is to hold, for messages.
        holds: Whether a file of this name belongs to such a folder; a folder with other files is refused.
        option: How the user named the folder, for messages.

    Raises:
        OutputError: See `refuse_folder`; or the folder cannot be written.
    """
    target = Path(os.path.realpath(folder))
    with as_output_error(folder, option):
        refuse_folder(target, force=force, what=what, holds=holds, option=option)
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = scratch_beside(target)
        try:
            scratch.mkdir()
            yield scratch
            for path in scratch.rglob("*"):
                flush(path)
            refuse_folder(target, force=force, what=what, holds=holds, option=option)
            swap(scratch, target, force=force)
            flush(target.parent)
        finally:
            discard(scratch)


def write_bytes(path: Path, content: bytes, *, force: bool = True, option: str = "--out") -> Path:
    """Write bytes to a file, whole or not at all; see `whole_file` for the options and what is raised."""
    with whole_file(path, force=force, option=option) as scratch:
        scratch.write_bytes(content)
    return path


def write_text(path: Path, text: str, *, force: bool = True, option: str = "--out") -> Path:
    """Write UTF-8 text to a file, whole or not at all; see `whole_file` for the options and what is raised."""
    return write_bytes(path, text.encode("utf-8"), force=force, option=option)


def write_json(path: Path, value: object, *, force: bool = True, indent: int = 2, option: str = "--out") -> Path:
    """Write a plain value as JSON, whole or not at all; see `whole_file` for the options and what is raised.

    Raises:
        ValueError: The value holds NaN or infinity.
    """
    return write_text(path, _json(value, indent), force=force, option=option)


def _json(value: object, indent: int = 2) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n"


def write_table(path: Path, frame: pd.DataFrame, *, force: bool = True, option: str = "--out") -> Path:
    """Write a table in the format of the file's ending, whole or not at all.

    Args:
        path: A ``.parquet``, ``.csv``, ``.tsv``, ``.jsonl`` or ``.json`` file.
        frame: The table; its index is not written.
        force: An existing file may be replaced.
        option: How the user named the file, for messages.

    Raises:
        OutputError: See `whole_file`; or the ending is of another kind.
    """
    writer = _writer_of(path, frame)
    with whole_file(path, force=force, option=option) as scratch:
        writer(scratch)
    return path


def write_all(contents: Mapping[Path, pd.DataFrame | dict[str, Any]], option: str = "--out") -> None:
    """Write tables and plain values to files of one folder, all or none; see `capscope.atomic.write_together`."""
    writers = {path: _writer_of(path, content) for path, content in contents.items()}
    with locked(next(iter(writers)).parent):
        write_together(writers, option)


def _writer_of(path: Path, content: pd.DataFrame | dict[str, Any]) -> Callable[[Path], object]:
    if isinstance(content, dict):
        return partial(Path.write_text, data=_json(content), encoding="utf-8")
    writer = TABLE_WRITERS.get(path.suffix.lower())
    if writer is None:
        raise OutputError(f"{path}: cannot write '{path.suffix}' tables; use one of {', '.join(TABLE_WRITERS)}")
    return partial(writer, content)


def _to_records(frame: pd.DataFrame, path: Path) -> None:
    """One JSON object a line; a missing cell is null, and numbers keep every digit."""
    plain = frame.astype(object).where(frame.notna(), None)
    with path.open("w", encoding="utf-8") as file:
        for record in plain.to_dict("records"):
            file.write(json.dumps(record, ensure_ascii=False, allow_nan=False, default=_plain) + "\n")


def _to_list(frame: pd.DataFrame, path: Path) -> None:
    """One JSON list of objects."""
    _to_records(frame, path)
    records = path.read_text(encoding="utf-8").split("\n")[:-1]
    path.write_text("[" + ",\n".join(records) + "]\n", encoding="utf-8")


def _plain(value: object) -> object:
    """Return numpy scalars and arrays as the plain values that JSON holds."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)


TABLE_WRITERS: Mapping[str, Callable[[pd.DataFrame, Path], None]] = {
    ".parquet": lambda frame, path: frame.to_parquet(path, index=False),
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    ".jsonl": _to_records,
    ".json": _to_list,
}
"""How a table is written, by the file's ending."""


def write_tensors(
    folder: Path,
    manifest: dict[str, Any],
    tensors: Tensors,
    *,
    force: bool,
    what: str,
    keep: Collection[str] = (),
) -> Path:
    """Write a manifest and tensors as a folder, whole or not at all; the manifest carries both their SHA-256.

    Args:
        folder: Folder to be written.
        manifest: Plain values; `sha256` is added.
        tensors: Arrays by name.
        force: An existing folder of this kind may be replaced.
        what: What the folder holds (`fit`, `bank`), for messages.
        keep: Names of other files that such a folder may hold, and that stay in it.

    Raises:
        OutputError: See `whole_folder`.
    """
    from safetensors.numpy import save

    names = (MANIFEST, TENSORS, *keep)
    with whole_folder(folder, force=force, what=what, holds=names.__contains__) as scratch:
        for name in keep:
            if (folder / name).is_file():
                shutil.copy2(folder / name, scratch / name)
        content = save({name: np.ascontiguousarray(value) for name, value in tensors.items()})
        (scratch / TENSORS).write_bytes(content)
        digests = {TENSORS: hashlib.sha256(content).hexdigest(), MANIFEST: _digest(manifest)}
        stated = manifest | {"sha256": digests}
        (scratch / MANIFEST).write_text(json.dumps(stated, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return folder


def read_tensors(folder: Path, what: str, remedy: str) -> tuple[dict[str, Any], Tensors]:
    """Read a folder written by `write_tensors`, or by a version without hashes.

    Args:
        folder: The folder.
        what: What it should hold (`fit`, `bank`), for messages.
        remedy: What to do where it does not, for messages.

    Raises:
        InputError: A file is missing, cannot be read, or the tensors are not those that the manifest names.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if kind_of(folder) in ("study", "file"):
        raise InputError(f"{folder}: this is a {kind_of(folder)}, not a {what}; {remedy}")
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        content = (folder / TENSORS).read_bytes()
        tensors = load(content)
    except FileNotFoundError as error:
        absent = f"it has no {Path(error.filename).name}" if folder.is_dir() else "there is no such folder"
        raise InputError(f"{folder}: no {what} here ({absent}); {remedy}") from None
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise InputError(f"{folder}: no {what} here ({error}); {remedy}") from None
    if not isinstance(manifest, dict):
        raise InputError(f"{folder}: {MANIFEST} is not the manifest of a {what}; {remedy}")
    recorded = manifest.get("sha256")
    stated = recorded if isinstance(recorded, dict) else {}
    if stated.get(MANIFEST, _digest(manifest)) != _digest(manifest):
        raise InputError(f"{folder}: {MANIFEST} was changed after it was written (damaged {what}); {remedy}")
    if stated.get(TENSORS, (digest := hashlib.sha256(content).hexdigest())) != digest:
        raise InputError(f"{folder}: {TENSORS} is not the one that {MANIFEST} was written with; {remedy}")
    return manifest, tensors


def _digest(manifest: Mapping[str, Any]) -> str:
    content = json.dumps({key: value for key, value in manifest.items() if key != "sha256"}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def kind_of(path: Path) -> str:
    """Return the kind of a path: ``study``, ``fit``, ``bank``, ``file``, ``folder`` (of anything else), or empty."""
    if not path.is_dir():
        return "file" if path.exists() else ""
    if (path / TENSORS).is_file():
        stated = None
        with suppress(OSError, ValueError, AttributeError, RecursionError):
            stated = json.loads((path / MANIFEST).read_text(encoding="utf-8")).get("kind")
        return "bank" if stated == "bank" else "fit"
    return "study" if any(any(path.glob(f"{table}.*")) for table in STUDY_TABLES) else "folder"


def refuse_lengths(
    folder: Path, what: str, tensors: Tensors, names: Mapping[str, tuple[int, Collection[object]]], remedy: str
) -> None:
    """Refuse tensors whose axes are not as long as the names that label them, and names that are no texts or repeat.

    Args:
        folder: Where they were read, for the message.
        what: What the folder holds.
        tensors: Arrays by name.
        names: For each labelled tensor, its axis and the labels of that axis.
        remedy: What to do, for the message.

    Raises:
        InputError: An axis has another length than its labels, or a label is no text or stands twice.
    """
    for tensor, (axis, labels) in names.items():
        if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
            raise InputError(f"{folder}: names of {tensor} on axis {axis} are no texts (damaged {what}); {remedy}")
        if len(set(labels)) < len(labels):
            raise InputError(f"{folder}: two names of {tensor} on axis {axis} are the same (damaged {what}); {remedy}")
        if tensor in tensors and (tensors[tensor].ndim <= axis or tensors[tensor].shape[axis] != len(labels)):
            shape = tensors[tensor].shape
            raise InputError(
                f"{folder}: {tensor} has shape {shape}, but the manifest names {len(labels)} on axis {axis}"
                f" (damaged {what}); {remedy}"
            )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextmanager
def locked(path: Path, seconds: float = LOCK_SECONDS) -> Generator[None]:
    """Hold the lock of a file or folder while its content is read, changed and written.

    The lock is a file in the folder of temporary files, named by the path, so that read-only places can be locked; it
    is removed afterwards.

    Args:
        path: What is changed.
        seconds: How long to wait for another process.

    Raises:
        OutputError: Another process holds the lock for longer.
    """
    lock = lock_file(path)
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(lock, seconds))
        except TimeoutError:
            raise OutputError(f"{path}: another process is writing it; run again when it is done") from None
        except OSError as error:
            raise OutputError(f"{lock}: the lock cannot be made ({error.strerror}); set TMPDIR") from None
        yield
