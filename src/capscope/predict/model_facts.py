"""Facts about models (size, family, date) and the regression of abilities on them.

A model with few answers, or none, is shrunk towards models of similar size and family instead of the mean of all
models: its ability has a prior from a regression with random effects of each block of columns (Lindley & Smith, 1972),
whose scales are integrated out. Models with as many answers as usual are predicted as without facts.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from capscope.axes import FloatArray, ModelFloats
from capscope.data import FROM_NAMES, model_tables
from capscope.errors import InputError
from capscope.forecast import COVARIATE_NAMES, fact_blocks, facts_of

FLAT = 30.0
"""Prior standard deviation of the mean over models."""
BLOCK_SHARE = 1.0
"""Scale of the prior of a block's standard deviation, as a share of the models' spread."""
DRAWS, TAIL, STEP = 64, 5.0, 0.1
"""Draws of the scales, degrees of freedom of their proposal, and the step of differences."""
FEWEST_MODELS = 5
"""With fewer models that have answers, abilities are not regressed."""


@dataclass(frozen=True)
class ModelFacts:
    """Columns of a regression, one row for each model of an axis."""

    models: tuple[str, ...]
    """Names on the model axis."""
    columns: Float[np.ndarray, "model column"]
    """Size, date and other numbers standardised, families and words of the names as 0 and 1."""
    block: Int[np.ndarray, " column"]
    """Number of each column's block; a block's effects share one prior scale."""
    names: tuple[str, ...]
    """Names of the blocks."""

    @classmethod
    def of(cls, models: tuple[str, ...], table: pd.DataFrame) -> "ModelFacts":
        """Make the columns from a table of facts and from the names of the models.

        Args:
            models: Names on the model axis.
            table: Facts by model, as `capscope.forecast` reads them; may be empty.
        """
        blocks = fact_blocks(list(models), table.reindex(list(models)))
        columns = np.hstack([np.zeros((len(models), 0)), *(block.columns for block in blocks)])
        number = np.repeat(np.arange(len(blocks)), [block.columns.shape[1] for block in blocks])
        return cls(models, columns, number.astype(np.int64), tuple(block.name for block in blocks))


def read_model_facts(
    source: Path | str | pd.DataFrame | None, models: tuple[str, ...], study_folder: Path
) -> tuple[pd.DataFrame, tuple[str, ...]] | None:
    """Read what is known of models.

    Args:
        source: A table with a column model and columns such as size, family or date, its path, ``names`` to read the
            names of the models only, or None for a models table in the study's folder.
        models: Models with answers.
        study_folder: Folder of the study.

    Returns:
        Facts by model, and the models of the table that have no answers, which a table that is named adds to those
        that are predicted; None where no table has facts.

    Raises:
        InputError: The file cannot be read, or says nothing of these models.
    """
    if isinstance(source, str | Path) and str(source) == FROM_NAMES:
        return pd.DataFrame(index=list(models)), ()
    if source is not None:
        table = facts_of(source)
        if not set(table.index) & set(models):
            where = "table of models" if isinstance(source, pd.DataFrame) else str(source)
            raise InputError(f"{where}: none of its models has answers; the first is '{table.index[0]}'")
        return table, tuple(name for name in table.index if name not in set(models))
    for path in model_tables(study_folder):
        table = facts_of(path)
        table = table[[column for column in table if column in COVARIATE_NAMES]]
        if len(table.columns) and set(table.index) & set(models):
            return table, ()
    return None


@dataclass(frozen=True)
class FactRegression:
    """Effects of facts on a quantity of the models, with an own part of each model, as a mixture over their scales."""

    share: Float[np.ndarray, " draw"]
    """Weight of each draw of the scales."""
    parts: Float[np.ndarray, "draw part"]
    """Mean over models and effect of each column, given the scales."""
    cov: Float[np.ndarray, "draw part part"]
    """Their covariance."""
    own_variance: Float[np.ndarray, " draw"]
    """Variance of the models' own parts."""

    @property
    def weight(self) -> Float[np.ndarray, " column"]:
        """Posterior mean of the effect of each column."""
        return self.share @ self.parts[:, 1:]

    def predict(self, columns: Float[np.ndarray, "model column"]) -> tuple[ModelFloats, ModelFloats]:
        """Return mean and variance of models of which only facts are known."""
        design = np.column_stack([np.ones(len(columns)), columns])
        each = self.parts @ design.T
        variance = self.own_variance[:, None] + np.einsum("mp,dpq,mq->dm", design, self.cov, design, optimize=True)
        mean = self.share @ each
        return mean, self.share @ (variance + each**2) - mean**2


