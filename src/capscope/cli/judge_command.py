"""``capscope judge``: scores by a judge model, corrected with a few human labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capscope.cli.options import AsJson, Force, IdleSeed, Seed, StudyFolder
from capscope.cli.output import emit, table_text
from capscope.errors import InputError, counted, first_few

if TYPE_CHECKING:
    from capscope.decide import CorrectedScore, JudgeDrift, JudgeScores

Truth = Annotated[str, typer.Option(help="Judge whose scores are the truth, as column judge names it.")]
Judge = Annotated[str | None, typer.Option(help="Judge to correct; by default the one with the most scores.")]
Models = Annotated[list[str] | None, typer.Option("--model", help="Whose scores; all by default. May be repeated.")]
Estimator = Annotated[str | None, typer.Option(help="How to correct; 'judge evaluate' lists the ways.")]

OTHERS = {"judge": "judge", "labels": "labels"}
"""Estimators that use one source alone, and the word for it."""
ESTIMATORS = (
    "mae_pp: mean error in points of the score; width95_pp: mean width of 95 % intervals; coverage95: share of them"
    "\nthat contain the mean of all labels, 0.95 if the stated coverage is right."
)
judge_app = typer.Typer(
    help="Correct a judge's scores by labels of people.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@judge_app.command("score")
def score(
    study: StudyFolder,
    truth: Truth = "human",
    judge: Judge = None,
    model: Models = None,
    draw: Annotated[
        Path | None, typer.Option(help="File of 'judge plan --out', its column score filled in: labels and chances.")
    ] = None,
    estimator: Estimator = None,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Coverage of the intervals.")] = 0.95,
    seed: IdleSeed = 0,  # noqa: ARG001 - nothing here is random
    as_json: AsJson = False,
) -> None:
    """Print each model's mean score as the judge gave it and as people would, with its interval.

    Exit code 1 where labels do not carry to a model that was asked for; the others are printed all the same.

    Example: capscope judge score STUDY --truth human
    """
    from capscope.decide import DEFAULT_JUDGE_ESTIMATOR, judge_scores, label_sheet

    scores = judge_scores(
        study,
        truth,
        judge=judge,
        models=model or (),
        sheet=None if draw is None else label_sheet(draw),
        estimator=estimator or DEFAULT_JUDGE_ESTIMATOR,
        level=level,
    )
    emit(scores.as_dict(), as_json, _text(scores))
    refused = [score for score in scores.scores if score.refused]
    if refused:
        raise InputError(
            f"{study}: labels do not carry to {len(refused)} of {len(scores.scores)} models"
            f" ({first_few([score.model for score in refused])}): {refused[0].refused}"
        )


@judge_app.command("plan")
def plan(
    study: StudyFolder,
    width: Annotated[str, typer.Option(help="Wanted width of each interval: 6pp, 0.06 or 6%.")] = "6pp",
    truth: Truth = "human",
    judge: Judge = None,
    model: Models = None,
    out: Annotated[
        Path | None, typer.Option(help="Table to write of the answers to label, with their chances.")
    ] = None,
    labels: Annotated[
        int | None, typer.Option(min=1, help="Labels of each model; by default what the width takes.")
    ] = None,
    draw: Annotated[Path | None, typer.Option(help="Earlier file of --out, its column score filled in.")] = None,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Coverage of the intervals.")] = 0.95,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Say how many more labels of each model give an interval of a wanted width, and which: drawn with known chances.

    Example: capscope judge plan STUDY --width 6pp --out to_label.csv
    """
    from capscope import files
    from capscope.decide import judge_scores, label_plan, label_sheet, share_of

    sheet = None if draw is None else label_sheet(draw)
    if out is not None:
        files.refuse_file(out, force=force)
    wanted, models = share_of(width), model or ()
    scores = judge_scores(study, truth, judge=judge, models=models, sheet=sheet, width=wanted, level=level)
    result, text = scores.as_dict(), _text(scores)
    if out is not None:
        table = label_plan(
            study,
            truth,
            judge=judge,
            models=models,
            sheet=sheet,
            width=wanted,
            labels=labels,
            level=level,
            seed=seed,
        )
        files.write_table(out, table, force=force)
        empty = int(table["score"].isna().sum())
        result |= {"out": str(out), "to_label": empty}
        text += (
            f"\n{counted(empty, 'answer')} to label: fill in column score of {out}, then 'capscope judge"
            f" score ... --draw {out}'"
        )
    emit(result, as_json, f"{_labels_sentence(scores, wanted)}\n{text}")


def _labels_sentence(scores: "JudgeScores", width: float) -> str:
    """Say how many more labels all models need together."""
    further = [score.further_labels for score in scores.scores if score.further_labels is not None]
    aim = f"intervals {100 * width:g} points wide"
    if not further:
        return f"How many labels give {aim} is not known: there are too few so far."
    return f"{counted(sum(further), 'more label', 'give')} {aim}, over {counted(len(further), 'model')}."


