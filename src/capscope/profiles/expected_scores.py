"""Expected scores of the models of a fit on the items of a study, and names for its further dimensions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from capscope.axes import FloatArray
from capscope.data import Demands, Responses, Study
from capscope.fit import Fit, IRTPosterior, Posterior, load_fit
from capscope.intervals import normal_quantile, quantile_bounds
from capscope.profiles.ability import general_direction
from capscope.profiles.item_groups import opened, places_of

CLEAR_Z, CLEAR_EFFECT = 4.0, 0.3
"""A task or demand names a dimension where its mean loading, or its correlation with the loadings, is at least so many
standard errors from 0 and at least so large (in standard deviations of the loadings, or as a correlation)."""
FEWEST_ITEMS = 5
VARIMAX_STEPS = 100


def expected_scores(
    fit: Fit[Any] | Posterior | str | Path,
    study: Study | str | Path,
    *,
    level: float = 0.9,
    draws: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Expected mean score of each model on a study's items: all of them, and each benchmark.

    The intervals are of the posterior: they hold for the expectation on these very items, over the uncertainty of
    abilities and items.

    Args:
        fit: A fit of any kind, its posterior, or the folder it is stored in.
        study: The items (with demand levels where the fit needs them), or their folder.
        level: Nominal coverage of the bounds.
        draws: Number of posterior draws, where the fit holds none.
        seed: Seed of the draws.

    Returns:
        Columns scope (`all`, `benchmark`), name, model, items, expected, lower, upper, answers, observed (mean score of
        the model's answers; NaN without any), best expected score first within each scope.

    Raises:
        InputError: The study lacks demand levels that the fit needs.
    """
    study = opened(study)
    if isinstance(fit, str | Path):
        fit = load_fit(Path(fit))
    posterior = fit.posterior if isinstance(fit, Fit) else fit
    ids = _item_ids(study)
    benchmark = places_of(study, ids).benchmark
    scopes = [("all", "all items", np.ones(len(ids), bool))]
    scopes += [("benchmark", str(name), benchmark == name) for name in np.unique(benchmark)]
    score, trials = _observed(study, posterior.models, ids)
    rows: list[dict[str, object]] = []
    for number, chance in enumerate(posterior.chances(study, np.random.default_rng(seed), draws=draws)):
        for scope, name, mask in scopes:
            means = _draws_of_mean(chance[mask], trials[number, mask])
            lower, upper = quantile_bounds(means, level)
            row: dict[str, object] = {"scope": scope, "name": name, "model": posterior.models[number]}
            row |= {"items": int(mask.sum()), "expected": float(means.mean())}
            answers = score[number, mask & (trials[number] > 0)]
            row |= {"lower": float(lower), "upper": float(upper), "answers": len(answers)}
            row["observed"] = float(answers.mean()) if len(answers) else float("nan")
            rows.append(row)
    table = pd.DataFrame(rows)
    keys = (-table["expected"].to_numpy(dtype=float), table["name"].astype(str), table["scope"].astype(str))
    return table.iloc[np.lexsort(keys)].reset_index(drop=True)


def _draws_of_mean(chance: FloatArray, trials: FloatArray) -> FloatArray:
    """Draws of the mean chance, spread at least as much as the answers to these items vary by themselves.

    The posterior takes abilities and items for independent, which understates the spread where few models answered.

    Args:
        chance: Chances (item, draw).
        trials: Number of trials of the model's answer to each item; 0 for none.
    """
    means, expected = chance.mean(axis=0), chance.mean(axis=1)
    answered = trials > 0
    variance = (expected * (1 - expected))[answered] / trials[answered]
    least = float(np.sqrt(variance.sum())) / len(chance)
    stretch = max(1.0, least / max(float(means.std()), 1e-12))
    return np.clip(means.mean() + stretch * (means - means.mean()), 0.0, 1.0)


def _item_ids(study: Study) -> tuple[str, ...]:
    """Sorted ids of a study's items, from whichever table names them."""
    table = next(iter(study.tables().values()))
    return tuple(sorted(table["item_id"].astype(str).unique()))


def _observed(study: Study, models: tuple[str, ...], ids: tuple[str, ...]) -> tuple[FloatArray, FloatArray]:
    """Mean score over trials and number of trials by (model, item); 0 trials where there is no answer."""
    score, trials = np.zeros((len(models), len(ids))), np.zeros((len(models), len(ids)))
    if study.responses is None:
        return score, trials
    responses = Responses.of(study)
    row = pd.Index(models).get_indexer(pd.Index(responses.models))
    column = pd.Index(ids).get_indexer(pd.Index(responses.items))
    table = responses.dense()
    kept, place = np.ix_(row >= 0, column >= 0), np.ix_(row[row >= 0], column[column >= 0])
    trials[place] = table.n_trials[kept]
    score[place] = np.nan_to_num(table.score[kept])
    return score, trials


