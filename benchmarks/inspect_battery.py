"""How many samples an adaptive battery in Inspect runs for an interval, against stopping by a Wilson interval.

python benchmarks/inspect_battery.py ../shared/data/openllm_v2 --benchmark BBH --models 10 --in-flight 1 4 16

Models of the study are held out in turn and answer from its table; the bank holds the others. Every run is driven as
Inspect drives it: so many samples in flight, the one that was drawn first completes first.
"""

import argparse
from collections import deque
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from capscope.battery import Bank, RunSettings, begin_run, run_status
from capscope.data import Study

LEVEL = 0.95


def wilson_stop(answers: np.ndarray, width: float) -> tuple[int, bool]:
    """Return after how many of these answers a Wilson interval is narrow enough, and whether it holds their mean."""
    right = np.cumsum(answers)
    for n in range(10, len(answers) + 1):
        interval = binomtest(int(right[n - 1]), n).proportion_ci(LEVEL, "wilson")
        if interval.high - interval.low <= width:
            return n, bool(interval.low <= answers.mean() <= interval.high)
    return len(answers), True


def battery_stop(bank: Bank, answers: np.ndarray, width: float, in_flight: int, seed: int) -> tuple[int, bool]:
    """Return how many samples an adaptive battery runs, and whether its interval holds the mean of all answers."""
    settings = RunSettings(size=len(answers), width=width, level=LEVEL)
    rng, state, asked = np.random.default_rng(seed), begin_run(bank, set(bank.items), settings), 0
    waiting: deque = deque()
    while True:
        while len(waiting) < in_flight and not run_status(state, asked, settings):
            state, held = state.hold(asked, rng)
            waiting.append(held)
            asked += 1
        if not waiting:
            break
        first = waiting.popleft()
        state = state.with_held_answer(first, float(answers[first.item]))
    found = state.estimate(LEVEL, 1)
    return asked, bool(found.lower[0] <= answers.mean() <= found.upper[0])


def main() -> None:
    """Print one row for each number of samples in flight."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--benchmark", required=True)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--models", type=int, default=12)
    parser.add_argument("--past", type=int, default=20)
    parser.add_argument("--width", type=float, default=0.1)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 4, 16])
    arguments = parser.parse_args()
    study, rng = Study.load(arguments.study), np.random.default_rng(0)
    items = study.require("items").loc[lambda table: table["benchmark"].astype(str) == arguments.benchmark, "item_id"]
    chosen = rng.choice(items.astype(str), min(arguments.items, len(items)), replace=False)
    table = study.require("responses").pivot_table(index="model", columns="item_id", values="score")
    table = table.reindex(columns=sorted(chosen)).dropna()
    rows: list[dict[str, object]] = []
    for number, model in enumerate(rng.choice(table.index, arguments.models, replace=False)):
        others = table.index[table.index != model]
        past = table.loc[rng.choice(others, min(arguments.past, len(others)), replace=False)]
        long = past.stack().rename("score").reset_index()
        bank = Bank.build(Study.of(None, long.astype({"model": str, "item_id": str})))
        answers = table.loc[model, list(bank.items)].to_numpy(dtype=float)
        n, covered = wilson_stop(rng.permutation(answers), arguments.width)
        rows.append({"rule": "Wilson, even draws", "samples": n, "covered": covered})
        for in_flight in arguments.in_flight:
            n, covered = battery_stop(bank, answers, arguments.width, in_flight, number)
            rows.append({"rule": f"battery, {in_flight} in flight", "samples": n, "covered": covered})
    result = (
        pd.DataFrame(rows).groupby("rule", sort=False).agg(samples=("samples", "mean"), covered=("covered", "mean"))
    )
    print(result.round(3).to_string())


if __name__ == "__main__":
    main()
