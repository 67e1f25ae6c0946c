import asyncio
import sqlite3
import sys
import threading
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
    RunLimits,
    Sampling,
    Usage,
    estimate_tokens,
    find_prices,
)
from capscope.endpoint.completion import read_usage
from capscope.errors import EndpointError, InputError
from endpoint.server import Answer, ScriptedServer, completion, error

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


def test_a_budget_sets_money_aside_and_waits_while_only_calls_in_flight_block():
    async def run():
        budget = Budget(1.0)
        assert [await budget.reserve(0.4), await budget.reserve(0.4)] == [True, True]
        third = asyncio.create_task(budget.reserve(0.4))
        await asyncio.sleep(0.01)
        assert not third.done(), "it may fit once a call in flight turns out cheap"
        budget.settle(0.4, 0.01)
        assert await third
        fourth = asyncio.create_task(budget.reserve(0.4))
        budget.settle(0.4, 0.4)
        await asyncio.sleep(0.01)
        assert not fourth.done()
        budget.settle(0.4, 0.3)
        assert not await fourth, "with nothing in flight there is no room whatever happens"
        assert budget.usd == pytest.approx(0.71)

    asyncio.run(run())


def test_the_tighter_of_two_limits_holds():
    assert Budget.of_run(1.0, None, 5.0).limit == 1.0
    assert Budget.of_run(1.0, 5.5, 5.0).limit == 0.5
    assert Budget.of_run(None, 5.0, 7.0).limit == 0.0
    assert Budget.of_run(None, None, 7.0).limit is None


def ask(url, path, count, limits=None, unreadable=None, text="x", **settings):
    async def run():
        options = {"concurrency": 4, "first_pause": 0.01, "timeout": 5.0, **settings}
        chosen = EndpointSettings(base_url=url, api_key="a-long-key", **options)
        questions = [Question(f"k{n}", ChatRequest((("user", f"{text} {n}"),))) for n in range(count)]
        with Ledger(path) as ledger:
            async with ChatClient(chosen, np.random.default_rng(0)) as client:
                asker = Asker(client, ledger, Sampling("m", max_tokens=100), limits, unreadable, Capability("text"))
                return await asker.ask_all(questions)

    return asyncio.run(run())


def within(usd):
    return RunLimits(prices=PRICES, budget=Budget(usd))


def test_no_more_calls_are_in_flight_than_allowed(tmp_path):
    arrivals = []

    def script(_):
        arrivals.append(time.monotonic())
        return Answer(completion("x"), delay=0.05)

    with ScriptedServer(script) as server:
        assert ask(server.url, tmp_path / "l", 40).asked == 40
    # Each place is taken for 50 ms, so the fifth call after any other comes at least that much later.
    assert all(later - earlier >= 0.045 for earlier, later in zip(arrivals, arrivals[4:], strict=False))


@pytest.mark.parametrize("status", [401, 402])
def test_a_refusal_of_everything_ends_the_run_and_keeps_the_rest(tmp_path, status):
    left = [3]

    def script(_):
        left[0] -= 1
        return Answer(completion("x")) if left[0] >= 0 else Answer(error("no more of this"), status)

    with ScriptedServer(script) as server:
        tally = ask(server.url, tmp_path / "l", 40)
        assert "no more of this" in tally.halted
        assert len(server.calls) <= 3 + 4, "calls in flight end; none follows"
    with Ledger(tmp_path / "l") as ledger:
        assert len(list(ledger.done(f"k{n}" for n in range(40)))) == 3
        assert all(ledger.get(f"k{n}") is None or ledger.get(f"k{n}").state == "done" for n in range(40))


def test_a_refusal_of_one_item_is_that_items(tmp_path):
    def script(call):
        return Answer(error("flagged by moderation"), 403) if call.prompt == "x 2" else Answer(completion("x"))

    with ScriptedServer(script) as server:
        tally = ask(server.url, tmp_path / "l", 6)
    assert (tally.asked, tally.failed, tally.halted) == (5, 1, "")


@pytest.mark.parametrize("answer", [Answer(error("Model is gone"), 404), Answer(drop=True), Answer(error("bad"), 400)])
def test_failures_in_a_row_end_the_run_with_their_cause(tmp_path, answer):
    with ScriptedServer(lambda _: answer) as server:
        limits = RunLimits(max_failures=5)
        tally = ask(server.url, tmp_path / "l", 200, limits, max_attempts=2)
        assert len(server.calls) < 2 * (5 + 8)
    assert "failures in a row" in tally.halted
    assert answer.drop or answer.body["error"]["message"] in tally.halted


