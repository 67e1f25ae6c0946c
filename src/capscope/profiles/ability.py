"""Ability profiles of models from any kind of fit.

A profile has the abilities of each model with intervals, a general ability, and the share of the profiles' variance
that the general factor explains. For a fit with several abilities, expected scores come first.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from capscope.data import Study
from capscope.display import ArrowTables, html_table
from capscope.errors import InputError, counted, first_few, nearest
from capscope.fit import CurvePosterior, Fit, IRTPosterior, Posterior, load_fit
from capscope.intervals import Interval
from capscope.profiles.directions import (
    dimension_abilities,
    general_ability,
    general_factor_share,
    general_share,
    named_dimensions,
)
from capscope.profiles.item_groups import expected_scores, opened
from capscope.profiles.meanings import (
    ABILITY_COLUMNS,
    DIRECTION_COLUMNS,
    SCORE_COLUMNS,
    curve_cautions,
    leading,
    meaning_of,
    named_dims,
    reliability_notes,
    table_lines,
)
from capscope.profiles.own_confidence import knowledge_lines, self_knowledge

UNITS = {
    "irt": "one unit is a standard deviation of ability over the fitted models",
    "curves": "abilities are in demand levels: the area under the success curve over levels 0 to 10",
    "demand": "`general` is in log-odds at mean demands; other rows are log-odds for one more level of a demand, less"
    " negative is better",
}
"""Unit of ability, by kind of fit."""
NO_UNIT = "the fitted models do not differ, so that abilities have no unit: their numbers are the prior's"
ALIKE = 0.01
"""Standard deviation of abilities below which models count as equal."""
SCORED_CELLS, FEWEST_SCORED, SCORE_DRAWS = 200_000, 50, 100
"""Expected scores without a study: largest number of model-item cells, fewest items, and number of draws."""

MONTE_CARLO_ERROR = 0.005
"""Largest difference of expected scores that can result from the draws alone."""


@dataclass(frozen=True)
class AbilityProfiles(ArrowTables):
    """Ability profiles of the models of a fit."""

    table: pd.DataFrame
    """Columns model, dim, ability, sd, lower, upper; of a curve fit also classical and answers."""
    level: float
    """Nominal coverage of the bounds."""
    general_share: Interval
    """Share of the profiles' variance on the first principal component; NaN where dimensions have no common scale."""
    classical_general_share: float
    """The same share for the classical point estimates of a curve fit; NaN where there are none."""
    unit: str = ""
    """Unit of the abilities."""
    general: pd.DataFrame | None = None
    """General ability of each model: columns model, ability, sd, lower, upper, most able first."""
    reliability: float = float("nan")
    """Share of the variance of the general ability over the models that is not posterior uncertainty."""
    kind: str = "irt"
    """Kind of the fit."""
    cautions: tuple[str, ...] = ()
    """Curves that are extrapolated, or that rank models against their raw scores."""
    scores: pd.DataFrame | None = None
    """Expected scores (see `expected_scores`), where the fit has several abilities or its study was given."""
    directions: pd.DataFrame | None = None
    """Abilities along the directions of a fit with several: columns model, dim, evidence, ability, sd, lower, upper."""
    self_knowledge: pd.DataFrame | None = None
    """Calibration of models' own confidence (see `self_knowledge`), where the study has it."""

    no_order: str = ""
    """Why the models of the fit cannot be ranked; empty where they can."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Limitations of the profiles, most important first."""
        return (self.no_order,) if self.no_order else reliability_notes(self.reliability)

    def of(self, model: str) -> pd.DataFrame:
        """Return one model's rows, strongest dimension first.

        Raises:
            InputError: The fit has no such model.
        """
        rows = self.only(model).table
        return rows.sort_values("ability", ascending=False, kind="stable")

    def only(self, model: str) -> "AbilityProfiles":
        """Return the profile of one model.

        Raises:
            InputError: The fit has no such model.
        """
        known = tuple(dict.fromkeys(self.table["model"]))
        if model not in known:
            hint = nearest(model, known)
            raise InputError(f"the fit has no model '{model}'{hint}; it has {first_few(known)}")
        tables = {"table": self.table, "general": self.general, "scores": self.scores, "directions": self.directions}
        tables["self_knowledge"] = self.self_knowledge
        rows = {name: None if one is None else one[one["model"] == model] for name, one in tables.items()}
        return replace(self, **rows)  # pyright: ignore[reportArgumentType]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        result: dict[str, Any] = {"level": self.level, "unit": self.unit, "notes": list(self.notes)}
        if "classical" in self.table:
            share = self.general_share
            result["general_factor_share"] = {"point": share.point, "lower": share.lower, "upper": share.upper}
            result["classical_general_factor_share"] = self.classical_general_share
        result["reliability"] = self.reliability
        result["general"] = [] if self.general is None else self.general.to_dict("records")
        result |= {"meaning": self.meaning, "cautions": list(self.cautions)}
        for name, table in (("expected_scores", self.scores), ("directions", self.directions)):
            result[name] = [] if table is None else table.to_dict("records")
        if self.self_knowledge is not None:
            result["self_knowledge"] = self.self_knowledge.to_dict("records")
        return result | {"abilities": self.table.to_dict("records")}

    @property
    def meaning(self) -> str:
        """Sentence that explains the unit of ability with the first model's ability."""
        return meaning_of(self.kind, self.general, self.table)

    @property
    def has_unnamed(self) -> bool:
        """Whether the abilities are unnamed directions of a multidimensional fit."""
        return bool(self.table["dim"].astype(str).str.fullmatch(r"ability \d+").all())

    def as_text(self) -> str:
        """Return the leading model, then tables with legends."""
        parts = [f"note: {note}" for note in (*self.notes, *self.cautions)]
        general = self.general
        if general is not None and len(general):
            best = general if self.scores is None else _level_where_alike(self.scores, general)
            what = "ability" if self.scores is None else "expected"
            parts += [] if self.no_order else [leading(best, self.level, what), self.meaning]
        if self.scores is not None:
            parts += _score_lines(self.scores, self.level)
        if self.self_knowledge is not None and len(self.self_knowledge):
            parts += knowledge_lines(self.self_knowledge, self.level)
        several = self.table["dim"].nunique() > 1
        if several and general is not None and "general" not in set(self.table["dim"]):
            parts += [f"\nGeneral ability, {self.level:.0%} intervals; {self.unit}", table_lines(general)]
        if self.has_unnamed:
            return "\n".join([*parts, *_direction_lines(self.directions, self.table["dim"].nunique(), self.level)])
        ordered = _by_ability(self.table, general) if not several else self.table
        ordered = ordered.astype({"answers": int}) if "answers" in ordered else ordered
        parts += [f"\n{self.level:.0%} intervals; {self.unit}", table_lines(named_dims(ordered))]
        return "\n".join([*parts, ABILITY_COLUMNS[self.kind]])

    def __repr__(self) -> str:
        models, dims = self.table["model"].nunique(), self.table["dim"].nunique()
        return (
            f"AbilityProfiles({counted(models, 'model')} on {counted(dims, 'dimension')},"
            f" reliability {self.reliability:.2f})"
        )

    def _repr_html_(self) -> str:
        note = " ".join([*self.notes, f"Bounds of {self.level:.0%} intervals; {self.unit}."])
        return html_table("Ability profiles", self.table, note)


