"""Recognise a format by its files, read it with options by name, and write one: the doors to the family."""

from collections.abc import Mapping
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

from capscope.data.formats.format import ExportReport, Format, ImportReport, Paths, as_paths, head_of
from capscope.data.study import Study
from capscope.errors import CapscopeError, InputError, first_few, nearest

FILES_LOOKED_AT = 50
"""Files of a folder that are looked at to recognise a format."""


def detect_format(formats: Mapping[str, Format], paths: Paths) -> str:
    """Return the name of the format of files, by the first of them that any format recognises.

    Args:
        formats: The family.
        paths: Files and folders.

    Raises:
        InputError: No format recognises any, or several formats recognise one.
    """
    given = as_paths(paths)
    for path in given:
        if not path.exists():
            raise InputError(f"{path}: no such file; check the path")
        for inner in _candidates(path, formats):
            head = head_of(inner)
            names = [name for name, entry in formats.items() if entry.detect(head)]
            if len(names) == 1:
                return names[0]
            if names:
                raise InputError(f"{inner}: may be {' or '.join(names)}; say which with the format's name")
    raise InputError(
        f"{first_few(map(str, given))}: no format recognises these files; name one of {', '.join(formats)}"
    )


def _candidates(path: Path, formats: Mapping[str, Format]) -> list[Path]:
    if not path.is_dir():
        return [path]
    fitting = {inner for entry in formats.values() for pattern in entry.patterns for inner in path.rglob(pattern)}
    return sorted(inner for inner in fitting if inner.is_file())[:FILES_LOOKED_AT]


def read_format(
    formats: Mapping[str, Format], name: str, paths: Paths, options: Mapping[str, Any]
) -> tuple[Study, ImportReport]:
    """Make a study of files in a format.

    Args:
        formats: The family.
        name: Name of the format.
        paths: Files and folders.
        options: Keywords of the format's `read`.

    Returns:
        The study, and the counts of the import.

    Raises:
        InputError: No such format or option, or a file is wrong.
    """
    entry = _entry(formats, name)
    known = signature(entry.read).parameters
    unknown = [keyword for keyword in options if keyword not in known]
    if unknown:
        raise InputError(
            f"{name} has no option '{unknown[0]}'{nearest(unknown[0], known)}; it has {', '.join(list(known)[1:])}"
        )
    missing = [keyword for keyword in entry.supplied if keyword not in options]
    if missing:
        raise InputError(f"{name} needs the option {', '.join(missing)}; give a function for it")
    try:
        study, report = entry.read(as_paths(paths), **options)
    except CapscopeError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        # the last net for values of a kind that no tool writes; each reader names file and place where it can
        raise InputError(
            f"{first_few(map(str, as_paths(paths)))}: not as {name} is written ({type(error).__name__}: {error});"
            " check the format, or see the place with --debug"
        ) from error
    if report.notes:
        study = replace(study, sources={**study.sources, "notes": list(report.notes)})
    return study, report


def export_study(formats: Mapping[str, Format], name: str, study: Study, out: Path, *, force: bool) -> ExportReport:
    """Write a study in a format.

    Args:
        formats: The family.
        name: Name of the format.
        study: The study.
        out: File or folder to write.
        force: Replace an existing one.

    Raises:
        InputError: No such format, one that cannot be written, or a study that it cannot hold.
        OutputError: The output exists, or cannot be written.
    """
    entry = _entry(formats, name)
    if entry.write is None:
        able = [other for other, format in formats.items() if format.write]
        raise InputError(f"{name} cannot be written; use one of {', '.join(able)}")
    return entry.write(study, out, force)


def _entry(formats: Mapping[str, Format], name: str) -> Format:
    if name not in formats:
        raise InputError(f"no format '{name}'{nearest(name, formats)}; one of {', '.join(formats)}")
    return formats[name]
