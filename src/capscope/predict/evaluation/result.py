"""Results of an evaluation: settings, metrics, paired differences between assessors, and finished folds on disk."""

import hashlib
import zipfile
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.axes import RowFloats, RowIndex
from capscope.data import MODEL_SPLITS
from capscope.display import html_table
from capscope.errors import counted
from capscope.files import write_bytes
from capscope.intervals import Interval, cluster_interval
from capscope.predict.assessor import Chances
from capscope.predict.assessors import ASSESSORS
from capscope.predict.evaluation.metrics import Values
from capscope.predict.features import AUTO
from capscope.predict.outcomes import Outcomes, cross_entropy

LOSSES = ("log_loss", "brier")
"""Metrics that are means over answers, so that assessors can be compared answer by answer."""
SHOWN = ["log_loss", "auroc", "auroc_within_task", "brier", "ece", "calibration_slope", "pvr_90", "benchmark_mae"]
"""Metrics that are printed."""
MEANING = (
    "log-loss: mean surprise at what happened, in nats; 0 is perfect, 0.693 is a coin, lower is better\n"
    "AUROC: chance that a success had a higher predicted chance than a failure; 0.5 is a coin, 1 is perfect"
)
"""Legend of the table."""
ITEM_SPLITS = ("id", "task", "benchmark")
"""Splits that hold out items and keep the models."""
BELOW_A_COIN = (
    "AUROC of {names} is below 0.5 only because means are taken without the held-out items: the mean of the others is"
    " low where these are easy and high where they are hard; a constant ranks nothing, so read 0.5"
)
"""Note on assessors that give all new items the same chance."""
HELD_OUT = {
    "id": "on new items of known tasks",
    "task": "on new tasks",
    "benchmark": "on new benchmarks",
    "new-model": "on new models",
    "family": "on models of new families",
    "frontier": "on stronger models than those learnt from",
    "both": "on new models and new benchmarks",
    "new-pair": "on new pairs of known models and scaffolds",
    "new-scaffold": "on new scaffolds",
}
"""What each split stands for, in a sentence."""


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """Settings of an evaluation."""

    split: str = "task"
    """What is held out together; one of `capscope.data.SPLITS`."""
    folds: int = 5
    """Number of folds."""
    seeds: int = 1
    """Number of seeds, counted up from `seed`; each has folds of its own."""
    seed: int = 0
    """First seed."""
    annotator: str | None = None
    """Whose demand levels to use; by default the mean over annotators."""
    known: int = 20
    """Number of known answers of a new model, if models are held out."""
    families: str | None = None
    """For the split by family: a table's path, `names`, or None for the study's own models table."""
    embedder: str = AUTO
    """Name of the embedder that turns texts into vectors."""
    reference: str | None = None
    """Assessor that the others are compared with; by default `forest`, else the first."""
    workers: int = 1
    """Number of processes; 0 for one per processor. The numbers do not depend on it."""
    resume: Path | None = None
    """Folder of finished folds; folds that it holds are not computed again."""
    write: Path | None = None
    """File for all out-of-fold predictions: `.parquet` or `.csv`."""


@dataclass
class LossSums:
    """Each assessor's loss on each answer, summed over seeds."""

    n_rows: int
    """Number of answers."""
    total: dict[str, dict[str, RowFloats]] = field(default_factory=dict[str, dict[str, RowFloats]])
    """Summed loss by metric and assessor."""
    count: dict[str, RowFloats] = field(default_factory=dict[str, RowFloats])
    """Number of predictions of each answer, by assessor."""

    def add(self, name: str, rows: RowIndex, outcomes: Outcomes) -> None:
        """Add an assessor's predictions of some answers.

        Args:
            name: Name of the assessor.
            rows: Positions of the answers.
            outcomes: Their scores and predicted chances.
        """
        losses = {
            "log_loss": cross_entropy(outcomes.score, outcomes.chance),
            "brier": (outcomes.score - outcomes.chance) ** 2,
        }
        self.count.setdefault(name, np.zeros(self.n_rows))[rows] += 1
        for metric, loss in losses.items():
            self.total.setdefault(metric, {}).setdefault(name, np.zeros(self.n_rows))[rows] += loss


@dataclass(frozen=True)
class Differences:
    """Losses of the assessors minus those of a reference assessor; below 0 is better than the reference."""

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
                metric: {"difference": gap.point, "lower": gap.lower, "upper": gap.upper}
                for metric, gap in intervals.items()
            }
            for name, intervals in self.of.items()
        }
        return {"reference": self.reference, "level": self.level, "assessors": rows}


