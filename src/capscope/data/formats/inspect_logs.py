"""Logs of Inspect: `.eval` archives and `.json` documents, one for each run of a model on a task."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from capscope.data.formats.assembly import assemble_logs
from capscope.data.formats.eval_archive import EvalArchive
from capscope.data.formats.found_items import ItemBook, LoggedItem
from capscope.data.formats.report import ImportReport
from capscope.data.formats.score_tables import ScoreTable
from capscope.data.formats.scored_log import ScoredLog, as_object, as_objects, json_document, log_files, text_of
from capscope.data.formats.scored_log import field as required
from capscope.data.study import Study
from capscope.errors import InputError

LETTERS: dict[str, float] = {"C": 1.0, "P": 0.5, "I": 0.0, "yes": 1.0, "no": 0.0}
"""Values of scorers that are no numbers; `N` (no answer) is up to the reader."""
NO_ANSWER = {"missing": None, "wrong": 0.0}
"""What to make of `N`: no response, or a wrong one, as Inspect's own accuracy has it."""
KEPT_BESIDE_LOGS = ("eval-set.json", "listing.json", "logs.json")
"""What Inspect itself keeps in folders of logs: the set that was run, and lists of the logs."""
CUT = "...\n(content truncated)"
"""End of a text that a summary has cut short."""


@dataclass(frozen=True)
class InspectLog:
    """One log."""

    path: Path
    """The file."""
    header: dict[str, Any]
    """What was run: `eval`, `status`."""
    samples: Iterator[dict[str, Any]]
    """The samples, or their summaries."""
    notes: list[str] = field(default_factory=list[str])
    """What is odd about it."""


def import_inspect(
    paths: Sequence[Path],
    scorers: Sequence[str] = (),
    no_answer: str = "missing",
    model: str | None = None,
    not_administered: Sequence[str] = (),
) -> tuple[Study, ImportReport]:
    """Make a study of Inspect logs.

    An item is called ``task:id``; epochs are trials of it. Scores are 1 for `C`, 0.5 for `P`, 0 for `I`; a sample
    without a score (it failed, or its scorer gave NaN) is no response. A solver given on the command line
    is the scaffold.

    Args:
        paths: `.eval` and `.json` files, or folders that hold them at any depth.
        scorers: Which scorer's value is the score, in order of preference; needed where a log has several. One key of
            a scorer that gives several values is ``scorer.key``.
        no_answer: What `N` means: "missing" (no response) or "wrong" (0).
        model: Who answered; by default the model that the log names.
        not_administered: Scores that stand for "not scored"; NaN and null always do.

    Raises:
        InputError: A log is damaged, a score is none, or the choice of a scorer is open.
    """
    if no_answer not in NO_ANSWER:
        raise InputError(f"no_answer is '{no_answer}'; choose one of {', '.join(NO_ANSWER)}")
    files = log_files(paths, ["*.eval", "*.json"], "Inspect logs", KEPT_BESIDE_LOGS)
    items, notes = ItemBook(), list[str]()
    tables: list[ScoreTable] = []
    for path in files:
        scored = _scored(path, items, no_answer, model, notes)
        tables.append(scored.chosen(scorers, "--scorer", not_administered))
    return assemble_logs("inspect", tables, items.table(), files, notes)


def _scored(path: Path, items: ItemBook, no_answer: str, model: str | None, notes: list[str]) -> ScoredLog:
    if path.suffix.lower() != ".eval":
        return _scored_samples(_document(path), items, no_answer, model, notes)
    with EvalArchive(path) as archive:
        return _scored_samples(_archived(archive), items, no_answer, model, notes)


def _document(path: Path) -> InspectLog:
    """Read a log that is one JSON document."""
    header = as_object(path, json_document(path), "its text")
    required(path, header, "eval", "the log")
    return InspectLog(path, header, iter(as_objects(path, header.get("samples") or [], "samples")))


