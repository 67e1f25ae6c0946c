"""A process of its own: annotate a study folder. Usage: python run_annotation.py FOLDER URL CONCURRENCY."""

import json
import sys
import time
from pathlib import Path

from annotate.scripted import annotation, rng, settings


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def main() -> None:
    folder, url, concurrency = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    sizes: list[float] = []

    def watch(tally) -> None:
        if (tally.asked + tally.cached) % 500 == 0:
            sizes.append(resident_mb())

    run = annotation(folder)
    begun = time.monotonic()
    tally = run.run(settings(url, concurrency), rng(), progress=watch).tally
    wall = time.monotonic() - begun
    repairs = 0
    while True:
        outcome = annotation(folder).run(settings(url, concurrency), rng(), only_failed=True)
        if not outcome.collected.unread:
            break
        repairs += 1
    outcome.write(folder)
    result = {"asked": tally.asked, "wall": wall, "sizes": sizes, "repairs": repairs, "failed": tally.failed}
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
