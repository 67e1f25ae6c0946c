"""The rules of the house, checked on the source: sizes, names, one writer, the public API in the examples."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from capscope.intervals import Interval, cluster_bootstrap_means, jeffreys_interval

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "capscope"
MOST_FILES = 388
MOST_LINES = 400
LONGEST_FUNCTION = 60
WRITING = {"write_text", "write_bytes", "to_csv", "to_parquet", "to_json", "save_file", "savefig", "replace"}
"""Methods that write a file; `replace` counts on `os` only."""
TO_MEMORY = {"report/style.py"}
"""Files that write to a buffer in memory."""


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def named(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def test_there_are_few_files() -> None:
    assert len(modules()) <= MOST_FILES


def test_no_file_is_long() -> None:
    lines = {named(path): len(path.read_text("utf-8").splitlines()) for path in modules()}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_no_function_is_long() -> None:
    long = {
        f"{named(path)}:{node.name}": length
        for path in modules()
        for node in functions(parsed(path))
        if (length := body_lines(node)) > LONGEST_FUNCTION
    }
    assert long == {}


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    first = node.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = first.end_lineno - first.lineno + 1 if is_docstring else 0
    return node.end_lineno - node.lineno + 1 - docstring


def exported(init: Path) -> set[str]:
    """Names in the `__all__` of a package, of those that are functions somewhere in it."""
    for node in parsed(init).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return {element.value for element in node.value.elts}
    return set()


def test_no_module_carries_the_name_of_what_its_package_exports() -> None:
    clashes = [
        f"{named(init.parent)}/{child}"
        for init in SOURCE.rglob("__init__.py")
        if init.parent != SOURCE
        for child in sorted(child.stem for child in init.parent.iterdir() if child.suffix == ".py" or child.is_dir())
        if child in exported(init)
    ]
    assert clashes == []


def test_no_module_carries_the_name_of_what_it_defines() -> None:
    defined = {
        named(path): {node.name for node in parsed(path).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        for path in modules()
    }
    assert [path for path, names in defined.items() if Path(path).stem in names] == []


def test_no_class_name_is_used_twice() -> None:
    names = Counter(node.name for path in modules() for node in parsed(path).body if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []


def test_nothing_but_the_one_writer_writes() -> None:
    writes = [
        f"{named(path)}:{node.lineno} {call}"
        for path in modules()
        if named(path) != "files.py" and named(path) not in TO_MEMORY
        for node in outside_the_writer(parsed(path))
        if isinstance(node, ast.Call) and (call := writing_call(node))
    ]
    assert writes == []


def outside_the_writer(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes that do not stand in a `with` of `whole_file`, `whole_files` or `whole_folder`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.With) and any("whole_f" in ast.unparse(one.context_expr) for one in child.items):
            continue
        yield child
        yield from outside_the_writer(child)


def writing_call(node: ast.Call) -> str:
    """The name of a call that writes a file; empty for any other call."""
    if isinstance(node.func, ast.Attribute):
        owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
        if owner == "files":
            return ""
        if node.func.attr == "replace":
            return "os.replace" if owner == "os" else ""
        if node.func.attr == "open" and is_write_mode(node.args[:1]):
            return "open"
        returns_text = node.func.attr in {"to_csv", "to_json"} and not node.args
        return node.func.attr if node.func.attr in WRITING and not returns_text else ""
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name == "open" and is_write_mode(node.args[1:2]):
        return "open"
    return name if name == "save_file" else ""


def is_write_mode(arguments: list[ast.expr]) -> bool:
    return any(isinstance(mode, ast.Constant) and str(mode.value)[:1] in {"w", "a", "x"} for mode in arguments)


def test_no_type_is_found_out_by_its_attributes() -> None:
    probes = [
        f"{named(path)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "hasattr"
    ]
    assert probes == []


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_examples_import_the_top_level_only(example: Path) -> None:
    deeper = [
        name
        for node in ast.walk(parsed(example))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
        if name.startswith("capscope.")
    ]
    assert deeper == []


def test_every_module_and_public_name_has_a_docstring() -> None:
    bare = [named(path) for path in modules() if not ast.get_docstring(parsed(path))]
    assert bare == []


def test_every_exported_function_says_what_its_arguments_are() -> None:
    """Of functions, and methods of classes, that a room exports; "see `X`" points at the method it implements."""
    silent = [
        f"{place}:{function.lineno} {function.name}"
        for place, function in exported_functions()
        if len(parameters(function)) > 1 and not re.search("Args:|[Ss]ee `", ast.get_docstring(function) or "")
    ]
    assert silent == []


def exported_functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Functions, and public methods of classes, that the rooms export: by `__all__`, or by the stub of a lazy room."""
    for init in SOURCE.glob("*/__init__.py"):
        stub = init.with_suffix(".pyi")
        for module, name in imports_of(stub if stub.exists() else init):
            if not stub.exists() and name not in exported(init):
                continue
            path, node = definition(module, name)
            for one in node.body if isinstance(node, ast.ClassDef) else [node]:
                is_function = isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
                if is_function and one.name[0] != "_" and "overload" not in map(ast.unparse, one.decorator_list):
                    yield named(path), one


def imports_of(path: Path) -> list[tuple[str, str]]:
    """Module and name of each name that a file imports from the package."""
    package = ".".join(path.parent.relative_to(SOURCE.parent).parts)
    sources = [
        (f"{package}.{node.module}" if node.level else node.module or "", node.names)
        for node in parsed(path).body
        if isinstance(node, ast.ImportFrom)
    ]
    return [(module, alias.name) for module, names in sources if module.startswith("capscope.") for alias in names]


def definition(module: str, name: str) -> tuple[Path, ast.AST]:
    """Where a name is defined; an empty module where it is a constant or a module."""
    path = SOURCE.parent.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in parsed(path).body:
        if getattr(node, "name", "") == name:
            return path, node
    further = [source for source, imported in imports_of(path) if imported == name]
    return definition(further[0], name) if further else (path, ast.Module([], []))


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Names of the parameters, without `self` and `cls`."""
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return [one.arg for one in every if one.arg not in {"self", "cls"}]


def test_no_two_test_files_share_a_name() -> None:
    """Pytest cannot collect two modules of one name without packages."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []


def test_types_and_shapes_are_checked_while_tests_run() -> None:
    rng = np.random.default_rng(0)
    values, cluster = np.arange(4.0), np.arange(4)
    assert cluster_bootstrap_means(values, cluster, rng, 10, weight=np.ones(4)).shape == (10,)
    with pytest.raises(TypeError, match=r"(?s)parameter weight=.*'row'"):
        cluster_bootstrap_means(values, cluster, rng, 10, weight=np.ones(3))
    with pytest.raises(TypeError, match=r"jeffreys_interval.* violates type hint"):
        jeffreys_interval("3", 4)
    with pytest.raises(TypeError, match="violates type hint"):
        Interval("low", "middle", "high")
