"""Costs of calls: prices from the user or from genai-prices, estimates before a run, and a budget during it.

Processes with a common limit share it through the `Account` of their ledger.
"""

import asyncio
import math
from dataclasses import dataclass, replace
from typing import Any

from capscope.endpoint.account import Account
from capscope.endpoint.ledger import Ledger
from capscope.endpoint.messages import ChatReply, Messages, Usage
from capscope.errors import ConfirmationNeeded, InputError

REPLY_TOKENS = 200
"""Default estimate of the tokens of a reply."""
UNBOUNDED_REPLY = 4096
"""Estimated tokens of the longest reply where no bound is set."""
LONG_PROMPT = 200
"""Smallest estimated length, in tokens, of prompts whose stated length corrects later estimates."""
ASK_ABOVE_USD = 1.0
"""Estimated cost, in US dollars, above which a run needs confirmation."""


@dataclass(frozen=True)
class Prices:
    """US dollars for a million tokens."""

    usd_in: float
    """Tokens read."""
    usd_out: float
    """Tokens written."""
    source: str
    """Where the prices come from."""

    def __post_init__(self) -> None:
        """Validate the prices.

        Raises:
            InputError: A price is negative, infinite or no number.
        """
        refuse_bad_amount("--usd-in", self.usd_in)
        refuse_bad_amount("--usd-out", self.usd_out)

    def of(self, usage: Usage) -> float:
        """Return the cost of a usage in US dollars, with cached prefixes at the full price (an upper bound)."""
        unsplit = usage.unsplit_tokens * max(self.usd_in, self.usd_out)
        return (usage.prompt_tokens * self.usd_in + usage.completion_tokens * self.usd_out + unsplit) / 1e6


def find_prices(model: str, usd_in: float | None, usd_out: float | None) -> Prices | None:
    """Return the user's prices, else those of genai-prices where it is installed; None where the price is unknown.

    Args:
        model: Name of the model at the endpoint.
        usd_in: US dollars a million tokens read.
        usd_out: US dollars a million tokens written.

    Raises:
        InputError: Only one of the two prices is given.
    """
    if (usd_in is None) != (usd_out is None):
        raise InputError("--usd-in and --usd-out go together; give both, in US dollars per million tokens")
    if usd_in is not None and usd_out is not None:
        return Prices(usd_in, usd_out, "given")
    return _from_table(model)


def refuse_bad_amount(name: str, usd: float) -> None:
    """Refuse an invalid amount of money.

    Args:
        name: Option that gives it, for the message.
        usd: US dollars.

    Raises:
        InputError: It is negative, infinite or no number.
    """
    if not 0 <= usd < math.inf:
        raise InputError(f"{name} is {usd}; give US dollars, 0 or more")


def cost_line(usd: float | None, source: str) -> str:
    """Return the cost of a run in a few words.

    Args:
        usd: Estimated dollars; None where prices are unknown.
        source: Where prices come from.
    """
    return "unknown (give --usd-in and --usd-out)" if usd is None else f"${usd:.2f} ({source})"


def refuse_unconfirmed(usd: float | None, questions: str, *, confirmed: bool, above: float = ASK_ABOVE_USD) -> None:
    """Require confirmation of an expensive run; a run of unknown price needs none.

    Args:
        usd: Estimated dollars; None where prices are unknown.
        questions: How many questions are asked, in words.
        confirmed: Whether the user has confirmed.
        above: US dollars above which confirmation is required.

    Raises:
        ConfirmationNeeded: The estimate exceeds `above` without confirmation.
    """
    if usd is not None and usd > above and not confirmed:
        raise ConfirmationNeeded(f"this run asks {questions} for about ${usd:.2f}; add --yes to go on, or see --plan")


def _from_table(model: str) -> Prices | None:
    try:
        import genai_prices as table  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    priced: Any = table
    million = 1_000_000
    try:
        read = priced.calc_price(priced.Usage(input_tokens=million, output_tokens=0), model_ref=model)
        both = priced.calc_price(priced.Usage(input_tokens=million, output_tokens=million), model_ref=model)
    except (LookupError, ValueError):
        return None
    return Prices(float(read.total_price), float(both.total_price - read.total_price), "genai-prices")


