"""Ask a model the questions of a battery, keep each reply in a ledger, and grade it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from capscope.battery.adaptive.grading import GRADERS, grade_verdict
from capscope.battery.adaptive.questions import BatteryQuestion
from capscope.endpoint import (
    Asker,
    Budget,
    ChatClient,
    ChatReply,
    ChatRequest,
    EndpointSettings,
    Ledger,
    Messages,
    Prices,
    Question,
    RunLimits,
    Sampling,
    call_key,
)
from capscope.errors import EndpointError

NO_ANSWER = "the reply holds no answer of the expected form"
NO_VERDICT = "the judge gave no verdict"


@dataclass(frozen=True)
class Graded:
    """Result of one question."""

    score: float | None
    """The score, 0 to 1; None where the reply could not be graded."""
    problem: str = ""
    """Why it could not."""
    stopped: bool = False
    """Whether the budget left no room to ask."""


Answerer = Callable[[BatteryQuestion], Graded]


class EndpointAnswerer:
    """Client that asks an endpoint and keeps every reply in a ledger; a context manager."""

    def __init__(
        self,
        ledger: Path,
        settings: EndpointSettings,
        model: Sampling,
        judge: Sampling | None,
        budget: tuple[Prices | None, float | None],
        rng: np.random.Generator,
    ) -> None:
        """Keep the settings; nothing is asked yet.

        Args:
            ledger: File of replies; an interrupted run goes on from it.
            settings: The endpoint.
            model: The model under test, with temperature and largest number of tokens.
            judge: The model that grades open answers, or None.
            budget: Prices, and US dollars that may be spent on the model under test; None for unknown and no limit.
            rng: Source of randomness of pauses before a retry.
        """
        self._path, self._settings, self._rng = ledger, settings, rng
        self._sampling = {"model": model} | ({} if judge is None else {"judge": judge})
        prices, limit = budget
        self._limits = {"model": RunLimits(prices=prices, budget=Budget(limit)), "judge": RunLimits()}
        self._runner = asyncio.Runner()
        self._askers: dict[str, Asker] = {}

    def __enter__(self) -> "EndpointAnswerer":
        """Open the ledger; what the endpoint can do is learnt before the first question."""
        self._ledger = Ledger(self._path).__enter__()
        self._client = ChatClient(self._settings, self._rng)
        try:
            for role in self._sampling:
                self._askers[role] = self._asker(role)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close connections and ledger."""
        self._runner.run(self._client.__aexit__(kind, error, trace))
        self._runner.close()
        self._ledger.__exit__(kind, error, trace)

    @property
    def usd(self) -> float:
        """US dollars spent on the model under test in this run, where its price is known."""
        return self._askers["model"].tally.usd if "model" in self._askers else 0.0

    def __call__(self, question: BatteryQuestion) -> Graded:
        """Ask one question and grade the reply.

        Raises:
            EndpointError: The endpoint refuses whatever is asked.
        """
        reply = self._reply("model", question.messages)
        if reply is None:
            return Graded(None, stopped=True)
        if reply.problem:
            return Graded(None, reply.problem)
        if question.kind != "judge":
            score = GRADERS[question.kind](reply.text, question.target)
            return Graded(score, "" if score is not None else NO_ANSWER)
        verdict = self._reply("judge", question.judged(reply.text))
        score = None if verdict is None or verdict.problem else grade_verdict(verdict.text)
        return Graded(score, "" if score is not None else NO_VERDICT)

    def _asker(self, role: str) -> Asker:
        return Asker(self._client, self._ledger, self._sampling[role], self._limits[role])

    def _reply(self, role: str, messages: Messages) -> ChatReply | None:
        """Return the reply to a question from the ledger or the endpoint; None where the budget is used up."""
        sampling, asker = self._sampling[role], self._askers[role]
        key = call_key({"kind": f"battery {role}", "url": self._settings.shown_url} | vars(sampling) | {"m": messages})
        tally = self._runner.run(asker.ask_all([Question(key, ChatRequest(messages))]))
        if tally.halted:
            raise EndpointError(tally.halted)
        entry = self._ledger.get(key)
        return None if entry is None or asker.tally.stopped else entry.reply
