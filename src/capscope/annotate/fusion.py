"""Fusion of several annotators into one level with its uncertainty: an ordinal latent-class model with severities.

Each item has a true level z from 0 to 5 on a rubric. The probability that an annotator rates k is proportional to a
normal density at k with mean z plus the annotator's severity, and the annotator's standard deviation (width). This is
the model of Dawid & Skene (1979) with two parameters per annotator instead of a confusion matrix, fitted by EM.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from capscope.annotate.labels import COLUMNS, add_labels, rubric_versions
from capscope.data import FUSED, Study
from capscope.display import ArrowTables
from capscope.errors import InputError, counted

ROUNDS = 60
CLOSE = 1e-4
PRIOR_SEVERITY = 1.0
"""Prior standard deviation of severities, in levels."""
PRIOR_WIDTH = (0.8, 0.5)
"""Prior median of the width in levels, and prior standard deviation of its logarithm."""

Counts = Float[np.ndarray, "6 6"]


@dataclass(frozen=True)
class AnnotatorTraits:
    """Severity and width of one annotator on one rubric."""

    annotator: str
    """Name of the annotator."""
    rubric: str
    """Code of the rubric."""
    severity: float
    """Levels by which it rates above the others; severities of a rubric sum to zero."""
    width: float
    """Spread of its levels around the truth."""
    items: int
    """Items that it rated."""


@dataclass(frozen=True)
class Fusion(ArrowTables):
    """Fused labels, with severity and width of the annotators."""

    labels: pd.DataFrame = field(repr=False)
    """Rows of a demands table by annotator ``fused``: posterior mean, its sd, and largest probability of a level."""
    traits: tuple[AnnotatorTraits, ...] = field(repr=False)
    """Severity and width of every annotator on every rubric."""

    def table(self) -> pd.DataFrame:
        """Return severity and width, one row for each annotator and rubric."""
        return pd.DataFrame([asdict(trait) for trait in self.traits])

    def write(self, folder: Path | str, *, replace: bool = False) -> tuple[str, ...]:
        """Add the fused labels to a study folder and return warnings about versions.

        Args:
            folder: The study folder.
            replace: Drop fused labels of other versions of the rubrics.

        Raises:
            InputError: There are fused labels of another version, and `replace` is not set.
        """
        return add_labels(folder, self.labels, replace=replace)

    def _repr_html_(self) -> str:
        """Show severity and width as a table."""
        return self.table().to_html(index=False)


def fuse(study: Study | Path | str, annotators: Sequence[str] = ()) -> Fusion:
    """Fuse the labels of a study (Dawid and Skene, 1979, with a severity and a width for each annotator).

    Args:
        study: A study with demands by two annotators or more, or its folder; nothing is written.
        annotators: Whose labels enter; all but an earlier fusion by default.

    Returns:
        The fused levels with standard deviations, and severity and width of each annotator.

    Raises:
        InputError: Fewer than two annotators, or labels of different versions of a rubric.
    """
    study = study if isinstance(study, Study) else Study.load(study)
    demands = study.require("demands")
    chosen = tuple(annotators) or tuple(sorted({str(name) for name in demands["annotator"].unique()} - {FUSED}))
    demands = demands[demands["annotator"].isin(chosen)].astype({"rubric": str, "annotator": str, "item_id": str})
    if demands["annotator"].nunique() < 2:
        raise InputError(
            f"{study.name}: fusion takes two annotators or more; there is {demands['annotator'].nunique()}"
        )
    tables, traits = list[pd.DataFrame](), list[AnnotatorTraits]()
    for rubric, rows in demands.groupby("rubric"):
        wide = rows.pivot_table(index="item_id", columns="annotator", values="level")
        posterior, estimates = fuse_ratings(wide.to_numpy(dtype=float))
        tables.append(_table(str(rubric), wide.index, posterior, _version(rows, str(rubric), study.name)))
        traits += [
            AnnotatorTraits(str(name), str(rubric), severity, width, int(wide[name].notna().sum()))
            for name, (severity, width) in zip(wide.columns, estimates, strict=True)
        ]
    return Fusion(pd.concat(tables, ignore_index=True), tuple(traits))


def fuse_ratings(
    levels: Float[np.ndarray, "item annotator"],
) -> tuple[Float[np.ndarray, "item level"], list[tuple[float, float]]]:
    """Fuse the ratings of one rubric.

    Args:
        levels: Levels from 0 to 5, NaN where an annotator did not rate; a fractional level counts for both neighbours.

    Returns:
        The chance of each true level, and severity and width of each annotator.
    """
    stated = _as_shares(levels)
    traits = [(0.0, PRIOR_WIDTH[0])] * levels.shape[1]
    prior = np.nan_to_num(stated).sum(axis=(0, 1)) + 1.0
    prior = prior / prior.sum()
    posterior = _posterior(stated, traits, prior)
    for _ in range(ROUNDS):
        traits = _centred([_traits(_counts(posterior, stated[:, a]), traits[a]) for a in range(levels.shape[1])])
        prior = posterior.sum(axis=0) + 1 / 6
        prior = prior / prior.sum()
        before, posterior = posterior, _posterior(stated, traits, prior)
        if np.abs(posterior - before).max() < CLOSE:
            break
    return posterior, traits


def _as_shares(levels: np.ndarray) -> np.ndarray:
    """Spread each level over its whole neighbours: 2.25 is three parts 2 and one part 3. Gaps become rows of zeros."""
    distance = np.abs(levels[..., None] - np.arange(6.0))
    return np.nan_to_num(np.clip(1 - distance, 0, 1))


def _chances(severity: float, width: float) -> Counts:
    """Return the chance of each stated level (column) for each true level (row)."""
    levels = np.arange(6.0)
    log = -((levels[None, :] - levels[:, None] - severity) ** 2) / (2 * width**2)
    chances = np.exp(log - log.max(axis=1, keepdims=True)) + 1e-4
    return chances / chances.sum(axis=1, keepdims=True)


def _posterior(stated: np.ndarray, traits: list[tuple[float, float]], prior: np.ndarray) -> np.ndarray:
    log = np.log(prior)[None, :] + sum(stated[:, a] @ np.log(_chances(*trait)).T for a, trait in enumerate(traits))
    chances = np.exp(log - log.max(axis=1, keepdims=True))
    return chances / chances.sum(axis=1, keepdims=True)


def _counts(posterior: np.ndarray, stated: np.ndarray) -> Counts:
    return posterior.T @ stated


def _traits(counts: Counts, start: tuple[float, float]) -> tuple[float, float]:
    """Find the severity and width under which an annotator's counts are likeliest, with mild priors."""
    from scipy.optimize import minimize

    def cost(theta: np.ndarray) -> float:
        unlikely = -(counts * np.log(_chances(float(theta[0]), float(np.exp(theta[1]))))).sum()
        away = (theta[0] / PRIOR_SEVERITY) ** 2 + ((theta[1] - np.log(PRIOR_WIDTH[0])) / PRIOR_WIDTH[1]) ** 2
        return float(unlikely + away / 2)

    optimum = minimize(cost, np.array([start[0], np.log(start[1])]), method="L-BFGS-B", bounds=[(-4, 4), (-2, 1.5)])
    return float(optimum.x[0]), float(np.exp(optimum.x[1]))


def _centred(traits: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Centre the severities: only differences between annotators are identified."""
    mean = float(np.mean([severity for severity, _ in traits]))
    return [(severity - mean, width) for severity, width in traits]


def _table(rubric: str, items: pd.Index, posterior: np.ndarray, version: str | None) -> pd.DataFrame:
    levels = np.arange(6.0)
    mean = posterior @ levels
    sd = np.sqrt(np.maximum(posterior @ levels**2 - mean**2, 0))
    columns = [items.astype(str), rubric, FUSED, mean, sd, posterior.max(axis=1), version]
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def _version(rows: pd.DataFrame, rubric: str, where: str) -> str | None:
    versions = rubric_versions(rows).dropna().unique()
    if len(versions) > 1:
        raise InputError(
            f"{where}: labels on {rubric} come from {counted(len(versions), 'version')} of the rubric; fuse one version"
        )
    return str(versions[0]) if len(versions) else None
