"""From a summary to one self-contained HTML page: nothing loaded from elsewhere, every text escaped.

The page has one script of its own, which sorts and filters tables; its content security policy lets no other run.
"""

import base64
import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from capscope.errors import OutputError
from capscope.report.drawings import curve_drawings, irt_drawings
from capscope.report.plain import Summary

TEMPLATES = {"curves": "curves.html.j2", "irt": "irt.html.j2"}
"""Template of each kind of summary."""
DRAWINGS = {"curves": curve_drawings, "irt": irt_drawings}
"""How the figures of each kind of summary are drawn."""
MISSING = "\u2013"
"""Stands where there is no number."""
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Characters that HTML does not allow."""


def render(summary: Summary) -> str:
    """Return the page as text; the same summary gives the same bytes."""
    clean = _clean(summary)
    drawings = {name: Markup(_inline(svg)) for name, svg in DRAWINGS[clean["kind"]](clean).items()}
    environment = _environment()
    script = "\n" + _source(environment, "page.js")
    template = environment.get_template(TEMPLATES[clean["kind"]])
    return template.render(drawing=drawings, script=Markup(script), script_hash=Markup(_csp_hash(script)), **clean)


def write_report(summary: Summary, path: Path, force: bool = False) -> Path:
    """Write the page, whole or not at all.

    Args:
        summary: What `summarize` or `summarize_irt` returned.
        path: Where to write.
        force: Replace a file that is there.

    Raises:
        OutputError: The file exists, or cannot be written.
    """
    if path.exists() and not force:
        raise OutputError(f"{path}: exists; use --force to replace it, or name another file")
    page = render(summary)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".report-") as folder:
            part = Path(folder) / path.name
            part.write_text(page, encoding="utf-8")
            os.replace(part, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); name another file") from None
    return path


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


def fixed(value: float | None, digits: int = 2) -> str:
    """Print a number with a fixed number of digits and a true minus sign."""
    return MISSING if value is None else f"{value:.{digits}f}".replace("-", "\u2212")


def percent(value: float | None, digits: int = 0) -> str:
    """Print a share as a percentage; what is not quite 0 or 1 is not printed as such."""
    if value is None:
        return MISSING
    edge = 0.5 * 10 ** -(digits + 2)
    if 0 < value < edge:
        return f"<{10**-digits:.{digits}f}%"
    if 1 - edge < value < 1:
        return f">{100 - 10**-digits:.{digits}f}%"
    return f"{100 * value:.{digits}f}%"


def count(value: int | float | None) -> str:
    """Print a count with thin spaces between thousands."""
    return MISSING if value is None else f"{value:,.0f}".replace(",", "\u202f")


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
