"""False alarms and power of the tests for leaked items, in simulated worlds and on models trained on test sets.

python benchmarks/contamination.py worlds [SEEDS]
python benchmarks/contamination.py constat TABLE
"""

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from capscope.data import Study
from capscope.profiles import ContaminationSettings, find_contamination

SIZES = ((12, 200), (30, 200), (30, 800), (60, 800))
MARKED = 0.2
"""Share of the items that did not leak and are marked as exposed all the same."""
FAMILY = (0, 1, 2)


@dataclass(frozen=True)
class World:
    """Answers of clean models, and the order in which items leak."""

    score: np.ndarray
    order: np.ndarray
    marked: np.ndarray

    @classmethod
    def draw(cls, n_models: int, n_items: int, seed: int) -> "World":
        """Draw two-parameter answers; each model strays from its ability on half of the items."""
        rng = np.random.default_rng(seed)
        slope, difficulty = rng.lognormal(0, 0.3, n_items), rng.normal(0, 1.3, n_items)
        order = rng.permutation(n_items) / n_items
        stray = 0.3 * rng.standard_normal((n_models, 1)) * (order < 0.5)
        chance = expit(slope * (rng.standard_normal((n_models, 1)) - difficulty) + stray)
        return cls((rng.random(chance.shape) < chance).astype(float), order, rng.random(n_items) < MARKED)

    def study(self, leaked: np.ndarray, marked: np.ndarray, models: tuple[int, ...] = (0,)) -> Study:
        """Some models know the leaked items by heart; the marked ones are said to be exposed."""
        score = self.score.copy()
        score[np.ix_(models, np.flatnonzero(leaked))] = 1.0
        ids = [f"i{number:04d}" for number in range(score.shape[1])]
        names = [f"m{number:02d}" for number in range(len(score))]
        wide = pd.DataFrame(score, index=pd.Index(names, name="model"), columns=ids)
        answers = wide.reset_index().melt("model", var_name="item_id", value_name="score")
        return Study.of(pd.DataFrame({"item_id": ids, "benchmark": "B", "marked": marked}), answers)


def tests_of(study: Study, families: str) -> pd.DataFrame:
    """All tests of a study, by marked items and by pattern."""
    settings = ContaminationSettings(exposure=("marked",), families=families)
    return find_contamination(study, settings).table.set_index(["evidence", "subject"])


def one_world(n_models: int, n_items: int, seed: int, families: str) -> dict[str, float]:
    """False alarms of a clean world, and what is found of leaks planted in it."""
    world = World.draw(n_models, n_items, seed)
    half = world.order < 0.5
    clean = tests_of(world.study(np.zeros(n_items, bool), half), families)
    own = clean[clean["scope"] == "model"]
    row: dict[str, float] = {"alarm": float((clean["verdict"] == "leak").any())}
    for evidence in ("marked", "pattern"):
        at = own.loc[evidence]
        row[f"{evidence} p<.05"] = float((at["p"] < 0.05).mean())
        least = row[f"{evidence} least"] = float(at["smallest_leak"].loc["m00"])
        share = min(least, 1.0)
        leaked = half & (world.order < share / 2) if evidence == "marked" else world.order < share
        found = tests_of(world.study(leaked, half), families)
        # where not even half of the answers would be enough, the verdict is "cannot tell" and no power is stated
        row[f"{evidence} at least"] = (
            float(found.loc[(evidence, "m00"), "verdict"] == "leak") if least <= 0.5 else np.nan
        )
    for leak in (0.05, 0.2):
        leaked = world.order < leak
        one = tests_of(world.study(leaked, leaked | world.marked), families)
        several = tests_of(world.study(leaked, leaked | world.marked, FAMILY), families)
        for evidence in ("marked", "pattern"):
            row[f"{evidence} {leak:.0%} model"] = float(one.loc[(evidence, "m00"), "verdict"] == "leak")
            row[f"{evidence} {leak:.0%} family"] = float(several.loc[(evidence, "f0"), "verdict"] == "leak")
    return row


def worlds(seeds: int) -> None:
    """Print a row for each size of study."""
    with tempfile.TemporaryDirectory() as folder:
        for n_models, n_items in SIZES:
            families = Path(folder) / f"{n_models}.csv"
            groups = [f"f{number // len(FAMILY)}" for number in range(n_models)]
            names = [f"m{number:02d}" for number in range(n_models)]
            pd.DataFrame({"model": names, "family": groups}).to_csv(families, index=False)
            start = time.process_time()
            rows = pd.DataFrame([one_world(n_models, n_items, seed, str(families)) for seed in range(seeds)])
            print(f"{n_models} models, {n_items} items, {time.process_time() - start:.0f} CPU s")
            print(rows.mean().round(3).to_string(), flush=True)


def constat(path: Path) -> None:
    """Print which models trained on a test set are found, and which clean ones are, by benchmark and control."""
    table = pd.read_csv(path)
    print("benchmark control planted effective found of_effective clean flagged", end=" ")
    print("smallest_leak error raw_error theirs theirs_clean")
    for (benchmark, control), rows in table.groupby(["benchmark", "control"]):
        settings = ContaminationSettings(benchmark=str(benchmark), against=str(control))
        tests = find_contamination(totals(rows, str(benchmark), str(control)), settings).table
        tests = tests.merge(rows, left_on="subject", right_on="model")
        planted = tests["model"].str.startswith("JasperDekoninck/")
        gain = tests["score"] - tests["no_cont"]
        effective = planted & (gain > 2 * np.hypot(tests["no_cont_std"], tests["score_model_std"]))
        found, theirs = tests["verdict"] == "leak", tests["p_value"] < 0.05
        counts = [planted, effective, found & planted, found & effective, ~planted, found & ~planted]
        error = (tests["corrected"] - tests["no_cont"]).abs()[effective].mean()
        least = tests["smallest_leak"].median()
        print(benchmark, control, *(int(mask.sum()) for mask in counts), end=" ")
        print(f"{least:.2f} {error:.3f} {gain.abs()[effective].mean():.3f}", end=" ")
        print(int((theirs & planted).sum()), int((theirs & ~planted).sum()))


def totals(rows: pd.DataFrame, benchmark: str, control: str) -> Study:
    """Scores on a benchmark and its control as answers to one item each, with the trials their errors stand for."""
    parts: list[pd.DataFrame] = []
    for item, column in ((benchmark, "score_model"), (control, "score_model_ref")):
        score = rows[column].clip(0, 1)
        trials = score * (1 - score) / rows[f"{column}_std"].clip(lower=1e-4) ** 2
        inner = score.between(0.02, 0.98)
        trials = trials.where(inner, trials[inner].median()).round().clip(lower=100)
        parts.append(pd.DataFrame({"model": rows["model"], "item_id": item, "score": score, "n_trials": trials}))
    items = pd.DataFrame({"item_id": [benchmark, control], "benchmark": [benchmark, control]})
    return Study.of(items, pd.concat(parts))


if __name__ == "__main__":
    if sys.argv[1] == "worlds":
        worlds(int(sys.argv[2]) if len(sys.argv) > 2 else 40)
    else:
        constat(Path(sys.argv[2]))
