"""Explanation of a benchmark: demand profile, claims, and what makes its items difficult (Zhou et al., 2026)."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from capscope.axes import AGENT_FACETS, LEVELS, Float
from capscope.data import Demands, Responses, Study, refuse_foreign_demands, subjects_of
from capscope.display import ArrowTables, html_table, short_repr
from capscope.errors import FitError, InputError, counted, first_few, nearest
from capscope.fit import IRTSettings, fit_irt, item_chance
from capscope.intervals import cluster_draws
from capscope.profiles.benchmark.difficulty_decomposition import (
    DifficultyShares,
    Features,
    HeldOutShares,
    difficulties,
    difficulty_shares,
    held_out_shares,
    text_features,
)
from capscope.profiles.benchmark.model_spread import Separation, separation
from capscope.profiles.benchmark.structure import DemandContrast, DemandStructure, demand_contrast, demand_structure
from capscope.profiles.item_groups import clusters_of, of_benchmark, opened

SENSITIVE_MEAN, SENSITIVE_SD = 2.0, 1.0
"""A set is sensitive to a dimension when its levels have at least this mean and this spread (Zhou et al., 2026)."""
NO_DIFFICULTY = "difficulty is not explained: "
"""Start of the note that says why the answers explain no difficulty."""
FEWEST_MODELS = 3


@dataclass(frozen=True)
class DemandProfile(ArrowTables):
    """Distribution of the demands of an item set over dimensions and levels."""

    dims: tuple[str, ...]
    """Rubric codes on the dimension axis."""
    histogram: Float[np.ndarray, "dim level"]
    """Number of items at each level 0 to 5; a fractional level counts at the nearest."""
    table: pd.DataFrame
    """Columns dim, items, mean, sd, dominant (items that no other dimension exceeds), sensitive."""
    n_items: int
    """Number of items in the set."""

    def __repr__(self) -> str:
        return short_repr(self)

    def _repr_html_(self) -> str:
        return html_table(f"Demand profile of {self.n_items:,} items", self.table)


def demand_profile(demands: Demands) -> DemandProfile:
    """Summarise the demands of a set of items.

    Args:
        demands: Levels of the items.

    Returns:
        Mean level, spread and histogram of each dimension.

    Raises:
        InputError: No item has a level.
    """
    level = demands.level
    if not len(level) or np.isnan(level).all():
        raise InputError("no item has demand levels; annotate the items first")
    rounded = np.floor(level + 0.5)
    histogram = np.stack([(rounded == step).sum(axis=0) for step in LEVELS], axis=1).astype(float)
    mean, sd = np.nanmean(level, axis=0), np.nanstd(level, axis=0)
    table = pd.DataFrame(
        {
            "dim": demands.dims,
            "items": (~np.isnan(level)).sum(axis=0),
            "mean": mean,
            "sd": sd,
            "dominant": (level == np.nanmax(level, axis=1, keepdims=True)).sum(axis=0),
            "sensitive": (mean >= SENSITIVE_MEAN) & (sd >= SENSITIVE_SD),
        }
    )
    return DemandProfile(demands.dims, histogram, table, len(level))


@dataclass(frozen=True)
class ClaimCheck(ArrowTables):
    """Claims of an item set checked against the demand levels of its items."""

    claimed: tuple[str, ...]
    """Dimensions that the set claims."""
    table: pd.DataFrame
    """Columns dim, claimed, sensitive, verdict: `measured`, `missed`, `unclaimed` or empty."""

    def __repr__(self) -> str:
        return short_repr(self)

    @property
    def sensitivity(self) -> float:
        """Share of the claimed dimensions that the set is sensitive to; NaN without claims."""
        return float(self.table.loc[self.table["claimed"], "sensitive"].mean())

    @property
    def specificity(self) -> float:
        """Share of the unclaimed dimensions that the set is not sensitive to; NaN where all are claimed."""
        return float(1 - self.table.loc[~self.table["claimed"], "sensitive"].mean())

    @property
    def specific(self) -> bool:
        """Whether no unclaimed dimension meets the criterion: the published meaning of specific."""
        return not bool(self.table.loc[~self.table["claimed"], "sensitive"].any())


def check_claims(profile: DemandProfile, claims: tuple[str, ...]) -> ClaimCheck:
    """Judge an item set against its claims; a set is sensitive to a dimension as `DemandProfile.table` says.

    Args:
        profile: Demands of the item set.
        claims: Codes of the rubrics that it claims to measure.

    Returns:
        Claims that are met and not met, and demands that nobody claims.

    Raises:
        InputError: A claimed dimension has no levels.
    """
    unknown = [claim for claim in claims if claim not in profile.dims]
    if unknown:
        hint = nearest(unknown[0], profile.dims)
        raise InputError(f"--claims: no levels of '{unknown[0]}'{hint}; there are {first_few(profile.dims, 20)}")
    sensitive = profile.table["sensitive"].to_numpy(dtype=bool)
    claimed = profile.table["dim"].isin(claims).to_numpy()
    words = {(True, True): "measured", (True, False): "missed", (False, True): "unclaimed", (False, False): ""}
    verdict = [words[bool(c), bool(s)] for c, s in zip(claimed, sensitive, strict=True)]
    table = pd.DataFrame({"dim": profile.dims, "claimed": claimed, "sensitive": sensitive, "verdict": verdict})
    return ClaimCheck(claims, table)


@dataclass(frozen=True, kw_only=True)
class ExplainSettings:
    """Settings of an explanation."""

    benchmark: str | None = None
    """One benchmark of the study; without it, all items."""
    against: str | None = None
    """Benchmark of the study to compare demands with."""
    claims: tuple[str, ...] = ()
    """Dimensions that the set says it measures."""
    annotator: str | None = None
    """Whose demand levels to use."""
    embedder: str = ""
    """Embedding model for what text adds; empty for the texts' words."""
    level: float = 0.9
    """Coverage of the intervals."""
    seed: int = 0
    """Seed of everything random."""


