"""Ask 20,000 questions at concurrency 64 through 8 % faults of ten kinds: none lost or doubled, spend within the limit.

Run from the repository root: ``python benchmarks/robustness_calls.py [CALLS]``. Prints a table with its date; about
five minutes on one core.
"""

import sys
import tempfile
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from endpoint.faulty import ask_through_faults  # noqa: E402


def main() -> None:
    """Run and print."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory() as folder:
        outcome = ask_through_faults(Path(folder), calls, 64, 0.08)
    print(f"{date.today()}: {calls} questions, concurrency 64, {sum(outcome.faults.values())} faults\n")
    print("| lost | doubled | limit ($) | billed under the limit ($) | billed in all ($) | reckoned ($) | seconds |")
    print("|---|---|---|---|---|---|---|")
    money = (outcome.limit, outcome.billed_within, outcome.billed, outcome.reckoned)
    shown = " | ".join(f"{usd:.4f}" for usd in money)
    print(f"| {outcome.lost} | {outcome.doubled} | {shown} | {outcome.seconds:.0f} |")
    print("\n" + ", ".join(f"{count} x {kind}" for kind, count in sorted(outcome.faults.items())))


if __name__ == "__main__":
    main()
