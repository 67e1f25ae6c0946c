"""Make a study of tables you have, save it, fit a two-parameter model and score it on answers held out.

python examples/02_study_from_tables.py
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from capscope import Study, StudyFitSettings, fit_study
from capscope.fit import fit_holdout


def main() -> None:
    rng = np.random.default_rng(0)
    ability, difficulty = np.linspace(-1.5, 1.5, 8), rng.normal(0, 1.2, 300)
    right = rng.random((8, 300)) < 1 / (1 + np.exp(difficulty - ability[:, None]))
    responses = pd.DataFrame(right.astype(float), index=[f"model-{m}" for m in range(8)]).rename_axis("model")
    long = responses.reset_index().melt(id_vars="model", var_name="item_id", value_name="score")
    with tempfile.TemporaryDirectory() as folder:
        study = Study.load(Study.of(responses=long).save(Path(folder) / "study"))
    fit = fit_study(study, StudyFitSettings(model="2pl"))
    print(fit.abilities().to_string(index=False))
    print(fit_holdout(study, StudyFitSettings(model="2pl"), share=0.2).as_dict())


if __name__ == "__main__":
    main()
