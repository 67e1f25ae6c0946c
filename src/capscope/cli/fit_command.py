"""``capscope fit``."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capscope.cli.options import Annotator, AsJson, Force, Seed, StudyFolder
from capscope.cli.output import emit, progress_bar
from capscope.fit import ENGINES, MODELS, SCORE_MODELS

if TYPE_CHECKING:
    from capscope.fit import Cost, Fit

CHANCE_HELP = "Known chances of a guess: auto, use or ignore."
DIMS_HELP = f"Number of abilities of {', '.join(model.name for model in MODELS.values() if model.several)}."
MODEL_HELP = "; ".join(f"{model.name}: {model.help}" for model in MODELS.values()) + "."
ENGINE_HELP = "auto; " + "; ".join(f"{engine.name}: {engine.help}" for engine in ENGINES.values()) + "."
FACETS_HELP = "What makes subjects of one model: auto (scaffold, effort), ignore, or facets joined by commas."
RESPONSE_HELP = "What scores are. " + "; ".join(f"{score.name}: {score.help}" for score in SCORE_MODELS.values()) + "."


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
        return  # the first process speaks for all
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
