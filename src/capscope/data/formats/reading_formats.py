"""Recognition of the formats of files, reading in a named format, and writing of studies in a format."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from inspect import signature
from pathlib import Path
from typing import Any

from capscope.data.formats.format import ExportReport, Format, Head, ImportReport, Paths, as_paths, head_of
from capscope.data.reading import UNREADABLE, odd_start, read_table
from capscope.data.study import Study
from capscope.data.study_folder import MANIFEST
from capscope.errors import CapscopeError, InputError, counted, first_few, nearest

UNKNOWN = "of no known format"
LOG_SUFFIXES = (".json", ".jsonl", ".jsonlines", ".gz", ".zst")
"""Ends of names of logs; a table says by itself what is wrong with it."""


@dataclass(frozen=True)
class Recognised:
    """Files with answers by their formats, and files that are not read."""

    by_format: dict[str, tuple[Path, ...]]
    """The files of each format, in the order of the family: those given in their order, those of folders sorted."""
    left: dict[str, tuple[Path, ...]] = field(default_factory=dict[str, tuple[Path, ...]])
    """Files of folders that are not read as answers, by the reason."""

    @property
    def format(self) -> str:
        """Names of the formats, separated by commas."""
        return ", ".join(self.by_format)

    def remarks(self) -> list[str]:
        """Return what was recognised and what was left, one sentence each."""
        first = [
            f"recognised as {name}: {'one file' if len(files) == 1 else counted(len(files), 'file')}"
            for name, files in self.by_format.items()
        ]
        rest = [
            f"left: {len(files)} {why}: {first_few(list(dict.fromkeys(path.name for path in files)), 3)}"
            for why, files in self.left.items()
        ]
        return [*first, *rest]


def recognise(formats: Mapping[str, Format], paths: Paths, name: str | None = None) -> Recognised:
    """Find the formats of files, and the files of folders that have them.

    Args:
        formats: The family.
        paths: Files and folders. A format that takes any table gives way to the others.
        name: The format, where it is known: files that are named are of it, and those of folders that have it.

    Returns:
        The files of each format.

    Raises:
        InputError: A path does not exist or is a study, no format recognises any file, or several recognise one.
    """
    given = as_paths(paths)
    wanted = formats if name is None else {name: formats[name]}
    by_format: dict[str, list[Path]] = {}
    left: dict[str, list[Path]] = {}
    for inner, named in (entry for path in given for entry in _files(path)):
        kind, why = (name, "") if named and name else _kind(wanted, inner, named=named)
        if kind:
            by_format.setdefault(kind, []).append(inner)
        else:
            left.setdefault(_other_format(formats, inner) if name and why == UNKNOWN else why, []).append(inner)
    if any(not (formats[found].generic or formats[found].with_tables) for found in by_format):
        for generic in [found for found in by_format if formats[found].generic]:
            for table in by_format.pop(generic):
                left.setdefault(_beside_logs(table), []).append(table)
    if not by_format:
        raise InputError(_nothing(given, left, wanted))
    return Recognised(
        {found: tuple(dict.fromkeys(by_format[found])) for found in formats if found in by_format},
        {why: tuple(rest) for why, rest in left.items()},
    )


def _other_format(formats: Mapping[str, Format], path: Path) -> str:
    """Return why a file that is not of the named format is left."""
    others = _formats_of(formats, head_of(path), any_name=False)
    return f"of format {' or '.join(others)}" if others else UNKNOWN


def _beside_logs(table: Path) -> str:
    """Return why a table beside logs is left: it may repeat their answers under other ids."""
    levels = {"rubric", "level"} <= head_of(table).names
    what, command = ("tables of demand levels", "import levels") if levels else ("tables", "import")
    return f"{what} beside logs (add one with 'capscope {command} FILE --into STUDY')"


def detect_format(formats: Mapping[str, Format], paths: Paths) -> str:
    """Return the name of the format of files; see `recognise`.

    Args:
        formats: The family.
        paths: Files and folders.

    Raises:
        InputError: They have none, or several.
    """
    recognised = recognise(formats, paths)
    if len(recognised.by_format) > 1:
        raise InputError(f"{first_few(map(str, as_paths(paths)))}: holds {recognised.format}; name one format")
    return recognised.format


def _files(path: Path) -> Iterator[tuple[Path, bool]]:
    """Yield a file, or the files of a folder at any depth, and whether the file was named itself.

    Raises:
        InputError: The path does not exist, or is a study.
    """
    if path.is_file():
        yield path, True
        return
    if not path.is_dir():
        raise InputError(f"{path}: no such file; check the path")
    if (path / MANIFEST).is_file():
        raise InputError(f"{path}: is a study already; use it as it is, or join studies with 'capscope merge'")
    for folder, inner, names in os.walk(path):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".") or name.endswith(".json")):
            yield Path(folder) / name, False


def _kind(formats: Mapping[str, Format], path: Path, *, named: bool) -> tuple[str, str]:
    """Return the format of a file, or why it is left.

    Raises:
        InputError: Several formats recognise it.
    """
    head = head_of(path)
    why = "" if named else next((why for entry in formats.values() if (why := entry.beside(head))), "")
    if why:
        return "", why
    names = _formats_of(formats, head, any_name=named)
    if len(names) > 1:
        raise InputError(f"{path}: may be {' or '.join(names)}; say which with --format or its name")
    if names:
        return names[0], ""
    return "", (odd_start(path) if path.suffix.lower() in LOG_SUFFIXES else "") or UNKNOWN


def _formats_of(formats: Mapping[str, Format], head: Head, *, any_name: bool) -> list[str]:
    """Return the formats that recognise a file; one that takes any table counts only where no other does."""
    fitting = [
        entry
        for entry in formats.values()
        if any_name or any(fnmatch(head.path.name.lower(), pattern.lower()) for pattern in entry.patterns)
    ]
    tools = [entry.name for entry in fitting if not entry.generic and entry.detect(head)]
    return tools or [entry.name for entry in fitting if entry.generic and entry.detect(head)]


def _nothing(given: Sequence[Path], left: Mapping[str, Sequence[Path]], formats: Mapping[str, Format]) -> str:
    what = first_few(map(str, given))
    known = {why: files for why, files in left.items() if why != UNKNOWN}
    if known:
        kinds = "; ".join(
            f"{len(files)} {why}, such as {first_few([path.name for path in files], 1)}" for why, files in known.items()
        )
        sought = f"is of format {next(iter(formats))}" if len(formats) == 1 else "holds single answers"
        return f"{what}: no file {sought}: {kinds}"
    unknown = left.get(UNKNOWN, ())
    table = next((path for path in unknown if path.suffix.lower() in (".csv", ".tsv", ".parquet")), None)
    if table is not None or len(unknown) == 1 and unknown[0].suffix.lower() in UNREADABLE:
        # a file that is no table as it stands says what is wrong with it
        try:
            read_table(table or unknown[0], keep_index=True)
        except InputError as error:
            return str(error)
    if table is not None:
        columns = first_few(sorted(head_of(table).names), 6)
        return (
            f"{what}: no format recognises these files; {table.name} has the columns {columns}: say which hold what"
            " with --model-col, --id-col and --score-col, or --wide for a matrix"
        )
    return f"{what}: no format recognises these files; name one of {', '.join(formats)} with --format"


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
    entry = known_format(formats, name)
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


def with_keywords(formats: Mapping[str, Format], message: str) -> str:
    """Name options in a message as Python takes them: ``options["metrics"]`` where the command line has ``--metric``.

    Args:
        formats: The family.
        message: Message of an error.

    Returns:
        The message.
    """
    keywords = {name: option.keyword for entry in formats.values() for option in entry.options for name in option.names}

    def keyword(flag: re.Match[str]) -> str:
        return f'options["{keywords[flag[0]]}"]' if flag[0] in keywords else flag[0].replace("--format", "format=")

    return re.sub(r"--[a-z][a-z-]*", keyword, message).replace("format= ", "format=")


def export_study(formats: Mapping[str, Format], name: str, study: Study, out: Path, *, force: bool) -> ExportReport:
    """Write a study in a format.

    Args:
        formats: The family.
        name: Name of the format.
        study: The study.
        out: File or folder to write.
        force: Replace an existing one.

    Returns:
        The files that were written, and the columns that they lack.

    Raises:
        InputError: No such format, one that cannot be written, or a study that it cannot hold.
        OutputError: The output exists, or cannot be written.
    """
    entry = known_format(formats, name)
    if entry.write is None:
        able = [other for other, format in formats.items() if format.write]
        raise InputError(f"{name} cannot be written; use one of {', '.join(able)}")
    return entry.write(study, out, force)


def known_format(formats: Mapping[str, Format], name: str) -> Format:
    """Return a format by its name.

    Args:
        formats: Formats by name.
        name: The name.

    Raises:
        InputError: No format has the name.
    """
    if name not in formats:
        raise InputError(f"no format '{name}'{nearest(name, formats)}; one of {', '.join(formats)}")
    return formats[name]
