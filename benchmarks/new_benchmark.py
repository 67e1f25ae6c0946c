"""How far a few labels bring the predicted score on an unseen benchmark, against the mean of the same labels.

python benchmarks/new_benchmark.py ../shared/data/openllm_v2 --leave-out MMLU-Pro [--assessor mean] [--seeds 10]

python benchmarks/new_benchmark.py ../shared/data/score_tables --tables

The first form: each benchmark in turn is unseen; the assessor learns from the others, and the spread of offsets is read
off the others alone, each predicted without itself and without the unseen one. The second form: intervals of a
benchmark's scores without labels, over all benchmarks of published tables, from two to six others, each predicted by
the mean of the rest, with the prior of published tables and without.
"""

import argparse
import platform
import time
from datetime import date
from importlib.metadata import version
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats
from scipy.special import expit

from capscope.data import ResponseFold, Study
from capscope.fit import log_odds_of
from capscope.predict import ASSESSORS
from capscope.predict.evaluation.folds import held_out_chances
from capscope.predict.layout import Layout
from capscope.predict.outcomes import Outcomes
from capscope.predict.scores.benchmark import GroupScores
from capscope.predict.scores.benchmark_effect import EffectSd, effect_sd
from capscope.predict.scores.labels import Labels, LogOddsGrid, labelled_scores

SIZES = (0, 5, 10, 20, 50)
WAYS = {"own": "own labels only", "all": "all models, items of their own", "same": "all models, the same items"}


