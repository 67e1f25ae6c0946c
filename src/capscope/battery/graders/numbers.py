"""Grader of numbers: equal in value, however they are written."""

import re
from fractions import Fraction

from capscope.battery.graders.answer_statements import REVISION, read_statements
from capscope.battery.graders.grader import NO_ANSWER, SEVERAL, AnswerKey, Graded, Grader, Unclear
from capscope.battery.graders.quantities import BOUND, Quantity, is_leading, is_rounded, normalised, read_quantity

RELATIVE = Fraction(1, 10**6)
"""Numbers that are not whole and closer than this, relative to the right one, are the same."""
FACTORS = frozenset(
    {Fraction(10) ** power for power in range(-12, 13) if power}
    | {Fraction(number) for number in (60, 3600, 24, 1440, 86400, 7, 12, 52, 365, 16, 3, 36, 5280, 1760, 1024)}
)
"""Factors between units of one quantity, such as metres and kilometres; their inverses count too."""
MEASURE = re.compile(
    r"^(?:[kcmµnMGT]?(?:m|g|s|l|L|W|J|V|A|N|Pa|Hz|B|b|mol|cal)(?:\W|\^|\d|$)|sec|min|h\b|hr|hour|day|week|month|year|met(?:re|er)|(?:kilo|milli|centi"
    r"|micro|nano|mega|giga)|inch|in\b|foot|feet|ft|yard|yd|mile|mi\b|gram|ton|lb|pound|oz|ounce|lit(?:re|er)|gallon|quart|pint|cup"
    r"|byte|bit|KB|MB|GB|TB|cent|dollar|usd|eur|pence|penn|degree|°|rad|joule|watt|volt|amp|newton|pascal|hertz|bar|atm|dozen|M\b)"
)
BOLD = re.compile(r"(\*\*|__)(?=\S)([^*\n]+?)\1")
LET_ME = re.compile(r"\blet(?: me|'s|’s| us)\b", re.IGNORECASE)
NOT_RESULT = re.compile(
    r"\b(?:would|could|should|might|may|need|needs|if|suppose|assum\w+|step|note|see|chapter|question|example|not|too"
    r"|unknown|wrong|incorrect|let me|let's)\b|\?\W*$",
    re.IGNORECASE,
)
"""Words of a sentence whose number is no result."""
SHORT_LINE = 4
"""Most words of a last line that is read as a statement by itself."""
PARTS = re.compile(r"^\s*\(?[a-e]\)", re.MULTILINE)
"""Parts of an answer that has several."""
TWO_COUNTS = re.compile(r"\d\s+[A-Za-z]{2,}[^.()\n]*\b(?:and|but|plus|,)\s+(?:\w+\s+)?\d")
"""Two numbers with their nouns, of which either may be the answer."""
CONCLUSION = re.compile(r"^\W*(?:therefore|thus|so|hence|in total|altogether|in all|overall|finally)\b", re.IGNORECASE)
UNLIKE = "the reply gives its answer in another form or unit than the right one"


def grade_number(text: str, key: AnswerKey) -> Graded:
    """Score a number.

    Args:
        text: The visible text of a whole reply.
        key: The right number.
    """
    right = _target(key.target)
    answer, problem = read_statements(text, read_quantity)
    if answer is None and not problem:
        answer, problem = _without_statement(text)
    if answer is None or right is None:
        return Graded(None, problem or NO_ANSWER)
    score = compare(answer, right)
    return Graded(score, "" if score is not None else UNLIKE)


def compare(answer: Quantity, right: Quantity) -> float | None:
    """Return 1 for equal numbers, 0 for different ones, None where form, rounding or unit leave it open.

    Args:
        answer: Number in the reply.
        right: The right answer.
    """
    if _equal(answer, right):
        return 1.0
    if right.value in answer.others or answer.value in right.others or is_rounded(answer, right):
        return None
    return None if _by_factor(answer, right) else 0.0


def _equal(answer: Quantity, right: Quantity) -> bool:
    """Return whether two numbers are the same, one of them in percent or not; only whole ones have to be exact."""
    if answer.percent != right.percent:
        return not {answer.value, answer.share}.isdisjoint({right.value, right.share})
    close = abs(answer.value - right.value) <= RELATIVE * abs(right.value)
    return answer.value == right.value or (close and answer.value.denominator > 1 and right.value.denominator > 1)


def _by_factor(answer: Quantity, right: Quantity) -> bool:
    """Return whether a unit or a missing percent sign may explain the difference."""
    if not answer.value or not right.value:
        return False
    ratio = answer.value / right.value
    if MEASURE.match(answer.unit) and not FACTORS.isdisjoint({ratio, 1 / ratio}):
        return True
    return ratio in (100, Fraction(1, 100)) and max(answer.value.denominator, right.value.denominator) > 1


def _target(target: str) -> Quantity | None:
    try:
        return read_quantity(target)
    except Unclear:
        return None


def _is_number(key: AnswerKey) -> bool:
    """Return whether a target is one number and nothing else (a currency or percent sign apart)."""
    right = _target(key.target)
    text = normalised(key.target)
    letters = [letter for letter in text if letter.isalpha()]
    return right is not None and not right.unit and (not letters or text.lower().count("e") == len(letters) == 1)


def _without_statement(text: str) -> tuple[Quantity | None, str]:
    """Return the number of a reply that states no answer in a known form: its last line, where that holds only one."""
    lines = [line for line in text.splitlines() if normalised(line)]
    if not lines:
        return None, NO_ANSWER
    last = re.split(r"(?<=[\w)])[.!?]\s+(?=[A-Z])", lines[-1].strip())[-1]
    if len(PARTS.findall(text)) > 1:
        return None, SEVERAL
    try:
        answer = _emphasised(last) or read_quantity(last)
    except Unclear as unclear:
        return None, str(unclear)
    if LET_ME.search(last):
        return None, NO_ANSWER
    if TWO_COUNTS.search(last) and "=" not in last and not CONCLUSION.match(last):
        return None, SEVERAL
    short = is_leading(last) and (len(lines) == 1 or len(last.split()) <= SHORT_LINE)
    short = short or _emphasised(last) is not None
    if answer is not None and (short or "=" in last or CONCLUSION.match(last)):
        return answer, ""
    first = _alone(lines[0])
    return (first, "") if first is not None and not REVISION.search(text) else (None, NO_ANSWER)


def _alone(line: str) -> Quantity | None:
    """Return the number that is all of a line."""
    try:
        number = None if re.search(r"[A-Za-z]", normalised(line)) else read_quantity(line)
    except Unclear:
        return None
    return number if number is not None and not number.unit else None


def _emphasised(line: str) -> Quantity | None:
    """Return the only number in bold of a sentence that neither denies nor bounds it."""
    bold = list(BOLD.finditer(line))
    if len(bold) != 1 or BOUND.search(line[: bold[0].start()]) or not is_leading(bold[0][2]):
        return None
    if NOT_RESULT.search(line) or re.search(r"\d", line[bold[0].end() :]):
        return None
    try:
        return read_quantity(bold[0][2] + line[bold[0].end() :])
    except Unclear:
        return None


NUMBER = Grader(
    name="number",
    help="a number, however it is written",
    form="End with a line of the form 'Answer: N', where N is a number.",
    grade=grade_number,
    takes=_is_number,
)
