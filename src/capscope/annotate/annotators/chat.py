"""Annotator that asks a language model at a chat endpoint, and detection of items that address the annotator."""

import asyncio
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.annotate.annotator import (
    Annotation,
    AnnotatorEntry,
    AnnotatorSettings,
    Progress,
    Selection,
    tally_reporter,
)
from capscope.annotate.labels import label_table
from capscope.annotate.planning import AnnotationPlan, plan_job
from capscope.annotate.questions import RatingJob, RatingQuestion, make_job, rating_questions
from capscope.annotate.rater_agreement import low_spread, mostly_chance
from capscope.annotate.ratings import Collected, collect, unreadable
from capscope.annotate.rubrics import general_rubrics
from capscope.data import Study
from capscope.endpoint import (
    Asker,
    Budget,
    ChatClient,
    ChatReply,
    ChatRequest,
    EndpointSettings,
    Ledger,
    Question,
    RunLimits,
    Sampling,
    Tally,
    answered_keys,
)
from capscope.errors import BudgetReached, CapscopeError, EndpointError, InputError, counted

_RATED = r"(?:rubrics?|instructions?|scales?|ratings?|guidelines?|criteria|prompts?|system message|orders?)"
_THING = r"(?:task|item|question|problem|instance|prompt|one)"
_LEVEL = r"(?:level|rating|score|difficulty|demand)"
_THIS = rf"(?:this|the (?:above|following|present|given)) {_THING}"
_NUMBER = r"(?:\d|zero|one|two|three|four|five|highest|lowest|maximum|minimum)"

PATTERNS: dict[str, re.Pattern[str]] = {
    "overrides instructions": re.compile(
        rf"\b(?:ignore|disregard|forget|override|skip|bypass|do not (?:use|follow|apply)|don't (?:use|follow|apply))\b"
        rf"(?:\W+\w+){{0,5}}?\W+{_RATED}\b"
    ),
    "states its own level": re.compile(
        rf"\b{_THIS}\b(?:\W+\w+){{0,4}}?\W+{_LEVEL}\W+(?:of |is |= ?)?{_NUMBER}\b"
        rf"|\b{_LEVEL}\b (?:of|for) {_THIS} (?:is|must be|should be)\W+{_NUMBER}\b"
    ),
    "asks for a level": re.compile(
        rf"\b(?:rate|score|label|grade|classify|mark|assign|give|output|answer|reply|respond|return|say|write|choose|pick|report)\b"
        rf"(?:\W+\w+){{0,6}}?\W+{_LEVEL}\W+(?:of |is |to |as |= ?)?{_NUMBER}\b"
        rf"|\b(?:rate|score|grade|label) (?:this|it|the {_THING})\W+(?:\w+\W+){{0,3}}?{_NUMBER}(?:\W|$)"
    ),
    "writes the reply": re.compile(r"[\"']level[\"']\s*:\s*\"?\d|\bthe level is:\s*\d"),
    "addresses the annotator": re.compile(
        r"\b(?:dear|attention|note to|message (?:to|for)|instructions? (?:to|for)|hey|hello) (?:the )?"
        r"(?:annotators?|raters?|graders?|judges?|labell?ers?|assessors?|evaluators?|llm|ai|language model)\b"
        r"|\byou are (?:now )?(?:the |an? )?(?:annotator|rater|grader|judge|labell?er|assessor|evaluator)\b"
    ),
    "plays the system": re.compile(
        r"(?:<\|?(?:im_?start|system|assistant|endoftext)\|?>|\[/?(?:inst|system)\]|^\s*(?:system|assistant)\s*:)"
        r"|\bend of (?:the )?(?:task|item|data)\b",
        re.MULTILINE,
    ),
}
"""Patterns of suspicious phrases in folded text, by kind."""

HIDDEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
LOOK_ALIKES = str.maketrans("\u0430\u0435\u043e\u0440\u0441\u0456\u0443\u0445\u0455\u04cf\u2019\u2018", "aeopciyxsl''")


