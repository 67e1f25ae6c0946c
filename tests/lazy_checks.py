"""Types and shapes checked by beartype and jaxtyping, which read a function's hints when it is first called.

Most of the package's functions are not called in one test process; reading all their hints takes longer than importing.
A function whose hints hold no array is checked by beartype alone, because it has no axes to bind.
"""

import ast
import sys
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from functools import wraps
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from inspect import isgeneratorfunction
from types import ModuleType
from typing import Any, get_args, get_type_hints

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintException
from jaxtyping import AbstractArray, jaxtyped

CACHE = ".checked-1.pyc"
OWN_AXES = jaxtyped("context")
"""Within it, jaxtyping binds sizes to the names of axes anew."""
BY_TYPE = beartype(conf=BeartypeConf(violation_type=TypeError))
"""The checker of types alone; a violation is a `TypeError`, as it is with jaxtyping."""


def checked(function: Any) -> Any:
    """Decorate a function, or the constructor of a dataclass, so that its arguments and result are checked.

    Args:
        function: The function, method or class.

    Returns:
        A function of the same meaning, or the class itself.
    """
    if isinstance(function, type):
        if is_dataclass(function) and not _is_checked(vars(function).get("__init__")):
            function.__init__ = checked(vars(function)["__init__"])
        return function
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(checked(function.__func__))
    if isinstance(function, property):
        return property(*(part and checked(part) for part in (function.fget, function.fset, function.fdel)))
    checks: list[Callable[..., Any]] = []

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if not checks:
            checks.append(_checks_of(function))
        return checks[0](*arguments, **named)

    return call


def _is_checked(function: Any) -> bool:
    """Say whether a class has no constructor of its own, or one that is checked already."""
    return function is None or function.__globals__ is globals()


def _checks_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check types alone where no hint holds an array, and types and shapes elsewhere."""
    try:
        hints = get_type_hints(function, include_extras=True)
        if not isgeneratorfunction(function):
            return _in_own_axes(BY_TYPE(function)) if any(map(_holds_array, hints.values())) else BY_TYPE(function)
    except (NameError, TypeError, BeartypeDecorHintException):  # a name for type checkers only: jaxtyping leaves it out
        pass
    return jaxtyped(function, typechecker=beartype)


def _in_own_axes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give each call axes of its own to bind; `jaxtyped` itself checks all arguments twice, for its messages."""

    def call(*arguments: Any, **named: Any) -> Any:
        with OWN_AXES:
            return function(*arguments, **named)

    return call


def _holds_array(hint: Any) -> bool:
    """Say whether a hint, or a part of it, states the shape of an array."""
    if isinstance(hint, list):
        return any(map(_holds_array, hint))
    return (isinstance(hint, type) and issubclass(hint, AbstractArray)) or any(map(_holds_array, get_args(hint)))


class _Decorating(ast.NodeTransformer):
    """Puts `checked` innermost on every function and outermost on every class."""

    def visit_Module(self, node: ast.Module) -> ast.Module:  # noqa: N802
        self.generic_visit(node)
        heads = [isinstance(line, ast.Expr) or getattr(line, "module", None) == "__future__" for line in node.body]
        node.body.insert(heads.index(False) if False in heads else len(heads), ast.Import([ast.alias(__name__)]))
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:  # noqa: N802
        self.generic_visit(node)
        node.decorator_list.append(_decorator(node))
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:  # noqa: N802
        self.generic_visit(node)
        node.decorator_list.insert(0, _decorator(node))
        return node


def _decorator(node: ast.AST) -> ast.expr:
    return ast.copy_location(ast.parse(f"{__name__}.checked", mode="eval").body, node)


class _Loader(SourceFileLoader):
    """Loads a module with every function checked; the compiled module has a file of its own."""

    def source_to_code(self, data: Any, path: Any, *, _optimize: int = -1) -> Any:
        tree = ast.fix_missing_locations(_Decorating().visit(ast.parse(data)))
        return compile(tree, path, "exec", dont_inherit=True, optimize=_optimize)

    def get_data(self, path: str) -> bytes:
        return super().get_data(path.replace(".pyc", CACHE))

    def set_data(self, path: str, data: Any, **mode: int) -> None:
        super().set_data(path.replace(".pyc", CACHE), data, **mode)


class _Finder(MetaPathFinder):
    """Finds the modules of one package and gives them the loader that checks."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != self.package:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def check_package(package: str) -> None:
    """Check every function of a package that is imported from now on.

    Args:
        package: Name of the package.

    Raises:
        RuntimeError: Where the package is imported already, so that it would stay unchecked.
    """
    if package in sys.modules:
        raise RuntimeError(f"{package} is imported already; its functions would not be checked")
    sys.meta_path.insert(0, _Finder(package))
