"""``capscope profile``, ``compare`` and ``explain``."""

from pathlib import Path
from typing import Annotated

import typer

from capscope.cli.options import Annotator, AsJson, FitFolder, Force, IdleSeed, Level, Seed, StudyFolder
from capscope.cli.output import emit

BY_HELP = "Split agents' abilities and print the effects of this part: scaffold, effort, model."


def profile(
    fit: FitFolder,
    model: Annotated[str | None, typer.Option(help="One model only.")] = None,
    study: Annotated[
        Path | None, typer.Option("--study", help="Study of the fit: scores by benchmark, names of directions.")
    ] = None,
    by: Annotated[str | None, typer.Option("--by", help=BY_HELP)] = None,
    level: Level = 0.9,
    seed: IdleSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Print ability profiles with intervals. Example: capscope profile FIT --model GPT-4o."""
    from capscope.profiles import profile as profile_of

    if by is not None:
        from capscope.profiles import part_effects  # it loads torch

        parts = part_effects(fit, by, level=level, seed=seed)
        emit(parts.as_dict(), as_json, parts.as_text())
        return
    result = profile_of(fit, model, level=level, study=study)
    emit(result.as_dict(), as_json, result.as_text())


def compare(
    source: Annotated[Path, typer.Argument(metavar="STUDY", help="Study folder, or a table of judgements.")],
    models: Annotated[list[str] | None, typer.Argument(metavar="[A B]", help="Two models; without, all.")] = None,
    level: Level = 0.9,
    runs: Annotated[
        list[int] | None, typer.Option("--k", min=1, help="Runs of pass^k and pass@k, by default 2, 4, 8; repeatable.")
    ] = None,
    by: Annotated[str | None, typer.Option("--by", help="A and B are values of this facet; models held fixed.")] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Compare two models item by item, or rank all models over a suite.

    Pairs are corrected for their number; repeated runs give pass^k, flaky items, and flips beyond chance.
    A file with columns model_a, model_b and winner (a, b, tie) is ranked by Bradley and Terry.

    Example: capscope compare STUDY GPT-4o Llama-3-70B
    """
    from capscope.profiles import DEFAULT_RUNS
    from capscope.profiles import compare as compare_models_of

    result = compare_models_of(source, *(models or []), seed=seed, level=level, runs=runs or DEFAULT_RUNS, by=by)
    emit(result.as_dict(), as_json, result.as_text())


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
    contamination: Annotated[
        bool,
        typer.Option("--contamination", help="Also test models for leaked items; --against names a control."),
    ] = False,
    cutoffs: Annotated[
        Path | None, typer.Option("--cutoffs", help="Table with columns model, cutoff; else models.csv of the study.")
    ] = None,
    exposure: Annotated[
        list[str] | None, typer.Option("--exposure", help="Column of items: how exposed each is; may be repeated.")
    ] = None,
    families: Annotated[
        str | None, typer.Option("--families", help="Table with columns model, family, or names to guess; for leaks.")
    ] = None,
    alarm_rate: Annotated[float, typer.Option(help="Chance that a study without leaks raises an alarm.")] = 0.05,
    out: Annotated[Path | None, typer.Option("--out", help="File for the audit: .csv, .parquet or .json.")] = None,
    force: Force = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Print what a benchmark demands, why items are hard, which are odd.

    Example: capscope explain STUDY --benchmark BBH --claims QLl,KNn --audit --out odd.csv
    """
    from capscope.data import Study
    from capscope.profiles import (
        AuditSettings,
        ContaminationSettings,
        ExplainSettings,
        explain_benchmark,
        refuse_table_file,
        write_findings,
    )

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
    leaks = ContaminationSettings(
        rate=alarm_rate,
        level=level,
        benchmark=benchmark,
        against=against,
        exposure=tuple(exposure or ()),
        cutoffs=cutoffs,
        families=families,
        seed=seed,
    )
    wanted = contamination or bool(exposure) or cutoffs is not None
    explanation = explain_benchmark(Study.load(study), settings, looked, leaks if wanted else None, study)
    if out is not None and explanation.audit is not None:
        write_findings(explanation.audit.table, out, force=force)
    emit(explanation.as_dict(), as_json, explanation.as_text())
