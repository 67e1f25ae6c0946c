"""The folder of a study: its files, their hashes in the manifest, and whether it may be written."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from capscope.atomic import as_output_error, finish_replacing, whole_files
from capscope.data.json_text import parse_json
from capscope.data.reading import SUFFIXES, read_text
from capscope.data.tables import TABLES, TableName
from capscope.errors import InputError
from capscope.files import TABLE_WRITERS, kind_of, refuse_folder, sha256_of

Content = TypeVar("Content")

SCHEMA_VERSION = 1
MANIFEST = "study.json"
MODELS = tuple(f"models{suffix}" for suffix in SUFFIXES)
"""A table about the models (cut-offs, families, sizes) that a user may put beside the tables of a study."""
STUDY_FILES = {MANIFEST, *MODELS, *(f"{table}{suffix}" for table in TABLES for suffix in SUFFIXES)}
"""Everything a study folder may hold; `Study.save` replaces a folder that holds nothing else."""
TRIES = 10
"""Readings of a study folder that other processes change meanwhile."""


def refuse_overwriting(folder: Path, *, force: bool) -> None:
    """Refuse an output folder that exists, or, with `force`, one that is not a study.

    Args:
        folder: Output folder; it need not exist.
        force: A study in its place may be replaced.

    Raises:
        OutputError: Saving there would overwrite something.
    """
    refuse_folder(folder, force=force, what="study", holds=STUDY_FILES.__contains__)


def model_tables(folder: Path) -> list[Path]:
    """Return the files of a study folder that hold the user's table about the models; usually one or none.

    Args:
        folder: The study; it need not exist.
    """
    return [folder / name for name in MODELS if (folder / name).is_file()]


def keep_models(folder: Path, successor: Path) -> None:
    """Copy the user's table about the models into the folder that takes the place of a study.

    Args:
        folder: The study.
        successor: The folder that replaces it.
    """
    for path in model_tables(folder):
        shutil.copy2(path, successor / path.name)


def rated_rubrics(demands: pd.DataFrame | None) -> list[str]:
    """Return the codes of the rubrics that a table of demands rates, sorted."""
    return [] if demands is None else sorted(map(str, demands["rubric"].unique()))


def read_manifest(path: Path) -> dict[str, Any]:
    """Read `study.json`; a folder without one has nothing to say about itself.

    Raises:
        InputError: It is no manifest of a study, or one of a later version.
    """
    if not path.is_file():
        return {}
    manifest = parse_json(path, read_text(path))
    if not isinstance(manifest, dict) or not all(
        isinstance(manifest.get(key, {}), dict) for key in ("sources", "sha256")
    ):
        raise InputError(f"{path}: not the manifest of a study; delete it (it is not needed) or save the study again")
    if manifest.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        raise InputError(f"{path}: schema version {manifest['schema_version']} is not known here; update capscope")
    return manifest


def edited_files(folder: Path, manifest: dict[str, Any]) -> tuple[str, ...]:
    """Return the files whose hash differs from the one in the manifest, or that are gone.

    Args:
        folder: The study.
        manifest: Its manifest, with a hash of each file.
    """
    recorded: dict[str, str] = manifest.get("sha256", {})
    return tuple(
        name
        for name, digest in sorted(recorded.items())
        if not (folder / name).is_file() or sha256_of(folder / name) != digest
    )


def table_files(folder: Path) -> dict[TableName, Path]:
    """Return the files of a study folder's tables.

    Raises:
        InputError: The folder does not exist, holds no table, or holds one twice.
    """
    try:
        finish_replacing(folder)
    except OSError as error:
        raise InputError(
            f"{folder}: a change of this study was cut short, and cannot be finished here ({error.strerror}); read it"
            " once from where it can be written"
        ) from None
    kind = kind_of(folder)
    if kind == "file":
        raise InputError(f"{folder}: this is a file, not a study folder; make one with 'capscope import'")
    if not kind:
        raise InputError(f"{folder}: no such study folder; check the path or make one with 'capscope import'")
    paths: dict[TableName, Path] = {table: path for table in TABLES if (path := _find(folder, table))}
    if not paths and kind in ("fit", "bank"):
        raise InputError(f"{folder}: this is a {kind}, not a study; give the folder of a study")
    if not paths:
        raise InputError(f"{folder}: no study here; expected one of {', '.join(f'{t}.parquet' for t in TABLES)}")
    return paths


def _find(folder: Path, table: str) -> Path | None:
    paths = [path for suffix in SUFFIXES if (path := folder / f"{table}{suffix}").is_file()]
    if len(paths) > 1:
        raise InputError(f"{folder}: holds {' and '.join(path.name for path in paths)}; keep one of them")
    return paths[0] if paths else None


def read_unchanged(folder: Path, read: Callable[[Path], Content]) -> Content:
    """Read a study folder, again where another process replaced some of its files meanwhile.

    Args:
        folder: The study folder.
        read: Reads it.

    Raises:
        InputError: The folder is wrong, or changes at every try.
    """
    for _ in range(TRIES):
        before = _versions(folder)
        try:
            content = read(folder)
        except InputError:
            if _versions(folder) == before:
                raise
        else:
            if _versions(folder) == before:
                return content
    raise InputError(f"{folder}: another process goes on changing it; run again when it is done")


def _versions(folder: Path) -> set[tuple[str, int, int, int]]:
    """Return sizes and times by which the files of a folder differ from later ones of the same names."""
    with suppress(OSError), os.scandir(folder) as entries:
        known = [(entry.name, entry.stat()) for entry in entries if entry.name in STUDY_FILES]
        return {(name, state.st_ino, state.st_mtime_ns, state.st_size) for name, state in known}
    return set()


def replace_tables(
    folder: Path, tables: Mapping[Path, pd.DataFrame], stated: Callable[[Mapping[str, str]], dict[str, Any]]
) -> None:
    """Replace tables of a study folder and its manifest, all or none, whatever cuts it short.

    Args:
        folder: The study folder.
        tables: New content by file.
        stated: The manifest, from the new files' hashes by name; an empty one is not written.

    Raises:
        OutputError: A file cannot be written; all are then as they were.
    """
    with as_output_error(folder, "folder"), whole_files(folder) as place:
        hashes: dict[str, str] = {}
        for path, frame in tables.items():
            scratch = place(path)
            TABLE_WRITERS[path.suffix.lower()](frame, scratch)
            hashes[path.name] = sha256_of(scratch)
        manifest = stated(hashes)
        if manifest:
            text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
            place(folder / MANIFEST).write_text(text, encoding="utf-8")