def _level_where_alike(scores: pd.DataFrame, general: pd.DataFrame) -> pd.DataFrame:
    """Expected scores on all items; models that differ from the first by Monte Carlo error alone get its score.

    These have the same ability, or the same numbers of right and of all answers, and a score within half a point.
    """
    rows = scores[scores["scope"] == "all"]
    first, ability = rows.iloc[0], rows["model"].map(general.set_index("model")["ability"])
    alike = np.isclose(ability, ability.iloc[0], rtol=0, atol=1e-6)
    alike |= (rows["observed"] == first["observed"]) & (rows["answers"] == first["answers"])
    alike &= (rows["expected"] - first["expected"]).abs() < MONTE_CARLO_ERROR
    level = rows.assign(expected=rows["expected"].mask(alike, first["expected"]))
    return level.sort_values("expected", ascending=False, kind="stable")


def _score_lines(scores: pd.DataFrame, level: float) -> list[str]:
    """Tables of expected scores: all items, then each benchmark where there are several."""
    names = scores.loc[scores["scope"] == "benchmark", "name"].nunique()
    parts: list[str] = []
    for (scope, name), rows in scores.groupby(["scope", "name"], sort=False):
        if scope == "all" or names > 1:
            title = "all items" if scope == "all" else str(name)
            shown = rows.drop(columns=["scope", "name", "items"])
            shown = shown if shown["answers"].any() else shown.drop(columns=["answers", "observed"])
            head = f"\nExpected score on {title} ({rows['items'].iloc[0]} items, {level:.0%} intervals):"
            parts += [head, table_lines(shown)]
    return [*parts, SCORE_COLUMNS]


def _direction_lines(directions: pd.DataFrame | None, dims: int, level: float) -> list[str]:
    """Named directions as tables; unnamed ones are counted only."""
    if dims < 2:
        return []
    if directions is None:
        return [f"\nThe fit has {dims} directions without a name; --study STUDY names them where tasks or demands do."]
    parts: list[str] = []
    for (name, evidence), rows in directions.groupby(["dim", "evidence"], sort=False):
        if not str(name).startswith("unnamed"):
            best = rows.sort_values("ability", ascending=False, kind="stable").drop(columns=["dim", "evidence"])
            parts += [f"\nBeyond the general ability, {name} ({evidence}), {level:.0%} intervals:", table_lines(best)]
    parts += [DIRECTION_COLUMNS] if parts else []
    unnamed = int(directions.loc[directions["dim"].str.startswith("unnamed"), "dim"].nunique())
    if unnamed:
        what = "1 direction has" if unnamed == 1 else f"{unnamed} directions have"
        parts.append(f"\n{what} no name: no benchmark, task or demand clearly loads there. --json has the abilities.")
    return parts


