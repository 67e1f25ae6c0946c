"""What MkDocs adds to the pages of this folder: names of the API, and pages that live elsewhere in the repository."""

import ast
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
NAMES = re.compile(r"<!-- names: (?P<stub>[\w/]+\.pyi) -->")
ELSEWHERE = ("CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/*.md", "benchmarks/*.svg")
"""Files that become pages as they are."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that live elsewhere."""
    for pattern in ELSEWHERE:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - MkDocs' call
    """Write a documentation block for each name of a stub."""
    return NAMES.sub(lambda place: blocks(ROOT / "src" / place["stub"]), markdown)


def blocks(stub: Path) -> str:
    """Return a line of mkdocstrings for each public name of a stub; of a room that can be called, its function."""
    package = ".".join(stub.parent.relative_to(ROOT / "src").parts)
    imports = [node for node in ast.parse(stub.read_text("utf-8")).body if isinstance(node, ast.ImportFrom)]
    names = sorted(alias.name for node in imports for alias in node.names)
    rooms = {path.name for path in stub.parent.iterdir() if path.is_dir()}
    paths = [f"{name}.{name}" if name in rooms else name for name in names]
    return "\n".join(f"::: {package}.{path}\n" for path in paths)
