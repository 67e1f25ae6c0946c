"""What a run would cost, before anything is asked or written."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass

from capscope.annotate.cells import Job, cells
from capscope.annotate.prompts import estimate_tokens
from capscope.endpoint import Prices, Usage
from capscope.errors import ConfirmationNeeded

REPLY_TOKENS = 200
"""Tokens reckoned for the reasoning and level of one reply."""
TOKENS_PER_JOINT_LEVEL = 40
"""Tokens reckoned for each further rubric of a joint reply."""
ASK_ABOVE_USD = 1.0
"""Estimated cost above which a run asks first."""


@dataclass(frozen=True)
class Plan:
    """Size and price of a run."""

    annotator: str
    """Name under which the labels would be stored."""
    items: int
    """Items with a text."""
    without_text: int
    """Items that cannot be rated."""
    cells: int
    """Questions in all, repeats included."""
    cached: int
    """Questions whose reply is in the ledger."""
    to_ask: int
    """Questions that would go out."""
    prompt_tokens: int
    """Tokens to be read, estimated as a quarter of the characters."""
    completion_tokens: int
    """Tokens to be written, estimated."""
    longest_prompt: int
    """Estimated tokens of the longest prompt."""
    longest_item: str
    """The item it asks about."""
    usd: float | None
    """Estimated cost in US dollars; None where the price is unknown."""
    price_source: str
    """Where prices come from; empty where unknown."""
    flagged: dict[str, int]
    """Items that speak to the annotator, by what they do."""

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)

    def as_text(self) -> str:
        """Return lines to read."""
        price = (
            "unknown (give --usd-in and --usd-out)" if self.usd is None else f"${self.usd:.2f} ({self.price_source})"
        )
        return "\n".join(
            [
                f"annotator       {self.annotator}",
                f"items           {self.items} ({self.without_text} more have no text)",
                f"questions       {self.cells}: {self.cached} answered from the ledger, {self.to_ask} to ask",
                f"tokens          about {self.prompt_tokens} in, {self.completion_tokens} out",
                f"longest prompt  about {self.longest_prompt} tokens ({self.longest_item})",
                f"cost            {price}",
                f"flagged items   {sum(self.flagged.values())}",
            ]
        )

    def confirm(self, confirmed: bool, above: float = ASK_ABOVE_USD) -> None:
        """Ask for a yes where the run is dear; an unknown price asks nothing.

        Raises:
            ConfirmationNeeded: The estimate exceeds `above` and nobody said yes.
        """
        if self.usd is not None and self.usd > above and not confirmed:
            raise ConfirmationNeeded(
                f"this run asks {self.to_ask} questions for about ${self.usd:.2f}; add --yes to go on, or see --plan"
            )


def plan_job(
    job: Job, without_text: int, is_done: Callable[[str], bool], prices: Prices | None, flagged: dict[str, int]
) -> Plan:
    """Walk through the cells of a job and add up what they would take.

    Args:
        job: The job.
        without_text: Items that cannot be rated, to be told.
        is_done: Whether the ledger holds the reply to a key.
        prices: None where unknown.
        flagged: Counts of flagged items.
    """
    counts, longest, longest_item = Counter[str](), 0, ""
    for cell in cells(job):
        counts["cells"] += 1
        tokens = estimate_tokens(cell.request.messages)
        if tokens > longest:
            longest, longest_item = tokens, cell.item_id
        if is_done(cell.key):
            counts["cached"] += 1
            continue
        counts["in"] += tokens
        counts["out"] += REPLY_TOKENS + TOKENS_PER_JOINT_LEVEL * (len(cell.rubrics) - 1)
    to_ask = counts["cells"] - counts["cached"]
    usd = prices.of(Usage(counts["in"], counts["out"])) if prices else None
    return Plan(
        job.annotator,
        len(job.items),
        without_text,
        counts["cells"],
        counts["cached"],
        to_ask,
        counts["in"],
        counts["out"],
        longest,
        longest_item,
        usd,
        prices.source if prices else "",
        flagged,
    )