def _by_ability(table: pd.DataFrame, general: pd.DataFrame | None) -> pd.DataFrame:
    """Rows in the order of the general abilities, most able first."""
    if general is None:
        return table
    place = {model: number for number, model in enumerate(general["model"])}
    return table.sort_values("model", key=lambda names: names.map(place), kind="stable")


def profile(
    fit: Fit[Any] | Posterior | str | Path,
    model: str | None = None,
    *,
    level: float = 0.9,
    study: Study | str | Path | None = None,
) -> AbilityProfiles:
    """Profile the models of a fit.

    Args:
        fit: A fit of any kind, its posterior, or the folder it is stored in.
        model: One model only; by default all. A name such as ``model + scaffold`` may join parts that were not seen
            together.
        level: Nominal coverage of the bounds.
        study: The study it was made from, or its folder: adds expected scores by benchmark, and names directions of a
            fit with several abilities by the benchmarks, tasks and demands they load on.

    Returns:
        Abilities by model and dimension with intervals, and a general ability for each model.

    Raises:
        InputError: The folder holds no fit, or the fit has no such model.

    Examples:
        >>> profile("fits/mirt", "gpt-4o").table  # doctest: +SKIP
    """
    if isinstance(fit, str | Path):
        fit = load_fit(Path(fit))
    if not isinstance(fit, Fit | Posterior):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"the fit is {type(fit).__name__}; give a fit, its posterior or its folder")
    if isinstance(fit, Fit) and fit.design is not None and model is not None:
        from capscope.fit import with_named_agent

        fit = with_named_agent(fit, model)
    posterior: Posterior = fit.posterior if isinstance(fit, Fit) else fit
    profiles = replace(ability_profiles(posterior, level), no_order=fit.status.no_order if isinstance(fit, Fit) else "")
    profiles = _with_scores(profiles, posterior, None if study is None else opened(study))
    return profiles if model is None else profiles.only(model)


def _with_scores(profiles: AbilityProfiles, posterior: Posterior, study: Study | None) -> AbilityProfiles:
    """Add expected scores, and named directions where the fit has several abilities and there is a study."""
    several = isinstance(posterior, IRTPosterior) and posterior.dims > 1
    if study is None and not several:
        return profiles
    if study is None:
        scores = expected_scores(posterior, _items_of(posterior), level=profiles.level, draws=SCORE_DRAWS)
        return replace(profiles, scores=scores[scores["scope"] == "all"])
    scores, directions = expected_scores(posterior, study, level=profiles.level), None
    profiles = _with_own_knowledge(profiles, study, posterior.models)
    if isinstance(posterior, IRTPosterior) and several:
        named = named_dimensions(posterior, study)[1:]
        directions = dimension_abilities(posterior, named, profiles.level)
        directions.insert(2, "evidence", directions["dim"].map({one.name: one.evidence for one in named}))
    return replace(profiles, scores=scores, directions=directions)


def _with_own_knowledge(profiles: AbilityProfiles, study: Study, models: tuple[str, ...]) -> AbilityProfiles:
    """Add the self-knowledge of the fit's models, or a caution where confidences are invalid."""
    try:
        table = self_knowledge(study, profiles.level)
    except InputError as error:
        return replace(profiles, cautions=(*profiles.cautions, f"self-knowledge is left out: {error}"))
    rows = None if table is None else table[table["model"].isin(models)].reset_index(drop=True)
    return profiles if rows is None or not len(rows) else replace(profiles, self_knowledge=rows)


def _items_of(posterior: Posterior) -> Study:
    """The items of a fit as a study; of many items, a systematic sample by id."""
    items = posterior.item_table()["item"].astype(str).sort_values()
    most = max(FEWEST_SCORED, SCORED_CELLS // len(posterior.models))
    chosen = items.iloc[np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)]
    return Study.of(pd.DataFrame({"item_id": chosen.to_numpy(), "benchmark": "all"}), name="the fit's items")


def ability_profiles(fit: Posterior | Fit[Any], level: float = 0.9) -> AbilityProfiles:
    """Summarise the posterior of a fit of any kind as profiles.

    Args:
        fit: A fit, or its posterior.
        level: Nominal coverage of the bounds.

    Returns:
        Overall ability and abilities by dimension of each model, with bounds.
    """
    posterior: Posterior = fit.posterior if isinstance(fit, Fit) else fit
    general = general_ability(posterior, level)
    signal, error = float(general["ability"].var(ddof=0)), float((general["sd"] ** 2).mean())
    share, classical = Interval(float("nan"), float("nan"), float("nan"), level), float("nan")
    if isinstance(posterior, CurvePosterior):
        share = general_share(posterior.ability, level)
        classical = general_factor_share(posterior.classical.ability)
    reliability = signal / (signal + error) if signal + error > 0 else float("nan")
    table, unit = posterior.abilities(level), UNITS[posterior.kind]
    if posterior.kind == "irt" and float(table["ability"].std(ddof=0)) < ALIKE:
        unit = NO_UNIT
    general = general.sort_values("ability", ascending=False, kind="stable").reset_index(drop=True)
    cautions = curve_cautions(posterior) if isinstance(posterior, CurvePosterior) else ()
    return AbilityProfiles(table, level, share, classical, unit, general, reliability, posterior.kind, cautions)