def test_failures_between_replies_do_not_end_the_run(tmp_path):
    def script(call):
        return Answer(error("odd"), 400) if int(call.prompt.split()[1]) % 3 else Answer(completion("x"))

    with ScriptedServer(script) as server:
        tally = ask(server.url, tmp_path / "l", 60, RunLimits(max_failures=5), concurrency=1)
    assert (tally.asked, tally.failed, tally.halted) == (20, 40, "")


def test_replies_that_nobody_can_read_end_the_run_only_from_the_start(tmp_path):
    with ScriptedServer(lambda c: Answer(completion("good" if c.prompt == "late 4" else "weather"))) as server:
        limits, unread = RunLimits(max_failures=8), lambda _, reply: "" if reply.text == "good" else "no level"
        tally = ask(server.url, tmp_path / "a", 100, limits, unread)
        assert "no level" in tally.halted
        assert "weather" in tally.halted
        assert tally.asked < 20
        assert ask(server.url, tmp_path / "b", 30, limits, unread, "late", concurrency=1).asked == 30


def test_spending_is_counted_and_stored(tmp_path):
    with ScriptedServer(lambda _: Answer(completion("x", tokens=(1000, 100)))) as server:
        tally = ask(server.url, tmp_path / "l", 5, within(None))
    assert tally.usd == pytest.approx(5 * 0.003)
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.spent() == pytest.approx(0.015)


def test_uneven_costs_never_exceed_the_limit_at_any_concurrency(tmp_path):
    billed = []

    def script(call):
        tokens = (20, 100 if int(call.prompt.split()[1]) % 2 else 1)
        billed.append(PRICES.of(Usage(*tokens)))
        return Answer(completion("x", tokens=tokens), delay=0.005)

    with ScriptedServer(script) as server:
        tally = ask(server.url, tmp_path / "l", 300, within(0.02), concurrency=32)
    assert tally.stopped
    assert 0.02 - 0.0015 < sum(billed) <= 0.02, "used up to the price of one more call, and no further"
    assert tally.usd == pytest.approx(sum(billed))


def test_a_run_that_fits_is_not_ended_by_its_own_calls_in_flight(tmp_path):
    with ScriptedServer(lambda _: Answer(completion("x", tokens=(20, 1)), delay=0.005)) as server:
        tally = ask(server.url, tmp_path / "l", 100, within(0.01), concurrency=32)
    assert (tally.asked, tally.stopped) == (100, False)


USAGES = {
    "absent": None,
    "null": {"prompt_tokens": None, "completion_tokens": None},
    "float": {"prompt_tokens": 10.5, "completion_tokens": 3.2},
    "negative": {"prompt_tokens": -1000, "completion_tokens": -10},
    "gigantic": {"prompt_tokens": 10**400, "completion_tokens": 1},
    "zero": {"prompt_tokens": 0, "completion_tokens": 0},
    "words": {"prompt_tokens": "many", "completion_tokens": "few"},
    "list": [1, 2],
}


@pytest.mark.parametrize("usage", USAGES.values(), ids=USAGES.keys())
def test_a_call_without_usage_counts_at_its_estimate(tmp_path, usage):
    body = completion("x")
    body["usage"] = usage
    if usage is None:
        del body["usage"]
    with ScriptedServer(lambda _: Answer(body)) as server:
        tally = ask(server.url, tmp_path / "l", 40, within(0.01), concurrency=2)
    usual = PRICES.of(Usage(estimate_tokens((("user", "x 10"),)), 100))
    assert tally.stopped
    assert tally.unmetered == tally.asked > 1
    assert tally.usd == pytest.approx(tally.asked * usual, rel=0.05)


def test_usage_in_text_or_in_one_sum_is_used(tmp_path):
    body = completion("x")
    body["usage"] = {"prompt_tokens": "1000", "completion_tokens": "500"}
    with ScriptedServer(lambda _: Answer(body)) as server:
        assert ask(server.url, tmp_path / "a", 1, within(None)).usd == pytest.approx(PRICES.of(Usage(1000, 500)))
        body["usage"] = {"total_tokens": 1500}
        assert ask(server.url, tmp_path / "b", 1, within(None)).usd == pytest.approx(1500 * 10 / 1e6)
        body["usage"] = {"prompt_tokens": 1000, "total_tokens": 1500}
        assert ask(server.url, tmp_path / "c", 1, within(None)).usd == pytest.approx(PRICES.of(Usage(1000, 500)))


