"""What is loaded on first use: entries of families, and rooms that can be called like their main function."""

import sys
from collections.abc import Sequence
from pkgutil import resolve_name
from types import ModuleType
from typing import Any, TypeVar

Entry = TypeVar("Entry")


def entries(package: str, places: Sequence[str], kind: type[Entry]) -> list[Entry]:
    """Import the members of a family.

    Args:
        package: The package of the family.
        places: The members, as ``module:entry``.
        kind: Class of the entries.

    Raises:
        TypeError: A place holds something else.
    """
    family = {place: resolve_name(f"{package}.{place}") for place in places}
    for place, entry in family.items():
        if not isinstance(entry, kind):
            raise TypeError(f"{place} is not of class {kind.__name__}")
    return list(family.values())


class CallableRoom(ModuleType):
    """A sub-package that can be called like its main function.

    `capscope.fit` is both a room (`capscope.fit.links`) and a verb (`capscope.fit(study)`). The import system binds the
    name to the room whenever a module inside it is imported, so the room itself answers the call.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passed on as they are
        """Call the room's main function."""
        return self.__wrapped__(*args, **kwargs)

    @property
    def __wrapped__(self) -> Any:  # noqa: ANN401 - a function of any room
        return resolve_name(self.__dict__["__main_function__"])


def make_callable(room: str, function: str) -> None:
    """Let a room be called like its main function; its signature is that of the function.

    Args:
        room: Name of the package, `__name__` in its `__init__`.
        function: The function, as ``package.module:function``; imported when the room is called or looked at.
    """
    module = sys.modules[room]
    module.__dict__["__main_function__"] = function
    module.__class__ = CallableRoom
