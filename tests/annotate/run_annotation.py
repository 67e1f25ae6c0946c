"""A process of its own: annotate a study folder. Usage: python run_annotation.py FOLDER URL CONCURRENCY."""

import json
import sys
import time
from pathlib import Path

from annotate.scripted import Run


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def main() -> None:
    folder, url, concurrency = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    sizes: list[float] = []

    def watch(done, _total, _text) -> None:
        if done % 500 == 0:
            sizes.append(resident_mb())

    begun = time.monotonic()
    report = Run(folder).ask(url, concurrency, watch).report
    wall = time.monotonic() - begun
    repairs = 0
    while True:
        outcome = Run(folder).ask(url, concurrency, only_failed=True)
        if not outcome.report.unparsed + outcome.report.failed + outcome.report.open:
            break
        repairs += 1
    outcome.write(folder)
    result = {"asked": report.asked, "wall": wall, "sizes": sizes, "repairs": repairs, "failed": report.failed}
    result["problems"] = report.problems
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