def test_paid_replies_that_hold_nothing_are_asked_for_a_few_times_and_all_counted(tmp_path):
    with ScriptedServer(lambda _: Answer(completion("", tokens=(100, 10)))) as server:
        tally = ask(server.url, tmp_path / "l", 1, within(None))
        assert len(server.calls) == 3
    assert tally.usd == pytest.approx(3 * PRICES.of(Usage(100, 10)))
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.spent() == pytest.approx(tally.usd)


def test_the_probe_is_paid_from_the_same_limit_and_kept(tmp_path):
    async def run(limit):
        with Ledger(tmp_path / "l") as ledger:
            settings = EndpointSettings(base_url=server.url, concurrency=1)
            async with ChatClient(settings, np.random.default_rng(0)) as client:
                limits = RunLimits(prices=PRICES, budget=Budget(limit))
                asker = Asker(client, ledger, Sampling("m", max_tokens=100), limits)
                tally = await asker.ask_all([Question("k", ChatRequest((("user", "x"),)))])
                return tally, ledger.spent()

    good = Answer(completion('{"reasoning": "r", "level": 1}', tokens=(100, 100)))
    with ScriptedServer(lambda _: good) as server:
        tally, spent = asyncio.run(run(0.0001))
        assert (tally.stopped, len(server.calls), spent) == (True, 0, 0.0)
        tally, spent = asyncio.run(run(0.0015))
        assert (tally.stopped, tally.asked, len(server.calls)) == (True, 0, 1)
        assert spent == pytest.approx(PRICES.of(Usage(100, 100)))


def test_processes_on_one_ledger_share_the_limit_over_all_runs(tmp_path):
    billed = []

    def script(call):
        tokens = (20, 100 if int(call.prompt.split()[1]) % 2 else 1)
        billed.append(PRICES.of(Usage(*tokens)))
        return Answer(completion("x", tokens=tokens), delay=0.005)

    async def run(url, name):
        with Ledger(tmp_path / "l") as ledger:
            budget = Budget.of_run(None, 0.02, ledger.spent(), ledger)
            async with ChatClient(EndpointSettings(base_url=url, concurrency=16), np.random.default_rng(0)) as client:
                limits, sampling = RunLimits(prices=PRICES, budget=budget), Sampling("m", max_tokens=100)
                asker = Asker(client, ledger, sampling, limits, capability=Capability("text"))
                texts = [f"{name} {n}" for n in range(40)]
                return await asker.ask_all(Question(text, ChatRequest((("user", text),))) for text in texts)

    async def both(url):
        return await asyncio.gather(run(url, "a"), run(url, "b"))

    with ScriptedServer(script) as server:
        tallies = asyncio.run(both(server.url))
    assert any(tally.stopped for tally in tallies)
    assert sum(tally.asked for tally in tallies) == len(billed)
    assert 0.02 - 0.0015 < sum(billed) <= 0.02, "used up to the price of one more call, by both together"
    with Ledger(tmp_path / "l") as ledger:
        assert ledger.spent() == pytest.approx(sum(billed))


def test_what_a_killed_process_had_in_flight_stays_spent(tmp_path):
    with Ledger(tmp_path / "l") as ledger:
        killed = Ledger(tmp_path / "l")
        asyncio.run(Budget.of_run(None, 1.0, 0.0, killed).reserve(0.7))
        budget = Budget.of_run(None, 1.0, 0.0, ledger)
        waiting = budget.account.reserve(0.4)
        killed.execute("UPDATE owners SET seen = 0 WHERE owner = ?", killed.owner)
        assert (waiting, budget.account.reserve(0.4)) == (None, False)
        assert ledger.spent() == pytest.approx(0.7)
        killed.connection.close()


def test_a_cost_that_is_never_stored_ends_the_wait(tmp_path):
    async def second_call(account):
        return await asyncio.wait_for(account.granted(0.5), 3)

    with Ledger(tmp_path / "l") as here, Ledger(tmp_path / "l") as there:
        budgets = [Budget.of_run(None, 1.0, 0.0, ledger) for ledger in (here, there)]
        mine, other = (budget.account for budget in budgets)
        assert mine.reserve(0.6)
        mine.settle(0.6, 0.6)
        assert asyncio.run(second_call(mine)) is False
        assert asyncio.run(second_call(other)) is False, "the cost of another process is no call in flight"
        assert other.reserve(0.3)
        assert mine.reserve(0.4) is None, "a call in flight elsewhere is waited for while it may give enough back"
        assert mine.reserve(0.5) is False, "it could not give enough back"


