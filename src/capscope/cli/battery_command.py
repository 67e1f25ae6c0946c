"""``capscope battery select | run | score | evaluate | prompts`` and ``capscope bank build | add``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capscope.cli.options import AsJson, Cluster, FamilyCommand, Force, IdleSeed, Level, Seed, StudyFolder
from capscope.cli.output import emit, progress_bar, table_text
from capscope.errors import counted
from capscope.tasks import on_cluster

if TYPE_CHECKING:
    import pandas as pd

    from capscope.battery import Bank, Battery, BatteryEvaluation, BatteryRun
    from capscope.data import Study

PROMPT_ITEMS = 10
"""Number of items that `prompts` prints."""
PROBLEMS_SHOWN = 3
"""Number of reasons for replies without a score that `run` prints."""
SCORES = (
    "score: what the model would get on the whole pool, estimated from the answered items; lower and upper bound it;"
    "\na benchmark with fewer than 5 answers has no row of its own."
)
ABILITY = " Ability, where shown,\nis in standard deviations over the bank's past models."
ERRORS = (
    "mae_pp: mean error of the score in percentage points; width95_pp: mean width of its 95 % intervals;"
    "\ncoverage95: share of intervals that hold the true score, 0.95 where they are calibrated; narrow ones are best."
)
"""Legend of the tables."""
EXPECTED_HELP = "With a bank: scores expected from elsewhere, as 'forecast' writes them, or 62:55:70 with 80 % bounds."

battery_app = typer.Typer(
    help="Choose few items and estimate scores from them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


bank_app = typer.Typer(
    help="Item banks: profile new models without a fit.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@battery_app.command("select", cls=FamilyCommand)
def select(
    source: Annotated[Path, typer.Argument(metavar="BANK|STUDY", help="Bank or study folder.")],
    out: Annotated[Path, typer.Option("--out", help="CSV file for the chosen items; forms are numbered.")],
    size: Annotated[int, typer.Option("-n", "--size", help="Number of items to draw.")] = 100,
    method: Annotated[
        str, typer.Option(help="How items are chosen: {capscope.battery.selectors:SELECTORS}.")
    ] = "random",
    benchmark: Annotated[list[str] | None, typer.Option(help="Draw from this benchmark; may be repeated.")] = None,
    cost: Annotated[
        Path | None, typer.Option(help="Table item_id, cost (such as tokens): cheap items more often.")
    ] = None,
    exposure: Annotated[float, typer.Option(help="Most chance of any item to be drawn.")] = 1.0,
    uniform: Annotated[float, typer.Option(help="Share of the draw spread evenly over all items.")] = 0.2,
    forms: Annotated[int, typer.Option(min=1, help="Disjoint parallel forms of this size.")] = 1,
    samples: Annotated[Path | None, typer.Option(help="JSON file for lm_eval's --samples (banks only).")] = None,
    tool: Annotated[
        str | None,
        typer.Option("--for", help="Also write a group of tasks for this tool beside --out: lm-eval (banks only)."),
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Draw a battery. Example: capscope battery select BANK -n 100 --method variance --out battery.csv."""
    from capscope.battery import (
        HARNESSES,
        BatteryDesign,
        form_paths,
        load_costs,
        load_source,
        refuse_harness_outputs,
        save_forms,
        select_forms,
    )

    if tool is not None and tool not in HARNESSES:
        raise typer.BadParameter(f"--for {tool}: use one of {', '.join(HARNESSES)}")
    costs = load_costs(cost) if cost else {}
    design = BatteryDesign(
        benchmarks=tuple(benchmark or ()), cost=costs, exposure=exposure, uniform=uniform, forms=forms
    )
    loaded = load_source(source)
    batteries = select_forms(loaded, size, method=method, seed=seed, design=design)
    folders = [_group_folder(table) for table in form_paths(out, forms)] if tool is not None else []
    refuse_harness_outputs(loaded, batteries, samples=samples, folders=folders, force=force)
    written = save_forms(batteries, out, force=force)
    paths = [str(path) for path in written]
    pool = batteries[0].pool
    result: dict[str, object] = {"out": paths[0], "forms": paths, "n": size, "pool": pool}
    result |= {"method": method, "seed": seed}
    lines = [f"{size * forms} of {pool} items drawn ({method}, seed {seed})", *paths]
    more, commands = _harness_files(loaded, batteries, samples, folders, force)
    emit(result | more, as_json, "\n".join([*lines, *commands]))


