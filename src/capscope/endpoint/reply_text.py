"""Extraction of the answer from a reply: the text after the reasoning, up to the end of the model's turn.

Models mark reasoning in many forms (tags, brackets, special tokens, channels, fences), and servers leave tokens of
their templates in the text. All readers of replies use these functions.
"""

import html
import json
import re
from contextlib import suppress

THOUGHT_WORDS = (
    r"(?:seed:)?(?:think|thinking|thoughts?|reason|reasoning|reflection|analysis|scratchpad|inner_?monologue|monologue"
    r"|chain_?of_?thoughts?|cot)"
)
_OPENS, _CLOSES = r"[<\[\u25c1]\|?", r"\|?[>\]\u25b7]"
"""Brackets of tags, of special tokens, and of one family of models."""
_STARTS, _ENDS = r"(?:begin_of_|start_)?", r"(?:/|end_of_|end_)"
_OPENING = rf"{_OPENS}{_STARTS}({THOUGHT_WORDS})(?:\s[^<>\n]{{0,80}})?{_CLOSES}|<unused94>thought\b"
THOUGHT_OPENS = re.compile(_OPENING, re.IGNORECASE)
THOUGHT_OPENS_LINE = re.compile(rf"(?:^|\n)[ \t]*(?:{_OPENING})", re.IGNORECASE)
THOUGHT_ENDS = re.compile(rf"{_OPENS}{_ENDS}({THOUGHT_WORDS})\s*{_CLOSES}|<unused95>", re.IGNORECASE)
FENCED_THOUGHT = re.compile(rf"```[ \t]*{THOUGHT_WORDS}[ \t]*\n.*?\n[ \t]*```", re.IGNORECASE | re.DOTALL)
THOUGHT_HEADING = re.compile(
    r"^[ \t]*\[(?:thoughts|reason|reasoning|reflection|analysis|scratchpad)\][ \t]*$", re.IGNORECASE | re.MULTILINE
)
"""Words in plain square brackets on a line of their own: where nothing closes them, they are headings."""
THINK_OPENS = re.compile(r"<think(?:ing)?(?:\s[^<>\n]{0,80})?>", re.IGNORECASE)
"""Tags that open a thought wherever they stand in a line."""
RAW_ANALYSIS, RAW_FINAL = re.compile(r"\A\s*analysis(?=[A-Z\"'])"), re.compile(r"(?:\A\s*|(?<=\W))assistantfinal")
"""Marks of channels whose special tokens a server has dropped."""
CHANNEL = re.compile(r"<\|channel\|>\s*(\w+).*?<\|message\|>", re.DOTALL)
ANSWER_OPENS = re.compile(
    r"<\|(?:begin_of_|start_)(?:solution|response|answer|output|text)\|>|<\|(?:message|sep)\|>", re.IGNORECASE
)
ANSWER_TAGS = re.compile(r"</?(?:answer|final_answer|final|output|response|solution|result)>", re.IGNORECASE)
"""Tags around an answer; they do not end it."""
ESCAPED_KEY = re.compile(r"\\\"(?:levels?|options)\\\"")
PLAIN_KEY = re.compile(r"[\"'\u201c\u201d`]?\b(?:levels?|options)\b\s*[\"'\u201c\u201d`]?\s*[:\uff1a]")
UNCLOSED = re.compile(
    r"[{,]\s*\"(?:level\"\s*:\s*(?P<quote>\"?)[0-5](?P=quote)|options\"\s*:\s*(?:\d+|\"open\")|levels\"\s*:\s*\{[^{}]*\})"
    r"\s*(?:```\s*)?$"
)
"""The end of a reply whose object lacks its last brace, and nothing else."""
END_OF_TURN = re.compile(
    r"<[|\uff5c][\w\u2581][\w\u2581 :.-]{0,60}[|\uff5c]>|</s>|<s>|<(?:eos|eot|pad|unk|bos)(?:_token)?>|<\w*end_of_\w+>"
    r"|<turn\|>|\[EOS\]|\[/?(?:INST|ASSISTANT|USER)\]|<0x[0-9A-F]{2}>",
    re.IGNORECASE,
)
TURN_OPENS = re.compile(
    r"<\|(?:im_start|start_header_id|start|user|assistant|system)\|?>|\[INST\]|<start_of_turn>", re.I
)

JSON = json.JSONDecoder(strict=False)
MOST_OBJECTS = 200
"""Places at which an object may start that are looked at, from the start of a text."""


