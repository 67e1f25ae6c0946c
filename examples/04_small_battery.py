"""Draw a small battery spread over the demand space, and estimate scores on the whole pool from its answers.

python examples/04_small_battery.py
"""

import numpy as np
import pandas as pd

from capscope import Study, score_battery, select_battery


def main() -> None:
    rng = np.random.default_rng(0)
    level = rng.integers(0, 6, (500, 2))
    items = pd.DataFrame({"item_id": [f"q{i}" for i in range(500)], "benchmark": "pool", "task": "t", "text": "..."})
    demands = items[["item_id"]].assign(annotator="me", logic=level[:, 0], knowledge=level[:, 1])
    demands = demands.melt(id_vars=["item_id", "annotator"], var_name="rubric", value_name="level")
    battery = select_battery(Study.of(items, demands=demands), 50, method="demand", seed=1)
    chance = 1 / (1 + np.exp(level.sum(axis=1) - 5))
    answers = items[["item_id"]].assign(model="new", score=(rng.random(500) < chance).astype(float))
    drawn = answers[answers["item_id"].isin(battery.items)]
    print(score_battery(battery, Study.of(responses=drawn)).scores.round(3).to_string(index=False))
    print(f"score on all 500: {answers['score'].mean():.3f}")


if __name__ == "__main__":
    main()