def _harness_files(
    source: "Study | Bank", batteries: "list[Battery]", samples: Path | None, folders: list[Path], force: bool
) -> tuple[dict[str, object], list[str]]:
    """Write files for lm-evaluation-harness; return their paths for JSON, and the commands that use them."""
    from capscope.battery import save_samples

    result: dict[str, object] = {}
    commands: list[str] = []
    if samples:
        run = save_samples(source, batteries[0], samples, force=force)
        result |= {"tasks": run.tasks, "samples": run.samples}
        commands.append(f"lm_eval --tasks {run.tasks} --samples {samples} --log_samples --output_path OUT --model ...")
    if folders:
        groups = [_task_group(source, *form, force) for form in zip(batteries, folders, strict=True)]
        result["groups"] = groups
        commands += [f"lm_eval {group['run']} --log_samples --output_path OUT --model ..." for group in groups]
    return result, commands


def _group_folder(table: Path) -> Path:
    """Return the folder of a form's task group: next to the form's table."""
    return table.with_name(f"{table.stem}-lm-eval")


def _task_group(source: "Study | Bank", battery: "Battery", folder: Path, force: bool) -> dict[str, str]:
    """Write a battery as a task group of lm-evaluation-harness."""
    from capscope.battery import save_task_group

    group = save_task_group(source, battery, folder, force=force)
    return {"group": group, "folder": str(folder), "run": f"--tasks {group} --include_path {folder}"}


