"""Item response theory and instance-level capability profiles for AI models.

Names are resolved on first use, so that importing the package loads neither torch nor pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from capscope.data import Study as Study
    from capscope.errors import CapscopeError as CapscopeError

__version__ = "0.1.0"

_HOMES = {
    "CapscopeError": "capscope.errors",
    "Study": "capscope.data",
}

__all__ = ["CapscopeError", "Study"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the names have many types
    """Import a public name from its room on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'capscope' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*__all__, "__version__"])
