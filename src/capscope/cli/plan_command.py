"""``capscope plan``: what a wanted difference takes in answers, runs, prompts, judges, labels and dollars."""

from typing import Annotated, Any, cast

import typer

from capscope.cli.gate_command import choices, share_of
from capscope.cli.options import AsJson, Cluster, Seed, StudyFolder
from capscope.cli.output import emit
from capscope.tasks import on_cluster


def plan(
    study: StudyFolder,
    difference: Annotated[str, typer.Option(help="Difference of two models to show: 2pp, 0.02 or 2%.")] = "2pp",
    power: Annotated[str, typer.Option(help="Chance to show it: 80% or 0.8.")] = "80%",
    precision: Annotated[str | None, typer.Option(help="Wanted half-width of the interval: 3pp.")] = None,
    baseline: Annotated[str | None, typer.Option(help="Version in use; by default pairs of all models.")] = None,
    design: Annotated[str, typer.Option(help="How items are drawn: by the chance of flips, or even.")] = "flips",
    fixed: Annotated[
        bool, typer.Option("--fixed", help="Another run would give the same answers (temperature 0).")
    ] = False,
    usd_item: Annotated[float | None, typer.Option(min=0, help="Price of one more item, in dollars.")] = None,
    usd_answer: Annotated[float | None, typer.Option(min=0, help="Price of one answer; by default as before.")] = None,
    usd_judgement: Annotated[float | None, typer.Option(min=0, help="Price of one judgement of an answer.")] = None,
    truth: Annotated[str, typer.Option(help="Judge whose scores are the truth, as column judge names it.")] = "human",
    width: Annotated[str, typer.Option(help="Wanted width of judge-corrected scores.")] = "6pp",
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Coverage of the intervals.")] = 0.95,
    runs: Annotated[int, typer.Option(min=20, help="Simulated decisions for each number of answers.")] = 200,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 takes all processors.")] = 1,
    cluster: Cluster = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Plan an evaluation from past models' answers: how many answers show a difference, what else it takes.

    Example: capscope plan STUDY --difference 2pp --power 80%
    """
    from capscope.decide import EvaluationPrices, PlanSettings, plan_evaluation, plan_text

    prices = None
    if usd_answer is not None or usd_item is not None or usd_judgement is not None:
        prices = EvaluationPrices(
            item=usd_item or 0.0, answer=1.0 if usd_answer is None else usd_answer, judgement=usd_judgement or 0.0
        )
    settings = PlanSettings(
        difference=share_of(difference),
        power=share_of(power),
        level=level,
        precision=None if precision is None else share_of(precision),
        baseline=baseline,
        fixed=fixed,
        design=cast(Any, choices("--design", [design], ("even", "flips"))[0]),
        prices=prices,
        truth=truth,
        label_width=share_of(width),
        runs=runs,
        seed=seed,
    )
    with on_cluster(cluster):
        plans = plan_evaluation(study, settings, workers)
    emit(plans.as_dict(), as_json, plan_text(plans))