def _archived(archive: EvalArchive) -> InspectLog:
    """Read a log that is an archive; a run that did not finish has its header and summaries in the journal only."""
    finished = "header.json" in archive.names and "summaries.json" in archive.names
    starts = "header.json" if "header.json" in archive.names else "_journal/start.json"
    if starts not in archive.names:
        raise InputError(f"{archive.path}: holds neither header.json nor a journal; this is no Inspect log")
    journal = sorted(name for name in archive.names if name.startswith("_journal/summaries/"))
    header = as_object(archive.path, archive.member(starts), f"member {starts}")
    names = ["summaries.json"] if finished else journal
    return InspectLog(archive.path, header, _summaries(archive, names))


def _summaries(archive: EvalArchive, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for name in names:
        for summary in as_objects(archive.path, archive.member(name), f"member {name}"):
            yield _whole(archive, summary)


def _whole(archive: EvalArchive, summary: dict[str, Any]) -> dict[str, Any]:
    """Return a summary whose text is whole: one that was cut short is looked up in the sample itself."""
    text, target = _input_text(summary.get("input")), text_of(summary.get("target"))
    if not any(part and part.endswith(CUT) for part in (text, target)):
        return summary
    name = f"samples/{summary.get('id')}_epoch_{summary.get('epoch', 1)}.json"
    if name not in archive.names:
        return {**summary, "input": None, "target": None}
    sample = as_object(archive.path, archive.member(name), f"member {name}")
    return {**summary, "input": sample.get("input"), "target": sample.get("target")}


def _scored_samples(log: InspectLog, items: ItemBook, no_answer: str, model: str | None, notes: list[str]) -> ScoredLog:
    spec = as_object(log.path, required(log.path, log.header, "eval", "the log"), "eval")
    task = str(required(log.path, spec, "task", "eval"))
    who = model or str(required(log.path, spec, "model", "eval"))
    scored = ScoredLog(log.path, who, "sample", {"scaffold": str(spec["solver"])} if spec.get("solver") else {})
    failed = 0
    for number, sample in enumerate(log.samples, 1):
        item_id = f"{task}:{required(log.path, sample, 'id', f'sample {number}')}"
        items.describe(item_id, _item(task, sample), log.path, f"sample {number}")
        values = _values(sample.get("scores") or {}, no_answer)
        failed += bool(sample.get("error"))
        scored.add(item_id, number, values)
    status = log.header.get("status", "started")
    if status != "success":
        notes.append(f"{log.path.name}: the run ended as '{status}'; its {scored.records} samples are taken")
    if failed:
        notes.append(f"{log.path.name}: {failed} samples ended in an error")
    return scored


def _item(task: str, sample: dict[str, Any]) -> LoggedItem:
    choices = sample.get("choices")
    question, target = _input_text(sample.get("input")), text_of(sample.get("target"))
    if not choices:
        return LoggedItem(task, text=question, target=target)
    text = "\n".join([question, *map(str, choices)]) if question is not None else None
    return LoggedItem(task, text=text, target=target, n_options=len(choices))


def _input_text(messages: object) -> str | None:
    """Return the text of an input: itself, or the text of its messages."""
    if not isinstance(messages, list):
        return text_of(messages)
    parts = [_content(message.get("content")) for message in messages if isinstance(message, dict)]
    return "\n".join(part for part in parts if part)


def _content(content: object) -> str:
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content if isinstance(part, dict) and "text" in part)
    return str(content or "")


def _values(scores: dict[str, Any], no_answer: str) -> dict[str, object]:
    """Return the value of every scorer, and of every key of a scorer with several."""
    values: dict[str, object] = {}
    for scorer, score in scores.items():
        value = score.get("value") if isinstance(score, dict) else score
        if isinstance(value, dict):
            values |= {f"{scorer}.{key}": _number(inner, no_answer) for key, inner in value.items()}
        else:
            values[scorer] = _number(value, no_answer)
    return values


def _number(value: object, no_answer: str) -> object:
    """Return a number for the letters of Inspect, anything else as it is."""
    if not isinstance(value, str):
        return value
    return NO_ANSWER[no_answer] if value == "N" else LETTERS.get(value, value)
