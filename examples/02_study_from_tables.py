"""Make a study of a table you have, save it, fit a two-parameter model and score it on answers held out.

python examples/02_study_from_tables.py
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import capscope as cs


def main() -> None:
    rng = np.random.default_rng(0)
    ability, difficulty = np.linspace(-1.5, 1.5, 8), rng.normal(0, 1.2, 300)
    right = rng.random((8, 300)) < 1 / (1 + np.exp(difficulty - ability[:, None]))
    scores = pd.DataFrame(right.astype(float), [f"model-{m}" for m in range(8)], [f"item-{i:03d}" for i in range(300)])
    with tempfile.TemporaryDirectory() as folder:
        study = cs.read_study(cs.Study.of(scores).save(Path(folder) / "study"))
    fit = cs.fit(study, "2pl")
    print(fit.abilities().round(2).to_string(index=False))
    held_out = fit.held_out(study, share=0.2)
    error = ((held_out.chance - held_out.test.score) ** 2).mean()
    print(f"mean squared error {error:.3f} on the fifth of the answers that was held out")


if __name__ == "__main__":
    main()