@battery_app.command("run", cls=FamilyCommand)
def run(
    bank: Annotated[Path, typer.Argument(metavar="BANK", help="Folder written by 'bank build'.")],
    items: Annotated[Path, typer.Option(help="Study folder or file with texts and targets of the items.")],
    model: Annotated[str, typer.Option(help="Name of the model at the endpoint.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the run; a run that was cut short goes on there.")],
    base_url: Annotated[str | None, typer.Option(help="Endpoint; by default OPENAI_BASE_URL, else OpenAI.")] = None,
    size: Annotated[int, typer.Option("-n", "--size", min=1, help="Most items to ask.")] = 100,
    width: Annotated[float | None, typer.Option(min=0, max=1, help="Stop at an interval of this width.")] = None,
    ability_sd: Annotated[float | None, typer.Option(min=0, help="Stop at this sd of all abilities.")] = None,
    benchmark: Annotated[list[str] | None, typer.Option(help="Benchmark wanted; repeat for several.")] = None,
    grader: Annotated[str, typer.Option(help="How replies are graded: {capscope.battery:KINDS}.")] = "auto",
    judge: Annotated[str, typer.Option(help="Model that grades open answers at the same endpoint.")] = "",
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest reply.")] = 2000,
    temperature: Annotated[float, typer.Option(min=0, help="Sampling temperature.")] = 0.0,
    usd_in: Annotated[float | None, typer.Option(min=0, help="Price of a million tokens read.")] = None,
    usd_out: Annotated[float | None, typer.Option(min=0, help="Price of a million tokens written.")] = None,
    max_usd: Annotated[float | None, typer.Option(min=0, help="Stop (exit 4) before spending more.")] = None,
    max_usd_total: Annotated[
        float | None, typer.Option(min=0, help="Stop (exit 4) before all runs into this folder spend more.")
    ] = None,
    max_failures: Annotated[
        int, typer.Option(min=1, help="Stop (exit 1) after so many failures in a row, or ungradable replies at first.")
    ] = 20,
    plan: Annotated[bool, typer.Option(help="Print questions, tokens and cost; ask and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Spend without asking.")] = False,
    level: Level = 0.95,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Ask a model the most informative items, one by one. Example: capscope battery run BANK --items STUDY --model m --out RUN."""  # noqa: E501
    from capscope.battery import Bank, RunSettings, plan_battery, run_battery

    settings = RunSettings(
        size=size,
        width=width,
        ability_sd=ability_sd,
        benchmarks=tuple(benchmark or ()),
        level=level,
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
    loaded = Bank.load(bank)
    planned = plan_battery(loaded, items, model=model, out=out, settings=settings)
    if plan:
        emit(planned.as_dict(), as_json, planned.as_text())
        return
    planned.confirm(yes or _confirmed(model, planned.usd))
    result = run_battery(loaded, items, model=model, out=out, settings=settings, progress=_line_of_progress)
    emit(result.as_dict() | {"out": str(out)}, as_json, _run_text(result, out))
    result.refuse_unfinished()


@battery_app.command("score", cls=FamilyCommand)
def score(
    source: Annotated[Path, typer.Argument(metavar="BANK|BATTERY", help="Bank folder, or CSV of 'battery select'.")],
    answers: Annotated[
        Path, typer.Argument(metavar="ANSWERS", help="Study folder, table model, item_id, score, or logs.")
    ],
    battery: Annotated[Path | None, typer.Option(help="With a bank: the CSV the items were drawn by.")] = None,
    estimator: Annotated[
        str | None,
        typer.Option(help="{capscope.battery.estimators:ESTIMATORS}; by default blend with a bank, else mean."),
    ] = None,
    expected: Annotated[str | None, typer.Option(metavar="FORECAST|SCORE", help=EXPECTED_HELP)] = None,
    level: Level = 0.95,
    seed: IdleSeed = 0,  # noqa: ARG001 - one interface for all commands
    as_json: AsJson = False,
) -> None:
    """Estimate scores and abilities from few answers. Example: capscope battery score BANK ANSWERS.csv."""
    from capscope.battery import score_battery

    result = score_battery(source, answers, battery=battery, estimator=estimator, expected=expected, level=level)
    profile = "" if result.profile is None else f"\n\n{table_text(result.profile)}"
    if result.elsewhere is not None:
        profile += f"\n\nExpected scores where the models were not run:\n{table_text(result.elsewhere)}"
    unit = "".join(f"\nnote: {note}" for note in result.notes) or ABILITY
    head = _score_sentence(result.scores, level)
    emit(result.as_dict(), as_json, f"{head}\n\n{table_text(result.scores)}\n{SCORES}{unit}{profile}")


def _score_sentence(scores: "pd.DataFrame", level: float) -> str:
    """Say the score of the best model on the whole pool, and how many others come near."""
    whole = scores[scores["benchmark"] == "all"] if "benchmark" in scores else scores
    whole = whole.sort_values("score", ascending=False, kind="stable")
    if whole.empty:
        return "No model has enough answers for a score on the whole pool."
    best, others = whole.iloc[0], whole.iloc[1:]
    text = (
        f"{best['model']}: score {best['score']:.3f} on the whole pool"
        f" ({100 * level:g}% interval {best['lower']:.3f} to {best['upper']:.3f})"
        f", from {counted(int(best['answered']), 'answer')}"
    )
    if others.empty:
        return f"{text}."
    near = int((others["upper"] > best["lower"]).sum())
    return f"{text}; the intervals of {near} of {counted(len(others), 'other model')} reach up to it."


@battery_app.command("evaluate", cls=FamilyCommand)
def evaluate(
    study: StudyFolder,
    size: Annotated[
        list[int] | None, typer.Option("-n", "--size", min=2, help="Items drawn, by default 100 or fewer; repeatable.")
    ] = None,
    split: Annotated[str, typer.Option(help="Models held out: {capscope.battery:SPLITS}.")] = "interpolation",
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds: splits and draws.")] = 10,
    method: Annotated[
        str, typer.Option(help="How items are drawn: {capscope.battery.selectors:SELECTORS}, or adaptive.")
    ] = "random",
    estimator: Annotated[
        list[str] | None, typer.Option(help="Estimators; all by default: {capscope.battery.estimators:ESTIMATORS}.")
    ] = None,
    models: Annotated[int, typer.Option(min=4, help="Most past models learned from.")] = 300,
    workers: Annotated[int, typer.Option(min=0, help="Processes for the seeds; 0 takes one for each processor.")] = 1,
    cluster: Cluster = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure estimators on held-out models. Example: capscope battery evaluate STUDY -n 100 --split frontier."""
    from capscope.battery import BatteryTrial, evaluate_battery

    trial = BatteryTrial(n=tuple(size or ()), split=split, seeds=seeds, seed=seed, most_past=models, method=method)
    with progress_bar("evaluating") as progress, on_cluster(cluster):
        evaluations = evaluate_battery(study, trial, estimator, workers=workers, progress=progress)
    rows = [evaluation.as_dict() for evaluation in evaluations]
    # a single size keeps the flat JSON of earlier versions; several are a list under `sizes`
    emit(rows[0] if len(rows) == 1 else {"split": split, "sizes": rows}, as_json, _side_by_side(evaluations))


@battery_app.command("prompts")
def prompts(
    study: StudyFolder,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    covariates: Annotated[
        Path | None, typer.Option(help="Table prompt and numbers, such as an embedding: similar prompts share effects.")
    ] = None,
    items: Annotated[Path | None, typer.Option(help="CSV file for all items; ten are printed.")] = None,
    draws: Annotated[int, typer.Option(min=50, help="Draws from the posterior.")] = 400,
    level: Level = 0.95,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Spread of accuracy over prompts, from answers to few cells. Example: capscope battery prompts STUDY --json."""
    from capscope.battery import PromptSettings, prompt_scores
    from capscope.data import read_table
    from capscope.files import refuse_file

    if items:
        refuse_file(items, force=force, option="--items")
    known = read_table(covariates) if covariates else None
    settings = PromptSettings(model=model, level=level, draws=draws, seed=seed)
    scores = prompt_scores(study, settings, covariates=known)
    if items:
        scores.save_items(items, force=force)
    shown = [name for name in scores.models if not str(name).endswith(("_lower", "_upper"))]
    text = f"{table_text(scores.models[shown])}\n\n{table_text(scores.items.head(PROMPT_ITEMS))}"
    emit(scores.as_dict(PROMPT_ITEMS), as_json, text)


def _side_by_side(evaluations: "list[BatteryEvaluation]") -> str:
    import pandas as pd

    tables = pd.concat([evaluation.table() for evaluation in evaluations], ignore_index=True)
    return f"{table_text(tables)}\n{ERRORS}"


def _run_text(result: "BatteryRun", out: Path) -> str:
    problems = [f"{count} x {problem}" for problem, count in list(result.problems.items())[:PROBLEMS_SHOWN]]
    head = "\n".join([result.summary(), *problems])
    return f"{head}\n\n{table_text(result.scores)}\n{SCORES}\n\n{table_text(result.abilities)}\n{out}"


def _line_of_progress(asked: int, score: float) -> None:
    """Show the number of administered items, on a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{asked} asked, score {score:.1%}")


def _confirmed(model: str, usd: float | None) -> bool:
    """Ask for confirmation on a terminal; without a terminal return False."""
    if usd is None or not sys.stdin.isatty():
        return False
    return typer.confirm(f"Ask {model} for about ${usd:.2f}?", err=True)


if TYPE_CHECKING:
    from capscope.battery import Bank


@bank_app.command("build")
def build(
    study: StudyFolder,
    out: Annotated[Path, typer.Option("--out", help="Folder for the bank.")],
    dims: Annotated[int, typer.Option(min=0, max=12, help="Number of abilities; 0 chooses by the models.")] = 0,
    compact: Annotated[bool, typer.Option("--compact", help="Leave out past answers; half precision.")] = False,
    harness_tasks: Annotated[
        Path | None, typer.Option(help="JSON: the evaluation harness's names by 'benchmark/task' or 'benchmark'.")
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Fit a study's items and keep what profiles new models. Example: capscope bank build STUDY --out BANK."""
    from capscope.battery import Bank, read_harness_names

    names = read_harness_names(harness_tasks) if harness_tasks else {}
    bank = Bank.build(study, dims=dims, harness_tasks=names, seed=seed)
    (bank.compact() if compact else bank).save(out, force=force)
    _print_sizes(bank, out, as_json)


@bank_app.command("add")
def add(
    bank: Annotated[Path, typer.Argument(metavar="BANK", help="Bank folder.")],
    study: StudyFolder,
    out: Annotated[Path, typer.Option("--out", help="Folder for the larger bank.")],
    harness_tasks: Annotated[Path | None, typer.Option(help="JSON: names of the new tasks in the harness.")] = None,
    seed: IdleSeed = 0,  # noqa: ARG001 - one interface for all commands
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Bring a study's new items into a bank; old ones stay fixed. Example: capscope bank add BANK STUDY --out NEW."""
    from capscope.battery import Bank, read_harness_names

    names = read_harness_names(harness_tasks) if harness_tasks else {}
    grown = Bank.load(bank).add(study, harness_tasks=names)
    grown.save(out, force=force)
    _print_sizes(grown, out, as_json)


def _print_sizes(bank: "Bank", out: Path, as_json: bool) -> None:
    result: dict[str, object] = {
        "out": str(out),
        "n_items": len(bank.items),
        "n_models": len(bank.models),
        "n_benchmarks": len(bank.benchmarks),
        "dims": bank.posterior.dims,
    }
    if bank.notes:
        result["notes"] = list(bank.notes)
    items, benchmarks = counted(len(bank.items), "item"), counted(len(bank.benchmarks), "benchmark")
    past, abilities = counted(len(bank.models), "past model"), counted(bank.posterior.dims, "ability")
    notes = "".join(f"\nnote: {note}" for note in bank.notes)
    emit(result, as_json, f"{items} of {benchmarks}, {past}, {abilities}{notes}\n{out}")
