"""Chat client for OpenAI-compatible endpoints, with retries; those of the underlying library are off.

A failed call raises nothing: its reply has the problem. Errors that concern every call (a refused key, an empty
account) raise `EndpointError` at once. Calls have a deadline and a largest size; redirects stay at the same address.
"""

import asyncio
import math
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from capscope.endpoint.completion import error_message, error_of, lacks_credit, read_completion
from capscope.endpoint.cost import CallMeter
from capscope.endpoint.messages import ChatReply, Usage
from capscope.endpoint.settings import EndpointSettings, connecting, proxy_hint, redact, without_key
from capscope.errors import EndpointError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

TRANSIENT = (408, 409, 425, 429)
REDIRECTS = (307, 308)
"""Redirects that keep a question's body; others turn it into a look-up."""
MOST_REDIRECTS = 3
NO_DETAIL = "the answer says nothing more"
PAID_ATTEMPTS = 3
"""Largest number of empty replies to one question, since each is billed; failures without a bill do not count."""
LATE_ATTEMPTS = 2
"""Largest number of timed-out calls for one question, since each may be billed."""
UNSENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol", "InvalidURL")
"""Errors after which nothing has reached the endpoint."""
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class RawAnswer:
    """One HTTP answer, or the lack of one."""

    status: int
    """HTTP status; 0 where no answer arrived."""
    headers: Mapping[str, str]
    """Headers with lower-case names."""
    body: str
    """The text, or the reason why there is none."""
    billed: bool = False
    """Without an answer: whether the endpoint may have worked on the question all the same."""
    late: bool = False
    """Without an answer: whether its time ran out."""
    final: bool = False
    """Whether another call would end in the same way."""

    @cached_property
    def error(self) -> tuple[int, str, str] | None:
        """Return the status, code and message of the error that the answer holds in place of a completion."""
        return error_of(self.body) if self.status else None

    @property
    def true_status(self) -> int:
        """Return the status, or, for a 200 that holds an error, the status that this error stands for."""
        return self.error[0] if self.error is not None and 0 < self.status < 300 else self.status


class Pacer:
    """Rate limiter of one client: a rate limit that one call meets delays all calls."""

    def __init__(self, rng: np.random.Generator, first_pause: float = 0.5, longest_pause: float = 30.0) -> None:
        """Open the gate.

        Args:
            rng: Source of random pauses, so that workers do not retry at the same time.
            first_pause: Seconds before the second attempt, doubled for each further one.
            longest_pause: Bound on that growth, in seconds.
        """
        self._rng = rng
        self._first, self._longest = first_pause, longest_pause
        self._opens_at = 0.0

    @property
    def closed_for(self) -> float:
        """Return the seconds until the gate opens."""
        return self._opens_at - time.monotonic()

    def hold(self, seconds: float) -> None:
        """Close the gate for at least so long."""
        self._opens_at = max(self._opens_at, time.monotonic() + seconds)

    def pause(self, attempt: int) -> float:
        """Return the seconds to wait after a failed attempt (1, 2, ...): half of it fixed, half random."""
        full = min(self._first * 2 ** (attempt - 1), self._longest)
        return full * (0.5 + 0.5 * float(self._rng.random()))

    def heed(self, headers: Mapping[str, str]) -> None:
        """Close the gate until the limit resets, where an answer says that no request is left."""
        for kind in ("requests", "tokens"):
            if headers.get(f"x-ratelimit-remaining-{kind}") == "0":
                self.hold(min(duration_seconds(headers.get(f"x-ratelimit-reset-{kind}", "")), self._longest))