def without_end(text: str) -> str:
    """Return a text up to its first end-of-turn token, unless nothing stands before that.

    A token inside a whole JSON object is a word of the object's text, and ends nothing.

    Args:
        text: A text without reasoning.
    """
    text = ANSWER_OPENS.sub("\n", text).strip()
    while (token := END_OF_TURN.match(text)) is not None:
        text = text[token.end() :].strip()
    tokens = list(END_OF_TURN.finditer(text))
    objects = _whole_objects(text) if tokens else []
    for token in tokens:
        if any(start < token.start() < end for start, end in objects):
            continue
        end = _end_of_odd_object(text, token)
        if end is None:
            return text[: token.start()].strip()
        rest = END_OF_TURN.split(text[end:], maxsplit=1)[0]
        return f"{END_OF_TURN.sub('', text[:end])}{rest}".strip()
    return text


def _end_of_odd_object(text: str, token: re.Match[str]) -> int | None:
    """Return where an object around a token ends that is no JSON otherwise either; None where the token ends it.

    An object that another turn of the dialogue follows before its last brace was never ended.
    """
    depth, start = 0, text.find("{")
    for brace in re.finditer(r"[{}]", text[max(start, 0) :]):
        place = brace.start() + start
        if depth == 0 and place > token.start():
            return None
        depth = max(depth + (1 if brace[0] == "{" else -1), 0)
        if depth == 0 and place > token.start():
            return None if TURN_OPENS.search(text, token.start(), place) else place + 1
    return None


def _whole_objects(text: str) -> list[tuple[int, int]]:
    """Return where the objects of a text that are whole JSON start and end, inner ones left out."""
    spans, start = list[tuple[int, int]](), text.find("{")
    for _ in range(MOST_OBJECTS):
        if start < 0:
            break
        end = start + 1
        with suppress(ValueError, RecursionError):
            end = JSON.raw_decode(text, start)[1]
            spans.append((start, end))
        start = text.find("{", end)
    return spans


def with_channels(text: str) -> str:
    """Return a reply with the special tokens of its channels where a server has dropped them.

    Args:
        text: The reply.
    """
    if RAW_ANALYSIS.match(text):
        text = RAW_ANALYSIS.sub("<|channel|>analysis<|message|>", text)
    elif not text.lstrip().startswith("assistantfinal"):
        return text
    return RAW_FINAL.sub("<|channel|>final<|message|>", text)


def text_after_thoughts(text: str) -> str | None:
    """Return a reply without its reasoning and end-of-turn tokens; None where the reasoning does not end.

    Args:
        text: The reply.
    """
    text = with_channels(text)
    channels = list(CHANNEL.finditer(text))
    if channels:
        if channels[-1][1].lower() != "final":
            return None
        return without_end(text[channels[-1].end() :])
    rest = FENCED_THOUGHT.sub("\n", _without_closed_thoughts(text))
    rest = THOUGHT_HEADING.sub("", rest)
    opened = THOUGHT_OPENS_LINE.search(rest) or _think_within(rest)
    if opened:
        # What stands before an unclosed thought is kept: the thought may come after the answer.
        rest = rest[: opened.start()]
        if not rest.strip():
            return None
    ends = list(THOUGHT_ENDS.finditer(rest))
    return without_end(ANSWER_TAGS.sub("\n", rest[ends[-1].end() :] if ends else rest))


def _without_closed_thoughts(text: str) -> str:
    """Return a text without the thoughts that start on a line of their own and end with the same word."""
    last = {_word(end): end.start() for end in THOUGHT_ENDS.finditer(text)}
    kept, place, start = list[str](), 0, 0
    while last and (opened := THOUGHT_OPENS_LINE.search(text, place)) is not None:
        place = opened.end()
        if last.get(_word(opened), -1) < place:
            continue
        end = next(end for end in THOUGHT_ENDS.finditer(text, place) if _word(end) == _word(opened))
        kept += [text[start : opened.start()], "\n"]
        place = start = end.end()
    return "".join([*kept, text[start:]])


def _word(tag: re.Match[str]) -> str:
    return (tag[1] or "").lower()


def _think_within(text: str) -> re.Match[str] | None:
    """Return a tag that opens a thought within a line; one inside an object is a word of its text."""
    opened = THINK_OPENS.search(text)
    if opened is None or "{" in text[: opened.start()] or THOUGHT_ENDS.search(text, opened.end()):
        return None
    return opened


def unescaped(text: str) -> str:
    """Return a text whose object was written as a text of JSON, or as HTML, with the object as it was meant.

    Args:
        text: What a reply says after its thoughts.
    """
    if PLAIN_KEY.search(text):
        return text
    if "&quot;" in text:
        return html.unescape(text)
    return text.strip().strip('"').replace('\\"', '"') if ESCAPED_KEY.search(text) else text


def closed(text: str) -> str:
    """Return a text in which the last brace of its object stands, where nothing but that was missing.

    Args:
        text: What a reply says after its thoughts, of which its endpoint says that it is whole.
    """
    return f"{text.removesuffix('```')}}}" if UNCLOSED.search(text) else text
