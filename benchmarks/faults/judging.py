"""Read damaged inputs in child processes with bounded memory, and judge what was read."""

import json
import math
import os
import random
import re
import resource
import shutil
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from capscope.errors import CapscopeError
from faults.inputs import inputs
from faults.mutations import damage
from faults.tables import Input, Values

Result = TypeVar("Result")
MEMORY = 2_000_000_000
"""Bytes that reading an input may take beyond what the libraries hold."""
SECONDS = 20
"""Seconds that reading an input may take."""
KINDS = ("bytes", "values", "structure", "encoding")
SHARES = (0.3, 0.35, 0.27, 0.08)
NUMBER = re.compile(r"-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u200b\u202e]")
LAST_NET = re.compile(r"not as \S+ is written \(\w+:")
"""How `read_format` refuses what no reader names."""


@dataclass(frozen=True)
class Verdict:
    """What became of one damaged input."""

    number: int
    """Seed of the damage."""
    input: str
    """Kind of input."""
    kind: str
    """Kind of damage."""
    what: str
    """The damage."""
    end: str
    """`same`, `refused`, `read` (other values, which stand in the file), `silent`, `traceback`, `memory`, `slow`,
    `words` (a refusal of several lines, too long, or with control characters), `crash`."""
    detail: str = ""
    """The message, the traceback's last lines, or the values that are wrong."""


class _TooSlowError(Exception):
    """Reading took too long."""


def _alarm(*_: object) -> None:
    raise _TooSlowError


def judge(entry: Input, number: int, folder: Path, right: Values) -> Verdict:
    """Damage an input by a seed, read it, and judge the values."""
    chance = random.Random(number)
    kind = chance.choices(KINDS, SHARES)[0]
    entry.make(folder)
    target = chance.choice(sorted(path for pattern in entry.targets for path in folder.glob(pattern)))
    done = damage(kind, target.name, target.read_bytes(), chance)
    target.write_bytes(done.content)
    what = f"{target.name}: {done.what}"
    signal.signal(signal.SIGALRM, _alarm)
    signal.alarm(SECONDS)
    try:
        values = entry.read(folder)
        signal.alarm(0)
        end, detail = _compared(entry, folder, right, values, done.content, what)
    except CapscopeError as error:
        end, detail = _refusal(str(error))
    except MemoryError:
        end, detail = "memory", traceback.format_exc()[-600:]
    except _TooSlowError:
        end, detail = "slow", traceback.format_exc()[-600:]
    except Exception:  # noqa: BLE001 - this is what is looked for
        end, detail = "traceback", traceback.format_exc()[-900:]
    finally:
        signal.alarm(0)
    return Verdict(number, entry.name, kind, what[:200], end, detail)


def _refusal(message: str) -> tuple[str, str]:
    if "\n" in message.strip() or len(message) > 700:
        return "words", message[:700]
    if LAST_NET.search(message):
        return "last net", message[:300]
    return "refused", message[:300]


def same(left: Values, right: Values) -> bool:
    """Return whether two readings are equal."""
    return set(left) == set(right) and not _changed(left, right)


def _changed(left: Values, right: Values) -> list[tuple[str, ...]]:
    return [key for key in left if key in right and not _equal(left[key], right[key])]


def _equal(one: tuple[float | str, ...], other: tuple[float | str, ...]) -> bool:
    return len(one) == len(other) and all(
        a == b
        or (isinstance(a, float) and isinstance(b, float) and (math.isnan(a) and math.isnan(b)))
        or (isinstance(a, int | float) and isinstance(b, int | float) and math.isclose(a, b, rel_tol=1e-9))
        for a, b in zip(one, other, strict=True)
    )


