"""Reading of files whose formats are recognised: one study of all formats, with a remark on every choice."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any

from capscope.data.formats.format import MODEL, Format, ImportReport, Paths, Suggestion
from capscope.data.formats.merging import merge_studies
from capscope.data.formats.reading_formats import Recognised, known_format, read_format, recognise
from capscope.data.formats.score_tables import Runs
from capscope.data.study import Study
from capscope.errors import CapscopeError, InputError, counted, first_few

USUAL = {"usual": True, "runs": "latest"}
"""Options of formats that have them, where neither format nor options are named: the usual choice of a score, and of
several runs the latest."""
JOINED_RUNS: tuple[Runs, ...] = ("mean", "all")
"""What may become of one answer in several formats; which of them is the latest is not known."""


@dataclass(frozen=True)
class Imported:
    """Result of an import without a named format."""

    recognised: Recognised
    """The formats, the files taken and those left."""
    study: Study
    """The study."""
    report: ImportReport
    """Its counts."""
    by_format: dict[str, ImportReport]
    """Counts of each format."""
    remarks: tuple[str, ...] = ()
    """Remarks on the recognised formats, files not read, and choices."""


@dataclass(frozen=True)
class FormatPart:
    """What one format of several gives."""

    study: Study
    """Its study."""
    report: ImportReport
    """Its counts."""
    remarks: tuple[str, ...]
    """Remarks on choices."""


def read_recognised(
    formats: Mapping[str, Format],
    paths: Paths,
    options: Mapping[str, Any],
    supplied: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Imported:
    """Make a study of files whose formats are recognised; what the user leaves open is chosen, with a remark.

    Files of several formats become one study by the rules of `merge_studies`: items of one id have to be the same. An
    option goes to all formats that have it.

    Args:
        formats: The family.
        paths: Files and folders.
        options: Keywords of the formats' `read`, as the user gave them.
        supplied: Functions of later rooms, and further options, by the keyword under which a format may take them.
        name: The format, where the user names it: files of other formats are then left.

    Returns:
        The study, its formats, and a report with counts.

    Raises:
        InputError: The files have no format, an option is none of the formats', a file is wrong, or two formats
            disagree about an item or an answer.
    """
    recognised = _recognised(formats, paths, options, name)
    given = {**(supplied or {})}
    parts = _parts(formats, recognised, options, given)
    reports = {found: part.report for found, part in parts.items()}
    if len(parts) == 1:
        ((_, part),) = parts.items()
        return Imported(recognised, part.study, part.report, reports, (*recognised.remarks(), *part.remarks))
    study, report = _joined(parts, str(options.get("runs") or given.get("runs") or "error"))
    each = [
        f"{found}: {counted(part.report.responses, 'response')} of {counted(part.report.models, 'model')} on"
        f" {counted(part.report.items, 'item')}"
        for found, part in parts.items()
    ]
    remarks = (*recognised.remarks(), *each, *(remark for part in parts.values() for remark in part.remarks))
    return Imported(recognised, study, report, reports, remarks)


def _recognised(
    formats: Mapping[str, Format], paths: Paths, options: Mapping[str, Any], name: str | None
) -> Recognised:
    """Recognise files; options that only one format has name it, unless the files are of formats that have them."""
    if name is not None:
        return recognise(formats, paths, known_format(formats, name).name)
    having = [entry.name for entry in formats.values() if set(options) <= _keywords(entry)]
    only = having[0] if options and len(having) == 1 else None
    if only is None:
        return recognise(formats, paths)
    try:
        recognised = recognise(formats, paths)
    except InputError:
        return recognise(formats, paths, only)
    return recognised if only in recognised.by_format else recognise(formats, paths, only)


def _parts(
    formats: Mapping[str, Format], recognised: Recognised, options: Mapping[str, Any], supplied: Mapping[str, Any]
) -> dict[str, FormatPart]:
    """Read the files of each format.

    Raises:
        InputError: A file is wrong; where there are several formats, the message says how to go on with the others.
    """
    several = len(recognised.by_format) > 1
    if several and MODEL.keyword in options:
        raise InputError(
            f"{MODEL.name} says who answered in the files of one format, and here are {recognised.format}; choose one"
            " with --format NAME"
        )
    parts: dict[str, FormatPart] = {}
    for name, files in recognised.by_format.items():
        own = _options_of(formats, recognised, name, options)
        try:
            parts[name] = _part(formats[name], formats, files, own, supplied)
        except CapscopeError as error:
            if not several:
                raise
            raise type(error)(f"{error}; {_or_one(recognised.by_format)}") from error
    return parts


def _or_one(names: Iterable[str]) -> str:
    return f"or take one of the formats ({', '.join(names)}) with --format NAME"


def _keywords(entry: Format) -> set[str]:
    return {option.keyword for option in entry.options}


def _options_of(
    formats: Mapping[str, Format], recognised: Recognised, name: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the options that a format gets: its own, and those that none of the formats has, which it refuses."""
    known = {keyword for found in recognised.by_format for keyword in _keywords(formats[found])}
    own = _keywords(formats[name])
    return {keyword: value for keyword, value in options.items() if keyword in own or keyword not in known}


