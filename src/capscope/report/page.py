"""From a summary to one self-contained HTML page: nothing loaded from elsewhere, every text escaped.

The page has one script of its own, which sorts and filters tables; its content security policy lets no other run.
"""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from capscope.files import refuse_file, write_text
from capscope.report.plain import Record, Summary, count, fixed, percent
from capscope.report.section import Section
from capscope.report.sections import SECTIONS
from capscope.report.style import to_svg

DRAWING_NOTE = "The numbers stand in the table below the drawing."
"""Description of every drawing for screen readers."""
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Characters that HTML does not allow."""


def render(summary: Summary) -> str:
    """Return the page as text; the same summary gives the same bytes.

    Args:
        summary: What `summarize` returned.
    """
    clean = _clean(summary)
    environment = _environment()
    level = clean["level"]
    bodies = [_section(environment, SECTIONS[name], record, level) for name, record in clean["sections"].items()]
    script = "\n" + _source(environment, "page.js")
    template = environment.get_template("page.html.j2")
    frame = {name: value for name, value in clean.items() if name != "sections"}
    return template.render(sections=bodies, script=Markup(script), script_hash=Markup(_csp_hash(script)), **frame)


def _section(environment: Environment, section: Section, record: Record, level: float) -> Record:
    """Lay one section out: its name, titles and body."""
    drawings = {
        name: Markup(_inline(to_svg(axes, f"{section.name}-{name}", title, DRAWING_NOTE)))
        for name, axes, title in section.draw(record)
    }
    blocks = environment.get_template("blocks.html.j2").module
    template = environment.from_string(section.template)
    body = template.render(section=record, drawing=drawings, level=level, blocks=blocks)
    title = record.get("title", section.title)
    return {"name": section.anchor or section.name, "title": title, "link": section.title, "body": Markup(body.strip())}


def write_page(summary: Summary, path: Path, force: bool = False) -> Path:
    """Write the page, whole or not at all.

    Args:
        summary: What `summarize` returned.
        path: HTML file to write; its folder is made.
        force: An existing file may be replaced.

    Raises:
        OutputError: The file exists and `force` is not set, or it cannot be written.
    """
    refuse_file(path, force=force)
    return write_text(path, render(summary), force=force)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("capscope.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"fixed": fixed, "percent": percent, "count": count}
    return environment


def _source(environment: Environment, name: str) -> str:
    loader = environment.loader
    assert loader is not None
    return loader.get_source(environment, name)[0]


def _csp_hash(script: str) -> str:
    """Name a script by its hash, as content security policies do."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _inline(svg: str) -> str:
    """Inside HTML an SVG element needs no namespace."""
    return svg.replace(' xmlns="http://www.w3.org/2000/svg"', "", 1)


def _clean(value: Any) -> Any:  # noqa: ANN401 - JSON values have many types
    """Replace the characters that HTML does not allow, in every text of a summary."""
    if isinstance(value, str):
        return _NOT_TEXT.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_clean(key): _clean(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_clean(entry) for entry in value]
    return value
