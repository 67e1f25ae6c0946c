"""Which model: held-out cells choose among Rasch, 2PL and more dimensions, and say why."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from capscope.axes import RowFloats
from capscope.data import ResponseMatrix
from capscope.fit.answers import Answers, PartOfAnswers, RowAnswers, as_rows
from capscope.fit.graded import count_grades
from capscope.fit.irt_model import IRTSettings
from capscope.fit.irt_posterior import IRTPosterior
from capscope.fit.irt_problem import ModelChoice, Problem, Side, fit_choice, make_problem, problem_of
from capscope.fit.irt_result import make_posterior
from capscope.fit.links import score_log_loss
from capscope.fit.survey import survey

HOLD_OUT_STREAM = 0x486F6C64

HELD_SHARE = 0.15
"""Share of the cells held out to choose by."""

FORM_CELLS, DIMS_CELLS = 60_000, 600_000
"""Cells at most on which to choose the form, and the number of dimensions."""

QUICK_TOLERANCE, QUICK_SWEEPS = 0.05, 40
"""How far to take a candidate's fit."""

LADDER = (2, 3, 4, 6, 8)
"""Numbers of dimensions to try, upwards until they stop paying."""

LEAST_MODELS_FOR_FLOORS = 50
"""With fewer models an estimated floor is its prior."""

LEAST_GAIN_SE = 2.0
"""A richer model must gain this many standard errors of the paired difference in held-out log-loss."""


@dataclass(frozen=True)
class Trial:
    """One candidate and its held-out log-losses."""

    choice: ModelChoice
    """The candidate."""
    losses: RowFloats
    """Log-loss of each held-out cell."""

    def gain_over(self, other: "Trial") -> tuple[float, float]:
        """Mean gain in log-loss over another candidate, and its standard error."""
        gain = other.losses - self.losses
        return float(gain.mean()), float(gain.std() / max(1, len(gain)) ** 0.5)


def choose(
    answers: Answers, n_rows: int, settings: IRTSettings, side: Side, device: torch.device
) -> tuple[ModelChoice, tuple[str, ...]]:
    """The model to fit, and one line why where there was a choice.

    Args:
        answers: All answers.
        n_rows: How many they are.
        settings: What is asked for.
        side: Features and floors of the items.
        device: Where to compute.
    """
    if settings.response == "graded":
        grades = count_grades(as_rows(answers).score)
        several = settings.model == "mirt" and settings.dims > 1
        kind = "mirt" if several else "rasch" if settings.model == "rasch" else "2pl"
        return ModelChoice(kind, settings.dims, grades=grades), ()
    if settings.model == "rasch":
        return ModelChoice("rasch"), ()
    if settings.model == "mirt" and settings.dims > 1:
        return ModelChoice("mirt", settings.dims), ()
    if settings.model in ("3pl", "4pl") and settings.dims > 1:
        return ModelChoice(settings.model, settings.dims), ()
    name = settings.model if settings.model in ("3pl", "4pl") else "2pl"
    if settings.model != "auto" and settings.form != "auto":
        return ModelChoice(name, 1, settings.form), ()
    # a stream of its own: the seed alone may be the one that drew the answers
    rng = np.random.default_rng([settings.seed, HOLD_OUT_STREAM])
    auto = settings.model == "auto"
    part, kept_side = thinned(answers, n_rows, side, DIMS_CELLS if auto else FORM_CELLS, rng)
    kept = as_rows(part)
    held = rng.random(len(kept.score)) < HELD_SHARE
    if held.all() or not held.any():
        return ModelChoice(name), (f"too few answers to choose a model by held-out cells; {name.upper()} taken",)
    quick = replace(settings, tolerance=max(settings.tolerance, QUICK_TOLERANCE), max_sweeps=QUICK_SWEEPS)
    train = kept.rows(~held)
    bench = _Bench.of(train, kept.rows(held), kept_side, quick, device)
    return bench.climb() if auto else bench.best_form(name)


