"""Grader of short texts: the same words, whatever their case, marks, articles and LaTeX."""

import re
import unicodedata

from capscope.battery.graders.answer_statements import REVISION, read_statements
from capscope.battery.graders.grader import NO_ANSWER, SEVERAL, AnswerKey, Graded, Grader, Unclear, any_of
from capscope.battery.graders.letters import plain
from capscope.battery.graders.quantities import normalised, read_quantity

NEAR = "the reply's words are partly those of the right answer; only a judge can decide"
REFUSALS = (
    "sorry|cannot|can't|can’t|unable|won't|will not|refuse|decline|as an ai|don't know|do not know|not sure|unknown"
    "|unclear|undetermined|not enough information|no (?:answer|idea|clue)|n/?a|idk|impossible to (?:say|tell)"
    "|would rather not"
)
REFUSAL = re.compile(any_of(REFUSALS), re.IGNORECASE)
LEAD = re.compile(
    r"^(?:(?:it|this|that|he|she|they|there|the (?:correct )?answer)(?:'s|\s+(?:is|was|are|were|would be|must be))"
    r"|i (?:think|believe|would say)(?: that)?(?: it is| it's)?"
    r"|probably|likely|definitely|clearly|simply|called|named|known as|[a-z]\s*=)\s*[:,]?\s+",
    re.IGNORECASE,
)
ASIDES = "because|since|as|which|who|due to|where|that is|i\\.e\\."
ASIDE = re.compile(rf"\s*(?:[(\[;]|\.\s+|\n|\s[-–—]\s|,?\s+\b(?:{ASIDES})\b|,\s+(?=[a-z]))")
NEGATION = re.compile(
    r"\b(?:not|never|neither|nor|isn't|wasn't|cannot|except|rather than|instead of|other than)\b", re.IGNORECASE
)
CHOICE = re.compile(r"\s+(?:or|vs\.?|versus|and/or)\s+|\s*/\s*(?=[A-Za-z]{2})")
SENTENCE = re.compile(r"^[^.!?\n]*\b(?:is|was|are|were|called|named)\s+(?P<rest>[^.!?\n]+)[.!]?$", re.IGNORECASE)
LONGEST, BARE = 8, 4
"""Most words of a sentence, and of bare words, that count as an answer by themselves."""
FILLER = re.compile(
    r"\?|\.\.\.|…|^\W*(?:sure|ok|okay|well|thinking|hello|hi|thanks|great|good|of course|certainly|here|let)\b",
    re.IGNORECASE,
)
"""Words of a reply that has not come to its answer."""
STOP_WORDS = frozenset(
    {"the", "a", "an", "of", "in", "and", "to", "is", "for", "on", "de", "la", "le", "der", "die", "das"}
)
MATHS = re.compile(r"[\\^=√π∪∩∞{}]|\b[a-z]\b\s*[-+*/]|[-+*/]\s*\b[a-z]\b|\d[a-z]\b")
TEX_SIGNS = {
    "infty": "∞",
    "le": "≤",
    "leq": "≤",
    "ge": "≥",
    "geq": "≥",
    "cup": "∪",
    "cap": "∩",
    "pi": "π",
    "ne": "≠",
} | {"neq": "≠"}
TEX_SIGN = re.compile(rf"\\({'|'.join(TEX_SIGNS)})(?![a-z])")
FORMULA = re.compile(r"(?:[A-Z][a-z]?\d{0,3}){1,8}")
"""A chemical formula, in which capitals mark elements."""
NUMBER_NAMES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    " seventeen eighteen nineteen twenty"
)
NUMBER_WORDS = {word: str(number) for number, word in enumerate(NUMBER_NAMES.split())}
MARKED = re.compile(r"(\*{1,3}|_{1,3}|`+|\${1,2})(?=\S)([^\n]+?)(?<=\S)\1(?!\w)")
"""A text between marks of Markdown or LaTeX."""
SUBSCRIPT = re.compile(r"_(?=\{?\d)")
SIGNS_BEFORE = re.compile(r"[!?:;,.~¬@&|%^]+(?=\w)")
SHORT_NAME = 3
"""Most characters of a name or expression of which a sign beside it is part."""
TRUTH_FIRST = re.compile(
    r"^\W*(?:yes|no|true|false)\b\s*[*_`\"]*\s*(?:[,;:.!(\n—–-](?!\s*i\b)|$"
    r"|(?:it|they|he|she|this|that|there|we|because|since|as)\b)",
    re.IGNORECASE,
)
"""A text that starts with its verdict; "No answer" and "No, I can't" do not."""
OPPOSITE = re.compile(
    r"(?:\b(?:but|and|or|also|although|then|wait|actually|partly)|[/,.?!])\W*(?:\w+\W+){0,2}(?:yes|no|true|false)\b"
)
"""A second verdict, joined to the first."""
CLOSE = 0.8
TRUTH = {"yes": True, "true": True, "no": False, "false": False}


