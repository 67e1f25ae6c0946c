"""What calls cost: prices from the user or from genai-prices, an estimate beforehand, a hard stop on the way."""

from dataclasses import dataclass
from typing import Any

from capscope.endpoint.messages import Usage
from capscope.errors import InputError


@dataclass(frozen=True)
class Prices:
    """US dollars for a million tokens."""

    usd_in: float
    """Tokens read."""
    usd_out: float
    """Tokens written."""
    source: str
    """Where the prices come from."""

    def of(self, usage: Usage) -> float:
        """Return what a usage costs in US dollars; reused prefixes are charged in full, which errs upwards."""
        return (usage.prompt_tokens * self.usd_in + usage.completion_tokens * self.usd_out) / 1e6


def find_prices(model: str, usd_in: float | None, usd_out: float | None) -> Prices | None:
    """Return the user's prices, else those of genai-prices where it is installed; None where the price is unknown.

    Raises:
        InputError: Only one of the two prices is given.
    """
    if (usd_in is None) != (usd_out is None):
        raise InputError("--usd-in and --usd-out go together; give both, in US dollars per million tokens")
    if usd_in is not None and usd_out is not None:
        return Prices(usd_in, usd_out, "given")
    return _from_table(model)


def _from_table(model: str) -> Prices | None:
    try:
        import genai_prices as table  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    priced: Any = table
    million = 1_000_000
    try:
        read = priced.calc_price(priced.Usage(input_tokens=million, output_tokens=0), model_ref=model)
        both = priced.calc_price(priced.Usage(input_tokens=million, output_tokens=million), model_ref=model)
    except (LookupError, ValueError):
        return None
    return Prices(float(read.total_price), float(both.total_price - read.total_price), "genai-prices")


class Budget:
    """Counts spending and says when to stop: before a call that would, at the usual cost, exceed the limit."""

    def __init__(self, prices: Prices | None, limit: float | None, estimate: float = 0.0) -> None:
        """Start counting.

        Args:
            prices: None where unknown.
            limit: US dollars that may be spent; None for no limit.
            estimate: Cost of one call to reckon with before any is known.

        Raises:
            InputError: There is a limit and no price to count with.
        """
        if limit is not None and prices is None:
            raise InputError("--max-usd needs a price for this model; give --usd-in and --usd-out")
        self.prices = prices
        self.usd = 0.0
        self.in_flight = 0
        self._limit, self._dearest = limit, estimate

    def admit(self) -> bool:
        """Count a call as in flight, unless it could exceed the limit."""
        if self._limit is not None and self.usd + (self.in_flight + 1) * self._dearest > self._limit:
            return False
        self.in_flight += 1
        return True

    def settle(self, usage: Usage) -> float | None:
        """Count a call as paid and return its cost; None where the price is unknown."""
        self.in_flight -= 1
        if self.prices is None:
            return None
        cost = self.prices.of(usage)
        self.usd += cost
        self._dearest = max(self._dearest, cost)
        return cost
