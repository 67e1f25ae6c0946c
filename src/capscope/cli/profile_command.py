"""``capscope fit``, ``profile``, ``compare``, ``explain``, and pages about fits: ``report``, ``view``, ``demo``."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capscope.cli.options import (
    Annotator,
    AsJson,
    FitFolder,
    Force,
    IdleSeed,
    Level,
    PageAgainst,
    PageItems,
    PageModel,
    PageStudy,
    Seed,
    StudyFolder,
)
from capscope.cli.output import emit, progress_bar
from capscope.errors import counted
from capscope.fit import ENGINES, MODELS, SCORE_MODELS

Contaminated = Annotated[
    bool, typer.Option("--contamination", help="Also test models for leaked items; --against names a control.")
]
CutoffTable = Annotated[
    Path | None, typer.Option("--cutoffs", help="Table with columns model, cutoff; else models.csv of the study.")
]
ExposureColumns = Annotated[
    list[str] | None, typer.Option("--exposure", help="Column of items: how exposed each is; may be repeated.")
]
LeakFamilies = Annotated[
    str | None, typer.Option("--families", help="Table with columns model, family, or names to guess; for leaks.")
]
BY_HELP = "Split agents' abilities and print the effects of this part: scaffold, effort, model."


CHANCE_HELP = "Known chances of a guess: auto, use or ignore."

DIMS_HELP = f"Number of abilities of {', '.join(model.name for model in MODELS.values() if model.several)}."

MODEL_HELP = "; ".join(f"{model.name}: {model.help}" for model in MODELS.values()) + "."

ENGINE_HELP = "auto; " + "; ".join(f"{engine.name}: {engine.help}" for engine in ENGINES.values()) + "."

FACETS_HELP = "What makes subjects of one model: auto (scaffold, effort), ignore, or facets joined by commas."

RESPONSE_HELP = "What scores are. " + "; ".join(f"{score.name}: {score.help}" for score in SCORE_MODELS.values()) + "."


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
    contamination: Contaminated = False,
    cutoffs: CutoffTable = None,
    exposure: ExposureColumns = None,
    families: LeakFamilies = None,
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


def report(
    fit: FitFolder,
    out: Annotated[
        Path | None, typer.Option("--out", help="HTML file to write; with --open a temporary one by default.")
    ] = None,
    items: PageItems = None,
    study: PageStudy = None,
    model: PageModel = None,
    against: PageAgainst = None,
    card: Annotated[
        Path | None, typer.Option(help="JSON file for a card: what was measured, on what, how, and how well.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who measured, for the card.")] = None,
    claim: Annotated[list[str] | None, typer.Option(help="What it is to support, for the card; may repeat.")] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write one self-contained page about a fit, or open it.

    Example: capscope report FIT --study STUDY --out report.html --open
    """
    from capscope.files import refuse_file
    from capscope.report import PageSettings, open_page, report_fit, view_fit, write_card

    if card is not None:
        refuse_file(card, force=force, option="--card")
    settings = PageSettings(items=items, study=study, model=model, against=against, seed=seed)
    if out is None and not show and card is None:
        raise typer.BadParameter("give --out FILE.html to keep the page, --open to look at it, or --card FILE.json")
    if card is not None:
        write_card(fit, card, study, by=by, claims=claim or (), force=force)
    if out is None and not show:
        emit({"card": str(card)}, as_json, str(card))
        return
    page = view_fit(fit, settings, browser=False) if out is None else report_fit(fit, out, settings, force=force)
    if show:
        open_page(page)
    result = {"report": str(page)} if card is None else {"report": str(page), "card": str(card)}
    emit(result, as_json, "\n".join(result.values()))


