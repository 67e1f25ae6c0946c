"""``capscope battery select | score | evaluate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capscope.cli.options import AsJson, Force, IdleSeed, Level, Seed, StudyFolder
from capscope.cli.output import emit, table_text
from capscope.cli.progress import progress_bar

if TYPE_CHECKING:
    from capscope.battery import BatteryEvaluation

battery_app = typer.Typer(
    help="Choose few items and estimate scores from them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@battery_app.command("select")
def select(
    study: StudyFolder,
    out: Annotated[Path, typer.Option("--out", help="CSV file for the chosen items.")],
    size: Annotated[int, typer.Option("-n", "--size", help="Number of items to draw.")] = 100,
    method: Annotated[str, typer.Option(help="random, or demand (spread over the demand space).")] = "random",
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Draw a battery from a study's items. Example: capscope battery select STUDY -n 100 --out battery.csv."""
    from capscope.battery import save_battery, select_battery
    from capscope.data import Study

    battery = select_battery(Study.load(study), size, method, seed)
    save_battery(battery, out, force=force)
    result = {"out": str(out), "n": len(battery.table), "pool": battery.pool, "method": method, "seed": seed}
    emit(result, as_json, f"{len(battery.table)} of {battery.pool} items drawn ({method}, seed {seed})\n{out}")


@battery_app.command("score")
def score(
    battery: Annotated[Path, typer.Argument(metavar="BATTERY", help="CSV file written by 'battery select'.")],
    answers: StudyFolder,
    level: Level = 0.95,
    seed: IdleSeed = 0,  # noqa: ARG001 - one interface for all commands
    as_json: AsJson = False,
) -> None:
    """Estimate scores on the pool from answers to a battery. Example: capscope battery score battery.csv STUDY."""
    from capscope.battery import load_battery, score_battery
    from capscope.data import Study

    found = score_battery(load_battery(battery), Study.load(answers), level)
    result = {"level": level, "unanswered": found.unanswered, "scores": found.table.to_dict("records")}
    emit(result, as_json, table_text(found.table))


@battery_app.command("evaluate")
def evaluate(
    study: StudyFolder,
    size: Annotated[list[int] | None, typer.Option("-n", "--size", min=2, help="Items drawn; may be repeated.")] = None,
    split: Annotated[str, typer.Option(help="Models held out: interpolation, frontier or family.")] = "interpolation",
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds: splits and draws.")] = 10,
    estimator: Annotated[list[str] | None, typer.Option(help="Estimators; all by default.")] = None,
    models: Annotated[int, typer.Option(min=4, help="Most past models learned from.")] = 300,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Measure estimators on held-out models. Example: capscope battery evaluate STUDY -n 100 --split frontier."""
    from capscope.battery import BatteryTrial, evaluate_battery
    from capscope.data import Study

    trial = BatteryTrial(tuple(size or [100]), split, seeds, seed, most_past=models)
    with progress_bar("evaluating") as progress:
        found = evaluate_battery(Study.load(study), trial, estimator, progress)
    rows = [evaluation.as_dict() for evaluation in found]
    # one size is one document, as other programs read it; several are a list under `sizes`
    emit(rows[0] if len(rows) == 1 else {"split": split, "sizes": rows}, as_json, _side_by_side(found))


def _side_by_side(found: "list[BatteryEvaluation]") -> str:
    import pandas as pd

    rows = [
        {"n": evaluation.n, "estimator": name, **vars(figures)}
        for evaluation in found
        for name, figures in evaluation.figures.items()
    ]
    return table_text(pd.DataFrame(rows))
