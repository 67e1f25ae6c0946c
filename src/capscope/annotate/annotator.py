"""The language-model annotator: plan, ask, read, and write what was learnt into the study."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.annotate.agreement import low_spread, mostly_chance
from capscope.annotate.cells import Cell, Job, cells
from capscope.annotate.injection import Flag, flag_items
from capscope.annotate.judgements import Collected, collect
from capscope.annotate.labels import label_table, merge_labels, version_warnings, write_demands, write_options
from capscope.annotate.planning import Plan, plan_job
from capscope.data import Study
from capscope.endpoint import (
    Asker,
    Budget,
    ChatClient,
    EndpointSettings,
    Ledger,
    Prices,
    Question,
    RunLimits,
    Tally,
    answered_keys,
)
from capscope.errors import BudgetReached, EndpointError

LEDGER_NAME = "annotations.sqlite"
"""Name of the ledger in a study folder."""


@dataclass(frozen=True)
class AnnotationReport:
    """What a run did."""

    annotator: str
    """Name under which the labels are stored."""
    labels: int
    """Labels of this job that the study now holds."""
    asked: int
    """Questions answered in this run."""
    cached: int
    """Questions answered from the ledger."""
    unparsed: int
    """Labels that are missing because the reply held no level; their texts are in the ledger."""
    failed: int
    """Labels that are missing because no reply came."""
    open: int
    """Labels that are missing because their question was not asked."""
    usd: float
    """Cost of this run, where the price is known."""
    usage: dict[str, int]
    """Tokens of this run."""
    problems: dict[str, int]
    """Why questions failed or replies were unparsed, with counts."""
    flags: tuple[Flag, ...]
    """Items that speak to the annotator."""
    warnings: tuple[str, ...]
    """What makes the labels doubtful."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)

    def as_text(self) -> str:
        """Return lines to read."""
        missing = f"{self.unparsed} unparsed, {self.failed} failed, {self.open} not asked"
        made = f"{self.asked} questions asked, {self.cached} from the ledger"
        lines = [f"{self.annotator}: {self.labels} labels; {made}; {missing}"]
        lines += [f"cost ${self.usd:.4f}"] if self.usd else []
        lines += [f"{count} x {problem}" for problem, count in self.problems.items()]
        lines += [f"flagged: {flag.item_id} {flag.kind}: {flag.excerpt}" for flag in self.flags[:10]]
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


@dataclass(frozen=True)
class Annotation:
    """One annotation run over a study; nothing is asked before `run`."""

    study: Study
    """The study whose items are rated."""
    job: Job
    """What is asked; `make_job` makes it."""
    ledger: Path
    """Where replies are kept."""
    prices: Prices | None = None
    """None where unknown."""
    max_usd: float | None = None
    """Hard stop in US dollars."""

    def plan(self) -> Plan:
        """Return size and price of the run; nothing is asked or written."""
        known = answered_keys(self.ledger)
        flagged = Counter(flag.kind for flag in flag_items(self.job.items))
        without = len(self.study.require("items")) - len(self.job.items)
        return plan_job(self.job, without, known.__contains__, self.prices, dict(flagged))

    def run(
        self,
        settings: EndpointSettings,
        rng: np.random.Generator,
        only_failed: bool = False,
        progress: Callable[[Tally], None] | None = None,
    ) -> "AnnotationOutcome":
        """Ask what the ledger cannot answer, and read all replies.

        Args:
            settings: The endpoint.
            rng: Source of the chance in retry pauses.
            only_failed: Ask only questions that failed or whose reply was unparsed, the latter anew.
            progress: Called after every question.

        Raises:
            EndpointError: The endpoint refuses whatever is asked; replies so far are in the ledger.
        """
        with Ledger(self.ledger) as ledger:
            questions = self.failed(ledger) if only_failed else map(question, cells(self.job))
            tally = asyncio.run(self._ask(ledger, settings, rng, questions, progress))
            return AnnotationOutcome(self, collect(cells(self.job), ledger), tally)

    async def _ask(
        self,
        ledger: Ledger,
        settings: EndpointSettings,
        rng: np.random.Generator,
        questions: Iterator[Question],
        progress: Callable[[Tally], None] | None,
    ) -> Tally:
        sampling = self.job.sampling
        limits = RunLimits(prices=self.prices, budget=Budget(self.max_usd))
        async with ChatClient(settings, rng) as client:
            first = next(questions, None)
            if first is None:
                return Tally()
            rest = _chain(first, questions)
            return await Asker(client, ledger, sampling, limits).ask_all(rest, progress)

    def failed(self, ledger: Ledger) -> Iterator[Question]:
        """Yield the questions that failed or whose reply was unparsed; such a reply is set aside, text kept."""
        missing = {entry.key: entry.state for entry in collect(cells(self.job), ledger).unread}
        for cell in cells(self.job):
            state = missing.get(cell.key)
            if state == "unparsed":
                ledger.retire(cell.key)
            if state in ("unparsed", "failed"):
                yield question(cell)


