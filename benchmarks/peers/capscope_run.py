"""Our own engine, with every choice left to it but the model."""

from collections.abc import Callable

import numpy as np
import torch
from measured import run

from capscope.data import ResponseMatrix
from capscope.fit import IRTSettings, fit_irt


def fit(answers: np.ndarray, model: str, dims: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Fit; laying the answers out as rows is part of the time."""
    rows, columns = np.nonzero(answers >= 0)
    rows, columns = rows.astype(np.int32), columns.astype(np.int32)
    responses = ResponseMatrix(
        tuple(f"m{i:05d}" for i in range(answers.shape[0])),
        tuple(f"i{i:06d}" for i in range(answers.shape[1])),
        rows,
        columns,
        answers[rows, columns].astype(np.float32),
        np.ones(len(rows), np.float32),
    )
    settings = IRTSettings(model=model, dims=dims, device="cpu")  # type: ignore[arg-type]
    return fit_irt(responses, settings).posterior.probability


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(fit)
