"""Ask many questions at once and write every reply into the ledger before the next one goes out."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from capscope.endpoint.capability import Capability
from capscope.endpoint.client import ChatClient
from capscope.endpoint.cost import Budget
from capscope.endpoint.ledger import HEARTBEAT, Ledger
from capscope.endpoint.messages import ChatReply, ChatRequest, Sampling, Usage
from capscope.errors import EndpointError

WORKERS_PER_PLACE = 2
"""Questions taken up for each call that may be in flight, so that pauses before a retry leave no place empty."""
WAIT_FOR_OTHERS = 1.0
"""Seconds between looks at keys that another process has in flight."""


@dataclass(frozen=True)
class Question:
    """A request under its key."""

    key: str
    """Hash of what decides the reply."""
    request: ChatRequest
    """What to ask."""


@dataclass
class Tally:
    """How far a run has come."""

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
    """Cost of this run, where prices are known."""
    stopped: bool = False
    """Whether the budget ended the run."""
    problems: dict[str, int] = field(default_factory=dict[str, int])
    """Why questions failed, with counts."""


class Asker:
    """Asks the questions of one run with a fixed number of workers; the client bounds the calls in flight."""

    def __init__(
        self, client: ChatClient, ledger: Ledger, sampling: Sampling, capability: Capability, budget: Budget
    ) -> None:
        """Bring together what a run needs; `capability` comes from `find_capability`."""
        self._client, self._ledger, self._budget = client, ledger, budget
        self._sampling, self._capability = sampling, capability
        self.tally = Tally()
        self._elsewhere: list[Question] = []
        self._fatal: EndpointError | None = None

    async def ask_all(self, questions: Iterable[Question], progress: Callable[[Tally], None] | None = None) -> Tally:
        """Ask all questions that the ledger cannot answer; they are drawn one by one, so that memory stays flat.

        Args:
            questions: In the order in which to ask; those that share a prefix should stand together.
            progress: Called after every question.

        Returns:
            What was done; `stopped` says whether the budget ended the run.

        Raises:
            EndpointError: The endpoint refuses whatever is asked; replies so far are in the ledger.
        """
        source = iter(questions)
        while True:
            await self._work(source, progress)
            if self._fatal is not None:
                raise self._fatal
            pending, self._elsewhere = self._elsewhere, []
            if not pending or self.tally.stopped:
                return self.tally
            # Another process has these in flight: wait for its replies, or take over if it dies.
            await asyncio.sleep(WAIT_FOR_OTHERS)
            source = iter(pending)

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
        """Show other processes that the claims of this one still hold, however long a call takes."""
        while True:
            self._ledger.beat()
            await asyncio.sleep(HEARTBEAT)

    async def _worker(self, source: Iterator[Question], progress: Callable[[Tally], None] | None) -> None:
        for question in source:
            if self._fatal is not None or self.tally.stopped:
                return
            try:
                await self._settle(question)
            except EndpointError as error:
                self._fatal = error
                return
            if progress is not None:
                progress(self.tally)

    async def _settle(self, question: Question) -> None:
        """Answer one question from the ledger, or by asking, or leave it to the process that has it."""
        if not self._ledger.claim(question.key):
            entry = self._ledger.get(question.key)
            if entry is not None and entry.state == "done":
                self.tally.cached += 1
            elif entry is not None and entry.state == "batched":
                self.tally.batched += 1
            else:
                self._elsewhere.append(question)
            await asyncio.sleep(0)
            return
        if not self._budget.admit():
            self._ledger.release(question.key)
            self.tally.stopped = True
            return
        await self._ask(question)

    async def _ask(self, question: Question) -> None:
        try:
            reply = await self._client.ask(self._capability.body(question.request, self._sampling))
        except BaseException:
            self._ledger.release(question.key)
            raise
        usd = self._budget.settle(reply.usage)
        self._ledger.put(question.key, reply, self._sampling.model, usd)
        self._count(reply)

    def _count(self, reply: ChatReply) -> None:
        tally = self.tally
        tally.usage = tally.usage.plus(reply.usage)
        tally.usd = self._budget.usd
        if not reply.problem:
            tally.asked += 1
            return
        tally.failed += 1
        kind = reply.problem.split(":")[0]
        tally.problems[kind] = tally.problems.get(kind, 0) + 1
