"""Requests to an endpoint and replies from it, as plain values."""

import json
import math
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from capscope.errors import InputError

Format = Literal["json_schema", "json_object", "text"]
"""How a reply's form can be asked for, strongest first."""

Messages = tuple[tuple[str, str], ...]
"""Pairs of role and content."""

CUT = re.compile(
    r"length|max|limit|exceed|filter|safety|recitation|block|prohibit|sensitive|spii|guardrail|moderat|interven|refus"
    r"|tool|function|malformed|error|fail|cancel|abort|time_?out|insufficient"
)
"""Pattern of finish reasons of replies that were cut, filtered or refused, or are no answer yet."""
WHOLE = re.compile(
    r"(?:natural_?)?(?:stop|eos|eo[tm]|end|im_?end|turn_?(?:end|complete)|complete|done|finish|null|none)\w*"
)
"""Pattern of finish reasons of complete replies."""


@dataclass(frozen=True)
class ChatRequest:
    """One question."""

    messages: Messages
    """Pairs of role and content, in order."""
    schema: dict[str, Any] | None = None
    """JSON schema of the reply; None asks for free text."""
    sample: int = 0
    """Number of the repeat, for endpoints that take a seed."""


@dataclass(frozen=True)
class Sampling:
    """How the model answers; part of the ledger's key."""

    model: str
    """The model's name at the endpoint."""
    temperature: float | None = 0.0
    """Sampling temperature; None leaves it to the endpoint."""
    max_tokens: int | None = 1000
    """Longest reply, in tokens; None leaves it to the endpoint."""
    top_logprobs: int = 0
    """Alternatives per token to ask for, 0 to 20; 0 asks for no log-probabilities."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            InputError: The temperature is negative or no number, or the longest reply is below one token.
        """
        if self.temperature is not None and not 0 <= self.temperature < math.inf:
            raise InputError(f"temperature is {self.temperature}; give a number of 0 or more")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise InputError(f"max_tokens is {self.max_tokens}; give a whole number of at least 1")


@dataclass(frozen=True)
class Usage:
    """Tokens of one call or of several, as the endpoint counted them."""

    prompt_tokens: int = 0
    """Tokens read."""
    completion_tokens: int = 0
    """Tokens written."""
    cached_tokens: int = 0
    """Tokens read that came from the endpoint's prefix cache."""
    unsplit_tokens: int = 0
    """Tokens of which the endpoint does not say whether they were read or written."""

    def plus(self, other: "Usage") -> "Usage":
        """Return the sum of two usages."""
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.unsplit_tokens + other.unsplit_tokens,
        )


@dataclass(frozen=True)
class TokenChoice:
    """One written token with its alternatives."""

    token: str
    """What was written."""
    alternatives: tuple[tuple[str, float], ...]
    """Tokens that could have stood there, with their natural-log probabilities."""


@dataclass(frozen=True)
class ChatReply:
    """One answer, or why there is none."""

    text: str = ""
    """The reply's text; with a problem, what the endpoint sent instead."""
    finish_reason: str = ""
    """Why the model stopped, as the endpoint states it."""
    usage: Usage = Usage()
    """Tokens of all attempts together."""
    tail: tuple[TokenChoice, ...] = ()
    """The written tokens, where log-probabilities were asked for; alternatives at digits and near the end."""
    attempts: int = 1
    """Calls that were made."""
    seconds: float = 0.0
    """Wall time of the last call."""
    problem: str = ""
    """Why there is no reply; empty where there is one."""
    unmetered: int = 0
    """Calls that may have been billed and whose tokens the endpoint did not state; `usage` holds an estimate."""
    final: bool = False
    """Whether the same question would meet the same problem again."""


def is_whole(finish_reason: str) -> bool:
    """Return whether a finish reason says that the model ended its reply by itself (an unknown word does not).

    Args:
        finish_reason: Finish reason as the endpoint states it.
    """
    word = _plain_reason(finish_reason)
    return not word or (WHOLE.fullmatch(word) is not None and CUT.search(word) is None)


def is_cut(finish_reason: str) -> bool:
    """Return whether a finish reason says that the reply was cut, filtered or refused.

    Args:
        finish_reason: Finish reason as the endpoint states it.
    """
    return CUT.search(_plain_reason(finish_reason)) is not None


def is_too_long(finish_reason: str) -> bool:
    """Return whether a finish reason says that the reply reached the limit of its length.

    Args:
        finish_reason: Finish reason as the endpoint states it.
    """
    return re.search(r"length|max|token_?limit|too_?long", _plain_reason(finish_reason)) is not None


def _plain_reason(finish_reason: str) -> str:
    """Return a finish reason in one form, ``max_tokens`` for ``FinishReason.MAX_TOKENS`` or ``maxTokens``."""
    separated = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", finish_reason.strip())
    return (
        re.sub(r"[\W_]+", "_", separated).strip("_").lower().removeprefix("finish_reason_").removeprefix("stop_reason_")
    )


def call_key(parts: dict[str, Any]) -> str:
    """Hash everything that determines a reply, as hexadecimal digits; the order of the parts does not matter.

    Args:
        parts: Plain values: model, sampling, messages.

    Returns:
        The key under which a ledger keeps the reply.
    """
    return sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()
