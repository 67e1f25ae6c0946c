import json
import time
from pathlib import Path

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


PLAIN = '{"reasoning": "It takes two steps.", "level": 2}'
WRAPPED = {
    "raw line break": '{"reasoning": "One.\nTwo.", "level": 2}',
    "tab": '{"reasoning": "One.\tTwo.", "level": 2}',
    "latex": r'{"reasoning": "Solve \(x^2\) with \sqrt{3} and \alpha, \{a\}.", "level": 2}',
    "latex unicode": r'{"reasoning": "\underline{u} and \xi", "level": 2}',
    "trailing comma": '{"reasoning": "r", "level": 2, }',
    "trailing comma and latex": r'{"reasoning": "\(y\)", "level": 2,}',
    "words after": PLAIN + "\n\nTell me if you want the next one.",
    "the same level after": PLAIN + "\n\nSo the level is 2.",
    "fence and words": f"My rating:\n```json\n{PLAIN}\n```\nI hope this helps.",
    "fence without a word": f"```\n{PLAIN}\n```",
    "end of turn": PLAIN + "<|im_end|>",
    "end of turn, more": PLAIN + '<|eot_id|><|start_header_id|>user<|end_header_id|> {"level": 5}',
    "sentence tokens": "Steps.\nThe level is: 2</s>",
    "sentence and words": "Steps.\n**The level is: 2**\n\nLet me know.",
    "short sentence": "Two steps are needed.\n\nLevel: 2",
    "list of one": f"[{PLAIN}]",
    "python": "{'reasoning': 'it\\'s plain', 'level': 2}",
    "python none": "{'reasoning': None, 'level': 2}",
    "inner quotes": '{"reasoning": "The word "sum" and the word "set".", "level": 2}',
    "unquoted keys": '{reasoning: "two steps", level: 2}',
    "capital key": '{"Reasoning": "r", "Level": 2}',
    "inside an object": '{"rating": {"reasoning": "r", "level": 2}}',
    "word level": '{"reasoning": "r", "level": "Level 2"}',
    "thought": '<think>\nmaybe {"level": 5}\n</think>\n' + PLAIN,
    "braces in a thought": "<think>" + r"\frac{1}{2} " * 90 + "</think>" + PLAIN,
    "thought whose start is gone": 'Perhaps {"level": 4}.\n</think>\n\n' + PLAIN,
    "two thoughts": '<think>a</think>\nWell.\n<think>{"level": 0}</think>\n' + PLAIN,
    "channels": "<|channel|>analysis<|message|>level 4?<|end|><|start|>assistant<|channel|>final<|message|>" + PLAIN,
    "draft, words, answer": 'First I thought {"level": 4}, but that is wrong:\n' + PLAIN,
    "sets before": "Take {1, 2} and {x: x > 0} and f(x) = {a}.\n" + PLAIN,
    "a tag in the reasoning": '{"reasoning": "It asks what <think> and </think> do.", "level": 2}',
    "a stray brace before": "Given { and nothing else.\n" + PLAIN,
}


@pytest.mark.parametrize("text", WRAPPED.values(), ids=WRAPPED.keys())
def test_whatever_wraps_one_plain_level_it_is_read(text):
    parsed = parse_reply(text)
    assert (parsed.level, parsed.problem) == (2, "")


DOUBTFUL = {
    "an unclosed thought": '<think>\nCould be low: {"level": 1}',
    "an unclosed thought in brackets": '[THINK] hm, {"level": 1}',
    "no final channel": '<|channel|>analysis<|message|>{"level": 1}',
    "two objects side by side": '{"reasoning": "a", "level": 1}\n{"reasoning": "b", "level": 4}',
    "a list of two": '[{"level": 1}, {"level": 4}]',
    "a second object that was cut": PLAIN + '\nOr rather: {"reasoning": "wait, le',
    "another level after": PLAIN + "\nOn reflection, level 4 fits better.",
    "twice in one object": '{"level": 3, "reasoning": "r", "level": 4}',
    "twice in one python object": "{'level': 3, 'level': 4}",
    "out of range beside a good one": '{"level": 7, "alternative": {"level": 3}}',
    "a share": '{"reasoning": "r", "level": "3/5"}',
    "a decimal comma": '{"reasoning": "r", "level": 3,5}',
    "two numbers": '{"reasoning": "r", "level": 3, 4}',
    "a range": '{"reasoning": "r", "level": "2-3"}',
    "two sentences": "The level is: 2\nThe level is: 4",
    "inner quotes with a second level": '{"reasoning": "they say "level": 1 often", "level": 2}',
}


