"""The state of an adaptive battery from its log alone: the run is replayed from the draws and scores in the log."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from capscope.battery.adaptive.adaptive_battery import AdaptiveBattery, HeldItem
from capscope.battery.adaptive.planning import RunSettings
from capscope.battery.adaptive.running import begin_run
from capscope.battery.banks.bank import Bank
from capscope.errors import InputError


def replayed(
    bank: Bank, drawn: Iterable[tuple[Mapping[str, Any], float]], benchmarks: Sequence[str] = ()
) -> AdaptiveBattery:
    """Return the state of a run from the draws and scores that its log holds.

    Args:
        bank: The bank that the samples were drawn from.
        drawn: The draw in each sample's metadata, and its score.
        benchmarks: Benchmarks of the bank whose mean score is wanted.

    Raises:
        InputError: There is no draw, or a draw is of an item that the bank does not have.
    """
    pairs = list(drawn)
    if not pairs:
        raise InputError("no sample says how it was drawn; run the task with dataset=capscope_battery(...)")
    names = [str(draw["item"]) for draw, _ in pairs]
    places = bank.positions(tuple(names))
    settings = RunSettings(benchmarks=tuple(benchmarks))
    state = begin_run(bank, set(bank.items) - set(pairs[0][0].get("missing", ())), settings)
    for place, (draw, score) in zip(places, pairs, strict=True):
        spread = np.asarray(draw["spread"], float)
        held = HeldItem(int(place), float(draw["chance"]), spread, int(draw["number"]))
        state = state.with_held_answer(held, score)
    return state
