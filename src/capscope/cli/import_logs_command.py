"""``capscope import`` of logs: Inspect, lm-eval, HELM, Every Eval Ever, batches, and the formats of other IRT tools."""

from pathlib import Path
from typing import Annotated

import typer

from capscope.cli.import_command import import_into
from capscope.cli.options import AsJson, Encoding, Force, LoggedModel, Metrics, NotAdministered, StudyOut


def import_inspect_command(
    paths: Annotated[list[Path], typer.Argument(help=".eval and .json logs, or folders of them.")],
    out: StudyOut,
    scorers: Annotated[
        list[str] | None,
        typer.Option("--scorer", help="Whose value counts; may be repeated, first choice first."),
    ] = None,
    no_answer: Annotated[str, typer.Option(help="What N means: missing (no response) or wrong.")] = "missing",
    model: LoggedModel = None,
    not_administered: NotAdministered = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Inspect logs. Example: capscope import inspect logs --scorer match --out STUDY."""
    from capscope.data.formats import import_inspect

    import_into(
        out, lambda: import_inspect(paths, scorers or [], no_answer, model, not_administered or []), force, as_json
    )


def import_lm_eval_command(
    paths: Annotated[list[Path], typer.Argument(help="samples_*.jsonl, or folders of them.")],
    out: StudyOut,
    metrics: Metrics = None,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="Whose answers count; may be repeated, first choice first.")
    ] = None,
    model: LoggedModel = None,
    not_administered: NotAdministered = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Samples of lm-evaluation-harness. Example: capscope import lm-eval results --metric acc --out STUDY."""
    from capscope.data.formats import import_lm_eval

    import_into(
        out, lambda: import_lm_eval(paths, metrics or [], filters or [], model, not_administered or []), force, as_json
    )


def import_helm_command(
    paths: Annotated[list[Path], typer.Argument(help="Run folders, or folders that hold some.")],
    out: StudyOut,
    metrics: Metrics = None,
    model: LoggedModel = None,
    not_administered: NotAdministered = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """HELM runs. Example: capscope import helm benchmark_output/runs/v1 --metric exact_match --out STUDY."""
    from capscope.data.formats import import_helm

    import_into(out, lambda: import_helm(paths, metrics or [], model, not_administered or []), force, as_json)


def import_every_eval_ever_command(
    paths: Annotated[list[Path], typer.Argument(help="*_samples.jsonl, or folders of them.")],
    out: StudyOut,
    metrics: Metrics = None,
    model: LoggedModel = None,
    not_administered: NotAdministered = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Every Eval Ever 0.3. Example: capscope import every-eval-ever data/mmlu --out STUDY."""
    from capscope.data.formats import import_every_eval_ever

    import_into(
        out, lambda: import_every_eval_ever(paths, metrics or [], model, not_administered or []), force, as_json
    )


def import_openai_batch_command(
    paths: Annotated[list[Path], typer.Argument(help="Output and error files of batches.")],
    out: StudyOut,
    rubric: Annotated[str | None, typer.Option(help="What the file rates, where custom_id is the item.")] = None,
    names: Annotated[Path | None, typer.Option(help="Table of custom_id, item_id, rubric.")] = None,
    annotator: Annotated[str | None, typer.Option(help="Who rated; by default the model of each reply.")] = None,
    items: Annotated[Path | None, typer.Option(help="Table of the items.")] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Demand levels from the OpenAI Batch API. Example: capscope import openai-batch out.jsonl --out STUDY."""
    from capscope.annotate import parse_reply
    from capscope.data.formats import BatchNames, import_openai_batch

    batch = BatchNames(rubric, names, annotator)
    import_into(
        out,
        lambda: import_openai_batch(paths, lambda text, finish: parse_reply(text, finish).level, batch, items),
        force,
        as_json,
    )


def import_pyirt_command(
    paths: Annotated[list[Path], typer.Argument(help="Files of JSON lines.")],
    out: StudyOut,
    not_administered: NotAdministered = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """JSON lines of py-irt. Example: capscope import pyirt data.jsonlines --out STUDY."""
    from capscope.data.formats import import_pyirt

    import_into(out, lambda: import_pyirt(paths, not_administered or []), force, as_json)


def import_irw_command(
    paths: Annotated[list[Path], typer.Argument(help="CSV, TSV or Parquet with id, item, resp.")],
    out: StudyOut,
    not_administered: NotAdministered = None,
    encoding: Encoding = "utf-8",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Item Response Warehouse. Example: capscope import irw table.csv --out STUDY."""
    from capscope.data.formats import import_irw

    import_into(out, lambda: import_irw(paths, not_administered or [], encoding), force, as_json)


def import_torch_measure_command(
    paths: Annotated[list[Path], typer.Argument(help="BENCHMARK.parquet, or folders with the registries beside it.")],
    out: StudyOut,
    not_administered: NotAdministered = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Long form of torch-measure. Example: capscope import torch-measure folder --out STUDY."""
    from capscope.data.formats import import_torch_measure

    import_into(out, lambda: import_torch_measure(paths, not_administered or []), force, as_json)
