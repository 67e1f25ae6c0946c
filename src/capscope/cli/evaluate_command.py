"""``capscope evaluate``."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from capscope.cli.options import Annotator, AsJson, Cluster, Embedder, Force, Seed, StudyFolder
from capscope.cli.output import emit, progress_bar
from capscope.tasks import on_cluster

SPLIT_HELP = (
    "What is held out together: id (items), task, benchmark, new-model, family, frontier (learn from the weaker half of"
    " the models, test the strongest 30 %) or both (new models on new benchmarks)."
)
FAMILIES_HELP = "For --split family: table with columns model and family, or 'names' to guess from the names."


class AssessorHelp(TyperCommand):
    """A command whose help text ends with the list of assessors, which is loaded only when help is shown."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer brings classes of its own
        """Add the names of the assessors and what they do."""
        self.epilog = self.families()
        super().format_help(ctx, formatter)

    def families(self) -> str:
        """Return the names of the assessors with what they do."""
        from capscope.predict import ASSESSORS

        return "Assessors. " + "; ".join(f"{name}: {entry.help}" for name, entry in ASSESSORS.items()) + "."


class EvaluationHelp(AssessorHelp):
    """A command whose help text ends with the lists of assessors and metrics."""

    def families(self) -> str:
        """Return the names of assessors and metrics with what they are."""
        from capscope.predict import METRICS

        metrics = "; ".join(f"{name}: {metric.help} ({metric.better})" for name, metric in METRICS.items())
        return f"{super().families()}\n\nMetrics. {metrics}."


def evaluate_assessors(
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
    workers: Annotated[int, typer.Option(help="Processes that share the folds; 0 for one per processor.")] = 1,
    cluster: Cluster = None,
    annotator: Annotator = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Score assessors side by side on held-out answers.

    The log-loss comes first, then ranking, calibration and benchmark scores; the last line says which to use.

    Example: capscope evaluate STUDY --split task --json

    Example: capscope evaluate STUDY --split new-model --known 20 --assessor forest --resume folds --write oof.parquet
    """
    from capscope.predict import evaluate, refuse_prediction_file

    if write is not None:
        refuse_prediction_file(write, force=force, option="--write")
    with progress_bar(f"evaluating on held-out {split}") as progress, on_cluster(cluster):
        evaluation = evaluate(
            study,
            split,
            assessor,
            folds=folds,
            seeds=seeds,
            seed=seed,
            annotator=annotator,
            known=known,
            families=families,
            embedder=embedder,
            reference=reference,
            workers=workers,
            resume=resume,
            write=write,
            progress=progress,
        )
    emit(evaluation.as_dict(), as_json, evaluation.as_text())