@dataclass(frozen=True)
class AnnotationOutcome:
    """A run's labels, before they are written."""

    annotation: Annotation
    """The run."""
    collected: Collected
    """What the ledger says."""
    tally: Tally
    """What was asked."""

    def labels(self) -> pd.DataFrame:
        """Return the labels as rows of a demands table."""
        return label_table(self.collected.judgements, self.annotation.job.annotator)

    def write(self, folder: Path, replace: bool = False) -> AnnotationReport:
        """Write the labels into a study folder and say what was done.

        Args:
            folder: The study folder.
            replace: Drop this annotator's labels that were made with other versions of a rubric.

        Raises:
            InputError: The annotator already rated on another version of a rubric, and `replace` is not set.
            BudgetReached: The run was stopped by its limit; the labels so far are written.
        """
        labels, study = self.labels(), self.annotation.study
        warnings: tuple[str, ...] = self._warnings(labels)
        if len(labels):
            merged = merge_labels(study.demands, labels, str(folder), replace=replace)
            write_demands(folder, merged)
            warnings += version_warnings(merged)
        if self.annotation.job.rubrics.control:
            write_options(folder, study, self.collected.options)
        if self.tally.halted:
            raise EndpointError(f"{self.tally.halted} ({len(labels)} labels are written)")
        if self.tally.stopped:
            raise BudgetReached(
                f"stopped at ${self.tally.usd:.4f} of ${self.annotation.max_usd:g}; {len(labels)} labels are written,"
                f" {self.collected.count('open')} are open; run again with a larger --max-usd"
            )
        return self._report(labels, warnings)

    def _report(self, labels: pd.DataFrame, warnings: tuple[str, ...]) -> AnnotationReport:
        collected, tally = self.collected, self.tally
        problems = Counter(entry.problem for entry in collected.unread if entry.state != "open")
        return AnnotationReport(
            self.annotation.job.annotator,
            len(labels),
            tally.asked,
            tally.cached,
            collected.count("unparsed"),
            collected.count("failed"),
            collected.count("open"),
            tally.usd,
            asdict(tally.usage),
            dict(problems.most_common(10)),
            flag_items(self.annotation.job.items),
            warnings,
        )

    def _warnings(self, labels: pd.DataFrame) -> tuple[str, ...]:
        if labels.empty:
            return ("no reply held a level; look at the problems above, or try another model",)
        tables = labels.pivot_table(index="item_id", columns="rubric", values=["level", "sd"], dropna=False)
        levels, who = tables["level"], self.annotation.job.annotator
        dims, values = tuple(map(str, levels.columns)), levels.to_numpy(dtype=float)
        return low_spread(values, dims, who) + mostly_chance(values, tables["sd"].to_numpy(dtype=float), dims, who)


def question(cell: Cell) -> Question:
    """Return a cell's request under its key."""
    return Question(cell.key, cell.request)


def _chain(first: Question, rest: Iterator[Question]) -> Iterator[Question]:
    yield first
    yield from rest
