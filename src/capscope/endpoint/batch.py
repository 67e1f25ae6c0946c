"""Batch jobs: files of questions that are submitted now and collected later, at half the price where offered.

A crash at any point loses nothing: the file and the map of its ids are stored before the upload, each id from the
endpoint is stored at once, and a batch whose creation was not recorded is found again by the id in its metadata.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from capscope.endpoint.answer_body import read_json
from capscope.endpoint.asking import Question
from capscope.endpoint.batch_book import Batch, BatchBook
from capscope.endpoint.batch_calls import BatchCalls, RemoteBatch
from capscope.endpoint.capability import Capability
from capscope.endpoint.completion import read_batch_row
from capscope.endpoint.cost import Prices
from capscope.endpoint.messages import ChatReply, Sampling
from capscope.endpoint.settings import EndpointSettings, redact, without_key
from capscope.errors import counted
from capscope.files import write_bytes

MOST_REQUESTS = 50_000
"""Requests in a file."""
MOST_BYTES = 200_000_000
"""Bytes in a file."""
URL = "/v1/chat/completions"
SHORTAGE_SECONDS = 3600.0
"""How long replies that the endpoint counts as answered have to be missing from its files before they are given up."""


@dataclass(frozen=True)
class BatchStatus:
    """State of one batch."""

    batch_id: str
    """The endpoint's id; empty while not submitted."""
    state: str
    """State by the endpoint, or one of ``written``, ``uploaded``, ``collected``."""
    requests: int
    """Requests in it."""
    answered: int
    """Requests that the endpoint has answered."""


