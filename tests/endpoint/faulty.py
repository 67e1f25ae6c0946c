"""Many questions to a server that fails some calls in ten ways: what was asked, billed, answered and stored."""

import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from capscope.endpoint import (
    Asker,
    Budget,
    Capability,
    ChatClient,
    ChatRequest,
    EndpointSettings,
    Ledger,
    Prices,
    Question,
    RunLimits,
    Sampling,
    Usage,
)
from endpoint.server import Answer, Call, ScriptedServer, completion

PRICES = Prices(2.0, 10.0, "given")
MOST_TOKENS = 100
KINDS = ("limit", "error", "busy", "drop", "cut", "empty", "page", "error in 200", "late", "list of nothing")
"""Ways in which a call fails; the answers of some were worked on and are billed all the same."""
BILLED = {"cut", "empty", "late", "list of nothing"}
TEXT = "How many steps does case {} take, and which of them could be left out? " + "Say why. " * 16


class FaultyServer:
    """Answers, fails a share of the calls, states no usage in some, and keeps the bill."""

    def __init__(self, share: float, late: float, kinds: tuple[str, ...]) -> None:
        self.share, self.late, self.kinds = share, late, kinds
        self.random = random.Random(0)
        self.good: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.billed = 0.0

    def __call__(self, call: Call) -> Answer:
        tokens = (len(call.prompt) // 4, self.random.randint(1, MOST_TOKENS))
        kind = self.random.choice(self.kinds) if self.random.random() < self.share else ""
        self.faults.update([kind] if kind else [])
        if not kind or kind in BILLED:
            self.billed += PRICES.of(Usage(*tokens))
        if kind:
            return self.failed(kind, tokens)
        self.good[call.prompt] += 1
        body = completion('\ud83d {"level": 3}' if self.random.random() < 0.01 else '{"level": 3}', tokens=tokens)
        if self.random.random() < 0.05:
            del body["usage"]
        return Answer(json.dumps(body))

    def failed(self, kind: str, tokens: tuple[int, int]) -> Answer:
        empty = completion("", tokens=tokens)
        return {
            "limit": Answer("", 429, {"Retry-After": "0.05"}),
            "error": Answer("", 500),
            "busy": Answer({"error": {"message": "busy"}}, 503),
            "drop": Answer(drop=True),
            "cut": Answer(json.dumps(completion("x", tokens=tokens))[:60]),
            "empty": Answer(empty),
            "page": Answer("<html>gateway</html>", 502),
            "error in 200": Answer({"error": {"message": "model overloaded", "code": 503}, "choices": None}),
            "late": Answer(completion("x", tokens=tokens), delay=self.late),
            "list of nothing": Answer(empty | {"choices": []}),
        }[kind]


@dataclass(frozen=True)
class Outcome:
    """What came of a run under a limit and of its rerun without one."""

    limit: float
    billed_within: float
    billed: float
    reckoned: float
    lost: int
    doubled: int
    faults: dict[str, int]
    seconds: float


def ask_through_faults(
    folder: Path, calls: int, concurrency: int, share: float, *, late: float = 40.0, kinds: tuple[str, ...] = KINDS
) -> Outcome:
    """Ask under a limit that stops the run midway, then ask on without one; a call has half of `late` seconds."""
    prompts = [TEXT.format(number) for number in range(calls)]
    questions = [Question(f"k{number}", ChatRequest((("user", prompt),))) for number, prompt in enumerate(prompts)]
    limit = calls * PRICES.of(Usage(len(prompts[0]) // 4, MOST_TOKENS // 2)) / 2
    server, spent = FaultyServer(share, late, kinds), []
    begun = time.monotonic()

    async def run(usd: float | None) -> None:
        settings = EndpointSettings(
            base_url=serving.url, concurrency=concurrency, timeout=late / 2, first_pause=0.01, max_attempts=8
        )
        with Ledger(folder / "ledger.sqlite") as ledger:
            async with ChatClient(settings, np.random.default_rng(0)) as client:
                limits = RunLimits(prices=PRICES, budget=Budget(usd))
                asker = Asker(client, ledger, Sampling("m", max_tokens=MOST_TOKENS), limits, None, Capability("text"))
                tally = await asker.ask_all(questions)
                assert (tally.halted, tally.stopped) == ("", usd is not None)
                spent.append(ledger.spent())

    with ScriptedServer(server, keep_calls=False) as serving:
        asyncio.run(run(limit))
        within = server.billed
        for _ in range(5):
            asyncio.run(run(None))
            with Ledger(folder / "ledger.sqlite") as ledger:
                if ledger.count() == calls:
                    break
    with Ledger(folder / "ledger.sqlite") as ledger:
        lost = calls - ledger.count()
    doubled = sum(count - 1 for count in server.good.values())
    seconds = time.monotonic() - begun
    return Outcome(limit, within, server.billed, spent[-1], lost, doubled, dict(server.faults), seconds)
