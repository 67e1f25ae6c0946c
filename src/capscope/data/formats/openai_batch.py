"""Output of the OpenAI Batch API as demand levels: one line for each reply of an annotator."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from capscope.data.formats.assembly import Parts, assemble
from capscope.data.formats.format import Argument, Format, Head, ImportReport, Option, Paths
from capscope.data.formats.scored_log import (
    as_object,
    log_files,
    optional_list,
    records_once,
    required,
    required_name,
    text_of,
)
from capscope.data.levels import Levels
from capscope.data.reading import read_table
from capscope.data.study import Study
from capscope.data.tables import checked_columns, validate
from capscope.errors import LONGEST_NAME, InputError, first_few, shortened

ReadLevel = Callable[[str, str], int | None]
"""Reads the level out of a reply and the reason why it ended; None where there is none."""
SEPARATOR = "__"
"""Between item and rubric in a `custom_id`, as ADeLe's toolkit writes it; the last one counts."""
OK = "200"
"""Status of a request that was answered."""
NEVER_SENT = ("batch_expired", "batch_cancelled")
"""Error codes of requests that were not sent."""


@dataclass(frozen=True)
class BatchNames:
    """Item and rubric of each request of a batch, where `custom_id` is not `item__RUBRIC`."""

    rubric: str | None = None
    """The one rubric that all lines are about; `custom_id` is then the item."""
    table: Path | None = None
    """A table of `custom_id`, `item_id` and `rubric`."""
    annotator: str | None = None
    """Name of the annotator; by default the model that each reply names."""


@dataclass
class Replies:
    """The levels read so far."""

    rows: list[tuple[str, str, str, int]] = field(default_factory=list[tuple[str, str, str, int]])
    """Item, rubric, annotator, level."""
    seen: dict[tuple[str, str, str], str] = field(default_factory=dict[tuple[str, str, str], str])
    """Where each cell was rated first."""
    problems: Counter[str] = field(default_factory=Counter[str])
    """Replies without a level, by reason."""


def import_openai_batch(
    paths: Paths,
    read_level: ReadLevel,
    names: BatchNames = BatchNames(),
    items: str | Path | None = None,
) -> tuple[Study, ImportReport]:
    """Make a study of the replies of an annotator to a batch of requests.

    Args:
        paths: Output (and error) files of batches, or folders that hold them.
        read_level: Reads the level out of a reply; `capscope.annotate.parse_reply` is strict about it.
        names: Item and rubric of each request.
        items: Table of the items that were rated.

    Returns:
        The study, and a report with counts.

    Raises:
        InputError: A line is wrong, or names no rubric, or a cell was rated twice; the message names file and line.
        JoinError: The items are not those of the table.
    """
    files = log_files(paths, ["*.jsonl"], "output of the Batch API")
    known = _known(names.table) if names.table else None
    replies = Replies()
    lines = 0
    copies: list[str] = []
    for path in files:
        for line, record in records_once(path, copies):
            lines += 1
            _read(path, line, record, read_level, (names, known), replies)
    if not replies.rows:
        raise InputError(f"{files[0]}: no reply holds a level ({_reasons(replies)}); check the prompt that was used")
    demands = pd.DataFrame(replies.rows, columns=["item_id", "rubric", "annotator", "level"])
    levels = Levels(validate(demands, "demands", "levels of the batch"), replies.problems.total())
    table = read_table(Path(items)) if items else None
    parts = Parts(
        format="openai-batch",
        sources=[*files, *(Path(path) for path in (names.table, items) if path)],
        items=table,
        items_source=str(items),
        levels=levels,
        other_rows=lines + (0 if table is None else len(table)),
        notes=[*([f"without a level: {_reasons(replies)}"] if replies.problems else []), *copies],
    )
    return assemble(parts)


def _known(path: Path) -> dict[str, tuple[str, str]]:
    table = read_table(path)
    missing = [name for name in ("custom_id", "item_id", "rubric") if name not in table]
    if missing:
        raise InputError(f"{path}: column '{missing[0]}' is missing; the table has custom_id, item_id, rubric")
    table = checked_columns(
        table, str(path), names=["custom_id", "item_id", "rubric"], remedy="give custom_id, item_id and rubric"
    )
    if table["custom_id"].duplicated().any():
        again = str(table["custom_id"][table["custom_id"].duplicated()].iloc[0])
        raise InputError(f"{path}: custom_id '{shortened(again, LONGEST_NAME)}' occurs twice")
    named = zip(table["item_id"], table["rubric"], strict=True)
    return dict(zip(table["custom_id"], named, strict=True))