@pytest.mark.parametrize("text", DOUBTFUL.values(), ids=DOUBTFUL.keys())
def test_a_reply_contradicting_or_without_an_end_holds_no_level(text):
    assert parse_reply(text).level is None


@pytest.mark.parametrize("reason", ["stop", "STOP", "eos", "eos_token", "end_turn", "end", ""])
def test_any_word_for_a_normal_end_counts(reason):
    assert parse_reply(PLAIN, reason).level == 2
    assert parse_joint_reply('{"levels": {"A": 2}}', ["A"], reason)["A"].level == 2


def test_under_an_unknown_word_only_an_object_at_the_very_end_counts():
    assert parse_reply(PLAIN, "terminated").level == 2
    assert parse_reply(PLAIN + "\nAnd then", "terminated").level is None
    assert parse_reply("The level is: 2", "terminated").level is None


SHAPES = {
    "a full stop": ('{"reasoning": "r", "level": "2."}', 2),
    "a remark": ('{"reasoning": "r", "level": 2 // typical\n}', 2),
    "wide marks": ('{"reasoning": "r"\uff0c "level"\uff1a \uff12}', 2),
    "a space in the key": ('{"reasoning": "r", "level ": 2}', 2),
    "a text of JSON": (json.dumps(json.dumps({"reasoning": "r", "level": 2})), 2),
    "arguments of a tool": (json.dumps({"name": "reply", "arguments": '{"reasoning": "r", "level": 2}'}), 2),
    "HTML": ("{&quot;reasoning&quot;: &quot;r&quot;, &quot;level&quot;: 2}", 2),
    "the schema first": ('{"properties": {"level": {"type": "integer"}}}\n{"reasoning": "r", "level": 2}', 2),
    "no last brace": ('{"reasoning": "r", "level": 2', 2),
    "tags": ("<reasoning>r</reasoning>\n<level>2</level>", 2),
    "a box": (r"So the final level is \boxed{2}", 2),
    "words on it": ("The level is: 2 (moderate)", 2),
    "words that move it": ("The level is: 2, or maybe higher", None),
    "a token": ("The level is: 2<|eot|>", 2),
    "another turn": ('{"reasoning": "r", "level": 2}<|start_header_id|>user<|end_header_id|>\nlevel 4?', 2),
    "a user's turn": ('{"reasoning": "r", "level": 2}\nUser: rate level 4', 2),
    "marked thoughts": (
        '<|START_THINKING|>{"level": 1}<|END_THINKING|><|START_RESPONSE|>{"level": 2}<|END_RESPONSE|>',
        2,
    ),
    "a fence of thoughts": ('```thinking\n{"level": 1}\n```\n{"level": 2}', 2),
    "a draft in special tokens": ('<|START_THINKING|> {"level": 1} so', None),
    "a draft in other brackets": ('\u25c1think\u25b7 {"level": 1} so', None),
    "a draft in numbered tokens": ('<unused94>thought\n{"level": 1}', None),
    "a draft within a line": ('Okay <think>maybe {"level": 1} or', None),
    "a draft in a tag with a setting": ('<think type="deep">{"level": 1}', None),
}


@pytest.mark.parametrize(("text", "level"), SHAPES.values(), ids=SHAPES.keys())
def test_replies_of_other_models_and_servers_are_read(text, level):
    assert parse_reply(text).level == level


