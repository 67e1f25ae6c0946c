"""Numbers as people and models write them: thousands, decimal commas, fractions, powers, percent, LaTeX, units."""

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from capscope.battery.graders.grader import NO_ANSWER, SEVERAL, Unclear

VULGAR = {
    "½": "1/2",
    "⅓": "1/3",
    "⅔": "2/3",
    "¼": "1/4",
    "¾": "3/4",
    "⅕": "1/5",
    "⅖": "2/5",
    "⅗": "3/5",
    "⅘": "4/5",
} | {"⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8"}
SUPERSCRIPT = re.compile("[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
FROM_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-", "⁺")
LONGEST = 300
"""Most characters of a number."""
LARGEST_POWER, LARGEST_BASE = 400, 10**6
"""Largest exponent and base that are worked out."""

TEX_TEXT = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|operatorname|mbox|hbox|textnormal)\s*\{([^{}]*)\}")
TEX_FRACTION = re.compile(r"\\[dtc]?frac\s*\{\s*([^{}]*?)\s*\}\s*\{\s*([^{}]*?)\s*\}|\\[dtc]?frac\s*(\d)\s*(\d)")
TEX_SPACE = re.compile(r"\\[,;:! ]|\\q?quad\b|~|\\(?:left|right|displaystyle|bigl|bigr)\b")
TEX_MARK = re.compile(r"\\[()\[\]]|\\\$")

DIGITS = "|".join(
    (
        r"\d{1,3}(?:,\d{3})+(?:\.\d+)?",
        r"\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?(?!\d)",
        r"\d{1,3}(?:['’]\d{3})+(?:\.\d+)?",
        r"\d{1,3}(?:[\u00a0\u202f\u2009 _]\d{3})+(?!\d)(?:[.,]\d+)?",
        r"\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?",
        r"\d{1,3}\.\d{3},\d+",
        r"\d+[.,]\d+",
        r"\d+\.(?=\s|$)",
        r"\d+",
        r"\.\d+",
    )
)
"""Digits with separators of thousands and decimals."""
NUMBER = re.compile(
    rf"(?P<sign>(?:[-+–]|(?:minus|negative)\s+)\s*)?(?P<currency>(?:[$€£¥₹]|USD|EUR|US\$)\s*)?(?P<sign2>[-–])?(?P<digits>{DIGITS})"
    r"(?:[eE](?P<exponent>[-+]?\d+)\b|\s*(?:×|x|\*|·)\s*10\s*\^\s*[{(]?\s*(?P<tens>[-+]?\d+)\s*[)}]?|\^[{(]?(?P<power>\d{1,3})[)}]?)?"
    r"(?:\s*/\s*(?P<below>\d+(?:\.\d+)?)(?!\w|\.\d)|[ ]+(?P<over>\d+)\s*/\s*(?P<under>\d+))?"
    r"(?P<percent>\s*(?:%|percent\b|per cent\b|pct\b|prozent\b|pour cent\b))?"
    r"(?:\s*(?P<many>thousand|million|billion|trillion|dozen|mln|bn|k)\b(?![/^]))?",
    re.IGNORECASE,
)
MANY = {"thousand": 1_000, "k": 1_000, "million": 10**6, "mln": 10**6, "billion": 10**9, "bn": 10**9} | {
    "trillion": 10**12,
    "dozen": 12,
}

