"""``capscope forecast``: missing scores of a table of published scores, and how well they are forecast."""

from pathlib import Path
from typing import Annotated

import typer

from capscope.cli.options import AsJson, Cluster, DefaultCommandGroup, FamilyCommand, Force, Seed
from capscope.cli.output import emit, table_text
from capscope.errors import InputError
from capscope.tasks import on_cluster

forecast_app = typer.Typer(
    cls=DefaultCommandGroup,
    help="Forecast published scores: missing and future scores of a table of models by benchmarks.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Table = Annotated[
    Path, typer.Argument(metavar="TABLE", help="Scores: long (model, benchmark, score) or wide (a row a model).")
]
Models = Annotated[
    Path | None, typer.Option(help="Table of models: column model, and family, size, tokens, compute, date, ...")
]
Unit = Annotated[
    list[str] | None,
    typer.Option(help="Unit of a benchmark, as NAME=UNIT ({capscope.forecast.links:LINKS}); may be repeated."),
]
ForecasterName = Annotated[str, typer.Option(help="Who forecasts: {capscope.forecast.forecasters:FORECASTERS}.")]


@forecast_app.command("cells", cls=FamilyCommand)
def cells(
    table: Table,
    models: Models = None,
    add_model: Annotated[str | None, typer.Option(help="Add a model of this name and forecast it.")] = None,
    scores: Annotated[str | None, typer.Option(help="Its known scores: gsm8k=62,mmlu=71.")] = None,
    at: Annotated[str | None, typer.Option(help="Its facts: size=70,tokens=15,date=2027-01,family=llama.")] = None,
    benchmark: Annotated[str | None, typer.Option(help="One benchmark only.")] = None,
    model: Annotated[str | None, typer.Option(help="One model only.")] = None,
    forecaster: ForecasterName = "hierarchical",
    unit: Unit = None,
    level: Annotated[float, typer.Option(min=0.5, max=0.99, help="Coverage of the intervals.")] = 0.8,
    out: Annotated[Path | None, typer.Option(help="Table to write: .csv, .parquet or .jsonl.")] = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Forecast every missing score, with its interval, the scores it rests on, and which to get next.

    Example: capscope forecast scores.csv --add-model mine --scores gsm8k=62,mmlu=71 --at size=70,family=llama
    """
    from capscope import files
    from capscope.forecast import ForecastSettings, forecast, published_scores

    if out is not None:
        files.refuse_file(out, force=force)
    settings = ForecastSettings(
        level=level,
        forecaster=forecaster,
        benchmark=benchmark,
        model=model,
        add=add_model,
        add_scores={name: number_of(f"--scores {name}", value) for name, value in pairs_of("--scores", scores)},
        at=dict(pairs_of("--at", at)),
        seed=seed,
    )
    result = forecast(published_scores(table, models, dict(_units(unit))), settings=settings)
    if out is not None:
        files.write_table(out, result.cells, force=force)
    emit(result.as_dict(), as_json, result.as_text())


@forecast_app.command("evaluate", cls=FamilyCommand)
def evaluate(
    table: Table,
    models: Models = None,
    hide: Annotated[str, typer.Option(help="What is hidden: {capscope.forecast:HIDINGS}.")] = "half",
    seeds: Annotated[int, typer.Option(min=1, help="Draws of what is hidden.")] = 3,
    forecaster: ForecasterName = "hierarchical",
    unit: Unit = None,
    workers: Annotated[int, typer.Option(help="Processes that share the seeds; 0 for one per processor.")] = 1,
    cluster: Cluster = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Hide known scores, forecast them, and print errors and the coverage of 80 % intervals.

    Example: capscope forecast evaluate scores.csv --models models.csv --hide family --seeds 5 --json
    """
    from capscope.forecast import ForecastEvaluationSettings, evaluate_forecast, published_scores

    settings = ForecastEvaluationSettings(hide=hide, seeds=seeds, seed=seed, forecaster=forecaster, workers=workers)
    with on_cluster(cluster):
        evaluation = evaluate_forecast(published_scores(table, models, dict(_units(unit))), settings=settings)
    text = (
        f"{evaluation.n_hidden:.0f} scores hidden ({hide}): median error {evaluation.median_error:.2f},"
        f" mean error {evaluation.mean_error:.2f}; 80 % intervals cover {100 * evaluation.coverage80:.1f} %,"
        f" {evaluation.width80:.1f} wide; {evaluation.seconds:.1f} s a seed"
    )
    emit(evaluation.as_dict(), as_json, f"{text}\n{table_text(evaluation.table())}")


def pairs_of(option: str, text: str | None) -> list[tuple[str, str]]:
    """Read ``a=1,b=2``; a comma without a pair after it belongs to the value or name before it.

    Raises:
        InputError: A part has no ``=``.
    """
    pairs: list[tuple[str, str]] = []
    pending = ""
    for part in (text or "").split(","):
        piece = f"{pending},{part}" if pending else part
        if "=" not in piece:
            pending = piece
            continue
        name, _, value = piece.rpartition("=")
        pairs.append((name.strip(), value.strip()))
        pending = ""
    if pending.strip():
        raise InputError(f"{option} {pending.strip()}: write NAME=VALUE, several separated by commas")
    return pairs


def number_of(what: str, value: str) -> float:
    """Read a number.

    Raises:
        InputError: The text is not a number.
    """
    try:
        return float(value.removesuffix("%"))
    except ValueError:
        raise InputError(f"{what}={value}: not a number; write NAME=62.5") from None


def _units(units: list[str] | None) -> list[tuple[str, str]]:
    return [pair for text in units or [] for pair in pairs_of("--unit", text)]


@forecast_app.command("structure", cls=FamilyCommand)
def structure(
    table: Table,
    models: Models = None,
    unit: Unit = None,
    out: Annotated[Path | None, typer.Option(help="Table of pairs to write: .csv, .parquet or .jsonl.")] = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Say how benchmarks agree: corrected correlations, factors, redundant and lone benchmarks, ranks.

    Example: capscope forecast structure scores.csv --models models.csv
    """
    from capscope import files
    from capscope.forecast import forecast_structure, published_scores

    if out is not None:
        files.refuse_file(out, force=force)
    structure = forecast_structure(published_scores(table, models, dict(_units(unit))), seed=seed)
    if out is not None:
        files.write_table(out, structure.pairs, force=force)
    emit(structure.as_dict(), as_json, structure.as_text())


@forecast_app.command("change", cls=FamilyCommand)
def change(
    table: Table,
    models: Models = None,
    series: Annotated[str | None, typer.Option(help="Column of models that names series, such as runs.")] = None,
    time: Annotated[str, typer.Option(help="With --series: column with the order in a series.")] = "step",
    unit: Unit = None,
    level: Annotated[float, typer.Option(min=0.5, max=0.99, help="Coverage of the intervals.")] = 0.8,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Say how fast the best models improve and when benchmarks saturate, or how clearly benchmarks show progress.

    Example: capscope forecast change scores.csv --models dates.csv

    Example: capscope forecast change checkpoints.csv --models steps.csv --series run --time step
    """
    from capscope.forecast import published_scores, score_change, series_signal

    read = published_scores(table, models, dict(_units(unit)))
    if series is not None:
        signal = series_signal(read, series, time)
        emit({"series": series, "benchmarks": signal.to_dict("records")}, as_json, table_text(signal))
        return
    change = score_change(read, level=level, seed=seed)
    emit(change.as_dict(), as_json, change.as_text())


@forecast_app.command("scaling", cls=FamilyCommand)
def scaling(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="Answers of models of several sizes or checkpoints.")],
    models: Annotated[
        Path | None, typer.Option(help="Table with columns model and size, tokens, compute or date; else the study's.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="Scale to forecast: size=70, or size=70,tokens=15.  [default: twice the largest]")
    ] = None,
    benchmark: Annotated[str | None, typer.Option(help="One benchmark only.")] = None,
    holdout: Annotated[int, typer.Option(min=0, help="Hold out this many of the largest rungs and forecast them.")] = 0,
    level: Annotated[float, typer.Option(min=0.5, max=0.99, help="Coverage of the intervals.")] = 0.8,
    out: Annotated[Path | None, typer.Option(help="Table to write: .csv, .parquet or .jsonl.")] = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Forecast a larger model from the item answers of smaller ones, by clusters of items; or say why that fails.

    Example: capscope forecast scaling study --models sizes.csv --at size=70
    """
    from capscope import files
    from capscope.data import read_study
    from capscope.forecast import ScalingSettings, item_scaling, models_of_study

    if out is not None:
        files.refuse_file(out, force=force)
    settings = ScalingSettings(
        at=dict(pairs_of("--at", at)), benchmark=benchmark, holdout=holdout, level=level, seed=seed
    )
    result = item_scaling(read_study(study), models or models_of_study(study), settings=settings)
    if out is not None:
        files.write_table(out, result.benchmarks if result.held_out is None else result.held_out, force=force)
    emit(result.as_dict(), as_json, result.as_text())


@forecast_app.command("horizon", cls=FamilyCommand)
def horizon(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A study whose items have human times.")],
    minutes: Annotated[
        str, typer.Option(help="Column of the items with the minutes a skilled human takes.")
    ] = "minutes",
    rating: Annotated[str | None, typer.Option(help="Column with a rating (Elo, Glicko) in place of minutes.")] = None,
    models: Annotated[Path | None, typer.Option(help="Table with columns model and date, for the growth.")] = None,
    chance: Annotated[
        list[float] | None, typer.Option(help="Chance of success of a horizon; may be repeated.  [default: 0.5, 0.8]")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="Column of the items sampled together; by default tasks, where there are enough.")
    ] = None,
    level: Annotated[float, typer.Option(min=0.5, max=0.99, help="Coverage of the intervals.")] = 0.9,
    out: Annotated[Path | None, typer.Option(help="Table to write: .csv, .parquet or .jsonl.")] = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Say how long a task may take a human before each model's chance falls to 50 and 80 %, and how fast that grows.

    Example: capscope forecast horizon study --minutes minutes --models dates.csv
    """
    from capscope import files
    from capscope.data import read_study
    from capscope.forecast import HorizonSettings, time_horizons

    if out is not None:
        files.refuse_file(out, force=force)
    chances = tuple(chance) if chance else (0.5, 0.8)
    settings = HorizonSettings(minutes=minutes, rating=rating, chances=chances, cluster=cluster, level=level, seed=seed)
    horizons = time_horizons(read_study(study), models, settings=settings)
    if out is not None:
        files.write_table(out, horizons.models, force=force)
    emit(horizons.as_dict(), as_json, horizons.as_text())
