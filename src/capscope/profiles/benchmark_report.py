"""Everything `capscope explain` says of a benchmark: what it demands and measures, and what is odd about its items."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from capscope.data import Study
from capscope.errors import OutputError
from capscope.profiles.audit import Audit, AuditSettings, audit_study
from capscope.profiles.demand import of_benchmark
from capscope.profiles.explanation import ExplainSettings, Explanation, explain
from capscope.profiles.explanation_text import explanation_dict, explanation_text, lines

MOST_OF_A_KIND = 8
"""Findings of a kind that are printed; all are in the file."""
SUFFIXES = (".csv", ".parquet", ".json")


@dataclass(frozen=True)
class BenchmarkReport:
    """An explanation, an audit, or both."""

    explanation: Explanation | None
    """None where the study has no demands and only an audit was asked for."""
    audit: Audit | None
    """None where none was asked for."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; of the audit, what is listed."""
        result = {} if self.explanation is None else explanation_dict(self.explanation)
        if self.audit is not None:
            findings = self.audit.listed().to_dict("records")
            counts, notes = self.audit.counts(), list(self.audit.notes)
            result["audit"] = {"rate": self.audit.rate, "counts": counts, "findings": findings, "notes": notes}
        return result

    def as_text(self) -> str:
        """Return tables to read."""
        parts = [] if self.explanation is None else [explanation_text(self.explanation)]
        return "\n".join(parts + ([] if self.audit is None else _audit_lines(self.audit)))


def explain_benchmark(study: Study, settings: ExplainSettings, audit: AuditSettings | None = None) -> BenchmarkReport:
    """Explain a benchmark and, with settings for it, audit its items.

    Raises:
        InputError: The study lacks what is asked for.
    """
    only_audit = study.demands is None and audit is not None
    explanation = None if only_audit else explain(study, settings)
    if audit is None:
        return BenchmarkReport(explanation, None)
    chosen = of_benchmark(study, settings.benchmark) if settings.benchmark else study
    return BenchmarkReport(explanation, audit_study(chosen, audit))


def refuse_table_file(path: Path, *, force: bool = False) -> None:
    """Refuse a file for findings before anything is computed for it.

    Raises:
        OutputError: The file exists, or its kind is unknown.
    """
    if path.suffix not in SUFFIXES:
        raise OutputError(f"{path}: cannot write '{path.suffix}' files; name one of {', '.join(SUFFIXES)}")
    if path.exists() and not force:
        raise OutputError(f"{path}: already exists; choose another --out or add --force")


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write findings as CSV, Parquet or JSON, by the file's name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    elif path.suffix == ".json":
        table.to_json(path, orient="records", indent=2, force_ascii=False)
    else:
        table.to_csv(path, index=False)


def _audit_lines(audit: Audit) -> list[str]:
    head = f"\nAudit: about {audit.rate:.0%} of what is listed of a kind is expected to be ordinary"
    parts = [head]
    listed = audit.listed()
    for kind, rows in listed.groupby("kind", sort=False):
        parts += [f"\n{kind}: {len(rows)}", lines(rows.drop(columns=["kind", "benchmark"]).head(MOST_OF_A_KIND))]
    if not len(listed):
        parts.append("nothing odd was found")
    return [*parts, *(f"note: {note}" for note in audit.notes)]
