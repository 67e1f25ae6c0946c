"""``capscope predict`` and ``evaluate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from capscope.cli.options import Annotator, AsJson, Cluster, Embedder, Force, Level, Seed, StudyFolder
from capscope.cli.output import emit, on_interrupt, progress_bar, table_text, write_error
from capscope.members import members_in_source
from capscope.tasks import on_cluster

if TYPE_CHECKING:
    from capscope.predict import Predictions

RESIDUALS_HELP = (
    "Out-of-fold predictions of past benchmarks, from 'evaluate --split benchmark --write': intervals then carry how"
    " far a benchmark departs from what was predicted of it."
)
SOURCE_HELP = "Study folder, whose answers an assessor learns from; or a folder written by 'capscope fit'."
ITEMS_HELP = "Study folder, or a file of items with demands or texts; items of STUDY by their ids."
ASSESSOR_HELP = "Assessor that learns from STUDY; by default 'stacked'. See 'capscope evaluate'."
EXPLAIN_HELP = (
    "Write what made each chance to OUT-parts: log-odds of ability, each demand, text, task, benchmark and the item's"
    " residual, with 'adjustment' for what pooling, calibration and a floor of guessing add and 'benchmark effect' for"
    " what labels and past benchmarks add; they sum to the chance's."
)
MEANING = (
    "score: predicted mean over the items; lower and upper hold the score that would be observed in {level:.0%} of"
    "\nsuch predictions. Read differences between models from intervals that do not overlap."
)
"""Legend of the tables of scores."""
DEFER_HELP = "Mark items to defer so that at most this share of the others fails; needs --defer-from."
DEFER_FROM_HELP = (
    "Out-of-fold predictions that --defer-risk rests on, from 'evaluate --write': with --split id the bound is for new"
    " items of known tasks, with --split task or benchmark for new tasks or benchmarks."
)
DEFERRAL = {
    "item": "the share of failures is bounded for each model with 90 % confidence, on new items of these tasks:",
    "task": "the share of failures is bounded for each model with 90 % confidence, on new tasks like these:",
    "benchmark": "the share of failures is bounded for each model with 90 % confidence, on new benchmarks like these:",
}
"""Legend of the deferral table, by the unit that was held out."""
LABELS_HELP = "Answers to 5 to 50 of the items (model, item_id, score): they move scores and chances."

EXPECTED_HELP = (
    "Scores on whole benchmarks expected from elsewhere, as 'forecast --out' writes them: they move scores and chances."
)

CONFIDENCES_HELP = (
    "Models' own confidence in their answers to the items (model, item_id, confidence): it is weighed against the"
    " chance by what confidences were worth in the study."
)


SPLIT_HELP = (
    "What is held out together: id (items), task, benchmark, new-model, family, frontier (learn from the weaker half of"
    " the models, test the strongest 30 %) or both (new models on new benchmarks)."
)

FAMILIES_HELP = "For --split family: table with columns model and family, or 'names' to guess from the names."


MODELS_HELP = (
    "Facts about models (columns model; size, family, date), or 'names', to predict models with few answers."
    " By default models.csv of STUDY."
)


def predict(
    source: Annotated[Path, typer.Argument(metavar="STUDY|FIT", help=SOURCE_HELP)],
    items: Annotated[Path, typer.Argument(metavar="ITEMS", help=ITEMS_HELP)],
    out: Annotated[Path, typer.Option("--out", help="File for the chances: .parquet or .csv.")],
    assessor: Annotated[str | None, typer.Option(help=ASSESSOR_HELP)] = None,
    model: Annotated[str | None, typer.Option(help="One model only.")] = None,
    labels: Annotated[Path | None, typer.Option(help=LABELS_HELP)] = None,
    residuals: Annotated[Path | None, typer.Option(help=RESIDUALS_HELP)] = None,
    expected: Annotated[Path | None, typer.Option(help=EXPECTED_HELP)] = None,
    confidences: Annotated[Path | None, typer.Option(help=CONFIDENCES_HELP)] = None,
    models: Annotated[Path | None, typer.Option(help=MODELS_HELP + " Models without answers are added.")] = None,
    defer_below: Annotated[float | None, typer.Option(help="Mark items to defer: chance below this.")] = None,
    defer_risk: Annotated[float | None, typer.Option(help=DEFER_HELP)] = None,
    defer_from: Annotated[Path | None, typer.Option(help=DEFER_FROM_HELP)] = None,
    explain: Annotated[bool, typer.Option("--explain", help=EXPLAIN_HELP)] = False,
    embedder: Embedder = "auto",
    annotator: Annotator = None,
    level: Level = 0.9,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Predict chances of success on items, and benchmark scores.

    Example: capscope predict STUDY new-benchmark.jsonl --out chances.csv --explain

    Example: capscope predict STUDY NEW --out chances.csv --residuals oof.parquet --labels labels.csv --defer-below 0.8
    """
    from capscope.files import write_all
    from capscope.predict import predict as predict_chances
    from capscope.predict import refuse_prediction_file

    beside = out.with_name(f"{out.stem}-parts{out.suffix}")
    for path in (out, *([beside] if explain else [])):
        refuse_prediction_file(path, force=force, option="--out")
    predictions = predict_chances(
        source,
        items,
        model=model,
        assessor=assessor,
        labels=labels,
        residuals=residuals,
        expected=expected,
        confidences=confidences,
        models=models,
        defer_below=defer_below,
        defer_risk=defer_risk,
        defer_from=defer_from,
        explain=explain,
        embedder=embedder,
        annotator=annotator,
        level=level,
        seed=seed,
        on_start=write_error,
    )
    write_all({out: predictions.table} | ({} if predictions.parts is None else {beside: predictions.parts}))
    emit(_result(predictions, out, beside), as_json, _text(predictions, out, beside))


