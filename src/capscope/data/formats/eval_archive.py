"""Members of an Inspect `.eval` file: a zip archive whose members are packed with Zstandard (method 93)."""

import struct
import zipfile
import zlib
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from capscope.data.reading import parse_json
from capscope.errors import InputError

ZSTANDARD = 93
LOCAL_HEADER = 30
"""Bytes of a member's own header before its name; the lengths of name and extra field are its last four."""


class EvalArchive:
    """An open `.eval` file, which gives its members as JSON values.

    Python before 3.14 lists such archives but cannot unpack them, so the packed bytes are handed to Arrow's decoder.
    """

    def __init__(self, path: Path) -> None:
        """Open the archive.

        Raises:
            InputError: It is no zip archive.
        """
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise InputError(f"{path}: not a readable .eval file (truncated?); copy it again") from error
        self.names = frozenset(self._zip.namelist())

    def __enter__(self) -> "EvalArchive":
        """Return the archive itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the archive."""
        self._zip.close()

    def member(self, name: str) -> object:
        """Return a member, parsed.

        Raises:
            InputError: It is damaged or no JSON.
        """
        try:
            raw = self._unpacked(self._zip.getinfo(name))
            text = raw.decode("utf-8")
        except (zipfile.BadZipFile, OSError, EOFError, UnicodeDecodeError, NotImplementedError, zlib.error) as error:
            raise InputError(f"{self.path}: its member {name} cannot be unpacked (damaged?); copy it again") from error
        return parse_json(self.path, text, f"member {name}")

    def _unpacked(self, info: zipfile.ZipInfo) -> bytes:
        if info.compress_type != ZSTANDARD:
            return self._zip.read(info)
        with self.path.open("rb") as handle:
            handle.seek(info.header_offset + LOCAL_HEADER - 4)
            name_length, extra_length = struct.unpack("<HH", handle.read(4))
            handle.seek(name_length + extra_length, 1)
            packed = handle.read(info.compress_size)
        unpacked = pa.input_stream(pa.py_buffer(packed), compression="zstd").read()
        if zlib.crc32(unpacked) != info.CRC:
            raise zipfile.BadZipFile(info.filename)
        return unpacked
