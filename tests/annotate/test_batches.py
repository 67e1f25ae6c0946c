import json
import time

import pytest

from annotate.scripted import PRICES, Run, judge, level_of, settings, small_study
from capscope.annotate import BatchAnnotator, ChatAnnotator
from capscope.data import Study
from capscope.endpoint import BatchBook, BatchClient, Capability, Ledger, Question, Sampling, call_key
from capscope.endpoint.account import Account
from capscope.endpoint.messages import ChatRequest
from capscope.errors import EndpointError
from endpoint.batch_server import BatchScript
from endpoint.server import Answer, Call, ScriptedServer


@pytest.fixture
def folder(tmp_path):
    return small_study(tmp_path / "study")


@pytest.fixture
def script():
    return BatchScript(judge)


def test_a_batch_goes_out_and_comes_back(folder, script):
    with ScriptedServer(script) as server:
        run = Run(folder, BatchAnnotator, prices=PRICES)
        sent = run.ask(server.url).report
        assert (sent.requests, sent.batches) == (12, ("batch-0",))
        assert run.ask(server.url, batch="status").report.states[0].state == "in_progress"
        outcome = run.ask(server.url, batch="collect")
        fetched = outcome.report.fetched
        assert (fetched.pending, outcome.report.report.open) == (1, 12)
        script.finish("batch-0")
        outcome = run.ask(server.url, batch="collect")
        fetched = outcome.report.fetched
        assert (fetched.answered, fetched.failed, fetched.not_sent) == (12, 0, 0)
        assert outcome.write(folder).report.report.labels == 12
        assert run.ask(server.url).report.requests == 0, "nothing is paid for twice"
    row = Study.load(folder).demands.iloc[0]
    number = row["item_id"].removeprefix("i__")
    assert row["level"] == level_of(row["rubric"], f"Task {number}: pick A or B.")


def test_open_batches_count_towards_a_limit_over_all_runs(folder, script):
    with ScriptedServer(script) as server:
        run = Run(folder, BatchAnnotator, prices=PRICES)
        run.ask(server.url)
        with Ledger(run.options["ledger"]) as ledger:
            reserved = ledger.spent()
        assert reserved > 12 * 1000 / 1e6, "each question at its largest price: --max-tokens 1000"
        other = Run(folder, ChatAnnotator, model="another", prices=PRICES, max_usd_total=reserved + 1e-6)
        assert "--max-usd-total" in str(other.ask(server.url).stop)
        script.finish("batch-0")
        run.ask(server.url, batch="collect")
        with Ledger(run.options["ledger"]) as ledger:
            assert ledger.spent() == pytest.approx(12 * 110 / 1e6, rel=0.2), "now at what the replies cost"


def test_a_batch_leaves_room_for_what_other_processes_have_in_flight(folder, script, tmp_path):
    with ScriptedServer(script) as server:
        free = Run(small_study(tmp_path / "free"), BatchAnnotator, prices=PRICES)
        free.ask(server.url)
        with Ledger(free.options["ledger"]) as ledger:
            total = ledger.spent() * 1.001
        run = Run(folder, BatchAnnotator, prices=PRICES, max_usd_total=total)
        with Ledger(run.options["ledger"]) as other:
            account = Account(other, total)
            assert account.reserve(total * 5 / 12)
            sent = run.ask(server.url)
            assert sent.report.requests in (6, 7), "5 of 12 are in flight elsewhere"
            assert "the next could exceed" in str(sent.stop)
            account.settle(total * 5 / 12, 0.0)
            assert other.spent() <= total * 7 / 12
        rest = run.ask(server.url)
        assert (sent.report.requests + rest.report.requests, rest.stop) == (12, None)


def test_a_batch_reply_without_usage_stays_at_the_sum_set_aside(folder):
    script = BatchScript(lambda call: Answer(json.loads(json.dumps(judge(call).body)) | {"usage": None}))
    with ScriptedServer(script) as server:
        run = Run(folder, BatchAnnotator, prices=PRICES)
        run.ask(server.url)
        with Ledger(run.options["ledger"]) as ledger:
            set_aside = ledger.spent()
        script.finish("batch-0")
        assert run.ask(server.url, batch="collect").report.fetched.answered == 12
        with Ledger(run.options["ledger"]) as ledger:
            assert ledger.spent() == pytest.approx(set_aside)


