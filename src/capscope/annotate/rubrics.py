"""Rubrics and rubric sets: one text file for each scale, with lenient parsing, exact hashes, and checks."""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from capscope.axes import LEVELS
from capscope.data import read_text, shipped
from capscope.errors import InputError, first_few, nearest

LEVEL_HEAD = re.compile(r"^[#*\s]*Level\s+(\d+)\s*[:.](?:\*\*)?\s*(.*)$", re.IGNORECASE)
EXAMPLE = re.compile(r"^\s*(?:[-*\u2022]|\d+[.)])\s+(.+)$")
LONGEST = 1500
"""Number of words above which a rubric is reported as too long; the longest published one has about 1,320."""


@dataclass(frozen=True)
class RubricLevel:
    """One level of a rubric."""

    level: int
    """The number in its heading."""
    text: str
    """The whole section, its heading included."""
    examples: tuple[str, ...]
    """The lines that are list entries."""


@dataclass(frozen=True)
class Rubric:
    """A scale on which items are rated from level 0 to level 5."""

    code: str
    """Short name, the file's stem: ``QLl``."""
    name: str
    """Full name, from the first line."""
    text: str
    """The whole file as the annotator reads it."""
    levels: tuple[RubricLevel, ...]
    """The levels in the order in which they stand."""
    sha256: str
    """Hash of `text`; labels carry it."""

    def missing_levels(self) -> tuple[int, ...]:
        """Return the levels from 0 to 5 that have no heading."""
        return tuple(level for level in LEVELS if level not in {entry.level for entry in self.levels})


@dataclass(frozen=True)
class RubricSet:
    """Rubrics that are used together, in a fixed order."""

    name: str
    """Name of the set: its index's, or the folder's."""
    version: str
    """Version that the index states; empty without an index."""
    rubrics: tuple[Rubric, ...]
    """The rubrics in the order of the index, else by code."""
    families: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Family name to the codes in it."""
    parts: tuple[str, ...] = ()
    """Columns of the items table that annotators read with the text, such as ``tools``, where a study has them."""
    control: tuple[str, ...] = ()
    """Codes that are control variables, such as the chance of a guess, and no demand."""

    @property
    def codes(self) -> tuple[str, ...]:
        """Return all codes in order."""
        return tuple(rubric.code for rubric in self.rubrics)

    def scales(self) -> tuple[Rubric, ...]:
        """Return the rubrics that are demands: all but the control variables."""
        return tuple(rubric for rubric in self.rubrics if rubric.code not in self.control)

    def get(self, code: str) -> Rubric:
        """Return one rubric.

        Raises:
            InputError: The set has no such code.
        """
        for rubric in self.rubrics:
            if rubric.code == code:
                return rubric
        hint = nearest(code, self.codes)
        raise InputError(f"rubric set {self.name}: no rubric '{code}'{hint}; there are {first_few(self.codes, 20)}")

    def reduced(self, codes: tuple[str, ...]) -> "RubricSet":
        """Return the set reduced to some codes, in their order; the whole set without any.

        Raises:
            InputError: The set has no such code.
        """
        if not codes:
            return self
        kept = tuple(self.get(code) for code in dict.fromkeys(codes))
        return replace(self, rubrics=kept, control=tuple(code for code in self.control if code in codes))

    def family(self, code: str) -> str:
        """Return the family of a code, empty where the index names none."""
        return next((family for family, codes in self.families.items() if code in codes), "")


def parse_rubric(code: str, text: str) -> Rubric:
    """Read one rubric from its text; a byte-order mark, ``Level 1.`` and text around the levels are accepted.

    Args:
        code: Short name of the scale.
        text: The file's content.

    Returns:
        The rubric; `check_rubrics` says what it lacks.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").strip() + "\n"
    first = text.split("\n", 1)[0]
    name = first.lstrip("#").strip() if first.startswith("#") else code
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Rubric(code, name, text, _levels(text), digest)


def load_rubrics(folder: Path) -> RubricSet:
    """Read a folder of rubric files (``CODE.txt``) with an optional ``index.json``, or a shipped set by its name.

    Args:
        folder: The folder; where there is none of that name, the name of a shipped set, such as ``agentic``.

    Returns:
        The set, in the order of its index, else by code.

    Raises:
        InputError: No such folder, no rubric in it, or an index that names files that are not there.
    """
    if not folder.is_dir():
        if str(folder) not in shipped_sets():
            names = " or ".join(shipped_sets())
            raise InputError(f"{folder}: no such folder; --rubrics takes a folder of CODE.txt files, or {names}")
        folder = shipped("rubrics") / folder
    texts = {path.stem: read_text(path) for path in sorted(folder.glob("*.txt"))}
    if not texts:
        raise InputError(f"{folder}: no rubric here; expected files such as QLl.txt")
    index = _read_index(folder / "index.json")
    order = _order(folder, index, list(texts))
    return RubricSet(
        str(index.get("name", folder.name)),
        str(index.get("version", "")),
        tuple(parse_rubric(code, texts[code]) for code in order),
        {str(family): tuple(codes) for family, codes in index.get("families", {}).items()},
        _as_codes(index.get("parts", ())),
        _as_codes(index.get("control", ())),
    )


