"""When the next call may go out: Retry-After, rate-limit headers, and growing pauses with chance in them."""

import asyncio
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import numpy as np

DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Pacer:
    """A gate that every call of one client passes: a limit met by one call holds all of them back."""

    def __init__(self, rng: np.random.Generator, first_pause: float = 0.5, longest_pause: float = 30.0) -> None:
        """Open the gate.

        Args:
            rng: Source of the chance in pauses, so that workers do not come back in step.
            first_pause: Seconds before the second attempt, doubled for each further one.
            longest_pause: Bound on that growth, in seconds.
        """
        self._rng = rng
        self._first, self._longest = first_pause, longest_pause
        self._opens_at = 0.0

    async def wait(self) -> None:
        """Wait until the gate is open."""
        while (left := self._opens_at - time.monotonic()) > 0:
            await asyncio.sleep(left)

    def hold(self, seconds: float) -> None:
        """Close the gate for at least so long."""
        self._opens_at = max(self._opens_at, time.monotonic() + seconds)

    def pause(self, attempt: int) -> float:
        """Return the seconds to wait after a failed attempt (1, 2, ...): half of it fixed, half by chance."""
        full = min(self._first * 2 ** (attempt - 1), self._longest)
        return full * (0.5 + 0.5 * float(self._rng.random()))

    def heed(self, headers: Mapping[str, str]) -> None:
        """Close the gate until the limit resets, where an answer says that no request is left."""
        for kind in ("requests", "tokens"):
            if headers.get(f"x-ratelimit-remaining-{kind}") == "0":
                self.hold(min(duration_seconds(headers.get(f"x-ratelimit-reset-{kind}", "")), self._longest))


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
    except ValueError:
        return None


def duration_seconds(text: str) -> float:
    """Read durations such as ``6m0s`` or ``20ms``; 0 where there is none."""
    return sum(float(number) * UNIT_SECONDS[unit] for number, unit in DURATION.findall(text))


def _number(text: str | None) -> float | None:
    try:
        return max(float(text), 0.0) if text is not None else None
    except ValueError:
        return None
