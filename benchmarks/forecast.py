"""Forecasts of hidden published scores: error and coverage on four public tables, speed, planted factors.

    python benchmarks/forecast.py --data ../shared/data/score_tables [--seeds 5] [--forecaster blend] [--tables cpp]

Tables: CPP (72 x 29), Sloth (188 models), ObsScaling (148 x 8), Open LLM Leaderboard v2 (707 x 6), with family, size,
tokens and compute where the sources state them. What is hidden is that of a common protocol (`capscope forecast
evaluate` hides the same cells). `--speed` times a table of 7,000 x 100, `--facts` leaves out the facts about models.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.forecast import HIDINGS, PublishedScores, hidden_cells, published_scores
from capscope.forecast.forecasters import FORECASTERS, HierarchicalForecaster

LEADERBOARD = [f"{name} Raw" for name in ("IFEval", "BBH", "MATH Lvl 5", "GPQA", "MUSR", "MMLU-PRO")]
OBSERVED = ["MMLU", "ARC-C", "HellaSwag", "Winograd", "TruthfulQA", "GSM8K", "XWinograd", "HumanEval"]
FACTS = ("scale", "size x tokens", "family", "size within family", "names")


def read_tables(folder: Path) -> dict[str, PublishedScores]:
    """Read the four tables, scores in percent."""
    cpp = pd.read_csv(folder / "cpp_crowdsource_performance.csv", index_col=0)
    facts = pd.read_csv(folder / "cpp_model_feature.csv", index_col=0)
    facts = facts[~facts.index.duplicated()]
    cpp = cpp[~cpp.index.duplicated()].apply(pd.to_numeric, errors="coerce")
    cpp = cpp.loc[cpp.index.isin(facts.index)]
    sloth = pd.read_csv(folder / "sloth_data_v2.csv").drop_duplicates("Model").set_index("Model")
    later = sloth.columns[sloth.columns.get_loc("FLOPs (1E21)") + 1 :]
    shares = [name for name in later if _is_share(sloth[name])]
    observed = (
        pd.read_csv(folder / "obsscaling_base_llm_benchmark_eval.csv").drop_duplicates("Model").set_index("Model")
    )
    board = pd.read_csv(folder / "open_llm_leaderboard_v2.csv").drop_duplicates("Model").set_index("Model")
    same = {"Pretraining Data Size (T)": "tokens", "FLOPs (1E21)": "compute"}
    return {
        "cpp": _table(
            cpp.where((cpp >= 0) & (cpp <= 100)),
            facts,
            {"family": "family", "Parameter Size(M)": "size", "Pretraining Dataset Size(B)": "tokens"},
        ),
        "sloth": _table(100 * sloth[shares], sloth, same | {"Family": "family", "#Params (B)": "size"}),
        "obsscaling": _table(
            100 * observed[OBSERVED], observed, same | {"Model Family": "family", "Model Size (B)": "size"}
        ),
        "leaderboard_v2": _table(
            100 * board[LEADERBOARD].apply(pd.to_numeric, errors="coerce"),
            board,
            {"Architecture": "family", "#Params (B)": "size"},
        ),
    }


def _is_share(column: pd.Series) -> bool:
    numeric = pd.api.types.is_numeric_dtype(column)
    return bool(numeric and column.max() <= 1.0001 and column.min() >= 0 and column.notna().sum() >= 20)


def _table(scores: pd.DataFrame, facts: pd.DataFrame, names: dict[str, str]) -> PublishedScores:
    scores = scores.loc[scores.notna().sum(axis=1) >= 2, scores.notna().sum() >= 5]
    models = facts.reindex(scores.index)[list(names)].rename(columns=names)
    return published_scores(scores.rename_axis("model").reset_index(), models.rename_axis("model").reset_index(), None)


def measure(table: PublishedScores, hide: str, seeds: int, forecaster) -> list[float]:  # noqa: ANN001
    """Return median error, mean error, coverage and width at 80 %, and CPU seconds, means over seeds."""
    rows: list[list[float]] = []
    for seed in range(seeds):
        hidden = hidden_cells(table, hide, seed)
        start = time.process_time()
        cells = forecaster.fit(table.hidden(hidden), seed).cells(0.8)
        seconds = time.process_time() - start
        truth = table.values[hidden]
        error = np.abs(cells.score[hidden] - truth)
        inside = (cells.lower[hidden] <= truth) & (truth <= cells.upper[hidden])
        width = (cells.upper - cells.lower)[hidden]
        rows.append([float(np.median(error)), error.mean(), inside.mean(), width.mean(), seconds])
    return [float(value) for value in np.mean(rows, axis=0)]


def large_table(models: int = 7_000, benchmarks: int = 100) -> PublishedScores:
    """Simulate a large table with half of its scores."""
    rng = np.random.default_rng(0)
    logit = rng.normal(size=(models, 3)) @ rng.normal(0, 0.6, (3, benchmarks)) + rng.normal(0, 1, benchmarks)
    scores = 100 / (1 + np.exp(-logit - 0.2 * rng.standard_t(5, logit.shape)))
    frame = pd.DataFrame(np.where(rng.random(scores.shape) < 0.5, scores, np.nan))
    frame.columns = [f"b{index}" for index in range(benchmarks)]
    frame.insert(0, "model", [f"m{index}" for index in range(models)])
    return published_scores(frame)


def main() -> None:
    """Print one line a table and split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/score_tables"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--forecaster", default="hierarchical")
    parser.add_argument("--tables", nargs="*")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--facts", action="store_true")
    chosen = parser.parse_args()
    if chosen.speed:
        table, start = large_table(), time.process_time()
        HierarchicalForecaster().fit(table, 0).cells(0.8)
        print(f"7,000 x 100: {time.process_time() - start:.1f} CPU s")
        return
    forecaster = HierarchicalForecaster(leave_out=FACTS) if chosen.facts else FORECASTERS[chosen.forecaster].make()
    for name, table in read_tables(chosen.data).items():
        if chosen.tables and name not in chosen.tables:
            continue
        for hide in HIDINGS:
            if hide == "largest" and "compute" not in table.models:
                continue
            median, mean, cover, width, seconds = measure(table, hide, chosen.seeds, forecaster)
            print(
                f"| {name} | {hide} | {median:.2f} | {mean:.2f} | {cover:.3f} | {width:.1f} | {seconds:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
