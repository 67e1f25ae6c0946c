"""Statements of an answer in a reply: "Answer: ...", "the answer is ...", a box, a tag, in the order of the text."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from capscope.battery.graders.grader import NO_ANSWER, RETRACTED, SEVERAL, Unclear, any_of

Answer = TypeVar("Answer")

WORDS = (
    r"answers?|ans\.?|réponse|reponse|antwort|lösung|respuesta|risposta|resposta|antwoord|svar|odpowiedź|ответ|відповідь"
    r"|cevap|yanıt|odgovor|vastaus|välasz|válasz|răspuns|jawaban|đáp án|الإجابة|الجواب|उत्तर|जवाब"
    r"|正确答案|最终答案|答案|答え|回答|解答|정답|해답|답"
)
QUALIFIERS = (
    r"(?:final|finale|finala|correct|right|best|my|the|our|its|so|thus|therefore|hence|and|short|la|die|le|bonne|juste"
    r"|correcte|correcta|corretta|correta|richtige|korrekte|endgültige|juiste|rätt|правильный|верный|окончательный"
    r"|правильна|poprawna|prawidłowa|ostateczna|doğru|nihai|helyes|corect|rigtigt|सही|अंतिम|最终|最後の|正しい)"
)
LABEL = re.compile(
    rf"^[\W_]*(?:{QUALIFIERS}[\s,:*_]+){{0,5}}(?:{WORDS})(?:\s+final|\s+finale)?"
    rf"(?:\s+(?:choice|option|letter|key|value|number))?(?:\s*\([^()]{{0,40}}\))?[\s*_`#]*"
    rf"(?:[:=：]|\b(?:is|är|er)\b\s*:|\b(?:är|er)\b|是|は|은|는|\s[-–—]\s)[\s*_`]*(.*)$",
    re.IGNORECASE | re.MULTILINE,
)
HEADING = re.compile(
    rf"^[\W_]*(?:{QUALIFIERS}\s+){{0,3}}(?:{WORDS})[\s*_`#:：]*\n+[ \t]*(\S[^\n]*)$", re.IGNORECASE | re.MULTILINE
)
SHORT = re.compile(
    rf"^[\W_]*(?:{QUALIFIERS}\s+){{0,3}}answer\s+([(\[]?(?:[A-Z]|[-+]?[\d.,/]*\d%?)[)\]]?)\W*$",
    re.IGNORECASE | re.MULTILINE,
)
CHOICE = re.compile(
    r"^[\W_]*(?:(?:the|my|final|correct|right|selected|chosen|best)\s+){0,3}(?:option|choice|letter|solution|result|total|selection|selected|pick)[\s*_]*"
    r"(?:[:=]|\bis\b)[\s*_]*(\S[^\n]{0,60})$",
    re.IGNORECASE | re.MULTILINE,
)
INLINE = re.compile(
    r"\b(?:answer|réponse|antwort|respuesta|risposta|resposta|antwoord)\b[^.:;!?\n]{0,60}?"
    r"(?:\s(?:is|est|ist|lautet|es|è|é|was|must be|should be|would be|has to be|will be)\b(?:\s+(?:that|:))?|[:=])"
    r"\s*[:*_`]*\s*([^\n]+)",
    re.IGNORECASE,
)
OTHER_SCRIPTS = re.compile(
    r"(?:答案|正确选项|正確選項|正解|答え|정답|답)(?:应该|應該|应当)?(?:选项)?\s*(?:是|为|為|选|選|は|은|는|[:：])\s*[:：]?\s*([^\n。；]+)"
    r"|(?:故|应|應|所以|因此|[，。,]|^)\s*(?:我)?(?:选择|選擇|选|選)\s*(?:项)?([^\n。，；]+)",
    re.MULTILINE,
)
"""Sentences that state an answer in scripts without spaces."""
GSM = re.compile(r"^[ \t]*#{4}[ \t]*(\S[^\n]*)$", re.MULTILINE)
TAG = re.compile(r"<(answer|final_answer|final)>\s*(.*?)\s*</\1>", re.IGNORECASE | re.DOTALL)
FIELD = re.compile(
    r"[\"'](?:final_?answer|answer)[\"']\s*:\s*(?:\"([^\"\n]*)\"|'([^'\n]*)'|([^\s,}\"']+))", re.IGNORECASE
)
BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")

SUPPOSED = re.compile(r"(?:\bif|\bwhether|\bsuppose|\bassum\w+|\bunless|\bcheck)\b[^.\n]{0,20}$", re.IGNORECASE)
OF_OTHERS = re.compile(
    r"\b(?:wrong|incorrect|tempting|common|usual|initial|first|naive|false|people|some|many|others?|students?)\b[^.\n]{0,25}$",
    re.IGNORECASE,
)
"""Words before "answer" that mark an answer which is not the reply's own."""
OPEN_END = re.compile(
    r"(?:[,;:(\[…]|\.\.\.|\b(?:then|and|so|but|or|because|since|the|of|is|are|to|we|i|let me|next|now)"
    r"|[\w,]\s(?-i:an?))\s*$",
    re.IGNORECASE,
)
"""Endings of a reply that was not finished."""
PLACEHOLDER = re.compile(
    r"^[\"'“‘`(\[{<]*(?:(?:X|N|LETTER|NUMBER)\b[^\n]{0,4}\bwhere\b.*|\.\.\.\W*(?:that\b.*)?|…|your answer\W*)$",
    re.IGNORECASE,
)
"""A quotation of the form that was asked for, not an answer."""
SENTENCE_START = r"(?:^|[.!?\n]\s*)"
REVISIONS = (
    rf"(?:{SENTENCE_START}|\bbut )(?:wait|actually)\b",
    r"\bno,? actually\b",
    r"\bwait[,!—-]",
    rf"{SENTENCE_START}no,",
    any_of("hold on", "correction", "scratch that", "on second thoughts?", "on reflection", "hmm+", "oops", "sorry"),
    any_of("my apologies", "not sure", "i doubt"),
    r"\bi (?:made|was|have made) (?:a |an )?(?:mistake|error|wrong|mistaken)",
    r"\b(?:reconsider|re-?check|recalculat|recomput)",
    r"\blet me (?:re|double|check|verify|think|try|see)",
    r"\b(?:that|this|it|which) (?:is|was) (?:wrong|incorrect|not right)",
    r"\bi(?:'m| am)? (?:cannot|can't|can’t|can not|won't|will not|not able to|unable to)"
    r" (?:help|assist|answer|provide|comply)\b",
)
REVISION = re.compile("|".join(REVISIONS), re.IGNORECASE)
"""Words by which a reply takes back, or doubts, what it stated before."""
LONGEST, MOST_NESTED, MOST_BOXES = 2000, 5, 50
"""Most characters of a statement, most statements within one, and the number of last boxes that are looked at."""
MARKS = r"[\s*_`$.,;#\-—|>\[\]()\\]*"
BETWEEN = re.compile(
    rf"^{MARKS}(?:(?:or|and|oder|und|ou|et|или|и|或|/)(?:\s+(?:maybe|perhaps|possibly|else))?{MARKS})?$", re.IGNORECASE
)
"""What stands between two statements that are two answers, not an answer and its revision."""


