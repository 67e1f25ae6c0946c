"""What the fixtures that run the command line are."""

from collections.abc import Callable
from typing import Any

Run = Callable[..., tuple[int, str, str]]
"""Takes arguments; returns exit code, stdout and stderr."""
RunJson = Callable[..., dict[str, Any]]
"""Takes arguments of a command that succeeds; returns its JSON."""
