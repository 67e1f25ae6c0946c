"""The chat client: one call at a time to an OpenAI-compatible endpoint, with its own retries and no second layer.

Nothing is raised for a single call that fails: its reply says why. What would fail every call (a refused key, an
unknown model) raises `EndpointError` at once.
"""

import asyncio
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from capscope.endpoint.messages import ChatReply, TokenChoice, Usage
from capscope.endpoint.pacing import Pacer, retry_after
from capscope.endpoint.redaction import redact
from capscope.errors import EndpointError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

DEFAULT_URL = "https://api.openai.com/v1"
FATAL = (401, 403, 404)
TRANSIENT = (408, 409, 425, 429)
DELIBERATE = ("content_filter", "length")
"""Reasons to stop that the same question would meet again."""
TAIL_TOKENS = 12
"""Tokens at the end of a reply whose alternatives are kept; a level stands there."""


@dataclass(frozen=True)
class EndpointSettings:
    """Where to ask, and how patiently."""

    base_url: str = DEFAULT_URL
    """Address up to and including the version: ``http://localhost:8000/v1``."""
    api_key: str = field(default="", repr=False)
    """The key; never written anywhere."""
    concurrency: int = 8
    """Calls in flight at once."""
    timeout: float = 120.0
    """Seconds to wait for one answer."""
    max_attempts: int = 6
    """Calls made for one question before it counts as failed."""
    longest_wait: float = 300.0
    """Seconds of Retry-After that are waited for; a longer one fails the question."""
    first_pause: float = 0.5
    """Seconds before the second attempt where the endpoint names none; doubled each time."""

    @classmethod
    def from_environment(cls, base_url: str | None = None, concurrency: int = 8) -> "EndpointSettings":
        """Take the key and, unless given, the address from OPENAI_API_KEY and OPENAI_BASE_URL.

        Raises:
            EndpointError: The address is OpenAI's and there is no key.
        """
        url = base_url or os.environ.get("OPENAI_BASE_URL") or DEFAULT_URL
        key = os.environ.get("OPENAI_API_KEY", "")
        if not key and url.startswith(DEFAULT_URL):
            raise EndpointError("OPENAI_API_KEY is not set; set it, or name another endpoint with --base-url")
        return cls(url, key, concurrency)

    @property
    def shown_url(self) -> str:
        """Return the address without a password in it."""
        return redact(self.base_url, self.api_key)


@dataclass(frozen=True)
class RawAnswer:
    """One HTTP answer, or the lack of one."""

    status: int
    """HTTP status; 0 where the connection failed."""
    headers: Mapping[str, str]
    """Headers with lower-case names."""
    body: str
    """The text, or the reason why there is none."""


