"""Weigh candidates for the stack: each member's log-odds are stored once, and pools with and without it compared.

python benchmarks/stack_members.py ../shared/data/joined_bbh_math --known 3 6 --problems 12 --out columns.pkl
python benchmarks/stack_members.py --worlds --known 2 6 12 --problems 14 --out columns.pkl
python benchmarks/stack_members.py ../shared/data/agentic/gso --folds 5 --problems 2 --out columns.pkl

Problems are those of ``few_groups.py`` (new tasks from few known ones), or new items in folds. A candidate takes a
share of the prior weights from the members; what the pool learns from the answers is as in the shipped stack.
"""

import argparse
import pickle
import time
from pathlib import Path

import numpy as np
import pandas as pd
from assessors import load
from few_groups import drawn, metrics, simulated
from scipy.special import expit, logit

from capscope.data import Responses
from capscope.fit import single_threaded_blas
from capscope.predict import Training, item_features
from capscope.predict.answer_statistics import fold_regime, group_count, group_folds, regime_of_items
from capscope.predict.assessors import ASSESSORS, stacked
from capscope.predict.features import importance, nearness

CANDIDATES = ("monotone", "neighbours", "ridge")
TREES = (*stacked.TREES, "monotone")
SHARES = (0.15, 0.3)
Columns = dict[str, np.ndarray]


def columns(training: Training, rows: Responses, seconds: dict[str, float]) -> Columns:
    """Log-odds by each member and candidate; far from the training items, trees have the core's."""
    makers = dict(stacked.members_for(training.features))
    makers |= {n: ASSESSORS[n].assessor for n in CANDIDATES if ASSESSORS[n].works_with(training.features)}
    found: Columns = {}
    for name, maker in makers.items():
        start = time.process_time()
        found[name] = logit(maker.fit(training).predict(rows.model_index, rows.item_index).probability)
        seconds[name] = seconds.get(name, 0.0) + time.process_time() - start
    near = nearness(training.features, training.answered)[rows.item_index]
    core = found[stacked.CORE]
    return {name: near * each + (1 - near) * core if name in TREES else each for name, each in found.items()}


def problem(training: Training, rows: Responses) -> dict[str, object]:
    """Columns of the training answers out of fold, and of the answers to predict."""
    seconds: dict[str, float] = {}
    kinds = regime_of_items(training)
    kind = sorted(set(kinds[training.asked].tolist()))[0]
    outer, known = columns(training, rows, seconds), training.responses
    groups = group_count(training, kind)
    learnt = groups > 1 and (kind not in stacked.GROUPED or fold_regime(training, kind) == kind)
    inner = {name: np.zeros(len(known.score)) for name in outer}
    for held_out in group_folds(training, kind, stacked.FOLDS) if learnt else ():
        for name, each in columns(training.without(held_out), known.rows(held_out), seconds).items():
            inner[name][held_out] = each
    weight = importance(training.features, training.answered, training.asked & (kinds == kind))[known.item_index]
    return {
        "kind": kind,
        "groups": groups,
        "learnt": learnt,
        "inner": inner,
        "outer": outer,
        "score": known.score,
        "weight": weight * known.n_trials,
        "rows": rows,
        "seconds": seconds,
    }


def pooled(columns_of: dict, candidate: str | None = None, share: float = 0.0) -> np.ndarray:
    """Log-odds of the answers to predict by the stack's pool, with a share of the weights for a candidate."""
    kind, groups, inner = columns_of["kind"], columns_of["groups"], columns_of["inner"]
    names = stacked.pooled_members([name for name in inner if name not in CANDIDATES], kind)
    expected = stacked.expected_weights(names, kind, groups)
    if candidate is not None:
        names, expected = (*names, candidate), np.r_[expected * (1 - share), share]
    grouped = kind in stacked.GROUPED
    pool = stacked.Pool(expected, 0.0)
    if columns_of["learnt"]:
        worth = groups * (stacked.ANSWERS_A_GROUP if grouped else stacked.ANSWERS_AN_ITEM)
        known = np.column_stack([inner[name] for name in names])
        pool = stacked.fit_pool(
            known, columns_of["score"], columns_of["weight"], worth, expected, nonlinear=not grouped
        )
    return pool.log_odds(np.column_stack([columns_of["outer"][name] for name in names]))


def compare(problems: list[dict]) -> pd.DataFrame:
    """Mean metrics of each candidate in the stack, and the difference to the stack in log-loss with its error."""
    options = [(None, 0.0), *((name, share) for name in CANDIDATES for share in SHARES)]
    table: dict[str, list[dict[str, float]]] = {}
    for each in problems:
        for name, share in options:
            if name is None or name in each["inner"]:
                label = "stacked" if name is None else f"stacked, {name} {share}"
                table.setdefault(label, []).append(metrics(each["rows"], expit(pooled(each, name, share))))
    base = pd.DataFrame(table["stacked"])
    records = []
    for label, rows in table.items():
        own = pd.DataFrame(rows)
        gap = own["log_loss"] - base["log_loss"]
        records.append({"pool": label, **own.mean(), "gap": gap.mean(), "se": gap.std() / np.sqrt(len(gap))})
    return pd.DataFrame(records)


def main() -> None:
    """Store the columns and print one table for each number of known tasks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, nargs="?")
    parser.add_argument("--worlds", action="store_true", help="simulate the problems")
    parser.add_argument("--known", type=int, nargs="+", default=[3, 6])
    parser.add_argument("--folds", type=int, help="new items in so many folds instead of new tasks")
    parser.add_argument("--problems", type=int, default=12)
    parser.add_argument("--first", type=int, default=6000, help="first seed")
    parser.add_argument("--per-task", type=int, default=60)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    data = None
    if not arguments.worlds:
        answers = Responses.of(study := load(arguments.study))
        data = answers, item_features(study, answers.items)
    stored: dict[object, list[dict]] = {}
    seeds = range(arguments.first, arguments.first + arguments.problems)
    with single_threaded_blas():
        for seed in seeds:
            for part in range(arguments.folds) if arguments.folds else arguments.known:
                if arguments.folds and data is not None:
                    answers, features = data
                    fold = np.random.default_rng(seed).permutation(np.arange(features.n_items) % arguments.folds)
                    known = fold[answers.item_index] != part
                    training = Training(answers.rows(known), features, seed, fold == part)
                    stored.setdefault("items", []).append(problem(training, answers.rows(~known)))
                else:
                    small = simulated(part, seed) if data is None else drawn(data, part, seed, arguments.per_task)
                    training = Training(small.responses.rows(small.known), small.features, seed, small.asked())
                    stored.setdefault(part, []).append(problem(training, small.responses.rows(~small.known)))
                arguments.out.write_bytes(pickle.dumps(stored))
    for part, problems in stored.items():
        print(f"\n{part}: {len(problems)} problems\n{compare(problems).round(4).to_string(index=False)}")


if __name__ == "__main__":
    main()