def main() -> None:
    """Print one Markdown row for each benchmark, way of labelling and number of labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--leave-out", action="append", default=[])
    parser.add_argument("--assessor", default="mean")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--tables", action="store_true", help="STUDY is a folder of published tables")
    arguments = parser.parse_args()
    if arguments.tables:
        unlabelled(published(arguments.study))
        return
    torch.set_num_threads(1)
    start = time.process_time()
    layout = layout_of(Study.load(arguments.study), arguments.leave_out)
    predicted = Predicted(layout, arguments.assessor)
    print(f"{date.today()}, {platform.machine()}, Python {platform.python_version()}, numpy {version('numpy')}")
    print(f"{arguments.assessor}, {len(layout.responses.models)} models, {arguments.seeds} seeds")
    print("| benchmark | labels of | n | sample mean MAE | our MAE | 80 % intervals cover | width |\n|" + "---|" * 7)
    for number, name in enumerate(predicted.names):
        rows = measure(predicted, number, arguments.seeds)
        for (way, n), row in rows.groupby(["way", "n"], sort=False):
            plain = f"{row['plain'].mean():.3f}" if n else "-"
            cells = f"{row['error'].mean():.3f} | {row['hit'].mean():.0%} | {row['width'].mean():.2f}"
            print(f"| {name} | {WAYS[way]} | {n} | {plain} | {cells} |", flush=True)
    print(f"{time.process_time() - start:.0f} s of processor time")


def layout_of(study: Study, leave_out: list[str]) -> Layout:
    """Lay out the models that have answered every benchmark."""
    items = study.require("items")
    kept = study.keep_items(pd.Index(items.loc[~items["benchmark"].isin(leave_out), "item_id"].astype(str)))
    answers = kept.require("responses").merge(kept.require("items")[["item_id", "benchmark"]], on="item_id")
    count = answers.groupby("model", observed=True)["benchmark"].nunique()
    return Layout.of_study(kept.keep_models([str(name) for name in count.index[count == count.max()]]))


class Predicted:
    """Log-odds of all answers to a benchmark, from any set of others."""

    def __init__(self, layout: Layout, assessor: str) -> None:
        self.layout, self.assessor = layout, ASSESSORS[assessor].assessor
        self.benchmark = layout.benchmark
        self.names = sorted(layout.items["benchmark"].astype(str).unique())
        self.known: dict[tuple[int, ...], np.ndarray] = {}
        everything = range(len(self.names))
        for size in (1, 2):
            for unseen in combinations(everything, size):
                self.known[unseen] = self._without(unseen)

    def _without(self, unseen: tuple[int, ...]) -> np.ndarray:
        test = np.isin(self.benchmark, unseen)
        chances = held_out_chances(self.layout, self.assessor, ResponseFold(~test, test), 0)
        found = np.full(len(test), np.nan)
        found[test] = chances.probability
        return found

    def prior(self, unseen: int) -> EffectSd:
        """Spread of offsets of the other benchmarks, each predicted without itself and without the unseen one."""
        chance = np.full(len(self.benchmark), np.nan)
        for other in set(range(len(self.names))) - {unseen}:
            rows = self.benchmark == other
            chance[rows] = self.known[tuple(sorted((unseen, other)))][rows]
        rows = self.benchmark != unseen
        _, group = np.unique(self.benchmark[rows], return_inverse=True)
        answers = self.layout.responses.rows(rows)
        outcomes = Outcomes(answers.model_index, group, group, answers.score, chance[rows])
        return GroupScores.of(outcomes, group).effect_sd(np.arange(group.max() + 1))

    def table(self, unseen: int) -> tuple[np.ndarray, np.ndarray]:
        """Predicted log-odds and scores of an unseen benchmark, as (model, item)."""
        rows = self.benchmark == unseen
        answers = self.layout.responses.rows(rows)
        items, position = np.unique(answers.item_index, return_inverse=True)
        line, score = (np.full((len(answers.models), len(items)), np.nan) for _ in range(2))
        line[answers.model_index, position] = log_odds_of(self.known[(unseen,)][rows])
        score[answers.model_index, position] = answers.score
        whole = ~np.isnan(score).any(axis=0)
        return line[:, whole], score[:, whole]


def measure(predicted: Predicted, unseen: int, seeds: int) -> pd.DataFrame:
    """Errors and intervals of every model, way of labelling, number of labels and seed."""
    line, score = predicted.table(unseen)
    past = predicted.prior(unseen)
    found: list[pd.DataFrame] = []
    for way in WAYS:
        for n in SIZES:
            for seed in range(seeds):
                rng = np.random.default_rng([seed, n])
                picks = choose(way, score.shape, n, rng)
                prior = past.cautious() if n else past.published()
                scores = estimate(way, line, score, picks, prior, rng)
                truth = score.mean(axis=1)
                sample = np.take_along_axis(score, picks, 1).mean(axis=1) if n else np.full(len(truth), np.nan)
                hit = (scores["lower"] <= truth) & (truth <= scores["upper"])
                error, width = np.abs(scores["score"] - truth), scores["upper"] - scores["lower"]
                columns = {"error": error, "plain": np.abs(sample - truth), "hit": hit, "width": width}
                found.append(pd.DataFrame(columns).assign(way=way, n=n))
    return pd.concat(found)


def choose(way: str, shape: tuple[int, int], n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the labelled items of each model, as (model, label)."""
    models, items = shape
    if way == "same":
        return np.tile(rng.permutation(items)[:n], (models, 1))
    return np.stack([rng.permutation(items)[:n] for _ in range(models)])


def estimate(
    way: str, line: np.ndarray, score: np.ndarray, picks: np.ndarray, prior: EffectSd, rng: np.random.Generator
) -> pd.DataFrame:
    """Predict all models' scores from the labels, each model alone where only its own count."""
    answers = np.take_along_axis(score, picks, 1)
    if way != "own":
        model = np.repeat(np.arange(len(line)), picks.shape[1])
        return labelled_scores(LogOddsGrid.known(line), Labels(model, picks.ravel(), answers.ravel()), prior, rng, 0.8)
    alone = np.zeros(picks.shape[1], int)
    each = [
        labelled_scores(LogOddsGrid.known(row[None]), Labels(alone, items, scores), prior, rng, 0.8)
        for row, items, scores in zip(line, picks, answers, strict=True)
    ]
    return pd.concat(each, ignore_index=True)


