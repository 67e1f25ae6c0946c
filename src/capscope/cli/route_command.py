"""``capscope route``: the cheapest model that is likely enough to succeed on each request, and how well that works."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capscope.cli.options import (
    Annotator,
    AsJson,
    DefaultCommandGroup,
    Embedder,
    FamilyCommand,
    Force,
    Seed,
    StudyFolder,
)
from capscope.cli.output import emit, plain, progress_bar, table_text

if TYPE_CHECKING:
    from capscope.decide import RouteEvaluation

Prices = Annotated[
    Path | None,
    typer.Option(help="Table: model, usd (an answer); or model, usd_in, usd_out (a million tokens), tokens_out."),
]
AssessorName = Annotated[str, typer.Option(help="Who predicts the chances: {capscope.predict:ASSESSORS}.")]
Level = Annotated[float, typer.Option(help="Coverage of the conservative chance and of intervals.")]
Folds = Annotated[int, typer.Option(min=2, help="Folds of the study's requests, in which routing is tested.")]
Floor = Annotated[bool, typer.Option(help="One model for all where routing is not shown to be as good at its cost.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes; 0 takes all processors.")]
COLUMNS = (
    "area: mean score over budgets between the cheapest and the best single model; saving: share of the best single"
    "\nmodel's cost saved at its score; gap_closed: share of the way from its score to the oracle's, at its cost."
)
"""What stands under the table of routers."""
TARGETS = (
    "met: share of requests said to meet the target; success: their mean score; expected: what was predicted for them;"
    "\nsaving: against the best single model for all; holds: success no more than 2 points below the target."
)
"""What stands under the table of targets."""


route_app = typer.Typer(
    cls=DefaultCommandGroup,
    help="Send each request to the cheapest model that will do.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@route_app.command("items", cls=FamilyCommand)
def items(
    study: StudyFolder,
    requests: Annotated[Path, typer.Argument(metavar="ITEMS", help="Study folder or file of the requests.")],
    target: Annotated[
        float | None, typer.Option(help="Chance a request's model must reach; without, the best model's score is kept.")
    ] = None,
    prices: Prices = None,
    assessor: AssessorName = "stacked",
    level: Level = 0.9,
    floor: Floor = True,
    folds: Folds = 3,
    out: Annotated[Path | None, typer.Option("--out", help="JSON file that a router can load.")] = None,
    force: Force = False,
    annotator: Annotator = None,
    embedder: Embedder = "auto",
    workers: Workers = 1,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Choose a model for each request, with expected score and cost.

    Example: capscope route STUDY requests.jsonl --target 0.8 --prices prices.csv --out routes.json
    """
    from capscope import files
    from capscope.decide import route

    if out is not None:
        files.refuse_file(out, force=force)
    routes = route(
        study,
        requests,
        prices,
        target=target,
        assessor=assessor,
        level=level,
        floor=floor,
        folds=folds,
        seed=seed,
        annotator=annotator,
        embedder=embedder,
        workers=workers,
    )
    if out is not None:
        files.write_json(out, plain(routes.as_dict()), force=force)
    emit(routes.as_dict(), as_json, "\n".join([routes.as_text(), *([str(out)] if out else [])]))


@route_app.command("evaluate", cls=FamilyCommand)
def evaluate(
    study: StudyFolder,
    prices: Prices = None,
    assessor: AssessorName = "stacked",
    outer: Annotated[int, typer.Option(min=2, help="Folds of requests that are held out in turn.")] = 3,
    level: Level = 0.9,
    floor: Floor = True,
    folds: Folds = 3,
    annotator: Annotator = None,
    embedder: Embedder = "auto",
    workers: Workers = 1,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure routing on held-out requests, beside single models, the oracle, nearest neighbours and best by task.

    Example: capscope route evaluate STUDY --prices prices.csv --json
    """
    from capscope.decide import evaluate_route

    with progress_bar("routing held-out requests") as progress:
        evaluation = evaluate_route(
            study,
            prices,
            assessor=assessor,
            outer=outer,
            level=level,
            floor=floor,
            folds=folds,
            seed=seed,
            annotator=annotator,
            embedder=embedder,
            workers=workers,
            progress=progress,
        )
    emit(evaluation.as_dict(), as_json, _text(evaluation))


def _text(found: "RouteEvaluation") -> str:
    """The answer first, then the tables, each with what it means under it."""
    match = found.match
    lines = [
        f"{found.verdict} ({found.n_models} models, {found.n_items} requests held out).",
        f"The rule that was chosen beforehand to keep that score saves {match['saving']:.0%}, with a score"
        f" {100 * match['difference']:+.1f} points away ({100 * match['lower']:+.1f} to {100 * match['upper']:+.1f}).",
        "",
        table_text(found.singles),
        "",
        table_text(found.table()),
        COLUMNS,
        "",
        table_text(found.targets),
        TARGETS,
    ]
    return "\n".join([*lines, *(f"note: {note}" for note in found.notes)])