class Budget:
    """A limit on spending; calls in flight count at their largest price, so that it always holds."""

    def __init__(self, limit: float | None = None, name: str = "--max-usd", account: Account | None = None) -> None:
        """Set the limit; nothing is spent yet.

        Args:
            limit: US dollars that may be spent; None for no limit.
            name: Option that set the limit, for messages.
            account: A limit that other processes on the same ledger share; None for none.

        Raises:
            InputError: The limit is negative, or no number.
        """
        if limit is not None and limit != math.inf:
            refuse_bad_amount(name, limit)
        self.limit, self.name = limit, name
        self.account = account
        self.usd = 0.0
        self._reserved, self._calls = 0.0, 0
        self._settled = asyncio.Event()

    @classmethod
    def of_run(
        cls, max_usd: float | None, max_usd_total: float | None, spent_before: float, ledger: Ledger | None = None
    ) -> "Budget":
        """Return the budget of one run under a limit for the run and one for all runs on its ledger.

        Args:
            max_usd: US dollars for this run; None for no limit.
            max_usd_total: US dollars for all runs together; None for no limit.
            spent_before: What earlier runs spent.
            ledger: The ledger, through which runs at the same time keep `max_usd_total` together.
        """
        if max_usd_total is None:
            return cls(max_usd)
        refuse_bad_amount("--max-usd-total", max_usd_total)
        account = Account(ledger, max_usd_total) if ledger is not None else None
        if max_usd is None or max_usd_total - spent_before < max_usd:
            return cls(max(max_usd_total - spent_before, 0.0), "--max-usd-total", account)
        return cls(max_usd, account=account)

    async def reserve(self, usd: float) -> bool:
        """Reserve money for one call; wait while the answer depends on other calls in flight.

        Args:
            usd: Largest price of the call.

        Returns:
            False where the call could exceed the limit whatever the calls in flight cost.
        """
        while self.limit is not None and self.usd + self._reserved + usd > self.limit + 1e-12:
            if not self._calls:
                return False
            self._settled.clear()
            await self._settled.wait()
        self._reserved += usd
        self._calls += 1
        granted = False
        try:
            granted = self.account is None or await self.account.granted(usd)
        finally:
            if not granted:
                self._give_back(usd)
        return granted

    def settle(self, reserved: float, usd: float) -> None:
        """Replace the reservation of a call by its cost.

        Args:
            reserved: Dollars set aside for the call.
            usd: Dollars that it cost.
        """
        self.usd += usd
        if self.account is not None:
            self.account.settle(reserved, usd)
        self._give_back(reserved)

    def stored(self) -> None:
        """Take note that the costs so far are stored in the ledger."""
        if self.account is not None:
            self.account.update()

    def _give_back(self, reserved: float) -> None:
        self._calls -= 1
        self._reserved = self._reserved - reserved if self._calls else 0.0
        self._settled.set()


class PromptScale:
    """Ratio of true to estimated prompt length, and longest reply so far, from the usage that endpoints state."""

    def __init__(self) -> None:
        """Start from the estimates."""
        self.ratio, self.longest_reply = 1.0, 0

    def learn(self, estimated: int, usage: Usage) -> None:
        """Update ratio and longest reply by the stated usage of one call.

        Args:
            estimated: Tokens of the prompt, as estimated before the call.
            usage: Tokens that the endpoint states.
        """
        self.longest_reply = max(self.longest_reply, usage.completion_tokens)
        if estimated >= LONG_PROMPT:
            self.ratio = max(self.ratio, usage.prompt_tokens / estimated)


class CallMeter:
    """Cost of the calls for one question; each call reserves its largest price in the budget before it is sent."""

    def __init__(
        self,
        messages: Messages,
        max_tokens: int | None,
        *,
        prices: Prices | None = None,
        budget: Budget | None = None,
        reply_tokens: int = REPLY_TOKENS,
        scale: PromptScale | None = None,
    ) -> None:
        """Estimate the usual and the largest price of a call.

        Args:
            messages: The question.
            max_tokens: Longest reply; None where the endpoint decides.
            prices: None where unknown.
            budget: Limit on spending; None for none.
            reply_tokens: Tokens of a usual reply.
            scale: Corrections of the estimates from earlier calls.
        """
        self._prices, self._budget, self._scale = prices, budget or Budget(), scale or PromptScale()
        self._bound = largest_tokens(messages)
        self._max_tokens = max_tokens or UNBOUNDED_REPLY
        self.usual = Usage(estimate_tokens(messages), min(reply_tokens, self._max_tokens))
        self._reserved = 0.0
        self.usd = 0.0
        self.refused = False

    @property
    def largest_usd(self) -> float:
        """Return the largest price of one call in US dollars; 0 where prices are unknown."""
        if self._prices is None:
            return 0.0
        prompt = int(self._bound * self._scale.ratio) + 1
        return self._prices.of(
            Usage(prompt, max(self._max_tokens, self._scale.longest_reply, self.usual.completion_tokens))
        )

    async def open(self) -> bool:
        """Reserve money for a call; False (and `refused` is set) where it could exceed the budget."""
        reserved = self.largest_usd
        if not await self._budget.reserve(reserved):
            self.refused = True
            return False
        self._reserved = reserved
        return True

    def abandon(self) -> None:
        """Count a call that is given up before its answer, at the usual price, since it may be billed."""
        self.close(ChatReply(problem="given up", unmetered=1))

    def close(self, reply: ChatReply) -> ChatReply:
        """Count a call, and return its reply with an estimate where the endpoint states no usage."""
        if reply.unmetered:
            reply = replace(reply, usage=reply.usage.plus(self.usual))
        elif not reply.problem:
            self._scale.learn(self._bound, reply.usage)
        usd = self._prices.of(reply.usage) if self._prices else 0.0
        self._budget.settle(self._reserved, usd)
        self.usd += usd
        return reply


def estimate_tokens(messages: Messages) -> int:
    """Estimate the tokens of a prompt as a quarter of its characters; no tokenizer is fetched for this.

    Args:
        messages: The prompt.

    Returns:
        Number of tokens.
    """
    return sum(len(content) for _, content in messages) // 4 + 4 * len(messages)


def largest_tokens(messages: Messages) -> int:
    """Bound the tokens of a prompt: three plain characters a token, and every other character a token of its own.

    Args:
        messages: The prompt.

    Returns:
        Number of tokens.
    """
    text = "".join(content for _, content in messages)
    plain = sum(letter < "\x80" for letter in text)
    return plain // 3 + (len(text) - plain) + 8 * len(messages) + 16
