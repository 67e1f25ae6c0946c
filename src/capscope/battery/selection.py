"""Selection of a battery: items drawn from a study or a bank with known chances."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.axes import RowFloats
from capscope.battery.banks.ability import Curves
from capscope.battery.banks.bank import Bank, Index
from capscope.battery.banks.sources import load_source
from capscope.battery.selectors import SELECTORS, Candidates, ItemWeights, Selector
from capscope.battery.selectors.selector import (
    deal,
    draw_one_per_stratum,
    draw_systematic,
    inclusion_chances,
    refuse_size,
    spread_order,
    within_cost,
)
from capscope.data import Demands, Study, checked_columns, read_table
from capscope.display import ArrowTables, html_table
from capscope.errors import InputError, counted, first_few, nearest
from capscope.files import refuse_file, write_table
from capscope.intervals import normal_quantile

COLUMNS = ("item_id", "stratum", "draw_chance", "weight", "pool", "method", "seed")
_AT_LEAST_0 = (0.0, math.inf)
BOUNDS: dict[str, tuple[float, float]] = {
    "stratum": _AT_LEAST_0,
    "draw_chance": _AT_LEAST_0,
    "weight": _AT_LEAST_0,
    "pool": _AT_LEAST_0,
    "seed": _AT_LEAST_0,
}
"""Columns of a battery's file."""
FEWEST_DRAWN = 10
"""Fewest items of a battery that is to reach a width."""
REMEDY = "make the file with 'capscope battery select'"


@dataclass(frozen=True, kw_only=True)
class BatteryDesign:
    """Constraints on a battery."""

    benchmarks: tuple[str, ...] = ()
    """Draw from these benchmarks only; from all by default."""
    cost: dict[str, float] = field(default_factory=dict[str, float])
    """Cost of an answer to each item, such as its tokens; cheap items are drawn more often."""
    exposure: float = 1.0
    """Largest chance of any item to be drawn, in (0, 1]."""
    uniform: float = 0.2
    """Share of the draw spread evenly over all items, so that no chance is 0."""
    forms: int = 1
    """Number of disjoint parallel forms, each of the asked size."""

    def __post_init__(self) -> None:
        """Validate the settings.

        Raises:
            InputError: A number is out of range.
        """
        if not 0 < self.exposure <= 1 or not 0 < self.uniform <= 1 or self.forms < 1:
            raise InputError("exposure and uniform lie in (0, 1] and forms is at least 1; change the one that does not")
        bad = [item for item, cost in self.cost.items() if not 0 < cost < float("inf")]
        if bad:
            raise InputError(f"the cost of {first_few(bad)} is not positive; give tokens or money")


