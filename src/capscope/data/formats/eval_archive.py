"""Members of an Inspect `.eval` file: a zip archive whose members are packed with Zstandard (method 93)."""

import struct
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from capscope.data.reading import parse_json
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
            raise InputError(f"{path}: holds two members {first_few(repeated)}; which one counts cannot be told")
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
