"""``capscope import tidy`` and ``capscope import adele``."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capscope.cli.options import AsJson, Encoding, Force, NotAdministered, StudyOut
from capscope.cli.output import emit

if TYPE_CHECKING:
    from capscope.data import Study
    from capscope.data.formats import ImportReport


def import_tidy_command(
    paths: Annotated[list[Path], typer.Argument(help="CSV, TSV, JSONL, JSON or Parquet files.")],
    out: StudyOut,
    model_col: Annotated[str | None, typer.Option(help="Column of model names.")] = None,
    id_col: Annotated[str | None, typer.Option(help="Column of item ids.")] = None,
    score_col: Annotated[str | None, typer.Option(help="Column of scores from 0 to 1.")] = None,
    benchmark_col: Annotated[str | None, typer.Option(help="Column that names each item's benchmark.")] = None,
    task_col: Annotated[str | None, typer.Option(help="Column that names each item's task.")] = None,
    text_col: Annotated[str | None, typer.Option(help="Column with each item's text.")] = None,
    trials_col: Annotated[str | None, typer.Option(help="Column with the trials behind each score.")] = None,
    wide: Annotated[bool, typer.Option("--wide", help="Rows are models, columns are items.")] = False,
    wide_items: Annotated[bool, typer.Option("--wide-items", help="Rows are items, columns are models.")] = False,
    not_administered: NotAdministered = None,
    items: Annotated[Path | None, typer.Option(help="Table of items.")] = None,
    demands: Annotated[Path | None, typer.Option(help="Table of demand levels.")] = None,
    annotator: Annotated[str | None, typer.Option(help="Who rated the demands.")] = None,
    encoding: Encoding = "utf-8",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Tables of scores, long or wide. Example: capscope import tidy scores.csv --id-col question --out STUDY."""
    from capscope.data.formats import Columns, ExtraTables, import_tidy

    if wide and wide_items:
        raise typer.BadParameter("--wide and --wide-items exclude each other")
    columns = Columns(model_col, id_col, score_col, benchmark_col, task_col, text_col, trials_col)
    layout = "wide" if wide else "wide-items" if wide_items else "long"
    extra = ExtraTables(items, demands, annotator)
    import_into(
        out, lambda: import_tidy(paths, columns, layout, not_administered or [], extra, encoding), force, as_json
    )


def import_adele_command(
    battery: Annotated[Path, typer.Argument(help="The battery, with its demand columns.")],
    out: StudyOut,
    tables: Annotated[list[Path] | None, typer.Argument(help="Answers of models, or demand levels.")] = None,
    annotator: Annotated[str, typer.Option(help="Who rated in tables of demand levels.")] = "gpt-4o",
    battery_annotator: Annotated[str, typer.Option(help="Who rated in the battery.")] = "gpt-4o",
    not_administered: NotAdministered = None,
    encoding: Encoding = "utf-8",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """ADeLe battery, answers and levels. Example: capscope import adele battery.csv GPT-4o.csv --out STUDY."""
    from capscope.data.formats import import_adele

    import_into(
        out,
        lambda: import_adele(battery, tables or [], annotator, battery_annotator, not_administered or [], encoding),
        force,
        as_json,
    )


def import_into(out: Path, read: "Callable[[], tuple[Study, ImportReport]]", force: bool, as_json: bool) -> None:
    """Refuse to overwrite anything before it is read, then read, save the study and print what became of it."""
    from capscope.data import refuse_overwriting
    from capscope.errors import first_few

    refuse_overwriting(out, force=force)
    study, report = read()
    study.save(out, force=force)
    lines = [
        f"{out}: {report.responses} responses of {report.models} models on {report.items} items,"
        f" {report.levels} demand levels",
        f"read {report.rows} rows from {first_few(report.sources)}",
        f"not administered: {report.not_administered}; demands without a level: {report.unrated}",
        *report.notes,
    ]
    emit({"study": str(out), **report.as_dict()}, as_json, "\n".join(lines))
