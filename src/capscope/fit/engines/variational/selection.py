"""Which model: held-out cells choose among Rasch, 2PL and more dimensions, and say why."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from capscope.axes import RowFloats
from capscope.data import Responses
from capscope.fit.cells.answers import Answers, PartOfAnswers, RowAnswers, as_rows
from capscope.fit.cells.response_summary import ResponseSummary, survey
from capscope.fit.engines.variational.problem import (
    ItemCovariates,
    ModelChoice,
    Problem,
    fit_choice,
    make_problem,
    pick_device,
    problem_of,
)
from capscope.fit.engines.variational.sweeps import State
from capscope.fit.engines.variational.to_posterior import make_posterior
from capscope.fit.engines.variational.warm_start import WarmStart
from capscope.fit.irt.score_models import SCORE_MODELS
from capscope.fit.irt.settings import IRTSettings
from capscope.fit.links import log_loss, log_odds_of

HOLD_OUT_STREAM = 0x486F6C64

HELD_SHARE = 0.15
"""Share of the cells held out to choose by."""

FORM_CELLS, DIMS_CELLS = 60_000, 400_000
"""Cells at most on which to choose the form, and the number of dimensions."""

QUICK_TOLERANCE, QUICK_SWEEPS = 0.05, 40
"""How far to take a candidate's fit."""

MOST_DIMS = 8
"""Most dimensions to try."""

LONGER = 3
"""An axis this many times as long as the other is thinned alone."""

LEAST_MODELS_FOR_FLOORS = 50
"""With fewer models an estimated floor is its prior."""

LEAST_GAIN_SE = 2.0
"""A richer model must gain this many standard errors of the paired difference in held-out log-loss."""


@dataclass(frozen=True)
class Trial:
    """One candidate and its held-out log-losses."""

    choice: ModelChoice
    """The candidate."""
    state: State
    """Its fit."""
    losses: RowFloats
    """Log-loss of each held-out cell."""

    def gain_over(self, other: "Trial") -> tuple[float, float]:
        """Mean gain in log-loss over another candidate, and its standard error."""
        gain = other.losses - self.losses
        return float(gain.mean()), float(gain.std() / max(1, len(gain)) ** 0.5)


@dataclass(frozen=True)
class SelectedModel:
    """The model to fit."""

    choice: ModelChoice
    """The model."""
    reasons: tuple[str, ...] = ()
    """One line why, where there was a choice."""
    warm: WarmStart | None = None
    """Its fit to the answers that it was chosen by."""


def choose(answers: Answers, found: ResponseSummary, settings: IRTSettings, side: ItemCovariates) -> SelectedModel:
    """Choose the model to fit.

    Args:
        answers: All answers.
        found: What a survey of them told.
        settings: What is asked for.
        side: Features and floors of the items.
    """
    if side.loads_on is not None:
        dims = side.loads_on.shape[1]
        note = f"confirmatory: {dims} dimensions as given"
        return SelectedModel(ModelChoice("mirt", dims, loads_on=side.loads_on), (note,))
    if settings.response != "auto":
        return SelectedModel(_choice_of_scores(as_rows(answers), settings))
    if settings.model == "rasch":
        return SelectedModel(ModelChoice("rasch"))
    if settings.model == "mirt" and settings.dims > 1:
        return SelectedModel(ModelChoice("mirt", settings.dims))
    if settings.model in ("3pl", "4pl") and settings.dims > 1:
        return SelectedModel(ModelChoice(settings.model, settings.dims))
    name = settings.model if settings.model in ("3pl", "4pl") else "2pl"
    if settings.model != "auto" and settings.form != "auto":
        return SelectedModel(ModelChoice(name, 1, settings.form))
    # a stream of its own: the seed alone may be the one that drew the answers
    rng = np.random.default_rng([settings.seed, HOLD_OUT_STREAM])
    auto = settings.model == "auto"
    part = thinned(answers, found.n_rows, DIMS_CELLS if auto else FORM_CELLS, rng)
    rows = as_rows(part)
    held = rng.random(len(rows.score)) < HELD_SHARE
    if held.all() or not held.any():
        reason = f"too few answers to choose a model by held-out cells; {name.upper()} taken"
        return SelectedModel(ModelChoice(name), (reason,))
    quick = replace(settings, tolerance=max(settings.tolerance, QUICK_TOLERANCE), max_sweeps=QUICK_SWEEPS)
    bench = _Bench.of((rows.rows(~held), rows.rows(held)), found.weight, side.of(part.kept_items), quick)
    best, lines = bench.climb() if auto else bench.best_form(name)
    # one ability starts as near its end anyway
    helps = best.choice.dims > 1 and best.state.extras is None
    return SelectedModel(
        best.choice, lines, WarmStart(best.state, part.kept_models, part.kept_items) if helps else None
    )