@dataclass(frozen=True)
class Flag:
    """A suspicious phrase in one item."""

    item_id: str
    """The item."""
    kind: str
    """Kind of the phrase: a key of `PATTERNS`."""
    excerpt: str
    """The phrase, folded."""


def find_injections(item_id: str, text: str) -> tuple[Flag, ...]:
    """Search one item for phrases that address the annotator (prompt injection).

    Case, hidden characters, look-alike letters and line breaks inside a phrase are ignored. Flags have false positives
    (items about prompt injection) and false negatives; the fence around an item protects the prompt in both cases.

    Args:
        item_id: Id of the item.
        text: Its text.

    Returns:
        A flag for each suspicious phrase.
    """
    folded = fold(text)
    flags: list[Flag] = []
    for kind, pattern in PATTERNS.items():
        match = pattern.search(folded)
        if match:
            flags.append(Flag(item_id, kind, " ".join(match[0].split())[:80]))
    return tuple(flags)


def flag_items(items: Iterable[tuple[str, str]]) -> tuple[Flag, ...]:
    """Search pairs of item id and text."""
    return tuple(flag for item_id, text in items for flag in find_injections(item_id, text))


def fold(text: str) -> str:
    """Normalise a text to the form in which the patterns are written."""
    plain = unicodedata.normalize("NFKC", HIDDEN.sub("", text)).lower().translate(LOOK_ALIKES)
    return re.sub(r"[*_`~]+", "", plain)


MOST_ALTERNATIVES = 20
"""Alternatives per token that are asked for with `--logprobs`."""