@dataclass(frozen=True)
class Statement:
    """One place of a reply that states an answer."""

    text: str
    """What is stated."""
    start: int
    """Where the statement starts in the reply."""
    end: int
    """Where it ends."""
    explicit: bool
    """Whether it has the form of an answer (a label, a box, a tag), not of a sentence."""


def statements(text: str) -> list[Statement]:
    """Return the statements of an answer in the order of the text; of two that overlap, the more explicit one."""
    explicit = sorted(_explicit(text), key=lambda one: (one.start, -one.end))
    kept: list[Statement] = []
    for one in explicit:
        if kept and one.start < kept[-1].end:
            # a box or tag inside a label is the label's answer
            continue
        kept.append(one)
    for match in [*INLINE.finditer(text), *CHOICE.finditer(text), *OTHER_SCRIPTS.finditer(text)]:
        if not any(match.start() < one.end and one.start < match.end() for one in kept) and not _supposed(text, match):
            kept.append(Statement(next(filter(None, match.groups())), match.start(), match.end(), False))
    return [one for one in sorted(kept, key=lambda one: one.start) if not PLACEHOLDER.match(one.text.strip(" *_`"))]


def read_statements(text: str, read: Callable[[str], Answer | None]) -> tuple[Answer | None, str]:
    """Return the answer of the last statement of a reply that can be read, and the problem where there is none.

    Args:
        text: The visible text of a reply.
        read: Read the answer from a stated text; None where it holds none.
    """
    denied: list[Answer] = []
    for statement in reversed(statements(text)):
        answer = _read(statement.text, read)
        if isinstance(answer, Unclear):
            other = None if statement.explicit else _denied(statement.text, read)
            if other is None:
                return None, str(answer) or NO_ANSWER
            denied.append(other)
            continue
        if answer is None and statement.explicit:
            return None, NO_ANSWER
        if answer is None:
            continue
        if answer in denied or REVISION.search(text, statement.end) or REVISION.search(statement.text, 1):
            return None, RETRACTED
        return (None, SEVERAL) if _contradicted(text, statement, answer, read) else (answer, "")
    return None, NO_ANSWER if denied or OPEN_END.search(text) else ""