@dataclass(frozen=True)
class _Bench:
    """Training and held-out cells on which candidates are tried."""

    train: Answers
    problem: Problem
    held: ResponseMatrix
    side: Side
    settings: IRTSettings

    @staticmethod
    def of(
        train: ResponseMatrix, held: ResponseMatrix, side: Side, settings: IRTSettings, device: torch.device
    ) -> "_Bench":
        answers = RowAnswers(train)
        return _Bench(answers, make_problem(answers, survey(answers), side, settings, device), held, side, settings)

    def try_out(self, choice: ModelChoice) -> Trial:
        state = fit_choice(problem_of(choice, self.problem, self.train, self.side), choice, self.settings)
        posterior = make_posterior(self.train, self.problem, choice, state, self.side)
        return Trial(choice, _losses(posterior, self.held))

    def best_form(self, name: Literal["2pl", "3pl", "4pl"]) -> tuple[ModelChoice, tuple[str, ...]]:
        signed = self.try_out(ModelChoice(name))
        positive = self.try_out(ModelChoice(name, 1, "positive"))
        best, other = (positive, signed) if positive.gain_over(signed)[0] > 0 else (signed, positive)
        return best.choice, (_told(best, other),)

    def climb(self) -> tuple[ModelChoice, tuple[str, ...]]:
        """From Rasch upwards, a richer model wherever it clearly pays."""
        best = self.try_out(ModelChoice("rasch"))
        lines: list[str] = []
        for candidates in self._steps():
            trials = [self.try_out(choice) for choice in candidates]
            trial = min(trials, key=lambda t: float(t.losses.mean()))
            gain, error = trial.gain_over(best)
            if gain > LEAST_GAIN_SE * error:
                lines.append(_told(trial, best))
                best = trial
            elif trial.choice.dims > 2 or trial.choice.name != "mirt":
                lines.append(f"{trial.choice.words} not taken: " + _told(trial, best))
                if trial.choice.dims > best.choice.dims:
                    break
        if self.side.floor is not None:
            best = self._without_guessing(best, lines)
        if best.choice.name == "2pl" and self.can_show_floors():
            best = self._with_asymptotes(best, lines)
        return best.choice, tuple(lines)

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

    def _steps(self) -> Iterator[list[ModelChoice]]:
        forms = [ModelChoice("2pl")]
        if self.settings.form != "signed":
            forms.append(ModelChoice("2pl", 1, "positive"))
        yield forms
        most = min(len(self.train.models) - 1, len(self.train.items) - 1)
        for dims in LADDER:
            if dims < most:
                yield [ModelChoice("mirt", dims)]


def thinned(answers: Answers, n_rows: int, side: Side, most: int, rng: np.random.Generator) -> tuple[Answers, Side]:
    """A part of the models and items, drawn at random, with about as many rows as wanted; all where they are fewer."""
    share = most / n_rows
    if share >= 1:
        return answers, side
    n_models, n_items = len(answers.models), len(answers.items)
    keep_models = int(min(n_models, max(200, n_models * share**0.5)))
    keep_items = int(min(n_items, max(50, n_items * share * n_models / keep_models)))
    models = np.sort(rng.choice(n_models, keep_models, replace=False))
    items = np.sort(rng.choice(n_items, keep_items, replace=False))
    return PartOfAnswers(answers, models, items), side.of(items)


def _losses(posterior: IRTPosterior, held: ResponseMatrix) -> RowFloats:
    return score_log_loss(posterior.probability(held.model_index, held.item_index), held.score)


def _told(trial: Trial, other: Trial) -> str:
    gain, error = trial.gain_over(other)
    loss, before = trial.losses.mean(), other.losses.mean()
    return (
        f"held-out log-loss {loss:.4f} with {trial.choice.words}, {before:.4f} with {other.choice.words} "
        f"(gain {gain:.4f}, standard error {error:.4f})"
    )
