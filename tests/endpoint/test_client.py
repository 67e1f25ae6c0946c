import asyncio
import gzip
import json
import time
from dataclasses import replace

import numpy as np
import pytest

from capscope.endpoint import ChatClient, EndpointSettings
from capscope.endpoint.client import duration_seconds, retry_after
from capscope.endpoint.settings import redact
from capscope.errors import EndpointError
from endpoint.server import Answer, ScriptedServer, completion, error

KEY = "sk-test-0123456789abcdef"
BODY = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


def ask(url, times=1, **settings):
    async def run():
        options = {"api_key": KEY, "first_pause": 0.01, "timeout": 5.0, **settings}
        async with ChatClient(EndpointSettings(base_url=url, **options), np.random.default_rng(0)) as client:
            return await asyncio.gather(*[client.ask(BODY) for _ in range(times)])

    return asyncio.run(run())


def sequence(*answers):
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


GOOD = Answer(completion('{"level": 3}'))


def test_a_reply_is_read_with_its_usage():
    with ScriptedServer(lambda _: GOOD) as server:
        (reply,) = ask(server.url)
    assert (reply.text, reply.finish_reason, reply.attempts, reply.problem) == ('{"level": 3}', "stop", 1, "")
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (100, 10)
    assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "bad",
    [
        Answer("oops", 500),
        Answer(error("busy"), 503),
        Answer(drop=True),
        Answer('{"choices": [{"message": {"content": "cut'),
        Answer({"object": "something else"}),
        Answer(completion("")),
        Answer(completion(None)),
        Answer("", 429),
        Answer("<html>gateway</html>", 200, {"Content-Type": "text/html"}),
    ],
)
def test_what_can_pass_is_tried_again(bad):
    with ScriptedServer(sequence(bad, GOOD)) as server:
        (reply,) = ask(server.url)
    assert (reply.problem, reply.attempts, len(server.calls)) == ("", 2, 2)


def test_only_paid_replies_count_towards_the_most_that_are_paid_for_one_question():
    lost, limit, empty = Answer(drop=True), Answer("", 429, {"Retry-After": "0.01"}), Answer(completion(""))
    with ScriptedServer(sequence(lost, limit, empty, empty, GOOD)) as server:
        (reply,) = ask(server.url)
    assert (reply.problem, reply.attempts) == ("", 5)
    with ScriptedServer(sequence(empty, lost, empty, empty, GOOD)) as server:
        (reply,) = ask(server.url)
    assert (reply.problem, reply.attempts) == ("the reply is empty (finish_reason 'stop')", 4)


def test_there_is_one_layer_of_retries():
    with ScriptedServer(lambda _: Answer("no", 500)) as server:
        (reply,) = ask(server.url, max_attempts=3)
    assert reply.problem == "HTTP 500: no"
    assert len(server.calls) == 3


def test_a_refused_question_is_not_repeated():
    with ScriptedServer(lambda _: Answer(error("content management policy"), 400)) as server:
        (reply,) = ask(server.url)
    assert "content management policy" in reply.problem
    assert len(server.calls) == 1


def test_a_filtered_reply_is_not_repeated():
    with ScriptedServer(lambda _: Answer(completion("", "content_filter"))) as server:
        (reply,) = ask(server.url)
    assert "content_filter" in reply.problem
    assert len(server.calls) == 1


def test_retry_after_holds_every_worker_back():
    arrived = []

    def script(_):
        arrived.append(time.monotonic())
        # the second call is under way when the limit is met; what comes after it has to wait all the same
        return {1: Answer("", 429, {"Retry-After": "0.6"}), 2: replace(GOOD, delay=0.1)}.get(len(arrived), GOOD)

    with ScriptedServer(script) as server:
        replies = ask(server.url, times=4, concurrency=2)
    assert all(not reply.problem for reply in replies)
    after = np.array(arrived) - arrived[0]
    assert (after > 0.55).sum() == 3, "the question that met the limit, and the two that had not been asked"
    assert after.max() < 3


def test_a_wait_beyond_reason_fails_the_question():
    with ScriptedServer(lambda _: Answer("later", 429, {"Retry-After": "9999"})) as server:
        (reply,) = ask(server.url)
    assert reply.problem.startswith("HTTP 429")
    assert len(server.calls) == 1


def test_an_exhausted_rate_limit_is_heeded():
    spent = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "400ms"}

    async def run(url):
        async with ChatClient(EndpointSettings(base_url=url, api_key=KEY), np.random.default_rng(0)) as client:
            await client.ask(BODY)
            begun = time.monotonic()
            await client.ask(BODY)
            return time.monotonic() - begun

    with ScriptedServer(lambda _: Answer(completion("x"), headers=spent)) as server:
        assert asyncio.run(run(server.url)) > 0.35


@pytest.mark.parametrize("status", [401, 402])
def test_what_fails_every_call_is_raised_without_the_key(status):
    message = f"Incorrect API key provided: {KEY}. Also sk-tes****cdef and Bearer abc123."
    with ScriptedServer(lambda _: Answer(error(message), status)) as server, pytest.raises(EndpointError) as caught:
        ask(server.url)
    text = str(caught.value)
    assert "\n" not in text
    assert f"HTTP {status}" in text
    for secret in (KEY, "sk-tes", "abc123"):
        assert secret not in text


