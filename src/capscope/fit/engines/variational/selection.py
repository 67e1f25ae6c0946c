"""Choice of the model by held-out cells: Rasch, 2PL, asymptotes, or more dimensions."""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from capscope.axes import RowFloats
from capscope.data import Responses
from capscope.fit.cells.answers import Answers, PartOfAnswers, as_rows
from capscope.fit.cells.response_summary import ResponseSummary, summarise
from capscope.fit.engines.variational.problem import (
    ItemCovariates,
    ModelChoice,
    Problem,
    WarmStart,
    fit_choice,
    make_problem,
    pick_device,
    problem_of,
)
from capscope.fit.engines.variational.sweeps import State
from capscope.fit.engines.variational.to_posterior import make_posterior
from capscope.fit.irt.score_models import SCORE_MODELS
from capscope.fit.irt.settings import IRTSettings
from capscope.fit.links import log_loss, log_odds_of

HOLD_OUT_STREAM = 0x486F6C64


@dataclass(frozen=True)
class InnerFolds:
    """Folds of held-out cells for the choice of the model."""

    share: float
    """Share of the cells held out in each fold."""
    most: int
    """Most folds on which two candidates are compared."""

    def held(self, draw: RowFloats, number: int) -> Bool[np.ndarray, " row"]:
        """Cells that are held out in a fold, by a number from 0 to 1 drawn for each cell.

        Args:
            draw: A uniform number from 0 to 1 for each cell.
            number: Number of the fold, from 0.

        Returns:
            Whether each cell is held out.
        """
        return (draw >= self.share * number) & (draw < self.share * (number + 1))


FEW_FOLDS, ALL_FOLDS = InnerFolds(0.15, 3), InnerFolds(0.1, 10)
"""A few folds for many cells; for few cells, each cell is held out once."""

FEW_CELLS = 20_000
"""Cells up to which the number of dimensions is chosen over all folds."""

FORM_CELLS, DIMS_CELLS = 60_000, 400_000
"""Cells at most on which to choose the form, and the number of dimensions."""

QUICK_TOLERANCE, QUICK_SWEEPS = 0.05, 40
"""Tolerance and sweeps of a candidate's fit."""

MOST_DIMS = 8
"""Most dimensions to try."""

LONGER = 3
"""Where one axis is this many times as long as the other, only that axis is thinned."""

LEAST_MODELS_FOR_FLOORS = 50
"""Fewest models from which floors are estimated."""

LEAST_GAIN_SE, SURE_SE = 2.0, 4.0
"""A richer model must gain the first of standard errors of the paired difference in held-out log-loss; while the
difference is under the second, another fold is tried."""

SMALL_GAIN, SMALL_GAIN_SE = 0.001, 0.5
"""Gain in log-loss, in nats, that suffices at half a standard error, since missing it would be costly."""


RowLosses = Float[np.ndarray, "_"]
"""Log-loss of each held-out cell of one fold; folds differ in length."""


@dataclass(frozen=True)
class Trial:
    """One candidate, fitted to the training cells of some folds."""

    choice: ModelChoice
    """The candidate."""
    states: tuple[State, ...]
    """Its fit in each fold."""
    losses: tuple[RowLosses, ...]
    """Log-loss of each held-out cell, fold by fold."""
    trials: tuple[RowLosses, ...]
    """Trials of each held-out cell, fold by fold: a share of many trials counts as much as they do."""

    def gain_over(self, other: "Trial") -> tuple[float, float]:
        """Mean gain in log-loss over another candidate on the folds that both have, and its standard error."""
        both = min(len(self.losses), len(other.losses))
        gain = np.concatenate(other.losses[:both]) - np.concatenate(self.losses[:both])
        weight = np.concatenate(self.trials[:both])
        mean = np.average(gain, weights=weight)
        return float(mean), float(np.sqrt((weight**2 * (gain - mean) ** 2).sum()) / weight.sum())

    def loss(self, folds: int) -> float:
        """Mean log-loss over some folds."""
        return float(np.average(np.concatenate(self.losses[:folds]), weights=np.concatenate(self.trials[:folds])))


