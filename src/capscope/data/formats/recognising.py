"""Find out which format files have, and which files of a folder hold answers."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from capscope.data.formats.format import Format, Head, Paths, as_paths, head_of
from capscope.data.study import MANIFEST
from capscope.errors import InputError, first_few

TABLE_BESIDE = "tables beside logs (import them by themselves)"
UNKNOWN = "of no known format"


@dataclass(frozen=True)
class Recognised:
    """Files that hold answers, their format, and the files that do not."""

    format: str
    """Name of the format."""
    files: tuple[Path, ...]
    """The files of that format: those given in their order, those of folders sorted."""
    left: dict[str, tuple[Path, ...]] = field(default_factory=dict[str, tuple[Path, ...]])
    """Files of folders that are not read as answers, by the reason."""

    def remarks(self) -> list[str]:
        """Return what was recognised and what was left, one sentence each."""
        count = "one file" if len(self.files) == 1 else f"{len(self.files)} files"
        first = f"recognised as {self.format}: {count}"
        rest = [
            f"left: {len(files)} {why}: {first_few([path.name for path in files], 3)}"
            for why, files in self.left.items()
        ]
        return [first, *rest]


def recognise(formats: Mapping[str, Format], paths: Paths, name: str | None = None) -> Recognised:
    """Find the format of files, and the files of folders that have it.

    Args:
        formats: The family.
        paths: Files and folders. A format that takes any table gives way to the others.
        name: The format, where it is known: files that are named are of it, and those of folders that have it.

    Raises:
        InputError: A path does not exist or is a study, no format recognises any file, several recognise one, or the
            files have several formats.
    """
    given = as_paths(paths)
    formats = formats if name is None else {name: formats[name]}
    by_format: dict[str, list[Path]] = {}
    left: dict[str, list[Path]] = {}
    for inner, named in (entry for path in given for entry in _files(path)):
        kind, why = (name, "") if named and name else _kind(formats, inner, named=named)
        if kind:
            by_format.setdefault(kind, []).append(inner)
        else:
            left.setdefault(why, []).append(inner)
    if any(not formats[found].generic for found in by_format):
        for generic in [found for found in by_format if formats[found].generic]:
            left.setdefault(TABLE_BESIDE, []).extend(by_format.pop(generic))
    if len(by_format) != 1:
        raise InputError(_several(given, by_format) if by_format else _nothing(given, left, formats))
    ((chosen, files),) = by_format.items()
    return Recognised(chosen, tuple(dict.fromkeys(files)), {why: tuple(rest) for why, rest in left.items()})


def detect_format(formats: Mapping[str, Format], paths: Paths) -> str:
    """Return the name of the format of files; see `recognise`."""
    return recognise(formats, paths).format


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
        for name in sorted(name for name in names if not name.startswith(".")):
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
    return (names[0], "") if names else ("", UNKNOWN)


def _formats_of(formats: Mapping[str, Format], head: Head, *, any_name: bool) -> list[str]:
    """Return the formats that recognise a file; one that takes any table counts only where no other does."""
    fitting = [
        entry
        for entry in formats.values()
        if any_name or any(fnmatch(head.path.name.lower(), pattern.lower()) for pattern in entry.patterns)
    ]
    tools = [entry.name for entry in fitting if not entry.generic and entry.detect(head)]
    return tools or [entry.name for entry in fitting if entry.generic and entry.detect(head)]


def _several(given: Sequence[Path], by_format: Mapping[str, Sequence[Path]]) -> str:
    counts = ", ".join(
        f"{name} ({len(files)} file{'s' if len(files) > 1 else ''})" for name, files in by_format.items()
    )
    return (
        f"{first_few(map(str, given))}: holds {counts}; choose with --format, or import each and join the studies"
        " with 'capscope merge'"
    )


def _nothing(given: Sequence[Path], left: Mapping[str, Sequence[Path]], formats: Mapping[str, Format]) -> str:
    what = first_few(map(str, given))
    known = {why: files for why, files in left.items() if why != UNKNOWN}
    if known:
        kinds = "; ".join(
            f"{len(files)} {why}, such as {first_few([path.name for path in files], 1)}" for why, files in known.items()
        )
        return f"{what}: no file holds single answers: {kinds}"
    return f"{what}: no format recognises these files; name one of {', '.join(formats)} with --format"
