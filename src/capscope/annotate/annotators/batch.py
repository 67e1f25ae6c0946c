"""Annotator that asks a language model through batch jobs: submit now, collect later, with the same ledger."""

import asyncio
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from capscope.annotate.annotator import Annotation, AnnotatorEntry, AnnotatorSettings, Progress, Selection
from capscope.annotate.annotators.chat import ENTRY as CHAT
from capscope.annotate.annotators.chat import AnnotationReport, ChatAnnotator
from capscope.annotate.labels import COLUMNS
from capscope.annotate.questions import RatingJob, rating_questions
from capscope.annotate.ratings import collect
from capscope.data import Study
from capscope.endpoint import (
    BatchBook,
    BatchClient,
    BatchStatus,
    Budget,
    Capability,
    ChatClient,
    CollectedBatches,
    Ledger,
    Question,
    Tally,
    Usage,
    find_capability,
    largest_tokens,
    probe_meter,
)
from capscope.errors import BudgetReached, InputError, counted
from capscope.files import locked

FOLDER_NAME = "batches"
"""Folder beside the ledger in which request files are kept."""
STEPS = ("submit", "status", "collect")


@dataclass(frozen=True)
class Submitted:
    """Report of submitted batches."""

    requests: int
    """Questions newly written into files."""
    batches: tuple[str, ...]
    """The endpoint's ids of the batches that were started."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def as_text(self) -> str:
        """Return one line to read."""
        return (
            f"{counted(self.requests, 'question')} written, {counted(len(self.batches), 'batch')}"
            f" started: {', '.join(self.batches)}"
        )


@dataclass(frozen=True)
class BatchStates:
    """States of the batches."""

    states: tuple[BatchStatus, ...]
    """One entry for each batch that is not collected."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"batches": [asdict(state) for state in self.states]}

    def as_text(self) -> str:
        """Return lines to read."""
        lines = [f"{state.batch_id or '-'} {state.state} {state.answered}/{state.requests}" for state in self.states]
        return "\n".join(lines) or "no batch is under way"


