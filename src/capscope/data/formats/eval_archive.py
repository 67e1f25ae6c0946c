"""Files of Inspect logs: `.eval` archives, whose members are packed with Zstandard (method 93), and documents."""

import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from capscope.data.formats.scored_log import as_object, as_objects, json_document, required, text_of
from capscope.data.json_text import parse_json
from capscope.errors import InputError, first_few

ZSTANDARD = 93
LOCAL_HEADER = 30
"""Bytes of a member's own header before its name; the lengths of name and extra field are its last four."""
ALWAYS_READ = 32 << 20
"""Bytes up to which a member is unpacked whatever its packed size."""
LARGEST_MEMBER = 256 << 20
"""Bytes of the largest member that is unpacked."""
LARGEST_RATIO = 64
"""A member larger than `ALWAYS_READ` may be so many times larger than its packed form; text is 3 to 30 times."""
CUT = "...\n(content truncated)"
"""End of a text that a summary has cut short."""


class EvalArchive:
    """An open `.eval` file, whose members are read as JSON values.

    Python before 3.14 lists such archives but cannot unpack them, so Arrow's decoder unpacks the bytes. Members are
    read within a limit on their declared and on their real size, so that a small file cannot fill the memory.
    """

    def __init__(self, path: Path) -> None:
        """Open the archive.

        Raises:
            InputError: It is no zip archive, or holds two members of one name.
        """
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise InputError(f"{path}: not a readable .eval file (truncated?); copy it again") from error
        names = self._zip.namelist()
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated:
            self._zip.close()
            raise InputError(f"{path}: holds two members {first_few(repeated)}; which one counts is not known")
        self.names = frozenset(names)

    def __enter__(self) -> "EvalArchive":
        """Return the archive itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the archive."""
        self._zip.close()

    def fits(self, name: str) -> bool:
        """Return whether a member is there and small enough to be read."""
        return name in self.names and self._within_limit(self._zip.getinfo(name))

    def member(self, name: str) -> object:
        """Return a member, parsed.

        Raises:
            InputError: It is damaged, too large, or no JSON.
        """
        info = self._zip.getinfo(name)
        if not self._within_limit(info):
            raise self._too_large(name)
        try:
            raw = self._unpacked(info)
            text = raw.decode("utf-8")
        except MemoryError:
            raise self._too_large(name) from None
        except (
            zipfile.BadZipFile,
            OSError,
            EOFError,
            UnicodeDecodeError,
            NotImplementedError,
            RuntimeError,
            struct.error,
            zlib.error,
        ) as error:
            raise InputError(f"{self.path}: its member {name} cannot be unpacked (damaged?); copy it again") from error
        return parse_json(self.path, text, f"member {name}")

    def _within_limit(self, info: zipfile.ZipInfo) -> bool:
        return info.file_size <= max(ALWAYS_READ, min(LARGEST_MEMBER, LARGEST_RATIO * info.compress_size))

    def _too_large(self, name: str) -> InputError:
        return InputError(
            f"{self.path}: its member {name} unpacks to more than {LARGEST_MEMBER >> 20} MB, or to over"
            f" {LARGEST_RATIO} times its packed size; split the run, or convert the log with 'inspect log convert'"
        )

    def _unpacked(self, info: zipfile.ZipInfo) -> bytes:
        """Unpack a member; it ends where its declared size does."""
        if info.compress_type != ZSTANDARD:
            with self._zip.open(info) as handle:
                return handle.read(info.file_size + 1)
        with self.path.open("rb") as handle:
            handle.seek(info.header_offset + LOCAL_HEADER - 4)
            name_length, extra_length = struct.unpack("<HH", handle.read(4))
            handle.seek(name_length + extra_length, 1)
            packed = handle.read(info.compress_size)
        unpacked = pa.input_stream(pa.py_buffer(packed), compression="zstd").read(info.file_size + 1)
        if len(unpacked) != info.file_size or zlib.crc32(unpacked) != info.CRC:
            raise zipfile.BadZipFile(info.filename)
        return unpacked


LOOKED_UP = 20
"""Samples that are looked up to learn whether they hold what their summaries lack."""
Samples = dict[tuple[str, str], dict[str, Any]]
"""Samples by id and epoch."""


@dataclass(frozen=True)
class InspectLog:
    """One log."""

    path: Path
    """The file."""
    header: dict[str, Any]
    """What was run: `eval`, `status`."""
    samples: Iterator[dict[str, Any]]
    """The samples, or their summaries."""
    first: Callable[[], dict[str, Any] | None]
    """Returns the first sample as a whole; None where the log holds none, or one too large to be read."""


def document_log(path: Path) -> InspectLog:
    """Read a log that is one JSON document."""
    header = as_object(path, json_document(path), "its text")
    required(path, header, "eval", "the log")
    samples = as_objects(path, header.get("samples") or [], "samples")
    return InspectLog(path, header, iter(samples), lambda: samples[0] if samples else None)


