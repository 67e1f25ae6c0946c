"""``capscope route``: choose a model for each request, evaluate routers, and print the cost per success."""

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
    IdleSeed,
    Seed,
    StudyFolder,
)
from capscope.cli.output import emit, plain, progress_bar, table_text
from capscope.errors import counted

if TYPE_CHECKING:
    from capscope.decide import RouteEvaluation, SuccessCosts

Prices = Annotated[
    Path | None,
    typer.Option(help="Table: model, usd (an answer); or model, usd_in, usd_out (a million tokens), tokens_out."),
]
AssessorName = Annotated[str, typer.Option(help="Who predicts the chances: {capscope.predict.assessors:ASSESSORS}.")]
Level = Annotated[float, typer.Option(help="Coverage of the conservative chance and of intervals.")]
Folds = Annotated[int, typer.Option(min=2, help="Folds of the study's requests, in which routing is tested.")]
Floor = Annotated[bool, typer.Option(help="One model for all where routing is not shown to be as good at its cost.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes; 0 takes all processors.")]
COLUMNS = (
    "area: mean score over budgets between the cheapest and the best single model; saving: share of the best single"
    "\nmodel's cost saved at its score; gap_closed: share of the way from its score to the oracle's, at its cost."
)
"""Legend of the table of routers."""
TARGETS = (
    "met: share of requests predicted to meet the target; success: their mean score; expected: their mean"
    " prediction;\nsaving: against the best single model for all; holds: success at most 2 points below the target."
)
"""Legend of the table of targets."""
COST_COLUMNS = (
    "cost: mean {cost} of an answer; lower and upper: bounds of a {level:.0%} interval of cost_per_success over items,"
    "\ninf where too few successes, or answers that cost nothing, exclude none."
)
"""Legend of the table of costs."""


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
    folds: Folds = 5,
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
    from capscope.decide import RouteSettings, route

    if out is not None:
        files.refuse_file(out, force=force)
    settings = RouteSettings(
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
    routes = route(study, requests, prices, settings=settings)
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
    folds: Folds = 5,
    annotator: Annotator = None,
    embedder: Embedder = "auto",
    workers: Workers = 1,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure routing on held-out requests, beside single models, the oracle, nearest neighbours and best by task.

    Example: capscope route evaluate STUDY --prices prices.csv --json
    """
    from capscope.decide import RouteSettings, evaluate_route

    settings = RouteSettings(
        assessor=assessor,
        level=level,
        floor=floor,
        folds=folds,
        seed=seed,
        annotator=annotator,
        embedder=embedder,
        workers=workers,
    )
    with progress_bar("routing held-out requests") as progress:
        evaluation = evaluate_route(study, prices, outer=outer, settings=settings, progress=progress)
    emit(evaluation.as_dict(), as_json, _text(evaluation))


@route_app.command("costs", cls=FamilyCommand)
def costs(
    study: StudyFolder,
    cost: Annotated[str | None, typer.Option(help="usd, tokens or seconds; by default the first there is.")] = None,
    budget: Annotated[
        list[float] | None, typer.Option(help="Budget for one item, in that unit; may be repeated.")
    ] = None,
    attempts: Annotated[list[int] | None, typer.Option("--k", min=1, help="Attempts at an item; repeatable.")] = None,
    level: Level = 0.9,
    seed: IdleSeed = 0,  # noqa: ARG001 - one interface for all commands
    as_json: AsJson = False,
) -> None:
    """Print what a success of each model costs, and what is solved within a budget or some attempts.

    A model in several scaffolds or at several efforts counts as several. Bounds are over items.

    Example: capscope route costs STUDY --cost usd --budget 0.5 --budget 2
    """
    from capscope.decide import success_costs

    result = success_costs(study, cost, budgets=budget or (), attempts=attempts or (1, 2, 4, 8), level=level)
    emit(result.as_dict(), as_json, _costs_text(result))


def _costs_text(result: "SuccessCosts") -> str:
    lines = [
        result.head,
        "",
        table_text(result.table, digits=3),
        COST_COLUMNS.format(cost=result.cost, level=result.level),
    ]
    curves = result.budgets.pivot_table(index="model", columns="budget", values="chance", observed=True)
    shown = curves.reindex(result.table["model"]).rename(columns=lambda value: f"{value:.3g}").reset_index()
    again = len(result.attempts) > 0
    lines += ["", f"Chance to solve an item within a budget ({result.cost}){', trying again' if again else ''}:"]
    lines += [table_text(shown, digits=3)]
    if again:
        lines += [
            "",
            "Chance within so many attempts, stopping at the first success:",
            table_text(result.attempts, digits=3),
        ]
    return "\n".join([*lines, *(f"note: {note}" for note in result.notes)])


def _text(evaluation: "RouteEvaluation") -> str:
    """Lay out the verdict, then the tables, each with its legend."""
    match = evaluation.match
    lines = [
        f"{evaluation.verdict} ({counted(evaluation.n_models, 'model')}, {evaluation.n_items} requests held out).",
        f"The rule that was chosen beforehand to keep that score saves {match['saving']:.0%}, with a score"
        f" {100 * match['difference']:+.1f} points away ({100 * match['lower']:+.1f} to {100 * match['upper']:+.1f}).",
        "",
        table_text(evaluation.singles),
        "",
        table_text(evaluation.table()),
        COLUMNS,
        "",
        table_text(evaluation.targets),
        TARGETS,
    ]
    return "\n".join([*lines, *(f"note: {note}" for note in evaluation.notes)])