def published(folder: Path) -> dict[str, pd.DataFrame]:
    """Shares by model and benchmark of tables of published scores; further releases of LiveBench lie beside."""
    read = {path.stem: pd.read_csv(path) for path in folder.glob("*.csv")}
    read |= {path.stem: pd.read_parquet(path) for path in folder.glob("*.parquet")}
    leaderboard = read["open_llm_leaderboard_v2"]
    second = ["ARC", "HellaSwag", "MMLU", "TruthfulQA", "Winogrande", "GSM8K"]
    helm = read["cpp_helm_core"].set_index("Metric").T.apply(pd.to_numeric, errors="coerce")
    exact = [name for name in map(str, helm) if " - EM" in name or " - F1" in name]
    tables = {
        "ObsScaling, base": read["obsscaling_base_llm_benchmark_eval"].iloc[:, 5:],
        "ObsScaling, instruct": read["obsscaling_instruct_llm_benchmark_eval"].iloc[:, 7:],
        "Open LLM v1": read["open_llm_leaderboard_v1"][second] / 100,
        "Open LLM v2": leaderboard[[name for name in map(str, leaderboard) if name.endswith("Raw")]],
        "CPP, from papers": read["cpp_crowdsource_performance"].iloc[:, 1:] / 100,
        "HELM": helm[exact].where(helm[exact] <= 1),
    }
    live = pd.read_parquet(folder.parent / "score_tables_2026" / "livebench_tables_2024-2026.parquet")
    for release in (live["release"].min(), live["release"].max()):
        rows = live[live["release"] == release]
        tables[f"LiveBench {release}"] = rows.pivot_table(index="model", columns="task", values="score") / 100
    return {name: table.apply(pd.to_numeric, errors="coerce").clip(0.01, 0.99) for name, table in tables.items()}


def unlabelled(tables: dict[str, pd.DataFrame]) -> None:
    """Print coverage, width and interval score (Winkler, 1972) of 80 % intervals, without that prior and with it."""
    print("| table | seen | n | covers, without | with | width, without | with | score, without | with |")
    print("|" + "---|" * 9)
    for name, table in tables.items():
        line, rng = np.asarray(log_odds_of(table.to_numpy(float))), np.random.default_rng(0)
        for seen in (2, 3, 4, 6):
            drawn = (problem_of(line, seen, rng) for _ in range(240))
            rows = np.array([row for row in drawn if row is not None][:60])
            if len(rows):
                values = " | ".join(f"{value:.2f}" for value in rows.mean(axis=0))
                print(f"| {name} | {seen} | {len(rows)} | {values} |", flush=True)


def problem_of(line: np.ndarray, seen: int, rng: np.random.Generator) -> list[float] | None:
    """Draw benchmarks and models; coverage, width and score of the last benchmark's intervals; None with few models."""
    columns = rng.permutation(line.shape[1])[: seen + 1]
    models = rng.permutation(np.flatnonzero(np.isfinite(line[:, columns]).all(axis=1)))[: rng.choice([8, 20, 60])]
    if len(columns) <= seen or len(models) < 8:
        return None
    table = line[np.ix_(models, columns)]
    share = expit(table)
    rest = [log_odds_of(np.delete(share[:, :seen], place, 1).mean(axis=1)) for place in range(seen)]
    effect = table[:, :seen] - np.stack(rest, axis=1)
    past, middle = effect_sd(effect, np.full_like(effect, 0.01)), log_odds_of(share[:, :seen].mean(axis=1))
    found: list[list[float]] = []
    for prior in (past, past.published()):
        reach = stats.t.ppf(0.9, prior.groups) * np.hypot(prior.benchmark, prior.own)
        lower, upper, truth = expit(middle - reach), expit(middle + reach), share[:, seen]
        miss = np.maximum(lower - truth, 0) + np.maximum(truth - upper, 0)
        width = upper - lower
        found.append([float((miss == 0).mean()), float(width.mean()), float((width + 10 * miss).mean())])
    return [value for pair in zip(*found, strict=True) for value in pair]


if __name__ == "__main__":
    main()
