"""Batch jobs: questions written to files, submitted, and collected later, at half the price where endpoints offer it.

The order of work makes a crash harmless at any point: the file and the map of its ids are stored before it is uploaded,
each id that the endpoint gives is stored at once, and a batch whose creation was not noted is found again by the id
that it carries as metadata.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from capscope.endpoint.asking import Question
from capscope.endpoint.batch_book import Batch, BatchBook
from capscope.endpoint.capability import Capability
from capscope.endpoint.client import EndpointSettings, read_completion
from capscope.endpoint.cost import Prices
from capscope.endpoint.messages import ChatReply, Sampling
from capscope.endpoint.redaction import redact
from capscope.errors import EndpointError

if TYPE_CHECKING:
    pass

MOST_REQUESTS = 50_000
"""Requests in a file."""
MOST_BYTES = 200_000_000
"""Bytes in a file."""
OVER = ("completed", "expired", "cancelled", "failed")
NOT_SENT = ("batch_expired", "batch_cancelled")
URL = "/v1/chat/completions"

Found = TypeVar("Found")


@dataclass(frozen=True)
class BatchStatus:
    """Where one batch stands."""

    batch_id: str
    """The endpoint's id; empty while not submitted."""
    state: str
    """The endpoint's word, or ours (``written``, ``uploaded``, ``collected``)."""
    requests: int
    """Requests in it."""
    answered: int
    """Requests that the endpoint has answered."""


@dataclass(frozen=True)
class CollectedBatches:
    """What was fetched."""

    answered: int
    """Replies stored."""
    failed: int
    """Requests that the endpoint refused; their problem is in the ledger."""
    not_sent: int
    """Requests that expired, were cancelled or are missing; they go out again with the next submission."""
    pending: int
    """Batches that are still under way."""
    problems: tuple[str, ...]
    """Why whole batches were refused."""


