"""Read files in a format with options by name, or in the one they are recognised to have, and write a study in one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any

from capscope.data.formats.format import ExportReport, Format, ImportReport, Paths, Suggestion, as_paths
from capscope.data.formats.recognising import Recognised, recognise
from capscope.data.study import Study
from capscope.errors import CapscopeError, InputError, first_few, nearest


@dataclass(frozen=True)
class Imported:
    """What an import without a format gives."""

    recognised: Recognised
    """The format, the files taken and those left."""
    study: Study
    """The study."""
    report: ImportReport
    """Its counts."""
    remarks: tuple[str, ...] = ()
    """What was recognised, left, and taken as what."""


USUAL = {"usual": True, "runs": "latest"}
"""Options of formats that have them, where neither format nor options are named: the usual choice of a score, and of
several runs the latest."""


def read_recognised(
    formats: Mapping[str, Format],
    paths: Paths,
    options: Mapping[str, Any],
    supplied: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Imported:
    """Make a study of files whose format is recognised; what the user leaves open is chosen, with a remark.

    Args:
        formats: The family.
        paths: Files and folders.
        options: Keywords of the format's `read`, as the user gave them.
        supplied: Functions of later rooms, by the keyword under which a format may need them.
        name: The format, where the user names it: files of other formats are then left.

    Raises:
        InputError: The files have no or several formats, an option is none of the format's, or a file is wrong.
    """
    recognised = recognise(formats, paths, name if name is None else _entry(formats, name).name)
    entry = formats[recognised.format]
    suggestion = entry.suggest(recognised.files, options) if entry.suggest else Suggestion(paths=recognised.files)
    known = signature(entry.read).parameters
    suggested = {**USUAL, **suggestion.options, **(supplied or {})}
    usual = {keyword: value for keyword, value in suggested.items() if keyword in known}
    study, report = read_format(formats, entry.name, suggestion.paths, {**usual, **options})
    return Imported(recognised, study, report, (*recognised.remarks(), *suggestion.remarks))


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
