"""mirt (the Python package) by its default, EM with 21 nodes; standard errors off, which spares it time."""

from collections.abc import Callable

import numpy as np
from measured import run, sigmoid
from mirt import fit_mirt, fscores


def fit(answers: np.ndarray, model: str, dims: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Fit and score the models."""
    if dims > 1:
        raise SystemExit("mirt's grids are too wide for these dimensions")
    table = answers.astype(int)
    found = fit_mirt(table, model="1PL" if model == "rasch" else "2PL", compute_standard_errors=False)
    ability = np.asarray(fscores(found, table).theta).reshape(-1)
    items = found.model.parameters
    difficulty = items["difficulty"]
    slope = np.broadcast_to(items.get("discrimination", 1.0), difficulty.shape)
    return lambda rows, columns: sigmoid(slope[columns] * (ability[rows] - difficulty[columns]))


if __name__ == "__main__":
    run(fit)
