"""Paired differences between assessors on the same held-out answers, with intervals over whole tasks."""

from dataclasses import dataclass, field

import numpy as np

from capscope.axes import RowFloats, RowIndex
from capscope.intervals import Interval, cluster_interval
from capscope.predict.metrics import Outcomes, cross_entropy

LOSSES = ("log_loss", "brier")
"""Metrics that are means over answers, so that assessors can be compared answer by answer."""


@dataclass
class LossBook:
    """Sums each assessor's loss on each answer over the seeds."""

    n_rows: int
    """Number of answers."""
    total: dict[str, dict[str, RowFloats]] = field(default_factory=dict[str, dict[str, RowFloats]])
    """Summed loss by metric and assessor."""
    count: dict[str, RowFloats] = field(default_factory=dict[str, RowFloats])
    """How often each answer was tested, by assessor."""

    def add(self, name: str, rows: RowIndex, outcomes: Outcomes) -> None:
        """Enter an assessor's predictions of some answers."""
        losses = {
            "log_loss": cross_entropy(outcomes.score, outcomes.chance),
            "brier": (outcomes.score - outcomes.chance) ** 2,
        }
        self.count.setdefault(name, np.zeros(self.n_rows))[rows] += 1
        for metric, loss in losses.items():
            self.total.setdefault(metric, {}).setdefault(name, np.zeros(self.n_rows))[rows] += loss


@dataclass(frozen=True)
class Differences:
    """Losses of the assessors less those of one of them; below 0 is better than that one."""

    reference: str
    """The assessor that the others are compared with."""
    level: float
    """Nominal coverage of the intervals."""
    of: dict[str, dict[str, Interval]]
    """Interval by assessor and metric."""

    def as_dict(self) -> dict[str, object]:
        """Return plain numbers."""
        rows = {
            name: {
                metric: {"difference": found.point, "lower": found.lower, "upper": found.upper}
                for metric, found in intervals.items()
            }
            for name, intervals in self.of.items()
        }
        return {"reference": self.reference, "level": self.level, "assessors": rows}


def paired_differences(
    book: LossBook, reference: str, model: RowIndex, task: RowIndex, rng: np.random.Generator, level: float = 0.95
) -> Differences:
    """Compare every assessor with one, answer by answer, models weighing alike as in the metrics.

    Args:
        book: Losses of all assessors.
        reference: The one to compare with.
        model: Model of each answer.
        task: Task of each answer; whole tasks are drawn again.
        rng: Source of the bootstrap.
        level: Nominal coverage.
    """
    count = book.count[reference]
    tested = np.flatnonzero(count > 0)
    _, position = np.unique(model[tested], return_inverse=True)
    weight = 1 / np.bincount(position)[position]
    found: dict[str, dict[str, Interval]] = {}
    for name in book.count:
        if name == reference:
            continue
        found[name] = {}
        for metric in LOSSES:
            gap = (book.total[metric][name] - book.total[metric][reference])[tested] / count[tested]
            found[name][metric] = cluster_interval(gap, task[tested], rng, level, weight)
    return Differences(reference, level, found)
