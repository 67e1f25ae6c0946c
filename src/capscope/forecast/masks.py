"""Patterns of hidden scores for the evaluation of forecasts: half of the scores, families, largest models, benchmarks.

The draws are those of a common protocol for score tables: at equal seed the same cells are hidden, whichever split is
asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from capscope.axes import FloatArray
from capscope.errors import InputError
from capscope.forecast.table_of_scores import PublishedScores

KEPT_OF_MODEL, KEPT_OF_BENCHMARK = 2, 5
"""Scores that a hidden model and a hidden benchmark keep."""


@dataclass(frozen=True)
class Hiding:
    """One kind of question: what is taken away."""

    name: str
    help: str
    draw: Callable[[PublishedScores, np.random.Generator], np.ndarray | None]
    """Draw the cells to hide, shape (model, benchmark); None where the table lacks what it takes."""


def hidden_cells(table: PublishedScores, hide: str, seed: int) -> np.ndarray:
    """Draw the cells to hide.

    Args:
        table: A table of scores.
        hide: A name of `HIDINGS`.
        seed: Seed of the draw.

    Returns:
        True for the hidden cells, shape (model, benchmark).

    Raises:
        InputError: The question is unknown, or the table lacks what it takes.
    """
    if hide not in HIDINGS:
        raise InputError(f"--hide {hide}: use one of {', '.join(HIDINGS)}")
    rng = np.random.default_rng(seed)
    for name, hiding in HIDINGS.items():
        mask = hiding.draw(table, rng)
        if name == hide:
            if mask is None or not mask.any():
                raise InputError(f"--hide {hide}: {hiding.help}; this table does not have what it takes")
            return mask
    raise AssertionError(hide)


def _half(table: PublishedScores, rng: np.random.Generator) -> np.ndarray:
    known = np.isfinite(table.values)
    hidden = np.zeros_like(known)
    for row in range(len(known)):
        places = np.flatnonzero(known[row])
        hidden[row, rng.permutation(places)[: len(places) // 2]] = True
    return hidden


def all_but(known: np.ndarray, rows: np.ndarray, kept: int, rng: np.random.Generator) -> np.ndarray:
    """Hide all but a few scores of some rows.

    Args:
        known: True where there is a score.
        rows: Rows to hide.
        kept: Scores that each keeps.
        rng: Source of randomness.
    """
    hidden = np.zeros_like(known)
    for row in rows:
        hidden[row, rng.permutation(np.flatnonzero(known[row]))[kept:]] = True
    return hidden


def _family(table: PublishedScores, rng: np.random.Generator) -> np.ndarray:
    families = np.array(table.families())
    groups = np.unique(families)
    chosen = rng.permutation(groups)[: max(1, len(groups) // 3)]
    return all_but(np.isfinite(table.values), np.flatnonzero(np.isin(families, chosen)), KEPT_OF_MODEL, rng)


def amount_of_compute(table: PublishedScores) -> FloatArray | None:
    """Return compute by model, or size times tokens, or size, whichever is known; None without any."""
    compute, size, tokens = (table.covariate(name) for name in ("compute", "size", "tokens"))
    if compute is not None:
        return compute
    if size is None:
        return None
    return size if tokens is None else size * tokens


def _largest(table: PublishedScores, rng: np.random.Generator) -> np.ndarray | None:
    compute = amount_of_compute(table)
    if compute is None:
        return None
    if "compute" not in table.models:
        rng = rng.spawn(1)[0]  # the protocol draws nothing here; its later draws stay the same
    order = np.argsort(np.where(np.isnan(compute), -1, compute))[::-1]
    return all_but(np.isfinite(table.values), order[: max(5, len(order) // 10)], KEPT_OF_MODEL, rng)


def _new_benchmark(table: PublishedScores, rng: np.random.Generator) -> np.ndarray:
    known = np.isfinite(table.values)
    columns = known.shape[1]
    hidden = np.zeros_like(known)
    for column in rng.permutation(columns)[: max(1, columns // 5)]:
        hidden[rng.permutation(np.flatnonzero(known[:, column]))[KEPT_OF_BENCHMARK:], column] = True
    return hidden


HIDINGS: dict[str, Hiding] = {
    hiding.name: hiding
    for hiding in (
        Hiding("half", "half of each model's scores", _half),
        Hiding("family", "all but two scores of each model in a third of the families", _family),
        Hiding("largest", "all but two scores of the tenth of the models with the most compute or size", _largest),
        Hiding("new-benchmark", "all but five scores of one benchmark in five", _new_benchmark),
    )
}
"""The questions by name, in the order in which they draw."""
