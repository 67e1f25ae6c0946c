"""The distribution of a model's accuracy over prompts, and the sensitivity of items to prompts, from few answers.

Paraphrases of a task often have similar effects except for a few that a model does not understand, or they form two
groups. The distribution of prompt effects is therefore a Gaussian with an optional second group: fewer prompts,
elsewhere or with a larger standard deviation. The likelihood weighs the alternatives on a grid, and a Dirichlet process
around them (Escobar & West, 1995) allows other distributions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.special import expit, logsumexp, softmax
from scipy.stats import norm

from capscope.axes import FloatArray, RowFloats
from capscope.battery.banks.bank import Index
from capscope.battery.prompts.prompt_fit import (
    NODES,
    PROMPT_SDS,
    PromptCells,
    PromptFit,
    PromptPrior,
    Prompts,
    fit_prompts,
)
from capscope.battery.prompts.sensitivity import ModelAnswers, item_sensitivity
from capscope.data import Study
from capscope.display import ArrowTables, html_table
from capscope.errors import InputError, counted, first_few, nearest
from capscope.files import write_table
from capscope.fit.links import log_likelihood
from capscope.intervals import quantile_bounds

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles over prompts that are reported."""
ONE_BENCHMARK = "all"


@dataclass(frozen=True, kw_only=True)
class PromptSettings:
    """Settings of `prompt_scores`."""

    model: str | None = None
    """Only this model; all by default."""
    level: float = 0.95
    """Coverage of the intervals."""
    draws: int = 400
    """Number of draws from the posterior."""
    seed: int = 0
    """Seed of the draws."""