@dataclass(frozen=True)
class AnnotationReport:
    """What a run did."""

    annotator: str
    """Name under which the labels are stored."""
    labels: int
    """Number of labels of this job so far."""
    asked: int
    """Questions answered in this run."""
    cached: int
    """Questions answered from the ledger."""
    unparsed: int
    """Labels that are missing because the reply held no level; the replies' texts are in the ledger."""
    failed: int
    """Labels that are missing because no reply came."""
    open: int
    """Labels that are missing because their question was not asked."""
    usd: float
    """Cost of this run, where the price is known."""
    usage: dict[str, int]
    """Tokens of this run."""
    unmetered: int
    """Calls for which the endpoint stated no usage; an estimate stands in tokens and cost."""
    problems: dict[str, int]
    """Why questions failed or replies were unparsed, with counts."""
    flags: tuple[Flag, ...]
    """Items with text that addresses the annotator (possible prompt injection)."""
    warnings: tuple[str, ...]
    """Reasons to doubt the labels."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def as_text(self) -> str:
        """Return lines to read."""
        missing = f"{self.unparsed} unparsed, {self.failed} failed, {self.open} not asked"
        made = f"{counted(self.asked, 'question')} asked, {self.cached} from the ledger"
        lines = [f"{self.annotator}: {counted(self.labels, 'label')}; {made}; {missing}"]
        lines += [f"cost ${self.usd:.4f}"] if self.usd else []
        estimated = f"{counted(self.unmetered, 'call', 'state')} no usage; they count at the plan's estimate"
        lines += [estimated] if self.unmetered else []
        lines += [f"{count} x {problem}" for problem, count in self.problems.items()]
        lines += [f"flagged: {flag.item_id} {flag.kind}: {flag.excerpt}" for flag in self.flags[:10]]
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


class ChatAnnotator:
    """Asks a language model for each item and rubric; every reply is kept in a ledger and never paid twice."""

    def __init__(self, settings: AnnotatorSettings) -> None:
        """Take the settings; nothing is asked before `run`.

        Raises:
            InputError: There is a limit on spending and no price.
        """
        self.settings = settings
        self.sampling = Sampling(
            settings.model, settings.temperature, settings.max_tokens, MOST_ALTERNATIVES if settings.logprobs else 0
        )
        self.limits()

    def job(self, study: Study, selection: Selection) -> RatingJob:
        """Return the questions of a run; see `Annotator.plan` for the arguments.

        Raises:
            InputError: No selected item has a text, or the rubric set lacks a code.
        """
        rubrics = (selection.rubrics or general_rubrics()).reduced(selection.only)
        settings = self.settings
        job = make_job(
            study, rubrics, self.sampling, samples=settings.samples, joint=settings.joint, limit=selection.limit
        )
        job = job if selection.ids is None else job.only(selection.ids)
        return job if selection.shard is None else job.only(selection.shard.of(item_id for item_id, _ in job.items))

    def plan(self, study: Study, selection: Selection) -> AnnotationPlan:
        """Return size and price of the run; see `Annotator.plan`."""
        job = self.job(study, selection)
        flagged = Counter(flag.kind for flag in flag_items(job.items))
        without = len(study.require("items")) - len(job.items)
        known = answered_keys(self.ledger)
        return plan_job(job, without, known.__contains__, self.settings.prices, dict(flagged))

    def run(self, study: Study, selection: Selection, progress: Progress | None = None) -> Annotation:
        """Ask the questions without a reply in the ledger, and read all replies; see `Annotator.run`.

        Raises:
            OutputError: The ledger cannot be written.
        """
        job = self.job(study, selection)
        with Ledger(self.ledger) as ledger:
            tally = asyncio.run(self._ask(job, ledger, progress))
            return self.outcome(job, collect(rating_questions(job), ledger), tally)

    @property
    def ledger(self) -> Path:
        """Return the file in which replies are kept.

        Raises:
            InputError: None is named.
        """
        if self.settings.ledger is None:
            raise InputError(f"{self.settings.model}: replies need a place to be kept; name a file as the ledger")
        return self.settings.ledger

    @property
    def endpoint(self) -> EndpointSettings:
        """Return the endpoint of the settings, else that of the environment."""
        return self.settings.endpoint or EndpointSettings.from_environment()

    def limits(self, ledger: Ledger | None = None) -> RunLimits:
        """Return the limits of a run.

        Args:
            ledger: Where earlier runs, and others at the same time, keep what they spend.
        """
        spent = ledger.spent() if ledger is not None else 0.0
        budget = Budget.of_run(self.settings.max_usd, self.settings.max_usd_total, spent, ledger)
        return RunLimits(prices=self.settings.prices, budget=budget, max_failures=self.settings.max_failures)

    def wanted(self, job: RatingJob, ledger: Ledger) -> Iterator[RatingQuestion]:
        """Yield the questions of a run: all, or those that failed or could not be read.

        Args:
            job: Items, rubrics and sampling of the run.
            ledger: Where replies are kept.
        """
        return failed_questions(job, ledger) if self.settings.only_failed else rating_questions(job)

    async def _ask(self, job: RatingJob, ledger: Ledger, progress: Progress | None) -> Tally:
        drawn: dict[str, RatingQuestion] = {}

        def unread(key: str, reply: ChatReply) -> str:
            question = drawn.pop(key, None)
            return unreadable(question, reply) if question is not None else ""

        def draw() -> Iterator[Question]:
            for question in self.wanted(job, ledger):
                # The texts are not needed to read a reply.
                drawn[question.key] = replace(question, request=ChatRequest(()))
                yield question.question()

        return await self.ask(
            ledger, draw(), unread, tally_reporter(progress, sum(1 for _ in rating_questions(job)) if progress else 0)
        )

    async def ask(
        self,
        ledger: Ledger,
        questions: Iterable[Question],
        unread: Callable[[str, ChatReply], str],
        notify: Callable[[Tally], None] | None = None,
    ) -> Tally:
        """Ask the questions without a reply in the ledger, within the limits of the settings.

        Args:
            ledger: Where replies are kept.
            questions: What to ask.
            unread: Given a key and its reply, why the reply holds nothing of use; empty where it does.
            notify: Called with the state of the run after every question.
        """
        async with ChatClient(self.endpoint, np.random.default_rng(self.settings.seed)) as client:
            asker = Asker(client, ledger, self.sampling, self.limits(ledger), unread)
            return await asker.ask_all(questions, notify)

    def outcome(self, job: RatingJob, collected: Collected, tally: Tally) -> Annotation:
        """Return the labels and the report of a run.

        Args:
            job: Items, rubrics and sampling of the run.
            collected: Ratings that the replies hold.
            tally: Calls and costs of the run.
        """
        rows = label_table(collected.ratings, job.annotator)
        problems = Counter(entry.problem for entry in collected.unread if entry.state != "open")
        report = AnnotationReport(
            job.annotator,
            len(rows),
            tally.asked,
            tally.cached,
            collected.count("unparsed"),
            collected.count("failed"),
            collected.count("open"),
            tally.usd,
            asdict(tally.usage),
            tally.unmetered,
            dict(problems.most_common(10)),
            flag_items(job.items),
            quality_warnings(rows, job.annotator) + collected.warnings(job.sampling.top_logprobs > 0),
        )
        missing = report.unparsed + report.failed
        failed = rows.empty and not collected.options and missing > 0
        options = collected.options if job.rubrics.control else {}
        return Annotation(
            job.annotator,
            rows,
            report,
            options,
            self.stop_of(tally, f"{counted(len(rows), 'label', 'are')} written, {report.open} are open"),
            failed,
        )

    def stop_of(self, tally: Tally, kept: str) -> CapscopeError | None:
        """Return the error of a run that ended early, None for one that did not.

        Args:
            tally: How far the run came.
            kept: What is kept of it, for the message.
        """
        estimated = (
            f", {counted(tally.unmetered, 'call')} without a stated usage at the plan's estimate"
            if tally.unmetered
            else ""
        )
        if tally.halted:
            return EndpointError(f"{tally.halted} ({kept})")
        if not tally.stopped:
            return None
        limit = f"--max-usd {self.settings.max_usd:g}" if self.settings.max_usd is not None else ""
        total = f"--max-usd-total {self.settings.max_usd_total:g}" if self.settings.max_usd_total is not None else ""
        named = " and ".join(part for part in (limit, total) if part)
        return BudgetReached(
            f"stopped at ${tally.usd:.4f} of {named}{estimated}: the next question could cost more than is left"
            f" (--max-tokens {self.settings.max_tokens}); {kept}; run again with a larger limit"
        )


def failed_questions(job: RatingJob, ledger: Ledger) -> Iterator[RatingQuestion]:
    """Yield the questions that failed or whose reply was unparsed (it is retired); see `ChatAnnotator.wanted`."""
    missing = {entry.key: entry.state for entry in collect(rating_questions(job), ledger).unread}
    for question in rating_questions(job):
        state = missing.get(question.key)
        if state == "unparsed":
            ledger.retire(question.key)
        if state in ("unparsed", "failed"):
            yield question


def quality_warnings(rows: pd.DataFrame, who: str) -> tuple[str, ...]:
    """Warn of labels with little variation over items, or of none at all."""
    if rows.empty:
        return ("no reply held a level; look at the problems above, or try another model",)
    tables = rows.pivot_table(index="item_id", columns="rubric", values=["level", "sd"], dropna=False)
    levels = tables["level"]
    dims, values = tuple(map(str, levels.columns)), levels.to_numpy(dtype=float)
    return low_spread(values, dims, who) + mostly_chance(values, tables["sd"].to_numpy(dtype=float), dims, who)


ENDPOINT_SETTINGS = frozenset({"base_url", "concurrency", "timeout", "attempts", "ledger", "only_failed", "yes"})
QUESTION_SETTINGS = frozenset({"joint", "samples", "temperature", "max_tokens", "logprobs"})
MONEY_SETTINGS = frozenset({"usd_in", "usd_out", "max_usd", "max_usd_total", "max_failures"})
DISTIL_SETTINGS = frozenset({"distil", "embedder", "workers", "cluster"})

ENTRY = AnnotatorEntry(
    name="openai",
    help="a language model behind an OpenAI-compatible chat endpoint",
    make=ChatAnnotator,
    needs=("model", "endpoint"),
    takes=ENDPOINT_SETTINGS | QUESTION_SETTINGS | MONEY_SETTINGS | DISTIL_SETTINGS | {"shard"},
)
