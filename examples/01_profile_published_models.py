"""Profile 15 published models from level counts: every ability with an interval, and how far one factor explains them.

python examples/01_profile_published_models.py
"""

import capscope as cs


def main() -> None:
    fit = cs.fit(cs.read_level_counts(cs.shipped("artifacts/adele-v1") / "level_counts.csv"))
    abilities = fit.abilities(level=0.9)
    best = abilities[abilities["model"] == "o1"].sort_values("ability", ascending=False)
    print(best[["dim", "ability", "lower", "upper"]].head(5).round(2).to_string(index=False))
    share = cs.profile(fit).general_share
    print(f"one general factor carries {share.point:.1%} ({share.lower:.1%} to {share.upper:.1%}) of the profiles")


if __name__ == "__main__":
    main()
