"""Draw figures of a fit for a notebook or a paper; this one made examples/profiles.svg, the picture in the README.

python examples/05_picture.py profiles.svg
"""

import sys
from pathlib import Path

from capscope import ability_profiles, fit_curves, read_level_counts, summarize
from capscope.data import shipped
from capscope.report import provenance_of, radar_grid, to_svg


def main(path: Path) -> None:
    fit = fit_curves(read_level_counts(shipped("artifacts/adele-v1") / "level_counts.csv"))
    provenance = provenance_of("15 models", "Zhou et al., Nature 2026", seed=0, engine="Laplace")
    summary = summarize(
        fit, ability_profiles(fit.posterior), None, None, None, focus_model="GPT-4o", provenance=provenance
    )
    chosen = ["o1", "GPT-4o", "LLaMA-3.1-405B", "R1-Qwen-32B", "LLaMA-3.2-1B"]
    path.write_text(to_svg(radar_grid(summary["profiles"], chosen)), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("profiles.svg"))