def grade_text(text: str, key: AnswerKey) -> Graded:
    """Score a short text.

    Args:
        text: The visible text of a whole reply.
        key: The right text.
    """
    answer, problem = read_statements(text, lambda stated: _stated(stated, key.target))
    if answer is None and not problem:
        answer, problem = _without_statement(text, key.target)
    if answer is None:
        return Graded(None, problem or NO_ANSWER)
    score = compare(answer, key.target)
    return Graded(score, "" if score is not None else NEAR)


def compare(answer: str, target: str) -> float | None:
    """Return 1 for the same text, 0 for another one, None where only part of the words agree.

    Args:
        answer: Answer in the reply.
        target: The right answer.
    """
    right = _key(target)
    if right in TRUTH:
        return _same_truth(answer, TRUTH[right])
    variants = _variants(answer)
    if right in variants or _key(_without_name(target)) in variants:
        return None if _differs_by_signs(answer, target) else 1.0
    if _is_measured(target):
        return _same_quantity(answer, target)
    shown = _key(answer)
    if _is_same_number(answer, target) or NUMBER_WORDS.get(shown, shown) == NUMBER_WORDS.get(right, right):
        return 1.0
    return None if _may_be_same(answer, target) or _overlap(shown, right) else 0.0


def _same_truth(answer: str, right: bool) -> float | None:
    """Return whether a text affirms or denies as the right answer does; None where it does both or neither."""
    lead = LEAD.match(answer)
    text = answer[lead.end() :] if lead else answer
    words = re.findall(r"\w+", _key(text))
    if not words or words[0] not in TRUTH or not TRUTH_FIRST.match(text):
        return None
    given = {TRUTH[word] for word in words if word in TRUTH}
    opposite = OPPOSITE.search(_key(answer))
    return None if len(given) > 1 and opposite else float(TRUTH[words[0]] == right)


def _may_be_same(answer: str, target: str) -> bool:
    """Return whether texts without a common word may mean one thing: a denial, expressions, a formula and a name."""
    if NEGATION.search(answer) and not NEGATION.search(target):
        return True
    if MATHS.search(target.casefold()) and MATHS.search(answer.casefold()):
        return True
    return (FORMULA.fullmatch(answer.strip(" .")) is None) != (FORMULA.fullmatch(target.strip(" .")) is None)


def _differs_by_signs(answer: str, target: str) -> bool:
    """Return whether two texts alike in plain form are not the same: `Co` and `CO`, `C#` and `C`, `5!` and `5`."""
    shown, wanted = (MARKED.sub(r"\2", text.strip(" \t\n")).strip(' .`"') for text in (answer, target))
    both_formulas = FORMULA.fullmatch(shown) and FORMULA.fullmatch(wanted)
    if both_formulas and shown != wanted and wanted.casefold() not in TRUTH:
        return True
    meant = SUBSCRIPT.sub("", wanted)
    if _leading_signs(wanted) != _leading_signs(shown) and wanted.casefold() not in TRUTH:
        return True
    if any(meant.count(sign) > answer.count(sign) for sign in "*#_$") or (target[:1] == "." and "." not in answer[:-1]):
        return True
    if len(wanted) > SHORT_NAME or wanted.casefold() in TRUTH:
        return False
    if wanted[-1:] in "!?'" and wanted[-1:] not in shown:
        return True
    return re.search(rf"(?<!\w){re.escape(wanted)}[#!*'+]", shown) is not None


def _leading_signs(text: str) -> str:
    """Return the signs before the first word that change its meaning: `!` of `!x`; quotes and brackets are none."""
    signs = SIGNS_BEFORE.match(text)
    return signs[0] if signs else ""


def _is_same_number(answer: str, target: str) -> bool:
    """Return whether two plain numbers have one value, written in two ways."""
    try:
        given, right = read_quantity(answer), read_quantity(target)
    except Unclear:
        return False
    if given is None or right is None or given.unit or right.unit or not (_is_plain(target) and _is_plain(answer)):
        return False
    return given.percent == right.percent and given.value == right.value


def _is_plain(text: str) -> bool:
    return re.search(r"[A-Za-z(\[{:]", normalised(text)) is None


def _same_quantity(answer: str, target: str) -> float | None:
    """Compare numbers with a unit; None where the answer is no such thing or has another unit."""
    try:
        given, right = read_quantity(answer), read_quantity(target)
    except Unclear:
        return None
    if given is None or right is None or given.percent != right.percent:
        return None
    units = {re.sub(r"[\s^{}]", "", quantity.unit.casefold()) for quantity in (given, right)}
    return float(given.value == right.value) if len(units) == 1 else None


def _is_measured(target: str) -> bool:
    """Return whether a target is a number with a unit."""
    try:
        right = read_quantity(target)
    except Unclear:
        return False
    return right is not None and bool(right.unit) and re.match(r"^\W*\d", normalised(target)) is not None


def _stated(stated: str, target: str) -> str | None:
    text = stated.strip(" \t\n*_`\"“”'")
    if not _key(text):
        return None
    if _is_verdict(text, target):
        return text
    if _key(text) != _key(target) and REFUSAL.search(text):
        raise Unclear(NO_ANSWER)
    if _key(target) not in _variants(text) and _several(text, target):
        raise Unclear(SEVERAL)
    return text


