"""Differences between judges on the same answers: severity, and drift between versions or dates of a judge."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import chdtrc, stdtr, stdtrit

from capscope.axes import Float
from capscope.data import Study
from capscope.decide.difference import variance_of
from capscope.decide.judge_data import scores_by_judge
from capscope.errors import InputError, counted, first_few, nearest
from capscope.profiles import corrected_p

FEWEST_PINNED = 20
"""Fewest common items from which a difference between two judges is reported."""

FEWEST_OF_A_MODEL = 10
"""Fewest common answers of a model from which its own difference is reported."""

SAME = 1e-9
"""Largest difference of equal scores."""

ModelFloats = Float[np.ndarray, " model"]

UNEQUAL = 0.01
"""Significance level of the test that the difference is equal for all models."""


@dataclass(frozen=True)
class ModelMove:
    """Mean difference between two judges' scores of one model, as a share of the score."""

    model: str
    """Name of the model."""
    n_answers: int
    """Number of its answers that both judges scored."""
    raw: float
    """Mean difference of the scores."""
    move: float
    """The same, shrunken towards the mean over models (empirical Bayes)."""
    lower: float
    """Lower bound of `move`."""
    upper: float
    """Upper bound of `move`."""


@dataclass(frozen=True)
class JudgeMove:
    """Mean difference between two judges' scores on the same answers, as a share of the score."""

    before: str
    """The reference judge: people, another model, an earlier version or date."""
    after: str
    """The judge that is compared with it."""
    n_answers: int
    """Number of answers that both scored."""
    n_items: int
    """Number of their items; answers to one item are a cluster."""
    move: float
    """Mean score by `after` minus that by `before`; above 0 `after` is more lenient."""
    lower: float
    """Lower bound of `move`."""
    upper: float
    """Upper bound of `move`."""
    p: float
    """Two-sided p-value of no difference, corrected for the number of judges (Holm, 1979)."""
    changed: float
    """Share of the answers with different scores, whatever the mean difference."""
    between_models: float
    """Standard deviation over models of the true differences, without sampling error."""
    p_equal: float
    """p-value of an equal difference for all models (Cochran's Q); 1 with one model."""
    by_model: tuple[ModelMove, ...]
    """Difference on each model's answers, for models with enough of them."""
    level: float
    """Coverage of the intervals."""

    @property
    def moved(self) -> bool:
        """Whether the difference is significant."""
        return self.p < 1 - self.level

    def sentence(self) -> str:
        """The result in one or two sentences, in points (hundredths of the score)."""
        points = f"{100 * self.move:+.1f} points ({100 * self.lower:+.1f} to {100 * self.upper:+.1f})"
        head = (
            f"{self.after} scores {points} against {self.before} on the"
            f" {counted(self.n_answers, 'answer')} that both scored"
        )
        if self.moved:
            text = f"{head}: scores by the two cannot be compared without correction."
        else:
            largest = 100 * max(abs(self.lower), abs(self.upper))
            among = "" if self.lower <= 0 <= self.upper else f" among so many judges (corrected p {self.p:.2f})"
            text = f"{head}: no move is shown{among}, and one of more than {largest:.1f} points is ruled out."
        if self.p_equal < UNEQUAL:
            ranked = sorted(self.by_model, key=lambda model: model.move)
            least, most = ranked[0], ranked[-1]
            text += (
                f" It is not the same for all models: {100 * least.move:+.1f} for {least.model},"
                f" {100 * most.move:+.1f} for {most.model}."
            )
        return text


