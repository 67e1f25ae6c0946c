"""``capscope evaluate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capscope.cli.options import Annotator, AsJson, Embedder, Force, Seed, StudyFolder
from capscope.cli.output import emit, table_text
from capscope.cli.progress import progress_bar
from capscope.errors import OutputError

if TYPE_CHECKING:
    from capscope.predict import Evaluation

SHOWN = ["log_loss", "auroc", "auroc_within_task", "brier", "ece", "calibration_slope", "pvr_90", "benchmark_mae"]
SPLIT_HELP = (
    "What is held out together: id (items), task, benchmark, new-model, family, frontier (learn from the weaker half of"
    " the models, test the strongest 30 %) or both (new models on new benchmarks)."
)
FAMILIES_HELP = "For --split family: table with columns model and family, or 'names' to guess from the names."


def evaluate_command(
    study: StudyFolder,
    split: Annotated[str, typer.Option(help=SPLIT_HELP)] = "task",
    assessor: Annotated[list[str] | None, typer.Option(help="Assessor to score; repeat for several.")] = None,
    folds: Annotated[int, typer.Option(help="Number of folds.")] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds, each with folds of its own.")] = 1,
    known: Annotated[int, typer.Option(help="Answers known of each new model.")] = 20,
    families: Annotated[str | None, typer.Option(help=FAMILIES_HELP)] = None,
    reference: Annotated[str | None, typer.Option(help="Assessor the others are compared with.")] = None,
    embedder: Embedder = "auto",
    write: Annotated[Path | None, typer.Option(help="File for out-of-fold predictions: .parquet or .csv.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Folder that keeps finished folds; rerun = resume.")] = None,
    annotator: Annotator = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Score assessors side by side on held-out answers: log-loss first, then ranking, calibration, benchmark scores.

    Example: capscope evaluate STUDY --split task --json

    Example: capscope evaluate STUDY --split new-model --known 20 --assessor forest --resume folds --write oof.parquet
    """
    from capscope.data import Study
    from capscope.predict import EvaluationFiles, EvaluationSettings, evaluate

    if write is not None and write.exists() and not force:
        raise OutputError(f"{write}: already exists; choose another --write or add --force")
    if write is not None and write.suffix not in (".parquet", ".csv"):
        raise OutputError(f"{write}: cannot write '{write.suffix}' files; name a .parquet or .csv file")
    settings = EvaluationSettings(split, folds, seeds, seed, annotator, known, families, embedder, reference)
    with progress_bar(f"evaluating on held-out {split}") as progress:
        found = evaluate(Study.load(study), settings, assessor, progress, EvaluationFiles(resume, write))
    emit(found.as_dict(), as_json, _text(found))


def _text(found: "Evaluation") -> str:
    import pandas as pd

    table = pd.DataFrame(found.rows()).T[[*SHOWN, "seconds"]].astype(float).rename_axis("assessor").reset_index()
    folds = f"{found.folds} folds by {found.split}, {found.settings.seeds} seeds"
    head = f"{found.n_models} models, {found.n_items} items, {folds}"
    lines = [head, *found.notes, table_text(table.sort_values("log_loss"))]
    if found.differences:
        lines.append(f"log-loss less that of {found.differences.reference}, 95 % interval over tasks:")
        for name, intervals in found.differences.of.items():
            gap = intervals["log_loss"]
            lines.append(f"  {name:<16} {gap.point:+.4f} ({gap.lower:+.4f} to {gap.upper:+.4f})")
    return "\n".join(lines)