LEAD_WORDS = (
    "it this that the is are was equals? about approximately approx nearly roughly around exactly just only therefore"
    " thus so total sum result value number answer of there we get have has a an probably costs? simply now in be will"
    " would to which he she they you i x y z n final ca circa etwa environ rund"
)
SUBJECT = r"(?:the|her|his|their|its|our)\s+(?:[a-z'’-]+\s+){1,5}?(?:is|are|was|were|equals)"
"""The subject and verb of a sentence that states a number."""
LEAD = re.compile(rf"^(?:(?:{SUBJECT}|{LEAD_WORDS.replace(' ', '|')})\b[\s:,.]*|[≈~:=*_(\[]\s*)+", re.IGNORECASE)
"""Words before a number that add nothing to it."""
BOUND_WORDS = (
    "none|between|from|less than|more than|at least|at most|under|over|above|below|up to|either|not|isn't|no|never"
    "|except|minus or|plus or"
)
BOUND = re.compile(rf"\b(?:{BOUND_WORDS})\b|[<>≤≥±]|\\(?:le|ge|leq|geq|pm|ne|neq|lt|gt)\b", re.IGNORECASE)
"""Words and signs that make a number a bound, a range or a denial."""
FUNCTION = re.compile(
    r"\||√|∛|π|∞|\\(?:sqrt|pi|infty|log|ln|sin|cos|tan|binom|sum|int|theta|alpha)|\b(?:sqrt|log|ln|sin|cos|tan|root|pi)\b"
)
OPERATOR = re.compile(
    r"^\s*(?:[+*/^×÷·!=<>≤≥±√π∞]|\\(?:cdot|times|div|pi|sqrt|pm)|-\s*(?:\d|[a-z]\b)|[abckntxyz]\^|i\b|e\^|x\s*\d|x\s*$|[xyzn]\b)"
)
MORE = re.compile(
    r"^\s*(?:or|and|to|through|bis|oder|und|ou|et|o|y|–|—|-|,|;|:|/|&|\bvs)\s*(?:about |maybe |also )?[$€£]?[-+]?\.?\d",
    re.IGNORECASE,
)
ASIDE = re.compile(
    r"\s*(?:[(\[;]|\.\s|\.$|\n|,\s|[–—]\s|\s-\s|:\s|\bthat is\b|\bi\.e\b|\bin total\b"
    r"|\b(?:because|since|as|so|which|where|for|rounded|after|when|using|but)\b)",
    re.IGNORECASE,
)
"""Where a number with its unit ends and an explanation begins."""
ALTERNATIVE = re.compile(
    r"[(\[]\s*(?:or|and|maybe|not(?!\s+\$?\d)|possibly)\b"
    r"|^[^.(\n]*?,\s+(?!not\s+\$?\d|because|since|as\b|so\b|which|where|i\.e|that is|given|for\b)[^.(\n]*\d",
    re.IGNORECASE,
)
"""A second number in brackets, or after a comma that starts no explanation."""
PARTS = re.compile(r"[)\]]\s*[,;]?\s*(?:and\s+)?(?:\([a-e]\)\s*)?\d|\b[a-e]\)[^\n]*\b[a-e]\)")
"""A further part of an answer that has several."""
DENIED = re.compile(r"\b(?:is|are|was)\s*(?:n't|n’t|\s*not)\b|\bcannot\b|\bis (?:wrong|incorrect|too)\b", re.IGNORECASE)
UNIT_EXPONENT = re.compile(r"(?<=[A-Za-zµΩ°)])\s*(?:\^\s*\{?-?\d+\}?|\d)(?!\d)")


@dataclass(frozen=True)
class Quantity:
    """A number that a text states."""

    value: Fraction
    """Its value; of 50 % it is 50."""
    percent: bool = False
    """Whether a percent sign follows."""
    decimals: int | None = 0
    """Digits after the decimal sign; None for a fraction."""
    unit: str = ""
    """Words or symbols after it."""
    others: frozenset[Fraction] = frozenset()
    """Other values that the same characters can mean (1,234 is 1234 or 1.234)."""

    @property
    def share(self) -> Fraction:
        """The value as a share of 1 where it is in percent."""
        return self.value / 100 if self.percent else self.value


def normalised(text: str) -> str:
    """Return a text with LaTeX, signs and digits in plain form."""
    for sign, fraction in VULGAR.items():
        text = re.sub(
            rf"(\d)?\s*{sign}",
            lambda found, fraction=fraction: f"{found[1]} {fraction}" if found[1] else fraction,
            text,
        )
    text = SUPERSCRIPT.sub(lambda found: "^" + found[0].translate(FROM_SUPERSCRIPT), text)
    text = (
        text.translate(str.maketrans("０１２３４５６７８９−‐‑﹣－％，．", "0123456789-----%,."))
        .replace("∕", "/")
        .replace("⁄", "/")
    )
    text = (
        text.replace("{,}", ",")
        .replace("\\%", "%")
        .replace("\\cdot", "·")
        .replace("\\times", "×")
        .replace("\\approx", "≈")
    )
    text = re.sub(r"\^\s*\{?\s*\\circ\s*\}?", "°", text)
    for _ in range(3):
        text = TEX_TEXT.sub(r" \1 ", text)
        text = TEX_FRACTION.sub(_plain_fraction, text)
    text = TEX_MARK.sub("", TEX_SPACE.sub(" ", text))
    text = re.sub(r"(?<=\d)\s*\*\*\s*(?=\d)", "^", text)
    text = re.sub(r"\b(?:US|AU|CA|HK|NZ)\$|\$", "", text)
    return re.sub(
        r"[*_`#\"“”]+", lambda found: "*" if found[0] == "*" and _between_digits(text, found) else "", text
    ).strip()


