"""``capscope gate``: decide on a release, plan the answers for it, measure the gate itself; and ``capscope plan``."""

from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from capscope.cli.annotate_command import MaxFailures, MaxUsd, MaxUsdTotal
from capscope.cli.options import AsJson, Cluster, DefaultCommandGroup, Force, Seed, StudyFolder
from capscope.cli.output import emit
from capscope.errors import InputError, counted
from capscope.tasks import on_cluster

HOLD, UNDECIDED = 5, 6
"""Exit codes of a held and of an undecided release."""


gate_app = typer.Typer(
    cls=DefaultCommandGroup,
    help="Gate a release: may a new version replace the one in use?",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Margin = Annotated[str, typer.Option(help="Largest acceptable loss of the mean score: 1pp, 0.01 or 1%.")]
Margins = Annotated[
    list[str] | None,
    typer.Option(
        "--margin",
        help="Largest acceptable loss: 1pp (the default), 0.01 or 1%; bench=2pp for one benchmark; or a table of"
        " columns benchmark, margin. May be repeated.",
    ),
]
Fixed = Annotated[bool, typer.Option("--fixed", help="Another run would give the same answers (temperature 0).")]


@gate_app.command("decide")
def decide(
    study: StudyFolder,
    baseline: Annotated[
        str, typer.Option(help="The version in use; best with answers to all items. An agent is MODEL+SCAFFOLD.")
    ],
    candidate: Annotated[str, typer.Option(help="The version that may replace it; some answers are enough.")],
    margin: Margins = None,
    per: Annotated[list[str] | None, typer.Option(help="List losses by benchmark, task or demand; may repeat.")] = None,
    correction: Annotated[str, typer.Option(help="For the length of that list: holm or bh.")] = "holm",
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Coverage of the intervals.")] = 0.95,
    look: Annotated[int, typer.Option(min=1, help="Which planned look at the data this is.")] = 1,
    looks: Annotated[int, typer.Option(min=1, help="Looks planned, at even steps.")] = 1,
    fixed: Fixed = False,
    draw: Annotated[Path | None, typer.Option(help="File of 'gate plan' that named the candidate's items.")] = None,
    answers: Annotated[
        Path | None, typer.Option(help="The candidate's answers where the study lacks them: logs, table or study.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Also write the result as Markdown.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Also write the result as JUnit XML.")] = None,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 whatever the verdict.")] = False,
    seed: Seed = 0,  # noqa: ARG001 - nothing here is random; every command takes one
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Decide: ship (exit 0), hold (5) or undecided (6), with the difference, its intervals and what would settle it.

    Example: capscope gate STUDY --baseline model-1.0 --candidate model-1.1 --margin 1pp --per task
    """
    from capscope import files
    from capscope.decide import GateSettings, draw_chances, gate, gate_junit, gate_markdown, gate_text

    for path, option in ((markdown, "--markdown"), (junit, "--junit")):
        if path is not None:
            files.refuse_file(path, force=force, option=option)
    whole, by_benchmark = margins_of(margin or [])
    settings = GateSettings(
        margin=whole,
        margins=by_benchmark,
        per=cast(Any, choices("--per", per or ["benchmark"], ("benchmark", "task", "demand"))),
        correction=cast(Literal["holm", "bh"], choices("--correction", [correction], ("holm", "bh"))[0]),
        level=level,
        look=look,
        looks=looks,
        fixed=fixed,
    )
    result = gate(study, baseline, candidate, settings, None if draw is None else draw_chances(draw), answers)
    if markdown is not None:
        files.write_text(markdown, gate_markdown(result), option="--markdown")
    if junit is not None:
        files.write_text(junit, gate_junit(result), option="--junit")
    emit(result.as_dict(), as_json, gate_text(result))
    if result.verdict != "ship" and not exit_zero:
        raise typer.Exit(HOLD if result.verdict == "hold" else UNDECIDED)


@gate_app.command("plan")
def plan_gate(
    study: StudyFolder,
    baseline: Annotated[str, typer.Option(help="The version in use, with answers to all items.")],
    size: Annotated[int, typer.Option("-n", "--size", min=2, help="Number of items the candidate should answer.")],
    out: Annotated[Path, typer.Option(help="Table to write: item_id, draw_chance, weight (.csv, .parquet, .jsonl).")],
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Draw the items a candidate should answer, by the chance that its answer differs from the baseline's.

    Example: capscope gate plan STUDY --baseline model-1.0 --size 200 --out draw.csv
    """
    from capscope import files
    from capscope.decide import plan_gate

    files.refuse_file(out, force=force)
    table = plan_gate(study, baseline, size, seed)
    files.write_table(out, table, force=force)
    result = {"out": str(out), "items": len(table), "baseline": baseline, "seed": seed}
    emit(
        result,
        as_json,
        f"{counted(len(table), 'item')} drawn; let the candidate answer them, then 'capscope gate ... --draw {out}'",
    )


@gate_app.command("evaluate")
def evaluate(
    study: StudyFolder,
    size: Annotated[int, typer.Option("-n", "--size", min=2, help="Answers of the candidate.")] = 200,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of models, drawn among those near each other.")] = 40,
    seeds: Annotated[int, typer.Option(min=1, help="Draws of items for each pair.")] = 5,
    within: Annotated[str, typer.Option(help="Largest difference between the models of a pair.")] = "5pp",
    pair_file: Annotated[Path | None, typer.Option("--pair-file", help="Table of pairs: columns old and new.")] = None,
    setting: Annotated[str, typer.Option(help="The baseline's answers: complete, or sampled.")] = "complete",
    design: Annotated[str, typer.Option(help="How items are drawn: by the chance of flips, or even.")] = "flips",
    margin: Margin = "1pp",
    fixed: Fixed = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 takes all processors.")] = 1,
    cluster: Cluster = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure the gate on pairs of past models: its error against the plain paired mean, its coverage, its verdicts.

    Example: capscope gate evaluate STUDY --size 200 --pairs 40 --seeds 5 --json
    """
    from capscope.data import Study
    from capscope.decide import GateEvaluationSettings, evaluate_gate, share_of

    settings = GateEvaluationSettings(
        size=size,
        pairs=pairs,
        seeds=seeds,
        within=share_of(within),
        named=() if pair_file is None else _pairs(pair_file),
        setting=cast(Any, choices("--setting", [setting], ("complete", "sampled"))[0]),
        design=cast(Any, choices("--design", [design], ("even", "flips"))[0]),
        margin=share_of(margin),
        fixed=fixed,
        seed=seed,
    )
    with on_cluster(cluster):
        result = evaluate_gate(Study.load(study), settings, workers)
    worth = f"One answer is worth {result.worth:.2f} of the plain paired mean's"
    if result.worth != result.worth:  # noqa: PLR0124 - NaN
        worth = "The gate never erred, so that the worth of an answer is unknown"
    text = (
        f"{worth}, over {counted(result.n_pairs, 'pair')}:"
        f" error {100 * result.rmse:.2f} points for {100 * result.paired_rmse:.2f};"
        f" 95 % intervals cover {100 * result.coverage:.1f} %, {100 * result.width:.2f} points wide."
    )
    rows = [
        f"  {name}: {', '.join(f'{v} {100 * s:.0f} %' for v, s in of.items())}" for name, of in result.verdicts.items()
    ]
    emit(
        result.as_dict(),
        as_json,
        "\n".join([text, "Verdicts by the true difference (over 2 points or level):", *rows]),
    )


@gate_app.command("run")
def run(
    study: StudyFolder,
    baseline: Annotated[str, typer.Option(help="The version in use, with answers to all items.")],
    model: Annotated[str, typer.Option(help="Name of the candidate at the endpoint.")],
    out: Annotated[Path, typer.Option(help="Folder for the run; a run that was cut short goes on there.")],
    base_url: Annotated[str | None, typer.Option(help="Endpoint; by default OPENAI_BASE_URL, else OpenAI.")] = None,
    size: Annotated[int, typer.Option("-n", "--size", min=2, help="Most items to ask.")] = 200,
    looks: Annotated[int, typer.Option(min=1, help="Looks at even steps; it stops as soon as it is decided.")] = 4,
    margin: Margins = None,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Coverage of the intervals.")] = 0.95,
    fixed: Fixed = False,
    grader: Annotated[str, typer.Option(help="How replies are graded; see 'battery run'.")] = "auto",
    judge: Annotated[str, typer.Option(help="Model that grades open answers at the same endpoint.")] = "",
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest reply.")] = 2000,
    temperature: Annotated[float, typer.Option(min=0, help="Sampling temperature.")] = 0.0,
    usd_in: Annotated[float | None, typer.Option(min=0, help="Price of a million tokens read.")] = None,
    usd_out: Annotated[float | None, typer.Option(min=0, help="Price of a million tokens written.")] = None,
    max_usd: MaxUsd = None,
    max_usd_total: MaxUsdTotal = None,
    max_failures: MaxFailures = 20,
    plan_only: Annotated[bool, typer.Option("--plan", help="Print questions, tokens and cost; ask nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Spend without asking.")] = False,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 whatever the verdict.")] = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Ask a candidate the most informative items, look several times, stop when decided: ship, hold or undecided.

    Example: capscope gate run STUDY --baseline model-1.0 --model model-1.1 --size 200 --looks 4 --out RUN
    """
    from capscope.battery import RunSettings
    from capscope.decide import GateSettings, gate_text, plan_live_gate, run_gate

    whole, by_benchmark = margins_of(margin or [])
    settings = GateSettings(margin=whole, margins=by_benchmark, level=level, looks=looks, fixed=fixed)
    asking = RunSettings(
        size=size,
        seed=seed,
        endpoint=base_url,
        grader=grader,
        judge=judge,
        temperature=temperature,
        max_tokens=max_tokens,
        usd_in=usd_in,
        usd_out=usd_out,
        max_usd=max_usd,
        max_usd_total=max_usd_total,
        max_failures=max_failures,
    )
    planned = plan_live_gate(study, baseline, model, asking, out=out)
    if plan_only:
        emit(planned.as_dict(), as_json, planned.as_text())
        return
    planned.confirm(yes)
    live = run_gate(study, baseline, model=model, out=out, settings=settings, run=asking)
    emit(live.as_dict() | {"out": str(out)}, as_json, f"{gate_text(live.result)}\n{live.as_text()}\n{out}")
    if live.result.verdict != "ship" and not exit_zero:
        raise typer.Exit(HOLD if live.result.verdict == "hold" else UNDECIDED)


def margins_of(texts: list[str]) -> tuple[float, tuple[tuple[str, float], ...]]:
    """Read margins: one for the whole, and those of benchmarks.

    Args:
        texts: ``1pp`` for the whole; ``bench=2pp`` for one benchmark; or the path of a table.

    Raises:
        InputError: One of them is no share, or a table lacks a column.
    """
    from capscope.decide import share_of

    whole, single = 0.01, dict[str, float]()
    for text in texts:
        name, sign, share = text.rpartition("=")
        if sign:
            single[name] = share_of(share)
        elif Path(text).suffix and Path(text).is_file():
            single |= _margin_table(Path(text))
        else:
            whole = share_of(text)
    return whole, tuple(single.items())


def _margin_table(path: Path) -> dict[str, float]:
    from capscope.data import checked_columns, read_table
    from capscope.decide import share_of

    remedy = "give margins in columns benchmark and margin"
    table = checked_columns(read_table(path), str(path), names=["benchmark", "margin"], remedy=remedy)
    pairs = zip(table["benchmark"], table["margin"], strict=True)
    return {benchmark: share_of(margin) for benchmark, margin in pairs}


def choices(option: str, values: list[str], known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the values of an option.

    Raises:
        InputError: One of them is not among the known ones.
    """
    for value in values:
        if value not in known:
            raise InputError(f"{option} {value}: use one of {', '.join(known)}")
    return tuple(values)


def _pairs(path: Path) -> tuple[tuple[str, str], ...]:
    from capscope.data import checked_columns, read_table

    remedy = "give the pairs in columns old and new"
    table = checked_columns(read_table(path), str(path), names=["old", "new"], remedy=remedy)
    return tuple(zip(table["old"], table["new"], strict=True))


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
    from capscope.decide import EvaluationPrices, PlanSettings, plan_evaluation, plan_text, share_of

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
