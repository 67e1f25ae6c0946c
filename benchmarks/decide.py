"""The release gate on pairs of real models, on the published version pairs, and on second runs of one model.

python benchmarks/decide.py pairs [--seeds 10]
python benchmarks/decide.py versions [--seeds 20]
python benchmarks/decide.py null [--runs 2000]
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from capscope import Study
from capscope.decide import GateEvaluation, GateEvaluationSettings, evaluate_gate
from capscope.decide.difference import PairedDifferences
from capscope.decide.looks import look_quantiles
from capscope.decide.verdicts import verdict_of
from capscope.decide.version_answers import VersionAnswers

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CELLS = (
    ("BBH", 200, "even", "complete"),
    ("BBH", 200, "flips", "complete"),
    ("BBH", 400, "flips", "complete"),
    ("metabench", 200, "even", "complete"),
    ("metabench", 200, "flips", "complete"),
    ("metabench", 400, "even", "complete"),
    ("metabench", 400, "flips", "complete"),
    ("LiveCodeBench", 200, "even", "complete"),
    ("LiveCodeBench", 200, "flips", "complete"),
    ("BBH", 200, "even", "sampled"),
    ("metabench", 200, "even", "sampled"),
    ("LiveCodeBench", 200, "even", "sampled"),
)


def responses_of(name: str) -> pd.DataFrame:
    """Answers of one set: BBH of openllm_v2, 400 complete models of metabench, the whole part of LiveCodeBench."""
    folder = {"BBH": "openllm_v2", "metabench": "metabench_openllm_v1", "LiveCodeBench": "livecodebench"}[name]
    rows = pd.read_parquet(DATA / folder / "responses.parquet").astype({"model": str, "item_id": str})
    rows = rows[rows["score"] >= 0][["model", "item_id", "score"]]
    if name == "BBH":
        items = pd.read_parquet(DATA / folder / "items.parquet")
        rows = rows[rows["item_id"].isin(items.loc[items["benchmark"].str.lower() == "bbh", "item_id"].astype(str))]
    if name == "metabench":
        answered = rows.groupby("model").size()
        whole = sorted(answered.index[answered >= 0.98 * rows["item_id"].nunique()])
        rows = rows[rows["model"].isin(np.random.default_rng(0).choice(whole, 400, replace=False))]
    if name == "LiveCodeBench":
        answered = rows.groupby("item_id")["model"].nunique()
        rows = rows[rows["item_id"].isin(answered.index[answered >= 28])]
        done = rows.groupby("model").size()
        rows = rows[rows["model"].isin(done.index[done >= 1100])]
    return rows.reset_index(drop=True)


def row_of(found: GateEvaluation, *head: object) -> str:
    """One row of a table."""
    points = f"{100 * found.paired_rmse:.2f} | {100 * found.rmse:.2f} | {found.worth:.2f}"
    return f"| {' | '.join(map(str, head))} | {points} | {100 * found.coverage:.1f} | {100 * found.width:.2f} |"


def pairs(seeds: int) -> None:
    """Pairs of models within five points of each other."""
    print("| set | n | draws | baseline | paired mean's error, pp | ours | worth | 95 % covers | width, pp |")
    print("|---|---|---|---|---|---|---|---|---|")
    studies: dict[str, Study] = {}
    for name, size, design, setting in CELLS:
        study = studies.setdefault(name, Study.of(responses=responses_of(name)))
        settings = GateEvaluationSettings(size=size, pairs=60, seeds=seeds, design=design, setting=setting)  # type: ignore[arg-type]
        print(row_of(evaluate_gate(study, settings), name, size, design, setting), flush=True)


def versions(seeds: int) -> None:
    """The published pairs of old and new versions."""
    listed = pd.read_csv(DATA / "zeroeval_2024" / "version_pairs.csv")
    rows = pd.read_parquet(DATA / "zeroeval_2024" / "responses.parquet").astype({"model": str, "item_id": str})
    print("| set | pairs | n | draws | answers | paired mean's error | ours | worth | covers | width | verdicts |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for size, design, fixed in ((200, "even", False), (400, "even", False), (400, "even", True), (400, "flips", False)):
        for name, group in listed.groupby("set"):
            benchmark = str(name).split("/")[1]
            part = rows[rows["item_id"].str.contains(benchmark)][["model", "item_id", "score"]].reset_index(drop=True)
            named = tuple(zip(group["old"].astype(str), group["new"].astype(str), strict=True))
            settings = GateEvaluationSettings(size=size, seeds=seeds, design=design, named=named, fixed=fixed)  # type: ignore[arg-type]
            found = evaluate_gate(Study.of(responses=part), settings)
            shares = "; ".join(
                f"{group}: ship {of['ship']:.2f}, hold {of['hold']:.2f}" for group, of in found.verdicts.items()
            )
            answers = "fixed" if fixed else "may vary"
            print(row_of(found, benchmark, found.n_pairs, size, design, answers)[:-1] + f"| {shares} |", flush=True)


def null(runs: int) -> None:
    """A second run of the baseline as candidate: how often is it held?"""
    print("| answers vary | n of 1000 | looks | held, % | shipped, % |\n|---|---|---|---|---|")
    for slope, size, looks in ((1.0, 200, 1), (1.0, 400, 1), (1.0, 1000, 1), (3.0, 400, 1), (1.0, 400, 10)):
        rng = np.random.default_rng(0)
        bounds = look_quantiles([number / looks for number in range(1, looks + 1)])
        ends = [_verdicts(rng, slope, size, bounds) for _ in range(runs if looks == 1 else runs // 4)]
        held = np.mean(["hold" in end for end in ends])
        shipped = np.mean(["ship" in end for end in ends])
        print(
            f"| {'much' if slope < 2 else 'less'} | {size} | {looks} | {100 * held:.1f} | {100 * shipped:.1f} |",
            flush=True,
        )


def _verdicts(rng: np.random.Generator, slope: float, size: int, bounds: list[float]) -> list[str]:
    """Verdicts at each look, of one simulated pair of runs over 1,000 items with 30 past models."""
    n_items, n_past = 1000, 30
    difficulty = rng.normal(0, 1.5, n_items)
    ability = rng.normal(0.3, 1, (n_past, 1))
    past = (rng.random((n_past, n_items)) < 1 / (1 + np.exp(-slope * (ability - difficulty)))).astype(float)
    old, new = (rng.random((2, n_items)) < 1 / (1 + np.exp(-slope * (0.5 - difficulty)))).astype(float)
    labels = pd.DataFrame({"benchmark": "b", "task": [f"t{item % 25}" for item in range(n_items)]})
    order, items = rng.permutation(n_items), tuple(map(str, range(n_items)))
    ends: list[str] = []
    for look, bound in enumerate(bounds, 1):
        seen = np.full(n_items, np.nan)
        shown = order[: size * look // len(bounds)]
        seen[shown] = new[shown]
        answers = VersionAnswers("old", "new", items, old, seen, past, labels)
        ends.append(verdict_of(PairedDifferences.of(answers).over(), bound, 0.01))
    return ends


def main() -> None:
    """Run one of the tables."""
    parser = argparse.ArgumentParser(description="the release gate, measured")
    parser.add_argument("table", choices=["pairs", "versions", "null"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=2000)
    given = parser.parse_args()
    if given.table == "pairs":
        pairs(given.seeds)
    elif given.table == "versions":
        versions(given.seeds)
    else:
        null(given.runs)


if __name__ == "__main__":
    main()