def _between_digits(text: str, match: re.Match[str]) -> bool:
    return (
        re.search(r"\d\s*$", text[: match.start()]) is not None and re.match(r"\s*\d", text[match.end() :]) is not None
    )


def _plain_fraction(match: re.Match[str]) -> str:
    over, under = (match[1], match[2]) if match[1] is not None else (match[3], match[4])
    if re.fullmatch(r"\d+(?:\.\d+)?", over) and re.fullmatch(r"\d+(?:\.\d+)?", under):
        return f" {over}/{under} "
    if re.fullmatch(r"-\d+", over) and re.fullmatch(r"\d+", under):
        return f" {over}/{under} "
    return f"√({over})/({under})"  # an expression: the sign makes sure that no single number is read from it


def read_quantity(text: str) -> Quantity | None:
    """Return the number that a text states; None where it states none.

    Args:
        text: A number with its unit, an equation, or a short sentence around one.

    Raises:
        Unclear: Several numbers, a bound or range, a denial, or an expression that is no number.
    """
    sentence = re.split(r"\.\s+(?=[A-Z])", normalised(text), maxsplit=1)[0]
    parts = re.split(r"=|≈", re.split(r"\s\(|;\s(?=[A-Za-z])", sentence, maxsplit=1)[0] or sentence)
    if len(parts) == 1:
        return _stated(sentence)
    read: list[Quantity] = []
    unclear: Unclear | None = None
    for part in parts:
        try:
            quantity = _stated(part) if part.strip() else None
        except Unclear as error:
            unclear = error
            continue
        if quantity is not None:
            read.append(quantity)
    return _of_equation(read, unclear)


def _of_equation(read: list[Quantity], unclear: Unclear | None) -> Quantity | None:
    """Return the number of an equation: its only plain number, or one that all sides agree on."""
    if not read:
        if unclear is not None:
            raise unclear
        return None
    last = read[-1]
    for other in read[:-1]:
        if not same_number(other, last):
            raise Unclear(SEVERAL)
    return read[0] if len(read) > 1 and read[0].decimals is None else last


def same_number(one: Quantity, other: Quantity) -> bool:
    """Return whether two numbers are equal, in percent or not, or one is the other rounded.

    Args:
        one: A number with its decimals and whether it is a percentage.
        other: Another one.
    """
    if one.value == other.value or (
        one.percent != other.percent and {one.value / 100, other.value / 100} & {one.value, other.value}
    ):
        return True
    return is_rounded(one, other)


def is_rounded(one: Quantity, other: Quantity) -> bool:
    """Return whether the number with fewer decimals is the other one rounded; whole numbers do not count.

    Args:
        one: A number with its decimals.
        other: Another one.
    """
    places = [quantity.decimals for quantity in (one, other) if quantity.decimals is not None]
    if not places or min(places) < 1:
        return False
    return round(one.value, min(places)) == round(other.value, min(places))


def _stated(text: str) -> Quantity | None:
    lead = LEAD.match(text)
    text = text[lead.end() :] if lead else text
    match = NUMBER.search(text)
    if match is None or not re.search(r"\d", text):
        return None
    before = text[: match.start()]
    if BOUND.search(before) or FUNCTION.search(before) or re.search(r"[\d^]", before):
        raise Unclear(NO_ANSWER)
    if re.search(r"[A-Za-z]\(?$", before):
        raise Unclear(NO_ANSWER)
    after = text[match.end() :]
    if before.strip(" ([{:") and re.search(r"\d", UNIT_EXPONENT.sub("", after)):
        raise Unclear(SEVERAL)
    _refuse_more(after)
    quantity = _quantity(match, _unit(after))
    if f"{lead[0] if lead else ''}{before}".rstrip().endswith("(") and after.startswith(")"):
        # accountants write losses in brackets
        return replace(quantity, others=quantity.others | {-quantity.value})
    return quantity