def archived_log(archive: EvalArchive) -> InspectLog:
    """Read a log that is an archive; a run that did not finish has its header and summaries in the journal only.

    Raises:
        InputError: The archive has no header and no journal.
    """
    starts = "header.json" if "header.json" in archive.names else "_journal/start.json"
    if starts not in archive.names:
        raise InputError(f"{archive.path}: holds neither header.json nor a journal; this is no Inspect log")
    header = as_object(archive.path, archive.member(starts), f"member {starts}")
    journal = sorted((name for name in archive.names if name.startswith("_journal/summaries/")), key=_number_in)
    names = ["summaries.json"] if {"header.json", "summaries.json"} <= archive.names else journal
    # the header says that some sample is invalidated; summaries do not say which
    samples = (
        _summaries(archive, names, invalidated=bool(header.get("invalidated"))) if names else whole_samples(archive)
    )
    return InspectLog(archive.path, header, samples, lambda: _first_sample(archive))


def _first_sample(archive: EvalArchive) -> dict[str, Any] | None:
    names = sorted(name for name in archive.names if name.startswith("samples/") and name.endswith(".json"))
    small = next((name for name in names if archive.fits(name)), None)
    return as_object(archive.path, archive.member(small), f"member {small}") if small else None


def _number_in(name: str) -> tuple[int, str]:
    """Order ``2.json`` before ``10.json``."""
    stem = Path(name).stem
    return (int(stem) if stem.isdecimal() else 0, name)


def whole_samples(archive: EvalArchive) -> Iterator[dict[str, Any]]:
    """Yield the samples of an archive that has no summaries."""
    for name in sorted(name for name in archive.names if name.startswith("samples/") and name.endswith(".json")):
        yield as_object(archive.path, archive.member(name), f"member {name}")


def _summaries(archive: EvalArchive, names: Sequence[str], *, invalidated: bool) -> Iterator[dict[str, Any]]:
    """Yield the summaries, each with what Inspect left out of it, and the samples that no summary is of."""
    summaries = [
        summary for name in names for summary in as_objects(archive.path, archive.member(name), f"member {name}")
    ]
    others = _unsummarised(archive, summaries)
    choices_elsewhere = not any("choices" in summary for summary in summaries) and _have(
        archive, summaries, others, "choices"
    )
    unscored = [summary for summary in summaries if not summary.get("scores") and not summary.get("error")]
    scores_elsewhere = _have(archive, unscored, others, "scores")
    for summary in summaries:
        unseen = scores_elsewhere and not summary.get("scores") and not summary.get("error")
        sample = _sample(archive, summary, others) if unseen or invalidated else None
        if sample is not None and not unseen:
            summary, sample = {**summary, "invalidation": sample.get("invalidation")}, None
        yield _completed(archive, sample or summary, others, choices_elsewhere and sample is None)
    known = {_identity(summary) for summary in summaries}
    yield from (sample for identity, sample in others.items() if identity not in known)


def _identity(sample: dict[str, Any]) -> tuple[str, str]:
    return str(sample.get("id")), str(sample.get("epoch", 1))


def _unsummarised(archive: EvalArchive, summaries: Sequence[dict[str, Any]]) -> Samples:
    """Return the samples whose members are not named after a summary, as those of a run that was stopped."""
    named = {name for summary in summaries for name in _member_names(summary)}
    others = (
        as_object(archive.path, archive.member(name), f"member {name}")
        for name in sorted(archive.names - named)
        if name.startswith("samples/") and name.endswith(".json")
    )
    return {_identity(sample): sample for sample in others}


def _have(archive: EvalArchive, summaries: Sequence[dict[str, Any]], others: Samples, part: str) -> bool:
    """Return whether some of the samples have a part that their summaries lack."""
    places = np.unique(np.linspace(0, len(summaries) - 1, LOOKED_UP).astype(int)) if summaries else ()
    return any((_sample(archive, summaries[place], others) or {}).get(part) for place in places)


def _member_names(summary: dict[str, Any]) -> tuple[str, str]:
    """Return the names that the member of a sample may have: with its id as it is, or quoted."""
    identity, epoch = _identity(summary)
    return f"samples/{identity}_epoch_{epoch}.json", f"samples/{quote(identity, safe='')}_epoch_{epoch}.json"


def _sample(archive: EvalArchive, summary: dict[str, Any], others: Samples) -> dict[str, Any] | None:
    """Return the sample of a summary; None where the archive does not hold it, or holds too much of it."""
    name = next((name for name in _member_names(summary) if archive.fits(name)), None)
    if name is None:
        return others.get(_identity(summary))
    return as_object(archive.path, archive.member(name), f"member {name}")


def _completed(
    archive: EvalArchive, summary: dict[str, Any], others: Samples, choices_elsewhere: bool
) -> dict[str, Any]:
    """Return a summary with its whole texts and its choices, which are looked up in the sample where need be."""
    text, target = input_text(summary.get("input")), text_of(summary.get("target"))
    cut = any(part and part.endswith(CUT) for part in (text, target))
    if not cut and not choices_elsewhere:
        return summary
    sample = _sample(archive, summary, others)
    if sample is None:
        return {**summary, "input": None, "target": None} if cut else summary
    return {**summary, **{name: sample.get(name) for name in ("input", "target", "choices")}}


def input_text(messages: object) -> str | None:
    """Return the text of an input: itself, or the text of its messages."""
    if not isinstance(messages, list):
        return text_of(messages)
    parts = [_content(message.get("content")) for message in messages if isinstance(message, dict)]
    return "\n".join(part for part in parts if part)


def _content(content: object) -> str:
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content if isinstance(part, dict) and "text" in part)
    return str(content or "")
