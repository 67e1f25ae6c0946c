"""Pages with commands and code that run: what a block holds, how a page is run, and what it shows.

A page (README.md, docs/*.md) is run from top to bottom in one folder, as a reader would: commands of `console` blocks,
code of `python` blocks, and files written from blocks with a title (`title="items.csv"`). A comment before a block says
more:

    <!-- run: exit=6 -->        the last command ends with this exit code
    <!-- run: lines=12 -->      so many lines of what each command prints are shown, and checked, numbers aside
    <!-- not run: REASON -->    the block stays out

Pages whose front matter says `slow: true` run with the slow tests. `python tests/doc_pages.py [PAGE ...]` runs pages
and writes what their commands print into them.
"""

import contextlib
import io
import os
import re
import runpy
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")))
FENCE = re.compile(
    r"(?:<!-- (?P<note>(?:not )?run: [^>]*?) -->\n+)?^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.M | re.S
)
NUMBER = re.compile(r"[-+]?\d[\d,.]*(?:e[-+]?\d+)?%?")
WIDTH = "100"
"""Columns of the terminal for which output is written."""
LONGEST, REST = 150, "..."
"""Characters of a line of output that are shown, and what stands for the rest."""


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    line: int
    language: str
    title: str
    body: str
    start: int
    """Where the body starts in the page."""
    settings: dict[str, str] = field(default_factory=dict)
    left_out: str = ""
    """Why it does not run."""

    @property
    def shown(self) -> int:
        """Lines of output that stand in the page for each command."""
        return int(self.settings.get("lines", 0))

    @property
    def is_file(self) -> bool:
        """Whether the block is written to a file."""
        return "." in self.title and self.language not in ("console", "text")


@dataclass(frozen=True)
class Command:
    """A command of a console block, with the output that the page shows."""

    text: str
    output: str


def blocks(text: str) -> list[Block]:
    """Find the fenced blocks of a page."""
    found = []
    for match in FENCE.finditer(text):
        language, _, rest = match["info"].partition(" ")
        title = re.search(r'title="([^"]*)"', rest)
        note = match["note"] or ""
        pairs = dict(pair.split("=") for pair in note.removeprefix("run: ").split()) if note.startswith("run:") else {}
        reason = note.removeprefix("not run: ") if note.startswith("not run:") else ""
        number = text[: match.start("info")].count("\n") + 1
        found.append(
            Block(number, language, title[1] if title else "", match["body"], match.start("body"), pairs, reason)
        )
    return found


def commands(body: str) -> list[Command]:
    """Split a console block into commands; a line that ends with a backslash goes on."""
    found: list[list[str]] = []
    output: list[list[str]] = []
    continued = False
    for line in body.splitlines():
        if continued:
            found[-1].append(line.strip())
        elif line.startswith("$ "):
            found.append([line[2:]])
            output.append([])
        elif output:
            output[-1].append(line)
        continued = (continued or line.startswith("$ ")) and line.endswith("\\")
    return [
        Command(" ".join(part.rstrip("\\").strip() for part in parts), "\n".join(lines))
        for parts, lines in zip(found, output, strict=True)
    ]


def is_slow(text: str) -> bool:
    """Whether a page belongs to the slow tests."""
    return bool(re.match(r"---\n(?:.*\n)*?slow: true\n", text))


def runs(text: str) -> bool:
    """Whether a page has something to run."""
    return any(block.language in ("console", "python") and not block.left_out for block in blocks(text))


class Runner:
    """Runs the blocks of one page in the current folder."""

    def __init__(self, environment: dict[str, str]) -> None:
        """Start with an empty namespace; the environment's values stand above what a page exports."""
        self.names: dict[str, Any] = {"__name__": "__page__"}
        self.environment = environment

    def run(self, block: Block) -> Iterator[tuple[Command, str, int]]:
        """Run a block; give each command, what it printed and its exit code."""
        if block.is_file:
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(block.body, "utf-8")
        elif block.language == "console":
            for command in commands(block.body):
                printed, code = self.command(command.text)
                yield command, printed, code
        elif block.language == "python":
            code = compile(block.body, f"line {block.line}", "exec")
            yield Command(block.body, ""), *printed_by(lambda: exec(code, self.names))  # noqa: S102 - the page's own code

    def command(self, text: str) -> tuple[str, int]:
        """Run one command: capscope or a Python script in this process, or an assignment of a variable."""
        words = shlex.split(text)
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            os.environ[name] = self.environment.get(name, value)
            return "", 0
        if words[0] == "capscope":
            from capscope import cli

            return printed_by(cli.main, words)
        if words[0] in ("python", "python3") or words[0].startswith("scripts/"):
            script = words[1:] if words[0].startswith("python") else words
            return printed_by(lambda: runpy.run_path(script[0], run_name="__main__"), script)
        raise AssertionError(f"'{text}' cannot be run here; mark the block with <!-- not run: REASON -->")