@dataclass(frozen=True, repr=False)
class PromptScores(ArrowTables):
    """Accuracy over prompts."""

    models: pd.DataFrame
    """A row for each model and benchmark: prompts, items, answers; ability and its sd (log-odds of the average prompt
    on the average item), prompt_sd (log-odds); with bounds, the mean accuracy, its sd over prompts, its quantiles."""
    prompts: pd.DataFrame
    """A row for each model, benchmark and prompt: answers, score, lower, upper."""
    items: pd.DataFrame
    """A row for each item, most sensitive first: `sd_chance` and `sd_log_odds` over prompts, and `evidence`, the share
    of the item's own part of the latter that comes from its own answers instead of those to other items."""
    level: float
    """Coverage of the bounds."""

    def as_dict(self, top: int | None = None) -> dict[str, object]:
        """Return plain values for JSON.

        Args:
            top: Number of items to include; all by default.
        """
        items = self.items if top is None else self.items.head(top)
        tables = {"models": self.models, "prompts": self.prompts, "items": items}
        shown: dict[str, object] = {name: table.to_dict("records") for name, table in tables.items()}
        return {"level": self.level} | shown

    def save_items(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the table of items.

        Args:
            path: A CSV, TSV, JSON lines or Parquet file.
            force: An existing file may be replaced.

        Raises:
            OutputError: The file exists and `force` is not set, or it cannot be written.
        """
        return write_table(Path(path), self.items, force=force, option="--items")

    def __repr__(self) -> str:
        shown = (
            self.models[["model", "benchmark", "prompts", "mean", "sd"]]
            .head(5)
            .round(3)
            .to_string(index=False, na_rep="-")
        )
        return f"PromptScores({counted(len(self.models), 'model')}, {counted(len(self.items), 'item')})\n{shown}"

    def _repr_html_(self) -> str:
        """Show the models as a table in a notebook."""
        return html_table("Accuracy over prompts", self.models, f"{self.level:.0%} intervals")


def prompt_scores(
    study: Study | str | Path, settings: PromptSettings | None = None, *, covariates: pd.DataFrame | None = None
) -> PromptScores:
    """Estimate accuracy over prompts from answers that need not cover every prompt and item.

    A model's accuracy under a prompt is its mean score on all items of a benchmark: observed where asked, drawn from
    the fitted chances elsewhere.

    Args:
        study: A study whose responses have a column `prompt`, with prompts assigned to items at random; or its folder.
        settings: Model, level, draws, seed.
        covariates: Columns prompt and numbers that describe it, such as an embedding.

    Returns:
        Quantiles of each model's accuracy over prompts, each prompt's accuracy, and each item's sensitivity.

    Raises:
        InputError: No prompts, an unknown model, or a prompt without covariates.
    """
    settings = settings or PromptSettings()
    study = study if isinstance(study, Study) else Study.load(Path(study))
    models, prompts, items = [], [], []
    for benchmark, part in _benchmarks(study, settings.model):
        ids = tuple(sorted(part["item_id"].unique())) if study.items is None else _items_of(study, benchmark)
        answers: list[ModelAnswers] = []
        for model, rows in part.groupby("model", observed=True, sort=True):
            rng = np.random.default_rng(settings.seed)
            names, cells = _cells(rows, ids, covariates)
            fit = fit_prompts(cells)
            head = {"model": str(model), "benchmark": benchmark}
            row, table = _model_tables(fit, settings, rng)
            models.append(head | row)
            prompts.append(table.assign(**head, prompt=names))
            answers.append(ModelAnswers(names, cells, fit))
        items.append(item_sensitivity(ids, answers).assign(benchmark=benchmark))
    by_sensitivity = pd.concat(items).sort_values(["sd_chance", "item_id"], ascending=[False, True], ignore_index=True)
    front = ["model", "benchmark", "prompt", "answers", "score", "lower", "upper"]
    return PromptScores(
        pd.DataFrame(models),
        pd.concat(prompts, ignore_index=True)[front],
        by_sensitivity[["benchmark", *(name for name in by_sensitivity if name != "benchmark")]],
        settings.level,
    )


def _benchmarks(study: Study, model: str | None) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the answers that name a prompt, by benchmark."""
    responses = study.require("responses")
    if "prompt" not in responses or responses["prompt"].isna().all():
        raise InputError(f"{study.name}: responses have no column prompt; import logs of several prompts with one each")
    text = dict.fromkeys(("model", "item_id", "prompt"), str)
    named = responses[responses["prompt"].notna()].astype(text)
    known = sorted(named["model"].unique())
    if model is not None and model not in known:
        raise InputError(f"{study.name}: no model '{model}'{nearest(model, known)}; there are {first_few(known)}")
    chosen = named if model is None else named[named["model"] == model]
    if study.items is None or "benchmark" not in study.items:
        yield ONE_BENCHMARK, chosen
        return
    table = study.items.astype({"item_id": str, "benchmark": str}).set_index("item_id")["benchmark"]
    missing = sorted(set(chosen["item_id"]) - set(table.index))
    if missing:
        raise InputError(f"{study.name}: items lacks {first_few(missing)}, which were answered; add their rows")
    for name, part in chosen.groupby(chosen["item_id"].map(table), sort=True):
        yield str(name), part


def _items_of(study: Study, benchmark: str) -> tuple[str, ...]:
    table = study.require("items")
    chosen = table if "benchmark" not in table else table[table["benchmark"].astype(str) == benchmark]
    return tuple(sorted(chosen["item_id"].astype(str)))


def _cells(
    rows: pd.DataFrame, items: tuple[str, ...], covariates: pd.DataFrame | None
) -> tuple[tuple[str, ...], PromptCells]:
    """Return one model's prompts and answers by prompt and item; repeats of a cell (over scaffolds) are added up."""
    prompts = tuple(sorted(rows["prompt"].unique()))
    place = _places(prompts, rows["prompt"]), _places(items, rows["item_id"])
    count = rows["n_trials"].fillna(1).to_numpy(dtype=float) if "n_trials" in rows else np.ones(len(rows))
    trials, right = np.zeros((2, len(prompts), len(items)))
    np.add.at(trials, place, count)
    np.add.at(right, place, count * rows["score"].to_numpy(dtype=float))
    score = np.divide(right, trials, out=np.zeros_like(right), where=trials > 0)
    return prompts, PromptCells(score, trials, None if covariates is None else _covariates(covariates, prompts))


def _places(axis: tuple[str, ...], names: pd.Series) -> Index:
    return pd.Index(axis).get_indexer(pd.Index(names))


def _covariates(table: pd.DataFrame, prompts: tuple[str, ...]) -> FloatArray:
    if "prompt" not in table or len(table.columns) < 2:
        raise InputError("covariates: no column prompt with numbers beside it; write prompt and one or more numbers")
    numbers = table.assign(prompt=table["prompt"].astype(str)).set_index("prompt").apply(pd.to_numeric, errors="coerce")
    ordered = numbers.reindex(list(prompts))
    bad = ordered.index[ordered.isna().any(axis=1)]
    if len(bad):
        raise InputError(f"covariates: prompt {first_few(list(map(str, bad)))} has none, or no number; add its row")
    return ordered.to_numpy(dtype=float)


def _model_tables(
    fit: PromptFit, settings: PromptSettings, rng: np.random.Generator
) -> tuple[dict[str, float | int], pd.DataFrame]:
    """Return one model's row and its table of prompts."""
    accuracy, effect = _accuracy_draws(fit, settings.draws, rng)
    cells = fit.best.cells
    row: dict[str, float | int] = {
        "prompts": len(cells.trials),
        "items": cells.trials.shape[1],
        "answers": int(cells.trials.sum()),
        "ability": float(effect.mean()),
        "ability_sd": float(effect.mean(1).std()),
        "prompt_sd": float(np.sqrt(fit.prompt_variance)),
    }
    statistics = {"mean": accuracy.mean(1), "sd": accuracy.std(1)}
    statistics |= {f"q{round(100 * q):02d}": np.quantile(accuracy, q, axis=1) for q in QUANTILES}
    for name, draws in statistics.items():
        lower, upper = quantile_bounds(draws, settings.level)
        row |= {name: float(draws.mean()), f"{name}_lower": float(lower), f"{name}_upper": float(upper)}
    lower, upper = quantile_bounds(accuracy.T, settings.level)
    asked = cells.trials.sum(1).astype(int)
    table = pd.DataFrame({"answers": asked, "score": accuracy.mean(0), "lower": lower, "upper": upper})
    return row, table


def _accuracy_draws(
    fit: PromptFit, count: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "draw prompt"], Float[np.ndarray, "draw prompt"]]:
    """Return draws of the accuracy under each prompt on all items, and of its log-odds on the average item.

    Items not asked add their expected score and, by the central limit theorem, the noise of their answers. Right and
    wrong answers add up to whole numbers: where few are right, ties between prompts and quantiles of 0 are real.
    """
    cells = fit.best.cells
    unasked, size = cells.trials == 0, cells.trials.shape[1]
    seen, whole = cells.score.sum(1), np.allclose(cells.right, np.round(cells.right))
    accuracy, effects = [], []
    for effect, location in effect_draws(fit, count, rng):
        chance = expit(effect[:, None] + location) * unasked
        noise = np.sqrt((chance * (1 - chance)).sum(1)) * rng.standard_normal(len(effect))
        added = np.clip(chance.sum(1) + noise, 0, unasked.sum(1))
        accuracy.append((seen + (np.round(added) if whole else added)) / size)
        effects.append(effect + location.mean())
    return np.array(accuracy), np.array(effects)


