"""Routing with prices by model size: score against cost on held-out requests of two public sets.

    python benchmarks/route.py --data ../shared/data [--sets openllm_v2] [--items N] [--outer 5]

Candidates are the models whose name tells their size; an answer costs as many dollars as a model has billions of
parameters. Nothing was chosen on these sets: the rules and their tests come from `tests/decide/test_route.py`.
"""

import argparse
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.data import Study
from capscope.decide import RouteSettings, evaluate_route

SIZE = re.compile(r"(?:(\d+)x)?(\d+(?:\.\d+)?)[bB](?![a-zA-Z])")


def prices_by_size(models: list[str]) -> pd.DataFrame:
    """Prices of the models whose name tells their size, in billions of parameters."""
    sizes = {model: SIZE.search(model) for model in sorted(models)}
    rows = [(model, float(found[1] or 1) * float(found[2])) for model, found in sizes.items() if found]
    return pd.DataFrame(rows, columns=["model", "usd"])


def common_items(study: Study, prices: pd.DataFrame, n_items: int | None) -> Study:
    """Requests that every priced model answered, at most `n_items` of them, drawn at random."""
    answers = study.require("responses")
    of_priced = answers[answers["model"].isin(prices["model"])]
    done = of_priced.groupby("item_id", observed=True)["model"].nunique()
    full = done.index[done == len(prices)].astype(str).to_numpy()
    if n_items is not None and n_items < len(full):
        full = np.random.default_rng(0).choice(full, n_items, replace=False)
    return study.keep_items(pd.Index(full))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--sets", nargs="+", default=["joined_bbh_math", "openllm_v2"])
    parser.add_argument("--assessor", default="stacked")
    parser.add_argument("--items", type=int, default=None)
    parser.add_argument("--outer", type=int, default=3, help="folds of requests that are held out in turn")
    options = parser.parse_args()
    for name in options.sets:
        study = Study.load(options.data / name)
        prices = prices_by_size(list(study.require("responses")["model"].astype(str).unique()))
        study = common_items(study, prices, options.items)
        start = time.perf_counter()
        found = evaluate_route(
            study, prices, outer=options.outer, settings=RouteSettings(assessor=options.assessor, embedder="tfidf")
        )
        print(f"\n{name}: {found.n_models} models, {found.n_items} requests, {options.assessor},", end=" ")
        print(f"{time.perf_counter() - start:.0f} s\n{found.verdict}")
        for table in (found.singles, found.table(), found.targets):
            print(table.round(3).to_string(index=False))
        print({key: round(float(value), 4) for key, value in found.match.items()})


if __name__ == "__main__":
    main()