def test_ids_are_short_hashes_whatever_the_items_are_called(folder, script):
    with ScriptedServer(script) as server:
        Run(folder, BatchAnnotator).ask(server.url)
    ids = [row["custom_id"] for row in script.rows("batch-0")]
    assert len(set(ids)) == 12
    assert all(len(custom_id) == 32 and custom_id.isalnum() for custom_id in ids)


def test_what_expired_goes_out_again_and_what_was_refused_is_counted(folder, script):
    with ScriptedServer(script) as server:
        run = Run(folder, BatchAnnotator)
        run.ask(server.url)
        script.finish("batch-0", "expired", answered=0.5, refused=1)
        outcome = run.ask(server.url, batch="collect")
        fetched = outcome.report.fetched
        assert (fetched.answered, fetched.failed, fetched.not_sent) == (5, 1, 6)
        assert outcome.report.report.failed == 1
        assert run.ask(server.url).report.requests == 7
        script.finish("batch-1")
        outcome = run.ask(server.url, batch="collect")
        assert len(outcome.rows) == 12


def test_a_cancelled_batch_without_any_file_frees_its_questions(folder, script):
    with ScriptedServer(script) as server:
        run = Run(folder, BatchAnnotator)
        run.ask(server.url)
        script.batches["batch-0"]["status"] = "cancelled"
        assert run.ask(server.url, batch="collect").report.fetched.not_sent == 12
        assert run.ask(server.url).report.requests == 12


def test_a_refused_file_says_why(folder, script):
    with ScriptedServer(script) as server:
        run = Run(folder, BatchAnnotator)
        run.ask(server.url)
        errors = {"object": "list", "data": [{"code": "x", "message": "line 3 is wrong"}]}
        script.batches["batch-0"] |= {"status": "failed", "errors": errors}
        assert run.ask(server.url, batch="collect").report.fetched.problems == ("line 3 is wrong",)


def test_a_creation_whose_answer_was_lost_is_found_again(folder, script):
    script.lose_next_creation = True
    with ScriptedServer(script) as server:
        run = Run(folder, BatchAnnotator)
        with pytest.raises(EndpointError, match="run the same command again"):
            run.ask(server.url)
        assert run.ask(server.url, batch="status").report.states[0].state == "uploaded"
        sent = run.ask(server.url).report
        assert (sent.requests, sent.batches) == (0, ("batch-0",))
        assert len(script.batches) == 1, "the batch was not started twice"


def test_a_refused_upload_loses_nothing(folder, script):
    script.refuse_next = 1
    with ScriptedServer(script) as server:
        run = Run(folder, BatchAnnotator)
        with pytest.raises(EndpointError):
            run.ask(server.url)
        assert run.ask(server.url).report.batches == ("batch-0",)
        assert len(script.rows("batch-0")) == 12


def test_looking_is_repeated_and_spending_is_not(folder, script):
    with ScriptedServer(script) as server:
        run = Run(folder, BatchAnnotator)
        run.ask(server.url)
        script.refuse_next = 2
        assert run.ask(server.url, batch="status").report.states[0].state == "in_progress"


def test_direct_calls_leave_questions_in_a_batch_alone(folder, script):
    with ScriptedServer(script) as server:
        run = Run(folder, BatchAnnotator)
        run.ask(server.url)
        report = Run(folder).ask(server.url).report
        assert (report.asked, report.open) == (0, 12)


def test_files_stay_within_the_limits(tmp_path):
    with Ledger(tmp_path / "l.sqlite") as ledger:
        book = BatchBook(ledger)
        questions = [Question(call_key({"n": n % 25}), ChatRequest((("user", "\u2028" * 10),))) for n in range(40)]
        with BatchClient(settings("http://127.0.0.1:9/v1"), book, tmp_path / "b") as client:
            assert client.write(questions, Capability(), Sampling("m"), most_requests=10) == 25
        batches = book.batches("written")
        assert [batch.requests for batch in batches] == [10, 10, 5]
        lines = [line for path in (tmp_path / "b").iterdir() for line in path.read_text("ascii").splitlines()]
        assert len({json.loads(line)["custom_id"] for line in lines}) == 25