SHARES = (0.03, 0.08, 0.2, 0.4)
"""Shares of prompts that a second group may hold."""
PLACES = ((-3.0, 0.7), (-1.5, 0.5), (0.0, 1.5), (1.5, 0.5), (3.0, 0.7))
"""Place of the second group relative to the first, and its standard deviation, in log-odds."""
GROUPS = np.array([(0.0, 0.0, 1.0), *((share, *place) for share in SHARES for place in PLACES)])
"""Second groups: share, place, standard deviation; the first row means none."""
SINGLE = 0.5
"""Prior probability of no second group."""
CONCENTRATION = 20.0
"""Concentration of the Dirichlet process: the weight of both groups, in numbers of prompts."""
ITEM_DRAWS = 6
"""Number of draws of the items' locations over which the weights of distributions are averaged."""
CENTRES = np.linspace(-1, 1, 17)
"""Centres of the first group, relative to the mean effect, in standard deviations of effects."""
STEPS, REACH, LEAST_WINDOW = 141, 5.0, 0.15

Steps = Float[np.ndarray, " step"]
PromptStep = Float[np.ndarray, "prompt step"]


def effect_draws(fit: PromptFit, count: int, rng: np.random.Generator) -> Iterator[tuple[Prompts, RowFloats]]:
    """Yield draws of the effects of prompts and of the locations of items.

    Items come from the Gaussian fit; given them, the distribution and the effects are drawn on a grid. Prompts with
    covariates keep the Gaussian of the fit, because they have no common distribution.

    Args:
        fit: The Gaussian fit.
        count: Number of draws.
        rng: Source of randomness.
    """
    if fit.best.cells.covariates is not None:
        yield from ((effect, location) for _, effect, location in fit.draws(count, rng))
        return
    grid = effect_grid(fit)
    chance = distribution_weights(fit, grid, rng)
    for posterior, effect, location in fit.draws(count, rng):
        likelihood = _likelihood(fit, location, posterior.item_sd, grid)
        spread, group = divmod(int(rng.choice(chance.size, p=chance.ravel())), len(GROUPS))
        distributions = _distributions(grid, _centres(fit, effect), PROMPT_SDS[[spread]], GROUPS[[group]])[0, 0]
        distribution = distributions[
            rng.choice(len(distributions), p=softmax(_log_evidence(likelihood, distributions)))
        ]
        taken = np.bincount(_draw_places(likelihood * distribution, rng), minlength=len(grid))
        free = rng.standard_gamma(CONCENTRATION * distribution + taken)
        yield grid[_draw_places(likelihood * free, rng)], location


