"""Decomposition of the difference of two scores into items, ability, judge and noise.

Items and ability are the two parts of a difference of weighted means (Kitagawa, 1955), computed on the chances of
success by a response model. The judge's part is its severity: the difference to other judges on common answers.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np

from capscope.axes import Float
from capscope.data import Responses
from capscope.fit import IRTPosterior

DRAWS = 400
"""Number of joint draws of both models' chances for the standard errors."""

FEWEST_SHARED = 10
"""Fewest common answers from which the difference of two judges is estimated."""

WHOLE = 1e-6
"""Largest distance of a number of right answers from a whole number, by rounding."""

GROUPS = 7
"""Groups of other models that a jackknife leaves out in turn, where scores are fractions."""


@dataclass(frozen=True)
class ScoreChange:
    """The difference of two models' mean scores, each over its own answers, in parts; shares of the score."""

    observed: float
    """Mean score of A minus that of B, each over its own answers."""
    items: float
    """Part from different items."""
    ability: float
    """Part from different chances of success on the same items."""
    judge: float
    """Part from different judges; 0 where judges cannot be compared."""
    noise: float
    """Remainder: sampling error, and misfit of the response model."""
    noise_sd: float
    """Standard deviation of the remainder from sampling error alone."""
    items_sd: float = 0.0
    """Standard error of the part of items; it takes difficulties for those that the answers show (`docs/decide.md`)."""
    ability_sd: float = 0.0
    """Standard error of the part of ability."""
    judge_sd: float = 0.0
    """Standard error of the part of judges."""

    def as_dict(self) -> dict[str, float]:
        """Return plain values."""
        return asdict(self)

    def line(self, first: str, second: str) -> str:
        """Say it in one sentence; parts with bounds of two standard errors, and noise within that is named as such.

        Args:
            first: Name of the first model.
            second: Name of the second.
        """
        noise = "" if abs(self.noise) > 2 * self.noise_sd else ", within what chance gives"
        return (
            f"{first} scored {100 * self.observed:+.1f} points against {second} over all that each answered: ability"
            f" {_part(self.ability, self.ability_sd)}, other items {_part(self.items, self.items_sd)}, judges"
            f" {_part(self.judge, self.judge_sd)}, the rest {100 * self.noise:+.1f}{noise}"
        )


def _part(value: float, error: float) -> str:
    return f"{100 * value:+.1f}" + (f" (+-{200 * error:.1f})" if error > 0 else "")


def score_change(
    responses: Responses,
    pair: tuple[int, int],
    posterior: IRTPosterior,
    refit: Callable[[Responses], IRTPosterior | None],
) -> ScoreChange:
    """Split the difference of two models' mean scores.

    Args:
        responses: All answers.
        pair: Positions of A and B on the model axis.
        posterior: A response model of these answers, over the same axes.
        refit: Fits the response model to some of the answers, over the same axes; None where it cannot be fitted.
    """
    n_items = len(responses.items)
    every = np.arange(n_items)
    severity, doubt = _severity(responses)
    judge_codes = responses.facets["judge"].codes if "judge" in responses.facets else None
    means: list[float] = []
    weights: list[Float[np.ndarray, " item"]] = []
    chances: list[Float[np.ndarray, " item"]] = []
    scored, run_variance = np.zeros((2, len(severity))), 0.0
    for place, model in enumerate(pair):
        own = np.flatnonzero(responses.model_index == model)
        trials = responses.n_trials[own]
        means.append(float(np.average(responses.score[own], weights=trials)))
        weight = np.bincount(responses.item_index[own], trials, n_items)
        weights.append(weight / weight.sum())
        chances.append(posterior.probability(np.full(n_items, model), every))
        error = responses.score[own] - chances[place][responses.item_index[own]]
        run_variance += float((trials**2 @ error**2) / trials.sum() ** 2)
        if judge_codes is not None:
            scored[place] = np.bincount(judge_codes[own], trials, len(severity)) / trials.sum()
    observed = means[0] - means[1]
    items = float((weights[0] - weights[1]) @ (chances[0] + chances[1]) / 2)
    shares = scored[0] - scored[1]
    judge = float(shares @ severity)
    # the chances include the judges' severity, which is subtracted here
    ability = float((weights[0] + weights[1]) @ (chances[0] - chances[1]) / 2) - judge
    rest = observed - items - ability - judge
    noise_sd = _noise_sd(responses.dense().n_trials[list(pair)], weights, chances)
    shift = weights[0] - weights[1]
    items_var = _items_error(posterior, pair, shift) ** 2
    if shift.any() and _has_fractions(responses):
        items_var += _jackknife_variance(responses, pair, shift, refit)
    judge_var = float(shares @ doubt @ shares)
    errors = np.sqrt([items_var, run_variance + items_var + judge_var, judge_var])
    return ScoreChange(observed, items, ability, judge, rest, noise_sd, *map(float, errors))


