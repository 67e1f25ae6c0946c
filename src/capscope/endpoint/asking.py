"""Concurrent questions to an endpoint, within limits; every reply is stored in the ledger at once.

A run ends early, with the cause in `Tally`, when the budget is spent, when the endpoint refuses every call, or after a
number of consecutive failures or unreadable replies.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from capscope.endpoint.capability import Capability, find_capability, probe_meter, record_capability
from capscope.endpoint.client import ChatClient
from capscope.endpoint.cost import REPLY_TOKENS, Budget, CallMeter, Prices, PromptScale
from capscope.endpoint.ledger import HEARTBEAT, LOCK_SECONDS, Ledger, LedgerBusy
from capscope.endpoint.messages import ChatReply, ChatRequest, Sampling, Usage
from capscope.endpoint.settings import redact
from capscope.errors import EndpointError, InputError, OutputError, counted

WORKERS_PER_PLACE = 2
"""Number of workers for each allowed call in flight, so that other workers call during the pause before a retry."""
WAIT_FOR_OTHERS = 1.0
"""Seconds between checks of keys that another process has in flight."""
STEP_WAIT, STEP_PAUSE = 0.1, 0.1
"""Seconds that one step waits for a held ledger, and between two tries; calls in flight go on meanwhile."""
MOST_NARROWINGS = 4
MIXED_FAILURES = 3
"""Number of consecutive failures of any causes that ends a run, as a multiple of that of one cause."""
SHOWN = 120

Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Question:
    """A request under its key."""

    key: str
    """Hash of everything that determines the reply."""
    request: ChatRequest
    """The request."""
    reply_tokens: int = REPLY_TOKENS
    """Tokens of a usual reply, for estimates."""


@dataclass(frozen=True, kw_only=True)
class RunLimits:
    """Limits of a run.

    Raises:
        InputError: There is a limit on spending and no price to count with.
    """

    prices: Prices | None = None
    """Prices of the model; None where unknown."""
    budget: Budget | None = None
    """Limit on spending; several askers may share one. None for none."""
    max_failures: int = 20
    """Number of consecutive failures of one cause, or of unreadable first replies, that ends a run."""

    def __post_init__(self) -> None:
        """Check that spending can be counted."""
        if self.max_failures < 1:
            raise InputError(f"max_failures is {self.max_failures}; give a whole number of at least 1")
        if self.budget is not None and self.budget.limit is not None and self.prices is None:
            raise InputError(f"{self.budget.name} needs a price for this model; give --usd-in and --usd-out")


@dataclass
class Tally:
    """State of a run: counts of questions, tokens and cost."""

    asked: int = 0
    """Questions answered in this run."""
    cached: int = 0
    """Questions whose reply was in the ledger."""
    batched: int = 0
    """Questions that wait for a batch under way."""
    failed: int = 0
    """Questions without a reply after all attempts."""
    usage: Usage = field(default_factory=Usage)
    """Tokens of this run."""
    usd: float = 0.0
    """Cost of this run, the probe included, where prices are known."""
    unmetered: int = 0
    """Calls whose usage the endpoint did not state; an estimate stands in the tokens and the cost."""
    stopped: bool = False
    """Whether the budget ended the run."""
    halted: str = ""
    """Other cause of an early end, in one line; empty where there is none."""
    problems: dict[str, int] = field(default_factory=dict[str, int])
    """Why questions failed, with counts."""


class FailureWatch:
    """Detects consecutive failures, or unreadable first replies, that end a run."""

    def __init__(self, max_failures: int) -> None:
        """Start without failures."""
        self._most = max_failures
        self._cause, self._same, self._mixed = "", 0, 0
        self._unreadable, self._readable = 0, False

    def failure(self, problem: str) -> str:
        """Count a failed question; return the reason to stop, or an empty text."""
        cause = problem.split(":")[0]
        self._same = self._same + 1 if cause == self._cause else 1
        self._mixed += 1
        self._cause = cause
        if self._same < self._most and self._mixed < MIXED_FAILURES * self._most:
            return ""
        return f"stopped after {max(self._same, self._most)} failures in a row, the last: {problem}"

    def reply(self, unreadable: str, text: str) -> str:
        """Count a reply, with the problem if it cannot be read; return the reason to stop, or an empty text.

        Args:
            unreadable: Why the reply cannot be read; empty where it can.
            text: Its text, for the message.
        """
        self._same = self._mixed = 0
        self._readable |= not unreadable
        self._unreadable += bool(unreadable)
        if self._readable or self._unreadable < self._most:
            return ""
        shown = redact(text)[:SHOWN]
        return (
            f"stopped after {counted(self._unreadable, 'reply')}, none of them readable: {unreadable}; the"
            f" last begins: {shown!r}"
        )


class Asker:
    """Asks the questions of one run with a fixed number of workers; the client bounds the calls in flight."""

    def __init__(
        self,
        client: ChatClient,
        ledger: Ledger,
        sampling: Sampling,
        limits: RunLimits | None = None,
        unreadable: Callable[[str, ChatReply], str] | None = None,
        capability: Capability | None = None,
    ) -> None:
        """Store what a run needs; nothing is asked yet.

        Args:
            client: The endpoint.
            ledger: Where replies are kept.
            sampling: The model and how it answers.
            limits: Limits of the run; by default 20 consecutive failures.
            unreadable: Given a key and its reply, why the reply holds nothing of use; empty where it does.
            capability: What the endpoint can do; by default a short probe finds out before the first question.
        """
        limits = limits or RunLimits()
        self._client, self._ledger, self._sampling = client, ledger, sampling
        self._prices, self._budget, self._capability = limits.prices, limits.budget or Budget(), capability
        self._unreadable = unreadable or (lambda _key, _reply: "")
        self._watch, self._scale = FailureWatch(limits.max_failures), PromptScale()
        self._probing = asyncio.Lock()
        self.tally = Tally()
        self._elsewhere: list[Question] = []
        self._broken: OutputError | InputError | None = None

    async def ask_all(self, questions: Iterable[Question], progress: Callable[[Tally], None] | None = None) -> Tally:
        """Ask all questions without a reply in the ledger; they are taken from the iterable one by one.

        Args:
            questions: Questions in the order of asking; those with a common prefix should be adjacent.
            progress: Called after every question.

        Returns:
            Counts of the run; `stopped` is set where the budget ended it, `halted` where the endpoint did.

        Raises:
            OutputError: The ledger cannot be written any more; replies so far are in it.
        """
        source = iter(questions)
        self._ledger.wait_at_most(STEP_WAIT)
        try:
            while True:
                await self._work(source, progress)
                if self._broken is not None:
                    raise self._broken
                pending, self._elsewhere = self._elsewhere, []
                if not pending or self._over:
                    return self.tally
                # another process has these in flight: wait for its replies, or take over if it ends
                await asyncio.sleep(WAIT_FOR_OTHERS)
                source = iter(pending)
        finally:
            self._ledger.wait_at_most(LOCK_SECONDS)

    @property
    def _over(self) -> bool:
        return self.tally.stopped or bool(self.tally.halted) or self._broken is not None

    async def _work(self, source: Iterator[Question], progress: Callable[[Tally], None] | None) -> None:
        workers = WORKERS_PER_PLACE * self._client.settings.concurrency
        tasks = [asyncio.create_task(self._worker(source, progress)) for _ in range(workers)]
        alive = asyncio.create_task(self._keep_alive())
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in (*tasks, alive):
                task.cancel()

    async def _keep_alive(self) -> None:
        """Renew the claims of this process while calls are in flight."""
        while True:
            try:
                self._ledger.beat()
            except OutputError:
                await asyncio.sleep(STEP_PAUSE)
            else:
                await asyncio.sleep(HEARTBEAT)

    async def _worker(self, source: Iterator[Question], progress: Callable[[Tally], None] | None) -> None:
        while not self._over:
            question = next(source, None)
            if question is None:
                return
            try:
                await self._settle(question)
            except (OutputError, InputError) as error:
                self._broken = self._broken or error
                self._client.stop()
            if progress is not None:
                progress(self.tally)

    async def _settle(self, question: Question) -> None:
        """Answer one question from the ledger, or by asking, or leave it to the process that has it."""
        if await self._patiently(lambda: self._ledger.claim(question.key)):
            await self._ask(question)
            return
        entry = self._ledger.get(question.key)
        if entry is not None and entry.state == "done":
            self.tally.cached += 1
        elif entry is not None and entry.state == "batched":
            self.tally.batched += 1
        else:
            self._elsewhere.append(question)
        await asyncio.sleep(0)

    async def _ask(self, question: Question) -> None:
        meter = CallMeter(
            question.request.messages,
            self._sampling.max_tokens,
            prices=self._prices,
            budget=self._budget,
            reply_tokens=question.reply_tokens,
            scale=self._scale,
        )
        try:
            reply = await self._narrowing(question, meter)
        except EndpointError as error:
            self.tally.halted = self.tally.halted or str(error)
            self._client.stop()
            reply = ChatReply(problem=str(error), attempts=int(meter.usd > 0))
        except BaseException:
            # A call that was given up in flight is billed all the same.
            if meter.usd and self._prices is not None:
                self._ledger.record_cost(question.key, self._sampling.model, meter.usd)
            self._ledger.release(question.key)
            raise
        self.tally.stopped |= meter.refused
        if reply is None or reply.attempts == 0:
            await self._patiently(lambda: self._ledger.release(question.key))
            return
        await self._keep(question, reply, meter)
        self._count(question, reply)

    async def _narrowing(self, question: Question, meter: CallMeter) -> ChatReply | None:
        """Ask, and ask again without a parameter for which the endpoint refuses the question."""
        reply = None
        for _ in range(MOST_NARROWINGS):
            capability = await self._probed()
            if capability is None:
                return None
            reply = await self._client.ask(capability.body(question.request, self._sampling), meter)
            narrower = capability.without_refused(reply.problem)
            if narrower == capability:
                break
            if self._capability == capability:
                self._capability = narrower
                await self._patiently(
                    lambda found=narrower: record_capability(self._client, self._ledger, self._sampling, found)
                )
        return reply

    async def _probed(self) -> Capability | None:
        """Return what the endpoint can do; None where the budget has no room to find out."""
        async with self._probing:
            if self._capability is None and not self._over:
                meter = probe_meter(self._sampling, self._prices, self._budget)
                self._ledger.wait_at_most(LOCK_SECONDS)
                try:
                    self._capability = await find_capability(self._client, self._ledger, self._sampling, meter)
                finally:
                    self._ledger.wait_at_most(STEP_WAIT)
                    self._budget.stored()
                    self.tally.usd = self._budget.usd
                self.tally.stopped |= meter.refused
            return self._capability

    async def _keep(self, question: Question, reply: ChatReply, meter: CallMeter) -> None:
        usd = meter.usd if self._prices is not None else None
        await self._patiently(lambda: self._ledger.put(question.key, reply, self._sampling.model, usd))
        self._budget.stored()
        self.tally.usd = self._budget.usd

    async def _patiently(self, step: Callable[[], Outcome]) -> Outcome:
        """Take a step in the ledger, waiting while another program holds it; calls in flight go on."""
        until = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                return step()
            except LedgerBusy:
                if time.monotonic() > until:
                    raise
            await asyncio.sleep(STEP_PAUSE)

    def _count(self, question: Question, reply: ChatReply) -> None:
        tally = self.tally
        tally.usage = tally.usage.plus(reply.usage)
        tally.unmetered += reply.unmetered
        if not reply.problem:
            tally.asked += 1
            stop = self._watch.reply(self._unreadable(question.key, reply), reply.text)
        else:
            tally.failed += 1
            kind = reply.problem.split(":")[0]
            tally.problems[kind] = tally.problems.get(kind, 0) + 1
            stop = self._watch.failure(reply.problem)
        if stop and not tally.halted:
            self._client.stop()
            tally.halted = f"{self._client.settings.shown_url}: {stop}; replies so far are kept, run again to go on"
