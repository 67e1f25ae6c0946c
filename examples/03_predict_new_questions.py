"""Predict how models will do on questions nobody has run, and say which questions the data say nothing about.

python examples/03_predict_new_questions.py
"""

import capscope as cs


def main() -> None:
    fit = cs.fit(cs.read_level_counts(cs.shipped("artifacts/adele-v1") / "level_counts.csv"))
    predictions = fit.predict(cs.shipped("examples/questions.jsonl"), model="GPT-4o")
    print(predictions.table.head(5).round(2).to_string(index=False))
    print(predictions.scores.round(2).to_string(index=False))
    outside = predictions.support[~predictions.support["in_support"]]
    print(f"{len(outside)} of {len(predictions.support)} questions lie outside what the counts support")


if __name__ == "__main__":
    main()
