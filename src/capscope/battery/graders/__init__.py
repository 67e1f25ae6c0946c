"""The family of graders: from a model's reply to a score.

To add one, write a module with a `Grader` and add one line to `FAMILY`.
"""

from capscope.battery.graders.grader import HTML_MARK, AnswerKey, Graded, Grader, visible_text
from capscope.members import family

FAMILY = (
    "letters:LETTER",
    "numbers:NUMBER",
    "texts:EXACT",
    "verdicts:VERDICT",
)
"""The members, as ``module:entry``, the most specific first."""

GRADERS: dict[str, Grader] = family(__name__, FAMILY, Grader)
"""Graders by name, the most specific first: `auto` takes the first that can compare an item's right answer."""

__all__ = ["GRADERS", "AnswerKey", "Graded", "Grader", "grade_reply"]


def grade_reply(reply: str, key: AnswerKey, grader: Grader) -> Graded:
    """Grade a whole reply.

    Args:
        reply: The text of a reply that its endpoint says is whole.
        key: The right answer.
        grader: The grader; not one that needs a judge.

    Returns:
        The score, 1 or 0, or why there is none.
    """
    text, problem = visible_text(reply)
    if problem or grader.grade is None:
        return Graded(None, problem or f"grader '{grader.name}' needs a judge")
    if not any("<" in known for known in (key.target, *key.options.values())):
        text = HTML_MARK.sub("", text)
    return grader.grade(text, key)
