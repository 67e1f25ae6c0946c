"""Calls of the batch API: files up and down, batches started, listed and looked up; odd answers are one line.

Answers are read as plain JSON, not through the library's types: what is no file or batch is an error with the words
of the server, before anything of it is noted. Sizes, times and redirects are bounded as those of chat calls are.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from capscope.endpoint.answer_body import clean, read_json
from capscope.endpoint.client import bounded_http_client, innermost_cause
from capscope.endpoint.completion import error_message, error_of
from capscope.endpoint.settings import EndpointSettings, connecting, redact, without_key
from capscope.errors import EndpointError

OVER = ("completed", "expired", "cancelled", "failed")
LARGEST_FILE = 2_000_000_000
"""Bytes of a result file beyond which it is not read."""
FILE_PATIENCE = 10
"""Seconds for a file, as a multiple of those for a call."""
MOST_PAGES = 1000
LOOKS = 3
"""Calls made for what only looks; what starts or pays for something gets one."""


@dataclass(frozen=True)
class RemoteBatch:
    """A batch as the endpoint describes it."""

    batch_id: str
    """The endpoint's id."""
    status: str
    """The endpoint's word for its state, in lower case."""
    answered: int | None
    """Requests that are answered; None where it is not stated."""
    file_ids: tuple[str, ...]
    """Files of replies and of errors."""
    problems: tuple[str, ...]
    """Why the batch was refused."""

    @property
    def is_over(self) -> bool:
        """Return whether nothing more will come of it."""
        return self.status in OVER


