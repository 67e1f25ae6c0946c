"""The documentation is true: its pages run, what they show is printed, and every public name is in the reference."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from doc_endpoint import reply
from doc_pages import PAGES, ROOT, Runner, agrees, blocks, commands, cut, is_slow, prepared, runs
from endpoint.server import ScriptedServer

DOCS = ROOT / "docs"
LANGUAGES = {"console", "python", "json", "text", "csv", "toml", "yaml"}
TEXTS = {page: (ROOT / page).read_text("utf-8") for page in PAGES}
RUNNING = [
    pytest.param(page, marks=pytest.mark.slow if is_slow(text) else (), id=page)
    for page, text in TEXTS.items()
    if runs(text)
]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[dict[str, str]]:
    """An endpoint on this machine, by the variables that commands read."""
    with ScriptedServer(reply) as server:
        yield {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "none"}


@pytest.mark.parametrize("page", RUNNING)
def test_a_page_runs_and_shows_what_is_printed(page: str, endpoint: dict[str, str], tmp_path: Path) -> None:
    wrong = []
    with prepared(tmp_path, endpoint):
        runner = Runner(endpoint)
        for block in blocks(TEXTS[page]):
            for command, printed, code in () if block.left_out else runner.run(block):
                place = f"{page}:{block.line}: {command.text}"
                assert str(code) in ("0", block.settings.get("exit")), f"{place}\n{printed}"
                if block.shown and not agrees(command.output, printed, block.shown):
                    wrong.append(f"{place}\nshown:\n{command.output}\nprinted:\n{cut(printed, block.shown)}")
    assert not wrong, "\n\n".join([*wrong, "python tests/doc_pages.py PAGE writes what is printed into a page"])


@pytest.mark.parametrize("page", PAGES)
def test_every_block_has_a_known_language_and_what_does_not_run_has_a_reason(page: str) -> None:
    for block in blocks(TEXTS[page]):
        assert block.language in LANGUAGES, f"{page}:{block.line}"
        assert set(block.settings) <= {"exit", "lines"}, f"{page}:{block.line}"
        assert not block.left_out or len(block.left_out) > 10, f"{page}:{block.line}"
        if block.language == "console":
            assert commands(block.body), f"{page}:{block.line}: no line begins with '$ '"


@pytest.mark.parametrize("page", PAGES)
def test_no_line_is_too_long(page: str) -> None:
    """Tables, pictures and what commands print apart, which cannot be wrapped; in the README nothing is apart."""
    text = TEXTS[page] if page == "README.md" else re.sub(r"^```.*?^```", "", TEXTS[page], flags=re.M | re.S)
    long = [line for line in text.splitlines() if len(line) > 160 and not line.lstrip().startswith(("|", "<"))]
    assert long == []


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    named = set(re.findall(r"[\w/-]+\.md", navigation))
    assert {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} <= named
    assert {f"benchmarks/{path.name}" for path in (ROOT / "benchmarks").glob("*.md")} <= named
    assert [name for name in named if not (DOCS / name).is_file() and not (ROOT / name).is_file()] == []


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for page, text in TEXTS.items():
        prose = re.sub(r"```.*?```", "", text, flags=re.S)
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose):
            target = (ROOT / page).parent / link
            generated = (ROOT / link.replace("../", "")).exists() and page.startswith("docs/")
            if not link.startswith("http") and not target.exists() and not generated:
                broken.append(f"{page}: {link}")
    assert broken == []


def test_every_public_name_is_in_the_reference() -> None:
    stub = ast.parse((ROOT / "src" / "capscope" / "__init__.pyi").read_text("utf-8"))
    rooms = {node.module for node in stub.body if isinstance(node, ast.ImportFrom) and node.module}
    reference = "".join(path.read_text("utf-8") for path in (DOCS / "api").glob("*.md"))
    assert "<!-- names: capscope/__init__.pyi -->" in reference
    for room in {room.split(".")[0] for room in rooms}:
        assert re.search(rf"::: capscope\.{room}$|names: capscope/{room}/", reference, re.M), room


def test_every_chart_of_the_concepts_is_as_the_script_draws_it() -> None:
    """The pictures are committed; the script that draws them is the source."""
    assert os.access(ROOT / "scripts" / "draw-concepts", os.X_OK)
    for picture in re.findall(r"\]\((img/[\w-]+\.svg)\)", TEXTS["docs/concepts.md"]):
        assert (DOCS / picture).read_text("utf-8").startswith("<svg")
