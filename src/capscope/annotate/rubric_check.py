"""What is wrong with a rubric set: missing levels or examples, codes that collide, texts that are too long."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from capscope.annotate.rubrics import EXAMPLE, Rubric, RubricSet
from capscope.axes import LEVELS

LONGEST = 1500
"""Words above which a rubric costs more than it explains; the longest published one has about 1,320."""


@dataclass(frozen=True)
class Finding:
    """One thing to correct in a rubric set."""

    code: str
    """The rubric."""
    problem: str
    """What is wrong, and with which level."""


def check_rubrics(rubrics: RubricSet, longest: int = LONGEST) -> tuple[Finding, ...]:
    """Look for faults in a set; an empty result is a clean bill.

    Args:
        rubrics: The set.
        longest: Number of words above which a rubric is too long.
    """
    found: list[Finding] = []
    for rubric in rubrics.rubrics:
        problems = _control(rubric) if rubric.code in rubrics.control else _levels_and_examples(rubric)
        found += [Finding(rubric.code, problem) for problem in problems]
        words = len(rubric.text.split())
        if words > longest:
            found.append(Finding(rubric.code, f"{words} words; more than {longest} are overlong"))
    found += _collisions(rubrics, lambda rubric: rubric.code.lower(), "its code equals that of {} but for case")
    found += _collisions(rubrics, lambda rubric: rubric.sha256, "its text equals that of {}")
    found += _collisions(rubrics, lambda rubric: rubric.name.lower(), "its full name equals that of {}")
    return tuple(found)


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
