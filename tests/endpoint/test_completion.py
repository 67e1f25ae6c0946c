"""What endpoints send in place of a plain answer, read without an exception and without a lost text."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capscope.endpoint.completion import error_of, read_batch_row, read_completion, read_usage
from capscope.endpoint.messages import Usage, is_cut, is_whole
from endpoint.server import completion

TEXT = '{"reasoning": "One step.", "level": 2}'


def answer(content=TEXT, message=None, **choice):
    body = completion(TEXT)
    body["choices"][0] |= choice
    body["choices"][0]["message"] |= {"content": content} | (message or {})
    return json.dumps(body)


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": TEXT}],
        [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": TEXT[:9]},
            {"type": "text", "text": TEXT[9:]},
        ],
        [TEXT],
        [{"type": "output_text", "text": TEXT}],
        {"type": "text", "text": TEXT},
    ],
)
def test_parts_of_text_are_joined(content):
    assert read_completion(answer(content)).text == TEXT


def test_a_refusal_is_final_and_in_the_providers_words():
    reply = read_completion(answer(None, {"refusal": "That is not for me."}))
    assert (reply.problem, reply.final) == ("refused: That is not for me.", True)


def test_thoughts_without_an_answer_are_kept_and_the_cure_is_named():
    reply = read_completion(answer(None, {"reasoning_content": "long thoughts"}, finish_reason="length"))
    assert "--max-tokens" in reply.problem
    assert (reply.text, reply.final) == ("long thoughts", True)
    assert not read_completion(answer("", {"reasoning_content": "x"}, finish_reason="stop")).final


def test_half_a_surrogate_pair_is_replaced_and_whole_pairs_stay():
    body = '{"choices": [{"message": {"content": "\\ud83d x \\ud83d\\ude00"}}], "usage": {}}'
    assert read_completion(body).text == "\ufffd x \U0001f600"


@pytest.mark.parametrize("body", ["", "[" * 100_000, "<html>", '{"choices": 3}', '{"choices": [7]}', "null", "[]"])
def test_what_is_no_completion_is_a_problem_with_its_text(body):
    reply = read_completion(body)
    assert reply.problem.startswith("the answer is no chat completion")
    assert body.startswith(reply.text)
    assert reply.unmetered == 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    )
)
def test_no_message_breaks_the_reader(value):
    for body in (value, {"choices": [value]}, {"choices": [{"message": value}]}, {"error": value}):
        read_completion(json.dumps(body))
        error_of(json.dumps(body))
    read_completion(json.dumps({"choices": [{"message": {"content": value}, "logprobs": value}], "usage": value}))
    read_batch_row(json.dumps({"custom_id": "k", "response": value, "error": value}))


def tokens_of(logprobs):
    return read_completion(answer(logprobs=logprobs)).tail


def test_alternatives_are_read_in_every_form_and_odd_ones_left_out():
    good = (("2", -0.1), ("3", -2.5))
    listed = [
        {"token": "2", "logprob": -0.1},
        {"token": "3", "logprob": -2.5},
        {"token": "4", "logprob": None},
        {"id": 7},
    ]
    assert tokens_of({"content": [{"token": "2", "top_logprobs": listed}]})[0].alternatives == good
    assert tokens_of({"content": [{"token": "2", "top_logprobs": dict(good)}]})[0].alternatives == good
    assert tokens_of({"tokens": ["2"], "top_logprobs": [dict(good)]})[0].alternatives == good
    nan = [{"token": "2", "logprob": math.nan}, {"token": "3", "logprob": True}]
    for nothing in (None, [], {"content": None}, {"content": [None, 3]}, {"content": [{"token": "2"}]}):
        assert tokens_of(nothing) == ()
    assert tokens_of({"content": [{"token": "2", "top_logprobs": nan}]}) == ()


def test_a_digit_far_from_the_end_keeps_its_alternatives():
    words = [{"token": f" w{n}", "top_logprobs": {"x": -1.0}} for n in range(50)]
    tail = tokens_of({"content": [{"token": "3", "top_logprobs": {"3": -0.1}}, *words]})
    assert len(tail) == 51
    assert tail[0].alternatives == (("3", -0.1),)
    assert sum(bool(choice.alternatives) for choice in tail) == 13


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"message": "overloaded", "code": 429}, 429),
        ({"message": "no money", "code": 402}, 402),
        ({"message": "x", "code": "insufficient_quota"}, 402),
        ({"message": "x", "type": "insufficient_quota", "code": None}, 402),
        ({"message": "You hit the rate limit"}, 429),
        ({"message": "Server busy, try again"}, 503),
        ("Unknown route", 400),
    ],
)
def test_an_error_in_place_of_choices_stands_for_a_status(error, status):
    assert error_of(json.dumps({"error": error, "choices": None}))[0] == status


def test_the_words_of_a_reply_are_no_error():
    assert error_of(answer("What does insufficient_quota mean?")) is None
    assert error_of(json.dumps(json.loads(answer()) | {"error": None})) is None


@pytest.mark.parametrize(
    ("stated", "usage"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5}, Usage(10, 5)),
        ({"prompt_tokens": "10", "completion_tokens": 5.0}, Usage(10, 5)),
        ({"input_tokens": 10, "output_tokens": 5}, Usage(10, 5)),
        ({"total_tokens": 15}, Usage(unsplit_tokens=15)),
        ({"prompt_tokens": 10, "total_tokens": 15}, Usage(10, 5)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 40}, Usage(10, 30)),
        ({"prompt_tokens": 10, "completion_tokens": 0}, Usage(10, 1)),
        ({"prompt_tokens": 10}, None),
        ({"prompt_tokens": True, "completion_tokens": 5}, None),
        ({"prompt_tokens": math.inf, "completion_tokens": 5}, None),
        ({"prompt_tokens": 10**400, "completion_tokens": 5}, None),
        ({"prompt_tokens": -5, "completion_tokens": 5}, None),
        ("many", None),
    ],
)
def test_usage_is_read_or_absent(stated, usage):
    assert read_usage(stated, "x") == usage


def test_rows_of_a_batch_are_read_in_every_shape():
    body = json.loads(answer())
    for response in ({"status_code": 200, "body": body}, {"status_code": "200", "body": body}, {"body": body}):
        assert read_batch_row(json.dumps({"custom_id": "k", "response": response, "error": None}))[1].text == TEXT
    assert read_batch_row(json.dumps({"custom_id": "k", "error": {"code": "batch_expired"}})) == ("k", None)
    for row in ({"error": "internal"}, {"response": "x"}, {"response": {"status_code": 500, "body": "down"}}):
        custom_id, reply = read_batch_row(json.dumps({"custom_id": "k"} | row))
        assert custom_id == "k"
        assert reply.problem
    assert read_batch_row("[1]") is None
    assert read_batch_row('{"custom_id": "k", "resp') is None


def test_words_for_the_end_of_a_reply():
    assert all(map(is_whole, ("stop", "STOP", "eos", "eos_token", "end_turn", "")))
    assert all(map(is_cut, ("length", "content_filter", "MAX_TOKENS", "tool_calls")))
    assert not is_whole("something new")
    assert not is_cut("something new")


def test_replies_of_older_and_looser_servers_are_read():
    plain = answer("x", finish_reason="stop")
    chunk = {"choices": [{"delta": {"content": "x"}, "finish_reason": None}]}
    last = {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 5, "completion_tokens": 1}}
    stream = "".join(f"data: {json.dumps(event)}\n\n" for event in (chunk, last)) + "data: [DONE]\n"
    for body in (
        "\ufeff" + plain,
        plain.replace('{"', '{"created": ' + "9" * 6000 + ', "', 1),
        json.dumps({"choices": [{"text": "x", "finish_reason": "stop"}]}),
        json.dumps({"choices": [{"message": "x", "finish_reason": "stop"}]}),
        stream,
    ):
        reply = read_completion(body)
        assert (reply.text, reply.finish_reason, reply.problem) == ("x", "stop", ""), body[:60]
    assert read_completion(stream).usage == Usage(5, 1)
    assert read_completion(stream.replace("data: [DONE]", "")).problem


def test_a_refusal_among_the_parts_is_final():
    reply = read_completion(answer([{"type": "refusal", "refusal": "I will not."}]))
    assert (reply.problem, reply.final) == ("refused: I will not.", True)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"choices": [{"error": {"code": 502, "message": "gone"}, "message": {"content": ""}}]}, 502, "gone"),
        ({"choices": [{"error": {"code": 429, "message": "slow down"}, "message": None}]}, 429, "slow down"),
        ({"errors": [{"message": "broken"}], "success": False}, 400, "broken"),
        ({"base_resp": {"status_code": 1027, "status_msg": "sensitive"}, "choices": None}, 400, "sensitive"),
        ({"code": 1301, "msg": "unsafe"}, 400, "unsafe"),
    ],
)
def test_errors_under_other_names_keep_the_words_of_the_server(body, status, words):
    found = error_of(json.dumps(body))
    assert found is not None
    assert (found[0], found[2]) == (status, words)


def test_log_probabilities_of_any_size_break_nothing():
    top = '[{"token": "3", "logprob": -1' + "0" * 400 + '}, {"token": "2", "logprob": -0.1}]'
    body = answer("3", logprobs={"content": [{"token": "3", "top_logprobs": "TOP"}]}).replace('"TOP"', top)
    assert [token for token, _ in read_completion(body).tail[0].alternatives] == ["3", "2"]


WHOLE = json.dumps(completion("yes"))
CHUNKS = [json.dumps({"choices": [{"delta": {"content": text}}]}) for text in ("ye", "s")]
END = json.dumps({"choices": [{"delta": {}, "finish_reason": "stop"}]})


@pytest.mark.parametrize(
    "body",
    [
        f": PROCESSING\n\n: PROCESSING\r\n{WHOLE}",
        f"{WHOLE} and so on",
        f"{WHOLE}\n{WHOLE}\n",
        f'{{"id": "x"}}\n{WHOLE}',
        "\n".join([*CHUNKS, END]),
        f"data: {WHOLE}",
    ],
)
def test_one_completion_is_read_whatever_stands_around_it(body):
    reply = read_completion(body)
    assert (reply.text, reply.finish_reason, reply.problem) == ("yes", "stop", "")


def test_completions_that_contradict_each_other_or_end_midway_are_problems_with_their_text():
    other = json.dumps(completion("no"))
    two = read_completion(f"{WHOLE}\n{other}")
    assert two.problem.startswith("the answer is no chat completion")
    assert two.final, "the same two would come again"
    assert "yes" in two.text
    for cut in (f"{WHOLE}\n{other[:60]}", "\n".join(CHUNKS), f"data: {CHUNKS[0]}"):
        reply = read_completion(cut)
        assert reply.problem
        assert not reply.final
    assert error_of(': x\n\n{"error": {"message": "slow down", "code": 429}}') == (429, "429", "slow down")


@pytest.mark.parametrize(
    "refusal", [["I ", "cannot"], [{"type": "refusal", "refusal": "I cannot"}], {"text": "I cannot"}]
)
def test_a_refusal_in_parts_is_final(refusal):
    body = completion(None)
    body["choices"][0]["message"]["refusal"] = refusal
    reply = read_completion(json.dumps(body))
    assert (reply.problem, reply.final) == ("refused: I cannot", True)
