"""Why two scores differ: other items, another ability, another judge, and noise; the parts add up to the difference.

The parts of items and ability are the midpoint split of a difference of weighted means (Kitagawa, 1955), taken on the
chances of success that a response model gives; a judge's part is by how much its scores lie above the others' on
answers that both scored.
"""

from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float

from capscope.data import Responses
from capscope.fit import IRTPosterior

FEWEST_SHARED = 10
"""Answers scored by two judges under which their difference is not estimated."""


@dataclass(frozen=True)
class ScoreChange:
    """The difference of two models' mean scores, each over its own answers, in parts; shares of the score."""

    observed: float
    """Mean score of A less that of B, over what each answered."""
    items: float
    """Because they answered other items."""
    ability: float
    """Because their chances of success differ."""
    judge: float
    """Because other judges scored them; 0 where judges cannot be compared."""
    noise: float
    """What is left: chance, and what the response model does not describe."""
    noise_sd: float
    """Standard deviation that chance alone gives it."""

    def as_dict(self) -> dict[str, float]:
        """Return plain values."""
        return asdict(self)

    def line(self, first: str, second: str) -> str:
        """Say it in one sentence; a part within two standard deviations of noise is named as such.

        Args:
            first: Name of the first model.
            second: Name of the second.
        """
        noise = "" if abs(self.noise) > 2 * self.noise_sd else ", within what chance gives"
        return (
            f"{first} scored {100 * self.observed:+.1f} points against {second} over all that each answered: ability"
            f" {100 * self.ability:+.1f}, other items {100 * self.items:+.1f}, judges {100 * self.judge:+.1f}, the rest"
            f" {100 * self.noise:+.1f}{noise}"
        )


def score_change(responses: Responses, pair: tuple[int, int], posterior: IRTPosterior) -> ScoreChange:
    """Split the difference of two models' mean scores.

    Args:
        responses: All answers.
        pair: Positions of A and B on the model axis.
        posterior: A response model of these answers, over the same axes.
    """
    n_items = len(responses.items)
    every = np.arange(n_items)
    severity = judge_severity(responses)
    judge_codes = responses.facets["judge"].codes if "judge" in responses.facets else None
    means: list[float] = []
    weights: list[Float[np.ndarray, " item"]] = []
    chances: list[Float[np.ndarray, " item"]] = []
    leniency: list[float] = []
    for model in pair:
        own = np.flatnonzero(responses.model_index == model)
        trials = responses.n_trials[own]
        means.append(float(np.average(responses.score[own], weights=trials)))
        weight = np.bincount(responses.item_index[own], trials, n_items)
        weights.append(weight / weight.sum())
        chances.append(posterior.probability(np.full(n_items, model), every))
        leniency.append(0.0 if judge_codes is None else float(np.average(severity[judge_codes[own]], weights=trials)))
    observed = means[0] - means[1]
    items = float((weights[0] - weights[1]) @ (chances[0] + chances[1]) / 2)
    ability = float((weights[0] + weights[1]) @ (chances[0] - chances[1]) / 2)
    judge = leniency[0] - leniency[1]
    runs = responses.dense().n_trials
    variance = sum(
        float((weight**2 * chance * (1 - chance) / np.maximum(runs[model], 1)).sum())
        for model, weight, chance in zip(pair, weights, chances, strict=True)
    )
    return ScoreChange(observed, items, ability, judge, observed - items - ability - judge, float(np.sqrt(variance)))


def judge_severity(responses: Responses) -> Float[np.ndarray, " judge"]:
    """By how much each judge's scores lie above the mean judge's, on answers that several scored.

    Least squares over pairs of judges and the answers that both scored; judges without enough of these have 0.

    Args:
        responses: All answers; without the facet `judge` the result is empty.

    Returns:
        Differences in shares of the score, one for each judge.
    """
    if "judge" not in responses.facets:
        return np.zeros(0)
    facet = responses.facets["judge"]
    judges = len(facet.names)
    cell = responses.model_index * len(responses.items) + responses.item_index
    _, place = np.unique(cell, return_inverse=True)
    table = np.full((int(place.max()) + 1, judges), np.nan)
    table[place, facet.codes] = responses.score
    rows: list[Float[np.ndarray, " judge"]] = [np.ones(judges)]
    gaps, weight = [0.0], [1.0]
    for one in range(judges):
        for other in range(one + 1, judges):
            both = ~np.isnan(table[:, one]) & ~np.isnan(table[:, other])
            if both.sum() >= FEWEST_SHARED:
                row = np.zeros(judges)
                row[one], row[other] = 1.0, -1.0
                rows.append(row)
                gaps.append(float((table[both, one] - table[both, other]).mean()))
                weight.append(float(np.sqrt(both.sum())))
    scale = np.array(weight)
    return np.linalg.lstsq(np.stack(rows) * scale[:, None], np.array(gaps) * scale, rcond=None)[0]