def _denied(stated: str, read: Callable[[str], Answer | None]) -> Answer | None:
    """Return the answer that a sentence denies: of "the answer is not B", B; None where it does something else."""
    match = re.match(r"^\W*not\s+(.+)$", stated, re.IGNORECASE)
    answer = _read(match[1], read) if match else None
    return None if isinstance(answer, Unclear) else answer


def _read(stated: str, read: Callable[[str], Answer | None]) -> Answer | None | Unclear:
    try:
        return read(innermost(stated))
    except Unclear as unclear:
        return unclear


def _contradicted(text: str, last: Statement, answer: object, read: Callable[[str], Answer | None]) -> bool:
    """Return whether another answer stands right before the last one, with nothing between them."""
    before = [one for one in statements(text) if one.explicit and one.end <= last.start]
    if not before or not BETWEEN.match(text[before[-1].end : last.start]):
        return False
    if re.search(r"\bfinal", text[last.start : last.end], re.IGNORECASE):
        return False
    return _read(before[-1].text, read) != answer


def _supposed(text: str, match: re.Match[str]) -> bool:
    before = text[max(match.start() - 40, 0) : match.start()]
    return SUPPOSED.search(before) is not None or OF_OTHERS.search(before) is not None


def _explicit(text: str) -> Iterator[Statement]:
    for match in LABEL.finditer(text):
        if match[1].strip(" *_`.") and not _supposed(text, match):
            yield Statement(match[1], match.start(), match.end(), True)
    for pattern in (HEADING, GSM, SHORT):
        for match in pattern.finditer(text):
            yield Statement(match[1], match.start(), match.end(), True)
    for match in TAG.finditer(text):
        yield Statement(match[2], match.start(), match.end(), True)
    for match in FIELD.finditer(text):
        yield Statement(next(filter(None, match.groups()), ""), match.start(), match.end(), True)
    yield from _boxes(text)


def innermost(text: str) -> str:
    """Return what a stated text states in turn: a sentence in it, or a box.

    Raises:
        Unclear: It holds several different boxes.
    """
    for _ in range(MOST_NESTED):
        boxes = {one.text.strip() for one in _boxes(text)}
        if len(boxes) > 1:
            raise Unclear(SEVERAL)
        sentence = INLINE.search(text)
        if not boxes and not sentence:
            break
        text = boxes.pop() if boxes else sentence[1] if sentence else text
    return text[:LONGEST]


def _boxes(text: str) -> Iterator[Statement]:
    for match in list(BOX.finditer(text))[-MOST_BOXES:]:
        end = closing_brace(text, match.end())
        if end > 0:
            yield Statement(text[match.end() : end], match.start(), end + 1, True)


def closing_brace(text: str, start: int) -> int:
    """Return the place of the brace that closes the one before `start`; -1 where there is none near.

    Args:
        text: The text.
        start: Position behind the opening brace.
    """
    depth = 1
    for place in range(start, min(len(text), start + LONGEST)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return place
    return -1