@dataclass(frozen=True)
class NamedDimension:
    """One direction of the abilities of a multidimensional fit."""

    name: str
    """`general`, what its loadings go with (`task t3`, `demand QLl`), or `unnamed 2`."""
    evidence: str
    """Why it has this name; blank without one."""
    direction: Float[np.ndarray, " dim"]
    """Unit vector in the fit's abilities."""


def named_dimensions(posterior: IRTPosterior, study: Study | str | Path) -> tuple[NamedDimension, ...]:
    """Turn a fit's abilities into a general one and others, named by the tasks and demands that they load on.

    The first direction is the items' mean slope; the others are orthogonal to it, rotated so that each loads on few
    items (varimax, Kaiser, 1958). Tasks and demand levels name a direction where its loadings differ clearly by them.

    Args:
        posterior: An item response fit.
        study: The study it was made from, for tasks and demands; or its folder.
    """
    study = opened(study)
    slopes = posterior.item_mean[:, :-1]
    general = general_direction(slopes)
    named = [NamedDimension("general", "", general)]
    if posterior.dims == 1:
        return tuple(named)
    basis = np.linalg.svd(np.eye(posterior.dims) - np.outer(general, general))[0][:, : posterior.dims - 1]
    turned = basis @ varimax(slopes @ basis)
    for number, direction in enumerate(turned.T):
        sign, name, evidence = _named_by(slopes @ direction, posterior.items, study)
        named.append(NamedDimension(name or f"unnamed {number + 1}", evidence, sign * direction))
    return tuple(named)


def dimension_abilities(
    posterior: IRTPosterior, dimensions: tuple[NamedDimension, ...], level: float = 0.9
) -> pd.DataFrame:
    """Abilities of the models along named directions, with intervals.

    Args:
        posterior: An item response fit.
        dimensions: Directions from `named_dimensions`.
        level: Nominal coverage of the bounds.

    Returns:
        Columns model, dim (name of the direction), ability, sd, lower, upper; general ability first.
    """
    parts: list[pd.DataFrame] = []
    for one in dimensions:
        mean = posterior.ability_mean @ one.direction
        sd = np.sqrt(np.einsum("k,mkl,l->m", one.direction, posterior.ability_cov, one.direction))
        width = normal_quantile(level) * sd
        columns = {"ability": mean, "sd": sd, "lower": mean - width, "upper": mean + width}
        parts.append(pd.DataFrame({"model": posterior.models, "dim": one.name, **columns}))
    return pd.concat(parts, ignore_index=True)


def varimax(loadings: FloatArray) -> FloatArray:
    """Orthogonal rotation after which each column loads on few rows (Kaiser, 1958).

    Args:
        loadings: Array (item, dim).

    Returns:
        Rotation (dim, dim), to be multiplied from the right.
    """
    items, dims = loadings.shape
    rotation = np.eye(dims)
    if dims < 2:
        return rotation
    reached = 0.0
    for _ in range(VARIMAX_STEPS):
        turned = loadings @ rotation
        target = turned**3 - turned * (turned**2).sum(axis=0) / items
        left, values, right = np.linalg.svd(loadings.T @ target)
        rotation = left @ right
        if values.sum() <= reached * (1 + 1e-6):
            break
        reached = float(values.sum())
    return rotation


def _named_by(loading: FloatArray, items: tuple[str, ...], study: Study) -> tuple[float, str, str]:
    """Sign, name and evidence of a direction: what its loadings go with most clearly, if anything."""
    found: list[tuple[float, float, str, str]] = []
    spread = max(float(loading.std()), 1e-12)
    task = places_of(study, items).task
    labels, place, size = np.unique(task, return_inverse=True, return_counts=True)
    for number, label in enumerate(labels):
        if label != "?" and size[number] >= FEWEST_ITEMS and len(items) - size[number] >= FEWEST_ITEMS:
            inside = place == number
            effect = float(loading[inside].mean() - loading[~inside].mean()) / spread
            z = effect / np.sqrt(1 / size[number] + 1 / (len(items) - size[number]))
            found.append((z, effect, f"task {label}", f"loads {abs(effect):.1f} s.d. more on this task than on others"))
    if study.demands is not None:
        demands = Demands.of(study)
        levels = demands.at(items)
        for dim, level in zip(demands.dims, levels.T, strict=True):
            known = np.isfinite(level)
            if known.sum() > FEWEST_ITEMS and level[known].std() > 0 and loading[known].std() > 0:
                r = float(np.corrcoef(level[known], loading[known])[0, 1])
                found.append((r * np.sqrt(known.sum()), r, f"demand {dim}", f"loadings correlate {abs(r):.2f} with it"))
    clear = [one for one in found if abs(one[0]) >= CLEAR_Z and abs(one[1]) >= CLEAR_EFFECT]
    if not clear:
        return 1.0 if loading.mean() >= 0 else -1.0, "", ""
    z, _, name, evidence = max(clear, key=lambda one: abs(one[0]))
    return float(np.sign(z)), name, evidence