def _noise_sd(
    runs: Float[np.ndarray, "two item"],
    weights: list[Float[np.ndarray, " item"]],
    chances: list[Float[np.ndarray, " item"]],
) -> float:
    """Standard deviation that the difference of two mean scores has from drawing answers again.

    Args:
        runs: Trials of both models on each item (2, item).
        weights: Weight of each item in a model's mean score.
        chances: A model's chance on each item.
    """
    variance = sum(
        float((weight**2 * chance * (1 - chance) / np.maximum(trials, 1)).sum())
        for trials, weight, chance in zip(runs, weights, chances, strict=True)
    )
    return float(np.sqrt(variance))


def _items_error(posterior: IRTPosterior, pair: tuple[int, int], shift: Float[np.ndarray, " item"]) -> float:
    """Standard error of the items' part over joint draws of both models' chances."""
    if not shift.any():
        return 0.0
    rows = list(pair)
    both = replace(
        posterior,
        models=tuple(posterior.models[row] for row in rows),
        ability_mean=posterior.ability_mean[rows],
        ability_cov=posterior.ability_cov[rows],
    )
    first, second = both.draw_chances(np.arange(len(shift)), np.random.default_rng(0), DRAWS)
    return float((shift @ (first + second) / 2).std())


def _has_fractions(responses: Responses) -> bool:
    """Whether some score is no share of right answers among its trials."""
    right = responses.score * responses.n_trials
    return bool((np.abs(right - np.round(right)) > WHOLE).any())


def _jackknife_variance(
    responses: Responses,
    pair: tuple[int, int],
    shift: Float[np.ndarray, " item"],
    refit: Callable[[Responses], IRTPosterior | None],
) -> float:
    """Variance of the part of items over which other models answered: a delete-a-group jackknife (Kott, 2001).

    The posterior takes a fraction for so many right answers of a given number. Fractions vary otherwise (between .2
    and .8 their variance falls to 0 at .2), and verdicts of several judges on one answer are not independent, so that
    the difficulties are less certain than it says. Leaving models out with all their answers shows both.
    """
    others = np.setdiff1d(np.arange(len(responses.models)), pair)
    groups = [others[start::GROUPS] for start in range(min(GROUPS, len(others)))]
    fits = [refit(responses.rows(~np.isin(responses.model_index, group))) for group in groups]
    parts = np.array([_items_part(found, pair, shift) for found in fits if found is not None])
    return float((len(parts) - 1) / len(parts) * ((parts - parts.mean()) ** 2).sum()) if len(parts) > 1 else 0.0


def _items_part(posterior: IRTPosterior, pair: tuple[int, int], shift: Float[np.ndarray, " item"]) -> float:
    every = np.arange(len(shift))
    return float(shift @ sum(posterior.probability(np.full(len(shift), model), every) for model in pair) / 2)


def judge_severity(responses: Responses) -> Float[np.ndarray, " judge"]:
    """Difference of each judge's scores to the mean judge's, on answers that several judges scored.

    Least squares over pairs of judges and the answers that both scored; judges without enough of these have 0.

    Args:
        responses: All answers; without the facet `judge` the result is empty.

    Returns:
        Differences in shares of the score, one for each judge.
    """
    return _severity(responses)[0]


def _severity(responses: Responses) -> tuple[Float[np.ndarray, " judge"], Float[np.ndarray, "judge judge"]]:
    """Severities, and the covariance of their errors."""
    if "judge" not in responses.facets:
        return np.zeros(0), np.zeros((0, 0))
    facet = responses.facets["judge"]
    judges = len(facet.names)
    cell = responses.model_index * len(responses.items) + responses.item_index
    _, place = np.unique(cell, return_inverse=True)
    table = np.full((int(place.max()) + 1, judges), np.nan)
    table[place, facet.codes] = responses.score
    rows: list[Float[np.ndarray, " judge"]] = [np.ones(judges)]
    gaps, weight, errors = [0.0], [1.0], [0.0]
    for one in range(judges):
        for other in range(one + 1, judges):
            both = ~np.isnan(table[:, one]) & ~np.isnan(table[:, other])
            if both.sum() >= FEWEST_SHARED:
                row = np.zeros(judges)
                row[one], row[other] = 1.0, -1.0
                rows.append(row)
                gap = table[both, one] - table[both, other]
                gaps.append(float(gap.mean()))
                errors.append(float(gap.var(ddof=1) / len(gap)))
                weight.append(float(np.sqrt(both.sum())))
    scale = np.array(weight)
    solved = np.linalg.pinv(np.stack(rows) * scale[:, None]) * scale
    return solved @ np.array(gaps), (solved * np.array(errors)) @ solved.T