@dataclass(frozen=True)
class _Bench:
    """Training and held-out cells on which candidates are tried."""

    train: Answers
    problem: Problem
    held: Responses
    side: ItemCovariates
    settings: IRTSettings

    @staticmethod
    def of(parts: tuple[Responses, Responses], weight: float, side: ItemCovariates, settings: IRTSettings) -> "_Bench":
        train = RowAnswers(parts[0])
        found = replace(survey(train), weight=weight)
        problem = make_problem(train, found, side, settings, pick_device(settings.device))
        return _Bench(train, problem, parts[1], side, settings)

    def try_out(self, choice: ModelChoice) -> Trial:
        state = fit_choice(problem_of(choice, self.problem, self.train, self.side), choice, self.settings)
        posterior = make_posterior(self.train, self.problem, choice, state, self.side)
        chance = posterior.probability(self.held.model_index, self.held.item_index)
        return Trial(choice, state, log_loss(log_odds_of(chance), self.held.score))

    def best_form(self, name: Literal["2pl", "3pl", "4pl"]) -> tuple[Trial, tuple[str, ...]]:
        signed, positive = self.try_out(ModelChoice(name)), self.try_out(ModelChoice(name, 1, "positive"))
        best, other = (positive, signed) if positive.gain_over(signed)[0] > 0 else (signed, positive)
        return best, (_told(best, other),)

    def climb(self) -> tuple[Trial, tuple[str, ...]]:
        """From Rasch upwards, a richer model wherever it clearly pays; dimensions double, then halve the gap."""
        rasch = self.try_out(ModelChoice("rasch"))
        best, lines = _better(rasch, self.try_out(ModelChoice("2pl")), [])
        refused = self._most_dims() + 1
        dims = 2
        while best.choice.dims < dims < refused:
            trial = self.try_out(ModelChoice("mirt", dims))
            best, lines = _better(best, trial, lines)
            refused = refused if best is trial else dims
            dims = self._next(best.choice.dims, refused)
        if best.choice.dims == 4 and refused <= self._most_dims():  # doubling passed over three
            best, lines = _simpler(best, self.try_out(ModelChoice("mirt", 3)), lines)
        if best.choice.dims == 1 and self.settings.form != "signed":
            best, lines = _better(best, self.try_out(ModelChoice("2pl", 1, "positive")), lines)
        if self.side.floor is not None:
            best = self._without_guessing(best, lines)
        if best.choice.name == "2pl" and self.can_show_floors():
            best = self._with_asymptotes(best, lines)
        return best, tuple(lines)

    def _next(self, taken: int, refused: int) -> int:
        """Twice as many dimensions, or half way to those refused."""
        if 2 * taken < refused:
            return 2 * taken
        return (taken + refused) // 2 if 2 * (refused - taken) > taken else refused

    def _most_dims(self) -> int:
        return min(MOST_DIMS, len(self.train.models) - 2, len(self.train.items) - 2)

    def can_show_floors(self) -> bool:
        """Whether floors could show: enough models to have weak ones on most items."""
        return len(self.train.models) >= LEAST_MODELS_FOR_FLOORS

    def _without_guessing(self, best: Trial, lines: list[str]) -> Trial:
        """The same model as if nobody guessed, where that clearly pays: models may do worse than chance."""
        trial = self.try_out(replace(best.choice, guess=False))
        gain, error = trial.gain_over(best)
        if gain > LEAST_GAIN_SE * error:
            lines.append("known floors of guessing not taken: " + _told(trial, best))
            return trial
        return best

    def _with_asymptotes(self, best: Trial, lines: list[str]) -> Trial:
        """A floor, then a ceiling, wherever it clearly pays."""
        for name in ("3pl", "4pl"):
            trial = self.try_out(ModelChoice(name, 1, best.choice.form))
            gain, error = trial.gain_over(best)
            taken = gain > LEAST_GAIN_SE * error
            lines.append(("" if taken else f"{trial.choice.words} not taken: ") + _told(trial, best))
            if not taken:
                break
            best = trial
        return best


def _better(best: Trial, trial: Trial, lines: list[str]) -> tuple[Trial, list[str]]:
    """The richer model where it gains enough, and one more line that says so."""
    gain, error = trial.gain_over(best)
    if gain > LEAST_GAIN_SE * error:
        return trial, [*lines, _told(trial, best)]
    return best, [*lines, f"{trial.choice.words} not taken: " + _told(trial, best)]


def _simpler(best: Trial, trial: Trial, lines: list[str]) -> tuple[Trial, list[str]]:
    """The simpler model unless the richer one gains enough."""
    gain, error = best.gain_over(trial)
    if gain > LEAST_GAIN_SE * error:
        return best, [*lines, _told(best, trial)]
    return trial, [*lines, f"{best.choice.words} not taken: " + _told(best, trial)]


def _choice_of_scores(responses: Responses, settings: IRTSettings) -> ModelChoice:
    """The model of ordered grades or continuous scores, as asked for."""
    several = settings.model == "mirt" and settings.dims > 1
    kind = "mirt" if several else "rasch" if settings.model == "rasch" else "2pl"
    score_model = SCORE_MODELS[settings.response].load().from_scores(responses.score, kind)
    return ModelChoice(kind, settings.dims, score_model=score_model)


def thinned(answers: Answers, n_rows: int, most: int, rng: np.random.Generator) -> PartOfAnswers:
    """A part of the models and items, drawn at random, with about as many rows as wanted; all where they are fewer.

    A much shorter axis is kept in full, so that what is learnt about it can start the fit of all answers.
    """
    share = min(1.0, most / n_rows)
    n_models, n_items = len(answers.models), len(answers.items)
    model_share = share if n_models > LONGER * n_items else 1.0 if n_items > LONGER * n_models else share**0.5
    keep_models = int(min(n_models, max(200, n_models * model_share)))
    keep_items = int(min(n_items, max(50, n_items * share * n_models / keep_models)))
    models = np.sort(rng.choice(n_models, keep_models, replace=False))
    items = np.sort(rng.choice(n_items, keep_items, replace=False))
    return PartOfAnswers(answers, models, items)


def _told(trial: Trial, other: Trial) -> str:
    gain, error = trial.gain_over(other)
    loss, before = trial.losses.mean(), other.losses.mean()
    return (
        f"held-out log-loss {loss:.4f} with {trial.choice.words}, {before:.4f} with {other.choice.words} "
        f"(gain {gain:.4f}, standard error {error:.4f})"
    )
