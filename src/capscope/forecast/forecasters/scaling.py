"""Forecasters from scale: principal components of benchmarks, skills regressed on scale, and regressions by family.

All work on the link scale, give point forecasts, and take the width of their intervals from hidden cells.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from capscope.axes import FloatArray
from capscope.forecast.calibration import draw_question
from capscope.forecast.features import model_blocks
from capscope.forecast.forecasters.blend import QUESTIONS, FittedByResiduals, column_scales, rounding_of
from capscope.forecast.forecasters.forecaster import ForecasterEntry
from capscope.forecast.table_of_scores import PublishedScores

COMPONENTS = 3
"""Principal components that predict a benchmark (Ruan, Maddison & Hashimoto, 2024)."""
SKILLS = 3
"""Latent skills of Sloth (Maia Polo et al., 2024)."""
SWEEPS = 40
RIDGE = 1.0

Completion = Callable[[FloatArray, FloatArray], FloatArray]
"""Completes link-scale scores, given the design of the models."""


@dataclass(frozen=True)
class CompletionForecaster:
    """A rule that completes a table, with intervals from what it misses on hidden cells."""

    complete: Completion
    blocks: tuple[str, ...] = ()
    """Blocks of facts about the models that it uses."""

    def fit(self, table: PublishedScores, seed: int = 0) -> FittedByResiduals:
        """Complete the table, and estimate interval widths from hidden cells.

        Args:
            table: Published scores, shape (model, benchmark), NaN where there is none.
            seed: Seed of the hidden cells.

        Returns:
            The completed table with the absolute residuals of hidden cells.
        """
        rng = np.random.default_rng([seed, 7])
        link = table.link()
        values = link.to_link(table.values)
        parts = [block.columns for block in model_blocks(table) if block.name in self.blocks]
        design = np.hstack(parts) if parts else np.zeros((len(values), 0))
        misses: list[FloatArray] = []
        for _ in range(QUESTIONS):
            hidden = draw_question(table, rng).hidden
            if hidden.any():
                misses.append(np.abs(self.complete(np.where(hidden, np.nan, values), design) - values)[hidden])
        residuals = np.concatenate(misses) if misses else np.zeros(0)
        return FittedByResiduals(link, self.complete(values, design), residuals, rounding_of(table.values))


def from_components(values: FloatArray, design: FloatArray) -> FloatArray:  # noqa: ARG001 - one signature for all
    """Regress each benchmark on principal components of the table, missing cells imputed by the first component.

    Args:
        values: Link-scale scores, NaN where missing, shape (model, benchmark).
        design: Facts about the models; not used.
    """
    known = np.isfinite(values)
    centre, spread = column_scales(values)
    standard = np.where(known, (values - centre) / spread, 0.0)
    filled = standard.copy()
    for _ in range(SWEEPS):
        left, singular, right = np.linalg.svd(filled, full_matrices=False)
        filled = np.where(known, standard, singular[0] * left[:, :1] * right[:1])
    result = np.empty_like(values)
    for column in range(values.shape[1]):
        others = np.delete(filled, column, axis=1)
        left, singular, _ = np.linalg.svd(others - others.mean(0), full_matrices=False)
        scores = left[:, :COMPONENTS] * singular[:COMPONENTS]
        result[:, column] = ridge_fit(scores, standard[:, column], known[:, column])
    return result * spread + centre


def from_skills(values: FloatArray, design: FloatArray) -> FloatArray:
    """Explain benchmarks by few skills, and skills by family and scale alone (Sloth), by alternating ridge regressions.

    Args:
        values: Link-scale scores, NaN where missing.
        design: Facts about the models, shape (model, column).
    """
    known = np.isfinite(values)
    centre, spread = column_scales(values)
    standard = np.where(known, (values - centre) / spread, 0.0)
    if not design.shape[1]:
        return np.broadcast_to(centre, values.shape).copy()
    filled = standard.copy()
    fitted = np.zeros_like(standard)
    projection = design @ np.linalg.solve(design.T @ design + RIDGE * np.eye(design.shape[1]), design.T)
    for _ in range(SWEEPS):
        explained = projection @ filled
        left, singular, right = np.linalg.svd(explained, full_matrices=False)
        fitted = (left[:, :SKILLS] * singular[:SKILLS]) @ right[:SKILLS]
        filled = np.where(known, standard, fitted)
    return fitted * spread + centre


def from_ladder(values: FloatArray, design: FloatArray) -> FloatArray:
    """Regress each benchmark on scale, with an offset for each family.

    Args:
        values: Link-scale scores, NaN where missing.
        design: Facts about the models.
    """
    known = np.isfinite(values)
    centre, spread = column_scales(values)
    result = np.empty_like(values)
    for column in range(values.shape[1]):
        standard = np.where(known[:, column], (values[:, column] - centre[column]) / spread[column], 0.0)
        result[:, column] = ridge_fit(design, standard, known[:, column])
    return result * spread + centre


def ridge_fit(design: FloatArray, target: FloatArray, known: np.ndarray) -> FloatArray:
    """Fit a ridge regression with intercept on the known rows, and predict all rows.

    Args:
        design: Predictors (row, column).
        target: Values to fit (row,).
        known: Rows whose value is known (row,).
    """
    if not known.any():
        return np.zeros(len(design))
    middle = design[known].mean(0)
    x, y = design[known] - middle, target[known]
    slope = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ (y - y.mean()))
    return y.mean() + (design - middle) @ slope


OBSERVATIONAL = ForecasterEntry(
    name="observational",
    help="each benchmark from principal components of the others (observational scaling laws)",
    needs="scores only",
    make=lambda: CompletionForecaster(from_components),
)
SLOTH = ForecasterEntry(
    name="sloth",
    help="few skills, explained by family and scale alone (Sloth)",
    needs="family; size and tokens where given",
    make=lambda: CompletionForecaster(from_skills, ("scale", "size x tokens", "family")),
)
LADDER = ForecasterEntry(
    name="ladder",
    help="each benchmark by a straight line on scale, with an offset for each family",
    needs="size, tokens or compute",
    make=lambda: CompletionForecaster(from_ladder, ("scale", "family")),
)
