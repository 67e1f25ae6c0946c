"""Replies are graded as a person would grade them, or left open: never a right one 0, never a wrong one 1."""

import json
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from battery import more_replies, replies
from battery.replies import NO_OPTIONS, Case
from capscope.battery import GRADERS, AnswerKey, battery_questions, grade_reply
from capscope.battery.graders.verdicts import grade_verdict
from capscope.errors import InputError


def score(case: Case, target: str | None = None) -> float | None:
    kind, right, options, reply = case
    return grade_reply(reply, AnswerKey(target=target or right, options=options), GRADERS[kind]).score


def named(cases: list[Case]) -> list[object]:
    return [pytest.param(case, id=f"{case[0]}-{case[1]}-{case[3][:40]!r}") for case in cases]


@pytest.mark.parametrize("case", named(replies.RIGHT))
def test_a_right_reply_scores_one(case: Case) -> None:
    assert score(case) == 1


@pytest.mark.parametrize("case", named(replies.WRONG))
def test_a_wrong_reply_scores_zero(case: Case) -> None:
    assert score(case) == 0


@pytest.mark.parametrize("case", named(replies.OPEN))
def test_a_reply_that_states_no_single_answer_is_unscored_with_a_reason(case: Case) -> None:
    kind, target, options, reply = case
    graded = grade_reply(reply, AnswerKey(target=target, options=options), GRADERS[kind])
    assert graded.score is None
    assert graded.problem


def test_a_doubtful_reply_is_never_scored_against_the_truth() -> None:
    assert [case for case in replies.RIGHT_AT_BEST if score(case) == 0] == []
    assert [case for case in replies.WRONG_AT_BEST if score(case) == 1] == []


def test_right_replies_are_wrong_for_another_answer() -> None:
    """The same replies against answers that they do not give: none scores 1, and nearly all score 0."""
    others = {"number": ("17", "0.31", "-8", "123456"), "exact": ("Zürich", "maybe later")}
    seen = Counter[float | None]()
    for case in replies.RIGHT:
        kind, right, options, _ = case
        letters = [letter for letter in options or "ABC" if options.get(right, right) != options.get(letter, letter)]
        for target in letters if kind == "letter" else others[kind]:
            if kind != "letter" or right in "ABCD":
                seen[score(case, target)] += 1
    assert seen[1.0] == 0
    assert seen[0.0] > 0.9 * seen.total()


def test_there_are_enough_replies_of_every_kind() -> None:
    plain = [*replies.RIGHT, *replies.WRONG, *replies.OPEN]
    assert len(plain) >= 250
    assert min(Counter(case[0] for case in plain).values()) >= 30


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("It matches.\nAnswer: right", 1),
        ("Answer: Wrong.", 0),
        ("**Answer:** right, the numbers agree", 1),
        ("Answer: the reply is correct", 1),
        ("right", 1),
        ("Answer: maybe", None),
        ("Answer: right or wrong", None),
        ("Answer: not right", None),
        ("Answer: partly correct", None),
        ("The reply is right about the date and wrong about the place.", None),
    ],
)
def test_a_judge_says_right_or_wrong_or_nothing(reply: str, verdict: float | None) -> None:
    assert grade_verdict(reply).score == verdict


