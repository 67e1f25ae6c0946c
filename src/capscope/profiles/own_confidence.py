"""Self-knowledge of models: how well confidence, or agreement of repeated answers, separates right from wrong.

Three measures: overconfidence (mean confidence minus accuracy), calibration error, and the probability that a right
answer has a higher confidence than a wrong one (AUROC). `gain` is the log-loss that the confidence saves a predictor
that already has the items' difficulty for the other models.
"""

import numpy as np
import pandas as pd
from scipy.special import expit, logit, stdtrit

from capscope.axes import AGENT_FACETS, FloatArray
from capscope.data import CONFIDENCE, Study, stated_confidence, subjects_of
from capscope.fit import confidence_log_odds, log_loss, logistic_regression
from capscope.intervals import Interval, clustered_mean_interval, normal_quantile
from capscope.profiles.meanings import table_lines

FEWEST_ANSWERS, FEWEST_OF_EACH = 20, 3
"""Answers with a confidence, and right and wrong ones among them, below which a model is left out."""
BINS, FOLDS = 10, 5
PRIOR_PRECISION = np.diag([1e-4, 1.0, 1.0])
"""Prior precisions of offset, item ease and confidence: standard normal slopes, a nearly flat prior of the offset."""
COLUMNS = (
    "confidence, accuracy: their means; overconfidence: the difference; calibration_error: root mean square of that"
    "\ndifference over ten groups of like confidence; auroc: chance that a right answer got the higher confidence;"
    "\ngain: log-loss saved by an assessor that knows how hard items are when it is also given the confidence."
)
"""Legend of the table."""


def self_knowledge(study: Study, level: float = 0.9) -> pd.DataFrame | None:
    """Measure how well models' own confidence fits their scores; several judges of an answer are pooled.

    Args:
        study: A study whose responses have a column `confidence` or `agreement`, from 0 to 1.
        level: Nominal coverage of the bounds, which are over items.

    Returns:
        Columns ``model, source, answers, confidence, accuracy``, then ``overconfidence, calibration_error, auroc`` and
        ``gain`` with a lower and an upper bound each; None where no model has enough answers with a confidence.

    Raises:
        InputError: A confidence lies outside 0 to 1.
    """
    if study.responses is None or stated_confidence(study.responses, study.name) is None:
        return None
    study, _ = subjects_of(study, AGENT_FACETS)
    responses = study.require("responses")
    stated = stated_confidence(responses, study.name)
    if stated is None:
        return None
    own, source = stated
    trials = responses["n_trials"].astype(float) if "n_trials" in responses else pd.Series(1.0, responses.index)
    names = responses[["model", "item_id"]].astype(str)
    rows = names.assign(own=own, score=responses["score"].astype(float), trials=trials)
    ease = _ease(rows)
    rows = rows.assign(ease=ease)[rows["own"].notna()]
    records = [_row(str(model), source, part, level) for model, part in rows.groupby("model") if _enough(part)]
    return pd.DataFrame(records) if records else None


def knowledge_lines(table: pd.DataFrame, level: float) -> list[str]:
    """Return a table of `self_knowledge` as lines of text, with a legend.

    Args:
        table: The table.
        level: Nominal coverage of its bounds.
    """
    shown = table[["model", "answers", "confidence", "accuracy"]].copy()
    for name in ("overconfidence", "calibration_error", "auroc", "gain"):
        bounds = zip(table[name], table[f"{name}_lower"], table[f"{name}_upper"], strict=True)
        shown[name] = [f"{value:.3f} [{lower:.3f}, {upper:.3f}]" for value, lower, upper in bounds]
    what = "confidence" if table["source"].iloc[0] == CONFIDENCE else "agreement with its other runs"
    return [
        f"\nSelf-knowledge: a model's {what} against its scores, {level:.0%} intervals:",
        table_lines(shown),
        COLUMNS,
    ]


def _enough(rows: pd.DataFrame) -> bool:
    right = float((rows["score"] * rows["trials"]).sum())
    wrong = float(rows["trials"].sum()) - right
    # folds are of items, and bounds are over items
    return len(rows) >= FEWEST_ANSWERS and min(right, wrong) >= FEWEST_OF_EACH and rows["item_id"].nunique() >= FOLDS


def _ease(rows: pd.DataFrame) -> FloatArray:
    """Log-odds of the share of right answers of the other models on each row's item, shrunken towards one half."""
    right = rows["score"] * rows["trials"]
    total = pd.DataFrame({"right": right, "trials": rows["trials"]})
    of_item = total.groupby(rows["item_id"]).transform("sum")
    of_cell = total.groupby([rows["model"], rows["item_id"]]).transform("sum")
    others = of_item - of_cell
    return logit(((others["right"] + 1) / (others["trials"] + 2)).clip(1e-6, 1 - 1e-6).to_numpy(dtype=float))


def _row(model: str, source: str, rows: pd.DataFrame, level: float) -> dict[str, object]:
    own, score, trials = (rows[name].to_numpy(dtype=float) for name in ("own", "score", "trials"))
    item = pd.factorize(rows["item_id"])[0]
    means = {"confidence": float(np.average(own, weights=trials)), "accuracy": float(np.average(score, weights=trials))}
    values = {
        "overconfidence": clustered_mean_interval(own - score, trials, item, level),
        "calibration_error": calibration_error(own, score, trials, level),
        "auroc": auroc_interval(own, score, trials, item, level),
        "gain": _gain(rows, item, level),
    }
    columns: dict[str, object] = {"model": model, "source": source, "answers": len(rows), **means}
    for name, value in values.items():
        columns |= {name: value.point, f"{name}_lower": value.lower, f"{name}_upper": value.upper}
    return columns