def printed_by(call: Callable[[], object], arguments: list[str] | None = None) -> tuple[str, int]:
    """Call and return what went to stdout and stderr, and the exit code."""
    printed = io.StringIO()
    with (
        patch.object(sys, "argv", arguments or sys.argv),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        try:
            call()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return printed.getvalue(), code


@contextlib.contextmanager
def prepared(folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Stand in a folder that holds what a clone holds, with a terminal of a known width."""
    for name in ("examples", "artifacts", "rubrics", "scripts", "tests"):
        (folder / name).symlink_to(ROOT / name)
    with contextlib.chdir(folder), patch.dict(os.environ, {"COLUMNS": WIDTH, "NO_COLOR": "1", **environment}):
        yield


def cut(printed: str, lines: int) -> str:
    """Keep the first lines of what a command printed, and of a long line its start; three dots stand for the rest."""
    whole = [line.rstrip() for line in printed.rstrip().splitlines()]
    kept = [line if len(line) <= LONGEST else f"{line[: LONGEST - 4].rsplit(' ', 1)[0]} {REST}" for line in whole]
    return "\n".join(kept if len(kept) <= lines else [*kept[:lines], REST])


def plain(text: str) -> list[str]:
    """Reduce output to what must agree: words and signs, no numbers, no spacing."""
    return [re.sub(r"\s+", " ", NUMBER.sub("#", line)).strip() for line in text.splitlines() if line.strip()]


def agrees(shown: str, printed: str, lines: int) -> bool:
    """Whether a page shows what was printed: numbers may differ, and a long line may be cut elsewhere."""
    pairs = list(zip(plain(shown), plain(cut(printed, lines)), strict=False))
    same = all(a == b or (a.endswith(f" {REST}") and b.startswith(a[:-4].rsplit(" ", 2)[0])) for a, b in pairs)
    return same and len(plain(shown)) == len(plain(cut(printed, lines)))


def rewritten(text: str, printed: dict[int, list[str]]) -> str:
    """Put what commands printed into a page where its words differ; keys are where bodies start."""
    for block in reversed(blocks(text)):
        if block.shown and block.language == "console":
            heads = re.findall(r"^\$ (?:.*\\\n)*.*\n", block.body, re.M)
            old = [command.output for command in commands(block.body)]
            new = [
                before if agrees(before, out, block.shown) else cut(out, block.shown)
                for before, out in zip(old, printed[block.start], strict=True)
            ]
            pairs = zip(heads, new, strict=True)
            body = "".join(head + (out.strip("\n") + "\n" if out.strip() else "") for head, out in pairs)
            text = text[: block.start] + body + text[block.start + len(block.body) :]
    return text


def main(pages: list[str], environment: dict[str, str]) -> None:
    """Run pages and write what they print into them."""
    for page in pages or PAGES:
        path = ROOT / page
        text = path.read_text("utf-8")
        with tempfile.TemporaryDirectory() as folder, prepared(Path(folder), environment):
            runner, printed = Runner(environment), {}
            for block in blocks(text):
                if block.left_out:
                    continue
                results = list(runner.run(block))
                printed[block.start] = [out for _, out, _ in results]
                for command, out, code in results:
                    if code and str(code) != block.settings.get("exit"):
                        sys.exit(f"{page}:{block.line}: '{command.text}' ended with exit code {code}\n{out}")
        path.write_text(rewritten(text, printed), "utf-8")


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
    from doc_endpoint import reply
    from endpoint.server import ScriptedServer

    with ScriptedServer(reply) as server:
        main(sys.argv[1:], {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "none"})
