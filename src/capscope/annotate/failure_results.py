"""Results of a search for causes of failures: a table of causes, a report, and shares of demands."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from capscope.annotate.failure_questions import FailureCause, is_shortened
from capscope.data.formats import Transcript
from capscope.display import ArrowTables
from capscope.errors import CapscopeError, InputError, counted
from capscope.files import write_table

COLUMNS = ("model", "item_id", "run", "step", "rubric", "confidence", "agreement", "reason", "annotator")
"""Columns of the table of causes, after which the facets of the runs follow."""


@dataclass(frozen=True)
class FailureReport:
    """Report of a run over transcripts."""

    annotator: str
    """Name of the judge."""
    runs: int
    """Runs in the logs."""
    failed_runs: int
    """Runs that scored below the limit, or ended in an error without a score."""
    judged: int
    """Failed runs with at least one reply that can be read."""
    without_cause: int
    """Judged runs in which no demand was named."""
    asked: int
    """Questions answered in this run."""
    cached: int
    """Questions answered from the ledger."""
    unparsed: int
    """Replies that could not be read; their texts are in the ledger."""
    failed: int
    """Questions without a reply."""
    open: int
    """Questions that were not asked."""
    usd: float
    """Cost of this run, where the price is known."""
    problems: dict[str, int]
    """Why replies could not be read or did not come, with counts."""
    warnings: tuple[str, ...] = ()
    """Reasons to doubt the causes."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def as_text(self) -> str:
        """Return lines to read."""
        missing = f"{self.unparsed} unparsed, {self.failed} failed, {self.open} not asked"
        lines = [
            (
                f"{self.annotator}: {self.judged} of {counted(self.failed_runs, 'failed run')}"
                f" judged ({counted(self.runs, 'run')} in all)"
            ),
            f"{counted(self.asked, 'question')} asked, {self.cached} from the ledger; {missing}",
        ]
        lines += [f"cost ${self.usd:.4f}"] if self.usd else []
        lines += [f"{count} x {problem}" for problem, count in self.problems.items()]
        return "\n".join(lines + [f"warning: {warning}" for warning in self.warnings])


@dataclass(frozen=True)
class Failures(ArrowTables):
    """Likely causes of failed runs."""

    causes: pd.DataFrame = field(repr=False)
    """A row for each cause: `model`, `item_id`, `run`, `step`, `rubric`, `confidence` (mean over repeats of the stated
    probability), `agreement` (share of the repeats that name step and demand), `reason`, `annotator`, facets."""
    judged: pd.DataFrame = field(repr=False)
    """The failed runs with a reply: `model`, `item_id`, `run`, `steps`."""
    report: FailureReport
    """Report of the run."""
    stop: CapscopeError | None = None
    """Error that ended the run early."""

    def by_demand(self, by: str = "model") -> pd.DataFrame:
        """Return how failures divide among demands.

        Args:
            by: `model`, or a facet of the runs.

        Returns:
            A row for each value and demand: `runs` (failed runs judged), `share` (mean confidence over them) and
            `step` (mean place of the cause within a run, from 0 to 1). What the shares leave to 1 has no named cause.

        Raises:
            InputError: The runs have no such column.
        """
        if by not in self.judged:
            raise InputError(f"--by {by}: the runs have no such column; there are model and the facets of the logs")
        runs = self.judged.groupby(by, sort=True).size()
        length = self.judged.set_index(["model", "item_id", "run"])["steps"]
        causes = self.causes.join(length, on=["model", "item_id", "run"])
        causes["place"] = causes["step"] / causes["steps"] * causes["confidence"]
        sums = causes.groupby([by, "rubric"], sort=True)[["confidence", "place"]].sum().reset_index()
        sums["runs"] = sums[by].map(runs).astype(int)
        sums["share"] = sums["confidence"] / sums["runs"]
        sums["step"] = sums["place"] / sums["confidence"].where(sums["confidence"] > 0)
        return sums[[by, "rubric", "runs", "share", "step"]].sort_values([by, "share"], ascending=[True, False])

    def save(self, path: Path | str) -> Path:
        """Write the table of causes as CSV, Parquet or JSON lines, by the suffix."""
        return write_table(Path(path), self.causes)

    def __str__(self) -> str:
        """Return the report."""
        return self.report.as_text()

    def _repr_html_(self) -> str:
        """Show how failures divide among demands."""
        return self.by_demand().to_html(index=False)


def cause_tables(
    failed: Sequence[Transcript], replies: Mapping[int, Sequence[tuple[FailureCause, ...]]], annotator: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables of causes and of judged runs.

    Args:
        failed: The failed runs.
        replies: By place of a run, the causes that each of its replies names.
        annotator: Name of the judge.
    """
    causes: list[dict[str, object]] = []
    judged: list[dict[str, object]] = []
    for place, run in enumerate(failed):
        if place not in replies:
            continue
        who = {"model": run.model, "item_id": run.item_id, "run": run.run}
        judged.append({**who, "steps": len(run.steps), **run.facets})
        for cause, agreement in _pooled(replies[place]):
            what = {"step": cause.step, "rubric": cause.rubric, "confidence": cause.probability}
            more = {"agreement": agreement, "reason": cause.reason, "annotator": annotator}
            causes.append({**who, **what, **more, **run.facets})
    facets = tuple(dict.fromkeys(facet for run in failed for facet in run.facets))
    return (
        pd.DataFrame(causes, columns=[*COLUMNS, *facets]).astype({"step": int, "confidence": float}),
        pd.DataFrame(judged, columns=["model", "item_id", "run", "steps", *facets]),
    )


def _pooled(replies: Sequence[tuple[FailureCause, ...]]) -> list[tuple[FailureCause, float]]:
    """Return the mean of repeats, likeliest cause first, each with the share of the repeats that name it."""
    held: dict[tuple[int, str], list[FailureCause]] = {}
    for reply in replies:
        for cause in reply:
            held.setdefault((cause.step, cause.rubric), []).append(cause)
    count = len(replies)
    pooled = [
        (replace(named[0], probability=sum(cause.probability for cause in named) / count), len(named) / count)
        for named in held.values()
    ]
    return sorted(pooled, key=lambda pair: -pair[0].probability)


def doubts(failed: Sequence[Transcript], samples: int) -> tuple[str, ...]:
    """Return reasons to doubt the causes.

    Args:
        failed: The failed runs.
        samples: Repeats of each question.
    """
    cut = sum(map(is_shortened, failed))
    warnings = [f"{cut} of {len(failed)} transcripts are shown with parts of long steps left out"] if cut else []
    if samples == 1:
        warnings.append("confidence is what the model states in one reply; --samples 3 shows how far repeats agree")
    return tuple(warnings)
