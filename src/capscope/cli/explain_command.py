"""``capscope explain``."""

from pathlib import Path
from typing import Annotated

import typer

from capscope.cli.options import Annotator, AsJson, Force, Level, Seed, StudyFolder
from capscope.cli.output import emit


def explain(
    study: StudyFolder,
    benchmark: Annotated[str | None, typer.Option(help="One benchmark only.")] = None,
    claims: Annotated[str, typer.Option(help="Dimensions it says it measures, comma separated: QLl,KNn.")] = "",
    against: Annotated[str | None, typer.Option(help="Benchmark of the study to compare its demands with.")] = None,
    embedder: Annotated[str, typer.Option(help="Embedding model for what text adds; by default its words.")] = "",
    annotator: Annotator = None,
    level: Level = 0.9,
    audit: Annotated[bool, typer.Option("--audit", help="Also look for odd items and models out of step.")] = False,
    false_rate: Annotated[float, typer.Option(help="Share of false ones to expect in what the audit lists.")] = 0.2,
    out: Annotated[Path | None, typer.Option("--out", help="File for the audit: .csv, .parquet or .json.")] = None,
    force: Force = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Print what a benchmark demands, why items are hard, which are odd.

    Example: capscope explain STUDY --benchmark BBH --claims QLl,KNn --audit --out odd.csv
    """
    from capscope.data import Study
    from capscope.profiles import AuditSettings, ExplainSettings, explain_benchmark, refuse_table_file, write_findings

    if out is not None:
        refuse_table_file(out, force=force)
    names = tuple(name.strip() for name in claims.split(",") if name.strip())
    settings = ExplainSettings(
        benchmark=benchmark,
        against=against,
        claims=names,
        annotator=annotator,
        embedder=embedder,
        level=level,
        seed=seed,
    )
    looked = AuditSettings(rate=false_rate, seed=seed) if audit or out is not None else None
    found = explain_benchmark(Study.load(study), settings, looked)
    if out is not None and found.audit is not None:
        write_findings(found.audit.table, out, force=force)
    emit(found.as_dict(), as_json, found.as_text())
