"""Profile a new model from 100 of the 18,653 items of the shipped Open LLM Leaderboard bank.

python examples/06_new_model_from_a_bank.py
"""

import json

import numpy as np
import pandas as pd

import capscope as cs


def main() -> None:
    bank = cs.load_bank(cs.shipped("artifacts/openllm-v2"))
    battery = cs.select_battery(bank, 100, method="variance", seed=0)
    items = tuple(battery.table["item_id"])
    run = cs.harness_run(bank, items)
    # with lm-evaluation-harness installed, this runs just these documents; its log is read by `capscope import lm-eval`
    print(f"lm_eval --model hf --model_args pretrained=MODEL --tasks {run.tasks} \\")
    print(f"  --samples '{json.dumps(run.samples)}' --log_samples --output_path OUT")

    # here a simulated model answers in its place: one much like Qwen2.5-72B-Instruct
    like, every = bank.models.index("Qwen__Qwen2.5-72B-Instruct"), np.arange(len(bank.items))
    chance = bank.posterior.probability(np.full_like(every, like), every)
    score = (np.random.default_rng(1).random(len(chance)) < chance).astype(float)
    answers = pd.DataFrame({"model": "new", "item_id": bank.items, "score": score})
    scores = cs.score_battery(bank, answers[answers["item_id"].isin(items)], battery=battery)
    print(scores.scores.round(3).to_string(index=False))
    print(scores.profile.round(2).to_string(index=False))
    print(f"score on all {len(score)} items: {score.mean():.3f}")


if __name__ == "__main__":
    main()