@dataclass(frozen=True)
class _Regression:
    """Estimates with known errors, and the regression given log scales (own parts first, then blocks)."""

    value: ModelFloats
    variance: ModelFloats
    design: Float[np.ndarray, "model part"]
    block: np.ndarray
    spread: float

    def given(self, log_scale: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        """Effects, their covariance, and the log posterior density of the scales up to a constant."""
        scale = np.exp(log_scale)
        prior = np.r_[1 / FLAT**2, 1 / (scale[1:] ** 2)[self.block]]
        weight = 1 / (self.variance + scale[0] ** 2)
        weighted = self.design.T * weight
        factor = cho_factor(weighted @ self.design + np.diag(prior), lower=True)
        pull = weighted @ self.value
        parts = cho_solve(factor, pull)
        fit = np.log(weight).sum() + np.log(prior).sum() - 2 * np.log(np.diag(factor[0])).sum()
        fit -= float(weight @ self.value**2 - pull @ parts)
        wide = np.r_[self.spread, np.full(len(scale) - 1, BLOCK_SHARE * self.spread)]
        density = fit / 2 - ((scale / wide) ** 2).sum() / 2 + log_scale.sum()
        return parts, factor[0], float(density)

    def density(self, log_scale: FloatArray) -> float:
        return self.given(log_scale)[2]


def regress_on_facts(
    value: ModelFloats, variance: ModelFloats, columns: Float[np.ndarray, "model column"], block: np.ndarray
) -> FactRegression:
    """Fit the regression to estimates with known errors.

    The standard deviations of the models' own parts and of each block's effects have half-normal priors. They are drawn
    around their mode and reweighted, so that intervals hold for few models too.

    Args:
        value: Estimate of each model.
        variance: Its error variance.
        columns: Columns of the models' facts.
        block: Number of each column's block.
    """
    center = float(value.mean())
    design = np.column_stack([np.ones(len(value)), columns])
    numbers, place = np.unique(block, return_inverse=True)
    spread = float(np.sqrt(max(value.var() - variance.mean(), value.var() / 4, 1e-12)))
    problem = _Regression(value - center, variance, design, place, spread)
    start = np.log(spread * np.r_[0.5, np.full(len(numbers), 0.25)])
    bounds = [(np.log(spread) - 5, np.log(spread) + 2)] * len(start)
    mode = minimize(lambda at: -problem.density(at), start, method="L-BFGS-B", bounds=bounds, tol=1e-4).x
    points, log_proposal = _proposals(problem, mode)
    given = [problem.given(point) for point in points]
    weight = np.array([density for _, _, density in given]) - log_proposal
    share = np.exp(weight - weight.max())
    parts = np.stack([each for each, _, _ in given])
    cov = np.stack([cho_solve((factor, True), np.eye(design.shape[1])) for _, factor, _ in given])
    parts[:, 0] += center
    return FactRegression(share / share.sum(), parts, cov, np.exp(2 * points[:, 0]))


def _proposals(problem: _Regression, mode: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log scales from a Student-t around the mode, and its log density up to a constant."""
    size, unit = len(mode), np.eye(len(mode)) * STEP
    hessian = np.empty((size, size))
    for i in range(size):
        for j in range(i, size):
            corners = (problem.density(mode + a * unit[i] + b * unit[j]) * a * b for a in (1, -1) for b in (1, -1))
            hessian[i, j] = hessian[j, i] = -sum(corners) / (4 * STEP**2)
    value, vector = np.linalg.eigh(hessian)
    factor = vector / np.sqrt(np.clip(value, 0.5, None))
    # fixed draws: the regression is the same however often it is fitted
    rng = np.random.default_rng(0)
    standard = rng.standard_normal((DRAWS, size)) / np.sqrt(rng.chisquare(TAIL, DRAWS) / TAIL)[:, None]
    points = np.clip(mode + standard @ factor.T, np.log(problem.spread) - 7, np.log(problem.spread) + 3)
    return points, -(TAIL + size) / 2 * np.log1p((standard**2).sum(axis=1) / TAIL)
