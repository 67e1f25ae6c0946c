"""What every run does around its fit: read the cells, time the fit alone, write the predictions."""

import resource
import sys
import time
from collections.abc import Callable

import numpy as np


def run(fit: Callable[[np.ndarray, str, int], Callable[[np.ndarray, np.ndarray], np.ndarray]]) -> None:
    """Time a fit and write its predictions.

    Args:
        fit: Takes answers (model x item; 1, 0, and -1 for not observed), the model's name and its dimensions; returns
            a function from rows and columns to chances of success.
    """
    cells = np.load(sys.argv[1])
    answers = cells["y"]
    wall, cpu = time.perf_counter(), time.process_time()
    predict = fit(answers, str(cells["model"]), int(cells["dims"]))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    probability = predict(cells["rows"], cells["columns"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    np.savez(sys.argv[2], probability=probability, cpu=cpu, wall=wall, rss_mb=peak)


def sigmoid(z: np.ndarray) -> np.ndarray:
    """Logistic function."""
    return 1 / (1 + np.exp(-z))