def _compared(entry: Input, folder: Path, right: Values, values: Values, after: bytes, what: str) -> tuple[str, str]:
    """Compare with a strict reader where there is one; else bound how much may differ, and where values come from."""
    if entry.strict is not None:
        strict = entry.strict(folder)
        if strict is not None and same(strict, values):
            return ("same" if same(right, values) else "read"), ""
        odd = "a strict reader refuses it" if strict is None else f"a strict reader has {_first(strict, values)}"
        return "silent", f"{odd}; here {_first(values, strict or right)}"
    if same(right, values):
        return "same", ""
    if not entry.rows:
        return "read", ""
    changed, new, gone = _changed(values, right), set(values) - set(right), set(right) - set(values)
    text = after.decode("utf-8", "replace")
    numbers = {float(hit) for hit in NUMBER.findall(text)} | {0.0, 1.0}
    given = set(right.values())
    # a chance of guessing follows from the number of options
    doubtful = [key for key in [*changed, *(key for key in new if values[key] not in given)] if key[0] != "chance"]
    invented = [key for key in doubtful if values[key] and not any(_stands(value, numbers) for value in values[key])]
    if invented:
        return "silent", f"values that do not stand in the file: {[(key, values[key]) for key in invented[:3]]}"
    if len(changed) > 2 and "swapped (row" not in what:
        return "silent", f"{len(changed)} changed: {[(key, right[key], values[key]) for key in changed[:3]]}"
    return (
        "read",
        f"{len(changed)} changed, {len(new)} new, {len(gone)} gone; {[(k, right[k], values[k]) for k in changed[:2]]}",
    )


def _stands(value: float | str, numbers: set[float]) -> bool:
    return (
        isinstance(value, str)
        or math.isnan(value)
        or any(math.isclose(value, number, rel_tol=1e-6) for number in numbers)
    )


def _first(left: Values, right: Values) -> str:
    differing = [
        (key, left[key], right.get(key)) for key in left if key not in right or not _equal(left[key], right[key])
    ]
    return f"{len(left)} values, first differing {str(differing[:2])[:300]}"


def run(count: int, seed: int, out: Path, only: str = "") -> list[Verdict]:
    """Judge damaged inputs, one after the other, in child processes; a child that dies is one verdict.

    Args:
        count: How many.
        seed: Number of the first.
        out: File of verdicts, one JSON object a line; written anew.
        only: Part of the names of the inputs to damage.
    """
    known = [entry for entry in inputs() if only in entry.name]
    weights = [entry.weight for entry in known]
    right = {entry.name: _whole(entry) for entry in known}
    numbers = list(range(seed, seed + count))
    out.write_text("")
    while numbers:
        child = os.fork()
        if child == 0:
            _bounded()
            with out.open("a") as lines:
                for number in numbers:
                    lines.write(f'{{"begun": {number}}}\n')
                    lines.flush()
                    (entry,) = random.Random(-number - 1).choices(known, weights)
                    verdict = _in_folder(lambda folder, e=entry, n=number: judge(e, n, folder, right[e.name]))
                    lines.write(json.dumps(asdict(verdict)) + "\n")
                    lines.flush()
                    if _resident() > MEMORY:
                        os._exit(3)
            os._exit(0)
        os.waitpid(child, 0)
        done = {line["number"] for line in _lines(out) if "number" in line}
        begun = {line["begun"] for line in _lines(out) if "begun" in line}
        for number in begun - done:
            (entry,) = random.Random(-number - 1).choices(known, weights)
            with out.open("a") as lines:
                lines.write(json.dumps(asdict(Verdict(number, entry.name, "", "", "crash", "the process died"))) + "\n")
        numbers = [number for number in numbers if number not in begun]
    return [Verdict(**line) for line in _lines(out) if "number" in line]


def _whole(entry: Input) -> Values:
    """Read an input that is not damaged."""

    def read(folder: Path) -> Values:
        entry.make(folder)
        values = entry.read(folder)
        strict = entry.strict(folder) if entry.strict else None
        if not values or not (strict is None or same(strict, values)):
            raise AssertionError(f"{entry.name} is not read right: {values}, strictly {strict}")
        return values

    return _in_folder(read)


def _in_folder(step: Callable[[Path], Result]) -> Result:
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        return step(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _bounded() -> None:
    """Bound the memory of this process, and turn its error output off."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _lines(path: Path) -> Iterator[dict]:
    for line in path.read_text().splitlines():
        yield json.loads(line)


def table(verdicts: list[Verdict]) -> str:
    """Return a table in Markdown: a line for each input, a column for each end."""
    ends = ("same", "refused", "last net", "read", "silent", "traceback", "words", "memory", "slow", "crash")
    shown = [end for end in ends if end in ("silent", "traceback", "memory") or any(v.end == end for v in verdicts)]
    rows = [f"| input | damaged | {' | '.join(shown)} |", "|---" * (len(shown) + 2) + "|"]
    for name in [*dict.fromkeys(sorted(v.input for v in verdicts)), "all"]:
        held = Counter(v.end for v in verdicts if name in ("all", v.input))
        rows.append(f"| {name} | {held.total()} | {' | '.join(str(held[end]) for end in shown)} |")
    return "\n".join(rows)
