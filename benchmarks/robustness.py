"""Damaged inputs, killed saves and verbs, failing calls, the case book; `robustness.md` holds the figures.

Run from the repository root: ``python benchmarks/robustness.py inputs|kills|moments|calls|cases [--help]``.
"""

import argparse
import sys
import tempfile
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]


def run_inputs(options: argparse.Namespace) -> None:
    """Damage inputs of every kind."""
    from faults.judging import run, table

    verdicts = run(options.count, options.seed, options.out, options.only)
    print(f"{date.today()}: {len(verdicts)} damaged inputs, seeds from {options.seed}\n\n{table(verdicts)}")


def run_kills(options: argparse.Namespace) -> None:
    """Kill saves."""
    from faults.kills import killed, saves, table_of

    ends = {save.name: killed(save, options.count) for save in saves() if options.only in save.name}
    print(f"{date.today()}\n\n{table_of(ends)}")


def run_moments(options: argparse.Namespace) -> None:
    """Stop verbs at every change that they make on the disk."""
    from faults.moments import stopped, table_of

    print(f"{date.today()}\n\n{table_of(stopped(options.count, options.only))}")


def run_calls(options: argparse.Namespace) -> None:
    """Ask through faults of ten kinds."""
    from endpoint.faulty import ask_through_faults

    with tempfile.TemporaryDirectory() as folder:
        outcome = ask_through_faults(Path(folder), options.count, 64, 0.08)
    print(f"{date.today()}: {options.count} questions, concurrency 64, {sum(outcome.faults.values())} faults\n")
    print("| lost | doubled | limit ($) | billed under the limit ($) | billed in all ($) | reckoned ($) | seconds |")
    print("|---|---|---|---|---|---|---|")
    money = (outcome.limit, outcome.billed_within, outcome.billed, outcome.reckoned)
    shown = " | ".join(f"{usd:.4f}" for usd in money)
    print(f"| {outcome.lost} | {outcome.doubled} | {shown} | {outcome.seconds:.0f} |")
    print("\n" + ", ".join(f"{count} x {kind}" for kind, count in sorted(outcome.faults.items())))


def run_cases(options: argparse.Namespace) -> None:
    """Run rows of the case book."""
    from faults.cases import BOOK, CASES, judged

    if not BOOK.is_dir():
        print(f"skipped: there is no {BOOK}")
        return
    rows = [row for row in CASES if not options.rows or row in options.rows]
    wrong = 0
    for row in rows:
        found = judged(row)
        wrong += bool(found.wrong)
        print(
            f"{row} {'right' if not found.wrong else 'WRONG: ' + '; '.join(found.wrong)} ({found.seconds:.0f} s)",
            flush=True,
        )
        if options.show or found.wrong:
            print("    " + found.output.strip()[-options.length :].replace("\n", "\n    "), flush=True)
    print(f"\n{date.today()}: {len(rows) - wrong} of {len(rows)} rows right")


def main() -> None:
    """Run one of the parts and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(required=True)
    part = parts.add_parser("inputs", help="damage inputs of every kind: tracebacks, memory, wrong numbers")
    part.add_argument("--count", type=int, default=5000)
    part.add_argument("--seed", type=int, default=0)
    part.add_argument("--only", default="", help="part of the names of the inputs")
    part.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "robustness.jsonl")
    part.set_defaults(run=run_inputs)
    part = parts.add_parser("kills", help="kill saves at random moments: old or new, never mixed")
    part.add_argument("--count", type=int, default=300)
    part.add_argument("--only", default="", help="part of the names of what is saved")
    part.set_defaults(run=run_kills)
    part = parts.add_parser("moments", help="kill, interrupt or fill the disk at every write of a verb")
    part.add_argument("--count", type=int, default=40, help="most moments of each verb and way to stop")
    part.add_argument("--only", default="", help="part of the names of the verbs")
    part.set_defaults(run=run_moments)
    part = parts.add_parser("calls", help="ask through faults: none lost or doubled, spend within the limit")
    part.add_argument("--count", type=int, default=20_000)
    part.set_defaults(run=run_calls)
    part = parts.add_parser("cases", help="run rows of the case book")
    part.add_argument("rows", nargs="*", help="ids of rows; all without any")
    part.add_argument("--show", action="store_true", help="print what right rows print, too")
    part.add_argument("--length", type=int, default=1500, help="characters of output to print")
    part.set_defaults(run=run_cases)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
