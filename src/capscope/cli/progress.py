"""Progress on stderr: a line on what is being done, and a bar on a terminal."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from capscope.cli.output import write_error


def say(line: str) -> None:
    """Say on stderr what is being done."""
    write_error(line)


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
