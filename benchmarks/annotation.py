"""Measure annotators on the two_annotators study: agreement, the local annotator, abstention, choice of items.

Run from the repository root: ``python benchmarks/annotation.py ../shared/data/two_annotators``. Needs the extra
``offline``. Prints the tables of ``benchmarks/annotation.md``; about ten minutes on one core.
"""

import os
import platform
import sys
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.linear_model import RidgeCV

from capscope.annotate import agreement, choose_items, study_features
from capscope.annotate.local_model import LevelForecast, TextFeatures, fit_local_model
from capscope.annotate.rater_agreement import exact_share, quadratic_weighted_kappa
from capscope.data import Demands, Study
from capscope.embedding import OFFLINE_MODEL

SHARES = (0.1, 0.2, 0.5)
SEEDS = (0, 1, 2)
PACKAGES = ("numpy", "scipy", "scikit-learn", "sentence-transformers")


def mean_kappa(left: np.ndarray, right: np.ndarray) -> float:
    """Return the kappa of two item-by-rubric tables, averaged over rubrics where it exists."""
    return float(np.nanmean([quadratic_weighted_kappa(a, b) for a, b in zip(left.T, right.T, strict=True)]))


def ridge(features: TextFeatures, levels: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the baseline's levels: ridge on the embedding and the benchmark's name."""
    inputs = np.hstack([features.vector, np.eye(features.benchmark.max() + 1)[features.benchmark]])
    return RidgeCV(np.logspace(-2, 2, 9)).fit(inputs[train], levels[train]).predict(inputs[test])


def row(forecast: LevelForecast, truth: np.ndarray) -> list[float]:
    """Return the figures of one forecast."""
    inside = forecast.supported
    return [
        mean_kappa(forecast.level, truth),
        mean_kappa(np.rint(forecast.level), truth),
        mean_kappa(forecast.expectation, truth),
        float(np.mean([exact_share(a, b) for a, b in zip(forecast.level.T, truth.T, strict=True)])),
        float(np.sqrt(np.mean((forecast.level - truth) ** 2))),
        float(np.sqrt(np.mean(forecast.sd**2))),
        float(1 - inside.mean()),
    ]


def labelled_shares(features: TextFeatures, levels: np.ndarray, dims: tuple[str, ...], other: np.ndarray) -> None:
    """Print agreement by the share of items labelled at random, and for chosen items."""
    print(
        "\n| labelled | items | kappa | kappa, whole levels | kappa, expectation | exact | error | stated error |",
        end="",
    )
    print(" abstained | ridge | other LLM | seconds |\n|---|---|---|---|---|---|---|---|---|---|---|---|")
    total = len(levels)
    for share in SHARES:
        results = [one_share(features, levels, dims, other, np.random.default_rng(seed), share) for seed in SEEDS]
        print_row(f"{share:.0%} at random", round(share * total), np.mean(results, axis=0))
    for count in (100, round(SHARES[0] * total)):
        rng = np.random.default_rng(0)
        chosen = choose_items(features, count, rng)
        print_row("chosen (--distil)", count, measure(features, levels, dims, other, rng, chosen))
        random = [
            measure(features, levels, dims, other, rng, np.random.default_rng(seed).permutation(total)[:count])
            for seed in SEEDS
        ]
        print_row("as many at random", count, np.mean(random, axis=0))


def one_share(
    features: TextFeatures,
    levels: np.ndarray,
    dims: tuple[str, ...],
    other: np.ndarray,
    rng: np.random.Generator,
    share: float,
) -> list[float]:
    """Label a random share."""
    train = rng.permutation(len(levels))[: int(share * len(levels))]
    return measure(features, levels, dims, other, rng, train)


def measure(
    features: TextFeatures,
    levels: np.ndarray,
    dims: tuple[str, ...],
    other: np.ndarray,
    rng: np.random.Generator,
    train: np.ndarray,
) -> list[float]:
    """Learn from some items and return the figures on the others."""
    test = np.setdiff1d(np.arange(len(levels)), train)
    begun = time.monotonic()
    forecast = fit_local_model(features.take(train), levels[train], dims, rng).predict(features.take(test))
    seconds = time.monotonic() - begun
    both = np.isfinite(other[test]).all(axis=1)
    baseline = mean_kappa(np.rint(ridge(features, levels, train, test)), levels[test])
    return [*row(forecast, levels[test]), baseline, mean_kappa(other[test][both], levels[test][both]), seconds]


def print_head(names: str) -> None:
    """Print the head of a table."""
    columns = names.split("|")
    print(f"\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")


def print_row(name: str, count: int, numbers: np.ndarray | list[float]) -> None:
    """Print one row of the table."""
    cells = " | ".join(f"{number:.3f}" for number in list(numbers)[:-1])
    print(f"| {name} | {count} | {cells} | {list(numbers)[-1]:.1f} |", flush=True)


def unseen_benchmarks(features: TextFeatures, levels: np.ndarray, dims: tuple[str, ...], names: np.ndarray) -> None:
    """Print what happens on a benchmark of which nothing was seen."""
    print_head("benchmark held out|items|abstained|kappa if it answered all the same|ridge")
    rng = np.random.default_rng(0)
    for number in np.unique(features.benchmark):
        inside = features.benchmark == number
        train, test = np.flatnonzero(~inside), np.flatnonzero(inside)
        forecast = fit_local_model(features.take(train), levels[train], dims, rng).predict(features.take(test))
        baseline = mean_kappa(np.rint(ridge(features, levels, train, test)), levels[test])
        kappa = mean_kappa(forecast.level, levels[test])
        abstained = 1 - forecast.supported.mean()
        print(f"| {names[test[0]]} | {len(test)} | {abstained:.3f} | {kappa:.3f} | {baseline:.3f} |", flush=True)


def main(folder: Path) -> None:
    """Measure everything."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    machine = f"{platform.machine()} CPU, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}"
    print(f"{date.today()}; {machine}; Python {platform.python_version()}, {packages}")
    study = Study.load(folder)
    found = agreement(study, "gpt-4o").annotators["gemini"]
    print(f"\nagree: {found.items} items, kappa {found.qwk:.3f}, alpha {found.alpha:.3f}, r_WG {found.r_wg:.3f}")
    print(f"exact {found.exact:.3f}, rho {found.spearman:.3f}, in benchmarks {found.spearman_within_benchmark:.3f}")
    print("\n".join(found.warnings))
    features, _ = study_features(study, OFFLINE_MODEL)
    mine, theirs = Demands.of(study, "gpt-4o"), Demands.of(study, "gemini")
    levels = mine.at(features.items)
    kept = np.isfinite(levels).all(axis=1)
    features, levels = features.take(kept), levels[kept]
    benchmark = dict(zip(study.items["item_id"].astype(str), study.items["benchmark"].astype(str), strict=True))
    names = np.array([benchmark[item] for item in features.items])
    print(f"\n{len(levels)} items with a text and gpt-4o's levels on {len(mine.dims)} rubrics")
    labelled_shares(features, levels, mine.dims, theirs.at(features.items))
    unseen_benchmarks(features, levels, mine.dims, names)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
