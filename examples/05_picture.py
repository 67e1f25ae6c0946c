"""Draw a figure of a fit for a notebook or a paper; this one made examples/profiles.svg, the picture in the README.

python examples/05_picture.py profiles.svg
"""

import sys

import capscope as cs


def main(path: str) -> None:
    fit = cs.fit(cs.read_level_counts(cs.shipped("artifacts/adele-v1") / "level_counts.csv"))
    fit.plot(["o1", "GPT-4o", "LLaMA-3.1-405B", "R1-Qwen-32B", "LLaMA-3.2-1B"]).save(path)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "profiles.svg")
