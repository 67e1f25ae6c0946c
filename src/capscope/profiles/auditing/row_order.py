"""Models whose answers are assigned to the wrong items, such as a file whose rows were shifted ("out of step").

A model whose rows are in order succeeds more often on items that other models find easy. How much more depends on the
task and on its ability, since a weak model that guesses does so on easy and hard items alike. A model out of step
succeeds as often as its ability implies, but independently of how easy the items are.
"""

import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit, logit

from capscope.axes import Float, FloatArray, ItemMask, RowFloats
from capscope.data import Responses
from capscope.errors import counted
from capscope.profiles.auditing.findings import COLUMNS, Suspects, nested_chances
from capscope.profiles.item_groups import Places

FEWEST_ITEMS = 20
FEWEST_MODELS = 5
NEWTON_STEPS = 6
TAIL_FREEDOM = 4
"""Degrees of freedom of Student's law of slopes in step: some models are odd without being out of step."""
PAIRS_AT_ONCE = 1 << 22
"""Pairs of abilities compared at a time."""
LINE_WEIGHT = 0.3
"""Weight of the regression line through all models, in neighbours, when a model's slope is predicted."""
GUESSER_SHARE = 0.01
"""Prior share of models that guess throughout a benchmark."""
NO_NEIGHBOUR_SHARE = 1e-4
"""The same for a model whose neighbours in ability do not guess."""
PRIOR_WEIGHT = 0.25
"""Precision of the weak prior that keeps a slope finite where a model has nearly every answer right or wrong."""


@dataclass(frozen=True)
class Alignment:
    """Slopes of each model's answers on the items' easiness for the other models, by task."""

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    slope: Float[np.ndarray, "model task"]
    """Slope of log-odds of success on log-odds of the others' success; NaN with too few answers."""
    variance: Float[np.ndarray, "model task"]
    """Its error variance."""
    ability: Float[np.ndarray, "model task"]
    """Log-odds of the model's success in the task."""


def alignment(responses: Responses, task: np.ndarray, reference: np.ndarray | None = None) -> Alignment:
    """Regress each model's answers on the items' easiness for the other models, within each task.

    Args:
        responses: The responses.
        task: Task of each item.
        reference: Mask (model, task) of models whose answers measure the easiness of items; by default all.
    """
    labels, place = np.unique(task, return_inverse=True)
    counted_rows = responses
    if reference is not None:
        counts = responses.n_trials * reference[responses.model_index, place[responses.item_index]]
        counted_rows = replace(responses, n_trials=counts)
    totals = counted_rows.item_totals()
    both = zip(responses.model_parts(), counted_rows.model_parts(), strict=True)
    parts = [_aligned(part, counts.n_trials, totals, (place, len(labels))) for (_, part), (_, counts) in both]
    slope, variance, ability = (np.concatenate(values) for values in zip(*parts, strict=True))
    return Alignment(responses.models, tuple(map(str, labels)), slope, variance, ability)


