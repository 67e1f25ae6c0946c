"""Scores of new models with few answers or none, with facts about the models and without; see assessors.md.

python benchmarks/model_facts.py ../shared/data/openllm_v2 --leave-out MMLU-Pro [--items 1200] [--table FILE]

New models are a fifth of all at a time, or a whole family at a time (`--families`); they are predicted on all items by
the explanatory model, with intervals, from the answers of the other models and so many of their own.
"""

import argparse
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.data import Study, family_by_name
from capscope.predict import predict


def main() -> None:
    """Print one Markdown row for each number of known answers, without and with facts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--leave-out", action="append", default=[])
    parser.add_argument("--items", type=int, default=1200)
    parser.add_argument("--known", type=int, nargs="+", default=[0, 8, 16])
    parser.add_argument("--table", type=Path, help="facts; by default what the names tell")
    parser.add_argument("--families", action="store_true")
    parser.add_argument("--assessor", default="explanatory")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    study = sample(Study.load(arguments.study), arguments.leave_out, arguments.items, rng)
    models = study.require("responses")["model"].astype(str).unique()
    facts = pd.read_parquet(arguments.table) if arguments.table else pd.DataFrame({"model": models})
    folds = folds_of(models, arguments.families, rng)
    print(f"{date.today()}, {len(models)} models, {len(study.require('items'))} items, {arguments.assessor}")
    print("| answers | facts | error of a score | 80 % intervals cover | width |\n|" + "---|" * 5)
    for known in arguments.known:
        for label, table in (("none", None), ("with", facts)):
            rows = pd.concat([of_fold(study, new, known, table, arguments.assessor, rng) for new in folds])
            inside = rows["truth"].between(rows["lower"], rows["upper"])
            error, width = (rows["score"] - rows["truth"]).abs(), rows["upper"] - rows["lower"]
            print(f"| {known} | {label} | {error.mean():.3f} | {inside.mean():.2f} | {width.mean():.2f} |", flush=True)


def sample(study: Study, leave_out: list[str], n_items: int, rng: np.random.Generator) -> Study:
    """Draw items without texts, and the models that have answered most of them."""
    items = study.require("items")
    names = items.loc[~items["benchmark"].isin(leave_out), "item_id"].astype(str).to_numpy()
    study = study.keep_items(pd.Index(rng.choice(names, min(n_items, len(names)), replace=False)))
    count = study.require("responses")["model"].value_counts()
    kept = study.keep_models([str(name) for name in count.index[count > 0.9 * count.max()]])
    return Study.of(kept.require("items").assign(text=""), kept.responses, kept.demands, "sampled")


def folds_of(models: np.ndarray, by_family: bool, rng: np.random.Generator) -> list[list[str]]:
    """Deal models to five folds, or to one fold a family."""
    label = np.array([family_by_name(name) for name in models]) if by_family else rng.permutation(len(models)) % 5
    return [models[label == each].tolist() for each in np.unique(label)]


def of_fold(
    study: Study, new: list[str], known: int, facts: pd.DataFrame | None, assessor: str, rng: np.random.Generator
) -> pd.DataFrame:
    """Predicted and true score of each new model; without answers and facts, it is one like the others."""
    answers = study.require("responses")
    model = answers["model"].astype(str)
    kept = ~model.isin(new)
    for name in new:
        kept.iloc[rng.choice(np.flatnonzero(model == name), known, replace=False)] = True
    learnt = Study.of(study.items, answers[kept].reset_index(drop=True), study.demands, "learnt")
    items = Study.of(study.items, None, study.demands, "asked")
    scores = predict(learnt, items, models=facts, assessor=assessor, level=0.8).scores.set_index("model")
    if facts is None and not known:
        lower, upper = scores["score"].quantile([0.1, 0.9])
        scores = pd.DataFrame({"score": scores["score"].mean(), "lower": lower, "upper": upper}, index=new)
    return scores.loc[new].assign(truth=answers.groupby(model)["score"].mean().loc[new])


if __name__ == "__main__":
    main()
