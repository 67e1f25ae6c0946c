"""Printing of results (JSON or text, on stdout), of messages and progress (on stderr), without control characters."""

import json
import math
import os
import re
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from capscope.errors import OutputError, shortened

if TYPE_CHECKING:
    import pandas as pd

LONGEST_ERROR = 500
"""Characters of an error line."""
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters but line feed and tab, and marks that reverse the order of letters."""


def emit(result: dict[str, Any], as_json: bool, text: str) -> None:
    """Print a result on stdout.

    Args:
        result: Plain values; numpy numbers become Python numbers, NaN and infinity become null.
        as_json: Print `result` as one JSON document.
        text: Printed where `as_json` is false.

    Raises:
        OutputError: stdout is closed or full.
    """
    if not as_json:
        write_out(printable(text) + "\n")
        return
    ascii_only = "utf" not in (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    document = json.dumps(plain(result), indent=2, ensure_ascii=ascii_only, allow_nan=False)
    write_out(_CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", document) + "\n")


def write_out(text: str) -> None:
    """Write a text to stdout and flush it.

    Raises:
        OutputError: stdout is closed or full.
    """
    stream: TextIO | None = sys.stdout
    if stream is None:
        raise OutputError("stdout: is closed; give the command an output")
    try:
        stream.write(_encodable(text, stream.encoding))
        stream.flush()
    except BrokenPipeError:
        discard_output()
        sys.exit(1)  # the reader, such as `head`, has closed the pipe
    except OSError as error:
        discard_output()
        raise OutputError(
            f"stdout: cannot be written ({error.strerror}); what the command wrote to files is kept"
        ) from None


def write_error(line: str) -> None:
    """Write one line to stderr; it is lost where stderr is closed or full."""
    stream: TextIO | None = sys.stderr
    if stream is not None:
        with suppress(OSError):
            stream.write(_encodable(printable(line), stream.encoding) + "\n")
            stream.flush()


def _encodable(text: str, encoding: str | None) -> str:
    """Replace the characters that a stream's encoding does not have by escapes."""
    return text.encode(encoding or "utf-8", "backslashreplace").decode(encoding or "utf-8")


@contextmanager
def on_interrupt(kept: str) -> Generator[None]:
    """Say what is kept where Ctrl-C ends the block; without words the application says that it starts over."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped by Ctrl-C; {kept}" if kept else "") from None


def flush_output() -> None:
    """Flush stdout.

    Raises:
        OutputError: stdout is closed or full.
    """
    if sys.stdout is not None and not sys.stdout.closed:
        write_out("")


def discard_output() -> None:
    """Redirect stdout to the null device, so that the interpreter does not fail again when it flushes at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def printable(text: str) -> str:
    r"""Show control characters as text, such as `\x1b`; line feeds and tabs stay."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def error_line(error: BaseException) -> str:
    """Return the message of an error as one printable line; of over 500 characters, the middle is left out."""
    return shortened(printable(" ".join(str(error).split())), LONGEST_ERROR)


def plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Convert a value to JSON types; NaN and infinity become null."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]  # pyright: ignore[reportUnknownVariableType]
    if value is None or isinstance(value, str | bool | int):
        return value
    number = value.item() if type(value).__module__ == "numpy" else value
    return None if isinstance(number, float) and not math.isfinite(number) else number


def table_text(table: "pd.DataFrame", digits: int | None = None) -> str:
    """Lay a table out as text.

    Args:
        table: The table.
        digits: Significant digits of numbers; by default they have three decimals.
    """
    if digits is None:
        return table.to_string(index=False, na_rep="-", float_format=lambda number: f"{number:.3f}")
    return table.to_string(index=False, na_rep="-", float_format=lambda number: _significant(number, digits))


def _significant(number: float, digits: int) -> str:
    """Format a number with this many significant digits, and all digits before the point."""
    if number == 0 or not math.isfinite(number):
        return f"{number:g}"
    return f"{number:.{max(0, digits - 1 - math.floor(math.log10(abs(number))))}f}"


@contextmanager
def progress_bar(title: str) -> Generator[Callable[[float], None]]:
    """Show a bar on stderr while a job runs, if stderr is a terminal.

    Args:
        title: What is being done.

    Yields:
        A function that takes the share of the work done, 0 to 1.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda share: None  # noqa: ARG005 - nobody is looking
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda share: bar.update(task, completed=share)