def view(
    fit: FitFolder,
    items: PageItems = None,
    study: PageStudy = None,
    model: PageModel = None,
    against: PageAgainst = None,
    browser: Annotated[bool, typer.Option(help="Open the page, or only write it.")] = True,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Open the page about a fit in the browser: the earlier name of 'capscope report FIT --open'."""
    from capscope.report import PageSettings, view_fit

    settings = PageSettings(items=items, study=study, model=model, against=against, seed=seed)
    page = view_fit(fit, settings, browser)
    emit({"report": str(page)}, as_json, str(page))


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("capscope-demo"),
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Profile 15 published models and predict 54 questions; no key.

    Needs no network either, and ends with the path of a page. Example: capscope demo
    """
    with progress_bar("profiling 15 models") as progress:
        from capscope.report import run_demo

        result = run_demo(out, seed, progress)
    lines = [
        f"{counted(result.models, 'model')} profiled on {counted(result.dims, 'dimension')} in {result.seconds:.0f} s",
        f"abilities and chances: {out / 'abilities.csv'}, {out / 'chances.csv'}",
        result.report,
    ]
    emit(asdict(result), as_json, "\n".join(lines))


if TYPE_CHECKING:
    from capscope.fit import Cost, Fit


def fit(
    study: StudyFolder,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write the fit to.")] = None,
    model: Annotated[str, typer.Option(help=MODEL_HELP)] = "auto",
    dims: Annotated[int, typer.Option(help=DIMS_HELP)] = 1,
    engine: Annotated[str, typer.Option(help=ENGINE_HELP)] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    holdout: Annotated[float | None, typer.Option(help="Share of the answers to hold out and score.")] = None,
    chance: Annotated[str, typer.Option(help=CHANCE_HELP)] = "auto",
    memory: Annotated[float, typer.Option(help="MB for the answers; more of them stay on disk.")] = 4096.0,
    response: Annotated[str, typer.Option(help=RESPONSE_HELP)] = "auto",
    facets: Annotated[str, typer.Option(help=FACETS_HELP)] = "auto",
    annotator: Annotator = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Fit abilities and items to a study's responses. Example: capscope fit STUDY --model 2pl --out FIT."""
    from capscope.data import Study
    from capscope.files import MANIFEST, TENSORS, refuse_folder
    from capscope.fit import Meter, StudyFitSettings, all_ranks, fit_folder, fit_holdout

    if out is None and holdout is None:
        raise typer.BadParameter("give --out FIT to keep the fit, or --holdout SHARE to score it")
    if out is not None:
        refuse_folder(out, force=force, what="fit", holds=(MANIFEST, TENSORS).__contains__)
    settings = StudyFitSettings(
        model=model,
        dims=dims,
        engine=engine,
        device=device,
        annotator=annotator,
        seed=seed,
        chance=chance,
        memory_mb=memory,
        response=response,
        facets=facets,
    )
    result: dict[str, object] = {}
    lines: list[str] = []
    with all_ranks(device) as ranks:
        if holdout is not None:
            result |= fit_holdout(Study.load(study), settings, holdout).as_dict()
        if out is not None:
            meter = Meter()
            with progress_bar(f"fitting {model}") as progress:
                fitted = fit_folder(study, settings, progress)
            if ranks is None or ranks.rank == 0:
                fitted.save(out, force=force)
            result |= _summary(fitted, out, meter.read())
            lines += [f"{fitted.why}.", *(f"note: {line}" for line in fitted.remarks), ""]
    if ranks is not None and ranks.rank:
        return  # the first process prints for all
    lines += [f"{name:<14} {_shown(value)}" for name, value in result.items() if name not in ("why", "advice")]
    if out is not None:
        lines.append(f"Read it by 'capscope profile {out}' or 'capscope report {out} --open'.")
    emit(result, as_json, "\n".join(lines))


def _summary(fitted: "Fit[Any]", out: Path, cost: "Cost") -> dict[str, object]:
    settings = fitted.settings
    return {
        "fit": str(out),
        "model": fitted.model_name if settings is None else settings.model,
        "taken": fitted.model_name,
        "why": fitted.why,
        "n_models": len(fitted.models),
        "status": fitted.status.code,
        "reliability": fitted.reliability(),
        "advice": list(fitted.status.advice),
        **asdict(cost),
    }


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {share:.2f}" for name, share in value.items())  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "-"  # pyright: ignore[reportUnknownArgumentType]
    return f"{value:.4f}" if isinstance(value, float) else str(value)