def is_leading(text: str) -> bool:
    """Return whether a text starts with its number, apart from words that add nothing to it."""
    plain = normalised(text)
    lead = LEAD.match(plain)
    return NUMBER.match(plain[lead.end() :] if lead else plain) is not None


def _refuse_more(after: str) -> None:
    """Refuse what makes a number part of an expression, a range or a list, or denies it.

    Raises:
        Unclear: It does.
    """
    if re.match(r"^\s*[)\]]\s*[*^/+×÷·-]", after):
        raise Unclear(NO_ANSWER)
    if PARTS.search(after):
        raise Unclear(SEVERAL)
    if OPERATOR.match(after) or FUNCTION.search(re.split(r"[(.;,]", after, maxsplit=1)[0]):
        raise Unclear(NO_ANSWER)
    if MORE.match(after) or ALTERNATIVE.search(after):
        raise Unclear(SEVERAL)
    aside = ASIDE.search(after)
    words = after[: aside.start()] if aside else after
    if re.search(r"\d", UNIT_EXPONENT.sub("", words)):
        raise Unclear(SEVERAL)
    if DENIED.search(after):
        raise Unclear(NO_ANSWER)


def _unit(after: str) -> str:
    aside = ASIDE.search(after)
    return " ".join((after[: aside.start()] if aside else after).split()).strip(" .,;:!?)]}")


def _quantity(match: re.Match[str], unit: str) -> Quantity:
    if len(match[0]) > LONGEST:
        raise Unclear(NO_ANSWER)
    value, decimals, others = _digits(match["digits"])
    power = _exponent(match)
    if power is not None:
        value, decimals, others = value * Fraction(10) ** power, max((decimals or 0) - power, 0), frozenset[Fraction]()
    elif match["power"]:
        value, others = _raised(value, int(match["power"])), frozenset[Fraction]()
    added = _fraction(match)
    if added is not None:
        factor, term = added
        value, decimals, others = value * factor + term, None, frozenset[Fraction]()
    if match["many"]:
        others, value = others | {value}, value * MANY[match["many"].lower()]
    if (match["sign"] or "+").strip() != "+" or match["sign2"]:
        value, others = -value, frozenset(-other for other in others)
    return Quantity(value, bool(match["percent"]), decimals, unit, others)


def _exponent(match: re.Match[str]) -> int | None:
    """Return the power of ten of scientific notation; None without one."""
    written = match["exponent"] or match["tens"]
    if written and abs(int(written)) > LARGEST_POWER:
        raise Unclear(NO_ANSWER)
    return int(written) if written else None


def _raised(value: Fraction, power: int) -> Fraction:
    if power > LARGEST_POWER or abs(value) > LARGEST_BASE:
        raise Unclear(NO_ANSWER)
    return value**power


def _fraction(match: re.Match[str]) -> tuple[Fraction, Fraction] | None:
    """Return what the number before a fraction is multiplied by, and what is added to it; None without a fraction."""
    below = match["below"] or match["under"]
    if below is None:
        return None
    if Fraction(below) == 0:
        raise Unclear(NO_ANSWER)
    if match["below"]:
        return 1 / Fraction(below), Fraction(0)
    return Fraction(1), Fraction(int(match["over"]), int(below))


def _digits(digits: str) -> tuple[Fraction, int | None, frozenset[Fraction]]:
    """Return value, decimals and other possible values of digits with separators."""
    plain = re.sub(r"['’_\u00a0\u202f\u2009]", "", digits)
    if " " in plain:
        grouped = Fraction(plain.replace(" ", "").replace(",", "."))
        return grouped, 0, frozenset({Fraction(part.replace(",", ".")) for part in plain.split()})
    if re.fullmatch(r"[1-9]\d{0,2},\d{3}", plain):
        # a comma before three digits groups thousands in English and starts decimals elsewhere
        return Fraction(plain.replace(",", "")), 0, frozenset({Fraction(plain.replace(",", "."))})
    if re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", plain):
        return Fraction(plain), 3, frozenset({Fraction(plain.replace(".", ""))})
    if re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?", plain):
        plain = plain.replace(".", "").replace(",", ".")
    elif re.fullmatch(r"\d+,\d+", plain):
        plain = plain.replace(",", ".")
    plain = plain.replace(",", "").rstrip(".")
    return Fraction(plain), len(plain.partition(".")[2]), frozenset()
