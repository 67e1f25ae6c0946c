"""Find items that speak to the annotator: they are still rated, fenced as data, but their labels deserve a look."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

_RATED = r"(?:rubrics?|instructions?|scales?|ratings?|guidelines?|criteria|prompts?|system message|orders?)"
_THING = r"(?:task|item|question|problem|instance|prompt|one)"
_LEVEL = r"(?:level|rating|score|difficulty|demand)"
_THIS = rf"(?:this|the (?:above|following|present|given)) {_THING}"
_NUMBER = r"(?:\d|zero|one|two|three|four|five|highest|lowest|maximum|minimum)"

PATTERNS: dict[str, re.Pattern[str]] = {
    "overrides instructions": re.compile(
        rf"\b(?:ignore|disregard|forget|override|skip|bypass|do not (?:use|follow|apply)|don't (?:use|follow|apply))\b"
        rf"(?:\W+\w+){{0,5}}?\W+{_RATED}\b"
    ),
    "states its own level": re.compile(
        rf"\b{_THIS}\b(?:\W+\w+){{0,4}}?\W+{_LEVEL}\W+(?:of |is |= ?)?{_NUMBER}\b"
        rf"|\b{_LEVEL}\b (?:of|for) {_THIS} (?:is|must be|should be)\W+{_NUMBER}\b"
    ),
    "asks for a level": re.compile(
        rf"\b(?:rate|score|label|grade|classify|mark|assign|give|output|answer|reply|respond|return|say|write|choose|pick|report)\b"
        rf"(?:\W+\w+){{0,6}}?\W+{_LEVEL}\W+(?:of |is |to |as |= ?)?{_NUMBER}\b"
        rf"|\b(?:rate|score|grade|label) (?:this|it|the {_THING})\W+(?:\w+\W+){{0,3}}?{_NUMBER}(?:\W|$)"
    ),
    "writes the reply": re.compile(r"[\"']level[\"']\s*:\s*\"?\d|\bthe level is:\s*\d"),
    "addresses the annotator": re.compile(
        r"\b(?:dear|attention|note to|message (?:to|for)|instructions? (?:to|for)|hey|hello) (?:the )?"
        r"(?:annotators?|raters?|graders?|judges?|labell?ers?|assessors?|evaluators?|llm|ai|language model)\b"
        r"|\byou are (?:now )?(?:the |an? )?(?:annotator|rater|grader|judge|labell?er|assessor|evaluator)\b"
    ),
    "plays the system": re.compile(
        r"(?:<\|?(?:im_?start|system|assistant|endoftext)\|?>|\[/?(?:inst|system)\]|^\s*(?:system|assistant)\s*:)"
        r"|\bend of (?:the )?(?:task|item|data)\b",
        re.MULTILINE,
    ),
}
"""What to look for in folded text, by what it does."""

HIDDEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
LOOK_ALIKES = str.maketrans("\u0430\u0435\u043e\u0440\u0441\u0456\u0443\u0445\u0455\u04cf\u2019\u2018", "aeopciyxsl''")


@dataclass(frozen=True)
class Flag:
    """One item that speaks to the annotator."""

    item_id: str
    """The item."""
    kind: str
    """What it does: a key of `PATTERNS`."""
    excerpt: str
    """The words that were found, folded."""


def find_injections(item_id: str, text: str) -> tuple[Flag, ...]:
    """Look in one item for words meant for whoever rates it.

    Case, hidden characters, look-alike letters and line breaks inside a phrase make no difference. A flag is a hint:
    a benign item may be flagged (one about prompt injection is), and a sly one may pass; the fence protects both.
    """
    folded = fold(text)
    found: list[Flag] = []
    for kind, pattern in PATTERNS.items():
        match = pattern.search(folded)
        if match:
            found.append(Flag(item_id, kind, " ".join(match[0].split())[:80]))
    return tuple(found)


def flag_items(items: Iterable[tuple[str, str]]) -> tuple[Flag, ...]:
    """Look through pairs of item id and text."""
    return tuple(flag for item_id, text in items for flag in find_injections(item_id, text))


def fold(text: str) -> str:
    """Bring a text into the plain form in which the patterns are written."""
    plain = unicodedata.normalize("NFKC", HIDDEN.sub("", text)).lower().translate(LOOK_ALIKES)
    return re.sub(r"[*_`~]+", "", plain)
