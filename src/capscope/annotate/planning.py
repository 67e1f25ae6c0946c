"""Plan of an annotation run (size and price), and its division into shards.

A shard is a subset of items by a hash of their ids, with its own ledger and its share of the limits; it runs on any
machine. `merge_ledgers` merges the shards' ledgers; a run without a shard on the merged ledger then writes all labels
and asks only the questions that are left.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from capscope.annotate.questions import RatingJob, rating_questions
from capscope.endpoint import ASK_ABOVE_USD, Prices, Question, Usage, cost_line, estimate_tokens, refuse_unconfirmed
from capscope.errors import InputError, counted


@dataclass(frozen=True)
class AnnotationPlan:
    """Size and price of a run."""

    annotator: str
    """Name under which the labels would be stored."""
    items: int
    """Items that would be rated."""
    without_text: int
    """Items that cannot be rated."""
    cells: int
    """Questions in all, repeats included; for an annotator that asks nothing, pairs of item and rubric."""
    cached: int
    """Questions whose reply is in the ledger."""
    to_ask: int
    """Questions that would be sent."""
    prompt_tokens: int = 0
    """Tokens to be read, estimated as a quarter of the characters."""
    completion_tokens: int = 0
    """Tokens to be written, estimated."""
    longest_prompt: int = 0
    """Estimated tokens of the longest prompt."""
    longest_item: str = ""
    """The item it asks about."""
    usd: float | None = 0.0
    """Estimated cost in US dollars; None where the price is unknown."""
    price_source: str = ""
    """Where prices come from; empty where unknown."""
    flagged: dict[str, int] | None = None
    """Number of items with text that addresses the annotator, by kind."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {"flagged": self.flagged or {}}

    def as_text(self) -> str:
        """Return lines to read."""
        return "\n".join(
            [
                f"annotator       {self.annotator}",
                f"items           {self.items} ({self.without_text} more have no text)",
                f"questions       {self.cells}: {self.cached} answered from the ledger, {self.to_ask} to ask",
                f"tokens          about {self.prompt_tokens} in, {self.completion_tokens} out",
                f"longest prompt  about {self.longest_prompt} tokens ({self.longest_item})",
                f"cost            {cost_line(self.usd, self.price_source)}",
                f"flagged items   {sum((self.flagged or {}).values())}",
            ]
        )

    def confirm(self, confirmed: bool, above: float = ASK_ABOVE_USD) -> None:
        """Require confirmation of an expensive run; a run of unknown price needs none.

        Args:
            confirmed: Whether the user has confirmed.
            above: US dollars above which confirmation is required.

        Raises:
            ConfirmationNeeded: The estimate exceeds `above` without confirmation.
        """
        refuse_unconfirmed(self.usd, counted(self.to_ask, "question"), confirmed=confirmed, above=above)


def plan_job(
    job: RatingJob, without_text: int, is_done: Callable[[str], bool], prices: Prices | None, flagged: dict[str, int]
) -> AnnotationPlan:
    """Sum the tokens and prices of a job's questions.

    Args:
        job: The job.
        without_text: Number of items that cannot be rated.
        is_done: Whether the ledger holds the reply to a key.
        prices: None where unknown.
        flagged: Counts of flagged items.
    """
    questions = ((question.item_id, question.question()) for question in rating_questions(job))
    plan = add_up(job.annotator, len(job.items), questions, is_done, prices)
    return replace(plan, without_text=without_text, flagged=flagged)


def add_up(
    annotator: str,
    items: int,
    questions: Iterable[tuple[str, Question]],
    is_done: Callable[[str], bool],
    prices: Prices | None,
) -> AnnotationPlan:
    """Sum the tokens and prices of questions.

    Args:
        annotator: Name of the annotator.
        items: Number of items that the questions are about.
        questions: Pairs of item and question.
        is_done: Whether the ledger holds the reply to a key.
        prices: None where unknown.
    """
    counts, longest, longest_item = Counter[str](), 0, ""
    for item, question in questions:
        counts["cells"] += 1
        tokens = estimate_tokens(question.request.messages)
        if tokens > longest:
            longest, longest_item = tokens, item
        if is_done(question.key):
            counts["cached"] += 1
            continue
        counts["in"] += tokens
        counts["out"] += question.reply_tokens
    return AnnotationPlan(
        annotator,
        items,
        0,
        counts["cells"],
        counts["cached"],
        counts["cells"] - counts["cached"],
        counts["in"],
        counts["out"],
        longest,
        longest_item,
        prices.of(Usage(counts["in"], counts["out"])) if prices else None,
        prices.source if prices else "",
    )


@dataclass(frozen=True)
class Shard:
    """One of several parts of a set of items."""

    number: int
    """Number of the part, from 1."""
    count: int
    """Number of parts."""

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read ``i/n``.

        Raises:
            InputError: It has another form, or i is not between 1 and n.
        """
        match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise InputError(f"--shard {text}: not a shard; use i/n with i from 1 to n, such as 2/4")
        return cls(int(match[1]), int(match[2]))

    def holds(self, item_id: str) -> bool:
        """Return whether an item belongs to this part: a hash of its id decides, on every machine alike."""
        digest = sha256(item_id.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1

    def of(self, item_ids: Iterable[str]) -> frozenset[str]:
        """Return the items of this part."""
        return frozenset(filter(self.holds, item_ids))

    def ledger(self, path: Path) -> Path:
        """Return the ledger of this part, beside the one that is named: ``annotations-2-of-4.sqlite``."""
        return path.with_name(f"{path.stem}-{self.number}-of-{self.count}{path.suffix}")

    def settings(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return settings with this part's share of the limits on money and on calls in flight.

        Args:
            given: Settings by the names of `annotate`; the limits hold for all parts together.
        """
        money = {name: given[name] / self.count for name in ("max_usd", "max_usd_total") if given[name] is not None}
        return {**given, **money, "concurrency": max(1, given["concurrency"] // self.count)}
