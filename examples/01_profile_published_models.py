"""Profile 15 published models from level counts: every ability with an interval, and what is one general factor.

python examples/01_profile_published_models.py
"""

from capscope import ability_profiles, fit_curves, read_level_counts
from capscope.data import shipped


def main() -> None:
    counts = read_level_counts(shipped("artifacts/adele-v1") / "level_counts.csv")
    fit = fit_curves(counts, seed=0)
    profiles = ability_profiles(fit.posterior, level=0.9)
    print(profiles.of("o1")[["dim", "ability", "lower", "upper", "classical"]].head(5).to_string(index=False))
    share = profiles.general_share
    print(f"one general factor carries {share.point:.1%} ({share.lower:.1%} to {share.upper:.1%}) of the profiles")


if __name__ == "__main__":
    main()
