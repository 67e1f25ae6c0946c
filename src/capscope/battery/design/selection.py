"""Choose a few items to run, by chance or by what they are worth, with known chances to be drawn."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from capscope.axes import RowFloats
from capscope.battery.ability import Curves
from capscope.battery.banks.bank import Bank, Index
from capscope.battery.banks.building import BankSettings, build_bank
from capscope.battery.design.drawing import deal, draw_systematic, inclusion_chances, spread_order, within_cost
from capscope.battery.design.strata import demand_strata, pattern_clusters, task_strata
from capscope.battery.design.worth import fisher_worth, profile_worth, variance_worth
from capscope.data import Demands, Study
from capscope.errors import InputError, first_few, nearest

METHODS = ("random", "demand", "anchor", "fisher", "variance", "profile")
"""Ways to choose a battery; all but the first two need past models' answers."""
EXPECTED_MODELS = 64


@dataclass(frozen=True)
class Design:
    """What a battery should respect."""

    benchmarks: tuple[str, ...] = ()
    """Draw from these benchmarks only; from all by default."""
    cost: dict[str, float] = field(default_factory=dict[str, float])
    """What an answer to an item costs, such as its tokens; cheap items are drawn more often."""
    exposure: float = 1.0
    """Most chance of any item to be drawn, in (0, 1]."""
    uniform: float = 0.2
    """Share of the draw spread evenly over all items, so that no chance is 0."""
    forms: int = 1
    """Disjoint parallel forms of the asked size."""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn.

        Raises:
            InputError: A number out of range.
        """
        if not 0 < self.exposure <= 1 or not 0 < self.uniform <= 1 or self.forms < 1:
            raise InputError("exposure and uniform lie in (0, 1] and forms is at least 1; change the one that does not")
        bad = [item for item, cost in self.cost.items() if not cost > 0]
        if bad:
            raise InputError(f"the cost of {first_few(bad)} is not positive; give tokens or money")


@dataclass(frozen=True)
class Battery:
    """A chosen set of items."""

    table: pd.DataFrame
    """Columns item_id, stratum, draw_chance (of the item to be drawn), weight (items of the pool it stands for)."""
    pool: int
    """Number of items drawn from."""
    method: str
    """How the items were chosen."""
    seed: int
    """Seed of the draw."""


@dataclass(frozen=True)
class _Frame:
    """Items to draw from, with what the method knows of them."""

    items: tuple[str, ...]
    stratum: Index
    gain: RowFloats


def select_battery(source: Study | Bank, size: int, method: str = "random", seed: int = 0) -> Battery:
    """Draw one battery; see `select_forms`."""
    return select_forms(source, size, method, seed)[0]


def select_forms(
    source: Study | Bank, size: int, method: str = "random", seed: int = 0, design: Design | None = None
) -> list[Battery]:
    """Draw batteries from the items of a study or a bank.

    Args:
        source: A bank, or a study with items (and with demands for `demand`, with responses for the methods below it).
        size: Number of items in each form.
        method: `random` draws alike from all; `demand` spreads the draw over the demand space, and needs no model's
            answers; `anchor` takes the item most typical of each cluster of answer patterns; `fisher` takes what
            informs on abilities, `profile` what narrows them most, `variance` what narrows the mean score most.
        seed: Seed of the draw.
        design: Benchmarks, cost, exposure, uniform share, forms.

    Returns:
        The forms, which share no item.

    Raises:
        InputError: Unknown method, or more items asked for than there are.
    """
    if method not in METHODS:
        raise InputError(f"unknown method '{method}'{nearest(method, METHODS)}; use one of {', '.join(METHODS)}")
    design = design or Design()
    rng = np.random.default_rng(seed)
    whole = size * design.forms
    frame = _frame(source, whole, method, seed, design)
    if not 0 < whole <= len(frame.items):
        raise InputError(f"cannot draw {whole} of {len(frame.items)} items; ask for 1 to {len(frame.items)}")
    if method == "anchor":
        drawn, chance = _one_of_each(frame, design.uniform, rng)
    else:
        even = method in ("random", "demand") and not design.cost
        gain = within_cost(frame.gain, _costs(frame.items, design.cost))
        chance = inclusion_chances(gain, whole, 1.0 if even else design.uniform, design.exposure)
        drawn = draw_systematic(chance, spread_order(frame.stratum, rng), rng)
    hands = deal(drawn, design.forms, rng)
    return [_battery(frame, hand, chance / design.forms, method, seed) for hand in hands]


def _battery(frame: _Frame, drawn: Index, chance: RowFloats, method: str, seed: int) -> Battery:
    table = pd.DataFrame(
        {
            "item_id": [frame.items[item] for item in drawn],
            "stratum": frame.stratum[drawn],
            "draw_chance": chance[drawn],
            "weight": 1 / chance[drawn],
        }
    )
    return Battery(table, len(frame.items), method, seed)


def _frame(source: Study | Bank, size: int, method: str, seed: int, design: Design) -> _Frame:
    if isinstance(source, Study) and method in ("random", "demand") and not design.benchmarks:
        return _study_frame(source, size, method, seed)
    bank = source if isinstance(source, Bank) else build_bank(source, BankSettings(seed=seed))
    bank = bank.take_items(bank.of_benchmarks(design.benchmarks))
    if method == "demand":
        return _demand_frame(bank.items, bank.demands, size, seed)
    if method == "random":
        return _even_frame(bank.items)
    if method == "anchor":
        if not 0 < size <= len(bank.items):
            raise InputError(f"cannot draw {size} of {len(bank.items)} items; ask for 1 to {len(bank.items)}")
        cluster, medoid = pattern_clusters(bank, size, np.random.default_rng(seed))
        typical = np.zeros(len(bank.items))
        typical[medoid] = 1.0
        return _Frame(bank.items, cluster, typical)
    return _Frame(bank.items, _coverage(bank, size, seed), _worth(bank, size, method, seed))


def _study_frame(study: Study, size: int, method: str, seed: int) -> _Frame:
    if method == "demand":
        demands = Demands.of(study)
        return _demand_frame(demands.items, demands.level, size, seed)
    return _even_frame(tuple(sorted(study.require("items")["item_id"].astype(str))))


def _even_frame(items: tuple[str, ...]) -> _Frame:
    return _Frame(items, np.zeros(len(items), dtype=np.int64), np.ones(len(items)))


def _demand_frame(items: tuple[str, ...], level: np.ndarray | None, size: int, seed: int) -> _Frame:
    whole = np.zeros(0, dtype=np.int64) if level is None else np.flatnonzero(~np.isnan(level).any(axis=1))
    if level is None or not len(whole):
        raise InputError("no item has all demand levels; annotate the items first, or use the method random")
    rated = tuple(items[row] for row in whole)
    return _Frame(rated, demand_strata(level[whole], size, seed), np.ones(len(whole)))


def _coverage(bank: Bank, size: int, seed: int) -> Index:
    """Strata that a draw should cover: demands where every item has them, else benchmark and task."""
    if bank.demands is None or np.isnan(bank.demands).any():
        return task_strata(bank)
    return demand_strata(bank.demands, size, seed)


def _worth(bank: Bank, size: int, method: str, seed: int) -> RowFloats:
    curves, ability = Curves.of(bank), bank.posterior.ability_mean
    if len(ability) > EXPECTED_MODELS:
        ability = np.random.default_rng(seed).choice(ability, EXPECTED_MODELS, replace=False, axis=0)
    if method == "fisher":
        return fisher_worth(curves, ability, size)
    if method == "profile":
        return profile_worth(curves, ability, size)
    return variance_worth(curves, ability, size, np.full(len(bank.items), 1 / len(bank.items)))


def _costs(items: tuple[str, ...], cost: dict[str, float]) -> RowFloats | None:
    if not cost:
        return None
    missing = [item for item in items if item not in cost]
    if missing:
        raise InputError(f"no cost for {first_few(missing)}; give one for every item, or leave --cost out")
    return np.array([cost[item] for item in items])


def _one_of_each(frame: _Frame, uniform: float, rng: np.random.Generator) -> tuple[Index, RowFloats]:
    """One item of each cluster: its medoid, or now and then any other, so that every item has a chance."""
    members = np.bincount(frame.stratum)[frame.stratum]
    chance = (1 - uniform) * frame.gain + uniform / members
    # one draw from each cluster: the item where the running chance passes a uniform number
    order = spread_order(frame.stratum, rng)
    edges = np.cumsum(chance[order])
    marks = np.arange(frame.stratum.max() + 1) + rng.random(frame.stratum.max() + 1)
    drawn = order[np.minimum(np.searchsorted(edges, marks, side="right"), len(order) - 1)]
    return drawn[rng.permutation(len(drawn))], chance
