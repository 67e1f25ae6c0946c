"""``capscope failures``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capscope.cli.annotate_command import (
    Attempts,
    Concurrency,
    MaxFailures,
    MaxUsd,
    MaxUsdTotal,
    Only,
    OnlyFailed,
    Samples,
    ShowPlan,
    Temperature,
    Timeout,
    Url,
    UsdIn,
    UsdOut,
    Yes,
    confirm_plan,
    kept_on_interrupt,
    progress_line,
)
from capscope.cli.options import AsJson, Force
from capscope.cli.output import emit, table_text

if TYPE_CHECKING:
    from capscope.annotate import Failures

Logs = Annotated[list[Path], typer.Argument(help="Inspect logs (.eval, .json), or folders of them.")]
Judge = Annotated[str, typer.Option(help="Who judges: openai:MODEL.")]
Demands = Annotated[Path, typer.Option(help="The demands: agentic, general or a folder of CODE.txt files.")]
Below = Annotated[float, typer.Option(min=0, max=1.000001, help="A run that scores less has failed.")]
Scorer = Annotated[str, typer.Option(help="Whose value is the score, where a log has several.")]
Divide = Annotated[str, typer.Option(help="Divide failures by model, or by a facet such as scaffold.")]
MaxTokens = Annotated[int, typer.Option(min=1, help="Longest reply.")]
LedgerFile = Annotated[Path | None, typer.Option(help="Where replies are kept; by default in the working folder.")]
Table = Annotated[Path | None, typer.Option(help="Table of causes to write: .csv, .parquet or .jsonl.")]
AnySeed = Annotated[int, typer.Option(help="Seed of the chance in retry pauses.")]


def failures(
    logs: Logs,
    annotator: Judge,
    rubrics: Demands = Path("agentic"),
    only: Only = "",
    below: Below = 0.5,
    scorer: Scorer = "",
    by: Divide = "model",
    base_url: Url = None,  # noqa: ARG001 - like the other settings, it goes on by its name
    concurrency: Concurrency = 8,  # noqa: ARG001
    timeout: Timeout = 120.0,  # noqa: ARG001
    attempts: Attempts = 6,  # noqa: ARG001
    samples: Samples = 1,  # noqa: ARG001
    temperature: Temperature = 0.0,  # noqa: ARG001
    max_tokens: MaxTokens = 1500,  # noqa: ARG001
    only_failed: OnlyFailed = False,  # noqa: ARG001
    plan: ShowPlan = False,
    usd_in: UsdIn = None,  # noqa: ARG001
    usd_out: UsdOut = None,  # noqa: ARG001
    max_usd: MaxUsd = None,  # noqa: ARG001
    max_usd_total: MaxUsdTotal = None,  # noqa: ARG001
    max_failures: MaxFailures = 20,  # noqa: ARG001
    yes: Yes = False,
    ledger: LedgerFile = None,  # noqa: ARG001
    out: Table = None,
    force: Force = False,
    seed: AnySeed = 0,  # noqa: ARG001
    as_json: AsJson = False,
) -> None:
    """Say where runs of agents failed, by demand. Example: capscope failures logs --annotator openai:gpt-4o --plan."""
    given = locals()
    from capscope.annotate import as_transcripts, failure_annotator
    from capscope.files import refuse_file

    given["only"] = tuple(code.strip() for code in only.split(",") if code.strip())
    judge = failure_annotator(annotator, given, for_plan=plan)
    if out is not None:
        refuse_file(out, force=force)
    runs = as_transcripts(logs, scorer)
    if plan:
        emit(judge.plan(runs).as_dict(), as_json, judge.plan(runs).as_text())
        return
    confirm_plan(judge.plan(runs), yes)
    with kept_on_interrupt(judge.chat.ledger):
        outcome = judge.run(runs, progress_line())
        if out is not None:
            outcome.save(out)
    _show(outcome, by, as_json)
    if outcome.stop is not None:
        raise outcome.stop
    if outcome.report.judged == 0:
        raise typer.Exit(1)


def _show(outcome: "Failures", by: str, as_json: bool) -> None:
    """Print the report, and how failures divide among demands."""
    shares = outcome.by_demand(by)
    result = outcome.report.as_dict() | {"by_demand": shares.to_dict("records")}
    result["causes"] = outcome.causes.to_dict("records")
    lines = [outcome.report.as_text(), *([table_text(shares)] if len(shares) else [])]
    emit(result, as_json, "\n".join(lines))
