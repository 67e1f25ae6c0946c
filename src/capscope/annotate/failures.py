"""Causes of failed agent runs: the decisive step and demand of each failed transcript, judged by a language model."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from capscope.annotate.annotator import AnnotatorSettings, Progress, tally_reporter
from capscope.annotate.annotators import parse_annotator
from capscope.annotate.annotators.chat import ChatAnnotator, flag_items
from capscope.annotate.failure_questions import (
    FailureCause,
    FailureQuestion,
    ParsedCauses,
    failure_question,
    parse_causes,
    shown_transcript,
)
from capscope.annotate.failure_results import FailureReport, Failures, cause_tables, doubts
from capscope.annotate.planning import AnnotationPlan, add_up
from capscope.annotate.rubrics import RubricSet, load_rubrics
from capscope.annotate.running import as_rubrics, settings_of
from capscope.data.formats import Paths, Transcript, read_transcripts
from capscope.endpoint import ChatReply, Ledger, Question, answered_keys, refuse_place
from capscope.errors import InputError, counted

FAILED_BELOW = 0.5
"""Score under which a run counts as failed."""
STATES = ("open", "failed", "unparsed")
UNANSWERED = ("claimed", "batched", "failed")
"""States of a question in the ledger that has no reply."""


class FailureAnnotator:
    """Asks a language model for the causes of failed runs; replies are stored in a ledger."""

    def __init__(self, settings: AnnotatorSettings, rubrics: RubricSet, below: float = FAILED_BELOW) -> None:
        """Take the settings; nothing is asked before `run`.

        Args:
            settings: Settings of the ``openai`` annotator; `joint` and `logprobs` are not used.
            rubrics: The demands.
            below: Score under which a run counts as failed.

        Raises:
            InputError: The number of repeats is below 1, or there is a limit on spending and no price.
        """
        if settings.samples < 1:
            raise InputError(f"--samples {settings.samples}: ask each question at least once")
        self.chat = ChatAnnotator(settings)
        self.rubrics = rubrics.scales()
        self.below = below

    def failed(self, runs: Sequence[Transcript]) -> list[Transcript]:
        """Return the runs that are asked about: failed ones with messages of the agent.

        Args:
            runs: All runs; invalidated ones are left out.
        """
        return [run for run in runs if self._has_failed(run) and run.agent_step(len(run.steps)) is not None]

    def _has_failed(self, run: Transcript) -> bool:
        if run.end == "invalidated":
            return False
        return run.end == "error" if run.score is None else run.score < self.below

    def questions(self, failed: Sequence[Transcript]) -> Iterator[FailureQuestion]:
        """Yield the questions about failed runs, one for each run and repeat."""
        for place, run in enumerate(failed):
            for sample in range(self.chat.settings.samples):
                yield failure_question(place, run, self.rubrics, self.chat.sampling, sample)

    def plan(self, runs: Sequence[Transcript]) -> AnnotationPlan:
        """Return size and price of the run; nothing is asked or written."""
        failed = self.failed(runs)
        known = answered_keys(self.chat.ledger)
        named = ((failed[question.place].item_id, question.question()) for question in self.questions(failed))
        plan = add_up(self.chat.settings.model, len(failed), named, known.__contains__, self.chat.settings.prices)
        flags = flag_items((run.item_id, shown_transcript(run)) for run in failed)
        return replace(plan, flagged=dict(Counter(flag.kind for flag in flags)))

    def run(self, runs: Sequence[Transcript], progress: Progress | None = None) -> Failures:
        """Ask the questions without a reply in the ledger, and read all replies.

        Args:
            runs: Runs with their messages.
            progress: Called after every question.

        Raises:
            InputError: No run failed.
            OutputError: The ledger cannot be written.
        """
        failed = self.failed(runs)
        if not failed:
            raise InputError(f"none of {len(runs)} runs scored below {self.below:g}; there is no failure to explain")
        places: dict[str, int] = {}

        def draw() -> Iterator[Question]:
            for question in self.questions(failed):
                places[question.key] = question.place
                yield question.question()

        def unread(key: str, reply: ChatReply) -> str:
            return self._parsed(failed[places[key]], reply).problem

        with Ledger(self.chat.ledger) as ledger:
            if self.chat.settings.only_failed:
                self._retire_unread(failed, ledger)
            total = len(failed) * self.chat.settings.samples
            tally = asyncio.run(self.chat.ask(ledger, draw(), unread, tally_reporter(progress, total)))
            parsed, states = self._collected(failed, ledger)
        causes, judged = cause_tables(failed, parsed, self.chat.settings.model)
        report = FailureReport(
            annotator=self.chat.settings.model,
            runs=len(runs),
            failed_runs=len(failed),
            judged=len(judged),
            without_cause=len(judged) - len(causes[["model", "item_id", "run"]].drop_duplicates()),
            asked=tally.asked,
            cached=tally.cached,
            unparsed=states["unparsed"],
            failed=states["failed"],
            open=states["open"],
            usd=tally.usd,
            problems=dict(Counter({p: n for p, n in states.items() if p not in STATES}).most_common(10)),
            warnings=doubts(failed, self.chat.settings.samples),
        )
        stop = self.chat.stop_of(
            tally, f"{counted(len(judged), 'run', 'are')} judged, {counted(report.open, 'question', 'are')} open"
        )
        return Failures(causes, judged, report, stop)

    def _parsed(self, run: Transcript, reply: ChatReply) -> ParsedCauses:
        return parse_causes(reply.text, run, [rubric.code for rubric in self.rubrics], reply.finish_reason)

    def _retire_unread(self, failed: Sequence[Transcript], ledger: Ledger) -> None:
        """Set unreadable replies aside, so that their questions are asked again."""
        for question in self.questions(failed):
            entry = ledger.get(question.key)
            if entry is None or entry.state in UNANSWERED:
                continue
            if self._parsed(failed[question.place], entry.reply).problem:
                ledger.retire(question.key)

    def _collected(
        self, failed: Sequence[Transcript], ledger: Ledger
    ) -> tuple[dict[int, list[tuple[FailureCause, ...]]], Counter[str]]:
        """Return the causes by run, a tuple for each reply that can be read, and counts of states and problems."""
        parsed: dict[int, list[tuple[FailureCause, ...]]] = defaultdict(list)
        states: Counter[str] = Counter()
        for question in self.questions(failed):
            entry = ledger.get(question.key)
            if entry is None or entry.state in ("claimed", "batched"):
                states["open"] += 1
            elif entry.state == "failed":
                states.update(["failed", entry.reply.problem])
            else:
                read = self._parsed(failed[question.place], entry.reply)
                if read.problem:
                    states.update(["unparsed", read.problem])
                else:
                    parsed[question.place].append(read.causes)
        return parsed, states


def find_failures(  # noqa: PLR0913 - every setting is a keyword with a default
    runs: Paths | Sequence[Transcript],
    annotator: str,
    *,
    rubrics: RubricSet | Path | str = "agentic",
    only: Sequence[str] = (),
    below: float = FAILED_BELOW,
    scorer: str = "",
    samples: int = 1,
    base_url: str | None = None,
    concurrency: int = 8,
    timeout: float = 120.0,
    attempts: int = 6,
    temperature: float = 0.0,
    max_tokens: int = 1500,
    only_failed: bool = False,
    usd_in: float | None = None,
    usd_out: float | None = None,
    max_usd: float | None = None,
    max_usd_total: float | None = None,
    max_failures: int = 20,
    ledger: Path | str | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> Failures:
    """Ask a language model for the causes of failed agent runs: step, demand and confidence.

    Args:
        runs: Inspect logs (`.eval`, `.json`) or folders of them, or transcripts.
        annotator: ``openai:MODEL``.
        rubrics: The demands: a rubric set, a folder of CODE.txt files, or the name of a shipped set.
        only: Codes of the demands that are listed; all by default.
        below: Score under which a run counts as failed.
        scorer: Whose value is the score, where a log has several.
        samples: Repeats of each question; confidence is the mean over them.
        base_url: The endpoint; by default OPENAI_BASE_URL, else OpenAI.
        concurrency: Calls in flight at once.
        timeout: Seconds for one whole call.
        attempts: Calls made for one question before it counts as failed.
        temperature: Sampling temperature.
        max_tokens: Longest reply.
        only_failed: Ask questions again whose reply could not be read.
        usd_in: Price of a million tokens read, in US dollars.
        usd_out: Price of a million tokens written, in US dollars.
        max_usd: US dollars that this run may spend.
        max_usd_total: US dollars that all runs on the ledger may spend together.
        max_failures: Number of consecutive failures of one cause, or of unreadable first replies, that ends the run.
        ledger: File of replies; by default in the working folder.
        progress: Called while the run goes on.
        seed: Seed of the random retry pauses.

    Returns:
        The causes and a report.

    Raises:
        InputError: A log or a setting is wrong, or no run failed.
        EndpointError: The endpoint refuses; replies so far are kept.
        BudgetReached: The limit on spending is reached; replies so far are kept.
    """
    judge = failure_annotator(annotator, locals())
    outcome = judge.run(as_transcripts(runs, scorer), progress)
    if outcome.stop is not None:
        raise outcome.stop
    return outcome


def failure_annotator(annotator: str, given: Mapping[str, Any], *, for_plan: bool = False) -> FailureAnnotator:
    """Return the annotator of failures with a user's settings.

    Args:
        annotator: Name of the annotator, as on the command line.
        given: Settings by the names of `find_failures`.
        for_plan: No endpoint is needed, so that a plan takes no key.

    Raises:
        InputError: The annotator cannot read transcripts, the set has no such demand, or a setting is wrong.
        EndpointError: The address or the key is not valid.
    """
    entry, _ = parse_annotator(annotator)
    if entry.make is not ChatAnnotator:
        raise InputError(f"--annotator {annotator}: transcripts are judged by openai:MODEL only")
    settings = settings_of(annotator, asdict(AnnotatorSettings()) | dict(given), None, for_plan=for_plan)
    if not for_plan and settings.ledger is not None:
        refuse_place(settings.ledger)
    rubrics = as_rubrics(given["rubrics"]) or load_rubrics(Path("agentic"))
    return FailureAnnotator(settings, rubrics.reduced(tuple(given["only"])), given["below"])


def as_transcripts(runs: Paths | Sequence[Transcript], scorer: str = "") -> tuple[Transcript, ...]:
    """Return transcripts from themselves or from logs.

    Args:
        runs: Transcripts, or Inspect logs or folders of them.
        scorer: Whose value is the score, where a log has several.

    Raises:
        InputError: A log is wrong.
    """
    if isinstance(runs, Sequence) and not isinstance(runs, str):
        held = tuple(run for run in runs if isinstance(run, Transcript))
        if held and len(held) == len(runs):
            return held
        runs = [run for run in runs if not isinstance(run, Transcript)]
    return read_transcripts(runs, scorer)