def _part(
    entry: Format,
    formats: Mapping[str, Format],
    files: Sequence[Path],
    options: Mapping[str, Any],
    supplied: Mapping[str, Any],
) -> FormatPart:
    """Read the files of one format."""
    suggestion = entry.suggest(files, options) if entry.suggest else Suggestion(paths=tuple(files))
    known = signature(entry.read).parameters
    suggested = {**USUAL, **suggestion.options, **supplied}
    usual = {keyword: value for keyword, value in suggested.items() if keyword in known}
    study, report = read_format(formats, entry.name, suggestion.paths, {**usual, **options})
    return FormatPart(study, report, suggestion.remarks)


def _joined(parts: Mapping[str, FormatPart], runs: str) -> tuple[Study, ImportReport]:
    """Join the studies of several formats.

    Raises:
        InputError: They disagree about an item or an answer.
    """
    studies = [replace(part.study, name=name) for name, part in parts.items()]
    try:
        merged = merge_studies(studies, runs if runs in JOINED_RUNS else "error")
    except CapscopeError as error:
        message = str(error).replace("--repeats latest, mean", "--repeats mean")
        raise type(error)(f"{message}; {_or_one(parts)}") from error
    reports = [part.report for part in parts.values()]
    study = merged.study
    notes = [f"{name}: {note}" for name, part in parts.items() for note in part.report.notes]
    notes += [*merged.notes, *_asked_twice(studies)]
    responses = study.responses
    report = ImportReport(
        sum(each.rows for each in reports),
        0 if responses is None else len(responses),
        0 if responses is None else responses["model"].nunique(),
        len({item for table in study.tables().values() for item in table["item_id"].astype(str).unique()}),
        0 if study.demands is None else len(study.demands),
        sum(each.not_administered for each in reports),
        sum(each.unrated for each in reports),
        tuple(source for each in reports for source in each.sources),
        tuple(notes),
    )
    name = first_few(dict.fromkeys(report.sources))
    return replace(study, name=name, sources={**study.sources, "notes": notes}), report


def _asked_twice(studies: Sequence[Study]) -> list[str]:
    """Name pairs of formats that have a text under two ids, or an id without texts to compare."""
    texts = [_texts(study) for study in studies]
    remarks: list[str] = []
    for place, (study, own) in enumerate(zip(studies, texts, strict=True)):
        for other, theirs in zip(studies[place + 1 :], texts[place + 1 :], strict=True):
            ids = own.keys() & theirs.keys()
            blind = sum(not (own[item] and theirs[item]) for item in ids)
            again = len({own[i] for i in own.keys() - ids} & {theirs[i] for i in theirs.keys() - ids} - {""})
            pair = f"{study.name} and {other.name}"
            if blind:
                remarks.append(
                    f"{pair}: {counted(blind, 'item id', 'are')} in both and taken as the same items; their texts"
                    " cannot be compared"
                )
            if again:
                remarks.append(
                    f"{pair}: {counted(again, 'text', 'are')} in both under other item ids, which stay different items;"
                    " where one was converted from the other, take one with --format NAME, or answers count twice"
                )
    return remarks


def _texts(study: Study) -> dict[str, str]:
    """Return the text of each item, empty where there is none."""
    texts: dict[str, str] = {}
    for table in study.tables().values():
        texts |= dict.fromkeys(table["item_id"].astype(str).unique(), "")
    if study.items is not None and "text" in study.items:
        known = study.items[study.items["text"].notna()]
        texts |= {
            item: " ".join(str(text).split())
            for item, text in zip(known["item_id"].astype(str), known["text"], strict=True)
        }
    return texts