@dataclass(frozen=True)
class CollectedReport:
    """Report of collected batches and their labels."""

    report: AnnotationReport
    """The labels."""
    fetched: CollectedBatches
    """The batches."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**self.report.as_dict(), "fetched": asdict(self.fetched)}

    def as_text(self) -> str:
        """Return lines to read."""
        fetched = self.fetched
        counts = f"{counted(fetched.answered, 'reply')}, {fetched.failed} failed, {fetched.not_sent} not sent"
        return "\n".join(
            [f"{counts}, {counted(fetched.pending, 'batch')} pending", *fetched.problems, self.report.as_text()]
        )


class BatchAnnotator(ChatAnnotator):
    """Asks a language model through files of requests, at half the price where endpoints offer it."""

    def __init__(self, settings: AnnotatorSettings) -> None:
        """Take the settings.

        Raises:
            InputError: The step is unknown, or there is a limit on spending and no price.
        """
        if settings.batch not in STEPS:
            raise InputError(f"--batch {settings.batch}: use submit, status or collect")
        super().__init__(settings)

    def run(self, study: Study, selection: Selection, progress: Progress | None = None) -> Annotation:  # noqa: ARG002
        """Run one step: submit questions without a reply, return the states of batches, or collect finished ones.

        Args:
            study: A study with items.
            selection: Which items and rubrics to rate.
            progress: Called as the run goes on.

        Raises:
            EndpointError: The endpoint refuses; the same step can be repeated without loss.
        """
        job = self.job(study, selection)
        if self.settings.batch == "submit":
            return self.submit(job)
        return _without_labels(job, self.status()) if self.settings.batch == "status" else self.collect(job)

    def submit(self, job: RatingJob) -> Annotation:
        """Write every question without a reply into request files and start them as batches.

        Questions that could exceed the limit on spending stay out; the largest price of the others is set aside.
        """
        submitting = self.ledger.with_name(f"{self.ledger.name}.submit")
        with locked(submitting), Ledger(self.ledger) as ledger, self._client(ledger) as client:
            budget = self.limits(ledger).budget or Budget()
            capability = asyncio.run(self._capability(ledger, budget))
            if capability is None:
                return replace(_without_labels(job, Submitted(0, ())), stop=self._over(0))
            fitting = _Fitting(self, budget)
            questions = fitting.of(self.wanted(job, ledger), BatchBook(ledger))
            price = self.largest_usd if self.settings.prices is not None else lambda _: None
            written = client.write(
                questions, capability, self.sampling, largest_usd=price, on_recorded=fitting.give_back
            )
            sent = Submitted(written, tuple(client.submit()))
            stop = self._over(written) if fitting.full else None
            return replace(_without_labels(job, sent), stop=stop)

    def status(self) -> BatchStates:
        """Return the states of the ledger's batches."""
        with Ledger(self.ledger) as ledger, self._client(ledger) as client:
            return BatchStates(tuple(client.status()))

    def collect(self, job: RatingJob) -> Annotation:
        """Fetch finished batches and read all replies of the job."""
        with Ledger(self.ledger) as ledger, self._client(ledger) as client:
            fetched = client.collect(self.settings.prices)
            tally = Tally(asked=fetched.answered, failed=fetched.failed)
            outcome = self.outcome(job, collect(rating_questions(job), ledger), tally)
        report = outcome.report
        assert isinstance(report, AnnotationReport)
        return replace(outcome, report=CollectedReport(report, fetched), failed=outcome.failed and not fetched.pending)

    def largest_usd(self, question: Question) -> float:
        """Return the largest price of a question; 0 where prices are unknown."""
        if self.settings.prices is None:
            return 0.0
        return self.settings.prices.of(Usage(largest_tokens(question.request.messages), self.settings.max_tokens))

    def _over(self, written: int) -> BudgetReached:
        return BudgetReached(
            f"{counted(written, 'question', 'are')} sent; the next could exceed the limit on spending"
            f" (each is counted at --max-tokens {self.settings.max_tokens}); run again with a larger limit"
        )

    def _client(self, ledger: Ledger) -> BatchClient:
        return BatchClient(self.endpoint, BatchBook(ledger), self.ledger.parent / FOLDER_NAME)

    async def _capability(self, ledger: Ledger, budget: Budget) -> Capability | None:
        meter = probe_meter(self.sampling, self.settings.prices, budget)
        async with ChatClient(self.endpoint, np.random.default_rng(self.settings.seed)) as client:
            return await find_capability(client, ledger, self.sampling, meter)


class _Fitting:
    """Filter that passes questions while the sum of their largest prices is within the limits of the run and ledger.

    Under a limit that processes share, the price of a question is set aside in the ledger until the batch that holds it
    is recorded there.
    """

    def __init__(self, annotator: BatchAnnotator, budget: Budget) -> None:
        self._annotator, self._account = annotator, budget.account
        self._left = budget.limit - budget.usd if budget.limit is not None else math.inf
        self.full = False

    def of(self, questions: Iterator[Any], book: BatchBook) -> Iterator[Question]:
        for rating in questions:
            question = rating.question()
            if not book.wanted(question.key):
                continue
            usd = self._annotator.largest_usd(question)
            self._left -= usd
            if self._left < 0 or (self._account is not None and not self._account.reserve(usd)):
                self.full = True
                return
            yield question

    def give_back(self, usd: float) -> None:
        """Release what was set aside for questions that are recorded."""
        if self._account is not None:
            self._account.settle(usd, 0.0)


def _without_labels(job: RatingJob, report: Submitted | BatchStates) -> Annotation:
    return Annotation(job.annotator, pd.DataFrame(columns=list(COLUMNS)), report)


ENTRY = AnnotatorEntry(
    name="batch",
    help="the same language model through batch jobs, at half the price where endpoints offer it",
    make=BatchAnnotator,
    needs=("model", "endpoint"),
    takes=(CHAT.takes | {"batch"}) - {"shard"},
)
