"""Score all assessors on a study and print the tables of benchmarks/assessors.md.

python benchmarks/assessors.py ../shared/data/joined_bbh_math [--split task] [--seeds 3] [--resume FOLDER]
python benchmarks/assessors.py ../shared/data/agentic/gso --split id

The second form reads GSO's two tables, ``gso_responses.parquet`` and ``gso_ratings.parquet``, as one study. On held-out
benchmarks each one that was left out has rows of its own.
"""

import argparse
import platform
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from capscope.data import Study
from capscope.predict import Outcomes, evaluate
from capscope.predict.evaluation.metrics import mean_values, score_models

PLAIN = ("log_loss", "auroc", "auroc_within_task", "ece", "ece_by_chance", "benchmark_mae")
WEIGHTED = ("auroc", "auroc_within_task", "ece")
ALL = ("auroc_all_models", "ece_all_models")


def main() -> None:
    """Evaluate split by split and print one Markdown row for each assessor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--split", action="append")
    parser.add_argument("--assessor", action="append")
    parser.add_argument("--annotator")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--resume", type=Path, help="folder that keeps finished folds")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    study = load(arguments.study)
    versions = ", ".join(f"{name} {version(name)}" for name in ("scikit-learn", "torch", "numpy"))
    print(f"{date.today()}, {platform.machine()}, one thread, Python {platform.python_version()}, {versions}")
    columns = (*PLAIN, *(f"{name} (weighted)" for name in WEIGHTED), *ALL, "sd of log_loss over seeds", "s a fold")
    print(f"| held out | assessor | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 2)}")
    for split in arguments.split or ("id", "task", "benchmark"):
        with tempfile.TemporaryDirectory() as folder:
            found = evaluate(
                study,
                split,
                arguments.assessor,
                seeds=arguments.seeds,
                annotator=arguments.annotator,
                resume=arguments.resume,
                write=Path(folder) / "predictions.parquet",
            )
            seconds = {name: total / found.folds / arguments.seeds for name, total in found.seconds.items()}
            print_rows(split, pd.read_parquet(Path(folder) / "predictions.parquet"), seconds)


def load(path: Path) -> Study:
    """Read a study, or two tables of responses and ratings of one benchmark."""
    tables = [path.with_name(f"{path.name}_{kind}.parquet") for kind in ("responses", "ratings")]
    if path.is_dir() or not tables[0].is_file():
        return Study.load(path)
    responses, ratings = map(pd.read_parquet, tables)
    items = pd.DataFrame({"item_id": sorted(set(responses["item_id"])), "benchmark": path.name})
    return Study.of(items, responses, ratings.assign(annotator="judge"))


def print_rows(split: str, predictions: pd.DataFrame, seconds: dict[str, float]) -> None:
    """Print one row for each assessor; of held-out benchmarks, for each benchmark."""
    whole = predictions["benchmark"] if split == "benchmark" else pd.Series("", index=predictions.index)
    for (name, assessor), rows in predictions.groupby([whole.rename("held"), "assessor"], sort=False):
        scored = [score_models(outcomes(part)) for _, part in rows.groupby("seed")]
        plain = mean_values([each.mean() for each in scored])
        weighted = mean_values([each.accuracy_weighted() for each in scored])
        values = [plain[each] for each in PLAIN] + [weighted[each] for each in WEIGHTED]
        values += [plain[each] for each in ALL]
        values.append(float(np.std([each.mean()["log_loss"] for each in scored])))
        cells = " | ".join(f"{value:.3f}" for value in values)
        print(f"| {split} {name} | {assessor} | {cells} | {seconds[str(assessor)]:.1f} |", flush=True)


def outcomes(table: pd.DataFrame) -> Outcomes:
    """Read predictions as outcomes."""
    task = table["benchmark"] + "/" + table["task"]
    index = [np.unique(labels, return_inverse=True)[1] for labels in (table["model"], task, table["benchmark"])]
    return Outcomes(*index, table["score"].to_numpy(), table["chance"].to_numpy())


if __name__ == "__main__":
    main()
