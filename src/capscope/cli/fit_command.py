"""``capscope fit``."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capscope.cli.options import Annotator, AsJson, Force, Seed, StudyFolder
from capscope.cli.output import emit
from capscope.cli.progress import progress_bar
from capscope.errors import OutputError

if TYPE_CHECKING:
    from capscope.fit import AnyFit, Cost, StudyFitSettings


def fit(
    study: StudyFolder,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write the fit to.")] = None,
    model: Annotated[str, typer.Option(help="auto, rasch, 2pl, 3pl, 4pl, mirt (--dims), demand or curves.")] = "auto",
    dims: Annotated[int, typer.Option(help="Number of abilities of mirt, 3pl and 4pl.")] = 1,
    engine: Annotated[str, typer.Option(help="auto, variational, mml, svi or nuts; curves: laplace or nuts.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    holdout: Annotated[float | None, typer.Option(help="Share of the answers to hold out and score.")] = None,
    chance: Annotated[str, typer.Option(help="Known chances of a guess: auto, use or ignore.")] = "auto",
    memory: Annotated[float, typer.Option(help="MB for the answers; more of them stay on disk.")] = 4096.0,
    response: Annotated[
        str, typer.Option(help="What scores are: auto, graded (ordered grades) or continuous.")
    ] = "auto",
    annotator: Annotator = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Fit abilities and items to a study's responses. Example: capscope fit STUDY --model 2pl --out FIT."""
    from capscope.data import Study
    from capscope.fit import Meter, StudyFitSettings, fit_folder, fit_holdout, save_fit

    if out is None and holdout is None:
        raise typer.BadParameter("give --out FIT to keep the fit, or --holdout SHARE to score it")
    if out is not None and out.exists() and not force:
        raise OutputError(f"{out}: already exists; choose another --out or add --force")
    settings = StudyFitSettings(model, dims, engine, device, annotator, seed, chance, memory, response)
    result: dict[str, object] = {}
    if holdout is not None:
        result |= fit_holdout(Study.load(study), settings, holdout).as_dict()
    if out is not None:
        meter = Meter()
        with progress_bar(f"fitting {model}") as progress:
            fitted = fit_folder(study, settings, progress)
        save_fit(fitted, out)
        result |= _summary(fitted, settings, out, meter.read())
    emit(result, as_json, "\n".join(f"{name:<14} {_shown(value)}" for name, value in result.items()))


def _summary(fitted: "AnyFit", settings: "StudyFitSettings", out: Path, cost: "Cost") -> dict[str, object]:
    return {
        "fit": str(out),
        "model": settings.model,
        "n_models": len(fitted.posterior.models),
        "status": fitted.status.code,
        "advice": list(fitted.status.advice),
        **asdict(cost),
    }


def _shown(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "-"  # pyright: ignore[reportUnknownArgumentType]
    return f"{value:.4f}" if isinstance(value, float) else str(value)
