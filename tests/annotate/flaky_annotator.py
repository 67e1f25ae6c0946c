"""A process of its own: the scripted annotator behind a server that answers after 50 ms and fails 5 % of all calls.

Usage: python flaky_annotator.py DELAY FAILURES; prints its port. GET /v1/counts tells what it served.
"""

import asyncio
import json
import random
import sys
from collections import Counter

from annotate.scripted import codes_of, is_probe, item_of, judge
from endpoint.server import Answer, Call, ScriptedServer, completion

KINDS = ("limit", "error", "drop", "truncated", "wrong schema", "empty")


class Flaky:
    """Fails some calls, each kind as often, and counts good replies by question."""

    def __init__(self, delay: float, failures: float) -> None:
        self.delay, self.failures = delay, failures
        self.random = random.Random(0)
        self.good: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.wasted: Counter[str] = Counter()

    def __call__(self, call: Call) -> Answer:
        if call.method == "GET":
            good = self.good.values()
            return Answer({"questions": len(good), "good": sum(good), "most": max(good, default=0), **self.failed})
        answer = judge(call)
        if not is_probe(call):
            question = "|".join([*codes_of(call), item_of(call)])
            if self.random.random() < self.failures:
                answer = self.fail(answer, question)
            else:
                self.good[question] += 1
        answer.delay = self.delay
        return answer

    def fail(self, answer: Answer, question: str) -> Answer:
        # A third paid reply without content ends a question by design, so that no question gets more than two.
        kind = self.random.choice(KINDS[:3] if self.wasted[question] == 2 else KINDS)
        self.failed[kind] += 1
        self.wasted[question] += kind in ("truncated", "empty")
        return {
            "limit": Answer("", 429, {"Retry-After": "0.1"}),
            "error": Answer("", 500),
            "drop": Answer(drop=True),
            "truncated": Answer(json.dumps(answer.body)[:80]),
            "wrong schema": Answer(completion('{"rating": "high"}')),
            "empty": Answer(completion("")),
        }[kind]


async def main() -> None:
    server = ScriptedServer(Flaky(float(sys.argv[1]), float(sys.argv[2])), keep_calls=False)
    serving = asyncio.create_task(server.serve(0))
    while not server._ready.is_set():
        await asyncio.sleep(0.01)
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    await serving


if __name__ == "__main__":
    asyncio.run(main())
