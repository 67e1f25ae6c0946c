"""Ask a model the questions of a battery, keep each reply in a ledger, and grade it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np

from capscope.battery.adaptive.planning import RunSettings, question_key
from capscope.battery.adaptive.questions import BatteryQuestion
from capscope.battery.graders import GRADERS, Graded, grade_reply
from capscope.battery.graders.grader import visible_text
from capscope.battery.graders.verdicts import NO_VERDICT, grade_verdict
from capscope.endpoint import (
    Asker,
    Budget,
    ChatClient,
    ChatReply,
    ChatRequest,
    Ledger,
    Messages,
    Question,
    RunLimits,
    is_too_long,
    is_whole,
)
from capscope.errors import Interrupted, counted

Answerer = Callable[[BatteryQuestion], Graded]
"""Asks and grades one question."""
MODEL, JUDGE = "model", "judge"
"""Roles in which the endpoint is asked."""


class EndpointAnswerer:
    """Client that asks an endpoint and keeps every reply in a ledger; a context manager.

    Model and judge share one budget. A reply that its endpoint cut or filtered is unscored.
    """

    def __init__(self, ledger: Path, model: str, settings: RunSettings) -> None:
        """Keep the settings; nothing is asked yet.

        Args:
            ledger: File of replies; an interrupted run goes on from it.
            model: Name of the model under test.
            settings: The endpoint, the judge, prices and limits.

        Raises:
            InputError: There is a limit on spending and the price is not known.
        """
        self._path, self._settings = ledger, settings
        self._endpoint = settings.endpoint_settings()
        self._sampling = {MODEL: settings.sampling(model)}
        if settings.judge:
            self._sampling[JUDGE] = settings.sampling(settings.judge, judge=True)
        self._prices = {MODEL: settings.prices(model), JUDGE: settings.judge_prices(model)}
        self._limits(Budget(settings.max_usd))
        self._runner = asyncio.Runner()
        self._askers: dict[str, Asker] = {}
        self._budget = Budget()
        self._question: BatteryQuestion | None = None

    def __enter__(self) -> "EndpointAnswerer":
        """Open the ledger; before the first question a probe measures the endpoint's capabilities.

        Raises:
            InputError: The file is no ledger.
            OutputError: The ledger cannot be written.
        """
        self._ledger = Ledger(self._path).__enter__()
        try:
            self._client = ChatClient(self._endpoint, np.random.default_rng(self._settings.seed))
            settings = self._settings
            self._budget = Budget.of_run(settings.max_usd, settings.max_usd_total, self._ledger.spent(), self._ledger)
            limits = self._limits(self._budget)
            checks = {MODEL: self._unreadable, JUDGE: _no_verdict}
            for role, sampling in self._sampling.items():
                self._askers[role] = Asker(self._client, self._ledger, sampling, limits[role], checks[role])
        except BaseException as error:
            self._ledger.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close connections and ledger.

        Raises:
            Interrupted: Ctrl-C ended the block; says what is kept.
        """
        kept = f"{counted(self.replies, 'reply', 'are')} kept in {self._path}" if kind is KeyboardInterrupt else ""
        try:
            self._runner.run(self._client.__aexit__(kind, error, trace))
            self._runner.close()
        finally:
            self._ledger.__exit__(kind, error, trace)
        if kept:
            raise Interrupted(f"stopped by Ctrl-C; {kept}; run the same command again to go on") from None

    @property
    def usd(self) -> float:
        """US dollars spent in this run, judge and probes included, where prices are known."""
        return self._budget.usd

    @property
    def limit(self) -> str:
        """The limit on spending of this run, for messages; empty without one."""
        return f"{self._budget.name} {self._budget.limit:g}" if self._budget.limit is not None else ""

    @property
    def replies(self) -> int:
        """Number of replies in the ledger."""
        return self._ledger.count()

    @property
    def unmetered(self) -> int:
        """Calls whose usage the endpoint did not state; estimates are counted for them."""
        return sum(asker.tally.unmetered for asker in self._askers.values())

    def __call__(self, question: BatteryQuestion) -> Graded:
        """Ask one question and grade the reply.

        Raises:
            OutputError: The ledger cannot be written any more; replies so far are in it.
        """
        self._question = question
        reply, stop = self._reply(MODEL, question.messages)
        if stop is not None or reply is None:
            return stop or Graded(None, "the endpoint gave no reply")
        graded = _graded(question, reply)
        if graded.score is not None or reply.problem or question.kind != JUDGE:
            return graded
        text, problem = _whole_text(reply)
        if problem:
            return Graded(None, problem)
        verdict, stop = self._reply(JUDGE, question.judged(text))
        if stop is not None or verdict is None:
            return stop or Graded(None, NO_VERDICT)
        return Graded(None, f"judge: {verdict.problem}") if verdict.problem else _judged(verdict)

    def _limits(self, budget: Budget) -> dict[str, RunLimits]:
        most = self._settings.max_failures
        return {role: RunLimits(prices=self._prices[role], budget=budget, max_failures=most) for role in self._sampling}

    def _unreadable(self, _key: str, reply: ChatReply) -> str:
        """Return why the reply to the current question cannot be graded; empty where it can."""
        return "" if self._question is None or self._question.kind == JUDGE else _graded(self._question, reply).problem

    def _reply(self, role: str, messages: Messages) -> tuple[ChatReply | None, Graded | None]:
        """Return the reply to a question from the ledger or the endpoint, or the result that ends the run."""
        key = question_key(role, self._endpoint.shown_url, self._sampling[role], messages)
        tally = self._runner.run(self._askers[role].ask_all([Question(key, ChatRequest(messages))]))
        entry = self._ledger.get(key)
        reply = entry.reply if entry is not None and entry.state in ("done", "failed") else None
        if tally.halted:
            return reply, Graded(None, tally.halted, stopped=True)
        # the budget may refuse a second attempt of a question that is answered all the same
        if tally.stopped and (reply is None or reply.problem):
            return None, Graded(None, stopped=True)
        return reply, None


def _graded(question: BatteryQuestion, reply: ChatReply) -> Graded:
    if reply.problem:
        return Graded(None, reply.problem)
    _, problem = _whole_text(reply)
    return Graded(None, problem) if problem else grade_reply(reply.text, question.key, GRADERS[question.kind])


def _whole_text(reply: ChatReply) -> tuple[str, str]:
    """Return the visible text of a reply that is whole, and the problem where it is not."""
    if not is_whole(reply.finish_reason):
        remedy = "; allow it more with --max-tokens" if is_too_long(reply.finish_reason) else ""
        return "", f"the reply is not whole (finish_reason '{reply.finish_reason}'){remedy}"
    return visible_text(reply.text)


def _judged(verdict: ChatReply) -> Graded:
    text, problem = _whole_text(verdict)
    return replace(grade_verdict(text), stopped=False) if not problem else Graded(None, NO_VERDICT)


def _no_verdict(_key: str, reply: ChatReply) -> str:
    return _judged(reply).problem