@dataclass(frozen=True)
class CollectedBatches:
    """Counts of collected batches."""

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
    """Client that writes, submits and collects the batches of one ledger."""

    def __init__(self, settings: EndpointSettings, book: BatchBook, folder: Path) -> None:
        """Store the settings; nothing is sent yet.

        Args:
            settings: The endpoint.
            book: Where ids are kept.
            folder: Where JSONL files go.
        """
        self._settings, self._book, self._folder = settings, book, folder
        self._calls = BatchCalls(settings)

    def __enter__(self) -> "BatchClient":
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self._calls.close()

    def write(
        self,
        questions: Iterable[Question],
        capability: Capability,
        sampling: Sampling,
        most_requests: int = MOST_REQUESTS,
        largest_usd: Callable[[Question], float | None] = lambda _: None,
        on_recorded: Callable[[float], None] = lambda _: None,
    ) -> int:
        """Write the questions that have no reply and are in no batch into files, and return how many they are.

        Args:
            questions: What to ask.
            capability: What the endpoint can do.
            sampling: How the model is to answer.
            most_requests: Requests in a file.
            largest_usd: Largest price of a question, which counts as spent until its reply is fetched; None unknown.
            on_recorded: Called with the sum of these prices once a file of questions is in the ledger.
        """
        written = 0
        wanted = ((q, _line(q, capability, sampling)) for q in questions if self._book.wanted(q.key))
        for chunk in _files(wanted, most_requests, MOST_BYTES):
            local_id = self._book.new_id()
            path = self._folder / f"{local_id}.jsonl"
            write_bytes(path, b"".join(line for _, line in chunk))
            batch = Batch(local_id, str(path), None, None, "written", len(chunk), sampling.model)
            prices = {question.key: largest_usd(question) for question, _ in chunk}
            self._book.record(batch, prices)
            on_recorded(sum(price or 0.0 for price in prices.values()))
            written += len(chunk)
        return written

    def submit(self) -> list[str]:
        """Upload and start every batch that is not running, and return the endpoint's ids of those that now are.

        Raises:
            EndpointError: The endpoint refuses; what was submitted before stays so.
        """
        for batch in self._book.batches("written"):
            file_id = self._calls.upload(f"{batch.local_id}.jsonl", Path(batch.path).read_bytes())
            self._book.note(batch, "uploaded", file_id=file_id)
        waiting = self._book.batches("uploaded")
        known = self._calls.started() if waiting else {}
        return [self._start(batch, known) for batch in waiting]

    def status(self) -> list[BatchStatus]:
        """Return the state of every batch that is not collected.

        Raises:
            EndpointError: The endpoint refuses.
        """
        states = [BatchStatus("", b.state, b.requests, 0) for b in self._book.batches("written", "uploaded")]
        for batch in self._book.batches("submitted"):
            remote = self._calls.batch(str(batch.batch_id))
            states.append(BatchStatus(remote.batch_id, remote.status, batch.requests, remote.answered or 0))
        return states

    def collect(self, prices: Prices | None = None) -> CollectedBatches:
        """Fetch the replies of every finished batch; results may come in any order.

        A batch whose result file is truncated stays open and is fetched again.

        Args:
            prices: Prices of batch calls, to note what replies cost.

        Raises:
            EndpointError: The endpoint refuses; batches collected before stay so.
        """
        counts, problems = Counter[str](), list[str]()
        for batch in self._book.batches("submitted"):
            remote = self._calls.batch(str(batch.batch_id))
            if not remote.is_over:
                counts["pending"] += 1
                continue
            problems += remote.problems
            missing = self._book.keys(batch)
            unread, cut = list[str](), False
            for file_id in remote.file_ids:
                lines, whole = self._lines(file_id)
                cut |= not whole
                for line in lines:
                    self._take(line, missing, unread, counts, batch, prices)
            lost = max(len(missing) - len(unread), 0)  # a row that cannot be read did arrive
            short = self._is_short(batch, remote, lost)
            if cut or (short and not self._given_up(batch, remote, lost)):
                counts["pending"] += 1
                problems.append(
                    f"batch {remote.batch_id}: its file arrived cut; {counted(len(missing), 'reply', 'are')} missing:"
                    f" collect again"
                )
                continue
            if short:
                problems.append(
                    f"batch {remote.batch_id}: {counted(lost, 'reply', 'are')} in none of its files, though the"
                    " endpoint counts them as answered; they have failed, and what was set aside for them stays spent"
                )
            self._close(batch, missing, unread, counts, short=short)
        numbers = (counts[name] for name in ("answered", "failed", "not_sent", "pending"))
        return CollectedBatches(*numbers, problems=tuple(problems))

    @staticmethod
    def _is_short(batch: Batch, remote: RemoteBatch, missing: int) -> bool:
        """Return whether fewer rows arrived than the endpoint counts as answered."""
        answered = remote.answered
        if answered is None:
            answered = batch.requests if remote.status == "completed" else 1
        return bool(remote.file_ids) and batch.requests - missing < answered

    def _given_up(self, batch: Batch, remote: RemoteBatch, missing: int) -> bool:
        """Return whether the same rows have been missing for so long that they will not come; their time is noted.

        Rows that the endpoint has answered are paid for: until then they must not be asked again.
        """
        name, now = f"short batch {remote.batch_id}", time.time()
        noted = self._book.ledger.fact(name) or {}
        since = noted.get("since") if noted.get("missing") == missing else None
        if not isinstance(since, int | float):
            self._book.ledger.record_fact(name, {"missing": missing, "since": now})
            return False
        return missing < batch.requests and now - since > SHORTAGE_SECONDS

    def _take(
        self,
        line: str,
        missing: dict[str, str],
        unread: list[str],
        counts: Counter[str],
        batch: Batch,
        prices: Prices | None,
    ) -> None:
        """Store the reply of one line and remove its question from the missing ones."""
        row = read_batch_row(line)
        if row is None:
            unread.append(line)
            return
        key = missing.pop(row[0], None)
        if key is not None:
            counts[self._store(key, row[1], batch.model, prices)] += 1

    def _close(
        self, batch: Batch, missing: dict[str, str], unread: list[str], counts: Counter[str], *, short: bool
    ) -> None:
        """Close a batch: questions whose rows cannot be read, or were lost, have failed; others were not sent."""
        keys = list(missing.values())
        for key, line in zip(keys, unread, strict=False):
            kept = without_key(line[:500], self._settings.api_key)
            reply = ChatReply(kept, problem=f"the batch's row cannot be read: {redact(kept)[:80]}")
            counts[self._store(key, reply, batch.model, None)] += 1
        rest = keys[len(unread) :]
        if short:
            for key in rest:
                lost = ChatReply(problem="the endpoint counts it as answered, but its reply is in no file of the batch")
                counts[self._store(key, lost, batch.model, None)] += 1
        else:
            counts["not_sent"] += self._book.free(rest)
        self._book.note(batch, "collected")

    def _start(self, batch: Batch, known: dict[str, str]) -> str:
        batch_id = known.get(batch.local_id)
        if batch_id is None:
            batch_id = self._calls.start(str(batch.file_id), URL, batch.local_id)
        self._book.note(batch, "submitted", batch_id=batch_id)
        return batch_id

    def _lines(self, file_id: str) -> tuple[list[str], bool]:
        """Return the lines of a result file, and whether its last one is whole; a cut file is fetched once more."""
        lines: list[str] = []
        for _ in range(2):
            content = self._calls.content(file_id)
            lines = [line for line in content.split("\n") if line.strip()]
            if content.endswith("\n") or not lines or read_json(lines[-1]) is not None:
                return lines, True
        return lines[:-1], False

    def _store(self, key: str, reply: ChatReply | None, model: str, prices: Prices | None) -> str:
        if reply is None:
            self._book.free([key])
            return "not_sent"
        # Without a stated usage, what was set aside stays spent.
        usd = prices.of(reply.usage) if prices and not reply.unmetered else None
        self._book.ledger.put(key, reply, model, usd)
        return "failed" if reply.problem else "answered"


def _line(question: Question, capability: Capability, sampling: Sampling) -> bytes:
    body = capability.body(question.request, sampling)
    row = {"custom_id": BatchBook.custom_id(question.key), "method": "POST", "url": URL, "body": body}
    # Plain ASCII keeps characters such as U+2028, which some readers take for a line's end, out of the file.
    return json.dumps(row).encode() + b"\n"


def _files(
    lines: Iterable[tuple[Question, bytes]], most_requests: int, most_bytes: int
) -> Iterator[list[tuple[Question, bytes]]]:
    """Cut lines into files within both limits; a question that comes twice goes out once."""
    chunk, size, seen = list[tuple[Question, bytes]](), 0, set[str]()
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
