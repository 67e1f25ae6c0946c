"""Audit of a study: rows out of step, wrong keys, odd levels, copies, items that do not separate models."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.axes import AGENT_FACETS, FloatArray
from capscope.data import Responses, Study, subjects_of
from capscope.errors import InputError, counted
from capscope.fit import IRTPosterior, IRTSettings, fit_irt, item_chance
from capscope.profiles.auditing.copies import AnswerMarks, copy_suspects
from capscope.profiles.auditing.findings import Audit, Suspects, make_audit, suspects
from capscope.profiles.auditing.item_curves import ItemKinds, ModelAbilities, item_kinds
from capscope.profiles.auditing.row_order import rows_out_of_step, step_suspects
from capscope.profiles.auditing.texts import level_suspects
from capscope.profiles.item_groups import Places, opened, places_of

FEWEST_MODELS, FEWEST_ITEMS = 8, 10


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """Settings of an audit."""

    rate: float = 0.2
    """Expected share of false findings among those listed of each kind."""
    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self) -> None:
        """Validate the rate.

        Raises:
            InputError: The rate lies outside (0, 1).
        """
        if not 0 < self.rate < 1:
            raise InputError(f"--false-rate {self.rate:g} is not a share; use a number between 0 and 1")


def audit(study: Study | str | Path, settings: AuditSettings = AuditSettings()) -> Audit:
    """Find wrong keys, copies, odd demand levels, items that do not separate models, and rows assigned to wrong items.

    Rows assigned to wrong items are left out before items are classified.

    Args:
        study: A study with responses or texts, or its folder.
        settings: Rate of false discoveries, and the seed.

    Returns:
        Findings by kind, each with its probability; `Audit.listed` are those that the rate allows.

    Raises:
        InputError: The study has neither answers nor texts.
    """
    study = opened(study)
    if study.responses is None and (study.items is None or study.items["text"].isna().all()):
        raise InputError(f"{study.name}: an audit needs answers or texts; add responses.parquet or texts to the items")
    kinds: list[Suspects] = []
    notes: list[str] = []
    fits: list[BenchmarkFit] = []
    marks: AnswerMarks | None = None
    if study.responses is not None:
        study, _ = subjects_of(study, AGENT_FACETS)
    if study.responses is None:
        notes.append("no answers: only texts and levels were looked at")
    else:
        responses = Responses.of(study)
        places = places_of(study, responses.items)
        if len(responses.models) < FEWEST_MODELS:
            notes.append(f"{counted(len(responses.models), 'model')} answered; keys and order need {FEWEST_MODELS}")
        else:
            every = responses
            step = step_suspects(responses, places, settings.rate)
            misassigned = rows_out_of_step(step, responses, places)
            responses = responses.rows(~misassigned) if misassigned.any() else responses
            fits = _fits(study, responses, places, settings.seed)
            kinds += [step.suspects, *_item_suspects(fits)]
            marks = AnswerMarks(every, {one.kinds.items: (one.posterior, one.discount) for one in fits})
            del every
        del responses  # what follows needs the marks alone
    kinds += copy_suspects(study, marks, settings.seed)
    kinds += level_suspects(study, settings.seed)
    return make_audit(kinds, settings.rate, tuple(notes))


audit_study = audit
"""Name of `audit` in version 0.1."""


@dataclass(frozen=True)
class BenchmarkFit:
    """Fit and item classes of one benchmark."""

    places: Places
    posterior: IRTPosterior
    kinds: ItemKinds
    discount: float


def _fits(study: Study, responses: Responses, places: Places, seed: int) -> list[BenchmarkFit]:
    fits: list[BenchmarkFit] = []
    floor = item_chance(study, responses.items)
    for benchmark in np.unique(places.benchmark):
        items = np.flatnonzero(places.benchmark == benchmark)
        part = _restricted(responses, items)
        if len(part.models) < FEWEST_MODELS or len(items) < FEWEST_ITEMS:
            continue
        posterior = fit_irt(part, IRTSettings(model="2pl", form="signed", seed=seed)).posterior
        discount = independent_share(posterior, part)
        ability = ModelAbilities(posterior.ability_mean[:, 0], posterior.ability_cov[:, 0, 0])
        kinds = item_kinds(part, ability, discount, None if floor is None else floor[items])
        fits.append(BenchmarkFit(places.take(items), posterior, kinds, discount))
    return fits


def _restricted(responses: Responses, items: np.ndarray) -> Responses:
    """Return the answers to some items, over the models that answered any of them."""
    place = np.full(len(responses.items), -1)
    place[items] = np.arange(len(items))
    part = responses if (place >= 0).all() else responses.rows(place[responses.item_index] >= 0)
    used = np.bincount(part.model_index, minlength=len(responses.models)) > 0
    if used.all() and len(items) == len(place) and (np.diff(items) > 0).all():
        return part
    models = tuple(responses.models[m] for m in np.flatnonzero(used))
    ids = tuple(responses.items[i] for i in items)
    at = (np.cumsum(used) - 1)[part.model_index]
    return replace(part, models=models, items=ids, model_index=at, item_index=place[part.item_index])


def independent_share(posterior: IRTPosterior, responses: Responses) -> float:
    """Effective share of independent models, from the correlations of their residuals.

    With residual correlations ``c`` it is ``1 / (1 + (M - 1) mean c^2)``, chance correlations taken off; it is 1 for
    models that share nothing but ability, and near ``1 / M`` for M copies of one model.

    Args:
        posterior: A fit to these responses.
        responses: All answers.
    """
    residual = np.zeros((len(responses.models), len(responses.items)), np.float32)
    for first, part in responses.model_parts():
        score = part.dense().score
        model, item = np.nonzero(np.isfinite(score))
        chance = posterior.probability(first + model, item)
        spread = np.sqrt(np.maximum(chance * (1 - chance), 1e-4))
        residual[first + model, item] = np.clip((score[model, item] - chance) / spread, -5, 5)
    norm = np.maximum(np.linalg.norm(residual, axis=1), 1e-9)
    if len(norm) > len(responses.items):  # the squares of all correlations have the sum of those of the smaller product
        unit = residual / norm[:, None]
        total = float(((unit.T @ unit).astype(float) ** 2).sum())
    else:
        products = residual @ residual.T
        products /= np.outer(norm, norm)
        total = float(np.square(products, out=products).sum())
    squares = (total - len(norm)) / max(len(norm) * (len(norm) - 1), 1)
    beyond_chance = max(squares - 1 / len(responses.items), 0.0)
    return 1 / (1 + (len(norm) - 1) * beyond_chance)


def _item_suspects(fits: list[BenchmarkFit]) -> list[Suspects]:
    """Collect suspects among the items of all benchmarks, which share one rate of false discoveries."""
    if not fits:
        return []
    place = pd.concat([one.places.table() for one in fits], ignore_index=True)
    ids = np.concatenate([np.array(one.kinds.items) for one in fits])
    halves = [text for one in fits for text in _halves_words(one.kinds)]
    counts = [text for one in fits for text in _count_words(one.kinds)]
    chance = np.concatenate([one.kinds.chance for one in fits])
    saturated = np.concatenate([one.kinds.saturated for one in fits])
    impossible = np.concatenate([one.kinds.impossible for one in fits])
    against: FloatArray = chance[:, 1] + chance[:, 2]
    return [
        suspects("wrong key", ids, chance[:, 1], halves, place),
        suspects("failed by better models", ids, against, halves, place),
        suspects("saturated", ids, saturated, counts, place),
        suspects("impossible", ids, impossible, counts, place),
    ]


def _halves_words(kinds: ItemKinds) -> list[str]:
    return [
        f"the better half of the models passes {strong:.0%}, the other half {weak:.0%} ({answers:.0f} answers)"
        for strong, weak, answers in zip(kinds.strong, kinds.weak, kinds.answers, strict=True)
    ]


def _count_words(kinds: ItemKinds) -> list[str]:
    return [f"{right:g} of {answers:g} right" for right, answers in zip(kinds.right, kinds.answers, strict=True)]
