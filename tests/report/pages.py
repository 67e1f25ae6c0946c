"""What the tests of pages share: strict parsing, hostile texts, and a look for anything that is loaded or runs."""

import re
from importlib import resources
from xml.etree import ElementTree

import html5lib

HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "{{7*7}} {% raw %} ${7*7}",
    r"$\frac{1}{0}$ \input{secret} & 100% _^~#",
    "very-long-" * 60,
    "\U0001f600 \u202eleft to right\u202c \u0633\u0644\u0627\u0645 \x00\x07\ufffe",
)


def parse(page: str) -> ElementTree.Element:
    """Parse strictly: any deviation from valid HTML raises."""
    return html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)


SCRIPT = resources.files("capscope.report").joinpath("templates/page.js").read_text("utf-8")
"""The one script that may run."""


def assert_closed(page: str) -> None:
    """Nothing is loaded, nothing runs but the page's own script."""
    tree = parse(page)
    assert ["".join(element.itertext()).strip() for element in tree.iter("script")] == [SCRIPT.strip()]
    forbidden = {"link", "img", "iframe", "object", "embed", "base", "form", "audio", "video", "image"}
    tags = {str(element.tag).split("}")[-1] for element in tree.iter()}
    assert not tags & forbidden
    for element in tree.iter():
        for name, value in element.attrib.items():
            assert not name.lower().startswith("on")
            if name.split("}")[-1] in {"src", "href", "srcset", "data", "action"}:
                assert value.startswith("#")
    assert all(address.startswith("#") for address in re.findall(r"url\(([^)]*)\)", page))
    assert not re.search(r"@import|@font-face|https?://", page)