def _is_verdict(text: str, target: str) -> bool:
    """Return whether a text starts with the verdict that the right answer, yes or no, asks for."""
    return _key(target) in TRUTH and TRUTH_FIRST.match(text) is not None


def _several(text: str, target: str) -> bool:
    return CHOICE.search(ASIDE.split(text, maxsplit=1)[0]) is not None and CHOICE.search(target) is None


def _without_statement(text: str, target: str) -> tuple[str | None, str]:
    """Return the answer of a reply that states none in a known form, and the problem where there is none."""
    lines = [line for line in text.splitlines() if _key(line)]
    if not lines:
        return None, NO_ANSWER
    if _is_verdict(text, target):
        return (None, NO_ANSWER) if REVISION.search(text, 1) else (text, "")
    if REFUSAL.search(text) and _key(text) != _key(target):
        return None, NO_ANSWER
    last = lines[-1].strip()
    try:
        sentence = SENTENCE.match(last)
        if len(lines) == 1 and _key(last) != _key(target) and _is_answer(last, sentence is not None):
            return _stated(sentence["rest"] if sentence else last, target), ""
        if _key(target) in (_key(last), _key(lines[0])) and not REVISION.search(text):
            return target, ""
        sentence = SENTENCE.match(re.split(r"(?<=[.!?])\s+", last)[-1])
        if sentence and compare(sentence["rest"], target) == 1.0 and not NEGATION.search(sentence["rest"]):
            return sentence["rest"], ""
    except Unclear as unclear:
        return None, str(unclear)
    return None, NO_ANSWER


def _is_answer(line: str, is_sentence: bool) -> bool:
    """Return whether a line without a statement is an answer by itself."""
    return len(line.split()) <= (LONGEST if is_sentence else BARE) and FILLER.search(line) is None


def _variants(answer: str) -> set[str]:
    """Return the forms of an answer that count as the same: without a lead, and without an aside."""
    forms, text = {_key(answer)}, answer
    for _ in range(3):
        lead = LEAD.match(text.strip())
        text = text.strip()[lead.end() :] if lead else text
        forms.add(_key(text))
    forms.add(_key(ASIDE.split(text, maxsplit=1)[0]))
    sentence = SENTENCE.match(text)
    if sentence and not NEGATION.search(text):
        forms.add(_key(sentence["rest"]))
    forms |= {_key(_without_name(form)) for form in list(forms)}
    return forms - {""}


def _without_name(text: str) -> str:
    """Return a text without the name of a variable or function: `x = 5` is 5."""
    return re.sub(r"^\s*\$?[A-Za-z]'?(?:\s*\([A-Za-z]\))?\s*=\s*", "", text)


def _key(text: str) -> str:
    """Return a text for comparison: plain form, without accents, hyphens and spaces around marks."""
    shown = re.sub(r"\b([ap])\.\s?m\b\.?", r"\1m", re.sub(r"\\[dt]frac(?![a-z])", r"\\frac", text), flags=re.IGNORECASE)
    shown = re.sub(r"\\(?:left|right|,|;|!)(?![a-z])|\\ ", "", shown)
    shown = re.sub(r"\\([{}])", r"\1", re.sub(r"\^\{(\w+)\}", r"^\1", shown))
    shown = TEX_SIGN.sub(lambda match: TEX_SIGNS[match[1]], shown)
    shown = unicodedata.normalize("NFKD", plain(shown))
    shown = "".join(letter for letter in shown if not unicodedata.combining(letter))
    shown = re.sub(r"\s*([-+*/=^,;:(){}\[\]<>])\s*", r"\1", shown)
    shown = re.sub(r"(?<=[a-z])[-_](?=[a-z])", " ", shown)
    return shown.strip(" .,;:!?'")


def _overlap(answer: str, target: str) -> bool:
    """Return whether two texts share a word that matters, differ by a letter or two, or one abbreviates the other."""
    words, rights = _words(answer), _words(target)
    if words & rights:
        return True
    for short, long in ((answer, target), (target, answer)):
        letters = re.sub(r"[ .]", "", short)
        initials = _initials(long)
        if initials and (letters == initials or (len(initials) > 1 and letters[: len(initials)] == initials)):
            return True
        if letters and long.startswith(letters):
            return True
    return _likeness(answer, target) >= CLOSE or (len(target) > 3 and target in answer)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text)) - STOP_WORDS


def _initials(text: str) -> str:
    words = re.findall(r"\w+", text)
    return "".join(word[0] for word in words) if len(words) > 1 else ""


def _likeness(one: str, other: str) -> float:
    from difflib import SequenceMatcher

    return SequenceMatcher(None, one, other, autojunk=False).ratio() if min(len(one), len(other)) > 3 else 0.0


EXACT = Grader(
    name="exact",
    help="a short text",
    form="End with a line of the form 'Answer: ...' that holds the answer and nothing else.",
    grade=grade_text,
    takes=lambda key: bool(_key(key.target)),
)