class BatchClient:
    """Writes, submits, watches and collects the batches of one ledger."""

    def __init__(self, settings: EndpointSettings, book: BatchBook, folder: Path) -> None:
        """Take what is needed; nothing is sent yet.

        Args:
            settings: The endpoint.
            book: Where ids are kept.
            folder: Where JSONL files go.
        """
        from openai import OpenAI

        self._settings, self._book, self._folder = settings, book, folder
        self._openai: OpenAI = OpenAI(
            base_url=settings.base_url, api_key=settings.api_key or "none", timeout=settings.timeout, max_retries=0
        )

    def __enter__(self) -> "BatchClient":
        """Return the client."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._openai.close()

    def write(
        self,
        questions: Iterable[Question],
        capability: Capability,
        sampling: Sampling,
        most_requests: int = MOST_REQUESTS,
    ) -> int:
        """Write the questions that have no reply and are in no batch into files, and return how many they are.

        Args:
            questions: What to ask.
            capability: What the endpoint can do.
            sampling: How the model is to answer.
            most_requests: Requests in a file.
        """
        written = 0
        wanted = ((q, _line(q, capability, sampling)) for q in questions if self._book.wanted(q.key))
        for chunk in _files(wanted, most_requests, MOST_BYTES):
            local_id = self._book.new_id()
            path = self._folder / f"{local_id}.jsonl"
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(line for _, line in chunk))
            batch = Batch(local_id, str(path), None, None, "written", len(chunk), sampling.model)
            self._book.record(batch, [question.key for question, _ in chunk])
            written += len(chunk)
        return written

    def submit(self) -> list[str]:
        """Upload and start every batch that is not under way, and return the endpoint's ids of those that now are.

        Raises:
            EndpointError: The endpoint refuses; what was submitted before stays so.
        """
        for batch in self._book.batches("written"):
            content = Path(batch.path).read_bytes()
            name = f"{batch.local_id}.jsonl"
            uploaded = self._call(lambda c=content, n=name: self._openai.files.create(file=(n, c), purpose="batch"), 1)
            self._book.note(batch, "uploaded", file_id=uploaded.id)
        waiting = self._book.batches("uploaded")
        known = self._started() if waiting else {}
        return [self._start(batch, known) for batch in waiting]

    def status(self) -> list[BatchStatus]:
        """Ask how every batch stands that is not collected.

        Raises:
            EndpointError: The endpoint refuses.
        """
        found = [BatchStatus("", b.state, b.requests, 0) for b in self._book.batches("written", "uploaded")]
        for batch in self._book.batches("submitted"):
            remote = self._retrieve(batch)
            counts = remote.request_counts
            found.append(BatchStatus(remote.id, remote.status, batch.requests, counts.completed if counts else 0))
        return found

    def collect(self, prices: Prices | None = None) -> CollectedBatches:
        """Fetch the replies of every batch that is over; results may come in any order.

        Args:
            prices: Prices of batch calls, to note what replies cost.

        Raises:
            EndpointError: The endpoint refuses; batches collected before stay so.
        """
        counts, problems = Counter[str](), list[str]()
        for batch in self._book.batches("submitted"):
            remote = self._retrieve(batch)
            if remote.status not in OVER:
                counts["pending"] += 1
                continue
            missing = self._book.keys(batch)
            for file_id in (remote.output_file_id, remote.error_file_id):
                for custom_id, reply in self._results(file_id):
                    key = missing.pop(custom_id, None)
                    if key is None:
                        continue
                    counts[self._store(key, reply, batch.model, prices)] += 1
            counts["not_sent"] += self._book.free(missing.values())
            problems += [redact(str(error.message)) for error in (remote.errors.data if remote.errors else None) or []]
            self._book.note(batch, "collected")
        numbers = (counts[name] for name in ("answered", "failed", "not_sent", "pending"))
        return CollectedBatches(*numbers, problems=tuple(problems))

    def _start(self, batch: Batch, known: dict[str, str]) -> str:
        batch_id = known.get(batch.local_id)
        if batch_id is None:
            file_id = str(batch.file_id)
            created = self._call(
                lambda: self._openai.batches.create(
                    completion_window="24h",
                    endpoint=URL,
                    input_file_id=file_id,
                    metadata={"capscope": batch.local_id},
                ),
                1,
            )
            batch_id = created.id
        self._book.note(batch, "submitted", batch_id=batch_id)
        return batch_id

    def _started(self) -> dict[str, str]:
        """Return the endpoint's batches that carry an id of ours."""
        listed: Any = self._call(lambda: list(self._openai.batches.list(limit=100)), 3)
        return {str(found.metadata["capscope"]): found.id for found in listed if (found.metadata or {}).get("capscope")}

    def _retrieve(self, batch: Batch) -> Any:  # noqa: ANN401 - the client's own type, which is not ours to name
        return self._call(lambda: self._openai.batches.retrieve(str(batch.batch_id)), 3)

    def _results(self, file_id: str | None) -> Iterator[tuple[str, ChatReply | None]]:
        if file_id is None:
            return
        content = self._call(lambda: self._openai.files.content(file_id).text, 3)
        for line in content.split("\n"):
            if line.strip():
                yield read_result(line)

    def _store(self, key: str, reply: ChatReply | None, model: str, prices: Prices | None) -> str:
        if reply is None:
            self._book.free([key])
            return "not_sent"
        usd = prices.of(reply.usage) if prices else None
        self._book.ledger.put(key, reply, model, usd)
        return "failed" if reply.problem else "answered"

    def _call(self, action: Callable[[], Found], attempts: int) -> Found:
        """Make a call; those that start or pay for something get one attempt, those that only look get more."""
        import openai

        for attempt in range(attempts):
            try:
                return action()
            except openai.APIError as error:
                refused = isinstance(error, openai.APIStatusError) and error.status_code < 500
                if refused or attempt + 1 == attempts:
                    message = redact(str(error), self._settings.api_key)
                    raise EndpointError(
                        f"{self._settings.shown_url}: {message}; nothing is lost, run the same command again"
                    ) from None
                time.sleep(self._settings.first_pause * 2**attempt)
        raise AssertionError("at least one attempt is made")


def read_result(line: str) -> tuple[str, ChatReply | None]:
    """Read one line of a result file; None stands for a request that was not sent."""
    try:
        found: dict[str, Any] = json.loads(line)
        custom_id = str(found["custom_id"])
    except (ValueError, LookupError, TypeError):
        return "", None
    error = found.get("error") or {}
    if error.get("code") in NOT_SENT:
        return custom_id, None
    response = found.get("response") or {}
    if error or response.get("status_code") != 200:
        message = error.get("message") or json.dumps(response.get("body"))
        return custom_id, ChatReply(problem=f"HTTP {response.get('status_code')}: {redact(str(message))}")
    return custom_id, read_completion(json.dumps(response.get("body")))


def _line(question: Question, capability: Capability, sampling: Sampling) -> bytes:
    body = capability.body(question.request, sampling)
    row = {"custom_id": BatchBook.custom_id(question.key), "method": "POST", "url": URL, "body": body}
    # Plain ASCII keeps characters such as U+2028, which some readers take for a line's end, out of the file.
    return json.dumps(row).encode() + b"\n"


def _files(
    lines: Iterable[tuple[Question, bytes]], most_requests: int, most_bytes: int
) -> Iterator[list[tuple[Question, bytes]]]:
    """Cut lines into files within both limits; a question that comes twice goes out once."""
    chunk: list[tuple[Question, bytes]] = []
    size, seen = 0, set[str]()
    for question, line in lines:
        if question.key in seen:
            continue
        seen.add(question.key)
        if chunk and (len(chunk) == most_requests or size + len(line) > most_bytes):
            yield chunk
            chunk, size = [], 0
        chunk.append((question, line))
        size += len(line)
    if chunk:
        yield chunk
