"""Score assessors on new tasks where only a few tasks are known, on many small problems; see assessors.md.

python benchmarks/few_groups.py ../shared/data/joined_bbh_math --known 2 3 --problems 20 [--per-task 100]
python benchmarks/few_groups.py --worlds --known 2 3 4 6 --problems 40

A problem is drawn from a study, or simulated: some tasks to learn from, up to eight other tasks to predict, and all or
a few of the models. This script measures the stack as it is. The prior weights in ``predict/assessors/stacked.py``
were compared on the members' stored predictions of other such problems; assessors.md lists what was compared.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from capscope.data import Responses, Study
from capscope.fit import single_threaded_blas
from capscope.predict import Training, item_features
from capscope.predict.assessors import ASSESSORS, usable
from capscope.predict.features import ItemFeatures
from capscope.tasks import run_tasks

ASKED_TASKS = 8
"""Tasks to predict, at most."""
NAMES = ("mean", "rasch", "explanatory", "explanatory-text", "text-rasch", "pooled-forest", "forest", "stacked")
BINS = 10


@dataclass(frozen=True)
class Problem:
    """Answers and features, which of the answers may be learnt from, and the seed."""

    responses: Responses
    features: ItemFeatures
    known: np.ndarray
    seed: int

    def scores(self) -> pd.DataFrame:
        """Log-loss, calibration error and AUROC of each assessor on the answers that are held out."""
        training = Training(self.responses.rows(self.known), self.features, self.seed, self.asked())
        rows = self.responses.rows(~self.known)
        names = [name for name in NAMES if name in usable(self.features)]
        with single_threaded_blas():
            fitted = {name: ASSESSORS[name].assessor.fit(training) for name in names}
        chance = {name: each.predict(rows.model_index, rows.item_index).probability for name, each in fitted.items()}
        return pd.DataFrame([{"assessor": name, **metrics(rows, p)} for name, p in chance.items()])

    def asked(self) -> np.ndarray:
        """Whether each item is to be predicted."""
        return np.isin(np.arange(self.features.n_items), self.responses.item_index[~self.known])


def metrics(rows: Responses, chance: np.ndarray) -> dict[str, float]:
    """Return log-loss, expected calibration error (ten equal bins) and AUROC, over all answers together."""
    line, score, trials = logit(chance), rows.score, rows.n_trials
    loss = np.logaddexp(0, -line) * score + np.logaddexp(0, line) * (1 - score)
    part = np.minimum((chance * BINS).astype(int), BINS - 1)
    gap = np.bincount(part, weights=trials * (chance - score), minlength=BINS)
    success = score > 0.5
    area = roc_auc_score(success, chance) if 0 < success.mean() < 1 else np.nan
    values = np.average(loss, weights=trials), np.abs(gap).sum() / trials.sum(), area
    return dict(zip(("log_loss", "ece", "auroc"), map(float, values), strict=True))


def drawn(study: tuple[Responses, ItemFeatures], known: int, seed: int, per_task: int) -> Problem:
    """Draw tasks, items and models of a study."""
    responses, features = study
    rng = np.random.default_rng([seed, known])
    tasks = rng.permutation(np.unique(features.task))[: known + ASKED_TASKS]
    places = [rng.permutation(np.flatnonzero(features.task == task))[:per_task] for task in tasks]
    items = np.sort(np.concatenate(places))
    n_models = len(responses.models)
    models = np.sort(rng.choice(n_models, (n_models, min(6, n_models), min(20, n_models))[seed % 3], replace=False))
    rows = responses.rows(np.isin(responses.model_index, models) & np.isin(responses.item_index, items))
    model = np.searchsorted(models, rows.model_index).astype(np.int64)
    kept = replace(rows, models=tuple(np.array(responses.models)[models]), model_index=model)
    return Problem(kept, features, np.isin(features.task[kept.item_index], tasks[:known]), seed)


def simulated(known: int, seed: int) -> Problem:
    """Simulate models, tasks and items whose demands explain little, much or nothing of what makes items hard."""
    rng = np.random.default_rng([7, seed])
    n_tasks, per, n_models, n_dims = known + ASKED_TASKS, *(int(rng.choice(x)) for x in ((15, 40), (6, 12, 30), (4, 8)))
    task_sd, item_sd = rng.choice([0.2, 0.6, 1.2]), rng.choice([0.4, 1.0, 1.8])
    effect, slope_sd = rng.gamma(1.0, rng.choice([0.02, 0.15, 0.4]), n_dims), rng.choice([0.0, 0.1, 0.25])
    task = np.repeat(np.arange(n_tasks), per)
    typical = np.clip(rng.normal(2, 1.3, (n_tasks, n_dims)), 0, 5)[task]
    level = np.clip(np.round(typical + rng.normal(0, 0.9, typical.shape)), 0, 5)
    centred = level - level.mean(axis=0)
    slope = effect + rng.normal(0, slope_sd, (n_models, n_dims)) / np.sqrt(n_dims)
    ability = rng.normal(0, rng.choice([0.4, 0.9, 1.4]), n_models)
    difficulty = rng.normal(0, task_sd, n_tasks)[task] + rng.normal(0, item_sd, len(task))
    chance = expit(ability[:, None] + rng.normal(0.3, 0.6) - slope @ centred.T - difficulty)
    model, item = np.nonzero(np.ones_like(chance, dtype=bool))
    score = (rng.random(chance.shape) < chance).astype(float)[model, item]
    responses = Responses(
        models=tuple(f"m{number}" for number in range(n_models)),
        items=tuple(f"i{number:05d}" for number in range(len(task))),
        model_index=model.astype(np.int64),
        item_index=item.astype(np.int64),
        score=score,
        n_trials=np.ones(len(score)),
    )
    nothing = np.zeros(len(task))
    features = ItemFeatures(level, np.zeros_like(level), None, task, np.zeros(len(task), np.int64), nothing)
    return Problem(responses, features, np.isin(task[item], np.arange(known)), seed)


def main() -> None:
    """Print one row for each number of known tasks and each assessor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, nargs="?")
    parser.add_argument("--worlds", action="store_true", help="simulate the problems")
    parser.add_argument("--known", type=int, nargs="+", default=[2, 3, 4, 6])
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--per-task", type=int, default=100)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    study = None
    if not arguments.worlds:
        read = Study.load(arguments.study)
        responses = Responses.of(read)
        study = responses, item_features(read, responses.items)
    seeds = range(arguments.first, arguments.first + arguments.problems)
    print(
        "| known tasks | problems | assessor | log_loss | ece | auroc | worst behind mean | share > .005 behind mean |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for known in arguments.known:
        problems = [
            simulated(known, seed) if study is None else drawn(study, known, seed, arguments.per_task) for seed in seeds
        ]
        tables = run_tasks(Problem.scores, problems, workers=arguments.workers)
        print_rows(known, pd.concat([table.assign(problem=number) for number, table in enumerate(tables)]))


def print_rows(known: int, scores: pd.DataFrame) -> None:
    """Print the means over problems, and how far each assessor is behind the model mean."""
    loss = scores.pivot(index="problem", columns="assessor", values="log_loss")
    means = scores.groupby("assessor", sort=False)[["log_loss", "ece", "auroc"]].mean()
    for name, row in means.iterrows():
        behind = loss[str(name)] - loss["mean"]
        values = " | ".join(f"{value:.4f}" for value in (*row, behind.max()))
        print(f"| {known} | {len(loss)} | {name} | {values} | {(behind > 0.005).mean():.2f} |", flush=True)


if __name__ == "__main__":
    main()