class ChatClient:
    """Client of one endpoint, an async context manager."""

    def __init__(self, settings: EndpointSettings, rng: np.random.Generator) -> None:
        """Take the settings; the connection is made on first use.

        Args:
            settings: Where to ask.
            rng: Source of random retry pauses.
        """
        self.settings = settings
        self.pacer = Pacer(rng, settings.first_pause)
        # Pauses stand outside of this, so that a question that waits for its next attempt holds no place.
        self._free = asyncio.Semaphore(settings.concurrency)
        self._stopping = asyncio.Event()
        self._openai: AsyncOpenAI | None = None

    async def __aenter__(self) -> "ChatClient":
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        if self._openai is not None:
            await self._openai.close()
            self._openai = None

    def stop(self) -> None:
        """Make no further call; calls in flight finish, pauses end at once."""
        self._stopping.set()

    async def _sleep(self, seconds: float) -> None:
        """Wait, unless the client stops."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def ask(
        self, body: dict[str, Any], meter: CallMeter | None = None, max_attempts: int | None = None
    ) -> ChatReply:
        """Ask, trying again where that can help: limits, server errors, lost connections, answers cut short or empty.

        Args:
            body: The JSON body of a chat completion.
            meter: Counts what the calls cost; a call for which its budget has no room is not made.
            max_attempts: Most calls; by default that of the settings.

        Returns:
            The reply, or why there is none; `attempts` is 0 where the budget allowed no call.

        Raises:
            EndpointError: The endpoint refuses whatever is asked.
        """
        meter = meter or CallMeter((), None)
        reply, spent, unmetered, paid, late = ChatReply(problem="not asked", attempts=0), Usage(), 0, 0, 0
        most = min(max_attempts or self.settings.max_attempts, self.settings.max_attempts)
        for attempt in range(1, most + 1):
            async with self._free:
                while (left := self.pacer.closed_for) > 0 and not self._stopping.is_set():
                    await self._sleep(left)
                if self._stopping.is_set() or not await meter.open():
                    break
                begun = time.monotonic()
                try:
                    answer = await self.post(body)
                except BaseException:
                    meter.abandon()
                    raise
                seconds = time.monotonic() - begun
            reply = meter.close(self._judge(answer))
            spent, unmetered = spent.plus(reply.usage), unmetered + reply.unmetered
            reply = replace(reply, usage=spent, unmetered=unmetered, attempts=attempt, seconds=seconds)
            self._refuse_for_good(answer)
            paid, late = paid + (0 < answer.true_status < 300), late + answer.late
            spent_out = paid >= PAID_ATTEMPTS or late >= LATE_ATTEMPTS
            if not reply.problem or attempt == most or spent_out or not self._may_retry(answer, reply):
                break
            await self._pause(answer, attempt)
        return reply

    async def post(self, body: dict[str, Any]) -> RawAnswer:
        """Make one call and return the answer as it came; the key in use is cut out of it."""
        import openai

        create: Any = self._client().chat.completions.with_raw_response.create
        try:
            async with asyncio.timeout(self.settings.timeout):
                # The body goes in whole: checking every message against the library's types costs a third of a call.
                raw = await create(model=body["model"], messages=[], extra_body=body)
                return self._raw(raw.http_response)
        except openai.APIStatusError as error:
            return self._raw(error.response)
        except (TimeoutError, openai.APITimeoutError):
            return RawAnswer(0, {}, f"no whole answer within {self.settings.timeout:g} s", billed=True, late=True)
        except Exception as error:  # errors of a server or the transport are those of this call alone
            return self._lost(error)

    def _raw(self, response: Any) -> RawAnswer:  # noqa: ANN401 - the type differs between versions of the library
        headers = {name.lower(): value for name, value in response.headers.items()}
        return RawAnswer(response.status_code, headers, without_key(response.text, self.settings.api_key))

    def _lost(self, error: Exception) -> RawAnswer:
        """Describe a call without an answer by its innermost cause: the library's own words are 'Connection error.'."""
        cause = innermost_cause(error)
        kinds = {type(link).__name__ for link in (error, error.__cause__, cause) if link is not None}
        reason = f"{type(error.__cause__ or error).__name__}: {cause}"
        if isinstance(cause, BodyTooLarge | RedirectRefused):
            return RawAnswer(0, {}, str(cause), billed=isinstance(cause, BodyTooLarge), final=True)
        unsent = not kinds.isdisjoint(UNSENT) or isinstance(cause, UnicodeError | TypeError)
        return RawAnswer(0, {}, without_key(reason, self.settings.api_key), billed=not unsent)

    def _client(self) -> "AsyncOpenAI":
        if self._openai is None:
            from openai import AsyncOpenAI

            settings = self.settings
            with connecting():
                self._openai = AsyncOpenAI(
                    base_url=settings.base_url,
                    api_key=settings.api_key or "none",
                    timeout=settings.timeout,
                    max_retries=0,
                    http_client=bounded_http_client(settings.largest_body, settings.timeout),
                )
        return self._openai

    def _judge(self, answer: RawAnswer) -> ChatReply:
        """Turn an answer into a reply; an error inside a 200 counts as the status that it stands for."""
        if answer.status == 0:
            problem = f"no answer: {redact(answer.body, self.settings.api_key)}"
            return ChatReply(problem=problem, unmetered=int(answer.billed), final=answer.final)
        if answer.status >= 300:
            place = answer.headers.get("location", "")
            message = f"redirects to {place}" if answer.status < 400 and place else error_message(answer.body)
            message = message.strip() or NO_DETAIL
            return ChatReply(problem=f"HTTP {answer.status}: {redact(message, self.settings.api_key)}")
        if answer.error is not None:
            return ChatReply(problem=f"HTTP {answer.error[0]}: {redact(answer.error[2], self.settings.api_key)}")
        self.pacer.heed(answer.headers)
        return read_completion(answer.body)

    def _refuse_for_good(self, answer: RawAnswer) -> None:
        """Raise where an error says that no call can succeed: the key is refused, or the account is empty."""
        error, status = answer.error, answer.true_status
        if status not in (401, 402) and not (error is not None and lacks_credit(error[1])):
            return
        message = redact(error[2] if error else error_message(answer.body), self.settings.api_key)
        remedy = "check the key" if status == 401 else "add credit, then run again"
        raise EndpointError(f"{self.settings.shown_url}: HTTP {status}: {message}; {remedy}")

    def _may_retry(self, answer: RawAnswer, reply: ChatReply) -> bool:
        wait = retry_after(answer.headers)
        if reply.final or (wait is not None and wait > self.settings.longest_wait):
            return False
        status = answer.true_status
        return status < 300 or status in TRANSIENT or status >= 500

    async def _pause(self, answer: RawAnswer, attempt: int) -> None:
        wait = retry_after(answer.headers)
        if wait is not None or answer.true_status == 429:
            # A limit concerns every worker, so the gate closes; other failures concern this call alone.
            self.pacer.hold(wait if wait is not None else self.pacer.pause(attempt))
        else:
            await self._sleep(self.pacer.pause(attempt))

    def with_hint(self, problem: str) -> str:
        """Add a hint on the settings to a problem: a missing ``/v1``, a proxy."""
        if problem.startswith("no answer"):
            return f"{problem}{proxy_hint()}; check the address"
        if problem.startswith("HTTP 429"):
            return f"{problem}; wait, then run again"
        if re.match(r"HTTP [5-9]\d\d", problem):
            return f"{problem}; the server fails at this moment, run again later"
        path = self.settings.base_url.split("://")[-1].partition("/")[2]
        if not re.search(r"v\d", path):
            return f"{problem}; the address may lack /v1 at its end"
        return f"{problem}; check the model and the address"


