"""Predict how models will do on questions nobody has run, and say which questions the data say nothing about.

python examples/03_predict_new_questions.py
"""

from capscope import fit_curves, predict, read_level_counts
from capscope.data import shipped


def main() -> None:
    fit = fit_curves(read_level_counts(shipped("artifacts/adele-v1") / "level_counts.csv"))
    found = predict(fit, shipped("examples/questions.jsonl"), model="GPT-4o")
    print(found.table.head(5).round(2).to_string(index=False))
    print(found.scores.round(2).to_string(index=False))
    outside = found.support[~found.support["in_support"]]
    print(f"{len(outside)} of {len(found.support)} questions lie outside what the counts support")


if __name__ == "__main__":
    main()
