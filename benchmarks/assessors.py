"""Score all assessors on a study and print the table that benchmarks/README.md shows.

python benchmarks/assessors.py ../shared/data/joined_bbh_math [--annotator gemini] [--seeds 1]
"""

import argparse
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch

from capscope.data import Study
from capscope.predict import EvaluationSettings, evaluate

COLUMNS = ("log_loss", "auroc", "auroc_within_task", "brier", "ece", "benchmark_mae", "seconds")


def main() -> None:
    """Run the three splits and print one Markdown row for each assessor and split."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--annotator")
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    study = Study.load(arguments.study)
    versions = ", ".join(f"{name} {version(name)}" for name in ("scikit-learn", "torch", "numpy"))
    print(f"{date.today()}, {platform.machine()}, one thread, Python {platform.python_version()}, {versions}")
    print(f"| split | assessor | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 2)}")
    for split in ("id", "task", "benchmark"):
        settings = EvaluationSettings(split, seeds=arguments.seeds, annotator=arguments.annotator)
        for name, row in evaluate(study, settings).rows().items():
            cells = (f"{row[column]:.{0 if column == 'seconds' else 3}f}" for column in COLUMNS)
            print(f"| {split} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
