"""torch-measure by stochastic variational inference (its accurate way) or joint maximum likelihood, as they come."""

import sys
from collections.abc import Callable

import numpy as np
import torch
from measured import run
from torch_measure.models import Rasch, TwoPL


def fit_by(method: str) -> Callable[[np.ndarray, str, int], Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """A fit by one of its methods."""

    def fit(answers: np.ndarray, model: str, dims: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        if dims > 1:
            raise SystemExit("torch-measure has one dimension by this method")
        kind = Rasch if model == "rasch" else TwoPL
        torch.manual_seed(0)
        found = kind(*answers.shape)
        found.fit(torch.from_numpy(answers.astype(np.float32)), method=method, verbose=False)

        def predict(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
            query = {"subject_idx": torch.from_numpy(rows), "item_idx": torch.from_numpy(columns)}
            return found.predict(query).detach().numpy().astype(float)

        return predict

    return fit


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(fit_by(sys.argv[3]))
