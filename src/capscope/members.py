"""Families of interchangeable members, and rooms that can be called like their main function."""

import ast
import sys
from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import Any, TypeVar

Entry = TypeVar("Entry")


def family(package: str, members: Sequence[str], kind: type[Entry]) -> dict[str, Entry]:
    """Import the members of a family.

    Args:
        package: Package of the family, `__name__` in its `__init__`.
        members: The members, as ``module:entry``.
        kind: Class of the entries; an entry has a `name`.

    Returns:
        Entries by name, in the order of `members`.

    Raises:
        TypeError: A member is of another class, or has the name of an earlier one.
    """
    resolved: dict[str, Any] = {member: resolve_name(f"{package}.{member}") for member in members}
    by_name: dict[str, Entry] = {}
    for member, entry in resolved.items():
        if not isinstance(entry, kind):
            raise TypeError(f"{package}.{member} is not of class {kind.__name__}")
        name = resolved[member].name
        if name in by_name:
            raise TypeError(f"{package}.{member}: another member has the name '{name}'")
        by_name[name] = entry
    return by_name


def members_in_source(package: str) -> dict[str, str] | None:
    """Read the names and help texts of a family from its source files, so that help imports no heavy library.

    Args:
        package: Package of the family.

    Returns:
        Help text by name; None where a file is missing, or where a name or a help text is not a literal.
    """
    folder = Path(__file__).parent.joinpath(*package.split(".")[1:])
    try:
        listed = ast.literal_eval(_value_of("FAMILY", folder / "__init__.py"))
        entries = [member.partition(":") for member in listed]
        calls = [ast.walk(_value_of(entry, folder / f"{module}.py")) for module, _, entry in entries]
        words = [{node.arg: node.value for node in call if isinstance(node, ast.keyword)} for call in calls]
        return {ast.literal_eval(each["name"]): ast.literal_eval(each["help"]) for each in words}
    except (OSError, KeyError, ValueError, SyntaxError):
        return None


def _value_of(name: str, path: Path) -> ast.expr:
    """Return the expression that is assigned to a name at the top level of a module."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(it, ast.Name) and it.id == name for it in node.targets):
            return node.value
    raise KeyError(name)


class CallablePackage(ModuleType):
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
    module.__class__ = CallablePackage