def test_an_account_of_an_older_version_counts_as_in_flight(tmp_path):
    with Ledger(tmp_path / "l") as older, Ledger(tmp_path / "l") as ledger:
        account = Budget.of_run(None, 1.0, 0.0, ledger).account
        older.beat()
        older.execute("INSERT INTO set_aside VALUES (?, 0.7)", older.owner)
        assert account.reserve(0.4) is None


def test_a_call_that_is_given_up_counts_at_its_estimate(tmp_path):
    async def run(url):
        with Ledger(tmp_path / "l") as ledger:
            async with ChatClient(EndpointSettings(base_url=url), np.random.default_rng(0)) as client:
                asker = Asker(client, ledger, Sampling("m", max_tokens=100), within(1.0), capability=Capability("text"))
                task = asyncio.create_task(asker.ask_all([Question("k", ChatRequest((("user", "x"),)))]))
                await asyncio.sleep(0.3)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            return ledger.get("k"), ledger.spent()

    with ScriptedServer(lambda _: Answer(completion("x"), delay=1.0)) as server:
        entry, spent = asyncio.run(run(server.url))
    assert entry is None
    assert spent == pytest.approx(PRICES.of(Usage(estimate_tokens((("user", "x"),)), 100)))


def test_a_limit_without_a_price_is_refused():
    with pytest.raises(InputError, match="--max-usd needs a price"):
        RunLimits(budget=Budget(1.0))


def test_other_programs_may_hold_the_ledger_while_replies_arrive(tmp_path):
    Ledger(tmp_path / "l").__exit__()

    def hold():
        other = sqlite3.connect(tmp_path / "l", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        time.sleep(1.0)
        other.execute("COMMIT")
        other.close()

    with ScriptedServer(lambda _: Answer(completion("x"), delay=0.05)) as server:
        holder = threading.Timer(0.1, hold)
        holder.start()
        tally = ask(server.url, tmp_path / "l", 30, timeout=0.8)
        holder.join()
    assert (tally.asked, tally.failed, len(server.calls)) == (30, 0, 30)


def test_messages_that_the_endpoint_refuses_are_written_in_another_form(tmp_path):
    def script(call):
        if any(message["role"] == "system" for message in call.body["messages"]):
            return Answer(error("System role not supported"), 400)
        return Answer(completion(call.prompt))

    async def run():
        with Ledger(tmp_path / "l") as ledger:
            settings = EndpointSettings(base_url=server.url)
            async with ChatClient(settings, np.random.default_rng(0)) as client:
                asker = Asker(client, ledger, Sampling("m"), capability=Capability("text"))
                messages = (("system", "Be brief."), ("user", "Why?"))
                await asker.ask_all([Question(f"k{n}", ChatRequest(messages)) for n in range(20)])
                return [entry.reply.text for entry in ledger.done(f"k{n}" for n in range(20))]

    with ScriptedServer(script) as server:
        assert asyncio.run(run()) == ["Be brief.\n\nWhy?"] * 20
        assert len(server.calls) < 20 + 17


@pytest.mark.parametrize("usd", [float("nan"), -1.0])
def test_no_limit_can_be_kept_with_what_is_no_amount(usd):
    for make in (lambda: Budget(usd), lambda: Budget.of_run(None, usd, 0.0), lambda: Prices(usd, 1.0, "given")):
        with pytest.raises(InputError, match="give US dollars, 0 or more"):
            make()
    with pytest.raises(InputError, match="--usd-out is inf"):
        Prices(1.0, float("inf"), "given")


def test_tokens_of_a_prefix_cache_that_are_counted_apart_are_paid():
    stated = {"input_tokens": 10, "cache_read_input_tokens": 990, "output_tokens": 5}
    assert read_usage(stated, "x") == Usage(1000, 5)


@pytest.mark.parametrize("setting", [{"concurrency": 0}, {"max_attempts": 0}, {"timeout": float("nan")}])
def test_settings_that_would_ask_nothing_or_wait_for_ever_are_refused(setting):
    with pytest.raises(EndpointError, match="give "):
        EndpointSettings(base_url="http://127.0.0.1:1/v1", **setting)
