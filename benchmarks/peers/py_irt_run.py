"""py-irt with its hierarchical priors, the better of its two; 2000 epochs, as it comes."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from measured import run, sigmoid
from py_irt.config import IrtConfig
from py_irt.dataset import Dataset
from py_irt.training import IrtModelTrainer


def fit(answers: np.ndarray, model: str, dims: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Fit; building its data set is part of the time, as laying out rows is of ours."""
    if dims > 1:
        raise SystemExit("py-irt's multidimensional model has no predictions")
    frame = pd.DataFrame(np.where(answers < 0, np.nan, answers))
    frame.columns = [f"i{i}" for i in frame.columns]
    frame.insert(0, "subject", [f"m{i}" for i in range(len(frame))])
    data = Dataset.from_pandas(frame, subject_column="subject", item_columns=list(frame.columns[1:]))
    kind = "1pl" if model == "rasch" else "2pl"
    config = IrtConfig(model_type=kind, priors="hierarchical", epochs=2000, lr=0.1)
    trainer = IrtModelTrainer(config=config, data_path=None, dataset=data, verbose=False)
    trainer.train(device="cpu")
    best = trainer.best_params
    item, subject = _order(best["item_ids"]), _order(best["subject_ids"])
    ability = np.array(best["ability"])[subject]
    difficulty = np.array(best["diff"])[item]
    slope = np.array(best["disc"])[item] if kind == "2pl" else np.ones_like(difficulty)
    return lambda rows, columns: sigmoid(slope[columns] * (ability[rows] - difficulty[columns]))


def _order(names: dict) -> np.ndarray:
    """Positions in the order of our axes, from its map of positions to names."""
    at = {int(str(name)[1:]): int(position) for position, name in names.items()}
    return np.array([at[i] for i in range(len(at))])


if __name__ == "__main__":
    run(fit)