def test_reasons_to_end_are_read_in_every_spelling():
    for whole in ("eosToken", "FINISH_REASON_STOP", "FinishReason.STOP", "END_OF_TURN", "stop_eos", "<|im_end|>"):
        assert parse_reply("The level is: 2", whole).level == 2, whole
    for cut in ("FINISH_REASON_MAX_TOKENS", "maxTokens", "content-filter", "guardrail_intervened", "token_limit"):
        assert parse_reply(PLAIN, cut).level is None, cut
    assert parse_reply('{"reasoning": "r", "level": 2', "").level is None


def test_joint_replies_contradicting_hold_no_level_where_they_differ():
    for text in ('{"levels": {"A": 2, "B": 3}}\n{"levels": {"A": 2, "B": 4}}',):
        assert [parsed.level for parsed in parse_joint_reply(text, ["A", "B"]).values()] == [2, None]
    repeated = parse_joint_reply('{"levels": {"A": 2, "A": 1}}', ["A"])
    assert repeated["A"].level is None
    nested = parse_joint_reply('{"levels": {"a": {"reasoning": "r", "level": 2}}}', ["A"])
    assert nested["A"].level == 2


def test_joint_replies_are_read_through_the_same_faults():
    for text in (
        r'{"reasoning": "\(a\)", "levels": {"A": 2, "B": 3,}}',
        "{'reasoning': 'r', 'levels': {'A': 2, 'B': 3}}",
        '{"reasoning": "the word "set"", "levels": {"A": 2, "B": 3}}',
        '```json\n{"levels": {"A": 2, "B": 3}}\n```\nDone.',
    ):
        assert [parsed.level for parsed in parse_joint_reply(text, ["A", "B"]).values()] == [2, 3], text


def test_the_parser_takes_no_long_time():
    for text in (
        "\n<think>\n" * 10_000,
        '{"a":' * 30_000,
        '{"level": ' * 10_000,
        PLAIN * 2000,
        '{"reasoning": "' + "x {y} " * 20_000,
    ):
        begun = time.monotonic()
        parse_reply(text)
        assert time.monotonic() - begun < 3


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


@pytest.mark.parametrize(
    "text",
    [
        '{"explanation": "the prompt has a </s> token", "level": 2}',
        'So:\n```json\n{"explanation": "a </s> token", "level": 2}\n```<|im_end|>',
        '{"explanation": "a </s> token", "level": 2}</s>User: {"level": 3}',
        '[Analysis]\nThe task is short.\n\n{"level": 2}',
        '[Reasoning]\nThe task is short.\n{"reasoning": "short", "level": 2}',
    ],
)
def test_tokens_in_a_text_and_headings_hide_no_object(text):
    assert parse_reply(text).level == 2


@pytest.mark.parametrize(
    "reply",
    [
        "{'reasoning': 'the text has <|im_end|> in it', 'level': 3}",
        '{"reasoning": "x" "y <|im_end|>", "level": 3}<|im_end|>',
        '{"reasoning": "x", "level": 3<|im_end|>}',
        '{"reasoning": "ends with </s> here", "level": 3,}',
        '{"level": 3<|im_end|>\n<|im_start|>user\n{"level": 5}}',
    ],
)
def test_an_end_of_turn_token_inside_an_object_that_is_no_json_ends_nothing(reply):
    assert parse_reply(reply).level == 3


@pytest.mark.parametrize(
    "reply",
    [
        '{"level": 3} or {"level": 4}',
        'Option 1: {"level": 3}\nOption 2: {"level": 4}',
        'My rating: {"level": 4}\n\nFor example, an easier item: {"level": 1}',
        '{"level": 4}\n\nFor comparison, a trivial item would get {"level": 0}.',
    ],
)
def test_an_object_about_something_else_is_not_the_level(reply):
    assert parse_reply(reply).level is None
    assert parse_reply('Example: {"level": 1}\n\nMy rating: {"level": 4}').level == 4


def test_levels_in_the_shapes_of_many_models_are_read_or_left_open():
    rows = map(json.loads, (Path(__file__).parent / "rating_replies.jsonl").read_text("utf-8").splitlines())
    assert [(level, text) for level, text in rows if parse_reply(text).level != level] == []
