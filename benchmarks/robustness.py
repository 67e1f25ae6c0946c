"""Damaged inputs, killed saves, failing calls and the case book; see `robustness.md` for the figures.

Run from the repository root: ``python benchmarks/robustness.py inputs|kills|calls|cases [--help]``.
"""

import argparse
import sys
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]


def run_inputs(options: argparse.Namespace) -> None:
    """Damage inputs of every kind."""
    from faults.judging import run, table

    verdicts = run(options.count, options.seed, Path(options.out), options.only)
    print(f"{date.today()}: {len(verdicts)} damaged inputs, seeds from {options.seed}\n")
    print(table(verdicts))


def main() -> None:
    """Run one of the parts and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = parser.add_subparsers(required=True)
    part = parts.add_parser("inputs", help="damage inputs of every kind: tracebacks, memory, wrong numbers")
    part.add_argument("--count", type=int, default=5000)
    part.add_argument("--seed", type=int, default=0)
    part.add_argument("--only", default="", help="part of the names of the inputs")
    part.add_argument("--out", default="/tmp/robustness.jsonl", help="file of single verdicts")
    part.set_defaults(run=run_inputs)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
