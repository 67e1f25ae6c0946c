"""Compare what a command gives now with what was recorded."""

import math
from typing import Any

RELATIVE, ABSOLUTE = 1e-9, 1e-12
"""Another CPU adds in another order, which moves the last digits; a change of a formula moves more."""


def differences(golden: Any, now: Any, exact: bool = False, place: str = "") -> list[str]:
    """List where two records differ.

    Every key that was recorded has to be there, in the same order (in a file's manifest in any order); a key that is
    new is no difference, except among the columns of a table, which programs also read by position.
    """
    if isinstance(golden, dict) and isinstance(now, dict):
        kept = list(now) if place.endswith("/columns") else [key for key in now if key in golden]
        if place.endswith("manifest.json/json"):
            kept = [key for key in golden if key in now]
        if kept != list(golden):
            return [f"{place}: keys {list(golden)}, now {list(now)}"]
        return [row for key in golden for row in differences(golden[key], now[key], exact, f"{place}/{key}")]
    if isinstance(golden, list) and isinstance(now, list):
        if len(golden) != len(now):
            return [f"{place}: {len(golden)} entries, now {len(now)}: {golden} / {now}"]
        pairs = enumerate(zip(golden, now, strict=True))
        return [row for number, (a, b) in pairs for row in differences(a, b, exact, f"{place}/{number}")]
    if _number(golden) and _number(now) and not exact:
        same = math.isclose(golden, now, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    else:
        same = type(golden) is type(now) and golden == now
    return [] if same else [f"{place}: {golden!r}, now {now!r}"]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