class Decision(NamedTuple):
    """Whether a richer model was taken, its gain in held-out log-loss over the simpler one, and the gain's error."""

    taken: bool
    gain: float
    error: float


@dataclass(frozen=True)
class SelectedModel:
    """The selected model."""

    choice: ModelChoice
    """The model."""
    reasons: tuple[str, ...] = ()
    """One line why, where there was a choice."""
    warm: WarmStart | None = None
    """Its fit to the answers that it was chosen by."""


def choose(answers: Answers, summary: ResponseSummary, settings: IRTSettings, side: ItemCovariates) -> SelectedModel:
    """Choose the model to fit.

    Args:
        answers: All answers.
        summary: Summary of these answers.
        settings: Settings of the fit.
        side: Covariates of the items.
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
    part = thinned(answers, summary.n_rows, DIMS_CELLS if auto else FORM_CELLS, rng)
    rows = as_rows(part)
    draw = rng.random(len(rows.score))
    folds = ALL_FOLDS if auto and len(rows.score) <= FEW_CELLS else FEW_FOLDS
    held = folds.held(draw, 0)
    if held.all() or not held.any():
        reason = f"too few answers to choose a model by held-out cells; {name.upper()} taken"
        return SelectedModel(ModelChoice(name), (reason,))
    comparison = HeldOutComparison(
        rows, draw, folds, summary.weight, side.of(part.kept_items), quick_settings(settings)
    )
    best, lines = comparison.climb() if auto else comparison.best_form(name)
    # one ability starts as near its end anyway; on all cells the start is that of who asks for this model
    thin = len(part.kept_models) < len(answers.models) or len(part.kept_items) < len(answers.items)
    helps = thin and best.choice.dims > 1 and best.states[0].extras is None
    warm = WarmStart(best.states[0], part.kept_models, part.kept_items) if helps else None
    return SelectedModel(best.choice, lines, warm)


def quick_settings(settings: IRTSettings) -> IRTSettings:
    """Return the settings of a candidate's fit, which ends early.

    Args:
        settings: Settings of the fit that was asked for.
    """
    return replace(settings, tolerance=max(settings.tolerance, QUICK_TOLERANCE), max_sweeps=QUICK_SWEEPS)


@dataclass(frozen=True)
class _Fold:
    """Training and held-out cells on which candidates are tried."""

    train: Answers
    problem: Problem
    held: Responses

    @staticmethod
    def of(parts: tuple[Responses, Responses], weight: float, side: ItemCovariates, settings: IRTSettings) -> "_Fold":
        train = parts[0]
        summary = replace(summarise(train), weight=weight)
        problem = make_problem(train, summary, side, settings, pick_device(settings.device))
        return _Fold(train, problem, parts[1])


class HeldOutComparison:
    """Comparison of candidates on held-out cells; a comparison that one fold leaves open is repeated on the next."""

    def __init__(
        self,
        rows: Responses,
        draw: RowFloats,
        folds: InnerFolds,
        weight: float,
        side: ItemCovariates,
        settings: IRTSettings,
    ) -> None:
        self._rows, self._draw, self._weight = rows, draw, weight
        self._inner = folds
        self.side, self.settings = side, settings
        self._folds: list[_Fold] = []
        self.decisions: list[Decision] = []

    def _fold(self, number: int) -> _Fold:
        while len(self._folds) <= number:
            held = self._held(len(self._folds))
            parts = self._rows.rows(~held), self._rows.rows(held)
            self._folds.append(_Fold.of(parts, self._weight, self.side, self.settings))
        return self._folds[number]

    def try_out(self, choice: ModelChoice) -> Trial:
        """Fit a candidate in the first fold."""
        return self.extended(Trial(choice, (), (), ()), 1)

    def extended(self, trial: Trial, folds: int) -> Trial:
        """Return the candidate fitted in so many folds."""
        for number in range(len(trial.losses), folds):
            fold = self._fold(number)
            problem = problem_of(trial.choice, fold.problem, fold.train, self.side)
            state = fit_choice(problem, trial.choice, self.settings)
            posterior = make_posterior(fold.train, fold.problem, trial.choice, state, self.side)
            chance = posterior.probability(fold.held.model_index, fold.held.item_index)
            loss = log_loss(log_odds_of(chance), fold.held.score)
            trials = (*trial.trials, fold.held.n_trials.astype(float))
            trial = Trial(trial.choice, (*trial.states, state), (*trial.losses, loss), trials)
        return trial

    def compared(self, simpler: Trial, richer: Trial) -> tuple[bool, Trial, Trial]:
        """Whether a richer model predicts better, and both candidates on as many folds as the comparison needed."""
        for folds in range(1, self._inner.most + 1):
            if folds > 1 and not self._has_cells(folds - 1):
                break
            simpler, richer = self.extended(simpler, folds), self.extended(richer, folds)
            gain, error = richer.gain_over(simpler)
            if abs(gain) > SURE_SE * error:
                break
        gain, error = richer.gain_over(simpler)
        taken = gain > LEAST_GAIN_SE * error or (gain > SMALL_GAIN and gain > SMALL_GAIN_SE * error)
        self.decisions.append(Decision(taken, gain, error))
        return taken, simpler, richer

    def _has_cells(self, number: int) -> bool:
        return bool(self._held(number).any())

    def _held(self, number: int) -> Bool[np.ndarray, " row"]:
        return self._inner.held(self._draw, number)

    def best_form(self, name: Literal["2pl", "3pl", "4pl"]) -> tuple[Trial, tuple[str, ...]]:
        """Signed or positive slopes, whichever predicts the held-out cells better."""
        signed, positive = self.try_out(ModelChoice(name)), self.try_out(ModelChoice(name, 1, "positive"))
        best, other = (positive, signed) if positive.gain_over(signed)[0] > 0 else (signed, positive)
        return best, (_gain_words(best, other),)

    def climb(self) -> tuple[Trial, tuple[str, ...]]:
        """Search from Rasch upwards, with a richer model where it predicts better; dimensions double, then bisect."""
        best, lines = self._better(self.try_out(ModelChoice("rasch")), self.try_out(ModelChoice("2pl")), [])
        refused, dims, doubtful = self._most_dims() + 1, 2, 0
        while best.choice.dims < dims < refused:
            taken, best, trial = self.compared(best, self.try_out(ModelChoice("mirt", dims)))
            lines = [*lines, ("" if taken else f"{trial.choice.words} not taken: ") + _gain_words(trial, best)]
            gain, error = trial.gain_over(best)
            if taken:
                best, doubtful = trial, 0
            elif not doubtful and 2 * dims < refused and gain > -error:
                doubtful, dims = dims, 2 * dims  # neither better nor worse: twice as many may show what these hide
                continue
            else:
                refused, doubtful = doubtful or dims, 0
            dims = self._next(best.choice.dims, refused)
        if best.choice.dims == 4 and refused <= self._most_dims():  # doubling passed over three
            best, lines = self._simpler(best, self.try_out(ModelChoice("mirt", 3)), lines)
        if best.choice.dims == 1 and self.settings.form != "signed":
            best, lines = self._better(best, self.try_out(ModelChoice("2pl", 1, "positive")), lines)
        if self.side.floor is not None:
            best = self._without_guessing(best, lines)
        if best.choice.name == "2pl" and self.can_show_floors():
            best = self._with_asymptotes(best, lines)
        return best, (_taken(best, lines, self.decisions), *lines)

    def _next(self, taken: int, refused: int) -> int:
        """Next number of dimensions: twice as many, or the middle between accepted and refused."""
        if 2 * taken < refused:
            return 2 * taken
        return (taken + refused) // 2 if 2 * (refused - taken) > taken else refused

    def _most_dims(self) -> int:
        train = self._fold(0).train
        return min(MOST_DIMS, len(train.models) - 2, len(train.items) - 2)

    def can_show_floors(self) -> bool:
        """Whether floors can be estimated: there are enough models for weak ones on most items."""
        return len(self._fold(0).train.models) >= LEAST_MODELS_FOR_FLOORS

    def _without_guessing(self, best: Trial, lines: list[str]) -> Trial:
        """The same model without known floors, where it predicts clearly better: models may do worse than chance."""
        taken, best, trial = self.compared(best, self.try_out(replace(best.choice, guess=False)))
        if taken:
            lines.append("known floors of guessing not taken: " + _gain_words(trial, best))
            return trial
        return best

    def _with_asymptotes(self, best: Trial, lines: list[str]) -> Trial:
        """The model with an estimated floor, then a ceiling, where each predicts clearly better."""
        for name in ("3pl", "4pl"):
            taken, best, trial = self.compared(best, self.try_out(ModelChoice(name, 1, best.choice.form)))
            lines.append(("" if taken else f"{trial.choice.words} not taken: ") + _gain_words(trial, best))
            if not taken:
                break
            best = trial
        return best

    def _better(self, best: Trial, trial: Trial, lines: list[str]) -> tuple[Trial, list[str]]:
        """The richer model where it gains enough, and one more line that says so."""
        taken, best, trial = self.compared(best, trial)
        if taken:
            return trial, [*lines, _gain_words(trial, best)]
        return best, [*lines, f"{trial.choice.words} not taken: " + _gain_words(trial, best)]

    def _simpler(self, best: Trial, trial: Trial, lines: list[str]) -> tuple[Trial, list[str]]:
        """The simpler model unless the richer one gains enough."""
        taken, trial, best = self.compared(trial, best)
        if taken:
            return best, [*lines, _gain_words(best, trial)]
        return trial, [*lines, f"{best.choice.words} not taken: " + _gain_words(best, trial)]


def _choice_of_scores(responses: Responses, settings: IRTSettings) -> ModelChoice:
    """The model of ordered grades or continuous scores, as asked for."""
    several = settings.model == "mirt" and settings.dims > 1
    kind = "mirt" if several else "rasch" if settings.model == "rasch" else "2pl"
    score_model = SCORE_MODELS[settings.response].load().from_scores(responses.score, kind)
    return ModelChoice(kind, settings.dims, score_model=score_model)


def thinned(answers: Answers, n_rows: int, most: int, rng: np.random.Generator) -> PartOfAnswers:
    """A random part of the models and items with about as many rows as wanted; all where there are fewer.

    A much shorter axis is kept in full, so that what is learnt about it can start the fit of all answers.

    Args:
        answers: The answers to draw from.
        n_rows: Number of rows of the answers.
        most: Number of rows wanted.
        rng: Source of randomness.

    Returns:
        A view of the answers to the drawn models and items.
    """
    share = min(1.0, most / n_rows)
    n_models, n_items = len(answers.models), len(answers.items)
    model_share = share if n_models > LONGER * n_items else 1.0 if n_items > LONGER * n_models else share**0.5
    keep_models = int(min(n_models, max(200, n_models * model_share)))
    keep_items = int(min(n_items, max(50, n_items * share * n_models / keep_models)))
    models = np.sort(rng.choice(n_models, keep_models, replace=False))
    items = np.sort(rng.choice(n_items, keep_items, replace=False))
    return PartOfAnswers(answers, models, items)


def _gain_words(trial: Trial, other: Trial) -> str:
    gain, error = trial.gain_over(other)
    folds = min(len(trial.losses), len(other.losses))
    return (
        f"held-out log-loss {trial.loss(folds):.4f} with {trial.choice.words}, {other.loss(folds):.4f} with "
        f"{other.choice.words} (gain {gain:.4f}, standard error {error:.4f})"
    )


def _taken(best: Trial, lines: list[str], decisions: list[Decision]) -> str:
    """The chosen model and the reason, in one sentence."""
    refused = sum(" not taken: " in line for line in lines)
    if refused == len(lines):
        close = any(decision.gain > 0 for decision in decisions)
        better = "clearly better: within the error the simpler one is taken" if close else "better"
        return f"auto took {best.choice.words}: none of {refused} richer models predicts held-out answers {better}"
    others = f" and {refused} others do no better" if refused else ""
    last = next((decision for decision in reversed(decisions) if decision.taken), None)
    by = f", though by {last.gain:.4f} with an error of {last.error:.4f}" if last and last.gain < last.error else ""
    return f"auto took {best.choice.words}: it predicts held-out answers better than simpler models{by}{others}"