def effect_grid(fit: PromptFit) -> Steps:
    """Return effects on a grid about their mean: fine near it, coarse far from it."""
    mean, spread = fit.best.mean.mean(), _spread(fit)
    return mean + spread * np.sinh(np.linspace(-1, 1, STEPS) * np.arcsinh(max(6.0, REACH / spread)))


def distribution_weights(fit: PromptFit, grid: Steps, rng: np.random.Generator) -> Float[np.ndarray, "spread group"]:
    """Return the probability of each sd of the first group with each second group, given the answers.

    Args:
        fit: Fit of one model's answers with effects of prompts.
        grid: Effects of prompts (log-odds) at which distributions are evaluated.
        rng: Source of randomness.
    """
    alone = GROUPS[:, 0] == 0
    prior = np.log(np.where(alone, SINGLE, (1 - SINGLE) / (len(GROUPS) - 1)))
    prior = prior + np.array([PromptPrior(sd, fit.best.item_sd).log_weight for sd in PROMPT_SDS])[:, None]
    total = np.zeros(prior.shape)
    for posterior, effect, location in fit.draws(ITEM_DRAWS, rng):
        distributions = _distributions(grid, _centres(fit, effect), PROMPT_SDS, GROUPS)
        by_centre = _log_evidence(_likelihood(fit, location, posterior.item_sd, grid), distributions)
        evidence = prior + logsumexp(by_centre, axis=2)
        total += softmax(evidence) / ITEM_DRAWS
    return total


def _spread(fit: PromptFit) -> float:
    return float(np.sqrt(fit.prompt_variance + fit.best.mean.var()))


def _centres(fit: PromptFit, effect: Prompts) -> RowFloats:
    return effect.mean() + CENTRES * max(_spread(fit), LEAST_WINDOW)


def _distributions(
    grid: Steps, centre: FloatArray, spread: FloatArray, group: FloatArray
) -> Float[np.ndarray, "spread group centre step"]:
    """Return the probabilities of the steps of the grid under each distribution."""
    apart = grid - centre[:, None]
    first = norm.pdf(apart / spread[:, None, None]) / spread[:, None, None]
    second = norm.pdf((apart - group[:, 1, None, None]) / group[:, 2, None, None]) / group[:, 2, None, None]
    share = group[:, 0, None, None]
    density = ((1 - share) * first[:, None] + share * second) * np.gradient(grid)
    return density / density.sum(-1, keepdims=True)


def _log_evidence(likelihood: PromptStep, distributions: FloatArray) -> FloatArray:
    """Return the log-likelihood of all answers under each distribution (its last axis is the grid)."""
    chance = likelihood @ distributions.reshape(-1, distributions.shape[-1]).T
    return np.log(np.maximum(chance, 1e-300)).sum(0).reshape(distributions.shape[:-1])


def _likelihood(fit: PromptFit, location: RowFloats, item_sd: float, grid: Steps) -> PromptStep:
    """Return the likelihood of each prompt's answers at each effect, scaled to a maximum of 1, given the items."""
    cells, node = fit.best.cells, np.searchsorted(item_sd * NODES, location - 1e-9)
    member = np.zeros((len(location), len(NODES)))
    member[np.arange(len(location)), node] = 1
    logit = item_sd * NODES[:, None] + grid
    wrong = log_likelihood(logit, np.zeros_like(logit))
    log_likelihoods = (cells.right @ member) @ logit + (cells.trials @ member) @ wrong
    return np.exp(log_likelihoods - log_likelihoods.max(1, keepdims=True))


def _draw_places(chance: FloatArray, rng: np.random.Generator) -> np.ndarray:
    total = chance.cumsum(1)
    return (total < rng.random((len(total), 1)) * total[:, -1:]).sum(1)
