"""`Fit`, the result of all fits: posterior, settings to fit it again, and status; stored as a folder.

`Fit.predict` and `Fit.plot` are shorthands for functions of later rooms, which are looked up by name when called.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd

from capscope.data import AgentDesign, ArrowTable, Responses, Study, subjects_of
from capscope.display import html_table
from capscope.errors import FitError, InputError
from capscope.files import MANIFEST, TENSORS, read_tensors, refuse_lengths, write_tensors
from capscope.fit.irt.posterior import IRTPosterior
from capscope.fit.irt_study import fit_answers, irt_settings
from capscope.fit.outcome import HeldOut, Meter, NothingHeldOutError, Outcome, Status, held_out_rows
from capscope.fit.posterior import Posterior, low_reliability, to_arviz
from capscope.fit.settings import KINDS, MODELS, StudyFitSettings

SCHEMA = 1
CHOSEN, COMPARED, NOT_TAKEN = "auto took ", "held-out log-loss ", " not taken: "
"""Beginnings of the lines of advice that record the choice of the model, and a part of one of them."""
REMEDY = "make one with 'capscope fit STUDY --out FIT'"

PosteriorT = TypeVar("PosteriorT", bound=Posterior)
FitKind = Callable[[Study, Responses, StudyFitSettings, Callable[[float], None] | None], Outcome[Any]]


@dataclass(frozen=True)
class Fit(Generic[PosteriorT]):
    """A fitted model."""

    posterior: PosteriorT
    """The posterior distribution."""
    settings: StudyFitSettings | None
    """Settings, sufficient to fit again; None for a fit that was stored without them."""
    status: Status
    """Convergence status of the search."""
    history: tuple[float, ...] = ()
    """One number for each sweep or step: the change (variational engine) or the objective (the others)."""
    design: AgentDesign | None = None
    """Model, scaffold and effort of each subject; None where no facet varies."""

    @classmethod
    def of(
        cls, outcome: Outcome[PosteriorT], settings: StudyFitSettings | None, design: AgentDesign | None = None
    ) -> "Fit[PosteriorT]":
        """Make a fit of the result of an engine and its settings; a warning on unreliable abilities comes first.

        Args:
            outcome: Result of the engine.
            settings: Settings of the fit.
            design: Parts of its subjects.
        """
        status = outcome.status.with_advice(*low_reliability(outcome.posterior), first=True)
        return cls(outcome.posterior, settings, status, outcome.history, design)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return self.posterior.models

    @property
    def model_name(self) -> str:
        """Name of the model that was fitted; the one that was chosen where ``auto`` was asked for."""
        return self.posterior.model_name

    @property
    def engine(self) -> str:
        """Name of the engine that fitted it."""
        return self.refit_settings.engine_name

    @property
    def device(self) -> str:
        """Device on which it is fitted on this machine."""
        from capscope.fit.engines.variational.problem import pick_device

        return str(pick_device(self.refit_settings.device))

    @property
    def refit_settings(self) -> StudyFitSettings:
        """Settings that fit this model again: with the choices that were made on held-out answers."""
        return refit_settings(self.posterior, self.settings)

    @property
    def why(self) -> str:
        """The chosen model and the reason, in one sentence."""
        lines = self.status.advice
        chosen = next((line for line in lines if line.startswith(CHOSEN)), "")
        if not chosen:
            return f"{self.model_name}, as asked for: {MODELS[self.model_name].help.removeprefix('and ')}"
        words = chosen.removeprefix(CHOSEN).split(":")[0]
        evidence = [line for line in lines if line.startswith(COMPARED) and f" with {words}, " in line]
        return f"{chosen} ({evidence[-1]})" if evidence else chosen

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks on the data or the fit: the advice without the record of the model choice."""
        choice = (CHOSEN, COMPARED)
        return tuple(line for line in self.status.advice if not line.startswith(choice) and NOT_TAKEN not in line)

    def reliability(self) -> dict[str, float]:
        """Share of the abilities' variance over the models that is not posterior uncertainty, by dimension."""
        return self.posterior.reliability()

    def abilities(self, level: float = 0.9) -> pd.DataFrame:
        """Abilities of the models with intervals.

        Args:
            level: Nominal coverage of the bounds.

        Returns:
            One row for each model and dimension: ``model, dim, ability, sd, lower, upper``.
        """
        return self.posterior.abilities(level)

    def items(self, level: float = 0.9) -> pd.DataFrame:
        """Estimates of the items; no rows for a fit of demand levels alone.

        Args:
            level: Nominal coverage of the bounds.
        """
        return self.posterior.item_table(level)

    def predict(
        self,
        items: Study | pd.DataFrame | ArrowTable | Sequence[str] | Path | str,
        *,
        model: str | None = None,
        explain: bool = False,
        level: float = 0.9,
        seed: int = 0,  # noqa: ANN401 - a frame, a study, texts
    ) -> Any:  # noqa: ANN401 - a class of a later room
        """Predict the chances of the models on items; `capscope.predict` with this fit, which has more settings.

        Args:
            items: A study or a table of items, a list of texts, or the path of one.
            model: Predict this model only.
            explain: Split each chance's log-odds into parts.
            level: Nominal coverage of the intervals, as a share.
            seed: Seed of the draws.

        Returns:
            `capscope.Predictions`.
        """
        settings = {"model": model, "explain": explain, "level": level, "seed": seed}
        return resolve_name("capscope.predict:predict")(self, items, **settings)

    def plot(self, models: Sequence[str] | None = None, level: float = 0.9) -> Any:  # noqa: ANN401 - see capscope.report
        """Draw the abilities: profiles as radars for a fit of curves, else general abilities with intervals.

        Args:
            models: Models to draw; by default all.
            level: Nominal coverage of the intervals.

        Returns:
            A `capscope.report.Picture`, which notebooks show and which can be saved.
        """
        return resolve_name("capscope.report:plot_fit")(self, models, level)

    def held_out(self, data: Study | Responses, share: float = 0.2) -> HeldOut[PosteriorT]:
        """Fit again with the same settings, on part of the answers, and predict the rest.

        Args:
            data: The study (or, for an item response fit, the answers) that the fit was made from.
            share: Share of the answers to hold out, drawn with the settings' seed.

        Raises:
            FitError: The share lies outside (0, 1), or the fit needs what the data do not hold.
        """
        settings = self.refit_settings
        if isinstance(data, Study):
            return hold_out(data, settings, share)
        return _hold_out_rows(data, share, settings, lambda rows: _refitted(self.posterior, rows, settings))

    def to_inferencedata(self, responses: Responses | None = None, draws: int = 400, seed: int = 0) -> Any:  # noqa: ANN401 - arviz is optional, so its types cannot be named here
        """Export draws to ArviZ's ``InferenceData``.

        Args:
            responses: The responses of the fit, for an item response fit; they add the log-likelihood of each row.
            draws: Number of draws from a Gaussian posterior.
            seed: Seed of those draws.

        Raises:
            MissingExtraError: arviz is not installed.
        """
        return to_arviz(self.posterior, responses, draws, seed)

    def save(self, folder: Path | str, *, force: bool = True) -> Path:
        """Write the fit as a folder: a manifest and tensors, whole or not at all.

        Args:
            folder: Folder to write.
            force: An existing fit may be replaced.

        Raises:
            OutputError: The folder holds something else, or cannot be written.
        """
        manifest, tensors = self.posterior.manifest()
        stored = {"schema": SCHEMA, **manifest, **_status_manifest(self.status, self.history)}
        if self.settings is not None:
            stored["settings"] = self.settings.as_dict()
        if self.design is not None:
            stored["agents"] = self.design.as_dict()
        return write_tensors(Path(folder), stored, tensors, force=force, what="fit")

    @staticmethod
    def load(folder: Path | str) -> "Fit[Any]":
        """Read a fit of any kind; see `load_fit`."""
        return load_fit(folder)

    def __repr__(self) -> str:
        """A few lines: what was fitted, to how many models, how it ended, and the first advice."""
        posterior, n_items = self.posterior, len(self.items())
        lines = [
            f"Fit: {posterior.model_name} by {self.engine}, {self.status.code}",
            f"  {len(posterior.models):,} models, {f'{n_items:,} items, ' if n_items else ''}"
            f"dimensions: {', '.join(posterior.dim_names)[:80]}",
        ]
        return "\n".join([*lines, *(f"  - {line[:160]}" for line in self.status.advice[:3])])

    def _repr_html_(self) -> str:
        note = " ".join(f"{line}." for line in (f"Status: {self.status.code}", *self.status.advice))
        return html_table(f"Fit of {self.posterior.model_name}: abilities", self.abilities(), note)


