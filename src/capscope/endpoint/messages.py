"""What goes to an endpoint and what comes back, as plain values."""

from dataclasses import dataclass
from typing import Any, Literal

Format = Literal["json_schema", "json_object", "text"]
"""How a reply's form can be asked for, strongest first."""

Messages = tuple[tuple[str, str], ...]
"""Pairs of role and content."""


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
    """How the model is to answer; part of the ledger's key."""

    model: str
    """The model's name at the endpoint."""
    temperature: float | None = 0.0
    """Sampling temperature; None leaves it to the endpoint."""
    max_tokens: int | None = 1000
    """Longest reply, in tokens; None leaves it to the endpoint."""
    top_logprobs: int = 0
    """Alternatives per token to ask for, 0 to 20; 0 asks for no log-probabilities."""


@dataclass(frozen=True)
class Usage:
    """Tokens of one call, as the endpoint counted them."""

    prompt_tokens: int = 0
    """Tokens read."""
    completion_tokens: int = 0
    """Tokens written."""
    cached_tokens: int = 0
    """Tokens read that came from the endpoint's prefix cache."""

    def plus(self, other: "Usage") -> "Usage":
        """Return the sum of two usages."""
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
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
    """The reply's text."""
    finish_reason: str = ""
    """Why the model stopped."""
    usage: Usage = Usage()
    """Tokens of all attempts together."""
    tail: tuple[TokenChoice, ...] = ()
    """The last tokens with their alternatives, where they were asked for."""
    attempts: int = 1
    """Calls that were made."""
    seconds: float = 0.0
    """Wall time of the last call."""
    problem: str = ""
    """Why there is no reply; empty where there is one."""