class BatchCalls:
    """Calls of one endpoint's batch API."""

    def __init__(self, settings: EndpointSettings) -> None:
        """Take the settings; the connection is made on first use."""
        from openai import AsyncOpenAI

        self._settings, self._runner = settings, asyncio.Runner()
        with connecting():
            self._openai = AsyncOpenAI(
                base_url=settings.base_url,
                api_key=settings.api_key or "none",
                timeout=settings.timeout,
                max_retries=0,
                http_client=bounded_http_client(LARGEST_FILE, settings.timeout),
            )

    def close(self) -> None:
        """Close the connections."""
        self._runner.run(self._openai.close())
        self._runner.close()

    def upload(self, name: str, content: bytes) -> str:
        """Upload a file of requests, and return its id.

        Args:
            name: Name of the file.
            content: One JSON request a line.

        Raises:
            EndpointError: The endpoint refuses, or names no file.
        """
        create = self._openai.files.with_raw_response.create
        patience = FILE_PATIENCE * self._settings.timeout
        text = self._call(lambda: create(file=(name, content), purpose="batch"), 1, patience)
        return self._named(text, "file")

    def start(self, file_id: str, url: str, local_id: str) -> str:
        """Start a batch that carries our id as metadata, and return the endpoint's.

        Args:
            file_id: The endpoint's id of the file of requests.
            url: Path that the requests are for, such as ``/v1/chat/completions``.
            local_id: Our id of the batch.

        Raises:
            EndpointError: The endpoint refuses, or names no batch.
        """
        create: Any = self._openai.batches.with_raw_response.create
        given = {"completion_window": "24h", "endpoint": url, "input_file_id": file_id}
        return self._named(self._call(lambda: create(**given, metadata={"capscope": local_id}), 1), "batch")

    def started(self) -> dict[str, str]:
        """Return the endpoint's batches that carry an id of ours, by that id.

        Raises:
            EndpointError: The endpoint refuses.
        """
        listing: Any = self._openai.batches.with_raw_response.list
        known, last = dict[str, str](), ""
        for _ in range(MOST_PAGES):
            after = {"after": last} if last else {}
            text = self._call(lambda a=after: listing(limit=100, **a), LOOKS)
            page = self._object(text, "list of batches")
            rows = page.get("data")
            if "data" not in page or not isinstance(rows, list | None):
                # Without the list, a batch that is under way could be started and paid again.
                raise self._odd(text, "list of batches")
            held = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
            for row in held:
                metadata = row.get("metadata")
                local_id = metadata.get("capscope") if isinstance(metadata, dict) else None
                if local_id and isinstance(row.get("id"), str):
                    known[str(local_id)] = row["id"]
            before, last = last, str(held[-1].get("id") or "") if held else ""
            if not page.get("has_more") or last in ("", before):
                break
        return known

    def batch(self, batch_id: str) -> RemoteBatch:
        """Return how a batch stands.

        Raises:
            EndpointError: The endpoint refuses, or describes no batch.
        """
        retrieve = self._openai.batches.with_raw_response.retrieve
        text = self._call(lambda: retrieve(batch_id), LOOKS)
        fields = self._object(text, "batch")
        status, counts = fields.get("status"), fields.get("request_counts")
        if not isinstance(status, str) or not status:
            raise self._odd(text, "batch")
        answered = counts.get("completed") if isinstance(counts, dict) else None
        known = isinstance(answered, int) and not isinstance(answered, bool) and answered >= 0
        named = (fields.get("output_file_id"), fields.get("error_file_id"))
        file_ids = tuple(one for one in named if isinstance(one, str) and one)
        return RemoteBatch(batch_id, clean(status).lower(), answered if known else None, file_ids, _problems(fields))

    def content(self, file_id: str) -> str:
        """Return the text of a file, in which the key in use is cut out.

        Raises:
            EndpointError: The endpoint refuses.
        """
        fetch = self._openai.files.with_raw_response.content
        return self._call(lambda: fetch(file_id), LOOKS, FILE_PATIENCE * self._settings.timeout)

    def _call(self, action: Callable[[], Awaitable[Any]], attempts: int, seconds: float = 0.0) -> str:
        """Make a call and return the text of its answer; what fails for the moment is tried again.

        Raises:
            EndpointError: The endpoint refuses, or gives no answer.
        """
        import openai

        for attempt in range(1, attempts + 1):
            try:
                return self._runner.run(self._text(action, seconds or self._settings.timeout))
            except openai.APIStatusError as error:
                reason, lasting = f"HTTP {error.status_code}: {_said(error.response)}", error.status_code < 500
            except TimeoutError:
                reason, lasting = f"no whole answer within {seconds or self._settings.timeout:g} s", False
            except Exception as error:  # noqa: BLE001 - whatever a server or the transport does is one line
                cause = innermost_cause(error)
                reason, lasting = f"no answer: {type(cause).__name__}: {cause}", False
            if lasting or attempt == attempts:
                raise self._refused(reason)
            time.sleep(self._settings.first_pause * 2 ** (attempt - 1))
        raise AssertionError("at least one attempt is made")

    async def _text(self, action: Callable[[], Awaitable[Any]], seconds: float) -> str:
        async with asyncio.timeout(seconds):
            raw = await action()
        return without_key(raw.http_response.text, self._settings.api_key)

    def _object(self, text: str, what: str) -> dict[str, Any]:
        fields = read_json(text)
        error = error_of(text)
        if error is not None:
            raise self._refused(f"HTTP {error[0]}: {error[2]}")
        if not isinstance(fields, dict):
            raise self._odd(text, what)
        return fields

    def _named(self, text: str, what: str) -> str:
        """Return the id in an answer."""
        name = self._object(text, what).get("id")
        if not isinstance(name, str) or not name or name != clean(name):
            raise self._odd(text, what)
        return name

    def _odd(self, text: str, what: str) -> EndpointError:
        return self._refused(f"the answer describes no {what}: {text[:80]!r}")

    def _refused(self, reason: str) -> EndpointError:
        shown = redact(clean(reason), self._settings.api_key)
        return EndpointError(f"{self._settings.shown_url}: {shown}; nothing is lost, run the same command again")


def _said(response: Any) -> str:  # noqa: ANN401 - the type differs between versions of the library
    place = response.headers.get("location", "")
    return f"redirects to {place}" if place else error_message(response.text)


def _problems(fields: dict[str, Any]) -> tuple[str, ...]:
    """Return why a batch was refused, from any shape of its errors."""
    errors = fields.get("errors")
    rows = errors.get("data") if isinstance(errors, dict) else errors
    rows = rows if isinstance(rows, list) else [rows]
    words = [row.get("message") if isinstance(row, dict) else row for row in rows]
    return tuple(redact(clean(word)) for word in words if isinstance(word, str) and word)