@pytest.mark.parametrize(
    "body", ["<html>portal</html>", "", "null", '{"error": {"message": "busy", "code": 502}}', "{}"]
)
@pytest.mark.parametrize("step", ["/files", "/batches", "list", "/batches/batch-0"])
def test_odd_answers_of_a_batch_endpoint_are_one_line_and_lose_nothing(folder, script, body, step):
    broken = True

    def answer(call: Call) -> Answer:
        name = call.path.split("?")[0].removeprefix("/v1")
        name = "list" if name == "/batches" and call.method == "GET" else name
        return Answer(body) if broken and name == step else script(call)

    with ScriptedServer(answer) as server:
        run = Run(folder, BatchAnnotator)
        if step.endswith("batch-0"):
            run.ask(server.url)
        with pytest.raises(EndpointError, match="nothing is lost"):
            run.ask(server.url, batch="status" if step.endswith("batch-0") else "submit")
        broken = False
        run.ask(server.url)
        script.finish("batch-0")
        assert run.ask(server.url, batch="collect").report.fetched.answered == 12
    assert len(script.batches) == 1


@pytest.mark.parametrize("body", ["", "<html>portal</html>", "[]"])
def test_something_else_in_place_of_a_result_file_leaves_the_batch_open(folder, script, body):
    with ScriptedServer(script) as server:
        run = Run(folder, BatchAnnotator)
        run.ask(server.url)
        script.finish("batch-0")
        kept = script.files.pop("file-output_file_id-batch-0")
        script.files["file-output_file_id-batch-0"] = body
        for _ in range(2):
            outcome = run.ask(server.url, batch="collect").report
            assert (outcome.fetched.pending, outcome.fetched.failed, outcome.fetched.not_sent) == (1, 0, 0)
        script.files["file-output_file_id-batch-0"] = kept
        assert run.ask(server.url, batch="collect").report.fetched.answered == 12


def test_rows_that_never_arrive_stay_paid_and_are_given_up_late(folder, script):
    with ScriptedServer(script) as server:
        run = Run(folder, BatchAnnotator, prices=PRICES)
        run.ask(server.url)
        with Ledger(run.options["ledger"]) as ledger:
            reserved = ledger.spent() / 12
        script.finish("batch-0")
        script.batches["batch-0"]["request_counts"] = {"completed": 12, "failed": 0, "total": 12}
        rows = script.files["file-output_file_id-batch-0"].splitlines(keepends=True)
        script.files["file-output_file_id-batch-0"] = "".join(rows[:9])
        for _ in range(3):
            fetched = run.ask(server.url, batch="collect").report.fetched
            assert (fetched.pending, fetched.not_sent, fetched.failed) == (1, 0, 0)
            assert "3 replies are missing" in fetched.problems[0]
            assert run.ask(server.url).report.requests == 0, "what the endpoint has answered is not paid again"
        with Ledger(run.options["ledger"]) as ledger:
            ledger.record_fact("short batch batch-0", {"missing": 3, "since": time.time() - 4000})
        fetched = run.ask(server.url, batch="collect").report.fetched
        assert (fetched.pending, fetched.not_sent, fetched.failed) == (0, 0, 3)
        assert "3 replies are in none of its files" in fetched.problems[0]
        with Ledger(run.options["ledger"]) as ledger:
            assert ledger.spent() > 3 * reserved, "what was set aside for lost replies stays spent"


@pytest.mark.slow
def test_the_probe_before_a_batch_is_paid_from_the_limit_and_asked_once(folder, script):
    with ScriptedServer(script) as server:
        poor = Run(folder, BatchAnnotator, prices=PRICES, max_usd=1e-6).ask(server.url)
        assert "0 questions are sent" in str(poor.stop)
        assert server.calls == [], "no room for the probe"
        run = Run(folder, BatchAnnotator, prices=PRICES, max_usd=1.0)
        assert run.ask(server.url).report.requests == 12
        probes = [call for call in server.calls if call.path.endswith("/chat/completions")]
        assert 1 <= len(probes) <= 3
        assert all(row["body"]["response_format"]["type"] == "json_schema" for row in script.rows("batch-0"))
        script.finish("batch-0")
        run.ask(server.url, batch="collect")
        with Ledger(run.options["ledger"]) as ledger:
            assert ledger.spent() > 12 * 110 / 1e6, "the probe is on the bill"
        run.ask(server.url)
        again = [call for call in server.calls if call.path.endswith("/chat/completions")]
        assert len(again) == len(probes), "what was learnt is kept"