@dataclass(frozen=True)
class JudgeDrift:
    """Differences of all judges of a study from a reference judge, or of each judge between two dates."""

    moves: tuple[JudgeMove, ...]
    """One for each judge with enough items in common with its reference."""
    left_out: tuple[str, ...]
    """Judges with too few."""
    level: float
    """Coverage of the intervals."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        moves = [asdict(move) | {"moved": move.moved} for move in self.moves]
        return {"level": self.level, "moved": any(move.moved for move in self.moves)} | {
            "moves": moves,
            "left_out": list(self.left_out),
        }

    def __repr__(self) -> str:
        """One line for each judge."""
        return "\n".join(move.sentence() for move in self.moves)


def judge_drift(
    study: Study | Path | str,
    *,
    before: str | None = None,
    after: str | None = None,
    later: Study | Path | str | None = None,
    truth: str = "human",
    level: float = 0.95,
) -> JudgeDrift:
    """Compare judges on the answers that both scored, or one judge at two dates on the answers scored again.

    Args:
        study: Responses with the facet `judge`; a study or its folder.
        before: The reference judge; by default `truth`, or the judge with the most scores without one.
        after: The judge that is compared with it; by default every other judge.
        later: The same answers scored again at a later date; every judge is then compared with itself, or `after` in
            this study with `before` in the other where both are named.
        truth: Judge whose scores are the truth.
        level: Coverage of the intervals.

    Returns:
        Differences of the judges, by model and over all, with their intervals.

    Raises:
        InputError: The study has no such judges, or none has enough items in common with its reference.
    """
    study = study if isinstance(study, Study) else Study.load(study)
    first = scores_by_judge(study)
    if later is None:
        known = truth if truth in first else str(first.notna().sum().idxmax())
        measure = _known_judge(study, first, before or known)
        others = [_known_judge(study, first, after)] if after else [str(name) for name in first if name != measure]
        gaps = {(measure, other): _gaps(first[measure], first[other]) for other in others if other != measure}
    else:
        later = later if isinstance(later, Study) else Study.load(later)
        gaps = _gaps_at_dates(study, first, later, before, after)
    enough = {pair: gap for pair, gap in gaps.items() if _n_items(gap) >= FEWEST_PINNED}
    if not enough:
        raise InputError(
            f"{study.name}: no two judges scored the same answers to {FEWEST_PINNED} items or more; let both score them"
        )
    moves = [_move(gap, *pair, level) for pair, gap in enough.items()]
    p = corrected_p(np.array([move.p for move in moves]), "holm").tolist()
    held = tuple(replace(move, p=value) for move, value in zip(moves, p, strict=True))
    return JudgeDrift(held, tuple(pair[1] for pair in gaps if pair not in enough), level)


def _gaps_at_dates(
    study: Study, first: pd.DataFrame, later: Study, before: str | None, after: str | None
) -> dict[tuple[str, str], pd.Series]:
    """Differences of scores at two dates, by the names of the judge at each date."""
    second = scores_by_judge(later)
    if before or after:
        pairs = [(str(before or after), str(after or before))]
    else:
        pairs = [(name, name) for name in map(str, first) if name in second]
    if not pairs:
        raise InputError(f"{study.name} and {later.name} have no judge in common; name them with before and after")
    return {
        (f"{one} (earlier)", f"{two} (later)"): _gaps(
            first[_known_judge(study, first, one)], second[_known_judge(later, second, two)]
        )
        for one, two in pairs
    }


def _known_judge(study: Study, table: pd.DataFrame, name: str) -> str:
    known = [str(judge) for judge in table]
    if name not in known:
        hint = nearest(name, known)
        raise InputError(f"{study.name}: no responses by judge '{name}'{hint}; there are {first_few(known)}")
    return name


def _gaps(before: pd.Series, after: pd.Series) -> pd.Series:
    """Later minus earlier score of each answer that has both, by model and item."""
    return (after - before).dropna()


def _n_items(gap: pd.Series) -> int:
    return gap.index.get_level_values("item_id").nunique()


def _move(gap: pd.Series, before: str, after: str, level: float) -> JudgeMove:
    mean, se, freedom = _mean_over_items(gap)
    half = float(stdtrit(freedom, 0.5 + level / 2)) * se
    p = 2 * float(stdtr(freedom, -abs(mean) / se))
    spread, p_equal, by_model = _by_model(gap, level)
    return JudgeMove(
        before=before,
        after=after,
        n_answers=len(gap),
        n_items=_n_items(gap),
        move=mean,
        lower=max(-1.0, mean - half),
        upper=min(1.0, mean + half),
        p=p,
        changed=float((gap.abs() > SAME).mean()),
        between_models=spread,
        p_equal=p_equal,
        by_model=by_model,
        level=level,
    )


def _mean_over_items(gap: pd.Series) -> tuple[float, float, float]:
    """Mean difference, its standard error clustered by item, and the degrees of freedom."""
    by_item = gap.groupby(level="item_id").agg(["sum", "size"])
    mean, n = float(gap.mean()), len(by_item)
    total = (by_item["sum"] - mean * by_item["size"]).to_numpy(float)
    se = float(np.sqrt(n / (n - 1) * (total**2).sum()) / len(gap))
    if np.ptp(gap) == 0:  # equal differences in the sample do not prove a variance of 0
        se = float(np.sqrt(variance_of(gap.to_numpy(float), np.ones(len(gap))) / n))
    return mean, se, float(n - 1)


def _by_model(gap: pd.Series, level: float) -> tuple[float, float, tuple[ModelMove, ...]]:
    """Standard deviation over models of the difference, p-value of equal differences, and shrunken differences.

    The standard deviation is a moment estimate (DerSimonian & Laird, 1986); shrinkage is towards the weighted mean.
    """
    groups = [(str(name), rows) for name, rows in gap.groupby(level="model") if len(rows) >= FEWEST_OF_A_MODEL]
    if not groups:
        return 0.0, 1.0, ()
    raw = np.array([rows.mean() for _, rows in groups])
    variance = np.array([variance_of(rows.to_numpy(float), np.ones(len(rows))) / len(rows) for _, rows in groups])
    weight, freedom = 1 / variance, len(groups) - 1
    q = float(weight @ (raw - np.average(raw, weights=weight)) ** 2)
    between = max(0.0, q - freedom) / (weight.sum() - (weight**2).sum() / weight.sum()) if freedom else 0.0
    p_equal = float(chdtrc(freedom, q)) if freedom else 1.0
    centre, of_centre = _weighted_mean(raw, variance + between)
    share = between / (between + variance) if freedom else np.ones(1)
    move = centre + share * (raw - centre)
    se = np.sqrt(share * variance + (1 - share) ** 2 * of_centre) if freedom else np.sqrt(variance)
    half = float(stdtrit(max(_n_items(gap) - 1, 1), 0.5 + level / 2)) * se
    moves = tuple(
        ModelMove(
            name,
            len(rows),
            float(raw[row]),
            float(move[row]),
            float(move[row] - half[row]),
            float(move[row] + half[row]),
        )
        for row, (name, rows) in enumerate(groups)
    )
    return float(np.sqrt(between)), p_equal, moves


def _weighted_mean(value: ModelFloats, variance: ModelFloats) -> tuple[float, float]:
    weight = 1 / variance
    return float(np.average(value, weights=weight)), float(1 / weight.sum())
