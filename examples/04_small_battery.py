"""Draw a small battery spread over the demand space, and estimate scores on the whole pool from its answers.

python examples/04_small_battery.py
"""

import capscope as cs


def main() -> None:
    study = cs.simulate(n_models=1, n_items=500, demands=("logic", "knowledge"), seed=2)
    pool = cs.Study.of(study.items, demands=study.demands)
    battery = cs.select_battery(pool, 50, method="demand", seed=1)
    drawn = study.responses[study.responses["item_id"].isin(battery.table["item_id"])]
    print(cs.score_battery(battery, drawn).scores.round(3).to_string(index=False))
    print(f"score on all 500: {study.responses['score'].mean():.3f}")


if __name__ == "__main__":
    main()