@pytest.mark.parametrize("piece", ["*", "\n", "\\boxed{", "Answer: ", "the answer is ", "1,", "(", "so ", "1"])
def test_long_replies_are_graded_in_no_time(piece: str) -> None:
    text = piece * (20_000 // len(piece))
    start = time.process_time()
    for kind, target in (("letter", "B"), ("number", "90"), ("exact", "Paris")):
        grade_reply(f"{text}\nAnswer: {target}", AnswerKey(target=target), GRADERS[kind])
        grade_reply(text, AnswerKey(target=target), GRADERS[kind])
    assert time.process_time() - start < 2


def question(**row: object) -> tuple[str, str, str, dict[str, str]]:
    made = battery_questions(pd.DataFrame([{"item_id": "a", **row}]), ("a",))[0]
    return made.text, made.target, made.kind, dict(made.options)


def test_options_are_shown_with_letters() -> None:
    shown = "Pick.\n\nA. red\nB. blue"
    both = {"A": "red", "B": "blue"}
    assert question(text="Pick.", target="blue", choices=["red", "blue"]) == (shown, "B", "letter", both)
    assert question(text="Pick.", target="1", choices=np.array(["red", "blue"])) == (shown, "B", "letter", both)
    assert question(text="Pick.\nred\nblue", target="B", n_options=2) == (shown, "B", "letter", both)
    lettered = "Pick one: (A) red (B) blue"
    assert question(text=lettered, target="B", n_options=2) == (lettered, "B", "letter", both)
    lines = "Pick.\nA) red\nB) blue"
    assert question(text=lines, target="blue", n_options=2) == (lines, "B", "letter", both)
    assert question(text="Pick.\nred", target="B", n_options=2)[3] == NO_OPTIONS


@pytest.mark.parametrize(
    ("target", "kind"),
    [("90", "number"), ("1,234", "number"), ("3/4", "number"), ("50%", "number"), ("$5", "number"), ("1e-3", "number")]
    + [("10:30", "exact"), ("3, 5", "exact"), ("90 m^2", "exact"), ("2\\sqrt{3}", "exact"), ("Paris", "exact")]
    + [("B", "letter"), ("(B)", "letter"), ("x = 5", "exact"), ("2020-01-05", "exact")],
)
def test_the_grader_goes_by_the_right_answer(target: str, kind: str) -> None:
    assert question(text="?", target=target)[2] == kind


def test_a_grader_that_cannot_compare_a_target_is_refused() -> None:
    items = pd.DataFrame({"item_id": ["a", "b"], "text": "?", "target": ["90", "Paris"]})
    odd = pd.DataFrame({"item_id": ["a"], "text": ["What is printed?"], "target": ["''"]})
    with pytest.raises(InputError, match="no grader compares the right answer to a; let a judge grade"):
        battery_questions(odd, ("a",))
    with pytest.raises(InputError, match="right answer to b is not what grader 'number' compares"):
        battery_questions(items, ("a", "b"), "number")


def test_a_heading_in_brackets_is_no_unclosed_thought() -> None:
    key = AnswerKey(target="B", options={"A": "x", "B": "y"})
    assert grade_reply("[Analysis]\nThe second one fits.\n\nAnswer: B", key, GRADERS["letter"]).score == 1
    assert grade_reply("[THINK]\nThe second one fits.\n\nAnswer: B", key, GRADERS["letter"]).score is None


def test_more_shapes_of_replies_are_graded_or_left_open() -> None:
    right, wrong = (
        [score(case) for case in cases] for cases in (more_replies.CLEARLY_RIGHT, more_replies.CLEARLY_WRONG)
    )
    assert 0 not in right, more_replies.CLEARLY_RIGHT[right.index(0)]
    assert 1 not in wrong, more_replies.CLEARLY_WRONG[wrong.index(1)]
    assert [case for case in more_replies.UNCLEAR if score(case) is not None] == []
    assert [*right, *wrong].count(None) < 0.15 * len([*right, *wrong])


def chat_replies(label: str) -> list[Case]:
    """Return the replies of a label: the first line of the file holds the options by name, each other line a reply."""
    options, *rows = map(json.loads, (Path(__file__).parent / "chat_replies.jsonl").read_text("utf-8").splitlines())
    return [
        (kind, target, options.get(name, NO_OPTIONS), reply)
        for mark, kind, target, name, reply in rows
        if mark == label
    ]


def test_replies_in_the_shapes_of_chat_models_are_graded_or_left_open() -> None:
    right, wrong, unclear = map(chat_replies, ("right", "wrong", "unclear"))
    assert [case for case in right if score(case) == 0] == []
    assert [case for case in wrong if score(case) == 1] == []
    assert [case for case in unclear if score(case) is not None] == []
    assert min(len(right), len(wrong), len(unclear)) > 60
    graded = [score(case) for case in (*right, *wrong)]
    assert graded.count(None) < 0.05 * len(graded)