def hold_out(study: Study, settings: StudyFitSettings, share: float) -> HeldOut[Any]:
    """Fit on part of a study's answers and predict the rest.

    Args:
        study: The study.
        settings: What to fit.
        share: Share of the answers to hold out, drawn with the settings' seed.

    Raises:
        FitError: The share lies outside (0, 1), or the rest cannot support the model.
    """
    fit_kind: FitKind = KINDS[MODELS[settings.model].kind].load_fit()
    study, _ = subjects_of(study, settings.subject_facets)
    return _hold_out_rows(
        Responses.of(study), share, settings, lambda rows: fit_kind(study, rows, settings, None), study
    )


def _hold_out_rows(
    responses: Responses,
    share: float,
    settings: StudyFitSettings,
    refit: Callable[[Responses], Outcome[Any]],
    study: Study | None = None,
) -> HeldOut[Any]:
    if not 0 < share < 1:
        raise FitError(f"--holdout {share:g} is not a share of the answers; use a number between 0 and 1")
    rows = held_out_rows(len(responses.score), share, settings.seed)
    training, test = responses.rows(~rows), responses.rows(rows)
    del responses  # of a large study there is no room for them beside their parts
    if not len(training.score) or not len(test.score):
        raise NothingHeldOutError(f"--holdout {share:g} leaves no answers to fit or to predict; use another share")
    meter = Meter()
    outcome = refit(training)
    cost = meter.read()
    chance = outcome.posterior.answer_chances(test, study, settings.annotator)
    return HeldOut(outcome, test, chance, len(training.score), cost)