def calibration_error(own: FloatArray, score: FloatArray, trials: FloatArray, level: float) -> Interval:
    """Root mean square over bins of confidence minus accuracy, without sampling noise (Kumar, Liang & Ma, 2019).

    Args:
        own: Confidence of each answer (row,), 0 to 1.
        score: Its score (row,), 0 to 1.
        trials: Trials behind it (row,).
        level: Nominal coverage.

    Returns:
        The error with its bounds.
    """
    # equal confidences stay together
    place = pd.Series(own).rank(method="min").to_numpy()
    number = np.unique(np.ceil(place / len(own) * BINS), return_inverse=True)[1]
    weight = np.bincount(number, trials)
    count = np.bincount(number)
    gap = np.bincount(number, trials * (own - score)) / weight
    inner = np.bincount(number, (trials * (own - score - gap[number])) ** 2)
    noise = inner / weight**2 * count / np.maximum(count - 1, 1)
    share = weight / weight.sum()
    square = float((share * (gap**2 - noise)).sum())
    # all answers of a small bin may be right by chance, which would give a variance of 0
    rate = (np.bincount(number, trials * score) + 1) / (weight + 2)
    wide = np.maximum(noise, rate * (1 - rate) / weight)
    sd = float(np.sqrt((share**2 * (2 * wide**2 + 4 * np.maximum(gap**2 - noise, 0) * wide)).sum()))
    width = normal_quantile(level) * sd
    low, high = max(square - width, 0.0), max(square + width, 0.0)
    return Interval(float(np.sqrt(max(square, 0.0))), float(np.sqrt(low)), float(np.sqrt(high)), level)


def auroc_interval(own: FloatArray, score: FloatArray, trials: FloatArray, item: np.ndarray, level: float) -> Interval:
    """AUROC with an interval from its influence function over items (DeLong, 1988), on the scale of log-odds.

    The influence function vanishes at an area of 0 or 1; near them the variance is at least that of two exponential
    distributions (Hanley and McNeil, 1982).

    Args:
        own: Confidence of each answer (row,).
        score: Its score (row,), 0 to 1; a partial score counts partly as right and partly as wrong.
        trials: Trials behind it (row,).
        item: Number of its item (row,).
        level: Nominal coverage.

    Returns:
        The area with its bounds.
    """
    right, wrong = trials * score, trials * (1 - score)
    at = np.unique(own, return_inverse=True)[1]
    below = [np.cumsum(np.bincount(at, part)) - np.bincount(at, part) / 2 for part in (right, wrong)]
    under_right, under_wrong = below[0][at] / right.sum(), below[1][at] / wrong.sum()
    area = float((right * under_wrong).sum() / right.sum())
    part = right * (under_wrong - area) / right.sum() + wrong * (1 - under_right - area) / wrong.sum()
    n = int(item.max()) + 1
    error = float((np.bincount(item, part) ** 2).sum()) * n / max(n - 1, 1)
    edge = min(0.5 / float(min(right.sum(), wrong.sum())), 0.5)
    inside = float(np.clip(area, edge, 1 - edge))
    if inside != area:
        error = max(error, _separated_variance(inside, float(right.sum()), float(wrong.sum())))
    width = float(stdtrit(n - 1, (1 + level) / 2)) * float(np.sqrt(error)) / (inside * (1 - inside))
    lower, upper = float(expit(logit(inside) - width)), float(expit(logit(inside) + width))
    return Interval(area, min(lower, area), max(upper, area), level)


def _separated_variance(area: float, right: float, wrong: float) -> float:
    """Variance of an AUROC between two exponential distributions (Hanley and McNeil, 1982)."""
    of_right, of_wrong = area / (2 - area) - area**2, 2 * area**2 / (1 + area) - area**2
    return (area * (1 - area) + (right - 1) * of_right + (wrong - 1) * of_wrong) / (right * wrong)


def _gain(rows: pd.DataFrame, item: np.ndarray, level: float) -> Interval:
    """Held-out log-loss of a regression on item ease minus that of one on ease and confidence; folds by item."""
    score, trials = rows["score"].to_numpy(dtype=float), rows["trials"].to_numpy(dtype=float)
    ease = rows["ease"].to_numpy(dtype=float)
    own = confidence_log_odds(rows["own"].to_numpy(dtype=float))
    without, both = np.column_stack([np.ones(len(own)), ease]), np.column_stack([np.ones(len(own)), ease, own])
    loss = np.zeros((2, len(own)))
    for fold in range(FOLDS):
        held = item % FOLDS == fold
        for number, design in enumerate((without, both)):
            size = design.shape[1]
            prior = (np.zeros(size), PRIOR_PRECISION[:size, :size])
            weight, _ = logistic_regression(design[~held], score[~held], trials[~held], *prior)
            loss[number, held] = log_loss(design[held] @ weight, score[held])
    return clustered_mean_interval(loss[0] - loss[1], trials, item, level)
