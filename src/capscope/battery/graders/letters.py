"""Grader of choices among lettered options: by the letter, or by the words or the value of the option."""

import re
import unicodedata
from collections.abc import Mapping

from capscope.battery.graders.answer_statements import REVISION, read_statements
from capscope.battery.graders.grader import NO_ANSWER, SEVERAL, AnswerKey, Graded, Grader, Unclear
from capscope.battery.graders.quantities import normalised, read_quantity

FORM_LETTER = "X"
"""The letter in the form that is asked for: a reply that repeats the form chooses nothing."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

MARKUP = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathsf|mathit|operatorname)\s*\{([^{}]*)\}")
SENTENCE_END = re.compile(r"(?:です|である|だ|입니다|이다|。|।|،|؟)+\s*$")
"""Endings of a sentence in other scripts, which follow a letter without a space."""
WRAPPING = re.compile(r"\\[()\[\]]|[*_`$#\"“”„«»]")
NEGATION = re.compile(
    r"\b(?:not|never|neither|nor|cannot|can't|isn't|aren't|wasn't|won't|don't|doesn't|wrong|incorrect|false|except"
    r"|rule out|ruled out|eliminat\w+|exclud\w+|unlike|rather than|instead of)\b|n’t\b",
    re.IGNORECASE,
)
HEDGE = re.compile(r"\b(?:might|may|maybe|perhaps|possibly|could|either|unsure|let me|guess)\b", re.IGNORECASE)
FOREIGN_WORDS = "letra|lettre|lettera|opción|opcion|opção|opcao|opzione|buchstabe|bokstav|вариант|буква"
LEADING = re.compile(
    rf"^(?:(?:(?:a|la|el|die|der|den)(?=\s+(?:{FOREIGN_WORDS})\b)|{FOREIGN_WORDS}|it|this|that|the|is|it's|its|be|probably|likely|clearly|thus|so|definitely|still|therefore|indeed"
    r"|correct|right|best|answer|option|choice|letter|one|alternative|response|would|must|i|think|believe|choose|pick"
    r"|select|say|say:|go|with|for|option:|=|:|-)\W*\s+)*"
    r"(?:option|choice|letter|answer|alternative)?\s*",
    re.IGNORECASE,
)
BRACKETED = re.compile(r"^[(\[{<]\s*([A-Za-z])\s*[)\]}>]")
DELIMITED = re.compile(r"^([A-Za-z])\s*(?=[).:,;!?\]]|[-–—]\s|\s+[-–—]|$)")
BARE = re.compile(r"^([A-Z])\s+(?=\S)")
AFTER_A = re.compile(
    r"^(?:because|since|as|for|due|given|which|is (?:the )?(?:correct|right|best|true|my|because|it)|so|then|and not"
    r"|not|rather than|instead of|by|only|seems|fits|matches|follows|holds|\W)",
    re.IGNORECASE,
)
"""What may follow the letter A where it is no article."""
DENIED = re.compile(
    r"^\W*(?:(?:is|was|are|were|can|could|does|do|would|must)\s*(?:n't|n’t|not)\b|cannot\b|can't\b"
    r"|(?:is|was|seems|looks)\s+(?:wrong|incorrect|false|out|too|impossible|unlikely|excluded|ruled))",
    re.IGNORECASE,
)
ANOTHER = re.compile(
    r"^\W*(?:(?:or|and|and/or|nor|then|&|/|\+|,|;|to|vs\.?|versus)\W*(?:also |maybe |perhaps |possibly |even |both )?)"
    r"(?:option |choice |the )?[(\[{]?([A-Z])(?:[)\]}.:,;!?]|\s*$|\s+(?:is|are|or|and|both|because|since|could)\b)",
    re.IGNORECASE,
)
TOKEN = re.compile(r"[(\[]([A-Z])[)\]]|(?:\b(?:option|choice|letter)\s+)([A-Z])\b")
END_TOKEN = re.compile(r"\b(?:is|be|option|choice|letter|choose|pick|select|say|with)\s+([A-Z])\W*$")
PREDICATE = re.compile(
    r"(?:\b(?:option|choice|alternative|answer|letter)\s+)?(?:[(\[]([A-Z])[)\]]|\b([B-HJ-Z])\b|\b(?:option|choice|letter|only)\s+(A|I)\b)"
    r"\s*(?:(?:is|must be|has to be|should be)\s+(?:clearly |therefore |thus |indeed )?(?:the\s+)?(?:only\s+)?"
    r"(?:correct|right|best|true)|(?:best|correctly|accurately|most closely)\s+[a-z]+s)\b",
    re.IGNORECASE,
)
CONCLUDING = (
    r"\b(?:so|therefore|thus|hence|consequently)\b[^.\n]{0,40}?",
    r"\bi(?:'d|'ll| would| will)? (?:choose|pick|select|go with|say|answer)",
    r"\bmy (?:choice|pick|selection) is",
    r"\b(?:it )?(?:must|has to) be",
    r"\bthe (?:correct|right|best) (?:option|choice|one) is",
)
CHOSEN = re.compile(
    rf"(?i:{'|'.join(CONCLUDING)})\W{{0,4}}(?i:\boption |\bchoice |\bletter |\bthe )?"
    r"(?:[(\[]([A-Za-z])[)\]]|(?<![A-Za-z'’])([A-Z])(?=[\s.,;:!)*]|$)(?!\s*=))"
)
OR_ANOTHER = re.compile(
    r"^(?:(?!\b(?:because|since|as|not|which|while|but)\b)[^(;.\n])*?"
    r"\b(?:or|and)\s+(?:maybe |perhaps |possibly |option )?[(\[]?([A-Z])[)\].:]\s*\S"
)
"""A second option with its words, joined to the first."""
ASIDE = re.compile(
    r"\s*(?:\(|\bbecause\b|\bsince\b|;|\. |\n| [-–—] |,? (?:and )?not |,? rather than |,? which )", re.IGNORECASE
)
"""Where the name of an option ends and an explanation begins."""
STATED_VALUE = re.compile(r"(?:\b(?:is|equals|be|gives)|=)\s+(\S[^=]*)$")
SHORT_LINE = 6
"""Most words of a reply that is read as a statement by itself."""
APOSTROPHES = str.maketrans(dict.fromkeys("’‘ʻʼ", "'"))
ARTICLES = re.compile(r"^(?:the|a|an)\s+", re.IGNORECASE)


def grade_letter(text: str, key: AnswerKey) -> Graded:
    """Score a choice among options by its letter or its words.

    Args:
        text: The visible text of a whole reply.
        key: The right letter, and the options where they are known.
    """
    right = letter_of(key.target, key.options)
    chosen, problem = read_statements(text, lambda stated: read_letter(stated, key.options))
    if chosen is None and not problem:
        chosen, problem = _without_statement(text, key.options)
    if chosen is None or right is None or (not key.options and chosen == FORM_LETTER != right):
        return Graded(None, problem or NO_ANSWER)
    return Graded(float(chosen == right))


def letter_of(target: str, options: Mapping[str, str]) -> str | None:
    """Return the letter of a right answer that is given as a letter or as the text of an option; None if neither.

    Args:
        target: The right answer as the study gives it.
        options: Text of each option, by its letter.
    """
    bare = target.strip(" ().[]:").upper()
    if len(bare) == 1 and bare in LETTERS and (not options or bare in options):
        return bare
    named = [letter for letter, option in options.items() if plain(option) == plain(target)]
    if len(named) == 1:
        return named[0]
    head = re.match(r"^\s*[(\[]?([A-Z])[)\].:]\s+\S", target)
    return head[1] if head and (not options or head[1] in options) else None


def read_letter(stated: str, options: Mapping[str, str]) -> str | None:
    """Return the letter that a stated text chooses; None where it chooses none.

    Args:
        stated: What a reply states as its answer.
        options: Texts of the options by letter; empty where they are not known.

    Raises:
        Unclear: It names several options, denies one, or a letter with the words of another.
    """
    text = _bare(stated)
    if not text:
        return None
    whole = _named_option(text, options)
    if whole and not _is_letter(text):
        return whole
    lead = LEADING.match(text)
    rest = text[lead.end() :] if lead else text
    # "I" and "A" may be words: the lead is dropped only where a letter follows it
    for candidate in (text, rest):
        letter, after = _leading_letter(candidate)
        if letter:
            return _confirmed(letter, after, options)
    if not whole and NEGATION.search(_without_options(text, options)):
        raise Unclear(NO_ANSWER)
    return _from_words(text, options)


def plain(text: str) -> str:
    """Return a text in a form for comparison: no case, accents of width, articles, closing marks or extra spaces."""
    folded = unicodedata.normalize("NFKC", MARKUP.sub(r"\1", text)).casefold().translate(APOSTROPHES)
    folded = "".join(letter for letter in folded if unicodedata.category(letter) != "So")
    folded = " ".join(WRAPPING.sub("", folded).split()).strip(" .,;:!?'")
    return ARTICLES.sub("", folded)


def _bare(stated: str) -> str:
    text = unicodedata.normalize("NFKC", stated)
    for _ in range(3):
        text = MARKUP.sub(r"\1", text)
    text = "".join(letter for letter in text if unicodedata.category(letter) != "So")
    text = re.sub(r"\[\[\s*([^\[\]]*?)\s*\]\]", r"[\1]", WRAPPING.sub("", text)).strip(" \t\n'‘’~")
    text = SENTENCE_END.sub("", text)
    return text.removeprefix("{").removesuffix("}").strip() if text.startswith("{") else text


def _is_letter(text: str) -> bool:
    return len(text.strip("()[]{}<> .:")) == 1


def _leading_letter(text: str) -> tuple[str, str]:
    """Return the letter at the start of a text and what follows it; empty where the start is a word."""
    for pattern in (BRACKETED, DELIMITED):
        match = pattern.match(text)
        if match:
            after = text[match.end() :].lstrip(")]}>")
            # "A-level" and "a, an" are words; a lower letter counts alone or before a mark
            if match[1].islower() and pattern is DELIMITED and after and not re.match(r"^[).:\]]", after):
                continue
            if re.match(r"^[-–—'’]\w", after):
                continue
            return match[1].upper(), after
    match = BARE.match(text)
    if match and (match[1] not in "AI" or AFTER_A.match(text[match.end() :])):
        return match[1], text[match.end() :]
    return "", ""


def _confirmed(letter: str, after: str, options: Mapping[str, str]) -> str | None:
    """Return the letter unless what follows denies it, adds another letter, or is the text of another option."""
    same = _named_option(re.sub(r"^[\s).:,;=]+", "", after), options) == letter
    if (not same and DENIED.match(after)) or after.lstrip().startswith("?"):
        raise Unclear(NO_ANSWER)
    another = ANOTHER.match(after)
    with_words = OR_ANOTHER.match(after.lstrip(" ).:"))
    if (another and another[1].upper() != letter) or (with_words and with_words[1] != letter):
        raise Unclear(SEVERAL)
    if options and letter not in options:
        return None
    if re.match(r"^\s*[A-Z](?![\w'’.])\W*(?:$|[A-Z]\b)", after):
        raise Unclear(SEVERAL)
    words = (
        letter
        if same
        else _named_option(re.sub(r"^[\s).:,;\-–—=]+", "", after), options)
        or _named_option(after.strip(" ()[]"), options)
    )
    if words and words != letter:
        raise Unclear(SEVERAL)
    return letter


def _named_option(text: str, options: Mapping[str, str]) -> str | None:
    """Return the option whose text this is, whole or up to an aside."""
    for part in (text, ASIDE.split(text, maxsplit=1)[0]):
        named = [letter for letter, option in options.items() if plain(option) and plain(option) == plain(part)]
        if len(named) == 1:
            return named[0]
    return _equal_option(text, options)


def _equal_option(text: str, options: Mapping[str, str]) -> str | None:
    """Return the option that is the same expression, or the same number with the same unit."""
    shown, number = _compact(text), _number(text)
    same = [letter for letter, option in options.items() if shown and _compact(option) == shown]
    if not same and number is not None:
        same = [letter for letter, option in options.items() if _number(option) == number]
    return same[0] if len(same) == 1 else None


def _compact(text: str) -> str:
    """Return an expression without spaces around its signs."""
    shown = plain(re.sub(r"\\[dt]frac(?![a-z])", r"\\frac", text)).replace("−", "-")
    return re.sub(r"\s*([-+*/^=,()<>{}\[\]])\s*", r"\1", shown)


def _number(text: str) -> tuple[object, bool, str] | None:
    """Return value, percent sign and unit of a text that is a number; None for any other text."""
    if not re.match(r"^\W*\d", normalised(text)):
        return None
    try:
        number = read_quantity(text)
    except Unclear:
        return None
    return None if number is None else (number.value, number.percent, plain(number.unit))


def _from_words(text: str, options: Mapping[str, str]) -> str | None:
    """Return the only option that a text without a leading letter names, by letter or by words."""
    letters = {match[1] or match[2] for match in TOKEN.finditer(text)} | {m[1] for m in END_TOKEN.finditer(text)}
    letters |= set(mentioned(text, options))
    if HEDGE.search(text) and letters:
        raise Unclear(NO_ANSWER)
    if len(letters) > 1:
        raise Unclear(SEVERAL)
    letter = next(iter(letters), None)
    return letter if letter is None or not options or letter in options else None


def mentioned(text: str, options: Mapping[str, str]) -> list[str]:
    """Return the letters of the options whose texts stand in a text as whole words, the longer text first.

    Args:
        text: A reply.
        options: Text of each option, by its letter.
    """
    left, letters = f" {plain(text)} ", list[str]()
    for letter, option in sorted(options.items(), key=lambda pair: -len(plain(pair[1]))):
        words = plain(option)
        before, after = (r"\w.,", "") if re.search("[a-z]", words) else (r"\w.,/^{(\-−±<>≤≥\\", "|[/^})]")
        pattern = rf"(?<![{before}]){re.escape(words)}(?![\w]|[.,]\d{after})"
        if words and re.search(pattern, left):
            letters.append(letter)
            left = re.sub(pattern, " ", left)
    return letters


def _without_statement(text: str, options: Mapping[str, str]) -> tuple[str | None, str]:
    """Return the choice of a reply that states no answer in a known form, and the problem where there is none."""
    lines = [_bare(line) for line in text.splitlines() if _bare(line)]
    if not lines:
        return None, NO_ANSWER
    last = re.split(r"(?<=[.!?])\s+", lines[-1])[-1]
    try:
        if len(lines) == 1 and len(lines[0].split()) <= SHORT_LINE and not lines[0].endswith("?"):
            letter = read_letter(lines[0], options)
            if letter is not None:
                return letter, ""
        if len(lines) == 1 and _starts_with_letter(lines[0]):
            return read_letter(lines[0], options), ""
        for line in (last, lines[0]):
            if _is_letter(line) and not REVISION.search(text):
                return read_letter(line, options), ""
        return _concluded(_bare(text), options), ""
    except Unclear as unclear:
        return None, str(unclear)


def _starts_with_letter(line: str) -> bool:
    """Return whether a line starts with a letter in brackets or before a mark, alone or after "It is"."""
    lead = LEADING.match(line)
    rest = line[lead.end() :] if lead else line
    return any(pattern.match(part) for pattern in (BRACKETED, DELIMITED) for part in (line, rest))


def _without_options(text: str, options: Mapping[str, str]) -> str:
    """Return a text in plain form without the words of the options it names, which may hold a denial of their own."""
    left = plain(text)
    for letter in mentioned(text, options):
        left = left.replace(plain(options[letter]), " ")
    return left


def _concluded(text: str, options: Mapping[str, str]) -> str | None:
    """Return the choice that the sentences of a reply conclude on."""
    last = [part for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()][-1]
    chosen = [*PREDICATE.finditer(text), *(() if HEDGE.search(last) else CHOSEN.finditer(last))]
    if any(ANOTHER.match(match.string[match.end() :]) for match in chosen):
        raise Unclear(SEVERAL)
    letters = {next(filter(None, match.groups())).upper() for match in chosen if not NEGATION.search(match[0])}
    if letters:
        if len(letters) > 1:
            raise Unclear(SEVERAL)
        letter = letters.pop()
        return letter if not options or letter in options else None
    named = mentioned(text, options)
    around = _without_options(text, options)
    if NEGATION.search(around) or HEDGE.search(around):
        return None
    if len(named) > 1:
        raise Unclear(SEVERAL)
    value = STATED_VALUE.search(last)
    if value and not named:
        return _equal_option(value[1].strip(" ."), options)
    tokens = {match[1] or match[2] for match in TOKEN.finditer(text)}
    return named[0] if named and tokens <= {named[0]} else None


LETTER = Grader(
    name="letter",
    help="the letter of an option, or its words",
    form="End with a line of the form 'Answer: X', where X is the letter of your choice.",
    grade=grade_letter,
    takes=lambda key: letter_of(key.target, key.options) is not None,
)
