"""Our own engine, with every choice left to it but the model."""

from collections.abc import Callable

import numpy as np
import torch
from measured import run

from capscope.fit import GridAnswers, IRTSettings, fit_irt


def fit(answers: np.ndarray, model: str, dims: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Fit the grid as it is, one byte a cell."""
    models, items = (
        tuple(f"{axis}{i:06d}" for i in range(size)) for axis, size in zip("mi", answers.shape, strict=True)
    )
    settings = IRTSettings(model=model, dims=dims, device="cpu")  # type: ignore[arg-type]
    return fit_irt(GridAnswers(models, items, answers), settings).posterior.probability


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(fit)