def _aligned(
    responses: Responses, counts: RowFloats, totals: tuple[FloatArray, FloatArray], tasks: tuple[np.ndarray, int]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Slopes, their variances and abilities (model, task) of some models.

    `counts` are the trials of each row that measure the easiness of items, `totals` the sums of scores and of trials of
    each item over all models, `tasks` the position of each item's task and the number of tasks.
    """
    (place, n_tasks), item = tasks, responses.item_index
    score, weighted = responses.score, responses.n_trials
    cell = responses.model_index * n_tasks + place[item]
    right, trials = totals[0][item] - counts * score, totals[1][item] - counts
    easy = logit((right + 0.5) / (trials + 1))
    size = len(responses.models) * n_tasks
    sums = [np.bincount(cell, weighted * values, size) for values in (np.ones(len(cell)), easy, score)]
    answers = np.maximum(sums[0], 1)
    centred = easy - (sums[1] / answers)[cell]
    ability = logit((sums[2] + 0.5) / (answers + 1))
    slope, variance = _slopes(cell, centred, (score, weighted), ability)
    known = np.bincount(cell, minlength=size) >= FEWEST_ITEMS
    slope, variance = np.where(known, slope, np.nan), np.where(known, variance, np.nan)
    shape = (len(responses.models), n_tasks)
    return slope.reshape(shape), variance.reshape(shape), ability.reshape(shape)


def _slopes(
    cell: np.ndarray, easy: RowFloats, answers: tuple[RowFloats, RowFloats], ability: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Logistic regressions of all cells at once, by Newton's method; a weak prior keeps slopes finite."""
    size = len(ability)
    score, trials = answers
    level, slope = ability.copy(), np.zeros(size)
    variance = np.ones(size)
    for _ in range(NEWTON_STEPS):
        chance = expit(level[cell] + slope[cell] * easy)
        weight, left = trials * chance * (1 - chance), trials * (score - chance)
        w = np.bincount(cell, weight, size) + PRIOR_WEIGHT
        wx, wxx = np.bincount(cell, weight * easy, size), np.bincount(cell, weight * easy**2, size) + PRIOR_WEIGHT
        r, rx = np.bincount(cell, left, size), np.bincount(cell, left * easy, size) - PRIOR_WEIGHT * slope
        determinant = w * wxx - wx**2
        level = level + np.clip((wxx * r - wx * rx) / determinant, -2, 2)
        slope = slope + np.clip((w * rx - wx * r) / determinant, -2, 2)
        variance = w / determinant
    return slope, variance


def out_of_step(aligned: Alignment, benchmark: np.ndarray) -> pd.DataFrame:
    """Probability that a model's rows of a task, a benchmark or the study are assigned to the wrong items.

    The evidence of a cell is the Bayes factor of a slope of 0 against the slopes of models of about the same ability on
    the task. Prior probabilities of models, benchmarks and tasks out of step are estimated (empirical Bayes).

    Args:
        aligned: Slopes of all models on all tasks.
        benchmark: Benchmark of each task.

    Returns:
        Columns model, task, benchmark, probability, whole_model, whole_benchmark (chances that the whole is out of
        step), slope, sd, expected (slope of models as good), ability; most probable first.
    """
    expected, spread = _expected(aligned)
    evidence = _evidence(aligned, expected, spread)
    _, group = np.unique(benchmark, return_inverse=True)
    chances = nested_chances(evidence, group, _guessing(aligned, evidence, group))
    model, task = np.nonzero(np.isfinite(aligned.slope))
    at = (model, task)
    by_benchmark = chances.row[:, None] + (1 - chances.row[:, None]) * chances.group
    # a model out of step on each of its benchmarks, or on its only one, is so as a whole
    answered = np.isfinite(aligned.slope).astype(float) @ np.eye(group.max() + 1)[group] > 0
    whole = np.maximum(chances.row, np.where(answered, by_benchmark, np.inf).min(axis=1))
    table = pd.DataFrame(
        {
            "model": np.array(aligned.models)[model],
            "task": np.array(aligned.tasks)[task],
            "benchmark": benchmark[task],
            "probability": chances.cell[at],
            "whole_model": whole[model],
            "whole_benchmark": by_benchmark[model, group[task]],
            "slope": aligned.slope[at],
            "sd": np.sqrt(aligned.variance[at]),
            "expected": expected[at],
            "ability": aligned.ability[at],
        }
    )
    order = np.lexsort((-evidence[at], -table["probability"].to_numpy()))
    return table.iloc[order].reset_index(drop=True)


def _expected(aligned: Alignment) -> tuple[FloatArray, FloatArray]:
    """Slope expected at a model's ability, by a regression robust to outliers, and the residual variance."""
    expected, spread = np.full_like(aligned.slope, np.nan), np.full_like(aligned.slope, np.nan)
    for t in range(len(aligned.tasks)):
        known = np.flatnonzero(np.isfinite(aligned.slope[:, t]))
        if len(known) < FEWEST_MODELS:
            continue
        slope, ability = aligned.slope[known, t], aligned.ability[known, t]
        line = _robust_line(ability, slope, aligned.variance[known, t])
        # guessers lie below any line, so what models about as good do beside it is added
        beside, near = _neighbour_sums(ability, slope - line)
        line = line + beside / (near + LINE_WEIGHT)
        expected[known, t] = line
        # the median of squares is not moved by a few strangers; what estimation adds is taken off
        total = np.median((slope - line) ** 2) / stats.chi2.median(1)
        spread[known, t] = max(total - np.median(aligned.variance[known, t]), 0.05**2)
    return expected, spread


def _neighbour_sums(ability: FloatArray, value: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sum of the other models' values, weighted by nearness in ability (a Gaussian), and the sum of these weights.

    Models of the same ability have the same neighbours, so that distinct abilities are compared, some at a time.
    """
    width = max(float(ability.std()) * len(ability) ** -0.2, 0.1)
    level, place = np.unique(ability, return_inverse=True)
    totals = np.stack([np.bincount(place, value), np.bincount(place)], 1)
    step = max(1, PAIRS_AT_ONCE // len(level))
    sums = np.empty(totals.shape)
    for start in range(0, len(level), step):
        apart = (level[start : start + step, None] - level) / width
        sums[start : start + step] = np.exp(-0.5 * apart**2) @ totals
    sums = sums[place]
    return sums[:, 0] - value, sums[:, 1] - 1  # a model is no neighbour of itself


def _robust_line(ability: FloatArray, slope: FloatArray, variance: FloatArray) -> FloatArray:
    """Regression of slopes on abilities with Student errors (iterated weights); flat where abilities hardly differ."""
    design = np.column_stack([np.ones(len(ability)), ability - np.median(ability)])
    fitted = np.full(len(slope), np.median(slope))
    ridge = np.diag([0.0, 0.5])
    for _ in range(20):
        left = slope - fitted
        scale = max(float(np.median(left**2)) / stats.chi2.median(1), float(np.median(variance)), 1e-4)
        weight = (TAIL_FREEDOM + 1) / (TAIL_FREEDOM + left**2 / scale)
        gram = design.T @ (design * weight[:, None]) + ridge
        fitted = design @ np.linalg.solve(gram, design.T @ (weight * slope))
    return fitted


def _evidence(aligned: Alignment, expected: FloatArray, spread: FloatArray) -> FloatArray:
    """Log Bayes factor of out of step against in step; 0 where there are too few answers."""
    total = np.sqrt(aligned.variance + spread)
    in_step = np.nan_to_num(stats.t.logpdf((aligned.slope - expected) / total, TAIL_FREEDOM) - np.log(total))
    shifted_density = np.nan_to_num(stats.norm.logpdf(aligned.slope, 0, np.sqrt(aligned.variance)))
    # where models as good have no slope either, or there are too few answers, there is no evidence
    return np.where(np.nan_to_num(expected) > 0, shifted_density - in_step, 0.0)


def _guessing(aligned: Alignment, evidence: FloatArray, group: np.ndarray) -> FloatArray:
    """Chance (model, group) that a model shows no slope because it guesses: the share of such among models as weak."""
    member = np.eye(group.max() + 1)[group]
    known = np.isfinite(aligned.slope).astype(float)
    answered = known @ member
    ability = np.where(known > 0, aligned.ability, 0) @ member / np.maximum(answered, 1)
    guess = expit(evidence @ member + logit(GUESSER_SHARE))
    share = np.full_like(guess, NO_NEIGHBOUR_SHARE)
    for g in range(member.shape[1]):
        rows = np.flatnonzero(answered[:, g] > 0)
        if len(rows) < FEWEST_MODELS:
            continue
        at = ability[rows, g]
        guessing, near = _neighbour_sums(at, guess[rows, g])
        local = (guessing + NO_NEIGHBOUR_SHARE) / (near + 1)
        # the better half of the models on a benchmark do not guess
        share[rows, g] = np.where(at < np.median(at), local, NO_NEIGHBOUR_SHARE)
    return share


FEWEST_FOR_LAG = 20
LAG_P_VALUE = 0.01
"""Largest p-value, over all lags, at which a lag is reported."""


@dataclass(frozen=True)
class Lag:
    """Shift of a model's rows that correlates best with the items' easiness."""

    places: int
    """Number of rows by which answers are shifted against their items, cyclically."""
    agreement: float
    """Correlation at this lag."""
    p: float
    """Chance of such a correlation at any lag without a shift."""


def natural_order(ids: list[str]) -> np.ndarray:
    """Positions that sort ids with numbers as numbers, ``item/2`` before ``item/10``."""
    keys = [[(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", i)] for i in ids]
    return np.array(sorted(range(len(ids)), key=keys.__getitem__), dtype=np.int64)


def best_lag(score: FloatArray, easy: FloatArray) -> Lag | None:
    """Find the cyclic shift that aligns a model's answers with the items' easiness, if one clearly does.

    Args:
        score: The model's answers in the order of its rows.
        easy: Easiness of the items in the same order, by the other models.
    """
    if len(score) < FEWEST_FOR_LAG or score.std() == 0 or easy.std() == 0:
        return None
    one, other = (score - score.mean()) / score.std(), (easy - easy.mean()) / easy.std()
    agreement = np.fft.irfft(np.fft.rfft(one) * np.conj(np.fft.rfft(other)), len(one)) / len(one)
    lag = int(agreement.argmax())
    p = float(min(stats.norm.sf(agreement[lag] * np.sqrt(len(one))) * len(one), 1.0))
    if lag == 0 or p > LAG_P_VALUE:
        return None
    return Lag(lag if lag <= len(one) // 2 else lag - len(one), float(agreement[lag]), p)


CLEAR = 0.5


@dataclass(frozen=True)
class StepFindings:
    """Models out of step, and their rows."""

    suspects: Suspects
    """One row for each model and the widest part of the study on which it is out of step."""
    cells: pd.DataFrame
    """Model and task of each part that is more likely out of step than not."""


def step_suspects(responses: Responses, places: Places, rate: float) -> StepFindings:
    """Find models out of step, with the shift of their rows where there is one.

    Args:
        responses: The responses.
        places: Benchmark and task of the items.
        rate: Rate of false discoveries of the cells that the later checks leave out.
    """
    aligned = alignment(responses, places.task)
    benchmark = np.array([places.benchmark[np.flatnonzero(places.task == task)[0]] for task in aligned.tasks])
    table = out_of_step(aligned, benchmark)
    cells = {str(name): column.to_numpy() for name, column in table.items()}
    rows = [_row(scope, part, cells, responses, places) for scope, part in _parts(table, cells)]
    suspected = pd.DataFrame(rows, columns=COLUMNS[1:])
    clear = table[table["probability"] >= max(CLEAR, 1 - rate)]
    return StepFindings(Suspects("out of step", suspected), clear[["model", "task"]])


def rows_out_of_step(findings: StepFindings, responses: Responses, places: Places) -> ItemMask:
    """Mask of the rows that are assigned to the wrong items.

    Args:
        findings: Models and tasks whose answers are assigned to the wrong items.
        responses: All answers.
        places: Task of each item.
    """
    if not len(findings.cells):
        return np.zeros(len(responses.score), bool)
    tasks, task = np.unique(places.task, return_inverse=True)
    bad = np.zeros((len(responses.models), len(tasks)), bool)
    model = pd.Index(responses.models).get_indexer(pd.Index(findings.cells["model"]))
    bad[model, np.searchsorted(tasks, findings.cells["task"].to_numpy(dtype=str))] = True
    return bad[responses.model_index, task[responses.item_index]]


def _parts(table: pd.DataFrame, cells: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray]]:
    """Positions of each model's cells, cut into the widest parts that are out of step as a whole."""
    parts: list[tuple[str, np.ndarray]] = []
    benchmark = pd.factorize(table["benchmark"])[0]
    for own in _by_label(pd.factorize(table["model"])[0]):
        if cells["whole_model"][own[0]] >= CLEAR:
            parts.append(("study", own))
            continue
        for inner in _by_label(pd.factorize(benchmark[own])[0]):
            at = own[inner]
            if cells["whole_benchmark"][at[0]] >= CLEAR:
                parts.append(("benchmark", at))
            else:
                parts += [("task", one) for one in at[:, None]]
    return parts


def _by_label(label: np.ndarray) -> list[np.ndarray]:
    """Positions of each label, labels in the order in which they first occur (as `factorize` numbers them)."""
    order = np.argsort(label, kind="stable")
    return np.split(order, np.cumsum(np.bincount(label))[:-1]) if len(label) else []


def _row(
    scope: str, part: np.ndarray, cells: dict[str, np.ndarray], responses: Responses, places: Places
) -> list[object]:
    first, benchmark = part[0], cells["benchmark"][part[0]]
    names = {"study": ("", ""), "benchmark": (benchmark, ""), "task": (benchmark, cells["task"][first])}
    chances = {"study": "whole_model", "benchmark": "whole_benchmark", "task": "probability"}
    model, probability = str(cells["model"][first]), float(cells[chances[scope]][first])
    weight = 1 / cells["sd"][part] ** 2
    slope, expected = (float((cells[name][part] * weight).sum() / weight.sum()) for name in ("slope", "expected"))
    words = (
        f"agreement with the others {slope:.2f} where models as good have {expected:.2f} ({counted(len(part), 'task')})"
    )
    if probability >= CLEAR:
        words += _lag_words(model, cells["task"][part].astype(str), responses, places)
    return [model, "", *names[scope], probability, words]


def _lag_words(name: str, tasks: np.ndarray, responses: Responses, places: Places) -> str:
    """The lag within tasks, benchmarks or the study under which most of a model's tasks come into step, if any."""
    model = responses.models.index(name)
    inside = np.isin(places.task, tasks)
    for what, label in (("task", places.task), ("benchmark", places.benchmark), ("study", None)):
        lags = []
        for part in np.unique(places.task[inside]) if what == "task" else [None]:
            items = np.flatnonzero(places.task == part) if part is not None else _of(label, inside)
            lag = _part_lag(model, items, responses)
            lags += [lag] if lag else []
        if lags:
            places_back = pd.Series(lags).mode().iloc[0]
            return f"; shifted by {places_back:+d} places within the {what} it agrees"
    return "; no shift brings it back"


def _of(label: np.ndarray | None, inside: np.ndarray) -> np.ndarray:
    return np.arange(len(inside)) if label is None else np.flatnonzero(np.isin(label, label[inside]))


def _part_lag(model: int, items: np.ndarray, responses: Responses) -> int | None:
    wanted = np.zeros(len(responses.items), bool)
    wanted[items] = True
    rows = np.flatnonzero((responses.model_index == model) & wanted[responses.item_index])
    rows = rows[natural_order([responses.items[i] for i in responses.item_index[rows]])]
    others = responses.model_index != model
    easy = np.nan_to_num(responses.rows(others).item_means())[responses.item_index[rows]]
    lag = best_lag(responses.score[rows], easy)
    return None if lag is None else lag.places
