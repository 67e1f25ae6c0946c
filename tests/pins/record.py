"""Write the golden files anew: ``PYTHONPATH=src:tests python -m pins.record [GROUP[:STEP] ...]``.

A golden is only written anew where a change of behaviour is meant; the commit and CHANGELOG.md say which and why.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from pins.options import command_options
from pins.session import GROUPS, Session

WIDTH = 110
GOLDEN = Path(__file__).parent / "golden"


def golden(group: str) -> dict[str, Any]:
    """Return what was recorded of a group."""
    return json.loads((GOLDEN / f"{group}.json").read_text("utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=[*GROUPS, "options"], help="GROUP, GROUP:STEP or options")
    warnings.simplefilter("error")
    for what in parser.parse_args().what:
        group, _, step = what.partition(":")
        if group == "options":
            _write(group, command_options())
            continue
        with tempfile.TemporaryDirectory() as folder:
            _record(group, step, Session(group, Path(folder)))


def _record(group: str, only: str, session: Session) -> None:
    records = golden(group) if only else {}
    for name in [only] if only else session.steps:
        begun = time.process_time()
        records[name] = session.record(name)
        cost, record = time.process_time() - begun, records[name]
        sys.stderr.write(f"{cost:6.2f} s  {group} {name} {record['code']}\n")
    _write(group, records)


def _write(group: str, records: dict[str, Any]) -> None:
    (GOLDEN / f"{group}.json").write_text(_laid_out(records, "") + "\n", "utf-8")


def _laid_out(value: Any, indent: str) -> str:
    """Write JSON with what fits a line on one line, so that a change of one number is one changed line."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(flat) + len(indent) <= WIDTH:
        return flat
    deeper = indent + " "
    if isinstance(value, dict):
        rows = [f"{json.dumps(key, ensure_ascii=False)}: {_laid_out(inner, deeper)}" for key, inner in value.items()]
    else:
        rows = [_laid_out(inner, deeper) for inner in value]
    first, last = "{}" if isinstance(value, dict) else "[]"
    return first + "\n" + ",\n".join(deeper + row for row in rows) + "\n" + indent + last


if __name__ == "__main__":
    main()
