"""What goes wrong around an annotation run: odd endpoints, other runs, interruptions, places, missing options."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest

from annotate.helpers import write_rubrics
from annotate.scripted import KEY, PRICES, Run, is_probe, item_of, judge, level_of, small_study
from annotate.test_commands import run
from capscope.annotate import LEDGER_NAME, AnnotatorSettings, BatchAnnotator, LocalAnnotator, Selection, annotate
from capscope.data import Study
from capscope.endpoint import answered_keys
from capscope.errors import BudgetReached, EndpointError, InputError, OutputError
from endpoint.batch_server import BatchScript
from endpoint.server import Answer, ScriptedServer, completion, error


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return small_study(tmp_path / "study")


@pytest.fixture
def rubrics(tmp_path):
    return write_rubrics(tmp_path / "rubrics")


def only_from(judged, item, answer):
    """Answer as the judge does, but for one item."""
    return lambda call: answer if not is_probe(call) and item_of(call).startswith(item) else judged(call)


def test_a_run_without_any_label_is_a_failure(folder, rubrics):
    with ScriptedServer(lambda c: judge(c) if is_probe(c) else Answer(completion("Nice weather."))) as server:
        options = ("--rubrics", rubrics, "--base-url", server.url, "--annotator", "openai:m", "--json")
        result = run("annotate", folder, *options)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["unparsed"] == 12


def test_an_empty_account_ends_the_run_with_the_labels_so_far(folder):
    left = [7]

    def script(call):
        left[0] -= 1
        return judge(call) if left[0] >= 0 else Answer(error("More credits are needed"), 402)

    with ScriptedServer(script) as server, pytest.raises(EndpointError, match="More credits.*6 labels are written"):
        Run(folder).write(server.url, 1)
    assert len(Study.load(folder).demands) == 6


def test_prose_from_the_start_ends_the_run_and_shows_itself(tmp_path):
    folder = small_study(tmp_path / "s", 40)
    with ScriptedServer(lambda c: judge(c) if is_probe(c) else Answer(completion("Nice weather."))) as server:
        with pytest.raises(EndpointError, match="20 replies, none of them readable.*Nice weather"):
            Run(folder).write(server.url, 1)
        assert len(server.calls) <= 25


def test_the_limit_over_all_runs_counts_what_earlier_ones_spent(folder):
    with ScriptedServer(judge) as server:
        first = Run(folder, prices=PRICES, limit=3).write(server.url, 1)
        limit = first.usd + 0.0015
        with pytest.raises(BudgetReached, match="--max-usd-total"):
            Run(folder, prices=PRICES, max_usd_total=limit).write(server.url, 1)
        before = len(server.calls)
        with pytest.raises(BudgetReached):
            Run(folder, prices=PRICES, max_usd_total=first.usd).write(server.url, 1)
        assert len(server.calls) == before


def test_calls_without_usage_are_told(folder):
    def script(call):
        answer = judge(call)
        del answer.body["usage"]
        return answer

    with ScriptedServer(script) as server:
        report = Run(folder, prices=PRICES).write(server.url)
    assert report.unmetered == 12
    assert "12 calls state no usage" in report.as_text()
    assert report.usd == pytest.approx(Run(folder, prices=PRICES, ledger=folder / "none").plan().usd, rel=0.05)


def test_a_moderated_item_is_asked_once_and_stops_nobody(folder):
    refused = Answer(error("flagged"), 403)
    with ScriptedServer(only_from(judge, "Task 2", refused)) as server:
        report = Run(folder).write(server.url)
        assert (report.labels, report.failed) == (10, 2)
        assert len(server.calls) == 13


def test_log_probabilities_that_are_missing_are_told_once(folder):
    with ScriptedServer(judge) as server:
        report = Run(folder, logprobs=True).write(server.url)
    assert report.labels == 12
    assert [warning for warning in report.warnings if "--logprobs" in warning] == [
        "--logprobs gave no usable probabilities in 12 of 12 replies; their levels are whole numbers without sd"
    ]


def test_fewer_alternatives_are_asked_for_where_fewer_are_allowed(folder):
    def script(call):
        if call.body.get("top_logprobs", 0) > 5:
            return Answer(error("top_logprobs must be between 0 and 5"), 400)
        return judge(call)

    with ScriptedServer(script) as server:
        Run(folder, logprobs=True).write(server.url)
        assert server.calls[-1].body["top_logprobs"] == 5


def test_the_level_after_its_key_counts_wherever_it_stands(folder):
    one = {token: [{"token": token, "logprob": -0.001}] for token in ('{"level": ', ', "reasoning": "It has ', '"}')}
    certain = [{"token": "3", "logprob": -0.0005}, {"token": "2", "logprob": -7.6}]
    prose = [{"token": "3", "logprob": -1.2}, {"token": "5", "logprob": -0.36}]
    written = ['{"level": ', "3", ', "reasoning": "It has ', "3", '"}']
    tops = [one[written[0]], certain, one[written[2]], prose, one[written[4]]]
    tokens = [{"token": token, "top_logprobs": top} for token, top in zip(written, tops, strict=True)]
    reply = Answer(completion('{"level": 3, "reasoning": "It has 3"}', logprobs=tokens))
    with ScriptedServer(lambda call: judge(call) if is_probe(call) else reply) as server:
        Run(folder, logprobs=True).write(server.url)
    row = Study.load(folder).demands.iloc[0]
    assert row["level"] == pytest.approx(3, abs=0.001)
    assert row["sd"] < 0.05


def test_two_runs_on_one_study_both_keep_their_labels(folder):
    with ScriptedServer(lambda call: Answer(judge(call).body, delay=0.05)) as server:
        runs = [
            Run(folder, model=name, ledger=folder.parent / f"{name}.sqlite").ask(server.url) for name in ("m1", "m2")
        ]
        writers = [threading.Thread(target=one.write, args=(folder,)) for one in runs]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
    assert Study.load(folder).demands["annotator"].value_counts().to_dict() == {"m1": 12, "m2": 12}


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_table_keeps_its_form(tmp_path, form):
    folder = tmp_path / "s"
    folder.mkdir()
    frame = pd.DataFrame({"item_id": [f"i__{n}" for n in range(6)], "text": [f"Task {n}: A or B." for n in range(6)]})
    levels = pd.DataFrame({"item_id": ["i__0"], "rubric": "AA", "annotator": "me", "level": 3.0})
    for name, table in (("items", frame), ("demands", levels)):
        {
            "csv": lambda path, table=table: table.to_csv(path, index=False),
            "jsonl": lambda path, table=table: table.to_json(path, orient="records", lines=True),
            "parquet": lambda path, table=table: table.to_parquet(path, index=False),
        }[form](folder / f"{name}.{form}")
    with ScriptedServer(judge) as server:
        Run(folder).write(server.url)
    assert not list(folder.glob("demands.*"))[1:]
    demands = Study.load(folder).demands.astype({"annotator": str})
    assert demands["annotator"].value_counts().to_dict() == {"m": 12, "me": 1}


def test_labels_of_another_version_are_refused_before_anything_is_asked(folder, rubrics):
    with ScriptedServer(judge) as server:
        annotate(folder, "openai:m", rubrics=rubrics, base_url=server.url)
        asked = len(server.calls)
        (rubrics / "AA.txt").write_text((rubrics / "AA.txt").read_text("utf-8") + "More.\n", "utf-8")
        with pytest.raises(InputError, match="another version of AA"):
            annotate(folder, "openai:m", rubrics=rubrics, base_url=server.url)
        assert len(server.calls) == asked


def test_a_place_that_takes_no_ledger_is_refused_before_anything_is_asked(folder, rubrics):
    with ScriptedServer(judge) as server:
        for place, kind in ((folder, InputError), (folder / "items.parquet" / "l", OutputError)):
            with pytest.raises(kind):
                annotate(folder, "openai:m", rubrics=rubrics, base_url=server.url, ledger=place)
        assert not server.calls


def test_texts_become_labels_from_a_file_a_frame_or_a_list(tmp_path, rubrics, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    texts = ["Add 2 and 3.", "Name a river."]
    frame = pd.DataFrame({"item_id": ["a", "b"], "text": texts})
    frame.to_json(tmp_path / "new.jsonl", orient="records", lines=True)
    frame.to_csv(tmp_path / "new.csv", index=False)
    with ScriptedServer(judge) as server:
        options = ("--annotator", "openai:m", "--rubrics", rubrics, "--base-url", server.url, "--json")
        assert run("annotate", "new.jsonl", *options).exit_code == 2, "--out is missing"
        for _ in range(2):
            report = json.loads(run("annotate", "new.jsonl", *options, "--out", "made").stdout)
            assert report["labels"] == 4
        assert report["cached"] == 4
        assert json.loads(run("annotate", "new.csv", *options, "--out", "other", "--plan").stdout)["items"] == 2
        assert not (tmp_path / "other").exists()
        frame.assign(text="x").to_csv(tmp_path / "new.csv", index=False)
        with pytest.raises(OutputError, match="other items"):
            run("annotate", "new.csv", *options, "--out", "made")
        given = {"rubrics": rubrics, "base_url": server.url}
        for items in (frame, texts):
            made = annotate(items, "openai:m", **given)
            assert made.rows["level"].tolist() == [level_of(code, text) for code in ("AA", "BB") for text in texts]
    assert len(made.added_to(Study.of(items=frame)).demands) == 4
    assert "4 labels" in str(made)


INTERRUPTED = """
import sys
from capscope.cli import main
sys.argv = ["capscope", "annotate", *sys.argv[1:]]
main()
"""


def heed_interrupts() -> None:
    """A shell starts background jobs with interrupts ignored, which a child would inherit."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interruption_is_one_line_that_says_what_is_kept(tmp_path, rubrics):
    folder = small_study(tmp_path / "s", 60)
    environment = {**os.environ, "OPENAI_API_KEY": KEY, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with ScriptedServer(lambda call: Answer(judge(call).body, delay=0.2)) as server:
        options = ["--annotator", "openai:m", "--rubrics", str(rubrics), "--base-url", server.url]
        command = [sys.executable, "-c", INTERRUPTED, str(folder), *options]
        with subprocess.Popen(
            command, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
        ) as process:
            while len(server.calls) < 20:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=60)
    kept = len(answered_keys(folder / LEDGER_NAME))
    assert process.returncode == 130
    assert kept >= 10
    assert told.strip() == (
        f"interrupted: {kept} replies are kept in {folder / LEDGER_NAME}; run the same command again to go on"
    )