@dataclass(frozen=True, repr=False)
class Battery(ArrowTables):
    """A chosen set of items."""

    table: pd.DataFrame
    """Columns item_id, stratum, draw_chance (of the item to be drawn), weight (items of the pool it stands for)."""
    pool: int
    """Number of items drawn from."""
    method: str
    """Name of the selector."""
    seed: int
    """Seed of the draw."""

    @property
    def items(self) -> tuple[str, ...]:
        """Ids of the items drawn."""
        return tuple(str(item) for item in self.table["item_id"])

    @property
    def draw_chance(self) -> RowFloats:
        """Chance of each item to be drawn."""
        return self.table["draw_chance"].to_numpy(dtype=float)

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the battery as a table, one row for each item.

        Args:
            path: A CSV, TSV, JSON lines or Parquet file.
            force: An existing file may be replaced.

        Raises:
            OutputError: The file exists and `force` is not set, or it cannot be written.
        """
        return write_table(Path(path), self._whole_table(), force=force)

    @classmethod
    def load(cls, path: str | Path) -> "Battery":
        """Read a battery.

        Raises:
            InputError: A column is missing, a number is out of range, an item stands twice, or there is no row.
        """
        path = Path(path)
        frame = read_table(path)
        frame = checked_columns(frame, str(path), names=["item_id", "method"], numbers=BOUNDS, remedy=REMEDY)
        table = frame.astype({"stratum": int, "pool": int, "seed": int})[list(COLUMNS)]
        _refuse_damaged(path, table)
        head = table.iloc[0]
        return cls(table[list(COLUMNS[:4])], int(head["pool"]), str(head["method"]), int(head["seed"]))

    def __repr__(self) -> str:
        return f"Battery({len(self.table)} of {self.pool} items, method {self.method}, seed {self.seed})"

    def _repr_html_(self) -> str:
        """Show the items as a table in a notebook."""
        return html_table(f"Battery of {counted(len(self.table), 'item')}", self.table, repr(self))

    def _whole_table(self) -> pd.DataFrame:
        return self.table.assign(pool=self.pool, method=self.method, seed=self.seed)


def select_battery(
    source: Study | Bank | str | Path,
    size: int = 100,
    *,
    method: str = "random",
    seed: int = 0,
    design: BatteryDesign | None = None,
) -> Battery:
    """Draw one battery.

    Args:
        source: A bank, a study, or the folder of either.
        size: Number of items.
        method: Name of a selector, one of `SELECTORS`.
        seed: Seed of the draw.
        design: Benchmarks, cost, exposure and uniform share.

    Returns:
        The drawn items, with the chance and the weight of each.

    Raises:
        InputError: See `select_forms`.

    Example:
        >>> battery = select_battery("bank", 50, method="variance")  # doctest: +SKIP
        >>> battery.save("battery.csv")  # doctest: +SKIP
    """
    return select_forms(source, size, method=method, seed=seed, design=design)[0]


def select_forms(
    source: Study | Bank | str | Path,
    size: int = 100,
    *,
    method: str = "random",
    seed: int = 0,
    design: BatteryDesign | None = None,
) -> list[Battery]:
    """Draw parallel batteries from the items of a study or a bank.

    Args:
        source: A bank, or a study with items (and with the demands or responses that the selector needs).
        size: Number of items in each form.
        method: Name of a selector, one of `SELECTORS`.
        seed: Seed of the draw.
        design: Benchmarks, cost, exposure, uniform share, number of forms.

    Returns:
        The forms, which share no item.

    Raises:
        InputError: The selector is unknown, its needs are not met, or more items are asked for than there are.
    """
    if method not in SELECTORS:
        raise InputError(f"unknown method '{method}'{nearest(method, SELECTORS)}; use one of {', '.join(SELECTORS)}")
    selector, design = SELECTORS[method], design or BatteryDesign()
    rng = np.random.default_rng(seed)
    total = size * design.forms
    weights = selector.weigh(_candidates(load_source(source), selector, seed, design), total, seed)
    refuse_size(total, len(weights.items))
    drawn, chance = _draw(selector, weights, total, design, rng)
    parts = deal(drawn, design.forms, rng)
    return [_battery(weights, part, chance / design.forms, method, seed) for part in parts]


def size_for_width(
    bank: Bank, width: float, *, method: str = "variance", level: float = 0.95, design: BatteryDesign | None = None
) -> int:
    """Return how many items a battery needs for an interval of the mean score that is so wide.

    The width is that of the difference estimator whose predictions are the chances of a past model's own ability,
    averaged over past models, with items drawn one by one by their chances (Sarndal, Swensson & Wretman, 1992).

    Args:
        bank: Items and past models.
        width: Width of the interval, in shares of 1.
        method: Name of a selector, one of `SELECTORS`, which is not one item for each stratum.
        level: Coverage of the interval.
        design: Cost, exposure and uniform share.

    Returns:
        The smallest such number; all items where none is enough.
    """
    selector, design = SELECTORS[method], design or BatteryDesign()
    n_items = len(bank.items)
    variance = Curves.of(bank).response_variance(bank.posterior.ability_mean)[0].mean(axis=0)
    reach = normal_quantile(level)

    def expected(size: int) -> float:
        weights = selector.weigh(Candidates(items=bank.items, demands=bank.demands, bank=bank), size, 0)
        gain = within_cost(weights.gain, _costs(weights.items, design.cost))
        chance = inclusion_chances(gain, size, design.uniform, design.exposure)
        return 2 * reach * math.sqrt(float((variance * (1 - chance) / chance).sum())) / n_items

    few, many = FEWEST_DRAWN, n_items
    while few < many:
        size = (few + many) // 2
        few, many = (few, size) if expected(size) <= width else (size + 1, many)
    return min(few, n_items)


def form_paths(path: str | Path, forms: int) -> list[Path]:
    """Return the files of parallel forms.

    Args:
        path: File of a single form.
        forms: Number of forms.

    Returns:
        The path itself for one form; for several, the path with a number before the suffix.
    """
    path = Path(path)
    return [path] if forms == 1 else [path.with_name(f"{path.stem}-{n}{path.suffix}") for n in range(1, forms + 1)]


def save_forms(batteries: list[Battery], path: str | Path, *, force: bool = False) -> list[Path]:
    """Write parallel forms: a single one under the path itself, several with a number before the suffix.

    Args:
        batteries: The forms, in order.
        path: File to write, `.csv`, `.parquet` or `.jsonl`.
        force: Existing files may be replaced.

    Returns:
        The files that were written.

    Raises:
        OutputError: A file exists and `force` is not set, or it cannot be written; then none is written.
    """
    paths = form_paths(path, len(batteries))
    for target in paths:
        refuse_file(target, force=force)
    return [battery.save(target, force=force) for battery, target in zip(batteries, paths, strict=True)]


def _candidates(source: Study | Bank, selector: Selector, seed: int, design: BatteryDesign) -> Candidates:
    """Return the items to draw from; a study is fitted only where the selector or the benchmarks need it."""
    if isinstance(source, Study) and selector.needs != "responses" and not design.benchmarks:
        if selector.needs == "demands":
            demands = Demands.of(source)
            return Candidates(items=demands.items, demands=demands.level)
        table = source.require("items" if source.items is not None or source.responses is None else "responses")
        return Candidates(items=tuple(sorted(set(table["item_id"].astype(str)))))
    bank = source if isinstance(source, Bank) else Bank.build(source, seed=seed)
    bank = bank.take_items(bank.of_benchmarks(design.benchmarks))
    return Candidates(items=bank.items, demands=bank.demands, bank=bank)


def _draw(
    selector: Selector, weights: ItemWeights, total: int, design: BatteryDesign, rng: np.random.Generator
) -> tuple[Index, RowFloats]:
    """Return the positions drawn and the chance of every item."""
    if selector.one_per_stratum:
        return draw_one_per_stratum(weights, design.uniform, rng)
    uniform = 1.0 if selector.even and not design.cost else design.uniform
    gain = within_cost(weights.gain, _costs(weights.items, design.cost))
    chance = inclusion_chances(gain, total, uniform, design.exposure)
    return draw_systematic(chance, spread_order(weights.stratum, rng), rng), chance


def _battery(weights: ItemWeights, drawn: Index, chance: RowFloats, method: str, seed: int) -> Battery:
    table = pd.DataFrame(
        {
            "item_id": [weights.items[item] for item in drawn],
            "stratum": weights.stratum[drawn],
            "draw_chance": chance[drawn],
            "weight": 1 / chance[drawn],
        }
    )
    return Battery(table, len(weights.items), method, seed)


def _costs(items: tuple[str, ...], cost: dict[str, float]) -> RowFloats | None:
    if not cost:
        return None
    missing = [item for item in items if item not in cost]
    if missing:
        raise InputError(f"no cost for {first_few(missing)}; give one for every item, or leave --cost out")
    return np.array([cost[item] for item in items])


def _refuse_damaged(path: Path, table: pd.DataFrame) -> None:
    """Refuse a battery whose rows contradict each other or give no chance of a draw."""
    if table.empty:
        raise InputError(f"{path}: no item in it; {REMEDY}")
    chance = table["draw_chance"]
    bad = ~((chance > 0) & (chance <= 1 + 1e-9))
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise InputError(f"{path}: row {row + 1}: draw_chance {chance.iloc[row]} is not in (0, 1]; {REMEDY}")
    items = table["item_id"].astype(str)
    if items.duplicated().any():
        raise InputError(f"{path}: item '{items[items.duplicated()].iloc[0]}' stands twice; {REMEDY}")
    for name in ("pool", "method", "seed"):
        if table[name].nunique(dropna=False) > 1:
            raise InputError(f"{path}: rows name several values of {name}; keep one battery in a file")
    if table["pool"].iloc[0] < len(table):
        raise InputError(f"{path}: {counted(len(table), 'item')} of a pool of {table['pool'].iloc[0]}; {REMEDY}")