class ChatClient:
    """Asks one endpoint. Use it as an async context manager."""

    def __init__(self, settings: EndpointSettings, rng: np.random.Generator) -> None:
        """Take the settings; the connection is made on first use.

        Args:
            settings: Where to ask.
            rng: Source of the chance in retry pauses.
        """
        self.settings = settings
        self.pacer = Pacer(rng, settings.first_pause)
        # Pauses stand outside of this, so that a question that waits for its next attempt holds no place.
        self._free = asyncio.Semaphore(settings.concurrency)
        self._openai: AsyncOpenAI | None = None

    async def __aenter__(self) -> "ChatClient":
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        if self._openai is not None:
            await self._openai.close()
            self._openai = None

    async def ask(self, body: dict[str, Any]) -> ChatReply:
        """Ask, trying again where that can help: limits, server errors, lost connections, answers cut short or empty.

        Args:
            body: The JSON body of a chat completion.

        Raises:
            EndpointError: The endpoint refuses whatever is asked.
        """
        reply, spent = ChatReply(problem="not asked"), Usage()
        for attempt in range(1, self.settings.max_attempts + 1):
            async with self._free:
                await self.pacer.wait()
                begun = time.monotonic()
                answer = await self.post(body)
                seconds = time.monotonic() - begun
            reply = self._judge(answer)
            spent = spent.plus(reply.usage)
            reply = replace(reply, usage=spent, attempts=attempt, seconds=seconds)
            if not reply.problem or reply.finish_reason in DELIBERATE or not self._may_retry(answer, attempt):
                break
            await self._pause(answer, attempt)
        return reply

    async def post(self, body: dict[str, Any]) -> RawAnswer:
        """Make one call and return the answer as it came."""
        import openai

        try:
            create: Any = self._client().chat.completions.with_raw_response.create
            # The body goes in whole: checking every message against the library's types costs a third of a call.
            raw = await create(model=body["model"], messages=[], extra_body=body)
        except openai.APIStatusError as error:
            return RawAnswer(error.status_code, _lower(error.response.headers), error.response.text)
        except openai.APIError as error:
            return RawAnswer(0, {}, f"{error.__class__.__name__}: {error}")
        return RawAnswer(raw.http_response.status_code, _lower(raw.headers), raw.http_response.text)

    def _client(self) -> "AsyncOpenAI":
        if self._openai is None:
            from openai import AsyncOpenAI

            settings = self.settings
            self._openai = AsyncOpenAI(
                base_url=settings.base_url,
                api_key=settings.api_key or "none",
                timeout=settings.timeout,
                max_retries=0,
            )
        return self._openai

    def _judge(self, answer: RawAnswer) -> ChatReply:
        message = redact(_message(answer.body), self.settings.api_key)
        if answer.status in FATAL or "insufficient_quota" in answer.body:
            raise EndpointError(
                f"{self.settings.shown_url}: HTTP {answer.status}: {message}; check the key, the model and the address"
            )
        if answer.status == 0:
            return ChatReply(problem=f"no answer: {message}")
        if answer.status >= 400:
            return ChatReply(problem=f"HTTP {answer.status}: {message}")
        self.pacer.heed(answer.headers)
        return read_completion(answer.body)

    def _may_retry(self, answer: RawAnswer, attempt: int) -> bool:
        if attempt == self.settings.max_attempts:
            return False
        wait = retry_after(answer.headers)
        if wait is not None and wait > self.settings.longest_wait:
            return False
        return answer.status in TRANSIENT or answer.status >= 500 or answer.status < 400

    async def _pause(self, answer: RawAnswer, attempt: int) -> None:
        wait = retry_after(answer.headers)
        if wait is not None or answer.status == 429:
            # A limit concerns every worker, so the gate closes; other failures concern this call alone.
            self.pacer.hold(wait if wait is not None else self.pacer.pause(attempt))
        else:
            await asyncio.sleep(self.pacer.pause(attempt))


def read_completion(body: str) -> ChatReply:
    """Read a chat completion strictly; anything that is none, or has no text, is a problem."""
    try:
        completion = json.loads(body)
        choice = completion["choices"][0]
        text = choice["message"]["content"]
    except (ValueError, LookupError, TypeError):
        return ChatReply(problem="the answer is no chat completion (cut short?)")
    finish = str(choice.get("finish_reason") or "")
    usage = _usage(completion.get("usage"))
    if not isinstance(text, str) or not text.strip():
        return ChatReply(finish_reason=finish, usage=usage, problem=f"the reply is empty (finish_reason '{finish}')")
    return ChatReply(text, finish, usage, _tail(choice.get("logprobs")))


def _message(body: str) -> str:
    """Return an error's message, or the whole body where it has another shape."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return body


def _usage(found: object) -> Usage:
    if not isinstance(found, dict):
        return Usage()
    details = found.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    counts = (found.get("prompt_tokens"), found.get("completion_tokens"), cached)
    return Usage(*[count if isinstance(count, int) else 0 for count in counts])


def _tail(logprobs: object) -> tuple[TokenChoice, ...]:
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return ()
    return tuple(
        TokenChoice(
            str(entry.get("token", "")),
            tuple((str(other["token"]), float(other["logprob"])) for other in entry.get("top_logprobs") or []),
        )
        for entry in content[-TAIL_TOKENS:]
        if isinstance(entry, dict)
    )


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