def innermost_cause(error: BaseException) -> BaseException:
    """Return what an error comes from in the end: its cause's cause, or the first of a group."""
    inner = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__
    return error if inner is None else innermost_cause(inner)


class BodyTooLarge(Exception):  # noqa: N818 - a property of one answer
    """An answer is larger than what is read."""


class RedirectRefused(Exception):  # noqa: N818 - a property of one answer
    """An answer redirects to another address."""


def bounded_http_client(largest: int, timeout: float) -> Any:  # noqa: ANN401 - made of the library's own HTTP client
    """Make the library's HTTP client, with a bound on the size of answers and redirects to the same address only.

    Args:
        largest: Bytes of an answer, unpacked.
        timeout: Seconds for one step of the transport.

    Returns:
        An asynchronous HTTP client.

    Raises:
        RedirectRefused: Raised by a call whose address redirects elsewhere, or too often.
    """
    import openai

    class BoundedClient(openai.DefaultAsyncHttpxClient):
        async def send(self, request: Any, **options: Any) -> Any:  # noqa: ANN401
            options |= {"stream": True, "follow_redirects": False}
            for _ in range(MOST_REDIRECTS + 1):
                response = await super().send(request, **options)
                try:
                    following = _redirected(request, response)
                    if following is None:
                        return await _read_whole(response, request, largest)
                    request = following
                finally:
                    with suppress(Exception):
                        await response.aclose()
            raise RedirectRefused(f"the address redirects more than {MOST_REDIRECTS} times; check --base-url")

    return BoundedClient(timeout=timeout)


def _redirected(request: Any, response: Any) -> Any:  # noqa: ANN401
    """Return the request that a redirect asks for; None where there is none to follow."""
    following = getattr(response, "next_request", None)
    if response.status_code not in REDIRECTS or following is None:
        return None
    old, new = request.url, following.url
    if (old.scheme, old.host, old.port) != (new.scheme, new.host, new.port):
        place = redact(str(new))
        raise RedirectRefused(f"the address redirects to {place}, and nothing is sent there; name it with --base-url")
    return following


async def _read_whole(response: Any, request: Any, largest: int) -> Any:  # noqa: ANN401
    """Read an answer up to a size, and return it as one that is held in memory."""
    parts, size = list[bytes](), 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > largest:
            raise BodyTooLarge(f"the answer is larger than {largest // 1_000_000} MB")
    dropped = ("content-encoding", "content-length", "transfer-encoding")
    headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in dropped]
    return type(response)(response.status_code, headers=headers, content=b"".join(parts), request=request)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that an answer asks to wait (RFC 9110: a number or a date), None where it does not."""
    in_ms = _number(headers.get("retry-after-ms"))
    if in_ms is not None:
        return in_ms / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return None


def duration_seconds(text: str) -> float:
    """Read durations such as ``6m0s`` or ``20ms``; 0 where there is none."""
    return sum(float(number) * UNIT_SECONDS[unit] for number, unit in DURATION.findall(text))


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    # A wait of 'nan' or 'inf' seconds is none; one of 10^12 is one.
    return max(value, 0.0) if value is not None and math.isfinite(value) else None
