"""The family of graders: from a model's reply to a score. To add one, write a module and add its line here."""

from capscope.battery.graders.grader import AnswerKey, Graded, Grader, visible_text
from capscope.battery.graders.letters import LETTER
from capscope.battery.graders.numbers import NUMBER
from capscope.battery.graders.texts import EXACT
from capscope.battery.graders.verdicts import VERDICT

GRADERS: dict[str, Grader] = {
    "letter": LETTER,
    "number": NUMBER,
    "exact": EXACT,
    "judge": VERDICT,
}
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
    return grader.grade(text, key)