def test_an_empty_account_is_raised():
    body = {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
    with ScriptedServer(lambda _: Answer(body, 429)) as server, pytest.raises(EndpointError, match="quota"):
        ask(server.url)


def test_an_address_where_nobody_listens_is_a_problem_and_no_traceback():
    (reply,) = ask("http://127.0.0.1:9/v1", max_attempts=2)
    assert reply.problem.startswith("no answer")


def test_the_key_shows_in_no_representation(monkeypatch):
    settings = EndpointSettings(base_url="https://user:hunter2@host/v1", api_key=KEY)
    assert KEY not in repr(settings)
    assert "hunter2" not in settings.shown_url
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(EndpointError, match="OPENAI_API_KEY is not set"):
        EndpointSettings.from_environment()
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    assert EndpointSettings.from_environment().base_url == "http://localhost:1/v1"


def test_waits_are_read_in_every_form():
    assert retry_after({"retry-after": "2"}) == 2
    assert retry_after({"retry-after-ms": "1500"}) == 1.5
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({"retry-after": "nan"}) is None
    assert retry_after({"retry-after": "1000000000"}) == 1e9
    assert retry_after({"retry-after": "-5"}) == 0
    assert retry_after({}) is None
    assert duration_seconds("6m0s") == 360
    assert duration_seconds("20ms") == pytest.approx(0.02)


def test_an_answer_has_a_deadline_as_a_whole():
    with ScriptedServer(lambda _: Answer(b"x" * 50, drip=0.2)) as server:
        begun = time.monotonic()
        (reply,) = ask(server.url, timeout=0.7)
    assert "no whole answer within 0.7 s" in reply.problem
    assert reply.unmetered == reply.attempts == 2, "it may have been billed, so it is asked twice at most"
    assert time.monotonic() - begun < 5


def test_an_answer_has_a_largest_size_packed_or_not():
    body = json.dumps(completion("x" * 300_000)).encode()
    packed = Answer(gzip.compress(body), headers={"Content-Encoding": "gzip"})
    for answer in (Answer(body), packed):
        with ScriptedServer(lambda _, answer=answer: answer) as server:
            (reply,) = ask(server.url, largest_body=100_000)
            assert "larger than" in reply.problem
            assert len(server.calls) == 1, "the same question would meet the same body"
            assert not ask(server.url)[0].problem


def test_redirects_stay_at_their_address_and_are_few():
    with ScriptedServer(lambda _: GOOD) as other:

        def script(call):
            if call.path.endswith("/there"):
                return GOOD
            return Answer("", 307, {"Location": target})

        with ScriptedServer(script) as server:
            target = "/there"
            assert not ask(server.url)[0].problem
            for place, words in ((f"{other.url}/there", "redirects to"), ("/again", "more than 3 times")):
                target, before = place, len(server.calls)
                (reply,) = ask(server.url)
                assert words in reply.problem
                assert len(server.calls) - before <= 4
        assert not other.calls, "the prompt never reaches another address"


def test_a_moved_address_is_named():
    moved = Answer("", 301, {"Location": "https://new.example/v1"})
    with ScriptedServer(lambda _: moved) as server:
        (reply,) = ask(server.url)
    assert reply.problem == "HTTP 301: redirects to https://new.example/v1"


def test_the_key_is_cut_out_of_replies():
    with ScriptedServer(lambda call: Answer(completion(f"you said {call.headers['authorization']}"))) as server:
        (reply,) = ask(server.url)
    assert reply.text == "you said Bearer [key]"


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:99999/v1", "http://[::1/v1", "127.0.0.1:8000/v1", "ftp://host/v1", "http://", "http://a b"],
)
def test_an_address_that_is_none_is_refused_at_once(url):
    with pytest.raises(EndpointError, match="address"):
        EndpointSettings(base_url=url)


def test_keys_are_stripped_or_refused_without_being_shown(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    assert EndpointSettings.from_environment("http://localhost:1/v1").api_key == KEY
    for odd in ("sk-se\ncret", "sk-secret\u2026", "sk se"):
        monkeypatch.setenv("OPENAI_API_KEY", odd)
        with pytest.raises(EndpointError, match="OPENAI_API_KEY: character") as caught:
            EndpointSettings.from_environment("http://localhost:1/v1")
        assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1080"),
        ("HTTPS_PROXY", "what://nowhere:1"),
        ("SSL_CERT_FILE", "/no/such/file.pem"),
    ],
)
def test_settings_of_the_environment_are_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(EndpointError, match=name):
        ask("http://127.0.0.1:9/v1")


def test_redaction_cuts_long_texts():
    assert len(redact("a" * 1000)) == 300
    assert redact(f"x {KEY}", KEY) == "x [key]"


def test_variables_that_no_header_takes_and_ports_of_proxies_are_named(monkeypatch):
    settings = EndpointSettings(base_url="http://127.0.0.1:1/v1", max_attempts=1)

    def asked():
        return asyncio.run(ChatClient(settings, np.random.default_rng(0)).ask({"model": "m", "messages": []}))

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:99999")
    assert "port must be 0-65535" in asked().problem
    monkeypatch.setenv("OPENAI_ORG_ID", "a\nb")
    with pytest.raises(EndpointError, match="OPENAI_ORG_ID"):
        asked()
