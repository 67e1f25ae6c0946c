"""The annotator through batch jobs: submit now, collect later, with the same questions, ledger and labels."""

import asyncio
from dataclasses import dataclass

import numpy as np

from capscope.annotate.annotator import Annotation, AnnotationOutcome, question
from capscope.annotate.cells import cells
from capscope.annotate.judgements import collect
from capscope.endpoint import (
    BatchBook,
    BatchClient,
    BatchStatus,
    Capability,
    ChatClient,
    CollectedBatches,
    EndpointSettings,
    Ledger,
    Tally,
    find_capability,
)

FOLDER_NAME = "batches"
"""Folder beside the ledger in which request files are kept."""


@dataclass(frozen=True)
class Submitted:
    """What went out."""

    requests: int
    """Questions newly written into files."""
    batches: tuple[str, ...]
    """The endpoint's ids of the batches that were started."""


def submit_batches(
    run: Annotation, settings: EndpointSettings, rng: np.random.Generator, only_failed: bool = False
) -> Submitted:
    """Write every question without a reply into request files and start them as batches.

    Args:
        run: The annotation run.
        settings: The endpoint.
        rng: Source of the chance in retry pauses.
        only_failed: Send only questions that failed or whose reply was unparsed, the latter anew.

    Raises:
        EndpointError: The endpoint refuses; what was written stays, and the same command goes on from there.
    """
    with Ledger(run.ledger) as ledger, _client(run, settings, ledger) as client:
        capability = asyncio.run(_capability(run, settings, ledger, rng))
        questions = run.failed(ledger) if only_failed else map(question, cells(run.job))
        written = client.write(questions, capability, run.job.sampling)
        return Submitted(written, tuple(client.submit()))


def batch_status(run: Annotation, settings: EndpointSettings) -> list[BatchStatus]:
    """Ask how the batches of a run's ledger stand.

    Raises:
        EndpointError: The endpoint refuses.
    """
    with Ledger(run.ledger) as ledger, _client(run, settings, ledger) as client:
        return client.status()


def collect_batches(run: Annotation, settings: EndpointSettings) -> tuple[CollectedBatches, AnnotationOutcome]:
    """Fetch what is ready and read all replies of the run.

    Raises:
        EndpointError: The endpoint refuses; what was fetched is in the ledger.
    """
    with Ledger(run.ledger) as ledger, _client(run, settings, ledger) as client:
        fetched = client.collect(run.prices)
        tally = Tally(asked=fetched.answered, failed=fetched.failed)
        return fetched, AnnotationOutcome(run, collect(cells(run.job), ledger), tally)


def _client(run: Annotation, settings: EndpointSettings, ledger: Ledger) -> BatchClient:
    return BatchClient(settings, BatchBook(ledger), run.ledger.parent / FOLDER_NAME)


async def _capability(
    run: Annotation, settings: EndpointSettings, ledger: Ledger, rng: np.random.Generator
) -> Capability:
    async with ChatClient(settings, rng) as client:
        return await find_capability(client, ledger, run.job.sampling) or Capability("text")