def paired_differences(
    sums: LossSums, reference: str, answers: Outcomes, rng: np.random.Generator, level: float = 0.95
) -> Differences:
    """Compare every assessor with a reference, answer by answer; models have equal weights, as in the metrics.

    Args:
        sums: Losses of all assessors.
        reference: Name of the assessor to compare with.
        answers: Model, task and number of trials of each answer; whole tasks are resampled.
        rng: Source of the bootstrap.
        level: Nominal coverage.
    """
    count = sums.count[reference]
    tested = np.flatnonzero(count > 0)
    _, position = np.unique(answers.model[tested], return_inverse=True)
    trials = answers.weight[tested]
    weight = trials / np.bincount(position, weights=trials)[position]
    differences: dict[str, dict[str, Interval]] = {}
    for name in sums.count:
        if name == reference:
            continue
        differences[name] = {}
        for metric in LOSSES:
            gap = (sums.total[metric][name] - sums.total[metric][reference])[tested] / count[tested]
            differences[name][metric] = cluster_interval(gap, answers.task[tested], rng, level, weight)
    return Differences(reference, level, differences)


@dataclass(frozen=True)
class Evaluation:
    """Assessors side by side on one split."""

    settings: EvaluationSettings
    """Settings of the evaluation."""
    folds: int
    """Number of folds; fewer than in the settings if there are fewer groups."""
    n_models: int
    """Number of models."""
    n_items: int
    """Number of answered items."""
    n_items_left_out: int
    """Number of answered items left out because they are not in the items table."""
    metrics: dict[str, Values]
    """Metrics of each assessor, plain means over models, averaged over seeds."""
    accuracy_weighted: dict[str, Values]
    """The same as means over models weighted by accuracy, as ADeLe reports them."""
    seconds: dict[str, float]
    """Seconds that each assessor took to fit and predict, over all folds and seeds."""
    differences: Differences | None
    """Paired differences from the reference; None for a single assessor."""
    notes: tuple[str, ...] = ()
    """Remarks for the user, one line each."""

    @property
    def verdict(self) -> str:
        """Which assessor to use, with the interval of its lead; or that two cannot be distinguished."""
        table, compared = self.table(), self.differences
        best, size = (
            str(table["assessor"].iloc[0]),
            f"{counted(self.n_models, 'model')}, {counted(self.n_items, 'item')}",
        )
        if compared is None or len(table) < 2:
            return f"only '{best}' took part; name another --assessor to compare it with"
        other = compared.reference if best != compared.reference else str(table["assessor"].iloc[1])
        gap = compared.of[best if best != compared.reference else other]["log_loss"]
        half, ahead = (gap.upper - gap.lower) / 2, abs(gap.point)
        if np.isnan(half):
            return f"too little data to compare {best} with {other}: {size} of one task"
        figures = f"{_short(ahead)} +- {_short(half)} log-loss"
        if gap.lower <= 0 <= gap.upper:
            return f"{best} and {other} cannot be distinguished: {size} (ahead by {figures})"
        return f"use {best}; {HELD_OUT[self.split]} it is ahead of {other} by {figures}"

    def as_text(self) -> str:
        """Return the table with what its columns mean, differences from the reference, and the verdict last."""
        seeds = "" if self.settings.seeds == 1 else f", {self.settings.seeds} seeds"
        head = (
            f"{counted(self.n_models, 'model')}, {counted(self.n_items, 'item')},"
            f" {counted(self.folds, 'fold')} by {self.split}{seeds}"
        )
        table = self.table()[["assessor", *SHOWN, "seconds"]]
        rows = table.to_string(index=False, na_rep="-", float_format=lambda number: f"{number:.3f}")
        lines = [head, *self.notes, rows, MEANING, *self._notes_on_means()]
        if self.differences:
            lines.append(f"log-loss less that of {self.differences.reference}, 95 % interval over tasks:")
            for name, intervals in self.differences.of.items():
                gap = intervals["log_loss"]
                bounds = f"{gap.lower:+.4f} to {gap.upper:+.4f}" if np.isfinite(gap.lower) else "no interval: one task"
                lines.append(f"  {name:<16} {gap.point:+.4f} ({bounds})")
        return "\n".join([*lines, f"Verdict: {self.verdict}."])

    def _notes_on_means(self) -> list[str]:
        """Explain values of AUROC below one half that come from leaving out."""
        constant = [name for name in self.metrics if name in ASSESSORS and ASSESSORS[name].same_for_new_items]
        low = [f"'{name}'" for name in constant if (self.metrics[name].get("auroc") or 1) < 0.5]  # NaN is not below
        return [BELOW_A_COIN.format(names=" and ".join(low))] if low and self.split in ITEM_SPLITS else []

    def __repr__(self) -> str:
        head = (
            f"Evaluation by {self.split}: {counted(self.n_models, 'model')},"
            f" {counted(self.n_items, 'item')}, {counted(self.folds, 'fold')}"
        )
        table = self.table()[["assessor", "log_loss", "auroc", "ece", "benchmark_mae"]]
        rows = table.to_string(index=False, na_rep="-", float_format=lambda number: f"{number:.3f}")
        return "\n".join([head, *self.notes, rows, f"Verdict: {self.verdict}."])

    def _repr_html_(self) -> str:
        return html_table(f"Assessors on held-out answers, split by {self.split}", self.table())

    @property
    def split(self) -> str:
        """What was held out together."""
        return self.settings.split

    def table(self) -> pd.DataFrame:
        """Return one row for each assessor, the smallest log-loss first, with all metrics and seconds as columns."""
        table = pd.DataFrame.from_dict(self.rows(), orient="index").astype(float)
        return table.rename_axis("assessor").reset_index().sort_values("log_loss", ignore_index=True)

    def rows(self) -> dict[str, dict[str, float | None]]:
        """Return each assessor's metrics and seconds; an undefined number is None."""
        return {
            name: _plain(metrics) | {"seconds": round(self.seconds[name], 3)} for name, metrics in self.metrics.items()
        }

    def as_dict(self) -> dict[str, object]:
        """Return plain numbers in the published JSON layout."""
        return {
            "split": self.settings.split,
            "folds": self.folds,
            "seeds": self.settings.seeds,
            "known": self.settings.known if self.settings.split in (*MODEL_SPLITS, "both", "new-scaffold") else None,
            "n_models": self.n_models,
            "n_items": self.n_items,
            "n_items_left_out": self.n_items_left_out,
            "notes": list(self.notes),
            "assessors": self.rows(),
            "accuracy_weighted": {name: _plain(metrics) for name, metrics in self.accuracy_weighted.items()},
            "differences": self.differences.as_dict() if self.differences else None,
            "verdict": self.verdict,
        }


