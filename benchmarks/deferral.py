"""Bounds on failures among the items that are not deferred, on the 81 models and 29 tasks of `joined_bbh_math`.

Chances are out of fold, by items and by tasks. In each draw half of the tasks is past, half is new. Thresholds come
from the past half: for items from the predictions by items, for tasks from those by tasks; `in hindsight` is the lowest
threshold under which the past half's failures stay at the risk. Each is used on other items of the past tasks and on
the new tasks.

    python benchmarks/deferral.py ../shared/data/joined_bbh_math
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.predict import evaluate
from capscope.predict.scores.deferral import THRESHOLDS, group_threshold, item_threshold

CONFIDENCE = 0.9


def main() -> None:
    """Evaluate once by items and once by tasks, then draw halves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--assessor", default="explanatory")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--risk", type=float, nargs="+", default=[0.1, 0.2])
    given = parser.parse_args()
    tables = {}
    with tempfile.TemporaryDirectory() as folder:
        for split in ("id", "task"):
            path = Path(folder) / f"{split}.parquet"
            evaluate(given.study, split, [given.assessor], write=path, embedder="tfidf")
            tables[split] = pd.read_parquet(path)
    for risk in given.risk:
        rows = [row for draw in range(given.draws) for row in one_draw(tables, risk, draw)]
        frame = pd.DataFrame(rows, columns=["rule", "used on", "kept", "failures", "over"])
        print(f"risk {risk:g}: means over models and draws; over: share of models with more failures than the risk")
        print(frame.groupby(["rule", "used on"], sort=False).mean().round(3).to_string())


def one_draw(tables: dict[str, pd.DataFrame], risk: float, draw: int) -> list[tuple[str, str, float, float, float]]:
    """Return a row for each model, rule and use."""
    rng = np.random.default_rng(draw)
    tasks = np.unique(tables["task"]["task"].astype(str))
    past = set(rng.permutation(tasks)[: len(tasks) // 2])
    items = tables["id"]["item_id"].unique()
    learnt = set(items[rng.random(len(items)) < 0.5])
    rows = []
    for model, by_item in tables["id"].groupby("model"):
        known = by_item[by_item["task"].astype(str).isin(past)]
        inside = known["item_id"].isin(learnt)
        by_task = tables["task"][tables["task"]["model"] == model]
        is_past = by_task["task"].astype(str).isin(past)
        group = np.unique(by_task.loc[is_past, "task"].astype(str), return_inverse=True)[1]
        cuts = {
            "in hindsight": hindsight(*columns(known[inside]), risk),
            "for items": item_threshold(*columns(known[inside]), risk, 1 - CONFIDENCE),
            "for tasks": group_threshold(*columns(by_task[is_past]), group, risk, 1 - CONFIDENCE),
        }
        uses = {"other items": known[~inside], "new tasks": by_task[~is_past]}
        rows += [
            (rule, use, *outcome(*columns(part), cut, risk)) for rule, cut in cuts.items() for use, part in uses.items()
        ]
    return rows


def columns(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return chances and failures."""
    return table["chance"].to_numpy(float), 1 - table["score"].to_numpy(float)


def hindsight(chance: np.ndarray, failure: np.ndarray, risk: float) -> float | None:
    """Return the lowest threshold under which these failures stay at the risk."""
    kept = chance >= THRESHOLDS[:, None]
    held = THRESHOLDS[(kept @ failure <= risk * kept.sum(axis=1)) & kept.any(axis=1)]
    return float(held.min()) if len(held) else None


def outcome(chance: np.ndarray, failure: np.ndarray, cut: float | None, risk: float) -> tuple[float, float, float]:
    """Return the share that is kept, the share of failures in it, and whether that exceeds the risk."""
    kept = chance >= (2.0 if cut is None else cut)
    rate = float(failure[kept].mean()) if kept.any() else 0.0
    return float(kept.mean()), rate, float(rate > risk)


if __name__ == "__main__":
    main()
