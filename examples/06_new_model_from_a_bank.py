"""Profile a new model from 100 of the 18,653 items of the shipped Open LLM Leaderboard bank.

python examples/06_new_model_from_a_bank.py
"""

import json

import numpy as np
import pandas as pd

from capscope import Study
from capscope.battery import Bank, Curves, harness_run, score_battery, select_battery
from capscope.data import shipped


def main() -> None:
    bank = Bank.load(shipped("artifacts/openllm-v2"))
    battery = select_battery(bank, 100, method="variance", seed=0)
    items = battery.items
    run = harness_run(bank, items)
    # with lm-evaluation-harness installed, this runs just these documents; its log is read by `capscope import lm-eval`
    print(f"lm_eval --model hf --model_args pretrained=MODEL --tasks {run.tasks} \\")
    print(f"  --samples '{json.dumps(run.samples)}' --log_samples --output_path OUT")

    # here a simulated model answers in its place: one much like Qwen2.5-72B-Instruct
    like = bank.models.index("Qwen__Qwen2.5-72B-Instruct")
    chance = Curves.of(bank).chances(bank.posterior.ability_mean[[like]])[0]
    score = (np.random.default_rng(1).random(len(chance)) < chance).astype(float)
    answers = pd.DataFrame({"model": "new", "item_id": items, "score": score[bank.positions(items)]})
    found = score_battery(bank, Study.of(responses=answers), battery=battery)
    print(found.scores.round(3).to_string(index=False))
    print(found.profile.round(2).to_string(index=False))
    print(f"score on all {len(score)} items: {score.mean():.3f}")


if __name__ == "__main__":
    main()
