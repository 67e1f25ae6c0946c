import asyncio
import sys
import time

import numpy as np
import pytest

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
    Sampling,
    Usage,
    find_prices,
)
from capscope.errors import EndpointError, InputError
from endpoint.server import Answer, ScriptedServer, completion

PRICES = Prices(2.0, 10.0, "given")


def test_prices_are_per_million_tokens():
    assert PRICES.of(Usage(1_000_000, 500_000)) == pytest.approx(7.0)
    assert find_prices("m", 1.0, 2.0) == Prices(1.0, 2.0, "given")
    with pytest.raises(InputError, match="go together"):
        find_prices("m", 1.0, None)


def test_the_price_table_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    assert find_prices("gpt-4o", None, None) is None


def test_the_price_table_is_used_where_it_is_installed():
    pytest.importorskip("genai_prices")
    found = find_prices("gpt-4o", None, None)
    assert found.source == "genai-prices"
    assert 0 < found.usd_in < found.usd_out < 100
    assert find_prices("no-such-model-anywhere", None, None) is None


def test_a_budget_reckons_with_the_dearest_call_in_flight():
    budget = Budget(PRICES, 1.0, estimate=0.3)
    assert [budget.admit() for _ in range(4)] == [True, True, True, False]
    assert budget.settle(Usage(0, 50_000)) == pytest.approx(0.5)
    assert not budget.admit(), "two more at half a dollar would exceed the limit"
    assert Budget(None, None).settle(Usage(5, 5)) is None
    with pytest.raises(InputError, match="needs a price"):
        Budget(None, 1.0)


def ask(url, path, count, budget=None, **settings):
    async def run():
        chosen = EndpointSettings(url, "a-long-key", **{"concurrency": 4, "first_pause": 0.01, **settings})
        questions = [Question(f"k{n}", ChatRequest((("user", str(n)),))) for n in range(count)]
        with Ledger(path) as ledger:
            async with ChatClient(chosen, np.random.default_rng(0)) as client:
                asker = Asker(client, ledger, Sampling("m"), Capability("text"), budget or Budget(None, None))
                return await asker.ask_all(questions)

    return asyncio.run(run())


def test_no_more_calls_are_in_flight_than_allowed(tmp_path):
    arrivals = []

    def script(_):
        arrivals.append(time.monotonic())
        return Answer(completion("x"), delay=0.05)

    with ScriptedServer(script) as server:
        assert ask(server.url, tmp_path / "l", 40).asked == 40
    # Each place is taken for 50 ms, so the fifth call after any other comes at least that much later.
    assert all(later - earlier >= 0.045 for earlier, later in zip(arrivals, arrivals[4:], strict=False))


def test_a_fatal_answer_ends_the_run_and_keeps_the_rest(tmp_path):
    left = [3]

    def script(_):
        left[0] -= 1
        return Answer(completion("x")) if left[0] >= 0 else Answer("no", 401)

    with ScriptedServer(script) as server, pytest.raises(EndpointError):
        ask(server.url, tmp_path / "l", 40)
    with Ledger(tmp_path / "l") as ledger:
        assert len(list(ledger.done(f"k{n}" for n in range(40)))) == 3
        assert all(ledger.get(f"k{n}") is None or ledger.get(f"k{n}").state == "done" for n in range(40))


def test_spending_is_counted_and_stored(tmp_path):
    with ScriptedServer(lambda _: Answer(completion("x", tokens=(1000, 100)))) as server:
        tally = ask(server.url, tmp_path / "l", 5, Budget(PRICES, None))
    assert tally.usd == pytest.approx(5 * 0.003)
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.spent() == pytest.approx(0.015)