def _read(
    path: Path,
    line: int,
    record: dict[str, Any],
    read_level: ReadLevel,
    names: tuple[BatchNames, dict[str, tuple[str, str]] | None],
    replies: Replies,
) -> None:
    """Read one line into the replies."""
    place = f"line {line}"
    item_id, rubric = _cell(path, place, required_name(path, record, "custom_id", place), *names)
    body, problem = _body(path, record, place)
    if body is None:
        replies.problems[problem] += 1
        return
    reply = _reply(path, body, place)
    if reply is None:
        replies.problems["no reply"] += 1
        return
    annotator = names[0].annotator or required_name(path, body, "model", f"{place}: body")
    text, finish = reply
    level = read_level(text, finish)
    if level is None:
        replies.problems["unparsed" if finish == "stop" else f"finish_reason {finish}"] += 1
        return
    cell = (item_id, rubric, annotator)
    if cell in replies.seen:
        raise InputError(
            f"{path}: {place} rates item '{item_id}' on '{rubric}' again (first {replies.seen[cell]}); keep one reply"
        )
    replies.seen[cell] = f"{path}: {place}"
    replies.rows.append((item_id, rubric, annotator, level))


def _cell(
    path: Path, place: str, custom_id: str, names: BatchNames, known: dict[str, tuple[str, str]] | None
) -> tuple[str, str]:
    """Return the item and rubric that a request was about."""
    shown = shortened(custom_id, LONGEST_NAME)
    if known is not None:
        if custom_id not in known:
            raise InputError(f"{path}: {place}: custom_id '{shown}' is not in {names.table}; add it")
        return known[custom_id]
    if names.rubric:
        return custom_id, names.rubric
    item_id, separator, rubric = custom_id.rpartition(SEPARATOR)
    if not separator or not item_id or not re.fullmatch(r"\w+", rubric):
        raise InputError(
            f"{path}: {place}: custom_id '{shown}' is not item{SEPARATOR}RUBRIC; name the --rubric of the file, or"
            " give a --names table of custom_id, item_id, rubric"
        )
    return item_id, rubric


def _body(path: Path, record: dict[str, Any], place: str) -> tuple[dict[str, Any] | None, str]:
    """Return the reply, or why there is none."""
    error = record.get("error")
    if error:
        code = str(error.get("code") if isinstance(error, dict) else error)
        return None, f"not sent ({code})" if code in NEVER_SENT else f"error {code}"
    if record.get("response") is None:
        return None, "no reply"
    response = as_object(path, record["response"], f"{place}: response")
    status = str(response.get("status_code", OK))
    if status.strip() != OK:
        return None, f"status {status}"
    body = response.get("body")
    return (None, "no reply") if body is None else (as_object(path, body, f"{place}: body"), "")


def _reply(path: Path, body: dict[str, Any], place: str) -> tuple[str, str] | None:
    """Return text and finish reason of the one choice; None where there is no choice."""
    choices = optional_list(path, body, "choices", f"{place}: body")
    if not choices:
        return None
    if len(choices) > 1:
        raise InputError(f"{path}: {place}: the reply has {len(choices)} choices; ask for n=1")
    choice = as_object(path, choices[0], f"{place}: choice")
    message = as_object(path, required(path, choice, "message", f"{place}: choice"), f"{place}: message")
    return _text(message.get("content")), str(choice.get("finish_reason") or "stop")


def _text(content: object) -> str:
    """Return the text of a message, joined where it comes in parts."""
    if not isinstance(content, list):
        return text_of(content) or ""
    parts = [part.get("text") if isinstance(part, dict) else part for part in content]
    return "".join(part for part in parts if isinstance(part, str))


def _reasons(replies: Replies) -> str:
    return first_few(f"{reason}: {count}" for reason, count in replies.problems.most_common()) or "no line"


def _read_batch(
    paths: Paths,
    *,
    read_level: ReadLevel,
    rubric: str | None = None,
    names: Path | None = None,
    annotator: str | None = None,
    items: Path | None = None,
) -> tuple[Study, ImportReport]:
    """Import with every option as a keyword of its own."""
    return import_openai_batch(paths, read_level, BatchNames(rubric, names, annotator), items)


def _detect(head: Head) -> bool:
    return {"custom_id", "response"} <= head.names


OPENAI_BATCH = Format(
    name="openai-batch",
    help="Demand levels from the OpenAI Batch API.",
    example="out.jsonl",
    patterns=("*.jsonl",),
    detect=_detect,
    read=_read_batch,
    arguments=(Argument(help="Output and error files of batches."),),
    options=(
        Option(keyword="rubric", help="What the file rates, where custom_id is the item."),
        Option(keyword="names", kind="path", help="Table of custom_id, item_id, rubric."),
        Option(keyword="annotator", help="Who rated; by default the model of each reply."),
        Option(keyword="items", kind="path", help="Table of the items."),
    ),
    supplied=("read_level",),
)
