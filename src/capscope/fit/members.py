"""Entries of families whose code is loaded when it is used, so that listing a family imports neither torch nor Pyro."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Member:
    """One member of a family."""

    name: str
    """Name by which users choose it."""
    help: str
    """What it is, in a few words."""
    where: str
    """Where its code lives, as ``module:object``."""

    def load(self) -> Any:  # noqa: ANN401 - each family says what its members are
        """Import the code."""
        return loaded(self.where)


def loaded(where: str) -> Any:  # noqa: ANN401 - see Member.load
    """Import an object named as ``module:object``."""
    module, name = where.split(":")
    return getattr(import_module(module), name)
