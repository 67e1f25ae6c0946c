import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capscope.annotate import parse_joint_reply, parse_reply


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ('{"reasoning": "short", "level": 3}', 3),
        ('{"level": 0}', 0),
        ('{"level": "4"}', 4),
        ('{"level": 2.0}', 2),
        ('```json\n{"reasoning": "r", "level": 5}\n```', 5),
        ('Some thoughts {not json}.\n\n{"reasoning": "r", "level": 1}', 1),
        ('Thoughts first.\n```json\n{"reasoning": "uses {braces}", "level": 1}\n```', 1),
        ("Step by step.\nThe level is: 2", 2),
        ("Step by step.\n**The level is: 2.**", 2),
    ],
)
def test_a_level_is_read(text, level):
    assert parse_reply(text).level == level


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "3",
        "level 3 of 5",
        "The level is: 3 of 5",
        "The level is: 3/5",
        "The level is: 6",
        "The level is: 35",
        "The level is: -1",
        "The level is: 3\nBut it could be 4.",
        "The level is: 3 or 4",
        '{"reasoning": "r", "level": "3 of 5"}',
        '{"reasoning": "r", "level": 6}',
        '{"reasoning": "r", "level": -1}',
        '{"reasoning": "r", "level": 3.5}',
        '{"reasoning": "r", "level": true}',
        '{"reasoning": "r", "level": null}',
        '{"reasoning": "r", "level": [3]}',
        '{"reasoning": "r", "level": 3, "level": 4}',
        '{"reasoning": "r", "lev',
        '{"reasoning": "r"}',
        '{"score": 3}',
        '{"level": NaN}',
        '{"reasoning": "r", "level": 3} and so the level is 4',
        "{" * 3000,
    ],
)
def test_anything_else_is_unparsed(text):
    parsed = parse_reply(text)
    assert parsed.level is None
    assert parsed.problem
    assert not parsed.ok


@pytest.mark.parametrize("reason", ["length", "content_filter", "tool_calls"])
def test_a_reply_that_was_cut_short_has_no_level(reason):
    assert parse_reply('{"reasoning": "r", "level": 3}', reason).level is None


@given(st.text(max_size=200))
def test_no_text_breaks_the_parser(text):
    assert parse_reply(text).level in (None, 0, 1, 2, 3, 4, 5)


@given(st.integers())
def test_only_levels_are_levels(number):
    parsed = parse_reply(json.dumps({"level": number}))
    assert parsed.level == (number if 0 <= number <= 5 else None)


def test_joint_replies_keep_what_is_right_and_name_what_is_not():
    found = parse_joint_reply('{"reasoning": "r", "levels": {"A": 3, "B": "many"}}', ["A", "B", "C"])
    assert found["A"].level == 3
    assert "no level from 0 to 5" in found["B"].problem
    assert found["C"].problem == "no level for C"
    assert parse_joint_reply('{"A": 3}', ["A"])["A"].level is None
    assert parse_joint_reply('{"levels": {"A": 3}}', ["A"], "length")["A"].level is None