def general_rubrics() -> RubricSet:
    """Return the shipped general set: 18 scales and Unguessability."""
    return load_rubrics(shipped("rubrics/general"))


def shipped_sets() -> tuple[str, ...]:
    """Return the names of the shipped rubric sets."""
    return tuple(sorted(path.name for path in shipped("rubrics").iterdir() if path.is_dir()))


def known_rubrics() -> RubricSet:
    """Return the rubrics of all shipped sets together, the general ones first; their codes differ."""
    general = general_rubrics()
    others = [load_rubrics(shipped("rubrics") / name) for name in shipped_sets() if name != general.name]
    return replace(
        general,
        rubrics=tuple(rubric for held in (general, *others) for rubric in held.rubrics),
        families=general.families | {name: codes for held in others for name, codes in held.families.items()},
    )


def _levels(text: str) -> tuple[RubricLevel, ...]:
    blocks: list[tuple[int, list[str]]] = []
    for line in text.split("\n"):
        head = LEVEL_HEAD.match(line)
        if head:
            blocks.append((int(head[1]), [head[2]]))
        elif blocks:
            blocks[-1][1].append(line)
    return tuple(
        RubricLevel(level, "\n".join(lines).strip(), tuple(m[1] for line in lines[1:] if (m := EXAMPLE.match(line))))
        for level, lines in blocks
    )


def _read_index(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        index = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno} is not JSON ({error.msg}); correct the index") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON that can be read; correct the index") from error
    if not isinstance(index, dict):
        raise InputError(f"{path}: expected a JSON object with name, version, order and families")
    return {str(key): value for key, value in index.items()}


def _as_codes(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(str(code) for code in value) if isinstance(value, list | tuple) else ()


def _order(folder: Path, index: dict[str, Any], findings: list[str]) -> list[str]:
    """Put the codes of the index first; files that it leaves out follow by code."""
    named = list(_as_codes(index.get("order", [])))
    absent = [code for code in named if code not in findings]
    if absent:
        raise InputError(f"{folder}: index.json names {first_few(absent)}, which have no file; add them or fix 'order'")
    return named + [code for code in findings if code not in named]


@dataclass(frozen=True)
class Finding:
    """One thing to correct in a rubric set."""

    code: str
    """The rubric."""
    problem: str
    """What is wrong, and with which level."""


def check_rubrics(rubrics: RubricSet, longest: int = LONGEST) -> tuple[Finding, ...]:
    """Return the faults of a set; empty where there are none.

    Args:
        rubrics: The set.
        longest: Number of words above which a rubric is too long.

    Returns:
        The faults, by rubric.
    """
    findings: list[Finding] = []
    for rubric in rubrics.rubrics:
        problems = _control(rubric) if rubric.code in rubrics.control else _levels_and_examples(rubric)
        findings += [Finding(rubric.code, problem) for problem in problems]
        words = len(rubric.text.split())
        if words > longest:
            findings.append(Finding(rubric.code, f"{words} words; more than {longest} are overlong"))
    findings += _collisions(rubrics, lambda rubric: rubric.code.lower(), "its code equals that of {} but for case")
    findings += _collisions(rubrics, lambda rubric: rubric.sha256, "its text equals that of {}")
    findings += _collisions(rubrics, lambda rubric: rubric.name.lower(), "its full name equals that of {}")
    return tuple(findings)


def _levels_and_examples(rubric: Rubric) -> list[str]:
    problems = [f"level {level} is missing" for level in rubric.missing_levels()]
    numbers = [entry.level for entry in rubric.levels]
    problems += [f"level {level} is not one of 0-5" for level in sorted(set(numbers) - set(LEVELS))]
    problems += [f"level {level} stands twice" for level in sorted({n for n in numbers if numbers.count(n) > 1})]
    problems += [f"level {entry.level} has no example" for entry in rubric.levels if not entry.examples]
    problems += [f"level {entry.level} has no text" for entry in rubric.levels if not entry.text]
    if not rubric.text.startswith("#"):
        problems.append("the first line is not '# Full name'")
    return problems


def _control(rubric: Rubric) -> list[str]:
    """A control variable has a rule of its own and no levels."""
    listed = any(EXAMPLE.match(line) for line in rubric.text.split("\n"))
    return [] if listed else ["it has no example"]


def _collisions(rubrics: RubricSet, trait: Callable[[Rubric], str], problem: str) -> list[Finding]:
    holders: dict[str, list[str]] = defaultdict(list)
    for rubric in rubrics.rubrics:
        holders[trait(rubric)].append(rubric.code)
    return [
        Finding(code, problem.format(codes[0])) for codes in holders.values() if len(codes) > 1 for code in codes[1:]
    ]