def _short(number: float) -> str:
    """Three decimals without the leading zero, as in .006."""
    return f"{number:.3f}".removeprefix("0")


def _plain(values: Values) -> dict[str, float | None]:
    return {key: None if np.isnan(value) else value for key, value in values.items()}


FIELDS = ("probability", "log_odds_mean", "log_odds_sd", "shared_sd")


@dataclass(frozen=True)
class FoldResult:
    """One assessor's predictions of the held-out answers of one fold."""

    chances: Chances
    """One row for each held-out answer."""
    seconds: float
    """Time to fit and predict."""


@dataclass(frozen=True)
class FoldStore:
    """A folder with one file for each finished fold; without a folder it stores nothing."""

    folder: Path | None = None

    def get(self, key: str) -> FoldResult | None:
        """Return a finished fold; None if it is missing or its file is damaged."""
        if self.folder is None or not (path := self.folder / f"{key}.npz").is_file():
            return None
        try:
            with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
                return FoldResult(Chances(*(arrays[name] for name in FIELDS)), float(arrays["seconds"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def put(self, key: str, result: FoldResult) -> None:
        """Write a finished fold, whole or not at all.

        Args:
            key: Name of the file: a hash of what the fold was computed from.
            result: Predictions of the fold.

        Raises:
            OutputError: The folder cannot be written.
        """
        if self.folder is None:
            return
        content = BytesIO()
        chances = {name: getattr(result.chances, name) for name in FIELDS}
        np.savez(content, seconds=np.array(result.seconds), **chances)
        write_bytes(self.folder / f"{key}.npz", content.getvalue(), option="--resume")


def digest(*parts: object) -> str:
    """Return a hash of arrays and plain values."""
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            state.update(f"{part.dtype}{part.shape}".encode())
            state.update(np.ascontiguousarray(part).tobytes())
        else:
            state.update(repr(part).encode("utf-8", "surrogatepass"))
        state.update(b"\0")
    return state.hexdigest()


def code_digest() -> str:
    """Return a hash of the code that makes predictions, so that stored folds are not used after it changed."""
    package = Path(__file__).parent.parent.parent
    files = sorted(path for room in ("fit", "predict") for path in (package / room).rglob("*.py"))
    return digest(*(path.read_text(encoding="utf-8") for path in files))