def _result(predictions: "Predictions", out: Path, beside: Path) -> dict[str, object]:
    outside = predictions.support[~predictions.support["in_support"]]
    result: dict[str, object] = {
        "out": str(out),
        "level": predictions.level,
        "n_items": len(predictions.support),
        "n_outside_support": len(outside),
        "outside_support": outside[["item_id", "reason"]].to_dict("records"),
        "scores": predictions.scores.to_dict("records"),
        "notes": list(predictions.notes),
    }
    if predictions.benchmark_scores is not None:
        result["benchmark_scores"] = predictions.benchmark_scores.to_dict("records")
    if "defer" in predictions.table:
        result["n_deferred"] = int(predictions.table["defer"].sum())
    if predictions.deferral is not None:
        result["deferral"] = predictions.deferral.to_dict("records")
    if predictions.parts is not None:
        result["parts"] = str(beside)
    return result


def _text(predictions: "Predictions", out: Path, beside: Path) -> str:
    from capscope.predict import LEVEL_NOTES

    outside = int((~predictions.support["in_support"]).sum())
    first = [note for note in predictions.notes if note in LEVEL_NOTES]
    lines = [*first, predictions.headline(), *(note for note in predictions.notes if note not in first)]
    if outside:
        lines.append(f"{outside} of {len(predictions.support)} items lie outside what the answers support")
    by_benchmark = predictions.benchmark_scores
    if by_benchmark is None or by_benchmark["benchmark"].nunique() > 1:
        best = predictions.scores.sort_values("score", ascending=False, kind="stable")
        lines.append(f"scores on all items, best first:\n{table_text(best)}")
    if by_benchmark is not None:
        lines.append(f"scores with each benchmark's own effect:\n{table_text(by_benchmark)}")
    lines.append(MEANING.format(level=predictions.level))
    if "defer" in predictions.table:
        lines.append(f"{int(predictions.table['defer'].sum())} of {len(predictions.table)} chances are to be deferred")
    if predictions.deferral is not None:
        lines += [DEFERRAL[predictions.deferral["unit"].iloc[0]], table_text(predictions.deferral)]
    written = [out] if predictions.parts is None else [out, beside]
    return "\n".join([*lines, *map(str, written)])


class AssessorHelp(TyperCommand):
    """A command whose help text ends with the list of assessors, which is loaded only when help is shown."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer brings classes of its own
        """Add the names of the assessors and what they do."""
        self.epilog = self.families()
        super().format_help(ctx, formatter)

    def families(self) -> str:
        """Return the names of the assessors with what they do."""
        helps = members_in_source("capscope.predict.assessors")
        if helps is None:
            from capscope.predict import ASSESSORS  # it loads torch

            helps = {name: entry.help for name, entry in ASSESSORS.items()}
        return "Assessors. " + "; ".join(f"{name}: {text}" for name, text in helps.items()) + "."


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
    models: Annotated[Path | None, typer.Option(help=MODELS_HELP)] = None,
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
    kept = "" if resume is None else f"finished folds are kept in {resume}; run the same command again to go on"
    with on_interrupt(kept), progress_bar(f"evaluating on held-out {split}") as progress, on_cluster(cluster):
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
            models=models,
            embedder=embedder,
            reference=reference,
            workers=workers,
            resume=resume,
            write=write,
            progress=progress,
        )
    emit(evaluation.as_dict(), as_json, evaluation.as_text())