@dataclass(frozen=True)
class ResponseExplanation:
    """Results from responses: difficulty and differences between models by demand."""

    shares: DifficultyShares
    """Share of difficulty that each demand explains."""
    held_out: HeldOutShares
    """Share of difficulty that demands and text explain on held-out items and tasks."""
    separation: Separation
    """Which abilities separate the models."""

    def __repr__(self) -> str:
        return short_repr(self)


@dataclass(frozen=True)
class Explanation:
    """Explanation of an item set; a part is None where the study lacks its data, as a note then says."""

    demand: DemandProfile
    """Levels by dimension."""
    structure: DemandStructure
    """Co-occurrence of demands."""
    claims: ClaimCheck
    """Sensitivity and specificity."""
    contrast: DemandContrast | None = None
    """Demands against another set."""
    responses: ResponseExplanation | None = None
    """Results from responses."""
    notes: tuple[str, ...] = field(default=())
    """What could not be computed, and why."""

    def __repr__(self) -> str:
        dims, parts = len(self.demand.dims), "demands" if self.responses is None else "demands and responses"
        return f"Explanation({counted(self.demand.n_items, 'item')}, {counted(dims, 'dimension')}, from {parts})"

    def _repr_html_(self) -> str:
        return html_table(f"Demands of {self.demand.n_items:,} items", self.demand.table, " ".join(self.notes))


def explain(study: Study | str | Path, settings: ExplainSettings = ExplainSettings()) -> Explanation:
    """Explain an item set: what it demands, what of its claims it measures, and what makes its items difficult.

    Args:
        study: A study with demands, or its folder; with responses of three models or more, difficulty is explained too.
        settings: Which items, which annotator's levels, claims to check, coverage of the intervals.

    Returns:
        Tables of demands, claims and, from responses, shares of difficulty with intervals.

    Raises:
        InputError: The study has no demands, or no such benchmark, annotator or dimension.
        JoinError: Responses and demands do not talk about the same items.
    """
    study = opened(study)
    chosen = of_benchmark(study, settings.benchmark) if settings.benchmark else study
    demands = Demands.of(chosen, settings.annotator)
    rng = np.random.default_rng(settings.seed)
    profile = demand_profile(demands)
    cluster = clusters_of(chosen, demands.items)
    structure = demand_structure(demands, cluster, settings.level)
    # earlier versions drew here; what is drawn below stays the same at equal seed
    cluster_draws(len(np.unique(cluster)), rng)
    contrast = _against(study, chosen, demands, settings, rng) if settings.against else None
    claims = check_claims(profile, settings.claims)
    try:
        responses, notes = _from_responses(chosen, demands, settings, rng), ()
    except FitError as error:
        responses, notes = None, (f"{NO_DIFFICULTY}{error}",)
    return Explanation(profile, structure, claims, contrast, responses, notes)


def _against(
    study: Study, chosen: Study, demands: Demands, settings: ExplainSettings, rng: np.random.Generator
) -> DemandContrast:
    name = str(settings.against)
    if name == settings.benchmark:
        raise InputError(f"--against {name}: the set cannot be compared with itself; name another benchmark")
    other = of_benchmark(study, name)
    if settings.benchmark is None:
        known = study.require("items")
        rest = known.loc[~known["item_id"].isin(other.require("items")["item_id"]), "item_id"]
        chosen = study.keep_items(rest.to_frame().set_index("item_id").index)
        demands = Demands.of(chosen, settings.annotator)
    matrices = (demands, Demands.of(other, settings.annotator))
    return demand_contrast(matrices, (chosen, other), rng, settings.level)


def _from_responses(
    study: Study, demands: Demands, settings: ExplainSettings, rng: np.random.Generator
) -> ResponseExplanation:
    if study.responses is not None:
        study, _ = subjects_of(study, AGENT_FACETS)
    if study.responses is None or study.responses["model"].nunique() < FEWEST_MODELS:
        raise FitError(f"answers of {FEWEST_MODELS} models or more are needed; add responses.parquet")
    refuse_foreign_demands(study)
    responses = Responses.of(study)
    chance = item_chance(study, responses.items)
    floor = None if chance is None else np.nan_to_num(chance)
    fit = fit_irt(responses, IRTSettings(model="rasch", seed=settings.seed), floor=floor).posterior
    levels = demands.at(fit.items)
    rated = np.flatnonzero(~np.isnan(levels).all(axis=1))
    chosen = difficulties(fit).take(rated)
    cluster = clusters_of(study, chosen.items)
    shares = difficulty_shares(chosen, levels[rated], demands.dims, cluster, rng, settings.level)
    text = _text(study, chosen.items, settings)
    held_out = held_out_shares(chosen, levels[rated], text, cluster, rng, settings.level)
    whole = (levels, demands.dims)
    apart = separation(fit, responses, whole, clusters_of(study, fit.items), rng, settings.level)
    return ResponseExplanation(shares, held_out, apart)


def _text(study: Study, items: tuple[str, ...], settings: ExplainSettings) -> Features | None:
    if study.items is None or study.items["text"].isna().all():
        return None
    known = study.items.set_index(study.items["item_id"].astype(str))["text"]
    texts = known.reindex(list(items)).fillna("").astype(str).tolist()
    if len(set(texts)) < 2:
        # one text for all, such as a placeholder, says nothing of an item
        return None
    return text_features(texts, settings.seed, settings.embedder)