@judge_app.command("evaluate")
def evaluate(
    study: StudyFolder,
    truth: Truth = "human",
    judge: Judge = None,
    labels: Annotated[str, typer.Option(help="Share of labels shown: 10% or 0.1.")] = "0.1",
    seeds: Annotated[int, typer.Option(min=1, help="Draws of labels.")] = 20,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Hide most labels and measure every way to correct: error, coverage and width, over all models.

    Example: capscope judge evaluate STUDY --truth human --labels 0.1 --seeds 20 --json
    """
    import pandas as pd

    from capscope.decide import JUDGE_ESTIMATORS, evaluate_judge, share_of

    result = evaluate_judge(study, truth, judge=judge, labels=share_of(labels), seeds=seeds, seed=seed).as_dict()
    table = pd.DataFrame(result["estimators"]).T.rename_axis("estimator").reset_index()
    table["what"] = [JUDGE_ESTIMATORS[name].help for name in table["estimator"]]
    emit(result, as_json, f"{_evaluation_sentence(result)}\n{table_text(table)}\n{ESTIMATORS}")


def _evaluation_sentence(result: dict[str, Any]) -> str:
    """Say how far off the default is, beside the judge alone and the labels alone."""
    name, rows = result["default"], result["estimators"]
    beside = ", ".join(
        f"{rows[other]['mae_pp']:.1f} by the {what} alone" for other, what in OTHERS.items() if other in rows
    )
    return (
        f"Means of {counted(result['n_models'], 'model')} from {100 * result['labels']:g} % of their labels:"
        f" '{name}', the default, is off by {rows[name]['mae_pp']:.1f} points{f' ({beside})' if beside else ''}; its"
        f" 95 % intervals hold {100 * rows[name]['coverage95']:.0f} % of the true means."
    )


@judge_app.command("drift")
def drift(
    study: StudyFolder,
    before: Annotated[
        str | None, typer.Option(help="Judge that is the measure; by default --truth, or the one with the most scores.")
    ] = None,
    after: Annotated[str | None, typer.Option(help="Judge compared with it; by default every other.")] = None,
    later: Annotated[
        Path | None,
        typer.Option(help="Study of the same answers scored at a later date: each judge against itself."),
    ] = None,
    truth: Truth = "human",
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Coverage of the intervals.")] = 0.95,
    seed: IdleSeed = 0,  # noqa: ARG001 - nothing here is random
    as_json: AsJson = False,
) -> None:
    """Say how far a judge's scores lie above another's, or above its own earlier ones, on the same answers.

    Example: capscope judge drift STUDY --before gpt-4o-2024-05 --after gpt-4o-2024-11
    """
    from capscope.decide import judge_drift

    moves = judge_drift(study, before=before, after=after, later=later, truth=truth, level=level)
    emit(moves.as_dict(), as_json, _drift_text(moves))


def _drift_text(drift: "JudgeDrift") -> str:
    import pandas as pd

    lines: list[str] = []
    for of in drift.moves:
        lines += [of.sentence(), f"  {100 * of.changed:.0f} % of the scores differ"]
        if len(of.by_model) > 1:
            rows = [(m.model, m.n_answers, *(100 * v for v in (m.raw, m.move, m.lower, m.upper))) for m in of.by_model]
            columns = ["model", "answers", "raw", "move", "lower", "upper"]
            lines.append(table_text(pd.DataFrame(rows, columns=columns)))
    if drift.left_out:
        lines.append(f"Too few answers in common to say: {', '.join(drift.left_out)}")
    return "\n".join(lines)


def _text(scores: "JudgeScores") -> str:
    level = f"{100 * scores.level:g} % interval "
    return "\n".join(line for model in scores.scores for line in _model_lines(model, level))


def _model_lines(model: "CorrectedScore", level: str) -> list[str]:
    head = f"{model.model}: the judge says {100 * model.judge_mean:.1f} over {counted(model.n_answers, 'answer')}"
    if model.score is None or model.lower is None or model.upper is None:
        lines = [f"{head}; not corrected: {model.refused}"]
    else:
        text = f"{100 * model.score:.1f} ({level}{100 * model.lower:.1f} to {100 * model.upper:.1f})"
        lines = [f"{head}; people would say {text}, from {counted(model.n_labels, 'label')}"]
    if model.severity is not None:
        word = "lenient" if model.severity > 0 else "severe"
        by = f"{word} by {100 * abs(model.severity):.1f} points" if model.severity else "neither lenient nor severe"
        lines.append(f"  the judge is {by} on the labelled answers")
    if model.further_labels is not None:
        more = f"{model.further_labels} more labels" if model.further_labels else "no more labels"
        lines.append(f"  {more} needed for the wanted width")
    return [*lines, *(f"  Note: {warning}" for warning in model.warnings)]