@pytest.fixture(scope="module")
def rated():
    """A study of three kinds of text, the level of which follows the kind; the first 60 of 90 items are rated."""
    kinds = ["Sum the numbers in this list", "Name the animal on this picture", "Prove the lemma about these groups"]
    texts = [f"{kinds[n % 3]}, please, case {n}." for n in range(90)]
    items = pd.DataFrame({"item_id": [f"i{n:02d}" for n in range(90)], "text": texts})
    rows = [(f"i{n:02d}", code, "ann", float(n % 3) * 2) for code in ("AA", "BB") for n in range(60)]
    return Study.of(items, demands=pd.DataFrame(rows, columns=["item_id", "rubric", "annotator", "level"]))


def rate(study, selection=None, **settings):
    chosen = AnnotatorSettings(reference="ann", embedder="tfidf", **settings)
    return LocalAnnotator(chosen).run(study, selection or Selection())


def test_local_labels_need_no_model_of_sentences_and_are_the_same_for_any_workers(rated, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    one, two = rate(rated), rate(rated, workers=2)
    assert one.report.expected.qwk > 0.9
    assert len(one.rows) > 40
    pd.testing.assert_frame_equal(one.rows, two.rows, check_exact=True)
    assert one.report == two.report


def test_levels_that_do_not_vary_teach_nothing_and_say_so(rated):
    constant = Study.of(rated.items, demands=rated.demands.assign(level=3.0))
    outcome = rate(constant)
    assert outcome.failed
    assert "the levels of ann do not vary" in outcome.report.as_text()


def test_a_local_selection_is_obeyed_and_a_plan_is_only_a_plan(rated):
    chosen = rate(rated, Selection(only=("BB",), limit=70)).rows
    assert set(chosen["rubric"]) == {"BB"}
    assert chosen["item_id"].max() < "i70"
    plan = LocalAnnotator(AnnotatorSettings(reference="ann", embedder="tfidf")).plan(rated, Selection(limit=70))
    assert (plan.items, plan.cells, plan.to_ask, plan.usd) == (10, 20, 0, 0.0)
    with pytest.raises(InputError, match="has not rated QLl"):
        rate(rated, Selection(only=("QLl",)))


def test_a_batch_whose_file_arrives_cut_is_fetched_again_without_paying(folder):
    script = BatchScript(judge)
    with ScriptedServer(script) as server:
        batch = Run(folder, BatchAnnotator)
        batch.ask(server.url)
        script.finish("batch-0")
        name = script.batches["batch-0"]["output_file_id"]
        whole = script.files[name]
        script.files[name] = whole[: int(len(whole) * 0.7)]
        cut = batch.ask(server.url, batch="collect").report
        assert cut.fetched.pending == 1
        assert "cut" in cut.as_text()
        assert 0 < cut.report.labels < 12
        script.files[name] = whole
        again = batch.ask(server.url, batch="collect").report
        assert (again.report.labels, again.fetched.pending) == (12, 0)
        assert batch.ask(server.url).report.requests == 0


def test_a_row_that_cannot_be_read_is_its_questions_failure(folder):
    script = BatchScript(judge)
    with ScriptedServer(script) as server:
        batch = Run(folder, BatchAnnotator)
        batch.ask(server.url)
        script.finish("batch-0")
        name = script.batches["batch-0"]["output_file_id"]
        lines = script.files[name].splitlines()
        script.files[name] = "\n".join(["[1]", *lines[1:]]) + "\n"
        report = batch.ask(server.url, batch="collect").report
    assert (report.report.labels, report.report.failed) == (11, 1)


def test_a_batch_keeps_to_the_limit_at_the_largest_price(folder):
    script = BatchScript(judge)
    with ScriptedServer(script) as server:
        batch = Run(folder, BatchAnnotator, prices=PRICES, max_usd=0.005)
        outcome = batch.ask(server.url)
    assert 0 < outcome.report.requests < 5
    with pytest.raises(BudgetReached, match="questions are sent"):
        outcome.write(folder)


@pytest.mark.slow
def test_two_processes_on_one_ledger_ask_every_question_once(tmp_path, rubrics, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    folders = [small_study(tmp_path / name) for name in ("one", "two")]
    with ScriptedServer(judge) as server:
        options = ("--annotator", "openai:m", "--rubrics", str(rubrics), "--base-url", server.url)
        shared = ("--ledger", str(tmp_path / "shared.sqlite"))
        command = [sys.executable, "-m", "capscope", "annotate"]
        runs = [subprocess.Popen([*command, str(folder), *options, *shared]) for folder in folders]
        assert [run.wait(300) for run in runs] == [0, 0]
    asked = [call.raw for call in server.calls if not is_probe(call)]
    assert len(asked) == len(set(asked)) == 12
    assert all(len(Study.load(folder).demands) == 12 for folder in folders)