def _refitted(posterior: Posterior, training: Responses, settings: StudyFitSettings) -> Outcome[Any]:
    """Fit an item response model to answers without a study: floors are those of the fit."""
    from capscope.fit.engines.variational.fitting import fit_variational

    if not isinstance(posterior, IRTPosterior):
        raise FitError(f"a fit of {posterior.model_name} is made again from a study with demands; give the study")
    if len(posterior.population.center):
        raise FitError("a fit with item features cannot be made again from answers alone; use fit_irt with features")
    floor = None
    if posterior.extras is None and posterior.floor.any():
        floor = posterior.floor[posterior.item_index(training.items)]
    loads_on = posterior.loads_on
    if loads_on is not None:
        return fit_variational(training, irt_settings(settings), floor=floor, loads_on=loads_on)
    return fit_answers(training, settings, floor)


AnyFit = Fit[Any]
"""A fit of any kind."""


def refit_settings(posterior: Posterior, settings: StudyFitSettings | None) -> StudyFitSettings:
    """Settings that fit this model again.

    Args:
        posterior: A fit's posterior.
        settings: What was asked for; None where it was not stored: then it is read off the posterior.
    """
    known = settings or StudyFitSettings(model=posterior.model_name, **_inferred(posterior))
    if not isinstance(posterior, IRTPosterior):
        return known
    several = posterior.dims > 1 and not MODELS[posterior.model_name].several
    taken = {"model": "mirt" if several else posterior.model_name, "dims": posterior.dims}
    if known.form == "auto" and posterior.dims == 1 and posterior.model_name in ("2pl", "3pl", "4pl"):
        taken["form"] = posterior.population.form if known.response == "auto" else "auto"
    if known.model == "auto" and posterior.extras is None:
        taken["chance"] = "use" if posterior.floor.any() else "ignore"
    return replace(known, **taken)


def _inferred(posterior: Posterior) -> dict[str, Any]:
    """Settings that follow from a posterior, where they were not stored."""
    if not isinstance(posterior, IRTPosterior):
        return {}
    inferred: dict[str, Any] = {"dims": posterior.dims}
    if posterior.extras is None:
        inferred["chance"] = "use" if posterior.floor.any() else "ignore"
    else:
        inferred["response"] = posterior.extras.score_model().name
    return inferred


def load_fit(folder: Path | str) -> Fit[Any]:
    """Read a fit of any kind.

    Args:
        folder: Folder written by `Fit.save`.

    Returns:
        The fit.

    Raises:
        InputError: The folder holds no fit, one of another version, or tensors that do not match the manifest.
    """
    folder = Path(folder)
    manifest, tensors = read_tensors(folder, "fit", REMEDY)
    if manifest.get("kind") == "bank":
        raise InputError(f"{folder}: this is a bank, not a fit; {REMEDY}")
    if manifest.get("schema") != SCHEMA or str(manifest.get("kind")) not in KINDS:
        raise InputError(f"{folder}: this fit was written by another version of capscope; fit again")
    posterior_class: Any = KINDS[manifest["kind"]].load()
    try:
        _refuse_axes(folder, posterior_class.axes(manifest), manifest, tensors)
        posterior = posterior_class.read(manifest, tensors)
        status = Status(manifest["converged"], manifest["code"], tuple(manifest["advice"]))
        stored = manifest.get("settings")
        settings = None if stored is None else StudyFitSettings.from_dict(stored)
        design = AgentDesign.from_dict(manifest["agents"]) if "agents" in manifest else None
        return Fit(posterior, settings, status, tuple(manifest["history"]), design)
    except KeyError as error:
        raise InputError(f"{folder}: the fit lacks {error}; {REMEDY}") from None
    except (TypeError, ValueError, FitError) as error:
        raise InputError(f"{folder}: the fit is damaged ({error}); {REMEDY}") from None


load = load_fit
"""Name of `load_fit` at the top level of the package."""


def _refuse_axes(
    folder: Path, axes: Mapping[str, tuple[str, ...]], manifest: dict[str, Any], tensors: dict[str, np.ndarray]
) -> None:
    for name, keys in axes.items():
        for axis, key in enumerate(keys):
            if key:
                refuse_lengths(folder, "fit", tensors, {name: (axis, manifest[key])}, REMEDY)


def is_fit(folder: Path | str) -> bool:
    """Whether a folder looks like a fit; `load_fit` says whether it is one.

    Args:
        folder: Any path; it need not exist.

    Returns:
        Whether it has the manifest of a fit.
    """
    return (Path(folder) / MANIFEST).is_file() or (Path(folder) / TENSORS).is_file()


def save_fit(fit: Fit[Any], folder: Path | str) -> None:
    """Write a fit; a fit already in the folder is replaced. See `Fit.save`.

    Args:
        fit: The fit.
        folder: Folder to write.
    """
    fit.save(folder)


def _status_manifest(status: Status, history: tuple[float, ...]) -> dict[str, Any]:
    return {
        "converged": status.converged,
        "code": status.code,
        "advice": list(status.advice),
        "history": list(history),
    }
