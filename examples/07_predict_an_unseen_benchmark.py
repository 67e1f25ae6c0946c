"""Predict each model's score on a benchmark that none has run, from answers to others, and see what a few labels add.

python examples/07_predict_an_unseen_benchmark.py
"""

import pandas as pd

import capscope as cs


def main() -> None:
    study = cs.simulate(n_models=12, n_items=400, model="rasch", demands=("QLl", "KNn"), benchmarks=5, seed=4)
    new = study.items["benchmark"] == "benchmark-4"
    past = study.keep_items(pd.Index(study.items.loc[~new, "item_id"]))
    unseen = study.keep_items(pd.Index(study.items.loc[new, "item_id"]))
    came = unseen.responses.astype({"model": str}).groupby("model")["score"].mean()

    predictions = cs.predict(past, unseen)
    scores = predictions.benchmark_scores.set_index("model").drop(columns="benchmark").assign(came=came)
    print(scores.round(2).to_string())
    labels = unseen.responses[unseen.responses["item_id"].isin(unseen.items["item_id"][:10])]
    labelled = cs.predict(past, unseen, labels=labels).benchmark_scores
    error = [(each.set_index("model")["score"] - came).abs().mean() for each in (scores.reset_index(), labelled)]
    print(f"mean error of a score: {error[0]:.3f} before any answer, {error[1]:.3f} with answers to 10 items")


if __name__ == "__main__":
    main()
