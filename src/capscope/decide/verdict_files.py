"""Text of a gate's result: for a terminal, as Markdown for a pull request, as JUnit XML for a test report."""

from xml.etree.ElementTree import Element, SubElement, tostring

from capscope.decide.release_gate import GateResult
from capscope.decide.verdicts import ScopeClaim, detectable_difference
from capscope.errors import counted

MEANING = {
    "ship": "the loss stays within the margin",
    "hold": "the candidate is worse, and the loss may exceed the margin",
    "undecided": "these answers do not settle it",
}
"""Sentence for each verdict."""


def gate_text(result: GateResult) -> str:
    """Return the verdict, then the numbers, for a terminal.

    Args:
        result: The decision.

    Returns:
        Lines to print.
    """
    lines = [_headline(result), *_facts(result)]
    named = [claim for claim in result.claims if claim.claim]
    lines += [f"  {_claim(claim)}" for claim in named]
    if result.claims and not named:
        lines.append(f"No loss or gain can be claimed in any of the {counted(len(result.claims), 'part')} looked at.")
    return "\n".join([*lines, *(f"Note: {warning}." for warning in result.warnings)])


def gate_markdown(result: GateResult) -> str:
    """Return Markdown for a pull request, with a table of benchmarks, tasks or demands.

    Args:
        result: The decision.

    Returns:
        The Markdown.
    """
    lines = [f"### {_headline(result)}", "", *(f"* {fact}" for fact in _facts(result)), ""]
    if result.claims:
        lines += ["| part | difference | interval | answers | claim |", "|---|---|---|---|---|"]
        lines += [
            f"| {_escaped(claim.scope)} | {_points(claim.difference)} | {_range((claim.lower, claim.upper))} |"
            f" {claim.n_answers} | {claim.claim} |"
            for claim in result.claims
        ]
        lines.append("")
    return "\n".join([*lines, *(f"> {warning}" for warning in result.warnings)]) + "\n"


def gate_junit(result: GateResult) -> str:
    """Return a JUnit XML report: a test for the verdict and for each part; undecided ones are marked as skipped.

    Args:
        result: The decision.

    Returns:
        The XML.
    """
    failed = sum(claim.claim == "worse" for claim in result.claims) + (result.verdict == "hold")
    suite = Element(
        "testsuite",
        name="capscope gate",
        tests=str(1 + len(result.claims)),
        failures=str(failed),
        skipped=str(int(result.verdict == "undecided")),
    )
    case = SubElement(
        suite, "testcase", classname="capscope.gate", name=f"{result.candidate} against {result.baseline}"
    )
    if result.verdict == "hold":
        SubElement(case, "failure", message=_headline(result)).text = gate_text(result)
    elif result.verdict == "undecided":
        SubElement(case, "skipped", message=_headline(result))
    for claim in result.claims:
        part = SubElement(suite, "testcase", classname="capscope.gate.parts", name=claim.scope)
        if claim.claim == "worse":
            SubElement(part, "failure", message=_claim(claim))
    return '<?xml version="1.0" encoding="utf-8"?>\n' + tostring(suite, encoding="unicode") + "\n"


def _headline(result: GateResult) -> str:
    return f"{result.verdict.upper()}: {result.candidate} against {result.baseline}, {MEANING[result.verdict]}"


def _facts(result: GateResult) -> list[str]:
    difference, settings = result.difference, result.settings
    level = f"{100 * settings.level:g} % interval"
    again = difference.another_run_interval(settings.quantile)
    new = difference.new_items_interval(settings.quantile, (1 - settings.level) / 2)
    known = result.lower == result.upper
    bounds = "exactly: every item was answered" if known else f"{level} {_range((result.lower, result.upper))}"
    facts = [
        f"Difference on this suite: {_points(difference.estimate)} points ({bounds});"
        f" margin {_points(-settings.margin)}.",
        f"Allowing for another run of both{_repeats(result)}: {_range(again)};"
        f" for new items of the same kind: {_range(new)}.",
        f"{difference.n_answers} of {difference.n_items} items were answered by both; with {result.n_past} past models"
        f" they are worth as much as {difference.effective_answers:.0f} paired answers alone, and show a difference of"
        f" {100 * detectable_difference(difference, settings.quantile, settings.fixed):.1f} points four times in five.",
    ]
    for part in result.margins:
        shown = "too few answers"
        if part.difference is not None and part.lower is not None and part.upper is not None:
            shown = f"{_points(part.difference)} points ({_range((part.lower, part.upper))})"
        facts.append(f"Margin {_points(-part.margin)} on {part.benchmark}: {part.verdict}, {shown}.")
    if result.verdict == "undecided" and result.more_answers is None:
        facts.append("The rest of this suite would not settle it: repeat runs, add items, or widen the margin.")
    elif result.verdict == "undecided":
        facts.append(f"About {result.more_answers} more answers would settle it.")
    return facts


def _repeats(result: GateResult) -> str:
    """Text on the repeated runs behind the run variance."""
    noise = result.difference.noise
    if noise is None:
        return ""
    old, new, others = noise.sources
    whose = [f"{counted(old, 'item')} of {result.baseline}"] * (old > 0) + [f"{new} of {result.candidate}"] * (new > 0)
    whose += [counted(others, "other model")] * (others > 0)
    return f" (by repeats of {', '.join(whose)})"


def _claim(claim: ScopeClaim) -> str:
    bounds = _range((claim.lower, claim.upper))
    return (
        f"{claim.claim or 'no claim'} on {claim.scope}: {_points(claim.difference)} points ({bounds}), p {claim.p:.3g}"
    )


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _range(bounds: tuple[float, float]) -> str:
    return f"{_points(bounds[0])} to {_points(bounds[1])}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
