"""Duplicated items: the same text, nearly the same text, or the same answers by every model."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from capscope.axes import FloatArray
from capscope.data import Responses, Study
from capscope.fit import IRTPosterior
from capscope.profiles.auditing.findings import Suspects, suspects
from capscope.profiles.auditing.texts import near_duplicate_chance, nearest_texts, same_texts
from capscope.profiles.item_groups import places_of

Fits = Mapping[tuple[str, ...], tuple[IRTPosterior, float]]
FEWEST_TEXTS = 10
COPY_SHARE, COPY_SHARE_WITH_TEXTS = 0.01, 0.0005
"""Prior share of items with a duplicate among the answers; smaller where texts are known and differ."""


def copy_suspects(study: Study, answers: "AnswerMarks | None", seed: int) -> list[Suspects]:
    """Find copies by text and, where models answered, by answers.

    Args:
        study: The study.
        answers: Marks of the models on the benchmarks fitted.
        seed: Seed of the search for neighbours.
    """
    answers = answers if answers is not None and answers.fits else None
    kinds: list[Suspects] = []
    pairs: set[tuple[str, str]] = set()
    described: set[str] = set()
    if study.items is not None and study.items["text"].notna().sum() >= 2:
        held = study.items[study.items["text"].notna()]
        ids, texts = held["item_id"].astype(str).to_numpy(), held["text"].astype(str).tolist()
        targets = held["target"].astype(str).to_numpy() if "target" in held else np.full(len(held), "")
        same, first = _same(ids, texts, targets)
        kinds.append(_with_places(study, "duplicate", same))
        near = _near(study, ids[first], [texts[i] for i in first], answers, seed)
        kinds.append(_with_places(study, "near duplicate", near))
        pairs = {(row[0], row[1]) for row in same + near}
        described = set(map(str, ids))
    if answers is not None:
        kinds.append(_with_places(study, "same answers", answers.likely_copies(pairs, described)))
    return kinds


Row = tuple[str, str, float, str]
"""Two ids, the probability that they are one item, and the evidence."""


def _same(ids: np.ndarray, texts: list[str], targets: np.ndarray) -> tuple[list[Row], np.ndarray]:
    """Return items that repeat the text of an earlier one, and the positions of all other items."""
    rows: list[Row] = []
    first = np.ones(len(ids), bool)
    for group in same_texts(texts):
        for later in group[1:]:
            first[later] = False
            differ = targets[later] != targets[group[0]]
            words = "same text, but another target: one key must be wrong" if differ else "same text"
            rows.append((str(ids[later]), str(ids[group[0]]), 1.0, words))
    return rows, np.flatnonzero(first)


def _near(study: Study, ids: np.ndarray, texts: list[str], answers: "AnswerMarks | None", seed: int) -> list[Row]:
    if len(texts) < FEWEST_TEXTS:
        return []
    near = nearest_texts(texts, seed)
    chance = near_duplicate_chance(near, places_of(study, tuple(map(str, ids))).task)
    other = near.index[:, 0]
    bounded = np.clip(chance, 1e-12, 1 - 1e-12)
    if answers is not None:
        bounded = expit(logit(bounded) + answers.evidence(ids, ids[other]))
    distance = near.distance
    rows: dict[tuple[str, str], Row] = {}
    for i, j in enumerate(other):
        key = (str(ids[min(i, j)]), str(ids[max(i, j)]))
        words = f"distance of words {distance[i, 0]:.2f}, of the next text {distance[i, 1]:.2f}"
        if key not in rows or rows[key][2] < bounded[i]:
            rows[key] = (key[1], key[0], float(bounded[i]), words)
    return list(rows.values())


def _with_places(study: Study, kind: str, rows: list[Row]) -> Suspects:
    """Collect findings of one kind; of two items, the one that comes later in the study counts as the copy."""
    order = {} if study.items is None else {str(one): place for place, one in enumerate(study.items["item_id"])}
    rows = [(b, a, p, words) if order.get(a, 0) < order.get(b, 0) else (a, b, p, words) for a, b, p, words in rows]
    ids = np.array([row[0] for row in rows], dtype=str)
    place = places_of(study, tuple(map(str, ids))).table().assign(other=[row[1] for row in rows])
    return suspects(kind, ids, np.array([row[2] for row in rows], dtype=float), [row[3] for row in rows], place)


class AnswerMarks:
    """Marks of the models on the items of fitted benchmarks, and the marks expected by the fits."""

    def __init__(self, responses: Responses, fits: Fits) -> None:
        """Lay out the marks.

        Args:
            responses: All answers.
            fits: Posterior and independent share of the models, by the items of each benchmark fitted.
        """
        self.fits = fits
        self.position_of = {item: (items, place) for items in fits for place, item in enumerate(items)}
        self.tables = {items: _tables(responses, items, posterior) for items, (posterior, _) in fits.items()}

    def evidence(self, ids: np.ndarray, others: np.ndarray) -> FloatArray:
        """Log Bayes factor of each pair being one item; 0 across benchmarks.

        Args:
            ids: First item of each pair.
            others: Second item of each pair.

        Returns:
            Log Bayes factors, shape (pair,).
        """
        result = np.zeros(len(ids))
        located = [
            (self.position_of.get(str(one)), self.position_of.get(str(two)))
            for one, two in zip(ids, others, strict=True)
        ]
        for items, (right, known, chance) in self.tables.items():
            at = [n for n, (a, b) in enumerate(located) if a and b and a[0] is items and b[0] is items]
            if at:
                pairs = np.array([[located[n][0][1], located[n][1][1]] for n in at])  # pyright: ignore[reportOptionalSubscript]
                result[at] = copy_evidence(right, known, chance, pairs, self.fits[items][1])
        return result

    def likely_copies(self, but: set[tuple[str, str]], described: set[str]) -> list[Row]:
        """Find pairs of items that models answer as if they were one, with the probability that they are.

        Args:
            but: Pairs that are left out.
            described: Items whose texts are known.
        """
        rows: list[Row] = []
        for items, (right, known, chance) in self.tables.items():
            one = np.arange(len(items))
            other = most_likely_copies(right, known, chance)
            pairs = np.unique(np.sort(np.column_stack([one, other]), axis=1), axis=0)
            names = np.array(items)
            evidence = self.evidence(names[pairs[:, 1]], names[pairs[:, 0]])
            for (a, b), e in zip(pairs[evidence > 0], evidence[evidence > 0], strict=True):
                pair = (str(names[b]), str(names[a]))
                share = COPY_SHARE_WITH_TEXTS if described.issuperset(pair) else COPY_SHARE
                both = known[a] & known[b]
                if pair not in but and pair[::-1] not in but:
                    words = (
                        f"{int((right[a] == right[b])[both].sum())} of {int(both.sum())} answers the same,"
                        f" {np.exp(e):.3g} times as likely of one item as of two"
                    )
                    # any of the other items might have been the copy
                    rows.append((*pair, float(expit(e + logit(share) - np.log(len(items)))), words))
        return rows


def _tables(
    responses: Responses, items: tuple[str, ...], posterior: IRTPosterior
) -> tuple[np.ndarray, np.ndarray, FloatArray]:
    """Return marks, a mask of the known ones, and expected marks, as tables (item, model of the fit)."""
    model_at = pd.Index(posterior.models).get_indexer(pd.Index(responses.models))
    item_at = pd.Index(items).get_indexer(pd.Index(responses.items))
    shape = (len(items), len(posterior.models))
    right, known, chance = np.zeros(shape, bool), np.zeros(shape, bool), np.full(shape, 0.5)
    for first, part in responses.model_parts():
        table = part.dense().score
        at = np.nonzero(np.isfinite(table))
        score, model, item = table[at], model_at[first + at[0]], item_at[at[1]]
        inside = (item >= 0) & (model >= 0)
        item, model = item[inside], model[inside]
        right[item, model] = score[inside] >= 0.5
        known[item, model] = True
        chance[item, model] = posterior.probability(model, item)
    return right, known, chance


SLIP = 0.05
"""Probability that a model answers the same item differently the second time."""
ROWS_AT_ONCE, PAIRS_AT_ONCE = 1024, 256
"""Items, and pairs of items, whose marks by all models are compared at a time."""


def copy_evidence(
    right: np.ndarray, known: np.ndarray, chance: FloatArray, pairs: np.ndarray, discount: float
) -> FloatArray:
    """Log Bayes factor of each pair being one item asked twice, from how the models answered both.

    A model answers a copy like the original, except for slips; a copy may also have been answered independently, so
    that different answers are weak evidence against it.

    Args:
        right: Marks (item, model), true or false.
        known: Where there is an answer.
        chance: Expected chance of a right mark.
        pairs: Positions (pair, 2).
        discount: Effective share of independent models.
    """
    sums = np.zeros(len(pairs))
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        one, other = pairs[start : start + PAIRS_AT_ONCE].T
        pass_again, fail_again = _log_again(chance[other])
        again = np.where(right[other], pass_again, fail_again)
        log_copy = np.where(right[one] == right[other], again, np.log(SLIP))
        sums[start : start + PAIRS_AT_ONCE] = ((known[one] & known[other]) * log_copy).sum(axis=1)
    return np.logaddexp(discount * sums, 0.0) - np.log(2)


def most_likely_copies(right: np.ndarray, known: np.ndarray, chance: FloatArray) -> np.ndarray:
    """Find the most likely duplicate of each item, by answers alone.

    Args:
        right: Marks (item, model), true or false.
        known: Where there is an answer.
        chance: Expected chance of a right mark.
    """
    slip = np.float32(np.log(SLIP))
    if_passed, if_failed = np.empty(right.shape, np.float32), np.empty(right.shape, np.float32)
    parts = [slice(start, start + ROWS_AT_ONCE) for start in range(0, len(right), ROWS_AT_ONCE)]
    for rows in parts:
        passed, failed = _passed_and_failed(right[rows], known[rows])
        pass_again, fail_again = (part.astype(np.float32) for part in _log_again(chance[rows]))
        if_passed[rows], if_failed[rows] = passed * pass_again + failed * slip, failed * fail_again + passed * slip
    nearest: list[np.ndarray] = []
    for rows in parts:
        start, (passed, failed) = rows.start, _passed_and_failed(right[rows], known[rows])
        evidence = passed @ if_passed.T + failed @ if_failed.T
        evidence[np.arange(len(evidence)), start + np.arange(len(evidence))] = -np.inf
        nearest.append(evidence.argmax(axis=1))
    return np.concatenate(nearest)


def _passed_and_failed(right: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (known & right).astype(np.float32), (known & ~right).astype(np.float32)


def _log_again(chance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log ratios of repeating a pass, and a failure, on the same item to doing so on another item like it."""
    p = np.clip(chance, 1e-3, 1 - 1e-3)
    return np.log(SLIP + (1 - SLIP) / p), np.log(SLIP + (1 - SLIP) / (1 - p))
